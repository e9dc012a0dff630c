"""AnnData files go both ways between CellRank 2.0.7 and ours; either side goes on from the other's results.

`tests/data/cellrank_2.0.7_dentate_gyrus.h5ad` was written by CellRank, see `tests/interop/peer_writes.py`.
The other way needs CellRank itself: name the Python of an environment made from
`benches/peer-requirements.txt` in `FERROCYTE_PEER_PYTHON`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anndata as ad
import ferrocyte as fc
import h5py
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

FILE = Path(__file__).parent / "data/cellrank_2.0.7_dentate_gyrus.h5ad"
READER = Path(__file__).parent / "interop/peer_reads.py"
PEER = os.environ.get("FERROCYTE_PEER_PYTHON", "")
STATES = ["Neuroblast", "GABA", "Granule immature"]
QUIET = {"show_progress_bar": False}
mpl.use("Agg")


@pytest.fixture
def written():
    return ad.read_h5ad(FILE)


@pytest.fixture
def g(written):
    """Our estimator, rebuilt from what CellRank wrote."""
    return fc.estimators.GPCCA.from_adata(written.copy(), obsp_key="T_fwd")


def codes(states):
    return states.cat.codes.to_numpy()


# CellRank's file, read by ours ------------------------------------------------------------------------


def test_all_results_of_cellrank_are_there(written, g):
    assert g.backward is False
    assert_array_equal(g.transition_matrix.toarray(), written.obsp["T_fwd"].toarray())
    assert_array_equal(g.schur_vectors, written.obsm["schur_vectors_fwd"])
    assert_array_equal(g.schur_matrix, written.uns["schur_matrix_fwd"])
    assert_array_equal(g.eigendecomposition["D"], written.uns["eigendecomposition_fwd"]["D"])
    assert g.eigendecomposition["eigengap"] == written.uns["eigendecomposition_fwd"]["eigengap"]
    coarse = written.uns["coarse_fwd"]
    assert_array_equal(g.coarse_T, coarse.X)
    assert list(g.coarse_T.columns) == list(coarse.obs_names)
    assert_array_equal(g.coarse_initial_distribution, coarse.obs["coarse_init_dist"])
    assert_array_equal(g.coarse_stationary_distribution, coarse.obs["coarse_stat_dist"])
    for ours, key in (
        (g.macrostates, "macrostates_fwd"),
        (g.terminal_states, "term_states_fwd"),
        (g.initial_states, "init_states_fwd"),
    ):
        assert list(ours.cat.categories) == list(written.obs[key].cat.categories)
        assert_array_equal(codes(ours), codes(written.obs[key]))
    assert_array_equal(g.terminal_states_probabilities, written.obs["term_states_fwd_probs"])
    assert_array_equal(g.initial_states_probabilities, written.obs["init_states_fwd_probs"])
    for ours, key, states in (
        (g.macrostates_memberships, "macrostates_fwd_memberships", "macrostates_fwd"),
        (g.terminal_states_memberships, "term_states_fwd_memberships", "term_states_fwd"),
        (g.initial_states_memberships, "init_states_fwd_memberships", "init_states_fwd"),
        (g.fate_probabilities, "lineages_fwd", "term_states_fwd"),
    ):
        assert isinstance(ours, fc.Lineage)
        assert_array_equal(ours.X, written.obsm[key])
        assert list(ours.names) == list(written.obs[states].cat.categories)
        assert list(ours.colors) == list(written.uns[f"{states}_colors"])
    assert_array_equal(g.absorption_times, written.obsm["absorption_times_fwd"])
    assert list(g.absorption_times.columns) == [f"{s}_{kind}" for s in STATES for kind in ("mean", "var")]
    assert_array_equal(g.priming_degree, written.obs["priming_degree_fwd"])
    drivers = written.varm["terminal_lineage_drivers"]
    assert_array_equal(g.lineage_drivers.loc[drivers.index, drivers.columns], drivers)


def test_fates_times_and_priming_of_cellrank_are_found_again(written, g):
    g.compute_fate_probabilities(**QUIET)
    assert_allclose(g.fate_probabilities.X, written.obsm["lineages_fwd"], atol=1e-8)
    g.compute_absorption_times(calculate_variance=True, **QUIET)
    want = written.obsm["absorption_times_fwd"].to_numpy()
    there = np.isfinite(want)
    assert_allclose(g.absorption_times.to_numpy()[there], want[there], rtol=1e-6)
    assert_allclose(g.compute_lineage_priming(), written.obs["priming_degree_fwd"], atol=1e-8)


def test_drivers_from_fates_of_cellrank(written, g):
    table = g.compute_lineage_drivers().loc[written.var_names]
    n = written.n_obs
    for name in STATES:
        want = written.varm["terminal_lineage_drivers"][f"{name}_corr"] * (n - 1) / n
        # X is float32, and CellRank sums in it
        assert_allclose(table[f"{name}_corr"], want.loc[written.var_names], atol=1e-5)


def test_states_are_chosen_from_macrostates_of_cellrank(written, g):
    names = list(written.obs["macrostates_fwd"].cat.categories)
    g.set_terminal_states([names[1], f"{names[2]}, {names[3]}"], n_cells=10, allow_overlap=True)
    assert len(g.terminal_states.cat.categories) == 2
    assert g.fate_probabilities is None
    assert "lineages_fwd" not in g.adata.obsm
    g.compute_fate_probabilities(**QUIET)
    assert_allclose(g.fate_probabilities.X.sum(axis=1), 1, atol=1e-10)
    g.compute_macrostates(n_states=2, n_cells=10, cluster_key="clusters")
    assert g.schur_vectors.shape[1] == written.obsm["schur_vectors_fwd"].shape[1]  # read, not computed again
    assert len(g.macrostates.cat.categories) == 2


def test_figures_from_results_of_cellrank(g):
    g.plot_spectrum()
    g.plot_schur_matrix()
    g.plot_coarse_T()
    g.plot_macrostates(which="terminal", basis="umap", show=False)
    g.plot_macrostate_composition("clusters", show=False)
    g.plot_fate_probabilities(basis="umap", show=False)
    g.plot_lineage_drivers(STATES[0], n_genes=4, show=False)
    g.plot_lineage_drivers_correlation(STATES[0], STATES[1], show=False)
    assert len(plt.get_fignums()) >= 6
    plt.close("all")


# Ours, read by CellRank -------------------------------------------------------------------------------


def our_flow(written):
    """Everything computed by ours, on the chain and expression of the file alone."""
    adata = ad.AnnData(
        X=written.X,
        obs=written.obs[["clusters"]],
        var=written.var[[]],
        obsm={"X_umap": written.obsm["X_umap"]},
        obsp={key: written.obsp[key] for key in ("T_fwd", "connectivities")},
        uns={"clusters_colors": written.uns["clusters_colors"]},
    )
    kernel = fc.kernels.PrecomputedKernel(adata, obsp_key="T_fwd")
    g = fc.estimators.GPCCA(kernel)
    g.compute_schur(n_components=20)
    g.compute_macrostates(n_states=4, n_cells=10, cluster_key="clusters")
    names = list(g.macrostates.cat.categories)
    g.set_terminal_states(names[1:], n_cells=10)
    g.set_initial_states(names[0], n_cells=10)
    g.compute_fate_probabilities(**QUIET)
    g.compute_absorption_times(calculate_variance=True, **QUIET)
    g.compute_lineage_priming()
    g.compute_lineage_drivers()
    return g


def forms(g):
    """The object that was worked on, and what `to_adata` returns."""
    g.kernel.write_to_adata(key="T_fwd")
    return {"adata": g.adata, "to_adata": g.to_adata(keep=("X", "obsm", "obsp", "uns"))}


def without_none(path):
    """The file as anndata 0.11 writes it, which CellRank 2.0.7 needs: 0.12 stores each None, 0.11 leaves it
    out and cannot read it, not even the one that every AnnData object in `uns` has for `raw`."""
    found = []
    with h5py.File(path, "r+") as file:
        file.visititems(
            lambda name, item: found.append(name) if item.attrs.get("encoding-type") == "null" else None
        )
        for name in found:
            del file[name]
    return found


@pytest.mark.interop
@pytest.mark.skipif(not PEER, reason="FERROCYTE_PEER_PYTHON names no Python that has CellRank")
@pytest.mark.parametrize("form", ["adata", "to_adata"])
def test_cellrank_reads_ours_and_goes_on(written, tmp_path, form):
    g = our_flow(written)
    path, out = tmp_path / "ours.h5ad", tmp_path / "found.npz"
    forms(g)[form].write_h5ad(path)
    assert all("params" in name or name == "uns/coarse_fwd/raw" for name in without_none(path))
    done = subprocess.run(
        [PEER, str(READER), str(path), str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out) as file:
        found = dict(file)
    read = {key.removeprefix("read/"): v for key, v in found.items() if key.startswith("read/")}
    assert_array_equal(read["schur_vectors"], g.schur_vectors)
    assert_array_equal(read["schur_matrix"], g.schur_matrix)
    assert_array_equal(read["eigenvalues"], g.eigendecomposition["D"])
    assert_array_equal(read["memberships"], g.macrostates_memberships.X)
    assert list(read["memberships_names"]) == list(g.macrostates_memberships.names)
    assert list(read["memberships_colors"]) == list(g.macrostates_memberships.colors)
    assert_array_equal(read["coarse_T"], g.coarse_T)
    assert list(read["coarse_T_names"]) == list(g.coarse_T.index)
    assert_array_equal(read["coarse_initial"], g.coarse_initial_distribution)
    assert_array_equal(read["coarse_stationary"], g.coarse_stationary_distribution)
    for name in ("macrostates", "terminal_states", "initial_states"):
        assert_array_equal(read[name], codes(getattr(g, name)))
        assert list(read[f"{name}_names"]) == list(getattr(g, name).cat.categories)
    for name in ("terminal_states_probabilities", "initial_states_probabilities"):
        assert_array_equal(read[name], getattr(g, name))
    assert_array_equal(read["fate_probabilities"], g.fate_probabilities.X)
    assert list(read["fate_names"]) == list(g.fate_probabilities.names)
    assert_array_equal(read["times"], g.absorption_times)
    assert list(read["times_columns"]) == list(g.absorption_times.columns)
    assert_array_equal(read["priming"], g.priming_degree)
    assert read["drivers"].shape == g.lineage_drivers.shape
    assert list(read["drivers_columns"]) == list(g.lineage_drivers.columns)

    later = {key.removeprefix("next/"): v for key, v in found.items() if key.startswith("next/")}
    assert_allclose(later["fate_probabilities"], g.fate_probabilities.X, atol=1e-8)
    there = np.isfinite(later["times"])
    assert_allclose(later["times"][there], g.absorption_times.to_numpy()[there], rtol=1e-6)
    assert_allclose(later["priming"], g.priming_degree, atol=1e-8)
    n = g.adata.n_obs
    names = [f"{s}_corr" for s in later["fate_names"]]
    ours = g.lineage_drivers.loc[g.adata.var_names, names]
    assert_allclose(later["drivers_corr"] * (n - 1) / n, ours, atol=1e-5)
    assert sorted(later["set_states"]) == sorted(g.macrostates.cat.categories[:2])
