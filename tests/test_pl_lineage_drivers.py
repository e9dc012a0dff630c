"""Figures of driver genes: which ones, their expression, their correlations with two lineages."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.pl import (
    drivers_correlation_frame,
    drivers_frame,
    plot_lineage_drivers,
    plot_lineage_drivers_correlation,
)
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal

GENES = ["g0", "g1", "g2", "g3", "g4"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def drivers():
    """Five genes, two lineages; g3 is constant."""
    return pd.DataFrame(
        {
            "a_corr": [0.5, -0.25, 0.75, np.nan, 0.0],
            "a_pval": [0.02, 0.2, 0.01, np.nan, 1.0],
            "a_qval": [0.04, 0.25, 0.04, np.nan, 1.0],
            "b_corr": [-0.5, 0.25, 0.5, np.nan, 0.125],
            "b_pval": [0.1, 0.2, 0.3, np.nan, 0.4],
            "b_qval": [0.2, 0.3, 0.4, np.nan, 0.4],
        },
        index=GENES,
    )


@pytest.fixture
def adata():
    x = np.arange(20, dtype="float32").reshape(4, 5)
    adata = ad.AnnData(x, obs=pd.DataFrame(index=list("abcd")), var=pd.DataFrame(index=GENES))
    adata.var["length"] = [1.0, 2, 3, 4, 5]
    adata.var["kind"] = pd.Categorical(list("uuvvv"))
    adata.raw = ad.AnnData(x + 100, var=pd.DataFrame(index=GENES))
    adata.layers["counts"] = x + 50
    # a column of the same name as a gene: the gene is meant
    adata.obs["g0"] = 0.0
    adata.obsm["X_umap"] = np.c_[np.arange(4.0), np.arange(4.0) ** 2]
    adata.obsm["X_tsne"] = -adata.obsm["X_umap"]
    return adata


def cells(ax):
    return max(
        (c for c in ax.collections if isinstance(c, PathCollection)), key=lambda c: len(c.get_offsets())
    )


# Which genes ----------------------------------------------------------------------------------------------


def test_table(drivers):
    table = drivers_frame(drivers, "a", 2)
    assert table.columns.tolist() == ["gene", "corr", "pval", "qval"]
    assert table["gene"].tolist() == ["g2", "g0"]
    assert table["corr"].tolist() == [0.75, 0.5]
    assert table["pval"].tolist() == [0.01, 0.02]
    assert table["qval"].tolist() == [0.04, 0.04]
    assert drivers_frame(drivers, "a", 2, ascending=True)["gene"].tolist() == ["g1", "g4"]
    # the constant gene is never among them
    assert drivers_frame(drivers, "b", 50)["gene"].tolist() == ["g2", "g1", "g4", "g0"]


def test_what_is_not_there(drivers):
    with pytest.raises(MissingDataError, match=r"Lineage 'c' not found.*'a', 'b'"):
        drivers_frame(drivers, "c")
    for n in (0, -3):
        with pytest.raises(InvalidOptionError, match="to be positive"):
            drivers_frame(drivers, "a", n)
    with pytest.raises(InvalidTypeError, match="whole number"):
        drivers_frame(drivers, "a", 1.5)


# Expression -----------------------------------------------------------------------------------------------


def test_a_panel_per_gene(adata, drivers):
    axes = plot_lineage_drivers(adata, drivers_frame(drivers, "a", 3), show=False)
    assert [ax.get_title() for ax in axes] == [
        "g2 qval=4.0000e-02",
        "g0 qval=4.0000e-02",
        "g4 qval=1.0000e+00",
    ]
    for ax, gene in zip(axes, [2, 0, 4], strict=True):
        assert_array_equal(cells(ax).get_offsets(), adata.obsm["X_umap"])
        assert_array_equal(cells(ax).get_array(), adata.X[:, gene])
    assert len(axes[0].figure.axes) == 6  # a colour bar each


def test_where_expression_is_read(adata, drivers):
    table = drivers_frame(drivers, "a", 1)
    assert cells(plot_lineage_drivers(adata, table, use_raw=True, show=False)).get_array()[0] == 102
    assert cells(plot_lineage_drivers(adata, table, layer="counts", show=False)).get_array()[0] == 52
    tsne = plot_lineage_drivers(adata, table, basis="tsne", show=False)
    assert_array_equal(cells(tsne).get_offsets(), adata.obsm["X_tsne"])
    with pytest.raises(MissingDataError, match="Unable to find a basis"):
        plot_lineage_drivers(adata, table, basis="pca")
    with pytest.raises(MissingDataError, match=r"adata.layers\['count'\]"):
        plot_lineage_drivers(adata, table, layer="count")
    with pytest.raises(MissingDataError, match="Unable to find gene 'g2'"):
        plot_lineage_drivers(adata[:, :2].copy(), table)
    del adata.raw
    with pytest.raises(MissingDataError, match=r"adata.raw"):
        plot_lineage_drivers(adata, table, use_raw=True)


def test_sparse_and_backed_expression(adata, drivers, tmp_path):
    table = drivers_frame(drivers, "a", 1)
    expected = adata.X[:, 2]
    adata.X = sp.csr_matrix(adata.X)
    assert_array_equal(cells(plot_lineage_drivers(adata, table, show=False)).get_array(), expected)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert_array_equal(cells(plot_lineage_drivers(backed, table, show=False)).get_array(), expected)
    backed.file.close()


def test_names_that_are_not_unique(adata, drivers):
    adata.var_names = ["g0", "g1", "g2", "g2", "g4"]
    with pytest.raises(InvalidDataError, match="gene names to be unique, found 'g2'"):
        plot_lineage_drivers(adata, drivers_frame(drivers, "a", 1))


def test_title_fields(adata, drivers):
    table = drivers_frame(drivers, "a", 1)
    ax = plot_lineage_drivers(adata, table, title_fmt="{gene} {corr:.2f} {pval:.2f} {qval:.2f}", show=False)
    assert ax.get_title() == "g2 0.75 0.01 0.04"
    for wrong in ("{name}", "{}", "{corr:q}"):
        with pytest.raises(InvalidOptionError, match="gene, corr, pval, qval"):
            plot_lineage_drivers(adata, table, title_fmt=wrong)


def test_drivers_keywords(adata, drivers, tmp_path):
    axes = plot_lineage_drivers(
        adata, drivers_frame(drivers, "a", 3), ncols=1, figsize=(3, 6), dpi=50, cmap="magma", s=11, vmin=1,
        vmax=9, colorbar=False, frameon=True, save=tmp_path / "drivers.svg",
    )  # fmt: skip
    assert len({ax.get_position().x0 for ax in axes}) == 1
    assert cells(axes[0]).get_cmap().name == "magma"
    assert set(cells(axes[0]).get_sizes()) == {11}
    assert cells(axes[0]).get_clim() == (1, 9)
    assert len(axes[0].figure.axes) == 3
    assert axes[0].get_xlabel() == "UMAP1"
    assert (tmp_path / "drivers.svg").exists()
    with pytest.raises(InvalidTypeError, match="ncol"):
        plot_lineage_drivers(adata, drivers_frame(drivers, "a", 3), ncol=1)


def test_nothing_to_draw(adata, drivers):
    with pytest.raises(InvalidOptionError, match="at least 1 gene"):
        plot_lineage_drivers(adata, drivers_frame(drivers.loc[["g3"]], "a"))


def test_titles_of_neighbours_keep_apart(adata, drivers):
    long = adata.copy()
    long.var_names = [f"a_very_long_name_of_a_gene_{g}" for g in GENES]
    table = drivers_frame(drivers.set_axis(long.var_names), "a", 3)
    axes = plot_lineage_drivers(long, table, show=False)
    axes[0].figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


# Two lineages ---------------------------------------------------------------------------------------------


def test_table_of_two_lineages(adata, drivers):
    table = drivers_correlation_frame(drivers, "a", "b")
    assert table.columns.tolist() == ["a_corr", "b_corr"]
    assert table.index.tolist() == ["g0", "g1", "g2", "g4"]
    assert_array_equal(table["b_corr"], [-0.5, 0.25, 0.5, 0.125])
    table = drivers_correlation_frame(
        drivers,
        "a",
        "b",
        var=adata.var,
        color="length",
        gene_sets={"s": ["g2", "g0"], "t": "g1", "u": ["g0"]},
    )
    assert table["length"].tolist() == [1, 2, 3, 5]
    assert table["gene_set"].astype(object).where(table["gene_set"].notna(), "").tolist() == [
        "s",
        "t",
        "s",
        "",
    ]
    assert drivers_correlation_frame(drivers, "a", "b", color="a_qval")["a_qval"].tolist()[0] == 0.04


def test_what_two_lineages_need(adata, drivers):
    with pytest.raises(MissingDataError, match="Lineage 'c' not found"):
        drivers_correlation_frame(drivers, "a", "c")
    with pytest.raises(MissingDataError, match=r"color='lenght'.*'length'"):
        drivers_correlation_frame(drivers, "a", "b", var=adata.var, color="lenght")
    with pytest.raises(MissingDataError, match="'g9' of gene set 's'"):
        drivers_correlation_frame(drivers, "a", "b", gene_sets={"s": ["g9"]})


def test_points(drivers):
    table = drivers_correlation_frame(drivers, "a", "b")
    ax = plot_lineage_drivers_correlation(table, show=False)
    assert_array_equal(cells(ax).get_offsets(), table)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a_corr", "b_corr")
    assert [line.get_xydata()[0].min() for line in ax.lines] == [0, 0]  # the axes of zero
    assert ax.figure.get_size_inches().tolist() == [4, 4]
    assert ax.get_legend() is None


def test_points_in_colours(adata, drivers):
    table = drivers_correlation_frame(drivers, "a", "b", var=adata.var, color="length")
    ax = plot_lineage_drivers_correlation(table, color="length", show=False)
    assert_array_equal(cells(ax).get_array(), [1, 2, 3, 5])
    assert cells(ax).get_cmap().name == "RdYlBu_r"
    assert len(ax.figure.axes) == 2
    table = drivers_correlation_frame(drivers, "a", "b", var=adata.var, color="kind")
    ax = plot_lineage_drivers_correlation(
        table, color="kind", palette=["#ff0000", "#0000ff"], legend_loc="right", show=False
    )
    assert [to_hex(c) for c in cells(ax).get_facecolors()] == ["#ff0000", "#ff0000", "#0000ff", "#0000ff"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["u", "v"]


def test_gene_sets(drivers):
    table = drivers_correlation_frame(drivers, "a", "b", gene_sets={"s": ["g2", "g0"], "t": ["g1"]})
    ax = plot_lineage_drivers_correlation(
        table, gene_sets_colors=["#ff0000", "#0000ff"], fontsize=7, show=False
    )
    marked = ax.collections[-1]
    assert_array_equal(marked.get_offsets(), [[0.5, -0.5], [-0.25, 0.25], [0.75, 0.5]])
    assert [to_hex(c) for c in marked.get_facecolors()] == ["#ff0000", "#0000ff", "#ff0000"]
    assert [(t.get_text(), t.get_color(), t.get_fontsize()) for t in ax.texts] == [
        ("g0", "#ff0000", 7), ("g1", "#0000ff", 7), ("g2", "#ff0000", 7),
    ]  # fmt: skip
    assert_allclose([t.get_position()[0] for t in ax.texts], [0.5, -0.25, 0.75])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["s", "t"]
    assert plot_lineage_drivers_correlation(table, legend_loc=None, show=False).get_legend() is None
    assert (
        to_hex(plot_lineage_drivers_correlation(table, show=False).collections[-1].get_facecolors()[1])
        == "#ff7f0e"
    )
    with pytest.raises(InvalidOptionError, match="2 colours, one for each set, found 1"):
        plot_lineage_drivers_correlation(table, gene_sets_colors=["red"])


def test_names_are_moved_apart():
    """Six genes at one place: their names overlap, unless they are told not to."""
    genes = [f"gene{i}" for i in range(6)]
    drivers = pd.DataFrame({"a_corr": 0.5 + np.arange(6) / 1e4, "b_corr": 0.5}, index=genes)
    drivers.loc["other"] = -0.5
    table = drivers_correlation_frame(drivers, "a", "b", gene_sets={"s": genes})

    def overlaps(ax):
        ax.figure.draw_without_rendering()
        boxes = [mpl.text.Text.get_window_extent(t) for t in ax.texts]
        return sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

    assert overlaps(plot_lineage_drivers_correlation(table, show=False)) == 15
    apart = plot_lineage_drivers_correlation(table, adjust_text=True, show=False)
    assert overlaps(apart) == 0
    assert all(t.arrow_patch is not None for t in apart.texts)


def test_correlation_keywords(drivers, tmp_path):
    table = drivers_correlation_frame(drivers, "a", "b")
    ax = plot_lineage_drivers_correlation(
        table, size=50, alpha=0.5, marker="s", title="T", xlabel="x", ylabel="y", xlim=(-1, 1), ylim=(-1, 1),
        figsize=(3, 2), dpi=50, save=tmp_path / "two",
    )  # fmt: skip
    assert set(cells(ax).get_sizes()) == {50}
    assert cells(ax).get_alpha() == 0.5
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("T", "x", "y")
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-1, 1))
    assert ax.figure.get_size_inches().tolist() == [3, 2]
    assert (tmp_path / "two.png").exists()
    assert not plot_lineage_drivers_correlation(table, frameon=False, show=False).axison
    with pytest.raises(InvalidTypeError, match="title"):
        plot_lineage_drivers_correlation(table, titel="T")
    with pytest.raises(InvalidOptionError, match="Invalid legend position"):
        plot_lineage_drivers_correlation(table, legend_loc="somewhere")


def test_a_lineage_against_itself(drivers):
    table = drivers_correlation_frame(drivers, "a", "a")
    assert table.shape == (4, 2)
    assert_array_equal(cells(plot_lineage_drivers_correlation(table, show=False)).get_offsets(), table)
