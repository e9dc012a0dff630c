"""Trends of many genes as rows of colours."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import FerrocyteWarning, InvalidDataError, InvalidOptionError, MissingDataError
from ferrocyte.models import GAM, FittedModel
from ferrocyte.pl import heatmap, heatmap_frame
from ferrocyte.pl._strips import Along
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal

N = 240
TIME = np.linspace(0, 1, N)
PEAKS = {"late": 0.9, "early": 0.1, "middle": 0.5, "soon": 0.3}
OFF = {"show_progress_bar": False}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    values = [1 + 3 * np.exp(-(((TIME - peak) / 0.2) ** 2)) for peak in PEAKS.values()]
    out = ad.AnnData(np.column_stack(values))
    out.var_names = list(PEAKS)
    out.obs["t"] = TIME
    out.obs["kind"] = pd.Categorical(np.where(TIME < 0.5, "a", "b"))
    out.uns["kind_colors"] = ["#ff0000", "#00ff00"]
    out.obs["score"] = 10 * TIME
    fate = 0.5 + 0.4 * TIME * np.where(np.arange(N) % 2, 1, -1)
    out.obsm["lineages_fwd"] = fc.Lineage(np.column_stack([fate, 1 - fate]), names=["A", "B"])
    return out


@pytest.fixture
def gam(adata):
    return GAM(adata, n_knots=15, distribution="normal", link="identity", spline_kwargs={"lam": 1e-3})


def draw(adata, model, **kwargs):
    figure, _ = heatmap(adata, model, list(PEAKS), "t", return_figure=True, **OFF, **kwargs)
    return figure


def models_of(rows, x=None):
    """Trends made by hand: {gene: values}."""
    out = {}
    for gene, values in rows.items():
        points = np.arange(len(values), dtype=float) if x is None else x
        out[gene] = {"A": FittedModel(points, values)}
    return out


def test_rows_on_paper():
    """Running means of width 3 with the ends repeated, then (v - min) / (max - min), in order of maxima.

    q = 0 0 3 0: means 0 1 1 1; p = 6 0 0 0: 4 2 0 0; constant c: 0.
    """
    models = models_of({"q": [0, 0, 3, 0], "p": [6, 0, 0, 0], "c": [5, 5, 5, 5]})
    table = heatmap_frame(models, "A", n_convolve=3)
    assert table.index.tolist() == ["p", "c", "q"], "stable: c is flat, so its first value is its maximum"
    assert_allclose(table.loc["p"], [1, 0.5, 0, 0])
    assert_allclose(table.loc["q"], [0, 1, 1, 1])
    assert_allclose(table.loc["c"], 0)
    plain = heatmap_frame(models, "A", n_convolve=None, scale=False)
    assert_allclose(plain.loc["q"], [0, 0, 3, 0])
    assert plain.columns.tolist() == [0, 1, 2, 3]
    ordered = heatmap_frame(models, "A", gene_order=["q"])
    assert ordered.index.tolist()[0] == "q"
    assert set(ordered.index) == set(models)


def test_similar_rows_are_neighbours():
    rng = np.random.default_rng(0)
    up, down = np.linspace(0, 1, 20), np.linspace(1, 0, 20)
    rows = {f"{'u' if i % 2 else 'd'}{i}": (up if i % 2 else down) + 0.05 * rng.random(20) for i in range(8)}
    order = heatmap_frame(models_of(rows), "A", cluster_genes=True).index
    kinds = "".join(name[0] for name in order)
    assert kinds in ("uuuudddd", "dddduuuu")


def test_what_has_no_rows():
    with pytest.raises(InvalidDataError, match="at least one trend"):
        heatmap_frame(models_of({"q": [0, 1]}), "B")
    other = {**models_of({"q": [0, 1]}), **models_of({"p": [0, 1]}, x=[0.0, 2.0])}
    with pytest.raises(InvalidDataError, match="same test points"):
        heatmap_frame(other, "A")
    with pytest.raises(MissingDataError, match="gene_order"):
        heatmap_frame(models_of({"q": [0, 1]}), "A", gene_order=["z"])
    with pytest.raises(InvalidOptionError, match="n_convolve"):
        heatmap_frame(models_of({"q": [0, 1]}), "A", n_convolve=0)


def test_genes_in_the_order_of_their_peaks(adata, gam):
    models, figures, order = heatmap(
        adata, gam, list(PEAKS), "t", return_models=True, return_figure=True, **OFF
    )
    assert order.columns.tolist() == ["A", "B"]
    for lineage in "AB":
        assert order[lineage].tolist() == ["early", "soon", "middle", "late"]
    assert len(figures) == 2
    for lineage, figure in zip("AB", figures, strict=True):
        ax, _bar = figure.axes
        assert ax.get_title() == lineage
        assert ax.get_xlabel() == "t"
        assert [t.get_text() for t in ax.get_yticklabels()] == ["early", "soon", "middle", "late"]
        shown = np.asarray(ax.images[0].get_array())
        assert_array_equal(shown, heatmap_frame(models, lineage))
        x = models["early"][lineage].x_test
        assert_allclose(ax.images[0].get_extent()[:2], [x[0, 0], x[-1, 0]])
    # Passed back, nothing is fitted again.
    adata.X = adata.X[:, ::-1].copy()
    again = heatmap(adata, models, list(PEAKS), "t", return_genes=True, **OFF)
    pd.testing.assert_frame_equal(again, order)


def test_order_of_the_first_lineage(adata, gam):
    models = heatmap(adata, gam, list(PEAKS), "t", return_models=True, **OFF)
    x = models["early"]["B"].x_test
    swapped = {**models, "early": {"A": models["early"]["A"], "B": FittedModel(x, x[:, 0])}}
    free = heatmap(adata, swapped, list(PEAKS), "t", return_genes=True, **OFF)
    assert free["B"].tolist()[-1] == "early" or free["B"].tolist()[-2] == "early"
    kept = heatmap(adata, swapped, list(PEAKS), "t", return_genes=True, keep_gene_order=True, **OFF)
    assert kept["B"].tolist() == kept["A"].tolist() == free["A"].tolist()
    given = heatmap(adata, swapped, list(PEAKS), "t", return_genes=True, gene_order=["late", "soon"], **OFF)
    assert given["A"].tolist() == ["late", "soon", "early", "middle"]


def test_trees_and_strips(adata, gam):
    (figure,) = draw(
        adata,
        gam,
        lineages="A",
        cluster_genes=True,
        cluster_key=["kind", "score"],
        show_fate_probabilities=True,
    )
    labels = [ax.get_yticklabels()[0].get_text() for ax in figure.axes if len(ax.get_yticks()) == 1]
    assert labels == ["fate probability", "kind", "score"]
    segments = [c for ax in figure.axes for c in ax.collections if type(c).__name__ == "LineCollection"]
    assert len(segments[0].get_segments()) == 3, "three joins of four genes"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["kind", "a", "b"]
    (bare,) = draw(adata, gam, lineages="A", cluster_genes=True, dendrogram=False, cbar=False)
    assert len(bare.axes) == 1


def test_what_cells_are_along_time(adata):
    """Cells before 0.5 are a; the score is 10 t; fates of both branches average to 0.5."""
    x = np.linspace(0, 1, 41)
    along = Along(adata, "t", False)
    kinds = along.covariate(x, "A", "kind")
    assert (np.asarray(kinds)[x < 0.45] == "a").all()
    assert (np.asarray(kinds)[x > 0.55] == "b").all()
    assert_allclose(along.covariate(x, None, "score")[2:-2], 10 * x[2:-2], atol=0.2)
    assert_allclose(along.fates(x, "A"), 0.5, atol=0.1)
    # Where there is no cell, what is nearest counts.
    far = along.covariate(np.linspace(0, 5, 51), None, "kind")
    assert far[-1] == "b"
    adata.obs.loc[adata.obs_names[:100], "score"] = np.nan
    assert np.isfinite(along.covariate(x, None, "score")).all()


def test_strip_colors(adata, gam):
    (figure,) = draw(adata, gam, lineages="A", cluster_key="kind", cbar=False)
    strip = np.asarray(figure.axes[0].images[0].get_array())[0]
    assert_allclose(strip[0], to_rgba("#ff0000"))
    assert_allclose(strip[-1], to_rgba("#00ff00"))


def test_a_panel_for_each_gene(adata, gam):
    models, figure, order = heatmap(
        adata, gam, list(PEAKS), "t", mode="genes", return_models=True, return_figure=True, cbar=False, **OFF
    )
    assert order is None
    assert [ax.get_ylabel() for ax in figure.axes] == list(PEAKS)
    first = figure.axes[0]
    assert [t.get_text() for t in first.get_yticklabels()] == ["A", "B"]
    assert len(first.images) == 2
    both = np.concatenate([np.asarray(image.get_array())[0] for image in first.images])
    assert both.min() == 0
    assert both.max() == 1, "scaled over both lineages"
    plain = draw(adata, models, mode="genes", scale=False, n_convolve=None)
    assert len(plain.axes) == 8, "each gene has a bar of its own"
    assert_array_equal(np.asarray(plain.axes[0].images[0].get_array())[0], models["late"]["A"].y_test)
    ordered = draw(adata, models, mode="genes", gene_order=["soon"], cbar=False)
    assert [ax.get_ylabel() for ax in ordered.axes] == ["soon", "late", "early", "middle"]
    strips = draw(adata, models, mode="genes", cluster_key="kind", show_fate_probabilities=True)
    assert [ax.get_ylabel() for ax in strips.axes][:3] == ["fate probability", "kind", "late"]


def test_without_lineages(adata, gam):
    del adata.obsm["lineages_fwd"]
    for mode in ("lineages", "genes"):
        made = draw(adata, gam, mode=mode, lineages=[None], cluster_key="kind", show_fate_probabilities=True)
        figure = made[0] if mode == "lineages" else made
        texts = [ax.get_ylabel() for ax in figure.axes] + [
            t.get_text() for ax in figure.axes for t in ax.get_yticklabels()
        ]
        assert "kind" in texts
        assert "fate probability" not in texts


def test_files(adata, gam, tmp_path):
    assert heatmap(adata, gam, list(PEAKS), "t", save=tmp_path / "all", **OFF) is None
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["lineage_A.png", "lineage_B.png"]
    heatmap(adata, gam, list(PEAKS), "t", lineages=["A"], save=tmp_path / "one", **OFF)
    assert (tmp_path / "one.png").exists()
    heatmap(adata, gam, list(PEAKS), "t", mode="genes", save=tmp_path / "genes", **OFF)
    assert (tmp_path / "genes.png").exists()


def test_names_that_do_not_fit_are_left_out(adata, gam):
    rng = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(150)]
    many = ad.AnnData(rng.random((N, 150)), obs=adata.obs)
    many.var_names = genes
    options = {"lineages": [None], "return_figure": True, "figsize": (5, 4), **OFF}
    (few,), _ = heatmap(many, gam, genes, "t", **options)
    assert len(few.axes[0].get_yticks()) < 50
    (every,), _ = heatmap(many, gam, genes, "t", show_all_genes=True, **options)
    assert len(every.axes[0].get_yticks()) == 150


def test_what_can_not_be_drawn(adata, gam):
    with pytest.raises(InvalidOptionError, match="Invalid option 'gene'"):
        draw(adata, gam, mode="gene")
    with pytest.raises(MissingDataError, match="no_key"):
        draw(adata, gam, cluster_key="no_key")
    with pytest.raises(MissingDataError, match="gene_order"):
        draw(adata, gam, mode="genes", gene_order=["z"])
    with pytest.raises(InvalidOptionError, match="cmap"):
        draw(adata, gam, cmap="no_map")
    with pytest.raises(KeyError, match="Fatal model"):
        heatmap(adata, gam, ["z"], "t", **OFF)
    assert not plt.get_fignums()
    with pytest.warns(FerrocyteWarning, match="'z'"):
        order = heatmap(adata, gam, ["z", "early"], "t", return_genes=True, **OFF)
    assert order["A"].tolist() == ["early"]


def test_test_points_that_are_not_even(adata, gam):
    """With `n_test_points=None` trends are known where cells are; pixels are evenly spaced all the same."""
    uneven = adata[TIME**2 * 1000 % 7 < 3].copy()
    models, (figure,), _ = heatmap(
        uneven, gam, list(PEAKS), "t", lineages="A", n_test_points=None, scale=False, n_convolve=None,
        return_models=True, return_figure=True, **OFF,
    )  # fmt: skip
    image = figure.axes[0].images[0]
    row = [t.get_text() for t in figure.axes[0].get_yticklabels()].index("middle")
    fit = models["middle"]["A"]
    x = np.linspace(*image.get_extent()[:2], len(fit.x_test))
    assert_allclose(np.asarray(image.get_array())[row], np.interp(x, fit.x_test[:, 0], fit.y_test))
    peak = np.asarray(image.get_array())[row].argmax() / len(x) * x[-1]
    assert abs(peak - 0.5) < 0.05
