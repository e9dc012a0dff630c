"""Fate probabilities, absorption times and priming of estimators."""

from __future__ import annotations

import sys
import warnings

import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte import _options
from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    NotComputedError,
    NoTransientCellsError,
)
from ferrocyte.estimators import _absorption
from numpy.testing import assert_allclose, assert_array_equal
from reference.estimators import chain_estimator, estimator_of, fair_coin, snapshot, with_states
from reference.interrupted import interrupted

STEPS = ["compute_fate_probabilities", "compute_absorption_times"]


def random_chain(n, seed=0):
    """A chain of few and uneven transitions in which every cell reaches every other."""
    rng = np.random.default_rng(seed)
    T = sp.random(n, n, density=0.1, random_state=rng, format="csr") + sp.csr_matrix(np.eye(n, k=1))
    T = sp.lil_matrix(T)
    T[n - 1, 0] = 1
    T = T.tocsr()
    return sp.diags_array(1 / np.asarray(T.sum(axis=1)).ravel()) @ T


def dense_fates(T, groups):
    """`(I - Q)^-1 S` with dense matrices."""
    T = T.toarray()
    inside = np.concatenate(groups)
    outside = np.setdiff1d(np.arange(len(T)), inside)
    S = np.stack([T[np.ix_(outside, g)].sum(axis=1) for g in groups], axis=1)
    out = np.zeros((len(T), len(groups)))
    out[outside] = np.linalg.solve(np.eye(len(outside)) - T[np.ix_(outside, outside)], S)
    for k, g in enumerate(groups):
        out[g, k] = 1
    return out


# Fate probabilities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["gmres", "bicgstab", "direct", "lgmres", "gcrotmk"])
def test_gamblers_ruin(solver):
    """A fair coin on 0, ..., 10: from i the right end wins with probability i / 10."""
    est = chain_estimator(11)
    assert est.fate_probabilities is None
    assert est.compute_fate_probabilities(solver=solver) is None
    fate = est.fate_probabilities
    assert isinstance(fate, fc.Lineage)
    assert list(fate.names) == ["left", "right"]
    assert list(fate.colors) == ["#ff0000", "#00ff00"]
    assert_allclose(fate.X, np.stack([1 - np.arange(11) / 10, np.arange(11) / 10], axis=1), atol=1e-11)
    stored = est.adata.obsm["lineages_fwd"]
    assert isinstance(stored, fc.Lineage)
    assert_array_equal(stored.X, fate.X)
    params = dict(est.params["lineages_fwd"])
    info = params.pop("info")
    assert params == {
        "keys": None,
        "solver": solver,
        "tol": 1e-6,
        "preconditioner": None,
        "check_sum_tol": 1e-3,
    }
    assert info["residual"] <= 1e-6
    assert set(info) >= {"solver", "iterations", "residual"}


def test_states_are_selected_and_merged():
    T = random_chain(60)
    states = {"c": [3, 4], "a": [10], "d": [20, 21, 22], "b": [30]}
    groups = {k: np.array(v) for k, v in states.items()}
    est = estimator_of(T, states)
    est.compute_fate_probabilities()
    assert list(est.fate_probabilities.names) == ["c", "a", "d", "b"]
    assert_allclose(est.fate_probabilities.X, dense_fates(T, list(groups.values())), atol=1e-11)
    # single states in the order of the categories, then merged ones; the names of these sorted
    est.compute_fate_probabilities(["d, c", "b", "a"])
    assert list(est.fate_probabilities.names) == ["a", "b", "c, d"]
    merged = [groups["a"], groups["b"], np.r_[groups["c"], groups["d"]]]
    assert_allclose(est.fate_probabilities.X, dense_fates(T, merged), atol=1e-11)
    assert est.fate_probabilities.colors[:2].tolist() == ["#00ff00", "#ffff00"]
    # states that are left out are cells like any other
    est.compute_fate_probabilities(["a", "c"])
    assert_allclose(est.fate_probabilities.X, dense_fates(T, [groups["c"], groups["a"]]), atol=1e-11)


def test_a_state_whose_name_has_a_comma():
    """As macrostates that were merged before."""
    T = random_chain(30)
    est = estimator_of(T, {"a, b": [1], "b": [5], "c": [9]})
    est.compute_fate_probabilities(["a, b", "c"])
    assert list(est.fate_probabilities.names) == ["a, b", "c"]
    expected = dense_fates(T, [np.array([1]), np.array([9])])
    assert_allclose(est.fate_probabilities.X, expected, atol=1e-11)


def test_one_state_is_reached_with_certainty():
    est = chain_estimator(9)
    with pytest.warns(FerrocyteWarning, match="only 1 terminal state"):
        est.compute_fate_probabilities("left, right")
    assert_allclose(est.fate_probabilities.X, 1, atol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = snapshot(est)
        with pytest.raises(FerrocyteWarning):
            est.compute_fate_probabilities("left, right")
        assert snapshot(est) == before


def test_what_can_not_be_reached_is_zero_and_not_below():
    """Cells 0-39 run into `a` alone, 40-79 into `a` or `b`."""
    rng = np.random.default_rng(0)
    T = rng.random((80, 80))
    T[:40, 40:] = 0
    T /= T.sum(axis=1, keepdims=True)
    for solver in ("gmres", "bicgstab", "direct"):
        est = estimator_of(sp.csr_matrix(T), {"a": [0], "b": [79]})
        est.compute_fate_probabilities(solver=solver)
        fate = est.fate_probabilities.X
        assert fate.min() >= 0
        assert fate.max() <= 1
        assert_allclose(fate[:40, 0], 1, atol=1e-11)
        assert_allclose(fate.sum(axis=1), 1, atol=1e-10)


def test_a_dense_transition_matrix():
    kernel = fc.kernels.PrecomputedKernel(fair_coin(9).toarray())
    est = with_states(fc.estimators.GPCCA(kernel), {"left": [0], "right": [8]})
    est.compute_fate_probabilities()
    assert_allclose(est.fate_probabilities.X[:, 1], np.arange(9) / 8, atol=1e-11)


def test_threads_change_no_bit():
    T = random_chain(500)
    est = estimator_of(T, {"a": [1, 2], "b": [400]})
    est.compute_fate_probabilities()
    one = est.fate_probabilities.X.copy()
    est.compute_absorption_times(calculate_variance=True)
    times = est.absorption_times.copy()
    est.compute_fate_probabilities(n_jobs=2)
    assert_array_equal(est.fate_probabilities.X, one)
    est.compute_absorption_times(calculate_variance=True, n_jobs=2)
    pd.testing.assert_frame_equal(est.absorption_times, times, check_exact=True)


# Absorption times -------------------------------------------------------------------------------------


def test_times_to_the_end_of_a_walk():
    """A fair coin on 0, ..., n with a wall at 0: n^2 - i^2 steps to the other end. Both ends as one state:
    i (n - i) steps."""
    n = 10
    T = sp.lil_matrix(fair_coin(n + 1))
    T[0, 0], T[0, 1] = 0, 1
    est = estimator_of(T.tocsr(), {"end": [n]})
    est.compute_absorption_times()
    i = np.arange(n + 1)
    assert list(est.absorption_times.columns) == ["end_mean"]
    assert_array_equal(est.absorption_times.index, est.adata.obs_names)
    assert_allclose(est.absorption_times["end_mean"], n**2 - i**2, rtol=1e-10)
    est = chain_estimator(n + 1)
    est.compute_absorption_times("left, right")
    assert_allclose(est.absorption_times["left, right_mean"], i * (n - i), rtol=1e-10)
    assert est.fate_probabilities is None


def test_times_of_walks_that_win():
    """Gambler's ruin: walks from i that end right take (n^2 - i^2) / 3 steps on average."""
    n = 12
    est = chain_estimator(n + 1)
    est.compute_absorption_times(calculate_variance=True)
    table = est.absorption_times
    assert list(table.columns) == ["left_mean", "left_var", "right_mean", "right_var"]
    i = np.arange(1, n)
    assert_allclose(table["right_mean"].iloc[1:-1], (n**2 - i**2) / 3, rtol=1e-9)
    assert table["right_mean"].iloc[0] == np.inf
    assert np.isnan(table["right_var"].iloc[0])
    assert table["right_mean"].iloc[-1] == table["right_var"].iloc[-1] == 0
    assert_allclose(table["left_mean"].to_numpy(), table["right_mean"].to_numpy()[::-1], rtol=1e-9)
    stored = est.adata.obsm["absorption_times_fwd"]
    pd.testing.assert_frame_equal(stored, table)
    params = est.params["absorption_times_fwd"]
    assert params["calculate_variance"] is True
    assert params["info"]["residual"] < 1e-6


def test_variance_of_a_geometric_time():
    """One cell that leaves with probability p each step: mean 1 / p, variance (1 - p) / p^2."""
    p = 0.2
    T = np.array([[1 - p, p], [0, 1]])
    est = estimator_of(sp.csr_matrix(T), {"end": [1]})
    est.compute_absorption_times(calculate_variance=True)
    assert_allclose(est.absorption_times.to_numpy(), [[1 / p, (1 - p) / p**2], [0, 0]], rtol=1e-12)


# Priming ----------------------------------------------------------------------------------------------


def test_priming_on_paper():
    """(1/2, 1/2) has the largest entropy, log 2; the ends have none; (3/4, 1/4) is in between."""
    est = chain_estimator(5)
    est.compute_fate_probabilities()
    found = est.compute_lineage_priming("entropy")
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    share = 1 - entropy / np.log(2)
    assert_allclose(found, [1, share, 0, share, 1], atol=1e-10)
    assert isinstance(found, pd.Series)
    assert_array_equal(found.index, est.adata.obs_names)
    assert_array_equal(est.adata.obs["priming_degree_fwd"], found)
    assert_array_equal(est.priming_degree, found)
    assert est.params["priming_degree_fwd"] == {"method": "entropy", "early_cells": None}


def test_early_cells():
    est = chain_estimator(12)
    est.compute_fate_probabilities()
    adata = est.adata
    early = np.arange(12) < 5
    adata.obs["when"] = pd.Categorical(np.where(early, "young", "old"))
    expected = est.fate_probabilities.priming_degree(early_cells=early)
    for cells in (
        {"when": ["young"]},
        {"when": "young"},
        early,
        list(early),
        adata.obs_names[:5],
        pd.Series(early),
    ):
        assert_array_equal(est.compute_lineage_priming(early_cells=cells), expected)
    assert not np.array_equal(est.compute_lineage_priming(), expected)


def test_a_mask_by_names_of_cells_is_theirs_in_any_order():
    """Reversed, it is the same mask; labels that are no cells go by position."""
    est = chain_estimator(12)
    est.compute_fate_probabilities()
    mask = pd.Series(np.arange(12) < 5, index=est.adata.obs_names)
    expected = est.compute_lineage_priming(early_cells=mask.to_numpy())
    assert_array_equal(est.compute_lineage_priming(early_cells=mask[::-1]), expected)
    other = pd.Series(mask.to_numpy(), index=[f"other {i}" for i in range(12)])
    assert_array_equal(est.compute_lineage_priming(early_cells=other), expected)


@pytest.mark.parametrize(
    ("cells", "error", "match"),
    [
        ({"nothing": ["a"]}, KeyError, "nothing"),
        ({"number": [1]}, TypeError, "categorical"),
        ({"when": ["young"], "number": [1]}, ValueError, "one key"),
        ({"when": ["never"]}, ValueError, "never"),
        ([True, False], ValueError, "12"),
        (["0", "nobody"], KeyError, "first 'nobody'"),
        ([], ValueError, "at least one cell"),
        ([0.5], TypeError, "names of cells"),
        (np.zeros(12, dtype=bool), ValueError, "No early cells"),
    ],
)
def test_early_cells_that_are_not_there(cells, error, match):
    est = chain_estimator(12)
    est.compute_fate_probabilities()
    est.adata.obs["when"] = pd.Categorical(["young"] * 12)
    est.adata.obs["number"] = np.arange(12)
    before = snapshot(est)
    with pytest.raises(error, match=match):
        est.compute_lineage_priming(early_cells=cells)
    assert snapshot(est) == before


# What can go wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_without_states(step):
    est = fc.estimators.GPCCA(fc.kernels.PrecomputedKernel(fair_coin(5)))
    with pytest.raises(RuntimeError, match="Compute terminal states"):
        getattr(est, step)()
    with pytest.raises(NotComputedError, match="fate_probabilities"):
        est.compute_lineage_priming()


@pytest.mark.parametrize("step", STEPS)
def test_cells_that_are_caught_are_named_with_where(step):
    """0 - 1 end in 0; 2 goes to 3 - 4, which have no state, 5 is by itself."""
    T = np.zeros((6, 6))
    T[0, 0] = T[1, 0] = T[2, 3] = T[3, 4] = T[4, 3] = T[5, 5] = 1
    est = estimator_of(T, {"a": [0]})
    before = snapshot(est)
    with (
        pytest.warns(FerrocyteWarning) if step == STEPS[0] else warnings.catch_warnings(),
        pytest.raises(
            InvalidDataError,
            match=r"4 cell.*'2', '3', '4', '5'.*2 component.*2 cells with '3'; 1 cells with '5'",
        ) as caught,
    ):
        getattr(est, step)()
    assert caught.value.cells == [2, 3, 4, 5]
    assert snapshot(est) == before


WRONG = {
    "unknown state": ({"keys": ["nobody"]}, KeyError, "Invalid lineage name"),
    "overlap": ({"keys": ["left", "left, right"]}, ValueError, "overlapping"),
    "no state": ({"keys": []}, ValueError, "No states"),
    "solver": ({"solver": "cholesky"}, ValueError, "Invalid option"),
    "tol": ({"tol": 0}, ValueError, "tol"),
    "tol 1": ({"tol": 1.0}, ValueError, r"\(0, 1\)"),
    "tol, type": ({"tol": "small"}, TypeError, "tol"),
    "n_jobs": ({"n_jobs": -3}, ValueError, "n_jobs"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("step", STEPS)
def test_errors_change_nothing(step, case):
    est = chain_estimator(12)
    est.compute_fate_probabilities()
    est.compute_absorption_times()
    before = snapshot(est)
    options, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        getattr(est, step)(**options)
    assert snapshot(est) == before


def test_sums_are_checked():
    est = chain_estimator(12)
    with pytest.raises(ValueError, match="check_sum_tol"):
        est.compute_fate_probabilities(check_sum_tol=-1)
    T = random_chain(300)
    est = estimator_of(T, {"a": [1], "b": [7], "c": [9]})
    est.compute_fate_probabilities(check_sum_tol=1e-10)
    off = np.abs(est.fate_probabilities.X.sum(axis=1) - 1).max()
    if off == 0:
        pytest.skip("no row is off by a bit")
    with pytest.raises(ValueError, match=r"value\(s\) do not sum to 1 \(check_sum_tol="):
        est.compute_fate_probabilities(check_sum_tol=off / 2)


@pytest.mark.parametrize("step", STEPS)
def test_no_transient_cell(step):
    est = estimator_of(fair_coin(4), {"a": [0, 1], "b": [2, 3]})
    with pytest.raises(NoTransientCellsError, match="all 4"):
        getattr(est, step)()
    with pytest.raises(RuntimeError):
        getattr(est, step)()


def test_a_state_without_cells():
    est = estimator_of(fair_coin(4), {"a": [0], "nobody": [], "b": [3]})
    with pytest.raises(InvalidDataError, match="nobody"):
        est.compute_fate_probabilities()
    est.compute_fate_probabilities(["a", "b"])
    assert_allclose(est.fate_probabilities.X[:, 0], [1, 2 / 3, 1 / 3, 0], atol=1e-11)


@pytest.mark.parametrize(
    "options", [{"use_petsc": False}, {"backend": "threading"}, {"preconditioner": "hypre"}]
)
def test_what_has_no_effect_warns_once(options, monkeypatch):
    monkeypatch.setattr(_options, "_told", set())
    est = chain_estimator(8)
    with pytest.warns(FerrocyteWarning, match="no effect"):
        est.compute_fate_probabilities(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.compute_absorption_times(**options)


@pytest.mark.parametrize("preconditioner", _absorption.PRECONDITIONERS)
def test_preconditioners(preconditioner):
    est = chain_estimator(40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.compute_fate_probabilities(preconditioner=preconditioner)
    assert_allclose(est.fate_probabilities.X[:, 1], np.arange(40) / 39, atol=1e-11)


# Ctrl-C -----------------------------------------------------------------------------------------------

PRELUDE = """
import sys
import numpy as np, anndata as ad
sys.path.insert(0, {tests!r})
from reference.estimators import chain_estimator, snapshot
est = chain_estimator(2000, ad.AnnData(np.random.default_rng(0).random((2000, 400))))
est.compute_fate_probabilities()
est.compute_absorption_times()
est.compute_lineage_priming()
est.compute_lineage_drivers()
before = snapshot(est)
try:
    started()
    est.compute_lineage_drivers(method="perm_test", n_perms=200_000, seed=0, n_jobs=2)
except KeyboardInterrupt:
    stopped()
    assert snapshot(est) == before, "something has changed"
else:
    sys.exit("was not interrupted")
assert np.isfinite(est.compute_lineage_drivers(method="perm_test", n_perms=3, seed=0)["left_pval"]).all()
print("repeated", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c():
    from pathlib import Path

    assert interrupted(PRELUDE.format(tests=str(Path(__file__).parent))) == ["repeated"]


@pytest.mark.parametrize("step", [*STEPS, "compute_lineage_priming", "compute_lineage_drivers"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_ctrl_c_while_storing(step, at, monkeypatch):
    """However far the store has come, everything is as before."""
    from ferrocyte import _results

    est = chain_estimator(12)
    for method in (*STEPS, "compute_lineage_priming", "compute_lineage_drivers"):
        getattr(est, method)()
    before = snapshot(est)
    calls = iter(range(100))
    put = _results._put

    def interrupted(store, key, value):
        put(store, key, value)
        if next(calls) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(_results, "_put", interrupted)
    try:
        getattr(est, step)()
    except KeyboardInterrupt:
        monkeypatch.undo()
        assert snapshot(est) == before
    else:
        assert at > 0, "nothing was stored"
