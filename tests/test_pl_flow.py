"""Flow figures: a chain of cells solved by hand, the lanes and bands drawn from it, every refusal."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.pl.flow import compute_flow, flow_edges, plot_single_flow, time_categories
from numpy.testing import assert_allclose

# Cells 0 and 1 at day 1, cells 2 to 4 at day 2, cell 5 at day 4.5.
T = np.array(
    [
        [0.5, 0.0, 0.2, 0.3, 0.0, 0.0],
        [0.0, 0.4, 0.6, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.5, 0.5],
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def obs():
    return pd.DataFrame(
        {"cluster": pd.Categorical(list("ababca")), "day": [1, 1, 2, 2, 2, 4.5]},
        index=[f"c{i}" for i in range(6)],
    )


def legend(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()] if ax.get_legend() else []


def bands(ax):
    return [i.get_gid() for i in ax.images]


class TestCompute:
    @pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array, sp.coo_matrix, sp.csc_array])
    def test_by_hand(self, obs, form):
        """From `a` at day 1 (cell 0): 0.2 to a (cell 2), 0.3 to b (cell 3), of 0.5 in all: 0.4 and 0.6.

        From `a` at day 2 (cell 2): everything to cell 5, which is `a`.
        """
        tables = compute_flow(form(T), obs, "a", "cluster", "day")
        assert list(tables.flow.columns) == ["a", "b", "c"]
        assert tables.flow.index.tolist() == [(1.0, 2.0), (2.0, 4.5)]
        assert_allclose(tables.flow.to_numpy(), [[0.4, 0.6, 0], [1, 0, 0]], atol=1e-15)
        third = 1 / 3
        assert_allclose(tables.contingency.to_numpy(), [[0.5, 0.5, 0], [third] * 3, [1, 0, 0]])
        assert tables.contingency.index.tolist() == [1.0, 2.0, 4.5]

    def test_four_cells_in_a_row(self):
        """0 -> 1 -> 2 -> 3, one cell a day, clusters p p q q: p flows wholly to p, then wholly to q."""
        chain = np.eye(4, k=1)
        chain[3, 3] = 1
        obs = pd.DataFrame({"k": pd.Categorical(list("ppqq")), "d": [0, 1, 2, 3]})
        tables = compute_flow(chain, obs, "p", "k", "d")
        # At day 2 there is no cell of p any more: nothing flows, which is zero and not missing.
        assert_allclose(tables.flow.to_numpy(), [[1, 0], [0, 1], [0, 0]])
        assert_allclose(tables.contingency.to_numpy(), [[1, 0], [1, 0], [0, 1], [0, 1]])

    def test_chosen_clusters_in_their_order(self, obs):
        """Without b, all that leaves cell 0 for chosen cells arrives in a; shares are of chosen cells."""
        tables = compute_flow(T, obs, "a", "cluster", "day", clusters=["c", "a", "nope"])
        assert list(tables.flow.columns) == ["a", "c"]
        assert_allclose(tables.flow.to_numpy(), [[1, 0], [1, 0]])
        assert_allclose(tables.contingency.to_numpy(), [[1, 0], [0.5, 0.5], [1, 0]])

    def test_chosen_times(self, obs):
        """Skipping day 2: from cells of b at day 1 to day 4.5 nothing flows; from a neither."""
        tables = compute_flow(T, obs, "b", "cluster", "day", time_points=[4.5, 1, 99])
        assert tables.flow.index.tolist() == [(1.0, 4.5)]
        assert_allclose(tables.flow.to_numpy(), 0)

    @pytest.mark.parametrize(
        "times",
        [
            pd.Categorical(["10", "10", "9", "9", "9", "11"]),
            np.array(["10", "10", "9", "9", "9", "11"], dtype=object),
            pd.Categorical([10.0, 10, 9, 9, 9, 11]),
            np.array([10, 10, 9, 9, 9, 11], dtype="int8"),
            pd.array([10, 10, 9, 9, 9, 11], dtype="Int64"),
            pd.Categorical([10, 10, 9, 9, 9, 11]),
            np.array([10, 10, 9, 9, 9, 11], dtype="float32"),
        ],
    )
    def test_times_are_ordered_as_numbers(self, obs, times):
        obs["day"] = times
        tables = compute_flow(T, obs, "a", "cluster", "day")
        assert tables.contingency.index.tolist() == [9, 10, 11]
        assert tables.times.ordered
        assert np.asarray(tables.times).astype(float).tolist() == [10, 10, 9, 9, 9, 11]

    def test_input_is_not_changed(self, obs):
        before, matrix = obs.copy(), sp.csr_matrix(T)
        compute_flow(matrix, obs, "a", "cluster", "day")
        pd.testing.assert_frame_equal(obs, before)
        assert_allclose(matrix.toarray(), T)

    def test_cells_without_cluster_are_left_out(self, obs):
        obs.loc["c3", "cluster"] = None
        tables = compute_flow(T, obs, "a", "cluster", "day")
        assert_allclose(tables.flow.to_numpy()[0], [1, 0, 0])
        assert_allclose(tables.contingency.to_numpy()[1], [0.5, 0, 0.5])

    def test_order_of_cells_does_not_matter(self, obs):
        order = [3, 5, 0, 2, 4, 1]
        a = compute_flow(T, obs, "a", "cluster", "day")
        b = compute_flow(T[np.ix_(order, order)], obs.iloc[order], "a", "cluster", "day")
        pd.testing.assert_frame_equal(a.flow, b.flow)
        pd.testing.assert_frame_equal(a.contingency, b.contingency)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"cluster_key": "foo"}, MissingDataError, r"Unable to find clusters in `adata.obs\['foo'\]`"),
            ({"cluster": "z"}, InvalidOptionError, "Invalid source cluster"),
            ({"clusters": []}, InvalidOptionError, "Expected at least `2` clusters"),
            ({"clusters": ["a"]}, InvalidOptionError, "Expected at least `2` clusters"),
            ({"clusters": ["y", "z"]}, InvalidOptionError, "Expected at least `2` clusters"),
            (
                {"cluster": "z", "clusters": ["y"]},
                InvalidOptionError,
                "No valid clusters have been selected.",
            ),
            ({"cluster": "z", "clusters": ["a", "b"]}, InvalidOptionError, "Invalid source cluster"),
            ({"time_key": "foo"}, MissingDataError, r"Unable to find data in `adata.obs\['foo'\]`\."),
            ({"time_points": [1]}, InvalidOptionError, "Expected at least `2` time points"),
            ({"time_points": []}, InvalidOptionError, "Expected at least `2` time points"),
            ({"time_points": [7, 8]}, InvalidOptionError, "No valid time points"),
            ({"time_points": [1, 8]}, InvalidOptionError, "Expected at least `2` time points"),
            ({"time_points": ["x", "y"]}, InvalidTypeError, "Unable to convert"),
            ({"cluster_key": "day", "cluster": 1.0}, InvalidTypeError, "to be categorical"),
        ],
    )
    def test_arguments(self, obs, change, error, says):
        arguments = {"cluster": "a", "cluster_key": "cluster", "time_key": "day"} | change
        with pytest.raises(error, match=says):
            compute_flow(T, obs, **arguments)

    @pytest.mark.parametrize(
        ("times", "error", "says"),
        [
            (list("xxyyyz"), InvalidTypeError, r"Unable to convert .* to `float`\."),
            (pd.Categorical(list("xxyyyz")), InvalidTypeError, r"Unable to convert .* to `float`\."),
            (pd.date_range("2020-01-01", periods=6), InvalidTypeError, r"Unable to convert .* to `float`\."),
            ([1.0] * 6, InvalidDataError, "Expected at least `2` time points, found `1`"),
            ([1, 1, 2, 2, 2, np.nan], InvalidDataError, "1 cells, first 'c5'"),
            (pd.Categorical(["1", "1", "2", "2", "2", None]), InvalidDataError, "1 cells, first 'c5'"),
            (pd.Categorical([1, 1, 2, 2, 2, None]), InvalidDataError, "1 cells, first 'c5'"),
            (
                np.array(["1", "1", "2", "2", "2", None], dtype=object),
                InvalidDataError,
                "1 cells, first 'c5'",
            ),
            (pd.array([1, 1, 2, 2, 2, None], dtype="Int64"), InvalidDataError, "1 cells, first 'c5'"),
            ([1, 1, 2, 2, 2, np.inf], InvalidDataError, "finite"),
        ],
    )
    def test_times(self, obs, times, error, says):
        obs["day"] = times
        with pytest.raises(error, match=says):
            compute_flow(T, obs, "a", "cluster", "day")

    def test_too_many_times(self):
        with pytest.raises(InvalidDataError, match="at most 100 different times, found 101"):
            time_categories(pd.DataFrame({"t": range(101)}), "t")
        assert len(time_categories(pd.DataFrame({"t": range(100)}), "t").categories) == 100

    def test_shape(self, obs):
        with pytest.raises(InvalidDataError, match=r"\(6, 6\)"):
            compute_flow(T[:5, :5], obs, "a", "cluster", "day")


class TestDraw:
    @pytest.fixture
    def tables(self, obs):
        return compute_flow(T, obs, "a", "cluster", "day")

    def test_edges(self, tables):
        """0.6 of the flow of a, which is half of day 1: a band 0.3 wide, less than the third of b."""
        edges = flow_edges(tables)
        assert edges[["t1", "t2", "target"]].to_numpy().tolist() == [[1.0, 2.0, "b"]]
        assert_allclose(edges[["flow", "width_start", "width_end"]].to_numpy(), [[0.6, 0.3, 0.3]])
        assert flow_edges(tables, min_flow=0.6).empty

    def test_lanes_and_bands(self, tables):
        ax = plot_single_flow(tables, show=False)
        assert legend(ax) == ["b", "a"]  # c receives nothing
        assert bands(ax) == ["band-b"]
        assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("day", "cluster", "a")
        assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "4.5"]

    def test_lanes_are_as_wide_as_their_share(self, tables):
        """Lane of a: half at day 1, a third at day 2, all at day 4.5; never wider in between."""
        ax = plot_single_flow(tables, show=False)
        lane = next(c for c in ax.collections if c.get_label() == "a")
        points = lane.get_paths()[0].vertices
        for day, share in [(1, 0.5), (2, 1 / 3), (4.5, 1)]:
            at = points[np.isclose(points[:, 0], day), 1]
            assert_allclose(np.ptp(at), share, atol=1e-12)
        x = np.unique(points[:, 0])
        widths = [np.ptp(points[points[:, 0] == v, 1]) for v in x]
        assert max(widths) <= 1 + 1e-12

    def test_the_band_starts_and_ends_in_its_lanes(self, tables):
        ax = plot_single_flow(tables, show=False)
        (band,) = ax.patches
        outline = band.get_xy()
        lanes = {
            c.get_label(): c.get_paths()[0].vertices for c in ax.collections if c.get_label() in ("a", "b")
        }
        for day, name in [(1, "a"), (2, "b")]:
            lane = lanes[name][np.isclose(lanes[name][:, 0], day), 1]
            edge = outline[np.isclose(outline[:, 0], day), 1]
            assert_allclose(np.ptp(edge), 0.3, atol=1e-12)
            assert lane.min() - 1e-9 <= edge.min()
            assert edge.max() <= lane.max() + 1e-9

    def test_empty_clusters_and_order(self, tables):
        everything = plot_single_flow(tables, remove_empty_clusters=False, ascending=None, show=False)
        assert legend(everything) == ["a", "b", "c"]
        # Most flow next to the source, or least.
        near = legend(plot_single_flow(tables, remove_empty_clusters=False, show=False))
        far = legend(plot_single_flow(tables, remove_empty_clusters=False, ascending=True, show=False))
        assert near == ["b", "a", "c"]
        assert far == ["c", "a", "b"]

    def test_min_flow(self, tables):
        assert bands(plot_single_flow(tables, min_flow=0.7, show=False)) == []
        with pytest.raises(InvalidOptionError, match="After removing clusters with no"):
            plot_single_flow(tables, min_flow=1.0)
        ax = plot_single_flow(tables, min_flow=1.0, remove_empty_clusters=False, show=False)
        assert bands(ax) == []
        assert len(legend(ax)) == 3

    def test_colours(self, tables, obs):
        adata = ad.AnnData(np.zeros((6, 1), dtype="float32"), obs=obs)
        adata.uns["cluster_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
        ax = plot_single_flow(tables, adata, alpha=1, show=False)
        assert [mpl.colors.to_hex(p.get_facecolor()) for p in ax.get_legend().get_patches()] == [
            "#00ff00",
            "#ff0000",
        ]
        ax = plot_single_flow(tables, adata, colors={"a": "black"}, alpha=1, show=False)
        assert mpl.colors.to_hex(ax.get_legend().get_patches()[1].get_facecolor()) == "#000000"

    def test_legend_and_ticks(self, tables):
        ax = plot_single_flow(tables, legend_loc=None, xticks_step_size=None, show=False)
        assert legend(ax) == []
        assert list(ax.get_xticks()) == []
        ax = plot_single_flow(tables, legend_loc="none", xticks_step_size=2, show=False)
        assert list(ax.get_xticks()) == [1.0, 4.5]
        with pytest.raises(ValueError, match="Invalid legend position"):
            plot_single_flow(tables, legend_loc="center center out")
        with pytest.raises(ValueError, match="xticks_step_size"):
            plot_single_flow(tables, xticks_step_size=0)

    def test_nothing_is_cut_off(self, tables, tmp_path):
        """A narrow figure keeps legend, labels and lanes inside."""
        ax = plot_single_flow(tables, figsize=(3.5, 2.5), show=False, save=tmp_path / "new" / "flow")
        assert (tmp_path / "new" / "flow.png").exists()
        ax.figure.draw_without_rendering()
        box, canvas = ax.get_legend().get_window_extent(), ax.figure.bbox
        assert canvas.x0 <= box.x0
        assert box.x1 <= canvas.x1 + 1
        assert ax.get_window_extent().width > 0.4 * canvas.width

    def test_own_axes(self, tables):
        _, ax = plt.subplots()
        assert plot_single_flow(tables, ax=ax) is ax
