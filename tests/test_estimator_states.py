"""Initial and terminal states: chosen among macrostates, set by hand, merged, renamed."""

from __future__ import annotations

import warnings

import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
from ferrocyte.errors import FerrocyteWarning, InvalidDataError, InvalidOptionError, NotComputedError
from ferrocyte.estimators import GPCCA, TermStatesEstimator
from numpy.testing import assert_allclose
from reference.chains import THREE, kernel_over, lumped

SIZES = (12, 10, 14)


def three(n_states=3, *, cluster_key="clusters", **kwargs):
    g = GPCCA(kernel_over(lumped(THREE, SIZES), SIZES, **kwargs)).compute_schur(3)
    return g.compute_macrostates(n_states, n_cells=5, cluster_key=cluster_key)


def names(series):
    return list(series.cat.categories)


# Predicted ----------------------------------------------------------------------------------------------


def test_stability():
    """The diagonal is 0.90, 0.97, 0.99."""
    g = three()
    assert g.predict_terminal_states(n_cells=5) is g
    assert sorted(names(g.terminal_states)) == ["b", "c"]
    with pytest.warns(FerrocyteWarning, match="Only one macrostate is selected, 'c'") as caught:
        g.predict_terminal_states(n_cells=5, stability_threshold=0.98)
    assert caught[0].filename == __file__
    assert "'b' with 0.97: if it is a fate, too, take it with `stability_threshold=0.9" in str(
        caught[0].message
    )
    assert names(g.terminal_states) == ["c"]
    assert g.terminal_states.value_counts().to_dict() == {"c": 5}
    with pytest.raises(
        ValueError, match=r"No macrostate has a stability.*'c' with 0.99.*stability_threshold=0.9[89]"
    ):
        g.predict_terminal_states(n_cells=5, stability_threshold=0.999)
    assert names(g.terminal_states) == ["c"]
    assert g.params["term_states_fwd"] == {
        "method": "stability", "n_cells": 5, "alpha": 1, "stability_threshold": 0.98, "n_states": None,
        "allow_overlap": False,
    }  # fmt: skip


def test_top_n_and_gaps():
    g = three()
    g.predict_terminal_states(method="top_n", n_states=2, n_cells=5)
    assert names(g.terminal_states) == ["b", "c"]
    assert list(g.terminal_states_memberships.names) == ["b", "c"]
    # between stabilities: 0.99 - 0.97 - 0.01, 0.97 - 0.90 - 0.03
    g.predict_terminal_states(method="eigengap_coarse", n_cells=5)
    assert names(g.terminal_states) == ["b", "c"]
    # the eigengap is after the last of three eigenvalues known, 1, 0.97, 0.89: 0.03, 0.08 - 0.03
    g.predict_terminal_states(method="eigengap", n_cells=5)
    assert len(names(g.terminal_states)) == g.eigendecomposition["eigengap"] + 1
    for bad in (None, 0, -1, 4):
        with pytest.raises(ValueError, match="n_states"):
            g.predict_terminal_states(method="top_n", n_states=bad, n_cells=5)
    with pytest.raises(ValueError, match="Invalid option"):
        g.predict_terminal_states(method="best")
    with pytest.raises(ValueError, match="to be positive"):
        g.predict_terminal_states(n_cells=0)
    with pytest.raises(ValueError, match="decrease this to at most"):
        g.predict_terminal_states(n_cells=30)


def test_initial_states():
    """Stationary 3/38, 5/38, 30/38."""
    g = three()
    g.predict_initial_states(n_cells=5)
    assert names(g.initial_states) == ["a"]
    g.predict_initial_states(2, n_cells=5)
    assert names(g.initial_states) == ["a", "b"]
    with pytest.raises(ValueError, match="only 3 macrostates"):
        g.predict_initial_states(4, n_cells=5)
    with pytest.raises(ValueError, match="positive"):
        g.predict_initial_states(0, n_cells=5)


def test_nothing_without_macrostates():
    g = GPCCA(kernel_over(lumped(THREE, SIZES), SIZES))
    for call in (g.predict_terminal_states, g.predict_initial_states, g.set_terminal_states):
        with pytest.raises(RuntimeError, match="Compute macro"):
            call()
    with pytest.raises(RuntimeError, match="Compute macro"):
        g.set_initial_states(["a"])


def test_old_names():
    g = GPCCA(kernel_over(lumped(THREE, SIZES), SIZES))
    with pytest.warns(DeprecationWarning, match="compute_schur"):
        assert g.fit(3, n_cells=5, cluster_key="clusters") is g
    with pytest.warns(DeprecationWarning, match="predict_terminal_states"):
        assert g.predict(n_cells=5) is g
    assert sorted(names(g.terminal_states)) == ["b", "c"]
    assert g.params["macrostates_fwd"]["n_states"] == 3
    one = GPCCA(kernel_over(lumped(THREE, SIZES), SIZES))
    with pytest.warns(DeprecationWarning, match="fit"):
        one.fit(1, n_cells=5)
    assert one.eigendecomposition is not None
    assert one.macrostates_memberships.shape == (36, 1)


# Warnings that help ---------------------------------------------------------------------------------------


def test_a_shared_cluster_is_noticed():
    coarse = [[0.98, 0.01, 0.01], [0.0, 0.97, 0.03], [0.01, 0.0, 0.99]]
    g = GPCCA(kernel_over(lumped(coarse, SIZES), SIZES, names="aab"))
    g.compute_schur(3).compute_macrostates(3, n_cells=5, cluster_key="clusters")
    assert sorted(g.macrostates.cat.categories) == ["a_1", "a_2", "b"]
    g.predict_initial_states(n_cells=5)
    with pytest.warns(FerrocyteWarning, match=r"share a cluster: initial 'a_\d' and terminal 'a_\d' in 'a'"):
        g.set_terminal_states(["a_2" if names(g.initial_states) == ["a_1"] else "a_1", "b"], n_cells=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.set_terminal_states("b", n_cells=5)


def test_a_warning_turned_into_an_error_changes_nothing():
    g = three()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FerrocyteWarning):
            g.predict_terminal_states(n_cells=5, stability_threshold=0.98)
    assert g.terminal_states is None
    assert "term_states_fwd" not in g.adata.obs


# From macrostates -----------------------------------------------------------------------------------------


def test_names_all_and_merged():
    g = three()
    g.set_terminal_states(n_cells=4)
    assert names(g.terminal_states) == list(g.macrostates_memberships.names)
    g.set_terminal_states("c", n_cells=4)
    assert names(g.terminal_states) == ["c"]
    g.set_terminal_states(["c, a", "b"], n_cells=6)
    assert sorted(names(g.terminal_states)) == ["a, c", "b"]
    chi = g.macrostates_memberships
    assert_allclose(g.terminal_states_memberships["a, c"].X[:, 0], (chi["a"].X + chi["c"].X)[:, 0])
    assert g.terminal_states.value_counts().to_dict() == {"a, c": 6, "b": 6}
    assert_allclose(g.terminal_states_probabilities, 1, atol=1e-7)
    colors = dict(zip(names(g.terminal_states), g.adata.uns["term_states_fwd_colors"], strict=True))
    assert colors["b"] == "#00ff00"


def test_cells_of_merged_states():
    """Union: the best of each, where `top_n` may take them all from one."""
    from ferrocyte import Lineage
    from ferrocyte.estimators._chosen import from_macrostates

    chi = Lineage(
        np.array([[0.9, 0.1, 0.0], [0.8, 0.0, 0.2], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.0, 0.1, 0.9],
                  [0.1, 0.1, 0.8]]), names=["x", "y", "z"]
    )  # fmt: skip
    index = pd.Index(list("ABCDEF"))
    top = from_macrostates(chi, ["y, x", "z"], index, n_cells=2, agg="top_n")
    # x + y: 1, 0.8, 0.7, 0.7, 0.1, 0.2
    assert top.states.dropna().to_dict() == {"A": "x, y", "B": "x, y", "E": "z", "F": "z"}
    union = from_macrostates(chi, ["y, x", "z"], index, n_cells=2, agg="union")
    assert union.states.dropna().to_dict() == {
        "A": "x, y", "B": "x, y", "C": "x, y", "D": "x, y", "E": "z", "F": "z",
    }  # fmt: skip
    # each column over its largest value, then the larger of the two
    assert_allclose(top.probabilities, [1, 0.8, 0.7, 0.7, 1, 0.8 / 0.9])
    assert top.memberships.names.tolist() == ["x, y", "z"]


def test_the_rest():
    g = three().set_terminal_states(["b", "rest"], n_cells=5, agg="union")
    assert names(g.terminal_states) == ["b", "rest"]
    assert g.terminal_states.value_counts().to_dict() == {"b": 5, "rest": 10}
    g.set_terminal_states(n_cells=5).compute_fate_probabilities(keys=["b", "a, c"])
    merged = g.fate_probabilities
    g.compute_fate_probabilities(keys=["b", "rest"])
    assert g.fate_probabilities.names.tolist() == ["b", "rest"]
    assert_allclose(g.fate_probabilities.X, merged.X, atol=1e-11)


def test_names_with_commas():
    """Clusters may be called "naive, alpha-beta T cell", and macrostates of them are merged all the same."""
    g = three()
    g.adata.obs["clusters"] = g.adata.obs["clusters"].cat.rename_categories({"a": "a, x", "b": "a"})
    g.compute_macrostates(3, n_cells=5, cluster_key="clusters")
    for agg in ("top_n", "union"):
        g.set_terminal_states(["c, a, x", "a"], n_cells=5, agg=agg)
        assert sorted(names(g.terminal_states)) == ["a", "a, x, c"]
        size = {"top_n": 5, "union": 10}[agg]
        assert g.terminal_states.value_counts().to_dict() == {"a": 5, "a, x, c": size}
    g.set_terminal_states(n_cells=5)
    g.compute_fate_probabilities(keys=["a, x, a", "c"])
    three_fates = g.fate_probabilities
    assert sorted(three_fates.names) == ["a, a, x", "c"]
    g.compute_fate_probabilities()
    assert_allclose(three_fates["c"].X, g.fate_probabilities["c"].X, atol=1e-10)
    g.compute_absorption_times(keys=["a, x, a", "c"])
    assert sorted(g.absorption_times.columns) == ["a, a, x_mean", "c_mean"]


@pytest.mark.parametrize(
    ("states", "kwargs", "error", "message"),
    [
        (["nope"], {}, KeyError, "Invalid lineage name"),
        (["a, b", "b"], {}, ValueError, "overlapping keys"),
        (["a"], {"n_cells": 0}, ValueError, "to be positive"),
        (["a"], {"agg": "mean"}, ValueError, "Invalid option"),
        ([], {}, ValueError, "No macrostates have been selected"),
        (["a"], {"n_cells": 37}, ValueError, "decrease this to at most"),
        (["a"], {"cluster_key": "nope"}, KeyError, "Unable to find clusters"),
    ],
)
def test_errors_of_names(states, kwargs, error, message):
    g = three()
    with pytest.raises(error, match=message) as caught:
        g.set_terminal_states(states, **kwargs)
    assert isinstance(caught.value, fc.errors.FerrocyteError)
    assert g.terminal_states is None
    assert "term_states_fwd" not in g.adata.obs


def test_names_by_clusters():
    g = three(cluster_key=None)
    g.set_terminal_states(n_cells=5, cluster_key="clusters")
    assert sorted(names(g.terminal_states)) == ["a", "b", "c"]
    assert list(g.terminal_states_memberships.names) == names(g.terminal_states)
    assert list(g.terminal_states_memberships.colors) == list(g.adata.uns["term_states_fwd_colors"])


# By hand ----------------------------------------------------------------------------------------------------


def plain():
    return GPCCA(kernel_over(lumped(THREE, SIZES), SIZES))


def test_cells_by_name_position_mask_and_cluster():
    mask = np.zeros(36, dtype=bool)
    mask[[3, 4]] = True
    g = plain()
    for cells in (["c3", "c4"], [3, 4], np.array([4, 3]), mask, [-33, -32], pd.Index(["c4", "c3"])):
        g.set_terminal_states({"x": cells, "b": "c0"})
        assert g.terminal_states.dropna().to_dict() == {"c0": "b", "c3": "x", "c4": "x"}
        assert names(g.terminal_states) == ["b", "x"]
        assert g.terminal_states_memberships is None
        assert g.terminal_states_probabilities is None
    assert "term_states_fwd_probs" not in g.adata.obs
    assert "term_states_fwd_memberships" not in g.adata.obsm
    g.set_terminal_states({"clusters": ["c", "a"]})
    assert g.terminal_states.value_counts().to_dict() == {"a": 12, "c": 14}
    assert list(g.adata.uns["term_states_fwd_colors"]) == ["#ff0000", "#0000ff"]
    assert names(g.set_terminal_states({"clusters": "b"}).terminal_states) == ["b"]
    g.set_terminal_states({1: [0], 2: [1]})
    assert names(g.terminal_states) == ["1", "2"]


def test_a_series():
    g = plain()
    series = pd.Series(
        pd.Categorical([None] * 34 + ["y", "x"], categories=["y", "x"]), index=g.adata.obs_names
    )
    for given in (series, series[::-1], series.reset_index(drop=True)):
        g.set_terminal_states(given)
        assert g.terminal_states.dropna().to_dict() == {"c34": "y", "c35": "x"}
        assert names(g.terminal_states) == ["y", "x"]
    with pytest.warns(FerrocyteWarning, match="have no cells"):
        g.set_terminal_states(series.cat.add_categories(["z"]))
    assert names(g.terminal_states) == ["y", "x"]
    g.set_terminal_states(series, cluster_key="clusters")
    assert names(g.terminal_states) == ["c_1", "c_2"]


@pytest.mark.parametrize(
    ("states", "error", "message"),
    [
        ({"x": ["nope"]}, ValueError, "Invalid cell names"),
        ({"x": [36]}, ValueError, "Invalid cell positions"),
        ({"x": [0.5]}, ValueError, "names, positions or a mask"),
        ({"x": [True, False]}, ValueError, "36 entries"),
        ({"clusters": ["nope"]}, ValueError, "Unable to find cluster 'nope'"),
        ({"x": ["c0", "c1"], "y": ["c1"]}, ValueError, "'c1'"),
        ({1: [0], "1": [1]}, ValueError, "unique"),
        ({}, ValueError, "at least one state"),
        (pd.Series(["x"] * 36), TypeError, "categorical"),
        (pd.Series(pd.Categorical(["x"] * 35)), ValueError, "36 entries"),
        (pd.Series(pd.Categorical([None] * 36, categories=["x"])), ValueError, "No categories"),
        (
            pd.Series(pd.Categorical(["x"] * 36), index=[f"d{i}" for i in range(36)]),
            ValueError,
            "other names",
        ),
        (pd.Series(pd.Categorical([1, "1"] * 18)), ValueError, "unique"),
    ],
)
def test_errors_of_cells(states, error, message):
    g = plain()
    with pytest.raises(error, match=message) as caught:
        g.set_initial_states(states)
    assert isinstance(caught.value, fc.errors.FerrocyteError)
    assert g.initial_states is None
    assert "init_states_fwd" not in g.adata.obs


def test_empty_states_are_left_out():
    g = plain()
    with pytest.warns(FerrocyteWarning, match="'x' has no cells"):
        g.set_terminal_states({"x": [], "y": [1]})
    assert names(g.terminal_states) == ["y"]


# Overlap and names ------------------------------------------------------------------------------------------


def test_overlap():
    g = plain().set_terminal_states({"x": [0, 1, 2, 3]})
    with pytest.raises(ValueError, match=r"Found `3` overlapping.*initial 'y' with terminal 'x'"):
        g.set_initial_states({"y": [1, 2, 3, 4]})
    assert g.initial_states is None
    assert "init_states_fwd" not in g.adata.obs
    g.set_initial_states({"y": [1, 2, 3, 4]}, allow_overlap=True)
    assert g.initial_states.notna().sum() == 4
    # What was allowed stays allowed.
    g.rename_initial_states({"y": "z"})
    assert names(g.initial_states) == ["z"]
    m = three()
    m.predict_terminal_states(n_cells=5)
    with pytest.raises(ValueError, match="Found `5` overlapping"):
        m.set_initial_states("c", n_cells=5)


def test_rename():
    g = three()
    g.predict_terminal_states(n_cells=5).predict_initial_states(n_cells=5)
    before = names(g.terminal_states)
    params = g.params["term_states_fwd"]
    assert g.rename_terminal_states({}) is g
    assert g.rename_terminal_states({"b": "B"}) is g
    after = ["B" if n == "b" else n for n in before]
    assert names(g.terminal_states) == after == list(g.adata.obs["term_states_fwd"].cat.categories)
    assert list(g.terminal_states_memberships.names) == after
    assert list(g.adata.obsm["term_states_fwd_memberships"].names) == after
    assert g.params["term_states_fwd"] == params
    g.rename_terminal_states({"B": "c", "c": "B"})
    assert sorted(names(g.terminal_states)) == ["B", "c"]
    with pytest.raises(ValueError, match="Invalid terminal states names"):
        g.rename_terminal_states({"nope": "x"})
    with pytest.raises(ValueError, match="After renaming"):
        g.rename_terminal_states({"B": "c"})
    with pytest.raises(TypeError, match="dict"):
        g.rename_terminal_states(["B"])
    g.rename_initial_states({"a": 1})
    assert names(g.initial_states) == ["1"]
    with pytest.raises(RuntimeError, match="Compute terminal states"):
        plain().rename_terminal_states({"a": "b"})
    with pytest.raises(RuntimeError, match="Compute initial states"):
        plain().rename_initial_states({})


def test_states_as_in_the_base_class():
    class Hand(TermStatesEstimator):
        def fit(self):
            return self

        def predict(self):
            return self

    e = Hand(kernel_over(lumped(THREE, SIZES), SIZES))
    assert e.set_terminal_states({"clusters": ["c"]}).set_initial_states({"clusters": ["a"]}) is e
    assert repr(e) == "Hand[kernel=PrecomputedKernel[n=36], initial_states=['a'], terminal_states=['c']]"


# Scores -----------------------------------------------------------------------------------------------------


def test_tsi_by_hand():
    """With one macrostate c is found, with two and three b and c, of 1, 2 and 2."""
    g = three()
    before = g.macrostates
    assert g.tsi(3, ["b", "c"], "clusters", n_cells=5) == pytest.approx(1.0)
    assert g._tsi["number_of_macrostates"].tolist() == [3, 2, 1]
    assert g._tsi["optimal_identification"].tolist() == [2, 2, 1]
    assert g._tsi.attrs["terminal_states"] == ["b", "c"]
    assert g._tsi.attrs["cluster_key"] == "clusters"
    assert g.tsi(2) == pytest.approx(1.0)
    assert g.macrostates is before
    # a is no macrostate before there are three
    assert g.tsi(3, ["a", "c"], "clusters", n_cells=5) == pytest.approx((1 + 1 + 2) / (1 + 2 + 2))


def test_tsi_errors():
    g = three()
    with pytest.raises(TypeError, match="`cluster_key` to be a `str` or `None`"):
        g.tsi(3, ["b"], {"obs": "clusters"})
    with pytest.raises(RuntimeError, match="no earlier"):
        g.tsi(3)
    with pytest.raises(KeyError, match="Unable to find clusters"):
        g.tsi(3, ["b"], "nope")
    with pytest.raises(InvalidOptionError, match="Invalid terminal state 'nope'"):
        g.tsi(3, ["nope"], "clusters")
    with pytest.raises(InvalidOptionError, match="positive"):
        g.tsi(0, ["b"], "clusters")
    assert g._tsi is None


def test_tsi_keeps_names_with_underscores():
    """`B_cell` and `B_plasma` are two clusters, not one called `B`."""
    g = GPCCA(kernel_over(lumped(THREE, SIZES), SIZES))
    g.adata.obs["type"] = g.adata.obs["clusters"].cat.rename_categories(["stem", "B_cell", "B_plasma"])
    assert g.tsi(3, ["B_cell", "B_plasma"], "type", n_cells=5) == pytest.approx(1.0)


@pytest.mark.parametrize(("tree", "n_fates"), [("bifurcation", 2), ("trifurcation", 3), ("nested", 5)])
def test_the_number_of_fates_is_suggested(tree, n_fates):
    adata = fc.datasets.simulate(800, 50, tree, seed=1)
    k = fc.kernels.PseudotimeKernel(adata, time_key="pseudotime").compute_transition_matrix()
    g = GPCCA(k)
    table = g.suggest_n_states(2, 8, "cell_type", n_cells=20)
    assert table.index.tolist() == list(range(2, 9))
    assert table.index.name == "n_states"
    assert table.index[table["why"] != ""].tolist() == [n_fates]
    assert (table["min_chi"].dropna() <= 1e-12).all()
    assert table["crispness"].dropna().between(0, 1).all()
    assert table["purity"].dropna().between(0, 1).all()
    assert g.schur_vectors is None
    assert g.macrostates is None
    assert not g.params


def test_suggestion_by_hand():
    g = three()
    table = g.suggest_n_states(2, 4, "clusters", n_cells=5)
    values = np.sort(np.linalg.eigvals(THREE))[::-1]
    assert_allclose(table["eigenvalue"], [*values[1:], 0], atol=1e-8)
    assert_allclose(table.loc[3, "eigengap"], values[2], atol=1e-8)
    assert table.loc[3, "min_chi"] == pytest.approx(0, abs=1e-8)
    assert table.loc[3, "crispness"] == pytest.approx(1, abs=1e-8)
    assert table.loc[3, "min_stability"] == pytest.approx(0.90)
    assert table.loc[3, "purity"] == 1
    assert table.loc[3, "smallest_state"] == 10
    assert table.loc[3, "why"].startswith("largest eigengap")
    assert g.suggest_n_states(2, 3, n_cells=5)["purity"].isna().all()
    # All there are: no gap after the last.
    assert (
        "gap next to eigenvalues near 1: none is known"
        in GPCCA(fc.kernels.PrecomputedKernel(np.array([[0.9, 0.1], [0.2, 0.8]])))
        .suggest_n_states(2, 2, n_cells=1)
        .loc[2, "why"]
    )
    for bad in ({"n_min": 1}, {"n_max": 1}, {"n_min": 4, "n_max": 3}, {"n_max": 37}, {"n_cells": 0}):
        with pytest.raises(InvalidOptionError):
            g.suggest_n_states(**bad)


def test_numbers_that_split_pairs_are_no_choice():
    from reference.chains import CYCLE

    g = GPCCA(kernel_over(lumped(CYCLE, SIZES), SIZES))
    table = g.suggest_n_states(2, 3, n_cells=5)
    assert "complex" in table.loc[2, "problem"]
    assert np.isnan(table.loc[2, "crispness"])
    assert table.loc[3, "why"]
    assert not table.loc[2, "why"]
    with pytest.raises(InvalidDataError, match="Widen it"):
        g.suggest_n_states(2, 2, n_cells=5)


def test_require_names_the_remedy():
    g = plain()
    with pytest.raises(NotComputedError, match="Compute terminal states first"):
        g._require("terminal_states")
    with pytest.raises(NotComputedError, match="mine"):
        g._require("terminal_states", "mine")
