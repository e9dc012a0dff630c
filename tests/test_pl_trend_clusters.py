"""Genes whose trends have the same shape."""

from __future__ import annotations

import sys

import anndata as ad
import ferrocyte as fc
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    MissingPackageError,
)
from ferrocyte.models import GAM, FittedModel
from ferrocyte.pl import cluster_trends, cluster_trends_frame, group_trends
from numpy.testing import assert_allclose, assert_array_equal

N, EACH = 150, 12
TIME = np.linspace(0, 1, N)
OFF = {"show_progress_bar": False}
KEY = "lineage_A_trend"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def _leiden():
    pytest.importorskip("igraph", reason="leiden needs igraph")


@pytest.fixture
def adata():
    """Twelve genes that rise, twelve that fall and twelve with a peak, at levels of their own."""
    rng = np.random.default_rng(0)
    shapes = {"up": TIME, "down": 1 - TIME, "peak": np.exp(-(((TIME - 0.5) / 0.2) ** 2))}
    genes = {
        f"{kind}{i}": rng.uniform(1, 5) + rng.uniform(1, 3) * shape + rng.normal(0, 0.02, N)
        for kind, shape in shapes.items()
        for i in range(EACH)
    }
    out = ad.AnnData(np.column_stack(list(genes.values())))
    out.var_names = list(genes)
    out.obs["t"] = TIME
    out.obs["kind"] = pd.Categorical(np.where(TIME < 0.5, "a", "b"))
    out.obs["score"] = TIME
    fate = 0.5 + 0.4 * TIME * np.where(np.arange(N) % 2, 1, -1)
    out.obsm["lineages_fwd"] = fc.Lineage(np.column_stack([fate, 1 - fate]), names=["A", "B"])
    return out


@pytest.fixture
def gam(adata):
    return GAM(adata, n_knots=10, distribution="normal", link="identity", spline_kwargs={"lam": 1e-3})


def cluster(adata, model, **kwargs):
    return cluster_trends(adata, model, list(adata.var_names), "A", "t", random_state=0, **OFF, **kwargs)


def by_hand(adata, labels):
    """Groups that are stored already, so that no leiden is needed."""
    values = np.random.default_rng(0).normal(size=(len(labels), 5))
    table = ad.AnnData(
        values, obs=pd.DataFrame({"clusters": pd.Categorical(labels)}, index=adata.var_names[: len(labels)])
    )
    table.var["x_test"] = np.linspace(0, 1, 5)
    adata.uns[KEY] = table
    return table


def test_z_scores_on_paper():
    """1 2 3: mean 2, deviation sqrt(2/3); a constant gene is 0. Two genes are one cluster, without graph."""
    x = [0.0, 0.5, 1.0]
    models = {"g": {"A": FittedModel(x, [1, 2, 3])}, "c": {"A": FittedModel(x, [0.1, 0.1, 0.1])}}
    groups = group_trends(models, "A")
    root = np.sqrt(1.5)
    assert_allclose(groups.X, [[-root, 0, root], [0, 0, 0]], atol=1e-15)
    assert groups.obs["clusters"].tolist() == ["0", "0"]
    assert groups.var["x_test"].tolist() == x
    assert groups.obs_names.tolist() == ["g", "c"]
    assert_allclose(group_trends(models, "A", norm=False).X, [[1, 2, 3], [0.1, 0.1, 0.1]])


@pytest.mark.usefixtures("_leiden")
def test_number_of_points_by_either_name(adata, gam):
    cluster(adata, gam, n_test_points=30)
    assert adata.uns[KEY].shape == (3 * EACH, 30)
    cluster(adata, gam, n_points=20, recompute=True)
    assert adata.uns[KEY].shape == (3 * EACH, 20)


@pytest.mark.usefixtures("_leiden")
def test_shapes_are_told_apart(adata, gam):
    models = cluster(adata, gam, return_models=True)
    assert set(models) == set(adata.var_names)
    groups = adata.uns[KEY]
    assert groups.shape == (3 * EACH, 200)
    assert_allclose(groups.X.mean(axis=1), 0, atol=1e-12)
    assert_allclose(groups.X.std(axis=1), 1)
    assert_array_equal(groups.var["x_test"], models["up0"]["A"].x_test[:, 0])
    kind = groups.obs_names.str.rstrip("0123456789")
    members = pd.crosstab(groups.obs["clusters"].to_numpy(), kind)
    assert ((members > 0).sum(axis=1) == 1).all(), "no cluster has genes of two shapes"
    # The same seed makes the same clusters.
    first = groups.obs["clusters"].tolist()
    cluster(adata, models, recompute=True)
    assert adata.uns[KEY].obs["clusters"].tolist() == first
    assert "X_pca" in adata.uns[KEY].obsm


@pytest.mark.usefixtures("_leiden")
def test_options_of_the_steps(adata, gam):
    coarse = cluster(
        adata,
        gam,
        n_points=50,
        key="mine",
        return_models=True,
        pca_kwargs={"n_components": 4},
        neighbors_kwargs={"use_rep": "X_pca", "n_neighbors": 6},
        clustering_kwargs={"resolution": 1e-6},
    )
    groups = adata.uns["mine"]
    assert KEY not in adata.uns
    assert groups.shape == (3 * EACH, 50)
    assert groups.obsm["X_pca"].shape == (3 * EACH, 4)
    assert len(coarse) == 3 * EACH
    fine = group_trends(coarse, "A", clustering_kwargs={"resolution": 5.0})
    assert fine.obs["clusters"].nunique() > groups.obs["clusters"].nunique()


@pytest.mark.usefixtures("_leiden")
def test_files(adata, gam, tmp_path):
    cluster(adata, gam, save=tmp_path / "trends")
    assert (tmp_path / "trends.png").stat().st_size > 1000
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert_array_equal(back.uns[KEY].X, adata.uns[KEY].X)
    assert back.uns[KEY].obs["clusters"].tolist() == adata.uns[KEY].obs["clusters"].tolist()


def test_what_is_there_is_used(adata, gam):
    labels = ["0"] * 20 + ["1"] * 16
    groups = by_hand(adata, labels)
    before = groups.X.copy()
    figure = cluster(adata, gam, return_figure=True)
    assert adata.uns[KEY] is groups
    assert_array_equal(groups.X, before)
    assert [ax.get_title() for ax in figure.axes] == ["cluster 0 (20 genes)", "cluster 1 (16 genes)"]
    for ax, rows in zip(figure.axes, (groups.X[:20], groups.X[20:]), strict=True):
        assert_allclose(ax.lines[0].get_ydata(), rows.mean(axis=0))
        assert len(ax.collections[0].get_segments()) == len(rows)
    table = cluster_trends_frame(groups)
    assert len(table) == 36 * 5
    assert_array_equal(table["y"].to_numpy().reshape(36, 5), groups.X)
    assert cluster_trends_frame(groups, ["1"])["gene"].nunique() == 16
    # Models are fitted if they are asked for.
    models = cluster(adata, gam, return_models=True)
    assert models["up0"]["A"].y_test is not None
    by_hand(adata, labels[:30])
    with pytest.warns(FerrocyteWarning, match="6 of 36"):
        cluster(adata, gam)


def test_figure(adata, gam):
    by_hand(adata, [str(i % 4) for i in range(36)])
    figure = cluster(
        adata, gam, return_figure=True, clusters=["2", 0, "3"], ncols=2, sharey=True,
        covariate_key=["kind", "score"], ratio=0.1,
    )  # fmt: skip
    titled = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title().split()[1] for ax in titled] == ["2", "0", "3"]
    assert len({ax.get_ylim() for ax in titled}) == 1
    strips = [ax for ax in figure.axes if ax.images]
    assert len(strips) == 3 * 2
    assert len(figure.axes) == 3 * 3, "what is empty is taken away"
    labels = [ax.get_yticklabels()[0].get_text() for ax in strips]
    assert labels.count("kind") == labels.count("score") == 2, "beside the first column"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["kind", "a", "b"]


def test_what_can_not_be_drawn(adata, gam, monkeypatch):
    by_hand(adata, ["0"] * 36)
    before = set(adata.uns)
    with pytest.raises(MissingDataError, match="'7'"):
        cluster(adata, gam, clusters=["7"])
    with pytest.raises(InvalidOptionError, match="found none"):
        cluster(adata, gam, clusters=[])
    with pytest.raises(MissingDataError, match="no_key"):
        cluster(adata, gam, covariate_key="no_key")
    with pytest.raises(InvalidOptionError, match="ratio"):
        cluster(adata, gam, ratio=0)
    with pytest.raises(InvalidTypeError, match="lineage"):
        cluster_trends(adata, gam, ["up0"], None, "t")
    adata.uns["taken"] = 1
    with pytest.raises(InvalidDataError, match="taken"):
        cluster(adata, gam, key="taken")
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(MissingPackageError, match="igraph"):
        cluster(adata, gam, key="new")
    with pytest.raises(MissingDataError, match="Invalid lineage name"):
        cluster_trends(adata, gam, ["up0"], "Z", "t", **OFF)
    with pytest.raises(KeyError, match="Fatal model"):
        cluster_trends(adata, gam, ["nothing"], "B", "t", **OFF)
    assert set(adata.uns) == before | {"taken"}
    assert not plt.get_fignums()
    with pytest.warns(FerrocyteWarning, match="'nothing'"):
        cluster_trends(adata, gam, ["up0", "nothing"], "B", "t", **OFF)
    assert adata.uns["lineage_B_trend"].obs_names.tolist() == ["up0"], "genes that could be fitted"
