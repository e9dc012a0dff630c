"""The data that travel with the package and with its tests."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from ferrocyte import datasets
from numpy.testing import assert_allclose, assert_array_equal
from reference.graphs import check_graph

PAUL15 = Path(__file__).parent / "data" / "paul15.h5ad"
MB = 1_000_000


# Shipped files ---------------------------------------------------------------------------------------


def test_shipped_files_are_small_and_licensed():
    folder = files("ferrocyte") / "data"
    size = {f.name: len(f.read_bytes()) for f in folder.iterdir() if f.is_file()}
    assert set(size) >= {"dentate_gyrus.h5ad", "bone_marrow.h5ad", "PROVENANCE.md", "LICENSES.md"}
    assert sum(size.values()) <= 5 * 2**20
    licenses = (folder / "LICENSES.md").read_text("utf-8")
    for needed in (
        "BSD 3-Clause",
        "Theis Lab",
        "MIT License",
        "Dana Pe'er Lab",
        "WITHOUT WARRANTY OF ANY KIND",
    ):
        assert needed in licenses
    provenance = (folder / "PROVENANCE.md").read_text("utf-8")
    for needed in (
        "dentate_gyrus.h5ad",
        "GSE95753",
        "2.3.3",
        "bone_marrow.h5ad",
        "palantir 1.4.2",
        "Trimmed",
    ):
        assert needed in provenance


def test_dentate_gyrus():
    a = datasets.dentate_gyrus()
    assert a.shape == (200, 530)
    assert set(a.layers) - {None} == {"spliced", "unspliced", "Ms", "Mu", "velocity"}
    assert a.layers["velocity"].dtype == np.float64
    # genes without a fit are NaN in all cells, and no other value is
    assert_array_equal(np.isnan(a.layers["velocity"]).any(axis=0), np.isnan(a.layers["velocity"]).all(axis=0))
    assert np.isnan(a.layers["velocity"]).all(axis=0).sum() == 208
    assert np.isfinite(a.layers["velocity"][:, a.var["velocity_genes"]]).all()
    for key in ("Ms", "Mu"):
        assert np.isfinite(a.layers[key]).all()
        assert (a.layers[key] >= 0).all()
    assert a.obs["clusters"].cat.categories.size == len(a.uns["clusters_colors"]) == 14
    for key in ("latent_time", "velocity_pseudotime", "dpt_pseudotime"):
        assert a.obs[key].between(0, 1).all()
    assert {k: v.shape[1] for k, v in a.obsm.items()} == {"X_pca": 30, "X_umap": 2, "X_diffmap": 15}
    check_graph(a, "X_pca")


def test_bone_marrow():
    a = datasets.bone_marrow()
    assert a.shape == (4142, 1514)
    assert a.X.dtype == np.float32
    assert_array_equal(a.X.data, np.round(a.X.data))
    assert (a.X.data > 0).all()
    assert a.var["highly_variable"].sum() == 1500
    assert {"CD34", "MPO", "GATA1", "IRF8", "HBB", "LYZ", "CLEC4C"} <= set(a.var_names[a.var["marker"]])
    # depth and detected genes are those of the whole transcriptome
    assert (a.obs["n_counts"] > np.asarray(a.X.sum(1)).ravel()).all()
    assert (a.obs["n_genes"] > np.diff(a.X.indptr)).all()
    fate = a.obsm["palantir_fate_probabilities"]
    # Palantir sets probabilities below 0.01 to zero
    assert fate[fate > 0].min() >= 0.01 - 1e-6
    assert (fate.sum(1) <= 1 + 1e-5).all()
    assert (fate.sum(1) > 1 - 0.01 * 2).all()
    assert a.obs_names[a.uns["iroot"]] == a.uns["start_cell"]
    assert a.obs["palantir_pseudotime"].min() == 0
    assert a.obs["palantir_pseudotime"].iloc[a.uns["iroot"]] < 0.1  # Palantir starts at a neighbour
    for j, name in enumerate(a.uns["palantir_fate_names"]):
        assert fate[a.obs_names.get_loc(a.uns["terminal_cells"][name]), j] > 0.95
    for key in ("leiden", "marker_group"):
        assert a.obs[key].cat.categories.size == len(a.uns[f"{key}_colors"])
    check_graph(a, "X_pca")


def test_bone_marrow_log_normalized():
    """log(1 + 10^4 count / depth of the cell), by hand on some cells."""
    a = datasets.bone_marrow()
    rows = [0, 17, 4141]
    expected = np.log1p(1e4 * a.X[rows].toarray() / a.obs["n_counts"].to_numpy(np.float64)[rows, None])
    assert_allclose(a.layers["log_normalized"][rows].toarray(), expected, rtol=1e-6)
    assert a.layers["log_normalized"].dtype == np.float32


def test_marker_genes_mark():
    """The data tell what is known of blood: GATA1 rises towards red cells, MPO and IRF8 elsewhere."""
    a = datasets.bone_marrow()
    late = a[a.obs["palantir_pseudotime"] > 0.7]
    fate = pd.Series(late.obsm["palantir_fate_probabilities"].argmax(1), index=late.obs_names)
    mean = {
        g: pd.Series(late[:, g].layers["log_normalized"].toarray().ravel(), index=late.obs_names)
        .groupby(fate)
        .mean()
        for g in ("GATA1", "IRF8", "MPO")
    }
    assert list(a.uns["palantir_fate_names"]) == ["Ery", "DC", "Mono"]
    assert mean["GATA1"].idxmax() == 0
    assert mean["IRF8"].idxmax() == 1
    assert mean["MPO"].idxmin() == 0


def test_paul15_test_data():
    a = ad.read_h5ad(PAUL15)
    assert PAUL15.stat().st_size <= 2.5 * MB
    assert "MIT License" in PAUL15.with_suffix(".md").read_text("utf-8")
    assert a.n_obs == 2730
    assert a.obs["dpt_pseudotime"].between(0, 1).all()
    assert a.obs["dpt_pseudotime"].iloc[a.uns["iroot"]] == 0
    assert a.obs["paul15_clusters"].cat.categories.size == 19
    check_graph(a, "X_pca")


@pytest.mark.parametrize("load", [datasets.dentate_gyrus, datasets.bone_marrow])
def test_every_call_is_independent(load):
    a = load()
    before = a.X.data[0]
    a.X.data[:] = -1
    a.obs["new"] = 0
    a.obsp["connectivities"].data[:] = 0
    b = load()
    assert b.X.data[0] == before
    assert "new" not in b.obs
    assert b.obsp["connectivities"].data.all()


def test_nothing_heavy_is_imported():
    code = (
        "import sys, ferrocyte.datasets as d; d.dentate_gyrus(); d.simulate(50, 5, n_neighbors=None); "
        "print([m for m in ('scanpy', 'sklearn', 'matplotlib', 'httpx', 'numba') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
