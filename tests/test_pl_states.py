"""Cells of states and their memberships, on an embedding and along time."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.lineage import Lineage
from ferrocyte.pl import merge_states, plot_states, states_frame
from ferrocyte.pl._state_panels import blend
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgb, to_rgba
from numpy.testing import assert_allclose, assert_array_equal

RED, BLUE, GREEN = "#ff0000", "#0000ff", "#00ff00"
COLORS = {"a": RED, "b": BLUE}
GREY = "#d3d3d3"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    """Six cells on a line, in two clusters."""
    obs = pd.DataFrame(
        {"clusters": pd.Categorical(list("xxxyyy")), "t": np.arange(6) / 4, "n": np.arange(6.0)},
        index=[f"c{i}" for i in range(6)],
    )
    adata = ad.AnnData(np.arange(12, dtype="float32").reshape(6, 2), obs=obs)
    adata.var_names = ["g", "h"]
    adata.obsm["X_umap"] = np.c_[np.arange(6.0), np.arange(6.0) ** 2]
    adata.obsm["pca"] = np.arange(18.0).reshape(6, 3)
    adata.uns["clusters_colors"] = ["#111111", "#222222"]
    return adata


@pytest.fixture
def states(adata):
    """Cells 0 and 1 are in a, cell 5 in b."""
    return pd.Series(pd.Categorical(["a", "a", None, None, None, "b"]), index=adata.obs_names)


@pytest.fixture
def chi():
    a = np.array([1, 0.75, 0.5, 0.5, 0.25, 0])
    return Lineage(np.c_[a, 1 - a], names=["a", "b"], colors=[RED, BLUE])


def points(ax):
    """The largest collection: the cells."""
    return max(
        (c for c in ax.collections if isinstance(c, PathCollection)), key=lambda c: len(c.get_offsets())
    )


def by_place(ax):
    """Hex colour of the cell at each x."""
    cells = points(ax)
    colors = np.broadcast_to(cells.get_facecolors(), (len(cells.get_offsets()), 4))
    return {float(x): to_hex(c) for x, c in zip(cells.get_offsets()[:, 0], colors, strict=True)}


def names_on(ax):
    return sorted(t.get_text() for t in ax.texts)


def bars(axes):
    return [ax for ax in np.ravel(axes)[0].figure.axes if ax.get_label() == "<colorbar>"]


# The numbers ------------------------------------------------------------------------------------------


def test_table_of_states(adata, states):
    table = states_frame(adata, states)
    assert table.columns.tolist() == ["umap1", "umap2", "state"]
    assert table.index.tolist() == adata.obs_names.tolist()
    assert_array_equal(table[["umap1", "umap2"]], adata.obsm["X_umap"])
    assert table["state"].tolist()[:2] == ["a", "a"]
    assert table["state"].isna().sum() == 3
    only = states_frame(adata, states, subset="b", time_key="t")
    assert only.columns.tolist() == ["t", "state"]
    assert only["state"].cat.categories.tolist() == ["b"]
    assert only["state"].notna().sum() == 1
    assert states_frame(adata, states, basis="pca", components="1,3").columns.tolist() == [
        "pca1",
        "pca3",
        "state",
    ]


def test_table_of_memberships(adata, chi):
    table = states_frame(adata, chi, subset=["b", "a"])
    assert table.columns.tolist() == ["umap1", "umap2", "b", "a"]
    assert_array_equal(table[["b", "a"]], chi.X[:, ::-1])
    assert_array_equal(states_frame(adata, chi, subset="a, b", time_key="t")["a, b"], np.ones(6))


def test_what_is_not_there(adata, states, chi):
    with pytest.raises(MissingDataError, match="Unable to find a basis in"):
        states_frame(adata, states, basis="tsne")
    with pytest.raises(MissingDataError, match=r"No time in `adata.obs\['when'\]`"):
        states_frame(adata, states, time_key="when")
    with pytest.raises(InvalidOptionError, match=r"Invalid state 'c'.*'a', 'b'"):
        states_frame(adata, states, subset=["a", "c"])
    with pytest.raises(InvalidOptionError, match="at least 1 state"):
        states_frame(adata, states, subset=[])
    with pytest.raises(InvalidOptionError, match="at least 1 state"):
        states_frame(adata, chi, subset=[])
    with pytest.raises(KeyError, match="Invalid lineage name"):
        states_frame(adata, chi, subset="c")
    with pytest.raises(InvalidDataError, match="6 cells, found 4"):
        states_frame(adata, states[:4])
    adata.obs["t"] = [0, 1, 2, np.nan, 4, 5]
    with pytest.raises(InvalidDataError, match="'c3'"):
        states_frame(adata, chi, time_key="t")


def test_two_sets_of_states_as_one(states):
    """Cell 5 is initial and terminal: it counts as terminal."""
    initial = pd.Series(pd.Categorical([None, None, None, None, "z", "z"]), index=states.index)
    merged, colors = merge_states((initial, {"z": GREEN}), (states, COLORS))
    assert merged.tolist()[:2] == ["terminal: a", "terminal: a"]
    assert merged.tolist()[4:] == ["initial: z", "terminal: b"]
    assert merged.isna().tolist() == [False, False, True, True, False, False]
    assert colors == {"initial: z": GREEN, "terminal: a": RED, "terminal: b": BLUE}
    assert merged.cat.categories.tolist() == list(colors)


def test_blended_colours():
    """Half way from 1/2 to 1: half grey, half the colour of the larger value."""
    colors, strength = blend(np.array([[1, 0], [0.25, 0.75], [0.5, 0.5]]), [RED, BLUE], 0.5, 1.0)
    assert_allclose(strength, [1, 0.5, 0])
    grey = np.array(to_rgb("#d9d9d9"))
    assert_allclose(colors, [to_rgb(RED), (grey + to_rgb(BLUE)) / 2, grey])


# Cells of states ----------------------------------------------------------------------------------------


def test_states_in_one_panel(adata, states):
    ax = plot_states(adata, states, colors=COLORS, name="all states", show=False)
    assert by_place(ax) == {0: RED, 1: RED, 2: GREY, 3: GREY, 4: GREY, 5: BLUE}
    assert names_on(ax) == ["a", "b"]
    assert ax.get_title() == "all states"
    sizes = dict(zip(points(ax).get_offsets()[:, 0], points(ax).get_sizes(), strict=True))
    assert sizes[0] > sizes[2]
    rims = dict(zip(points(ax).get_offsets()[:, 0], points(ax).get_linewidths(), strict=True))
    assert rims[0] > 0 == rims[2]


def test_cells_of_no_state_are_below(adata, states):
    ax = plot_states(adata, states, colors=COLORS, show=False)
    assert points(ax).get_offsets()[:, 0].tolist() == [2, 3, 4, 0, 1, 5]


def test_some_states(adata, states):
    ax = plot_states(adata, states, colors=COLORS, subset="b", show=False)
    assert by_place(ax) == {**dict.fromkeys(range(5), GREY), 5: BLUE}


def test_a_panel_per_state(adata, states):
    axes = plot_states(adata, states, colors=COLORS, same_plot=False, name="all states", show=False)
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    assert by_place(axes[0]) == {0: RED, 1: RED, **dict.fromkeys(range(2, 6), GREY)}
    assert by_place(axes[1]) == {**dict.fromkeys(range(5), GREY), 5: BLUE}
    assert axes[0].figure.get_suptitle() == "all states"


def test_panels_of_keys_come_first(adata, states):
    axes = plot_states(adata, states, colors=COLORS, color=["clusters", "n"], name="all states", show=False)
    assert [ax.get_title() for ax in axes] == ["clusters", "n", "all states"]
    assert by_place(axes[0]) == {
        **dict.fromkeys(range(3), "#111111"),
        **dict.fromkeys(range(3, 6), "#222222"),
    }
    assert_array_equal(points(axes[1]).get_array(), np.arange(6))
    axes = plot_states(adata, states, color="g", same_plot=False, show=False)
    assert [ax.get_title() for ax in axes] == ["g", "a", "b"]


def test_colours_by_default_and_by_palette(adata, states):
    assert by_place(plot_states(adata, states, show=False))[5] == "#ff7f0e"
    # also of a state that is drawn alone
    assert by_place(plot_states(adata, states, subset="b", show=False))[5] == "#ff7f0e"
    ax = plot_states(adata, states, palette={"a": GREEN, "b": "#123456"}, show=False)
    assert by_place(ax)[5] == "#123456"
    with pytest.raises(InvalidOptionError, match="none for"):
        plot_states(adata, states, colors={"a": RED})


@pytest.mark.parametrize("loc", ["right", "right margin", "upper left", "lower center out"])
def test_legend(adata, states, chi, loc):
    for values in (states, chi):
        ax = plot_states(adata, values, colors=COLORS, legend_loc=loc, show=False)
        legend = ax.get_legend()
        assert [t.get_text() for t in legend.get_texts()] == ["a", "b"]
        assert [to_hex(h.get_color()) for h in legend.legend_handles] == [RED, BLUE]
        assert names_on(ax) == []
        ax.figure.draw_without_rendering()
        box = legend.get_window_extent()
        assert box.x1 <= ax.figure.bbox.x1 + 1
        assert box.y0 >= -1


def test_no_legend(adata, states, chi):
    for values in (states, chi):
        for loc in (None, "none"):
            ax = plot_states(adata, values, legend_loc=loc, show=False)
            assert ax.get_legend() is None
            assert names_on(ax) == []


# Memberships --------------------------------------------------------------------------------------------


def test_memberships_in_one_panel(adata, chi):
    """Grey at one half, since there are two states; full at the largest value, 1."""
    ax = plot_states(adata, chi, name="memberships", color="clusters", show=False)
    found = by_place(ax)
    assert found[0] == RED
    assert found[5] == BLUE
    assert found[2] == found[3] == "#d9d9d9"
    assert found[1] == to_hex((np.array(to_rgb("#d9d9d9")) + to_rgb(RED)) / 2)
    assert names_on(ax) == ["a", "b"]
    assert ax.get_title() == "memberships"  # one panel: no `color`


def test_limits_of_memberships_in_one_panel(adata, chi):
    grey = np.array(to_rgb("#d9d9d9"))
    found = by_place(plot_states(adata, chi, vmin=0, vmax=1, show=False))
    assert found[1] == to_hex(0.25 * grey + 0.75 * np.array(to_rgb(RED)))
    # 0 and 100 percent of the largest membership of each cell are 1/2 and 1
    found = by_place(plot_states(adata, chi, perc=[0, 100], show=False))
    assert found[1] == to_hex((grey + to_rgb(RED)) / 2)


def test_strong_cells_are_on_top(adata, chi):
    ax = plot_states(adata, chi, show=False)
    assert set(points(ax).get_offsets()[-2:, 0]) == {0, 5}


def test_one_lineage_is_grey_at_zero(adata, chi):
    found = by_place(plot_states(adata, chi, subset="a", show=False))
    assert found[0] == RED
    assert found[5] == "#d9d9d9"


def test_memberships_in_panels(adata, chi):
    axes = plot_states(adata, chi, same_plot=False, color="clusters", cmap="magma", name="fates", show=False)
    assert [ax.get_title() for ax in axes] == ["clusters", "a", "b"]
    shown = points(axes[1])
    values = dict(zip(shown.get_offsets()[:, 0], shown.get_array(), strict=True))
    assert values == dict(zip(range(6), chi.X[:, 0], strict=True))
    assert shown.get_cmap().name == "magma"
    assert len(bars(axes)) == 2
    assert axes[0].figure.get_suptitle() == "fates"
    plain = plot_states(adata, chi, same_plot=False, vmin=0.25, vmax=0.5, colorbar=False, show=False)
    assert points(plain[1]).get_clim() == (0.25, 0.5)
    assert bars(plain) == []
    perc = plot_states(adata, chi, same_plot=False, perc=[20, 80], show=False)
    assert_allclose(points(perc[0]).get_clim(), np.percentile(chi.X[:, 0], [20, 80]))


def test_merged_lineages(adata, chi):
    ax = plot_states(adata, chi, subset=["a, b"], same_plot=False, show=False)
    assert ax.get_title() == "a, b"
    assert_array_equal(points(ax).get_array(), np.ones(6))


# Along time ---------------------------------------------------------------------------------------------


def test_memberships_along_time(adata, chi):
    axes = plot_states(adata, chi, mode="time", time_key="t", name="fates", show=False)
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    assert_array_equal(points(axes[1]).get_offsets(), np.c_[adata.obs["t"], chi.X[:, 1]])
    assert {ax.get_xlabel() for ax in axes} == {"t"}
    assert {ax.get_ylabel() for ax in axes} == {"probability"}
    # the clusters, by default, with one legend for both panels
    assert list(by_place(axes[0]).values()) == ["#111111"] * 3 + ["#222222"] * 3
    assert [ax.get_legend() for ax in axes] == [None, None]
    (legend,) = axes[0].figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["x", "y"]


def test_colours_along_time(adata, chi):
    axes = plot_states(adata, chi, mode="time", time_key="t", color="n", show=False)
    assert_array_equal(points(axes[0]).get_array(), np.arange(6))
    assert len(bars(axes)) == 1
    assert axes[0].figure.legends == []
    del adata.obs["clusters"]
    axes = plot_states(adata, chi, mode="time", time_key="t", show=False)
    assert [set(by_place(ax).values()) for ax in axes] == [{RED}, {BLUE}]
    one = plot_states(adata, chi, subset="a", mode="time", time_key="t", color="n", ylabel="y", show=False)
    assert one.get_ylabel() == "y"
    assert (
        plot_states(adata, chi, subset="a", mode="time", time_key="t", legend_loc=None).get_legend() is None
    )


def test_names_are_not_on_the_data_along_time(adata, states, chi):
    axes = plot_states(adata, chi, mode="time", time_key="t", legend_loc="on data", show=False)
    assert len(axes[0].figure.legends) == 1
    ax = plot_states(
        adata, states, mode="time", time_key="t", color="clusters", legend_loc="on data", show=False
    )
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x", "y"]


def test_states_along_time(adata, states):
    ax = plot_states(adata, states, colors=COLORS, mode="time", time_key="t", name="all states", show=False)
    cells = points(ax)
    assert cells.get_offsets()[:, 0].tolist() == [0, 0.25, 1.25]
    assert np.round(cells.get_offsets()[:, 1]).tolist() == [0, 0, 1]
    assert [to_hex(c) for c in cells.get_facecolors()] == [RED, RED, BLUE]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first state on top
    assert ax.get_xlim()[0] <= 0 < 1.25 <= ax.get_xlim()[1]
    again = plot_states(adata, states, mode="time", time_key="t", color="clusters", show=False)
    assert_array_equal(points(again).get_offsets(), cells.get_offsets())
    assert [to_hex(c) for c in points(again).get_facecolors()] == ["#111111", "#111111", "#222222"]


def test_time_needs_a_key(adata, chi):
    with pytest.raises(MissingDataError, match="time_key"):
        plot_states(adata, chi, mode="time")
    with pytest.raises(InvalidOptionError, match="Invalid option 'tyme' for `mode`"):
        plot_states(adata, chi, mode="tyme")


# Frame, file ----------------------------------------------------------------------------------------------


def test_titles(adata, chi, states):
    assert plot_states(adata, states, title="T", show=False).get_title() == "T"
    axes = plot_states(adata, chi, same_plot=False, title="T", show=False)
    assert axes[0].figure.get_suptitle() == "T"
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    axes = plot_states(adata, chi, same_plot=False, title=["one", "two"], color="n", name="x", show=False)
    assert [ax.get_title() for ax in axes] == ["n", "one", "two"]
    assert axes[0].figure.get_suptitle() == ""
    with pytest.raises(InvalidOptionError, match="`title` to have 2 titles, found 3"):
        plot_states(adata, chi, same_plot=False, title=["one", "two", "three"])


def test_size_columns_and_file(adata, chi, tmp_path):
    axes = plot_states(
        adata, chi, same_plot=False, ncols=1, figsize=(3, 5), dpi=60, s=9, alpha=0.5, save=tmp_path / "fates"
    )
    assert axes[0].get_position().x0 == axes[1].get_position().x0
    assert axes[0].figure.get_size_inches().tolist() == [3, 5]
    assert set(points(axes[0]).get_sizes()) == {9}
    assert points(axes[0]).get_alpha() == 0.5
    assert (tmp_path / "fates.png").exists()


def test_axes_of_ones_own(adata, chi, states):
    _, mine = plt.subplots()
    assert plot_states(adata, states, ax=mine, show=False) is mine
    with pytest.raises(InvalidOptionError, match="one panel for one `ax`, found 2"):
        plot_states(adata, chi, same_plot=False, ax=mine)


def test_frame(adata, states):
    assert not any(s.get_visible() for s in plot_states(adata, states, show=False).spines.values())
    ax = plot_states(adata, states, frameon=True, components="2,1", show=False)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP2", "UMAP1")
    assert set(by_place(ax)) == {0, 1, 4, 9, 16, 25}
    ax = plot_states(adata, states, xlim=(0, 2), xlabel="left to right", show=False)
    assert ax.get_xlim() == (0, 2)
    assert [t.get_text() for t in ax.texts if t.get_visible()] == ["a"]  # b lies outside
    assert ax.get_xlabel() == "left to right"


def test_groups_and_other_grey(adata, states):
    found = by_place(plot_states(adata, states, colors=COLORS, groups=["a"], na_color="#eeeeee", show=False))
    assert found == {0: RED, 1: RED, **dict.fromkeys(range(2, 6), "#eeeeee")}
    with pytest.raises(InvalidOptionError, match="'c' in the states"):
        plot_states(adata, states, groups="c")


def test_unknown_keywords(adata, states):
    with pytest.raises(InvalidTypeError, match="legend_loc"):
        plot_states(adata, states, legend_lok="right")
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "wrong", [{"color": "nobody"}, {"legend_loc": "here"}, {"basis": "tsne"}, {"cmap": "no"}]
)
def test_failures_leave_no_figure(adata, states, wrong):
    with pytest.raises((MissingDataError, InvalidOptionError)):
        plot_states(adata, states, **wrong)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("mode", ["embedding", "time"])
@pytest.mark.parametrize("same_plot", [True, False])
def test_data_are_not_changed(adata, states, chi, mode, same_plot):
    before = adata.copy()
    for values in (states, chi):
        plot_states(adata, values, color="clusters", mode=mode, time_key="t", same_plot=same_plot, show=False)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns) == list(before.uns)
    assert list(adata.obsm) == list(before.obsm)


def test_cells_without_coordinates_are_left_out(adata, states, chi):
    adata.obsm["X_umap"][0] = np.nan
    for values in (states, chi):
        ax = plot_states(adata, values, colors=COLORS, show=False)
        ax.figure.draw_without_rendering()
        assert np.isfinite(ax.get_xlim()).all()


def test_values_that_are_missing_are_grey(adata, chi):
    chi.X[2] = np.nan
    found = by_place(plot_states(adata, chi, show=False))
    assert found[2] == "#d9d9d9"
    axes = plot_states(adata, chi, same_plot=False, show=False)
    missing = [c for c in axes[0].collections if len(c.get_offsets()) == 1]
    assert_allclose(missing[0].get_facecolors()[0], to_rgba(GREY))
