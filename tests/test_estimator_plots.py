"""Figures as members of estimators: what they take from the estimator, and what they refuse."""

from __future__ import annotations

import inspect

import matplotlib as mpl

mpl.use("Agg")

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
    NotComputedError,
)
from ferrocyte.estimators import GPCCA, TermStatesEstimator
from ferrocyte.estimators._gpcca_plots import GPCCAPlotMembers
from ferrocyte.lineage import Lineage
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from numpy.testing import assert_array_equal

RED, GREEN, BLUE = "#ff0000", "#00ff00", "#0000ff"
NAMES = ["a", "b", "c"]
GREY = "#d3d3d3"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    obs = pd.DataFrame(
        {
            "clusters": pd.Categorical(list("xxyyzz"), ["x", "y", "z"]),
            "latent_time": np.arange(6) / 4,
            "weight": [1.0, 2, 3, 4, 5, 6],
        },
        index=[f"c{i}" for i in range(6)],
    )
    adata = ad.AnnData(np.arange(12, dtype="float32").reshape(6, 2), obs=obs)
    adata.var_names = ["g", "h"]
    adata.var["length"] = [1.0, 2.0]
    adata.obsm["X_umap"] = np.c_[np.arange(6.0), np.arange(6.0) ** 2]
    adata.obsm["shares"] = pd.DataFrame(
        {"p": [1, 0.5, 0, 0, 0.25, 0], "q": [0, 0.5, 1, 1, 0.75, 1]}, index=obs.index
    )
    adata.uns["clusters_colors"] = ["#111111", "#222222", "#333333"]
    return adata


@pytest.fixture
def fresh(adata):
    return GPCCA(np.full((6, 6), 1 / 6), adata=adata)


@pytest.fixture
def est(fresh, adata):
    """Three macrostates of two cells each; a is initial, b and c are terminal."""
    chi = Lineage(np.kron(np.eye(3), np.ones((2, 1))) * 0.5 + 1 / 6, names=NAMES, colors=[RED, GREEN, BLUE])
    codes = np.array([0, 0, 1, 1, 2, 2])
    states = pd.Series(pd.Categorical.from_codes(codes, NAMES), index=adata.obs_names)
    coarse = pd.DataFrame(np.eye(3) * 0.25 + 0.25, index=NAMES, columns=NAMES)
    fresh._results.set(
        eigendecomposition={"D": np.array([1, 0.5, 0.25 + 0j]), "eigengap": 0, "params": {}},
        schur_vectors=np.ones((6, 2)),
        schur_matrix=np.array([[1, 0.5], [0, 0.25]]),
        macrostates=states,
        macrostates_colors=[RED, GREEN, BLUE],
        macrostates_memberships=chi,
        coarse_T=coarse,
        coarse_initial_distribution=pd.Series([0.0, 0.0, 1.0], index=NAMES),
        coarse_stationary_distribution=pd.Series([0.25, 0.625, 0.125], index=NAMES),
    )
    terminal = states.where(states != "a").cat.remove_unused_categories()
    initial = states.where(states == "a").cat.remove_unused_categories()
    fresh._results.set(
        terminal_states=terminal, terminal_states_colors=[GREEN, BLUE],
        terminal_states_memberships=chi[["b", "c"]],
        initial_states=initial, initial_states_colors=[RED], initial_states_memberships=chi[["a"]],
    )  # fmt: skip
    fates = Lineage(np.c_[np.arange(6) / 5, 1 - np.arange(6) / 5], names=["b", "c"], colors=[GREEN, BLUE])
    fresh._results.set(fate_probabilities=fates)
    drivers = {f"{n}_{k}": v for n in "bc" for k, v in
               (("corr", [0.5, -0.5]), ("pval", [0.1, 0.2]), ("qval", [0.2, 0.25]))}  # fmt: skip
    fresh._results.set(lineage_drivers=pd.DataFrame(drivers, index=["g", "h"]))
    return fresh


def points(ax):
    return max(
        (c for c in ax.collections if isinstance(c, PathCollection)), key=lambda c: len(c.get_offsets())
    )


def by_place(ax):
    colors = np.broadcast_to(points(ax).get_facecolors(), (len(points(ax).get_offsets()), 4))
    return {float(x): to_hex(c) for x, c in zip(points(ax).get_offsets()[:, 0], colors, strict=True)}


CALLS = {
    "plot_spectrum": {},
    "plot_schur_matrix": {},
    "plot_coarse_T": {},
    "plot_macrostates": {"which": "all"},
    "plot_macrostate_composition": {"key": "clusters"},
    "plot_fate_probabilities": {},
    "plot_lineage_drivers": {"lineage": "b", "n_genes": 1},
    "plot_lineage_drivers_correlation": {"lineage_x": "b", "lineage_y": "c"},
}


def test_every_figure_is_here():
    members = {n for n in dir(GPCCAPlotMembers) if n.startswith("plot_")}
    assert members == {*CALLS, "plot_tsi"}


@pytest.mark.parametrize("name", CALLS)
def test_axes_are_returned_on_request(est, name, tmp_path):
    figure = getattr(est, name)
    ax = figure(**CALLS[name], show=False)
    assert isinstance(ax, plt.Axes)
    assert figure(**CALLS[name], save=tmp_path / "figure") is None
    assert (tmp_path / "figure.png").stat().st_size > 500
    _, mine = plt.subplots()
    assert figure(**CALLS[name], show=False, ax=mine) is mine
    small = figure(**CALLS[name], show=False, figsize=(3, 2), dpi=40)
    assert small.figure.get_size_inches().tolist() == [3, 2]
    assert small.figure.dpi == 40


@pytest.mark.parametrize("name", [n for n in CALLS if n != "plot_macrostate_composition"])
def test_unknown_keywords(est, name):
    """A typed error, and no empty figure left behind."""
    with pytest.raises(InvalidTypeError, match="nonsense"):
        getattr(est, name)(**CALLS[name], nonsense=1, show=False)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", CALLS)
def test_data_are_not_touched(est, adata, name):
    before = adata.copy()
    getattr(est, name)(**CALLS[name], show=False)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns) == list(before.uns)
    assert list(adata.obsm) == list(before.obsm)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("plot_spectrum", "Compute eigendecomposition"),
        ("plot_schur_matrix", "Compute Schur decomposition"),
        ("plot_coarse_T", "Compute macrostates"),
        ("plot_macrostates", "Compute all states first"),
        ("plot_macrostate_composition", "Compute macrostates"),
        ("plot_fate_probabilities", "fate_probabilities"),
        ("plot_lineage_drivers", "lineage_drivers"),
        ("plot_lineage_drivers_correlation", "lineage_drivers"),
    ],
)
def test_before_it_is_computed(fresh, name, says):
    with pytest.raises(NotComputedError, match=says) as err:
        getattr(fresh, name)(**CALLS[name], show=False)
    assert isinstance(err.value, RuntimeError)


@pytest.mark.parametrize("name", [*CALLS, "plot_tsi"])
def test_parameters_are_documented(name):
    method = getattr(GPCCA, name)
    text = inspect.getdoc(method)
    listed = text[text.index("Parameters\n") : text.index("Returns\n")]
    for parameter in list(inspect.signature(method).parameters)[1:]:
        assert parameter in listed, parameter


def test_spectrum(est):
    ax = est.plot_spectrum(2, show=False)
    assert_array_equal(points(ax).get_offsets(), [[1, 1], [2, 0.5]])
    with pytest.raises(InvalidOptionError, match="to be positive"):
        est.plot_spectrum(0)


def test_schur(est):
    ax = est.plot_schur_matrix(show=False, annotate=False)
    assert ax.images[0].get_array().sum() == 1.75
    assert ax.get_title() == "schur matrix"


# Macrostates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "expected", "title"),
    [
        ("all", [RED, RED, GREEN, GREEN, BLUE, BLUE], "all states"),
        ("terminal", [GREY, GREY, GREEN, GREEN, BLUE, BLUE], "terminal states"),
        ("initial", [RED, RED, GREY, GREY, GREY, GREY], "initial states"),
        ("initial_and_terminal", [RED, RED, GREEN, GREEN, BLUE, BLUE], "initial and terminal states"),
    ],
)
def test_which_states(est, which, expected, title):
    ax = est.plot_macrostates(which, show=False)
    assert by_place(ax) == dict(enumerate(expected))
    assert ax.get_title() == title


def test_combined_names(est):
    ax = est.plot_macrostates("initial_and_terminal", legend_loc="right", show=False)
    names = ["initial: a", "terminal: b", "terminal: c"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == names
    axes = est.plot_macrostates("initial_and_terminal", discrete=False, same_plot=False, show=False)
    assert [ax.get_title() for ax in axes] == names
    axes = est.plot_macrostates("initial_and_terminal", states=names[:1], show=False)
    assert by_place(axes) == {0: RED, 1: RED, 2: GREY, 3: GREY, 4: GREY, 5: GREY}


def test_unknown_and_missing_states(est, fresh):
    with pytest.raises(InvalidOptionError, match=r"Unable to plot 'terminals' states.*'terminal'"):
        est.plot_macrostates("terminals")
    with pytest.raises(ValueError, match="Invalid state 'z'"):
        est.plot_macrostates("all", states="z")
    with pytest.raises(KeyError, match="Invalid lineage name"):
        est.plot_macrostates("all", states="z", discrete=False)
    est._results.clear("initial_states")
    with pytest.raises(NotComputedError, match="Compute initial states first"):
        est.plot_macrostates("initial_and_terminal")
    with pytest.raises(NotComputedError, match="Compute initial states first"):
        est.plot_macrostates("initial")
    est._results.clear("terminal_states")
    with pytest.raises(NotComputedError, match="Compute terminal states first"):
        est.plot_macrostates("terminal")


def test_estimators_without_macrostates(adata):
    class Other(TermStatesEstimator):
        def fit(self):
            return self

        def predict(self):
            return self

    other = Other(np.full((6, 6), 1 / 6), adata=adata)
    with pytest.raises(NotComputedError, match="Compute all states first with GPCCA: Other finds"):
        other.plot_macrostates("all")
    other.set_terminal_states({"a": ["c0", "c1"]})
    assert list(by_place(other.plot_macrostates("terminal", show=False)).values()).count(GREY) == 4


def test_memberships(est):
    axes = est.plot_macrostates("all", discrete=False, same_plot=False, color="clusters", show=False)
    assert [ax.get_title() for ax in axes] == ["clusters", *NAMES]
    values = points(axes[1])
    assert sorted(values.get_array()) == sorted(est.macrostates_memberships.X[:, 0])
    one = est.plot_macrostates("terminal", discrete=False, states="b", same_plot=False, show=False)
    assert one.get_title() == "b"


def test_states_set_by_hand_have_no_memberships(est):
    states = est.terminal_states
    est._results.set(terminal_states=states, terminal_states_colors=[GREEN, BLUE])
    with pytest.warns(FerrocyteWarning, match="no memberships of terminal states"):
        ax = est.plot_macrostates("terminal", discrete=False, show=False)
    assert by_place(ax) == {0: GREY, 1: GREY, 2: GREEN, 3: GREEN, 4: BLUE, 5: BLUE}
    with pytest.warns(FerrocyteWarning, match="initial and terminal"):
        est.plot_macrostates("initial_and_terminal", discrete=False, show=False)


@pytest.mark.parametrize("discrete", [True, False])
def test_colours_are_those_in_the_data(est, adata, discrete):
    adata.uns["macrostates_fwd_colors"] = ["#000001", "#000002", "#000003"]
    ax = est.plot_macrostates("all", discrete=discrete, legend_loc="right", show=False)
    assert [to_hex(h.get_color()) for h in ax.get_legend().legend_handles] == [
        "#000001",
        "#000002",
        "#000003",
    ]
    del adata.uns["macrostates_fwd_colors"]
    ax = est.plot_macrostates("all", discrete=discrete, legend_loc="right", show=False)
    assert [to_hex(h.get_color()) for h in ax.get_legend().legend_handles] == [RED, GREEN, BLUE]


def test_macrostates_along_time(est, adata):
    ax = est.plot_macrostates("all", mode="time", show=False)
    assert ax.get_xlabel() == "latent_time"
    assert_array_equal(points(ax).get_offsets()[:, 0], adata.obs["latent_time"])
    axes = est.plot_macrostates("all", mode="time", discrete=False, show=False)
    assert {ax.get_ylabel() for ax in axes} == {"membership"}
    adata.obs["dpt"] = np.arange(6.0)
    assert est.plot_macrostates("all", mode="time", time_key="dpt", show=False).get_xlabel() == "dpt"
    with pytest.raises(MissingDataError, match="nobody"):
        est.plot_macrostates("all", mode="time", time_key="nobody")


def test_basis_and_keywords(est, adata):
    adata.obsm["X_tsne"] = -adata.obsm["X_umap"]
    ax = est.plot_macrostates("all", basis="tsne", s=5, title="T", frameon=True, show=False)
    assert ax.get_xlabel() == "TSNE1"
    assert ax.get_title() == "T"
    assert set(points(ax).get_sizes()) == {5}
    with pytest.raises(InvalidTypeError, match="siz"):
        est.plot_macrostates("all", siz=5)
    with pytest.raises(MissingDataError, match="Unable to find a basis"):
        est.plot_macrostates("all", basis="pca")


# The chain between macrostates ------------------------------------------------------------------------------


@pytest.mark.parametrize(("initial", "highest"), [(False, 0.625), (True, 1.0)])
def test_coarse_colours_know_which_distribution_is_shown(est, initial, highest):
    """The largest value, 1, is in the initial distribution."""
    ax = est.plot_coarse_T(show_initial_dist=initial, show=False)
    assert len(ax.images) == 2 + initial
    assert {image.get_clim() for image in ax.images} == {(0.0 if initial else 0.125, highest)}
    plain = est.plot_coarse_T(show_stationary_dist=False, show_initial_dist=initial, show=False)
    assert {image.get_clim()[1] for image in plain.images} == {1.0 if initial else 0.5}


def test_coarse_order(est):
    ax = est.plot_coarse_T(show_stationary_dist=False, order="stat_dist", xtick_rotation=0, show=False)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "a", "b"]
    with pytest.raises(InvalidOptionError, match="Invalid option"):
        est.plot_coarse_T(order="states")


def test_one_macrostate_has_no_chain(est):
    est._results.set(
        macrostates=est.macrostates,
        macrostates_colors=[RED] * 3,
        macrostates_memberships=est.macrostates_memberships,
    )
    with pytest.raises(NotComputedError, match="single macrostate"):
        est.plot_coarse_T()


# Composition ------------------------------------------------------------------------------------------------


def test_composition(est):
    ax = est.plot_macrostate_composition("clusters", show=False)
    assert sorted(to_hex(p.get_facecolor()) for p in ax.patches) == ["#111111", "#222222", "#333333"]
    assert [p.get_height() for p in ax.patches] == [2, 2, 2]
    assert ax.get_title() == "distribution over clusters"
    same = est.plot_macrostate_composition({"obs": "clusters"}, title="T", show=False)
    assert [p.get_height() for p in same.patches] == [2, 2, 2]
    assert same.get_title() == "T"


def test_composition_of_proportions(est):
    """Cells 0 and 1 make up a: 1.5 of p and 0.5 of q; with weights 1 and 2, 2 and 1."""
    ax = est.plot_macrostate_composition({"obsm": "shares"}, show=False)
    assert sorted(p.get_height() for p in ax.patches if p.get_x() < 0) == [0.5, 1.5]
    ax = est.plot_macrostate_composition({"obsm": "shares"}, weight_key="weight", show=False)
    assert sorted(p.get_height() for p in ax.patches if p.get_x() < 0) == [1, 2]
    assert ax.get_title() == "distribution over shares"


@pytest.mark.parametrize(
    ("key", "weight_key", "error", "says"),
    [
        ("nobody", None, KeyError, "Unable to find clusters"),
        ({"obsm": "nobody"}, None, KeyError, r"adata.obsm\['nobody'\]"),
        ({"obsm": "X_umap"}, None, TypeError, "pandas.DataFrame"),
        ("clusters", "weight", ValueError, "`weight_key` is only supported"),
        ({"obsm": "shares"}, "nobody", KeyError, "Weights not found"),
        ({"var": "clusters"}, None, ValueError, "'obs' or 'obsm'"),
        (3, None, TypeError, "Expected `key`"),
        (None, None, TypeError, "Expected `key`"),
    ],
)
def test_composition_refuses(est, key, weight_key, error, says):
    with pytest.raises(error, match=says):
        est.plot_macrostate_composition(key, weight_key)


# Fates, drivers, identification -----------------------------------------------------------------------------


def test_fates(est):
    ax = est.plot_fate_probabilities(show=False)
    found = by_place(ax)
    assert (found[0], found[5]) == (BLUE, GREEN)
    assert ax.get_title() == "fate probabilities"
    axes = est.plot_fate_probabilities(same_plot=False, states=["c", "b"], color="g", show=False)
    assert [ax.get_title() for ax in axes] == ["g", "c", "b"]
    axes = est.plot_fate_probabilities(mode="time", time_key="latent_time", show=False)
    assert_array_equal(points(axes[0]).get_offsets()[:, 1], np.arange(6) / 5)
    with pytest.raises(MissingDataError, match="time_key"):
        est.plot_fate_probabilities(mode="time")
    with pytest.raises(KeyError, match="Invalid lineage name"):
        est.plot_fate_probabilities("z")


def test_drivers(est, adata):
    ax = est.plot_lineage_drivers("b", n_genes=1, ascending=True, title_fmt="{gene} {corr}", show=False)
    assert ax.get_title() == "h -0.5"
    assert_array_equal(np.sort(points(ax).get_array()), adata.X[:, 1])
    with pytest.raises(KeyError, match="Lineage 'z' not found"):
        est.plot_lineage_drivers("z")
    with pytest.raises(ValueError, match="to be positive"):
        est.plot_lineage_drivers("b", n_genes=0)


def test_drivers_of_two_lineages(est, adata):
    ax = est.plot_lineage_drivers_correlation("b", "c", color="length", show=False)
    assert_array_equal(points(ax).get_array(), [1, 2])
    sets = {"c": ["g"], "b": ["h"]}
    marked = est.plot_lineage_drivers_correlation("b", "c", gene_sets=sets, show=False).collections[-1]
    assert [to_hex(c) for c in marked.get_facecolors()] == [BLUE, GREEN]  # those of the lineages
    own = est.plot_lineage_drivers_correlation(
        "b", "c", gene_sets=sets, gene_sets_colors=[RED, RED], show=False
    )
    assert to_hex(own.collections[-1].get_facecolors()[0]) == RED
    adata.raw = adata
    adata.raw.var["raw_length"] = [3.0, 4.0]
    ax = est.plot_lineage_drivers_correlation("b", "c", color="raw_length", use_raw=True, show=False)
    assert_array_equal(points(ax).get_array(), [3, 4])
    del adata.raw
    with pytest.raises(MissingDataError, match=r"adata.raw"):
        est.plot_lineage_drivers_correlation("b", "c", color="length", use_raw=True)


def test_tsi(est, fresh):
    with pytest.raises(NotComputedError, match="tsi"):
        est.plot_tsi()
    est._tsi = pd.DataFrame(
        {
            "number_of_macrostates": [2, 1],
            "identified_terminal_states": [1, 1],
            "optimal_identification": [2, 1],
        }
    )
    ax = est.plot_tsi(show=False)
    assert_array_equal(ax.lines[0].get_ydata(), [1, 1])
    assert ax.get_legend().get_texts()[0].get_text() == "PrecomputedKernel"
    assert len(est.plot_tsi(1).lines[0].get_xdata()) == 1  # Axes also without `show=False`


def test_without_annotated_data():
    est = GPCCA(np.full((6, 6), 1 / 6))
    est._results.set(fate_probabilities=Lineage(np.ones((6, 1)), names=["a"]))
    if est.adata is None:
        with pytest.raises(InvalidDataError, match="no annotated data"):
            est.plot_fate_probabilities()
    else:
        with pytest.raises(MissingDataError, match="Unable to find a basis"):
            est.plot_fate_probabilities()


def test_the_whole_flow_on_real_cells(tmp_path):
    """Each figure of a usual session, drawn from what the estimator computes."""
    adata = fc.datasets.dentate_gyrus()
    kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    g = GPCCA(kernel).compute_schur(6)
    g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    g.plot_spectrum(save=tmp_path / "1")
    g.plot_schur_matrix(save=tmp_path / "2")
    g.plot_coarse_T(save=tmp_path / "3")
    g.plot_macrostates("all", save=tmp_path / "4")
    g.plot_macrostates("all", discrete=False, mode="time", save=tmp_path / "5")
    g.plot_macrostate_composition("clusters", save=tmp_path / "6")
    assert sorted(p.stem for p in tmp_path.glob("*.png")) == list("123456")
