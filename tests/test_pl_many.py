"""Figures of many categories with long names, of several columns, and on a dark background."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from ferrocyte._colors import category_palette

mpl.use("Agg")
import matplotlib.pyplot as plt
from ferrocyte.models import GAM
from matplotlib.colors import to_hex, to_rgb

WHOLE = {"time_key": "t", "time_range": (0.0, 1.0), "show_progress_bar": False}
MANY = [f"a lineage with the long name {i}" for i in range(14)]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    """150 cells along a line, fates of 14 lineages, 13 clusters of which one cell in ten is in none."""
    rng = np.random.default_rng(0)
    n, k = 150, len(MANY)
    t = np.sort(rng.random(n))
    fates = rng.dirichlet(np.ones(k), size=n)
    clusters = np.array([f"cluster with a long name {i}" for i in range(13)], dtype=object)[
        np.minimum((13 * t).astype(int), 12)
    ]
    clusters[::10] = np.nan
    obs = pd.DataFrame(
        {"t": t, "clusters": pd.Categorical(clusters), "half": pd.Categorical(np.where(t < 0.5, "a", "b"))},
        index=[f"c{i}" for i in range(n)],
    )
    genes = np.c_[t, 1 - t, t**2, np.sin(3 * t)] + 0.1 * rng.normal(size=(n, 4))
    out = ad.AnnData(genes, obs=obs, var=pd.DataFrame(index=list("wxyz")))
    out.obsm["lineages_fwd"] = fc.Lineage(fates, names=MANY)
    out.obsm["X_umap"] = np.c_[t, np.cos(5 * t)]
    return out


@pytest.fixture
def gam(adata):
    return GAM(adata, distribution="normal", link="identity")


def boxes_overlap(boxes):
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def drawn(figure):
    figure.draw_without_rendering()
    return figure.canvas.get_renderer()


def test_many_trends_have_one_legend_beside_all_panels(adata, gam):
    figure = fc.pl.gene_trends(
        adata,
        gam,
        ["w", "x"],
        time_key="t",
        time_range=(0.0, 1.0),
        same_plot=True,
        return_figure=True,
    )
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == MANY
    assert all(ax.get_legend() is None for ax in figure.axes)
    box = legend.get_window_extent(drawn(figure))
    assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes)


def test_few_trends_have_theirs_inside(adata, gam):
    figure = fc.pl.gene_trends(
        adata,
        gam,
        ["w", "x"],
        lineages=MANY[:2],
        **WHOLE,
        same_plot=True,
        return_figure=True,
    )
    assert not figure.legends
    assert all(ax.get_legend() is not None for ax in figure.axes)


def test_categories_of_cells_are_named_beside_a_grid_of_trends(adata, gam):
    figure = fc.pl.gene_trends(
        adata,
        gam,
        ["w", "x"],
        lineages=MANY[:2],
        **WHOLE,
        cell_color="clusters",
        return_figure=True,
    )
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend() is not None]
    assert len(legends) == 1
    renderer = drawn(figure)
    box = legends[0].get_window_extent(renderer)
    assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes)


def test_columns_of_a_heatmap_share_a_legend(adata, gam):
    """One under the other, each below its name: two legends in the same corner hid each other."""
    (figure,), _ = fc.pl.heatmap(
        adata,
        gam,
        ["w", "x", "y"],
        **WHOLE,
        lineages=MANY[0],
        cluster_key=["half", "clusters"],
        return_figure=True,
    )
    (legend,) = figure.legends
    texts = [t.get_text() for t in legend.get_texts()]
    assert texts[:4] == ["half", "a", "b", "clusters"]
    assert len(texts) == 4 + 13
    renderer = drawn(figure)
    assert not boxes_overlap([t.get_window_extent(renderer) for t in legend.get_texts()])


@pytest.mark.parametrize("mode", ["bar", "violin"])
def test_long_names_leave_room_for_the_bars(adata, mode):
    axes = fc.pl.aggregate_fate_probabilities(
        adata,
        mode,
        lineages=MANY[:9],
        clusters=[f"cluster with a long name {i}" for i in range(3)],
        show=False,
    )
    drawn(axes[0].figure)
    heights = [ax.get_window_extent().height / ax.figure.dpi for ax in axes]
    assert min(heights) > 1.2


def test_names_around_a_crowded_circle_do_not_overlap(adata):
    axes = fc.pl.circular_projection(adata, ["half", "t"], show=False)
    for ax in axes:
        renderer = drawn(ax.figure)
        names = [t for t in ax.texts if t.get_text()]
        assert len(names) == 14
        assert all("\n" in t.get_text() for t in names)
        # outwards: what is written on the left ends at the rim, what is on the right starts there
        assert {t.get_ha() for t in names} == {"left", "right"}
        title = ax.title.get_window_extent(renderer)
        assert not any(title.overlaps(t.get_window_extent(renderer)) for t in names)


def test_few_short_names_stay_along_the_circle(adata):
    adata.obsm["lineages_fwd"] = fc.Lineage(np.full((150, 3), 1 / 3), names=["Ery", "DC", "Mono"])
    ax = fc.pl.circular_projection(adata, "half", show=False)
    assert [t.get_ha() for t in ax.texts] == ["center"] * 3


def test_a_pie_of_many_names_them_with_their_values_in_a_legend(adata):
    fates = adata.obsm["lineages_fwd"]
    ax = fates.plot_pie(np.mean, show=False) or plt.gca()
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == [f"{n} {v:.4f}" for n, v in zip(MANY, fates.X.mean(axis=0), strict=True)]
    assert [t.get_text() for t in ax.texts if t.get_text()] == []


def test_panels_of_one_figure_have_texts_of_one_size(adata):
    """The first panel was measured before the layout, the others after."""
    vectors = np.tile([1.0, 0.0], (150, 1))
    axes = fc.pl.plot_projection(adata, vectors, color=["half", "t", "clusters"], show=False)
    assert len({ax.title.get_fontsize() for ax in axes}) == 1


def test_clusters_without_stored_colours_look_alike_everywhere(adata):
    """In a projection, as states named after them, and in the composition of these."""
    n = adata.n_obs
    chain = np.full((n, n), 1e-4)
    for half in ("a", "b"):
        inside = np.asarray(adata.obs["half"] == half)
        chain[np.ix_(inside, inside)] = 1.0
    chain /= chain.sum(axis=1, keepdims=True)
    g = fc.estimators.GPCCA(fc.kernels.PrecomputedKernel(chain, adata))
    g.compute_schur(4)
    g.compute_macrostates(2, cluster_key="half", n_cells=10)
    expected = dict(zip("ab", category_palette(2), strict=True))
    assert dict(
        zip(g.macrostates.cat.categories, map(to_hex, g.macrostates_memberships.colors), strict=True)
    ) == {name: expected[name] for name in g.macrostates.cat.categories}
    ax = fc.pl.plot_projection(adata, np.tile([1.0, 0.0], (n, 1)), color="half", show=False)
    assert {to_hex(c) for c in ax.collections[0].get_facecolors()} == set(expected.values())


def test_a_single_state_is_named(adata):
    states = pd.Series(pd.Categorical(np.where(np.arange(150) < 9, "root", None)), index=adata.obs_names)
    ax = fc.pl.plot_states(adata, states, name="initial states", show=False)
    assert [t.get_text() for t in ax.texts] == ["root"]
    ax = fc.pl.plot_states(adata, states, same_plot=False, show=False)
    assert [t.get_text() for t in ax.texts] == [], "its title says it"


def brightness(color):
    return float(np.mean(to_rgb(color)))


def test_on_a_dark_background_nothing_is_drawn_in_black(adata, gam, tmp_path):
    with plt.style.context("dark_background"):
        ax = fc.pl.plot_projection(adata, np.tile([1.0, 0.0], (150, 1)), color="t", show=False)
        streams = [c for c in ax.collections if type(c).__name__ == "LineCollection"]
        assert all(brightness(c) > 0.5 for c in streams[0].get_colors())
        table = pd.DataFrame(
            {
                "real": [1.0, 0.5],
                "imag": 0.0,
                "modulus": [1.0, 0.5],
                "complex": False,
                "above_gap": [True, False],
            },
            index=[1, 2],
        )
        ax = fc.pl.plot_spectrum(table, real_only=False, show=False)
        assert all(brightness(line.get_color()) > 0.5 for line in ax.lines)
        model = gam.prepare("w", None, "t").fit()
        model.predict()
        figure = model.plot(return_fig=True)
        assert brightness(figure.axes[0].lines[0].get_color()) > 0.5
        fc.pl.plot_spectrum(table, show=False, save=tmp_path / "dark.png")
    assert plt.imread(tmp_path / "dark.png")[..., 3].min() == 1.0, "white text needs its background"
    fc.pl.plot_spectrum(table, show=False, save=tmp_path / "plain.png")
    assert plt.imread(tmp_path / "plain.png")[..., 3].min() == 0.0


def test_a_figure_that_is_shown_is_not_returned(adata):
    """A notebook would print it below the picture."""
    assert fc.pl.aggregate_fate_probabilities(adata, "heatmap", show=True) is None
    assert fc.pl.circular_projection(adata, "half", show=True) is None
    table = pd.DataFrame({"eigengap": [0.1, 0.2], "why": ["", "yes"]}, index=[2, 3])
    assert fc.pl.plot_n_states(table, show=True) is None
    assert len(fc.pl.plot_n_states(table, show=False)) == 1
    assert fc.pl.aggregate_fate_probabilities(adata, "heatmap", show=False) is not None


def test_states_stand_out_among_many_cells():
    """30 cells of 20,000 in points of the size that fits all of them could not be seen."""
    rng = np.random.default_rng(0)
    n = 20_000
    adata = ad.AnnData(
        np.zeros((n, 1), dtype=np.float32), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)])
    )
    adata.obsm["X_umap"] = rng.normal(size=(n, 2))
    states = pd.Series(pd.Categorical(np.where(np.arange(n) < 30, "root", None)), index=adata.obs_names)
    ax = fc.pl.plot_states(adata, states, show=False)
    sizes = ax.collections[0].get_sizes()
    assert sorted(sizes)[-30] >= 9
    assert sorted(sizes)[-31] < 4
