"""Projection figures: grids solved on paper, the scale of matplotlib's quiver, colours, legends, files."""

from __future__ import annotations

import io
import warnings

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._colors import category_palette
from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.pl import _common, _keywords
from ferrocyte.pl.projection import plot_projection, quiver_scale, vector_grid
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from matplotlib.quiver import Quiver
from numpy.testing import assert_allclose, assert_array_equal


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def lattice():
    """Cells on the points (i, j), 0 <= i, j <= 20, rotating around the middle: v = (-(y - 10), x - 10)."""
    xy = np.stack(np.meshgrid(np.arange(21.0), np.arange(21.0)), axis=-1).reshape(-1, 2)
    return xy, np.c_[-(xy[:, 1] - 10), xy[:, 0] - 10]


@pytest.fixture
def cells(lattice):
    xy, uv = lattice
    names = np.array(["left", "right"])[(xy[:, 0] > 10).astype(int)]
    obs = pd.DataFrame(
        {"clusters": pd.Categorical(names), "time": xy[:, 0]}, index=[f"c{i}" for i in range(len(xy))]
    )
    adata = ad.AnnData(np.c_[xy[:, 1], xy[:, 0]].astype("float32"), obs=obs)
    adata.var_names = ["Actb", "Gapdh"]
    adata.obsm["X_umap"] = xy
    return adata, uv


def quiver_of_matplotlib(xy, uv):
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.use("Agg")
        figure, ax = plt.subplots()
        arrows = ax.quiver(*xy.T, *uv.T, angles="xy", scale_units="xy", scale=None)
        figure.draw_without_rendering()
        return arrows.scale


class TestQuiverScale:
    def test_by_hand(self):
        """Four cells on the unit square, arrows (1, 0): axes span 1.1, so a length is 1/1.1 of the width.

        Fewer than 100 arrows count as 100, whose root is 10: 1.8 * 10 / 1.1.
        """
        xy = np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]])
        assert_allclose(quiver_scale(xy, np.tile([1.0, 0.0], (4, 1))), 18 / 1.1, rtol=1e-14)

    @pytest.mark.parametrize("n_cells", [3, 100, 437])
    def test_is_that_of_matplotlib(self, n_cells):
        rng = np.random.default_rng(n_cells)
        xy, uv = rng.normal([3, -40], [2, 15], (n_cells, 2)), rng.normal(size=(n_cells, 2))
        assert_allclose(quiver_scale(xy, uv), quiver_of_matplotlib(xy, uv), rtol=1e-9)

    @pytest.mark.parametrize("line", [0.0, 7.0, -7.0])
    def test_cells_on_a_line(self, line):
        xy = np.c_[np.arange(5.0), np.full(5, line)]
        uv = np.c_[np.ones(5), np.arange(5.0)]
        assert_allclose(quiver_scale(xy, uv), quiver_of_matplotlib(xy, uv), rtol=1e-9)

    def test_missing_vectors(self):
        rng = np.random.default_rng(0)
        xy, uv = rng.normal(size=(150, 2)), rng.normal(size=(150, 2))
        uv[[3, 77]] = np.nan
        assert_allclose(quiver_scale(xy, uv), quiver_of_matplotlib(xy, uv), rtol=1e-9)

    def test_cells_without_a_place(self):
        """They change neither the limits nor the mean length, only the number of arrows."""
        rng = np.random.default_rng(0)
        xy, uv = rng.normal(size=(400, 2)), rng.normal(size=(400, 2))
        holes = np.r_[xy, np.full((84, 2), np.nan)]
        with_holes = quiver_scale(holes, np.r_[uv, np.full((84, 2), 1e9)])
        assert_allclose(with_holes, quiver_scale(xy, uv) * 22 / 20, rtol=1e-12)

    def test_settings_have_no_say(self):
        rng = np.random.default_rng(1)
        xy, uv = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
        before = quiver_scale(xy, uv)
        with mpl.rc_context({"figure.figsize": (3, 9), "axes.xmargin": 0.4, "figure.dpi": 31}):
            assert quiver_scale(xy, uv) == before

    def test_nothing_to_draw_can_be_divided_by(self):
        assert quiver_scale(np.eye(2), np.zeros((2, 2))) == 1.0
        assert quiver_scale(np.eye(2), np.full((2, 2), np.nan)) == 1.0

    def test_refuses(self):
        with pytest.raises(InvalidDataError, match=r"found \(2, 3\)"):
            quiver_scale(np.ones((2, 3)), np.ones((2, 2)))
        with pytest.raises(InvalidDataError, match="2 cells and 3 vectors"):
            quiver_scale(np.ones((2, 2)), np.ones((3, 2)))


class TestVectorGrid:
    def test_rotation_keeps_its_symmetry_and_sense(self, lattice):
        """The grid is symmetric about the middle of the lattice, so the mean field is antisymmetric."""
        grid = vector_grid(*lattice, density=0.42, min_mass=0)
        assert grid.u.shape == (21, 21)
        assert_allclose(grid.x[0], -1.0)
        assert_allclose(grid.x[-1], 21.0)
        assert_allclose(grid.u[10, 10], 0, atol=1e-12)
        assert_allclose(grid.v[10, 10], 0, atol=1e-12)
        assert_allclose(grid.u, -grid.u[::-1, ::-1], atol=1e-12)
        assert_allclose(grid.v, -grid.u.T, atol=1e-12)
        # v = (-(y - 10), x - 10) up to what smoothing changes: on a linear field, next to nothing.
        x, y = np.meshgrid(grid.x, grid.y)
        assert_allclose(grid.u[4:-4, 4:-4], -(y - 10)[4:-4, 4:-4], atol=0.15)
        assert_allclose(grid.v[4:-4, 4:-4], (x - 10)[4:-4, 4:-4], atol=0.15)

    def test_two_cells_weighed_by_hand(self):
        """Cells at the ends of a grid diagonal with vectors (1, 0) and (0, 2).

        Cells at (0, 0) and (1, 1), 4 grid points from -0.05 to 1.05: steps of 1.1/3. In steps, cells sit at
        0.05/(1.1/3) = 0.136.. and 3 - 0.136.. on the diagonal; their distance is the spread. The grid point
        (1, 1) is at d1 = 0.8636 sqrt 2 and d2 = 1.8636 sqrt 2 steps of them.
        """
        grid = vector_grid([[0, 0], [1, 1]], [[1, 0], [0, 2]], density=0.08, smooth=0.5, min_mass=0)
        step = 1.1 / 3
        near, far = (1 - 0.05 / step) * np.sqrt(2), (2 - 0.05 / step) * np.sqrt(2)
        width = 0.5 * np.sqrt(2) / step
        # The Gaussian is lowered by its value at four widths and scaled back to 1 in the middle.
        w1, w2 = ((np.exp(-0.5 * (d / width) ** 2) - np.exp(-8)) / (1 - np.exp(-8)) for d in (near, far))
        assert_allclose(grid.mass[1, 1], w1 + w2)
        assert_allclose([grid.u[1, 1], grid.v[1, 1]], [w1 / (w1 + w2), 2 * w2 / (w1 + w2)])

    def test_no_smoothing_is_the_nearest_cell(self):
        xy = np.array([[0.0, 0.0], [10.0, 10.0]])
        grid = vector_grid(xy, [[1, 2], [3, 4]], smooth=0, density=0.42, min_mass=0)
        shown = grid.frame().dropna()
        assert 2 <= len(shown) <= 8
        low = shown[shown.x < 5]
        assert set(low.u) == {1.0}
        assert set(low.v) == {2.0}
        assert set(shown[shown.x > 5].u) == {3.0}

    def test_order_of_cells_does_not_matter(self, lattice):
        xy, uv = lattice
        order = np.random.default_rng(0).permutation(len(xy))
        a, b = (vector_grid(*p, n_neighbors=5) for p in (lattice, (xy[order], uv[order])))
        assert_allclose(a.u, b.u, atol=1e-12, equal_nan=True)

    @pytest.mark.parametrize("option", [{}, {"n_neighbors": 5}, {"smooth": 0}])
    def test_portions_do_not_matter(self, lattice, option, monkeypatch):
        whole = vector_grid(*lattice, **option)
        monkeypatch.setattr("ferrocyte.pl._vector_grid._PAIRS", 1000)
        parts = vector_grid(*lattice, **option)
        assert_allclose(parts.u, whole.u, atol=1e-12, equal_nan=True)
        assert_allclose(parts.mass, whole.mass, atol=1e-12)

    def test_units_do_not_matter(self, lattice):
        """Metres or millimetres, per axis: the same grid points are shown, with the same vectors."""
        xy, uv = lattice
        a, b = vector_grid(xy, uv), vector_grid(xy * [1000, 0.01], uv)
        assert_allclose(a.u, b.u, atol=1e-9, equal_nan=True)

    def test_empty_space_stays_empty(self):
        rng = np.random.default_rng(0)
        xy = np.r_[rng.normal(0, 1, (100, 2)), rng.normal(40, 1, (100, 2))]
        table = vector_grid(xy, np.ones((200, 2))).frame()
        between = table[(table.x.between(10, 30)) & (table.y.between(10, 30))]
        assert len(between) > 50
        assert between.u.isna().all()
        assert table.u.notna().sum() > 20

    def test_more_mass_or_speed_asked_for_shows_less(self, lattice):
        xy, uv = lattice
        shown = [vector_grid(xy, uv, stream=False, min_mass=m).frame().u.notna().sum() for m in (0, 50, 100)]
        assert shown[0] > shown[1] > shown[2] > 0
        strict = vector_grid(xy, uv, cutoff_perc=60).frame()
        loose = vector_grid(xy, uv).frame()
        speed = np.hypot(loose.u, loose.v)
        cut = np.nanpercentile(speed, 60)
        assert_array_equal(strict.u.notna(), speed >= cut)

    def test_cells_without_vector_are_left_out(self, lattice):
        xy, uv = lattice
        bad = uv.copy()
        bad[7] = np.nan
        keep = np.arange(len(xy)) != 7
        assert_array_equal(vector_grid(xy, bad).u, vector_grid(xy[keep], uv[keep]).u)

    @pytest.mark.parametrize(
        "option", [{"density": 0}, {"smooth": -1}, {"min_mass": 6}, {"n_neighbors": 0}, {"cutoff_perc": 101}]
    )
    def test_refuses(self, lattice, option):
        with pytest.raises(InvalidOptionError, match=next(iter(option))):
            vector_grid(*lattice, **option)
        with pytest.raises(InvalidDataError, match="at least 1 cell"):
            vector_grid([[0, 0]], [[np.nan, 0]])

    def test_one_cell(self):
        grid = vector_grid([[2.0, 3.0]], [[1.0, -1.0]])
        assert grid.frame().dropna()["u"].eq(1).all()
        assert len(grid.frame().dropna())


class TestPlotProjection:
    def test_stream_turns_with_the_field(self, cells):
        """Every arrow head of the rotation points along v = (-(y - 10), x - 10)."""
        adata, uv = cells
        ax = plot_projection(adata, uv, "umap", show=False)
        lines = [c for c in ax.collections if isinstance(c, LineCollection)]
        assert len(lines) == 1
        heads = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
        assert len(heads) > 20
        for head in heads:
            (x0, y0), (x1, y1) = head._posA_posB
            field = np.array([-((y0 + y1) / 2 - 10), (x0 + x1) / 2 - 10])
            step = np.array([x1 - x0, y1 - y0])
            if np.linalg.norm(field) < 0.5:
                continue  # in the eye of the vortex the steps of the integrator are as large as the orbit
            assert step @ field > 0.95 * np.linalg.norm(step) * np.linalg.norm(field)

    def test_grid_arrows_are_those_of_the_table(self, cells):
        adata, uv = cells
        ax = plot_projection(adata, uv, "umap", stream=False, autoscale=False, scale=2, show=False)
        (arrows,) = [c for c in ax.collections if isinstance(c, Quiver)]
        table = vector_grid(adata.obsm["X_umap"], uv, stream=False).frame().dropna()
        step = table.x.drop_duplicates().sort_values().diff().median()
        table = table[np.hypot(table.u, table.v) * 2 > 0.3 * step]
        assert_allclose(arrows.get_offsets(), table[["x", "y"]])
        assert_allclose(arrows.U, table.u * 2)
        assert arrows.scale == 1

    def test_arrows_in_proportion_to_the_grid(self, cells):
        """However long the vectors are, long arrows span about one and a third grid squares."""
        adata, uv = cells
        for factor in (1e-6, 1, 1e6):
            ax = plot_projection(adata, uv * factor, "umap", stream=False, show=False)
            (arrows,) = [c for c in ax.collections if isinstance(c, Quiver)]
            step = 22 / 35
            assert_allclose(np.percentile(np.hypot(arrows.U, arrows.V), 95) / step, 4 / 3, rtol=0.05)

    def test_colours_of_uns(self, cells):
        adata, uv = cells
        adata.uns["clusters_colors"] = ["#ff0000", "#0000ff"]
        before = adata.copy()
        ax = plot_projection(adata, uv, color="clusters", show=False, legend_loc="right margin")
        points = ax.collections[0]
        order = np.where(adata.obs["clusters"] == "left", "#ff0000", "#0000ff")
        assert [to_hex(c) for c in points.get_facecolors()] == list(order)
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["left", "right"]
        assert list(adata.uns) == list(before.uns)
        assert list(adata.obs) == list(before.obs)

    def test_too_few_colours_fall_back(self, cells):
        adata, uv = cells
        adata.uns["clusters_colors"] = ["#ff0000"]
        ax = plot_projection(adata, uv, show=False)
        assert {to_hex(c) for c in ax.collections[0].get_facecolors()} == {"#0072b2", "#e69f00"}

    def test_names_on_data(self, cells):
        adata, uv = cells
        ax = plot_projection(adata, uv, show=False)
        places = {t.get_text(): t.get_position()[0] for t in ax.texts}
        assert set(places) == {"left", "right"}
        assert places["left"] < 10 < places["right"]
        assert ax.get_title() == "clusters"
        assert plot_projection(adata, uv, show=False, legend_loc=None).texts[:] == []

    def test_names_do_not_overlap(self, cells):
        """Fourteen clusters on one spot: their names end up apart and inside the axes."""
        adata, uv = cells
        rng = np.random.default_rng(0)
        adata.obs["clusters"] = pd.Categorical([f"cell type {i}" for i in rng.integers(0, 14, adata.n_obs)])
        ax = plot_projection(adata, uv, show=False, figsize=(5, 4))
        ax.figure.draw_without_rendering()
        boxes = [t.get_window_extent() for t in ax.texts]
        assert len(boxes) == 14
        frame = ax.get_window_extent()
        for i, a in enumerate(boxes):
            assert frame.x0 - 2 <= a.x0
            assert a.x1 <= frame.x1 + 2
            for b in boxes[:i]:
                assert not (min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2)

    def test_numbers_and_genes(self, cells):
        adata, uv = cells
        ax = plot_projection(adata, uv, color="time", show=False, cmap="magma", vmax=10)
        values = ax.collections[1].get_array()
        assert_array_equal(values, np.sort(adata.obs["time"]))
        assert ax.collections[1].get_clim() == (0, 10)
        assert len(ax.figure.axes) == 2
        ax = plot_projection(adata, uv, color="Gapdh", show=False, colorbar=False, sort_order=False)
        assert_array_equal(ax.collections[1].get_array(), adata.X[:, 1])
        assert len(ax.figure.axes) == 1

    def test_panels(self, cells):
        adata, uv = cells
        panels = plot_projection(adata, uv, color=["time", "clusters"], show=False)
        assert [p.get_title() for p in panels] == ["time", "clusters"]

    def test_components(self, cells):
        adata, uv = cells
        adata.obsm["X_pca"] = np.c_[np.zeros(adata.n_obs), adata.obsm["X_umap"]]
        ax = plot_projection(
            adata, np.c_[uv[:, 0], uv], "pca", components="2,3", show=False, frameon=True, stream=False
        )
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("PCA2", "PCA3")
        assert_array_equal(ax.collections[0].get_offsets(), adata.obsm["X_umap"])
        with pytest.raises(InvalidOptionError, match="from 1 to 3"):
            plot_projection(adata, np.c_[uv[:, 0], uv], "pca", components="1,4", show=False)

    def test_own_axes_and_file(self, cells, tmp_path):
        adata, uv = cells
        _, ax = plt.subplots()
        assert plot_projection(adata, uv, ax=ax, save=tmp_path / "deep" / "er" / "v0.5") is ax
        assert [p.name for p in (tmp_path / "deep" / "er").iterdir()] == ["v0.5.png"]
        plot_projection(adata, uv, save=str(tmp_path / "plot.pdf"))
        assert (tmp_path / "plot.pdf").read_bytes()[:4] == b"%PDF"

    def test_dpi_of_the_file(self, cells, tmp_path):
        adata, uv = cells
        for dpi in (50, 100):
            plot_projection(adata, uv, save=tmp_path / f"{dpi}", dpi=dpi)
        small, large = (plt.imread(tmp_path / f"{dpi}.png") for dpi in (50, 100))
        assert 1.8 < large.shape[0] / small.shape[0] < 2.2
        assert large[0, 0, 3] == 0  # transparent

    def test_refuses(self, cells):
        adata, uv = cells
        with pytest.raises(KeyError, match="Unable to find a basis in") as caught:
            plot_projection(adata, uv, "umpa")
        assert isinstance(caught.value, MissingDataError)
        assert "Did you mean 'X_umap'" in str(caught.value)
        with pytest.raises(MissingDataError, match="Did you mean 'clusters'"):
            plot_projection(adata, uv, color="cluster")
        with pytest.raises(InvalidTypeError, match="Did you mean 'min_mass'"):
            plot_projection(adata, uv, minmass=1)
        with pytest.raises(InvalidDataError, match="one vector per cell"):
            plot_projection(adata, uv[:-1])
        with pytest.raises(InvalidOptionError, match="Unable to find 'top'"):
            plot_projection(adata, uv, groups="top")
        assert plt.get_fignums() == []  # no empty figure left behind

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("case", ["zero vectors", "one cell", "a line", "holes", "uniform"])
    @pytest.mark.filterwarnings("ignore:The 'mode.chained_assignment' option")  # of anndata, with pandas 3
    @pytest.mark.filterwarnings("error")
    def test_odd_fields(self, cells, stream, case):
        adata, uv = cells
        adata, uv = adata.copy(), uv.copy()
        if case == "zero vectors":
            uv[:] = 0
        elif case == "one cell":
            adata, uv = adata[3:4].copy(), uv[3:4]
        elif case == "a line":
            adata.obsm["X_umap"][:, 1] = 5.0
        elif case == "holes":
            uv[::3] = np.nan
            adata.obsm["X_umap"][1::3] = np.nan
        else:
            uv[:] = [1.0, 2.0]
        ax = plot_projection(adata, uv, stream=stream, show=False)
        ax.figure.savefig(io.BytesIO())
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()

    def test_sizes(self, cells):
        adata, uv = cells
        ax = plot_projection(adata, uv, size=np.arange(adata.n_obs), show=False)
        assert_array_equal(ax.collections[0].get_sizes(), np.arange(adata.n_obs))
        with pytest.raises(InvalidDataError, match="one number or 441"):
            plot_projection(adata, uv, size=[1, 2], show=False)

    def test_missing_clusters_are_grey_and_nameless(self, cells):
        adata, uv = cells
        adata.obs.loc["c0":"c9", "clusters"] = None
        ax = plot_projection(adata, uv, show=False, legend_loc="right margin")
        assert [to_hex(c) for c in ax.collections[0].get_facecolors()].count("#d3d3d3") == 10
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["left", "right"]

    def test_keywords_without_effect(self, cells, monkeypatch):
        adata, uv = cells
        monkeypatch.setattr(_keywords, "_warned", set())
        with warnings.catch_warnings():
            warnings.simplefilter("error", FerrocyteWarning)
            plot_projection(adata, uv, ncols=None, principal_curve=False, show=False)
        with pytest.warns(FerrocyteWarning, match="`ncols` has no effect"):
            plot_projection(adata, uv, ncols=3, show=False)

    def test_shows_only_where_somebody_looks(self, cells, monkeypatch):
        adata, uv = cells
        shown = []
        monkeypatch.setattr(plt, "show", lambda: shown.append(1))
        monkeypatch.setattr(_common.mpl, "get_backend", lambda: "tkagg")
        for interactive, show, expected in [
            (False, None, 0),
            (True, None, 1),
            (True, False, 0),
            (False, True, 1),
        ]:
            shown.clear()
            monkeypatch.setattr(_common, "is_interactive", lambda i=interactive: i)
            plot_projection(adata, uv, show=show)
            assert len(shown) == expected


class TestLegendPlaces:
    @pytest.mark.parametrize(
        ("words", "place"),
        [
            ("upper right out", ("upper", "right", "out")),
            ("top left", ("upper", "left", "in")),
            ("bottom center out", ("lower", "center", "out")),
            ("upper", ("upper", "right", "in")),
            ("center", ("center", "right", "in")),
            ("bottom", ("lower", "left", "in")),
            ("center center", ("center", "center", "in")),
            ("best", "best"),
            (2, 2),
            ("none", None),
            (None, None),
        ],
    )
    def test_read(self, words, place):
        assert _common.legend_place(words) == place

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            ("center center out", "Invalid legend position"),
            ("foo", "Invalid legend position"),
            ("upper foo", "Invalid legend position"),
            ("upper right foo", "Invalid modifier"),
            ("upper right out in", "Expected only 1 additional"),
        ],
    )
    def test_refuse(self, words, says):
        with pytest.raises(ValueError, match=says):
            _common.legend_place(words)

    @pytest.mark.parametrize("vertical", ["upper", "center", "lower"])
    @pytest.mark.parametrize("horizontal", ["left", "center", "right"])
    @pytest.mark.parametrize("modifier", ["in", "out"])
    def test_drawn(self, vertical, horizontal, modifier):
        """`in` lies within the axes; `out` touches neither axes nor labels nor title."""
        if (vertical, horizontal, modifier) == ("center", "center", "out"):
            return
        figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
        ax.set(xlabel="time", ylabel="value", title="title")
        (line,) = ax.plot([0, 1], label="a line")
        legend = _common.place_legend(ax, f"{vertical} {horizontal} {modifier}", [line])
        figure.draw_without_rendering()
        box, frame = legend.get_window_extent(), ax.get_window_extent()
        legend.set_in_layout(False)
        legend.set_visible(False)
        decorated = ax.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        if modifier == "in":
            assert frame.x0 <= box.x0
            assert box.x1 <= frame.x1
            assert frame.y0 <= box.y0
            assert box.y1 <= frame.y1
        elif horizontal == "center":
            assert box.y0 >= decorated.y1 - 1 if vertical == "upper" else box.y1 <= decorated.y0 + 1
        else:
            assert box.x0 >= decorated.x1 - 1 if horizontal == "right" else box.x1 <= decorated.x0 + 1


@pytest.mark.parametrize("n", [1, 8, 9, 14, 23, 24, 70])
def test_category_palette_has_no_twins(n):
    colors = category_palette(n)
    assert len(set(colors)) == n
