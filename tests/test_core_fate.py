"""Absorption probabilities and times, and components: on paper, against dense solves, on slow chains."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import ConvergenceError, InvalidDataError, InvalidOptionError
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

SOLVERS = [
    {"solver": "gmres"},
    {"solver": "gmres", "preconditioner": "jacobi"},
    {"solver": "gmres", "preconditioner": "multilevel"},
    {"solver": "bicgstab"},
    {"solver": "bicgstab", "preconditioner": "multilevel"},
    {"solver": "direct"},
]


def chain(rows):
    return sp.csr_matrix(np.asarray(rows, dtype=float))


def walk(n, p=0.5):
    """On 0..=n, one step right with probability p, else left; both ends absorb."""
    T = np.zeros((n + 1, n + 1))
    T[0, 0] = T[n, n] = 1
    for i in range(1, n):
        T[i, i + 1], T[i, i - 1] = p, 1 - p
    return chain(T)


def neighbors(n, seed, degree=8, drift=0.0):
    """A walk on points of a plane, preferring the right for a positive drift."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2))
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)
    near = np.argsort(distances, axis=1)[:, : degree + 1]
    W = np.zeros((n, n))
    np.put_along_axis(W, near, np.exp(-np.take_along_axis(distances, near, axis=1)), axis=1)
    W = (W + W.T) * np.exp(drift * (points[None, :, 0] - points[:, None, 0]))
    return W / W.sum(1, keepdims=True)


def slow(eps, n=5000, n_blocks=5, seed=0):
    """Rings with chords, left for the next and the last only from two cells each, with probability eps."""
    rng = np.random.default_rng(seed)
    m = n // n_blocks
    i = np.arange(n)
    base = i - i % m
    steps = [1, m - 1, 2, m - 2, *rng.integers(3, m - 3, size=4)]
    cols = np.stack([base + (i % m + s) % m for s in steps])
    W = sp.coo_matrix((rng.random(cols.shape).ravel(), (np.tile(i, len(steps)), cols.ravel())), shape=(n, n))
    W = sp.diags(1 / np.asarray(W.sum(1)).ravel()) @ W.tocsr()
    exits = np.arange(n_blocks)[:, None] * m + np.array([1, m // 3, m // 2, m - 9])
    entries = (exits + m * np.array([1, 1, -1, -1]) + 7) % n
    over = sp.coo_matrix((np.full(exits.size, eps), (exits.ravel(), entries.ravel())), shape=(n, n))
    T = sp.csr_matrix(W + over)
    T = sp.csr_matrix(sp.diags(1 / np.asarray(T.sum(1)).ravel()) @ T)
    T.sort_indices()
    target = np.full(n, -1)
    target[100:110], target[3 * m + 50 : 3 * m + 60] = 0, 1
    return T, target


def exact(T, target):
    """Elimination of all transient states but none of the subtractions: exact to a few units of round-off."""
    T = T.toarray()
    transient = np.flatnonzero(target < 0)
    k = target.max() + 1
    hits = np.stack([T[np.ix_(transient, np.flatnonzero(target == c))].sum(1) for c in range(k)], axis=1)
    A = np.hstack([T[np.ix_(transient, transient)], hits])
    n = len(transient)
    for i in range(n):
        A[i, i] = 0
        A[i] /= A[i, i + 1 :].sum() if i == n - 1 or A[i, i + 1 :].any() else 1
        A[i + 1 :, i + 1 :] += np.outer(A[i + 1 :, i], A[i, i + 1 :])
    X = np.zeros((n, k))
    for i in range(n - 1, -1, -1):
        X[i] = A[i, n:] + A[i, i + 1 : n] @ X[i + 1 :]
    out = np.zeros((len(target), k))
    out[transient] = X
    out[target >= 0, target[target >= 0]] = 1
    return out


def times(T, target):
    """Mean and variance of conditional absorption times by dense solves."""
    transient, k = target < 0, target.max() + 1
    T = T.toarray() if sp.issparse(T) else T
    Q = T[np.ix_(transient, transient)]
    A = np.eye(len(Q)) - Q
    mean, variance = np.full((2, len(target), k), np.nan)
    mean[:] = np.inf
    for c in range(k):
        h = np.linalg.solve(A, T[np.ix_(transient, target == c)].sum(1))
        m = np.linalg.solve(A, h) / h
        second = np.linalg.solve(A, 2 * h * m - h) / h
        mean[transient, c], variance[transient, c] = m, second - m**2
        mean[target == c, c] = variance[target == c, c] = 0
    return mean, variance


@pytest.mark.parametrize("options", SOLVERS)
def test_gamblers_ruin(options):
    """A fair game from i of n: the right end with probability i/n."""
    target = np.array([0, *[-1] * 49, 1])
    x, info = _core.absorption_probabilities(walk(50), target, **options)
    i = np.arange(51)
    assert_allclose(x, np.stack([1 - i / 50, i / 50], axis=1), atol=1e-12)
    assert info["residual"] <= 1e-8
    assert set(info) == {"solver", "preconditioner", "iterations", "residual", "error"}


def test_an_unfair_game():
    """With p != q the right end has probability (1 - (q/p)^i) / (1 - (q/p)^n)."""
    i, r = np.arange(31), 0.6 / 0.4
    x, _ = _core.absorption_probabilities(walk(30, 0.4), np.array([0, *[-1] * 29, 1]))
    assert_allclose(x[:, 1], (1 - r**i) / (1 - r**30), atol=1e-12)


@pytest.mark.parametrize("options", SOLVERS)
def test_hitting_times_of_a_fair_game(options):
    """To either end from i: mean i (n - i), variance i (n - i) (i^2 + (n - i)^2 - 2) / 3."""
    n, i = 20, np.arange(21)
    mean, variance, _ = _core.absorption_times(
        walk(n), np.array([0, *[-1] * 19, 0]), variance=True, **options
    )
    assert_allclose(mean[:, 0], i * (n - i), rtol=1e-11)
    expected = i * (n - i) * (i**2 + (n - i) ** 2 - 2) / 3
    expected[[0, n]] = 0
    assert_allclose(variance[:, 0], expected, rtol=1e-10)


def test_conditional_times_of_a_fair_game():
    """Walks from i that end on the right take (n^2 - i^2) / 3 steps; on the left by symmetry."""
    n, i = 12, np.arange(1, 12)
    mean, variance, _ = _core.absorption_times(walk(n), np.array([0, *[-1] * 11, 1]))
    assert variance is None
    assert_allclose(mean[1:n, 1], (n**2 - i**2) / 3, rtol=1e-11)
    assert_allclose(mean[1:n, 0], (n**2 - (n - i) ** 2) / 3, rtol=1e-11)
    assert_array_equal(mean[[0, n]], [[0, np.inf], [np.inf, 0]])


def test_times_on_a_cycle():
    """Around a cycle of n a target at distance d takes d (n - d) steps."""
    n = 15
    T = chain((np.roll(np.eye(n), 1, axis=1) + np.roll(np.eye(n), -1, axis=1)) / 2)
    target = np.full(n, -1)
    target[0] = 0
    mean, _, _ = _core.absorption_times(T, target)
    d = np.arange(n)
    assert_allclose(mean[:, 0], d * (n - d), rtol=1e-11)


def test_a_lazy_chain_waits():
    """Staying with probability s: geometric, mean 1/(1-s), variance s/(1-s)^2."""
    T = chain([[0.75, 0.25], [0, 1]])
    mean, variance, _ = _core.absorption_times(T, np.array([-1, 0]), variance=True)
    assert_allclose(mean[:, 0], [4, 0], rtol=1e-13)
    assert_allclose(variance[:, 0], [12, 0], rtol=1e-13)


def test_a_chain_without_chance_has_no_variance():
    T = chain(np.eye(6, k=1) + np.diag([0, 0, 0, 0, 0, 1.0]))
    target = np.array([-1, -1, -1, -1, -1, 0])
    mean, variance, _ = _core.absorption_times(T, target, variance=True)
    assert_allclose(mean[:, 0], [5, 4, 3, 2, 1, 0], rtol=1e-14)
    assert_array_equal(variance[:, 0], 0)


@pytest.mark.parametrize("options", SOLVERS)
@pytest.mark.parametrize("drift", [0.0, 1.5])
def test_against_dense_solves(options, drift):
    n = 400
    T = neighbors(n, 1, drift=drift)
    target = np.full(n, -1)
    rng = np.random.default_rng(0)
    target[rng.choice(n, 24, replace=False)] = np.arange(24) % 4
    x, info = _core.absorption_probabilities(sp.csr_matrix(T), target, **options)
    transient = target < 0
    A = np.eye(transient.sum()) - T[np.ix_(transient, transient)]
    b = np.stack([T[np.ix_(transient, target == c)].sum(1) for c in range(4)], axis=1)
    assert_allclose(x[transient], np.linalg.solve(A, b), atol=1e-12)
    residual = np.linalg.norm(b - A @ x[transient], axis=0) / np.linalg.norm(b, axis=0)
    assert residual.max() < 1e-11
    assert info["residual"] < 1e-11
    assert_array_equal(x[~transient], np.eye(4)[target[~transient]])
    mean, variance, _ = _core.absorption_times(sp.csr_matrix(T), target, variance=True, **options)
    want_mean, want_variance = times(T, target)
    reached = x > 1e-6  # below, the dense solution itself is no longer accurate
    assert_allclose(mean[reached], want_mean[reached], rtol=1e-7)
    assert_allclose(variance[reached], want_variance[reached], rtol=1e-6)
    assert_array_equal(np.isinf(mean[~transient]), np.eye(4)[target[~transient]] == 0)
    assert_array_equal(np.isnan(variance[~transient]), np.eye(4)[target[~transient]] == 0)


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9])
def test_slowly_mixing_chains(eps):
    """Where a residual of 1e-8 would leave errors of any size, probabilities are accurate to 1e-10."""
    T, target = slow(eps, n=1000)
    want = exact(T, target)
    assert 0.05 < want[500, 0] < 0.95, "the case is meant to be undecided"
    for options in SOLVERS:
        x, _ = _core.absorption_probabilities(T, target, **options)
        assert_allclose(x, want, atol=1e-10, err_msg=str(options))


def test_a_large_slowly_mixing_chain():
    T, target = slow(1e-6)
    target[2500:2505] = 2
    x, info = _core.absorption_probabilities(T, target)
    assert info["residual"] < 1e-8
    assert_allclose(x.sum(1), 1, atol=1e-10)
    assert x.min() >= 0
    assert x.max() <= 1
    assert_allclose(x, _core.absorption_probabilities(T, target, solver="direct")[0], atol=1e-10)
    assert_allclose(T[target < 0] @ x, x[target < 0], atol=1e-14)


def brisk(n, k, drift=0.0):
    """A walk on points of a plane that soon meets one of the 20 states of each of k targets."""
    rng = np.random.default_rng(5)
    points = rng.normal(size=(n, 2))
    distances, near = cKDTree(points).query(points, 16)
    W = sp.csr_matrix(
        (np.exp(-(distances**2)).ravel(), (np.repeat(np.arange(n), 16), near.ravel())), shape=(n, n)
    )
    W = sp.coo_matrix(W + W.T)
    W = sp.csr_matrix((W.data * np.exp(drift * (points[W.col, 0] - points[W.row, 0])), (W.row, W.col)))
    T = sp.csr_matrix(sp.diags(1 / np.asarray(W.sum(1)).ravel()) @ W)
    T.sort_indices()
    target = np.full(n, -1)
    target[rng.choice(n, 20 * k, replace=False)] = np.arange(20 * k) % k
    return T, target


@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_large_chains_that_mix_fast(k, drift):
    """They are solved before a strong preconditioner is built, and the bound of the error is one."""
    T, target = brisk(4000, k, drift)
    x, info = _core.absorption_probabilities(T, target)
    assert (info["solver"], info["preconditioner"]) == ("bicgstab", "ilu")
    transient = target < 0
    A = sp.eye(transient.sum(), format="csr") - T[transient][:, transient]
    b = np.stack([np.asarray(T[transient][:, target == c].sum(1)).ravel() for c in range(k)], axis=1)
    want = splu(sp.csc_matrix(A)).solve(b)
    assert np.abs(x[transient] - want).max() <= info["error"] <= 1e-11
    assert_allclose(x.sum(1), 1, atol=1e-11)
    assert x.min() >= 0
    assert x.max() <= 1
    assert_array_equal(x[~transient], np.eye(k)[target[~transient]])
    residual = np.linalg.norm(b - A @ x[transient], axis=0) / np.linalg.norm(b, axis=0)
    assert residual.max() < 1e-11
    for threads in (2, 4):
        more = _core.absorption_probabilities(T, target, threads=threads)
        assert more[0].tobytes() == x.tobytes()
        assert more[1] == info
    thorough, other = _core.absorption_probabilities(T, target, preconditioner="multilevel")
    assert other["preconditioner"] == "multilevel"
    assert_allclose(x, thorough, atol=1e-11)


def test_large_chains_that_mix_slowly():
    """The first attempt is given up, or its answer is as good."""
    T, target = slow(1e-9)
    x, info = _core.absorption_probabilities(T, target)
    assert info["preconditioner"] == "multilevel"
    thorough, _ = _core.absorption_probabilities(T, target, preconditioner="multilevel")
    assert_array_equal(x, thorough)


def test_states_without_a_way_in_a_large_chain_are_named():
    T, target = brisk(3000, 3)
    T = sp.block_diag([T, sp.csr_matrix([[0.5, 0.5], [1, 0]])], format="csr")
    with pytest.raises(InvalidDataError, match=r"2 state\(s\) can not reach any target") as caught:
        _core.absorption_probabilities(T, np.r_[target, -1, -1])
    assert caught.value.cells == [3000, 3001]


def test_a_few_iterations_that_are_not_enough():
    T, target = brisk(4000, 3)
    x, info = _core.absorption_probabilities(T, target, max_iter=5)
    assert info["preconditioner"] != "ilu"
    assert_allclose(x, _core.absorption_probabilities(T, target)[0], atol=1e-11)


def test_two_closed_classes():
    """A reducible chain: each class is a target, from the middle they are reached 1 : 2."""
    T = chain(
        [
            [0.5, 0.5, 0, 0, 0],
            [0.5, 0.5, 0, 0, 0],
            [0.1, 0, 0.7, 0.1, 0.1],
            [0, 0, 0, 0.2, 0.8],
            [0, 0, 0, 1, 0],
        ]
    )
    x, _ = _core.absorption_probabilities(T, np.array([0, 0, -1, 1, 1]))
    assert_allclose(x[2], [1 / 3, 2 / 3], atol=1e-15)
    labels, closed = _core.strong_components(T)
    assert_array_equal(labels, [0, 0, 1, 2, 2])
    assert_array_equal(closed, [True, False, True])


def test_one_target_is_certain():
    T = sp.csr_matrix(neighbors(60, 3))
    target = np.full(60, -1)
    target[:3] = 0
    x, _ = _core.absorption_probabilities(T, target)
    assert_array_equal(x, 1)


def test_nothing_left_to_solve():
    x, info = _core.absorption_probabilities(chain(np.eye(3)), np.array([1, 0, 1]))
    assert_array_equal(x, [[0, 1], [1, 0], [0, 1]])
    mean, variance, _ = _core.absorption_times(chain(np.eye(3)), np.array([1, 0, 1]), variance=True)
    assert_array_equal(mean, [[np.inf, 0], [0, np.inf], [np.inf, 0]])
    assert_array_equal(variance, [[np.nan, 0], [0, np.nan], [np.nan, 0]])
    assert info["iterations"] == 0


def test_row_sums_a_little_off_one_do_no_harm():
    """Rows may sum to 1 within 1e-8; where a walk takes a million steps that must not add up."""
    T, target = slow(1e-6, n=1000)
    rng = np.random.default_rng(0)
    off = sp.csr_matrix(sp.diags(1 + 5e-9 * rng.uniform(-1, 1, 1000)) @ T)
    off.sort_indices()
    assert_allclose(
        _core.absorption_probabilities(off, target)[0],
        _core.absorption_probabilities(T, target)[0],
        atol=1e-12,
    )


@pytest.mark.parametrize("options", SOLVERS)
def test_threads_change_no_bit(options):
    T = sp.csr_matrix(neighbors(500, 2, drift=0.5))
    target = np.full(500, -1)
    target[:36] = np.arange(36) % 12
    one = _core.absorption_probabilities(T, target, threads=1, **options)
    moments = _core.absorption_times(T, target, variance=True, threads=1, **options)
    for threads in (2, 4):
        more = _core.absorption_probabilities(T, target, threads=threads, **options)
        assert one[0].tobytes() == more[0].tobytes()
        assert one[1] == more[1]
        again = _core.absorption_times(T, target, variance=True, threads=threads, **options)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(moments[:2], again[:2], strict=True))


@pytest.mark.parametrize("options", SOLVERS)
def test_a_long_fair_game(options):
    """From i of 5000 the right end wins with probability i/5000, after some six million steps."""
    n = 5000
    i = np.arange(n + 1)
    inner = i[1:-1]
    T = sp.csr_matrix(
        (
            np.r_[1, 1, np.full(2 * len(inner), 0.5)],
            (np.r_[0, n, inner, inner], np.r_[0, n, inner - 1, inner + 1]),
        )
    )
    target = np.full(n + 1, -1)
    target[[0, n]] = 0, 1
    x, _ = _core.absorption_probabilities(T, target, **options)
    assert_allclose(x[:, 1], i / n, atol=1e-11)
    assert_allclose(x.sum(1), 1, atol=1e-11)
    target[n] = 0
    mean, _, _ = _core.absorption_times(T, target, **options)
    assert_allclose(mean[:, 0], i * (n - i), rtol=1e-9)


def test_times_of_rare_walks():
    """Every walk from i to the left end takes as many steps to the left as in a game turned round, where
    it is the rule: its length has the same distribution, although here it ends there once in 1e12."""
    n = 80
    target = np.full(n + 1, -1)
    target[[0, n]] = 0, 1
    rare = _core.absorption_times(walk(n, 0.6), target, variance=True)
    usual = _core.absorption_times(walk(n, 0.4), target, variance=True)
    x, _ = _core.absorption_probabilities(walk(n, 0.6), target)
    inner = np.arange(1, 69)
    assert 1e-14 < x[68, 0] < 2e-12
    assert_allclose(rare[0][inner, 0], usual[0][inner, 0], rtol=1e-6)
    assert_allclose(rare[1][inner, 0], usual[1][inner, 0], rtol=1e-5)


@pytest.mark.parametrize("drift", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("options", [{}, {"solver": "bicgstab"}])
def test_targets_against_the_drift(drift, options):
    """Targets where the chain hardly ever goes: they are reached after 1e9 steps and more, and yet found."""
    n = 600
    T = neighbors(n, 4, drift=drift)
    order = np.argsort(np.random.default_rng(4).normal(size=(n, 2))[:, 0])  # the points of `neighbors`
    target = np.full(n, -1)
    target[order[:3]], target[order[3:6]], target[order[6:9]] = 0, 1, 2
    x, _ = _core.absorption_probabilities(sp.csr_matrix(T), target, **options)
    assert_allclose(x, exact(sp.csr_matrix(T), target), atol=1e-10)
    assert_allclose(x.sum(1), 1, atol=1e-10)


def test_one_way_through_blocks():
    """Strong components one after the other: nothing ever returns to an earlier one."""
    m, n_blocks = 150, 4
    n = m * n_blocks
    rng = np.random.default_rng(0)
    T = np.zeros((n, n))
    for b in range(n_blocks):
        rows = slice(b * m, (b + 1) * m)
        T[rows, rows] = neighbors(m, b)
        if b + 1 < n_blocks:
            from_, to = rng.choice(m, 5) + b * m, rng.choice(m, 5) + (b + 1) * m
            T[from_, to] += 1e-3
    T /= T.sum(1, keepdims=True)
    shuffled = rng.permutation(n)
    T = T[np.ix_(shuffled, shuffled)]
    target = np.full(n, -1)
    last = np.flatnonzero(shuffled >= n - m)
    target[last[:4]], target[last[4:8]], target[np.flatnonzero(shuffled < 3)] = 0, 1, 2
    x, _ = _core.absorption_probabilities(sp.csr_matrix(T), target)
    assert_allclose(x, exact(sp.csr_matrix(T), target), atol=1e-11)
    assert_array_equal(x[(shuffled >= m) & (target < 0), 2], 0)
    labels, closed = _core.strong_components(sp.csr_matrix(T))
    assert len(closed) == n_blocks
    assert all(len(np.unique(labels[shuffled // m == b])) == 1 for b in range(n_blocks))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("solver", ["gmres", "bicgstab"])
def test_threads_share_one_system_and_change_no_bit(k, solver):
    n = 20_000
    T, _ = slow(1e-3, n=n)
    target = np.full(n, -1)
    target[: 5 * k] = np.arange(5 * k) % k
    one = _core.absorption_times(T, target, threads=1, solver=solver)
    for threads in (2, 4):
        more = _core.absorption_times(T, target, threads=threads, solver=solver)
        assert one[0].tobytes() == more[0].tobytes()
        assert one[2] == more[2]


def test_states_without_a_way_are_named():
    T = chain([[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    with pytest.raises(InvalidDataError, match=r"2 state\(s\) can not reach any target") as caught:
        _core.absorption_probabilities(T, np.array([-1, 0, -1, -1]))
    assert caught.value.cells == [2, 3]
    with pytest.raises(InvalidDataError, match="can not reach"):
        _core.absorption_times(T, np.array([-1, 0, -1, -1]))


@pytest.mark.parametrize(
    ("target", "options", "error", "match"),
    [
        ([-1, -1], {}, InvalidDataError, "at least one target"),
        ([-1, 1], {}, InvalidOptionError, "without gaps"),
        ([-2, 0], {}, InvalidOptionError, "-1 for none"),
        ([-1, 0, 0], {}, InvalidDataError, r"one entry per state \(2\)"),
        ([-1, 0], {"solver": "lu"}, InvalidOptionError, "'gmres', 'bicgstab', 'direct'"),
        ([-1, 0], {"preconditioner": "amg"}, InvalidOptionError, "'multilevel'"),
        ([-1, 0], {"tol": 0.0}, InvalidOptionError, "tol"),
        ([-1, 0], {"tol": np.nan}, InvalidOptionError, "tol"),
        ([-1, 0], {"max_iter": 0}, InvalidOptionError, "max_iterations"),
    ],
)
@pytest.mark.parametrize("function", [_core.absorption_probabilities, _core.absorption_times])
def test_bad_arguments(function, target, options, error, match):
    with pytest.raises(error, match=match):
        function(chain([[0.5, 0.5], [0, 1]]), np.array(target), **options)


def test_a_target_number_far_too_large_is_refused():
    with pytest.raises(InvalidOptionError, match="without gaps"):
        _core.absorption_probabilities(chain([[0.5, 0.5], [0, 1]]), np.array([-1, 2**62]))


def test_a_chain_too_large_to_factorise():
    n = 20_000
    i = np.arange(n)
    T = sp.csr_matrix(
        (np.full(2 * n, 0.5), (np.tile(i, 2), np.r_[np.minimum(i + 1, n - 1), np.maximum(i - 1, 0)]))
    )
    T.sort_indices()  # scipy does so by itself from some version on
    target = np.full(n, -1)
    target[[0, -1]] = 0, 1
    with pytest.raises(ConvergenceError, match="at most 16000"):
        _core.absorption_probabilities(T, target, solver="direct")
    # Incomplete elimination of a line is complete; the mean takes 1e8 steps.
    x, _ = _core.absorption_probabilities(T, target)
    assert_allclose(x[:, 1], i / (n - 1), atol=1e-12)


def test_it_can_be_stopped():
    class EnoughError(Exception):
        pass

    def progress(done, total):
        raise EnoughError

    n = 40_000
    rng = np.random.default_rng(0)
    W = sp.csr_matrix(
        (rng.random(30 * n), (np.repeat(np.arange(n), 30), rng.integers(n, size=30 * n))), shape=(n, n)
    )
    T = sp.csr_matrix(sp.diags(1 / np.asarray(W.sum(1)).ravel()) @ W)
    T.sort_indices()
    target = np.full(n, -1)
    target[:12] = np.arange(12)
    before = threading.active_count()
    with pytest.raises(EnoughError):
        _core.absorption_times(T, target, variance=True, tol=1e-13, progress=progress)
    assert threading.active_count() == before


def test_components_against_scipy():
    rng = np.random.default_rng(0)
    for density in (0.005, 0.01, 0.03):
        W = sp.random(300, 300, density, random_state=rng, format="csr")
        W.sort_indices()
        labels, closed = _core.strong_components(W)
        n, want = sp.csgraph.connected_components(W, connection="strong")
        assert len(closed) == n
        pairs = {(a, b) for a, b in zip(labels, want, strict=True)}
        assert len(pairs) == n, "the partitions differ"
        first = [np.flatnonzero(labels == c)[0] for c in range(n)]
        assert first == sorted(first)
        for c in range(n):
            leaves = W[labels == c][:, labels != c].nnz > 0
            assert closed[c] != leaves
