"""Random walk figures: one line per walk, its colours, its ends, the table behind it."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidIndexError, InvalidOptionError, InvalidTypeError
from ferrocyte.pl.random_walks import plot_random_walks, walks_frame
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal

WALKS = [np.array([0, 1, 2, 3]), np.array([1, 1, 4]), np.array([2])]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    """Five cells on a line."""
    obs = pd.DataFrame({"clusters": pd.Categorical(list("aabbb")), "t": range(5)}, index=list("vwxyz"))
    adata = ad.AnnData(np.zeros((5, 1), dtype="float32"), obs=obs)
    adata.obsm["X_umap"] = np.c_[np.arange(5.0), np.arange(5.0) ** 2]
    return adata


def lines(ax):
    return [c for c in ax.collections if isinstance(c, LineCollection)]


def marked(ax, label):
    return next(c for c in ax.collections if isinstance(c, PathCollection) and c.get_label() == label)


def test_table(adata):
    table = walks_frame(WALKS, adata.obsm["X_umap"], adata.obs_names)
    assert list(table.columns) == ["walk", "step", "cell", "x", "y"]
    assert table["walk"].tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert table["step"].tolist() == [0, 1, 2, 3, 0, 1, 2, 0]
    assert table["cell"].tolist() == list("vwxywwzx")
    assert_array_equal(table["y"], [0, 1, 4, 9, 1, 1, 16, 4])
    assert walks_frame(WALKS, adata.obsm["X_umap"])["cell"].tolist() == [0, 1, 2, 3, 1, 1, 4, 2]
    assert walks_frame([], adata.obsm["X_umap"]).empty


def test_one_line_per_walk_with_its_colours(adata):
    ax = plot_random_walks(adata, WALKS, show=False, linewidth=2.5, linealpha=0.5, cmap="viridis")
    drawn = lines(ax)
    assert [len(c.get_segments()) for c in drawn] == [3, 2, 0]
    assert_array_equal(np.array(drawn[0].get_segments())[:, 0], adata.obsm["X_umap"][:3])
    assert_array_equal(np.array(drawn[0].get_segments())[:, 1], adata.obsm["X_umap"][1:4])
    viridis = mpl.colormaps["viridis"]
    expected = viridis([0.0, 0.5, 1.0])
    expected[:, 3] = 0.5
    assert_allclose(drawn[0].get_colors(), expected)
    assert [c.get_linewidth()[0] for c in drawn] == [2.5] * 3


def test_ends_are_outlined_in_the_colours_of_the_map(adata):
    ax = plot_random_walks(adata, WALKS, show=False)
    gnuplot = mpl.colormaps["gnuplot"]
    for label, ixs, color, rim in [("start", [0, 1, 2], 0.0, "white"), ("stop", [3, 4, 2], 1.0, "black")]:
        points = marked(ax, label)
        assert_array_equal(points.get_offsets(), adata.obsm["X_umap"][ixs])
        assert_allclose(points.get_facecolors()[0], gnuplot(color))
        assert_allclose(points.get_edgecolors()[0], to_rgba(rim))
        assert points.zorder > lines(ax)[0].zorder


def test_listed_colormap(adata):
    for cmap in ("cividis", mpl.colormaps["cividis"]):
        ax = plot_random_walks(adata, WALKS, cmap=cmap, show=False)
        assert_allclose(marked(ax, "stop").get_facecolors()[0], mpl.colormaps["cividis"](1.0))


def test_legend_of_ends(adata):
    ax = plot_random_walks(adata, WALKS, show=False, start_ixs=[0, 1])
    assert ax.get_legend() is None
    ax = plot_random_walks(
        adata, WALKS, show=False, start_ixs=[0, 1], stop_ixs=np.array([4]), ixs_legend_loc="upper left"
    )
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["start", "stop", "may start", "may stop"]
    assert_array_equal(marked(ax, "may start").get_offsets(), adata.obsm["X_umap"][:2])


def test_both_legends_stay(adata):
    ax = plot_random_walks(
        adata, WALKS, color="clusters", legend_loc="right", ixs_legend_loc="lower right", show=False
    )
    found = [c for c in ax.get_children() if isinstance(c, mpl.legend.Legend)]
    assert sorted(t.get_text() for legend in found for t in legend.get_texts()) == ["a", "b", "start", "stop"]
    ax.figure.draw_without_rendering()
    cells = next(legend for legend in found if legend.get_texts()[0].get_text() == "a")
    assert ax.get_window_extent().x1 <= cells.get_window_extent().x0
    assert cells.get_window_extent().x1 <= ax.figure.bbox.x1


def test_cells_behind(adata):
    adata.uns["clusters_colors"] = ["#ff0000", "#0000ff"]
    ax = plot_random_walks(adata, WALKS, color="clusters", show=False, alpha=1)
    assert_allclose(
        ax.collections[0].get_facecolors(), [to_rgba(c) for c in ["#ff0000"] * 2 + ["#0000ff"] * 3]
    )
    assert ax.get_title() == "clusters"
    grey = plot_random_walks(adata, WALKS, color="none", show=False, alpha=1)
    assert_allclose(grey.collections[0].get_facecolors()[0], to_rgba("lightgrey"))
    assert grey.get_title() == ""


def test_file_and_axes(adata, tmp_path):
    _, ax = plt.subplots()
    assert plot_random_walks(adata, WALKS, ax=ax, save=tmp_path / "walks") is ax
    assert (tmp_path / "walks.png").exists()


def test_input_is_not_changed(adata):
    before = adata.copy()
    walks = [w.copy() for w in WALKS]
    plot_random_walks(adata, walks, color="clusters", show=False)
    assert list(adata.uns) == list(before.uns)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    for a, b in zip(walks, WALKS, strict=True):
        assert_array_equal(a, b)


def test_refuses(adata):
    with pytest.raises(InvalidDataError, match="at least 1 walk"):
        plot_random_walks(adata, [])
    with pytest.raises(InvalidIndexError, match="Walk 1 visits cell 5, but there are 5"):
        plot_random_walks(adata, [[0], [5]])
    with pytest.raises(InvalidDataError, match="walk 0"):
        plot_random_walks(adata, [np.array([], dtype=int)])
    with pytest.raises(InvalidDataError, match="walk 0"):
        plot_random_walks(adata, [[0.5, 1.0]])
    with pytest.raises(InvalidIndexError, match="stop_ixs"):
        plot_random_walks(adata, WALKS, stop_ixs=[9])
    with pytest.raises(InvalidOptionError, match="Did you mean 'gnuplot'"):
        plot_random_walks(adata, WALKS, cmap="gnuplt")
    with pytest.raises(KeyError, match="Unable to find a basis in"):
        plot_random_walks(adata, WALKS, basis="tsne")
    with pytest.raises(ValueError, match="Invalid legend position"):
        plot_random_walks(adata, WALKS, ixs_legend_loc="somewhere")
    with pytest.raises(InvalidTypeError, match="Did you mean 'legend_loc'"):
        plot_random_walks(adata, WALKS, legend_location="right")
    assert plt.get_fignums() == []
