"""`gpcca_macrostates`, `gpcca_min_chi` and `coarse_transition_matrix`."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_gpcca as naive
from reference.matrices import csr, random_graph, row_normalized
from scipy.spatial import ConvexHull


def blocks(sizes, link, seed=0):
    """Clouds of cells, all members of which go to the next cloud with probability `link`."""
    n, ends = sum(sizes), np.cumsum(sizes)
    parts = [row_normalized(random_graph(k, min(6, k - 1), seed + i)) for i, k in enumerate(sizes)]
    T = (1 - link) * sp.block_diag(parts, format="csr")
    label = np.repeat(np.arange(len(sizes)), sizes)
    first = np.r_[0, ends[:-1]]
    away = sp.csr_matrix((np.full(n, link), (np.arange(n), first[(label + 1) % len(sizes)])), shape=(n, n))
    out = sp.csr_matrix(T + away)
    out.sort_indices()
    return out, label


def schur(T, n, initial=None):
    return _core.schur_decomposition(T, initial, n_components=n)[:2]


def macrostates(X, m, d=None, **options):
    """Memberships, rotation, crispness and minChi; what always holds is checked."""
    chi, A, crispness, min_chi, _ = _core.gpcca_macrostates(X, m, **options)
    assert chi.min() >= 0
    assert_allclose(chi.sum(axis=1), 1, atol=1e-13)
    assert_allclose(chi, X[:, :m] @ A, atol=1e-9)
    assert_allclose(crispness, naive.crispness(A), rtol=1e-12)
    assert_allclose(crispness, naive.crispness_of(chi, d), rtol=1e-7)
    simplex = X[:, :m] @ np.linalg.inv(X[naive.corners(X[:, :m]), :m])
    assert_allclose(min_chi, min(simplex.min(), 0), atol=1e-9)
    assert min_chi == _core.gpcca_min_chi(X, m)
    return chi, A, crispness, min_chi


def sets_of(X, seed, n, m):
    """Any basis with a constant first column will do as Schur vectors."""
    rng = np.random.default_rng(seed)
    values = np.c_[np.ones(n), rng.normal(size=(n, m - 1)) if X is None else X]
    Q = np.linalg.qr(values)[0] * np.sqrt(n)
    return np.ascontiguousarray(Q * np.where(np.arange(m) == 0, np.sign(Q[0]), 1))


def test_two_states_on_paper():
    """With two states the answer is the second vector, shifted and scaled to [0, 1]."""
    x = np.array([-2.0, -1.0, 0.0, 0.5, 2.5])
    X = np.c_[np.ones(5), x / np.sqrt(np.mean(x**2))]
    chi, _, crispness, min_chi = macrostates(X, 2)
    expected = (x + 2) / 4.5
    first = int(chi[4, 1] < 0.5)
    assert_allclose(chi[:, 1 - first], expected, atol=1e-10)
    assert_allclose(crispness, naive.crispness_of(np.c_[expected, 1 - expected]))
    assert_allclose(min_chi, 0, atol=1e-15)


@pytest.mark.parametrize("sizes", [(20, 30), (20, 30, 25), (40, 15, 15, 30)])
def test_clouds_that_do_not_communicate_are_the_states(sizes):
    T, label = blocks(sizes, 0.0)
    X, _R = schur(T, len(sizes))
    chi, _A, crispness, min_chi = macrostates(X, len(sizes))
    assert_allclose(np.sort(chi, axis=1)[:, -1], 1, atol=1e-8)
    assert_array_equal(np.unique(np.c_[label, chi.argmax(axis=1)], axis=0).shape, (len(sizes), 2))
    assert_allclose([crispness, min_chi], [1, 0], atol=1e-8)
    assert_allclose(_core.coarse_transition_matrix(T, chi, None), np.eye(len(sizes)), atol=1e-8)


@pytest.mark.parametrize("link", [1e-2, 1e-4, 1e-6])
def test_clouds_that_hardly_communicate_nearly_are(link):
    """Every cell leaves its cloud with probability `link`: the lumped chain is known exactly, memberships
    differ from the indicators by the order of `link`."""
    T, label = blocks((20, 30, 25), link)
    X, _R = schur(T, 3)
    chi, _A, crispness, _ = macrostates(X, 3)
    order = [int(np.bincount(chi[label == k].argmax(axis=1)).argmax()) for k in range(3)]
    assert sorted(order) == [0, 1, 2]
    assert_allclose(chi[:, order], np.eye(3)[label], atol=20 * link)
    assert crispness > 1 - 40 * link
    coarse = _core.coarse_transition_matrix(T, chi, None)[np.ix_(order, order)]
    assert_allclose(
        coarse, (1 - link) * np.eye(3) + link * np.roll(np.eye(3), 1, axis=1), atol=40 * link**2 + 1e-9
    )


@pytest.mark.parametrize(("n", "m", "seed"), [(60, 2, 0), (150, 3, 1), (300, 3, 2), (120, 4, 3), (200, 4, 4)])
def test_not_less_crisp_than_the_slow_version(n, m, seed):
    T, _ = blocks((n // 3, n // 3, n - 2 * (n // 3)), 0.05, seed)
    X, _R = schur(T, m)
    m = X.shape[1]
    chi, _, crispness, _ = macrostates(X, m)
    slow, value = naive.gpcca(X)
    assert crispness >= value - 1e-9
    if crispness - value < 1e-8:
        order = [int(np.abs(chi - slow[:, [j]]).max(axis=0).argmin()) for j in range(m)]
        assert_allclose(chi[:, order], slow, atol=1e-3)


@pytest.mark.parametrize(("n", "m", "seed"), [(40, 2, 0), (80, 3, 1), (150, 3, 2), (100, 4, 3)])
def test_no_slope_leads_further_up(n, m, seed):
    """By a general solver of linear programs over all feasible rotations."""
    T, _ = blocks((n // 2, n - n // 2), 0.1, seed)
    X, _ = schur(T, m)
    _, A, _, _ = macrostates(X, X.shape[1])
    assert naive.best_by_slope(X, A) < 1e-7


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_crisper_with_three_states(seed):
    """All triples of corners of the polygon of what one membership can be, which are few in the plane."""
    X = sets_of(None, seed, 60, 3)
    facets = ConvexHull(X[:, 1:]).equations
    y = facets[:, :2] / facets[:, 2:]
    best, chi = 0.0, None
    for triple in combinations(range(len(y)), 3):
        points = np.vstack([np.ones(3), y[list(triple)].T])
        weights = np.linalg.solve(points, [1, 0, 0])
        if weights.min() > 0 and weights @ (points**2).sum(axis=0) / 3 > best:
            best, chi = weights @ (points**2).sum(axis=0) / 3, X @ (points * weights)
    crispness = macrostates(X, 3)[2]
    assert crispness < best + 1e-9
    if (chi[chi.argmax(axis=0)].argmax(axis=1) == np.arange(3)).all():
        assert_allclose(crispness, best, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 120), st.integers(2, 5))
def test_any_cloud_of_points_has_memberships(seed, n, m):
    X = sets_of(None, seed, n, m)
    chi, _, crispness, _ = macrostates(X, m)
    assert 0 < crispness <= 1
    # Nobody is left without cells, and the simplex of the start is no better.
    assert chi.max(axis=0).min() > 0.02
    start = naive.feasible(np.linalg.inv(X[naive.corners(X)]), X)
    assert crispness >= naive.crispness(start) - 1e-9


def test_the_order_of_cells_does_not_matter():
    T, _ = blocks((50, 60, 40), 0.03)
    X, _ = schur(T, 3)
    chi = macrostates(X, 3)[0]
    order = np.random.default_rng(0).permutation(150)
    assert_allclose(macrostates(np.ascontiguousarray(X[order]), 3)[0], chi[order], atol=1e-7)


def test_more_columns_than_states_are_ignored():
    T, _ = blocks((50, 60, 40), 0.03)
    X, _ = schur(T, 6)
    chi, A, *_ = _core.gpcca_macrostates(X, 3)
    again, *_ = _core.gpcca_macrostates(np.ascontiguousarray(X[:, :3]), 3)
    assert A.shape == (3, 3)
    assert_array_equal(chi, again)


def test_more_starts_are_never_worse():
    X = sets_of(None, 3, 200, 5)
    values = [_core.gpcca_macrostates(X, 5, n_starts=n)[2] for n in (1, 4, 16)]
    assert values[1] >= values[0] - 1e-12
    assert values[2] >= values[1] - 1e-12


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_going_on_from_a_rotation_is_never_worse(seed, m):
    """From any rotation at all, made feasible, and from a corner that the search found."""
    X = sets_of(None, seed, 150, m)
    A = np.random.default_rng(seed).normal(size=(m, m))
    _, B, crispness, min_chi, _ = _core.gpcca_improve(X, A)
    assert crispness >= naive.crispness(naive.feasible(A, X)) - 1e-12
    assert_allclose(crispness, naive.crispness(B), rtol=1e-12)
    assert min_chi == _core.gpcca_min_chi(X, m)
    found = _core.gpcca_macrostates(X, m, n_starts=1)
    assert _core.gpcca_improve(X, 3 * found[1])[2] >= found[2] - 1e-12


def test_same_bits_on_any_number_of_threads():
    """More cells than one thread takes by itself, on the hull and inside."""
    x = np.random.default_rng(1).normal(size=(20_000, 4)) * [1, 2, 3, 4]
    X = sets_of(x, 0, 20_000, 5)
    T = sp.identity(20_000, format="csr")
    for threads in (2, 4):
        for a, b in zip(
            _core.gpcca_macrostates(X, 5), _core.gpcca_macrostates(X, 5, threads=threads), strict=True
        ):
            assert_array_equal(a, b)
    chi = _core.gpcca_macrostates(X, 5)[0]
    one, four = (_core.coarse_transition_matrix(T, chi, None, threads=n) for n in (1, 4))
    assert_array_equal(one, four)
    assert_allclose(one, np.eye(5), atol=1e-8)


FRESH = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import numpy as np
from ferrocyte import _core
from test_core_gpcca import sets_of
X = sets_of(None, 5, 9000, 5)
parts = _core.gpcca_macrostates(X, 5, threads=int(sys.argv[1]))
print(hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in parts)).hexdigest())
"""


def test_same_bits_in_a_fresh_process(request):
    script = FRESH.format(tests=str(request.path.parent))
    run = [
        subprocess.run([sys.executable, "-c", script, n], capture_output=True, text=True, check=True).stdout
        for n in ("1", "2", "4")
    ]
    assert len(run[0]) == 65
    assert len(set(run)) == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_the_coarse_chain_by_its_formula(weighted):
    T, _ = blocks((30, 40, 50), 0.1)
    d = np.random.default_rng(0).random(120) + 0.1 if weighted else None
    X, R = schur(T, 3, d)
    chi, A, _, _ = macrostates(X, X.shape[1], d)
    coarse = _core.coarse_transition_matrix(T, chi, d)
    D = np.diag(np.ones(120) / 120 if d is None else d / d.sum())
    assert_allclose(coarse, np.linalg.solve(chi.T @ D @ chi, chi.T @ D @ (T @ chi)), atol=1e-12)
    # T X = X R makes it a change of basis of R, with the same eigenvalues.
    assert_allclose(coarse, np.linalg.solve(A, R @ A), atol=1e-7)
    assert_allclose(coarse.sum(axis=1), 1, atol=1e-10)


def test_what_can_not_be_asked_for():
    X = sets_of(None, 0, 30, 4)
    for m in (0, 1, 5):
        with pytest.raises(InvalidOptionError, match="n_states"):
            _core.gpcca_macrostates(X, m)
    with pytest.raises(InvalidDataError, match="1 everywhere"):
        _core.gpcca_macrostates(2 * X, 3)
    flat = np.ascontiguousarray(X[:, [0, 1, 1]])
    with pytest.raises(InvalidDataError, match="independent"):
        _core.gpcca_macrostates(flat, 3)
    with pytest.raises(InvalidDataError, match="one per state"):
        _core.gpcca_improve(X, np.ones((3, 2)))
    with pytest.raises(InvalidDataError, match="constant"):
        _core.gpcca_improve(X, np.zeros((3, 3)))
    with pytest.raises(InvalidDataError, match="rotation"):
        _core.gpcca_improve(X, np.diag([1.0, np.inf, 1]))
    X[4, 2] = np.nan
    with pytest.raises(InvalidDataError, match="row 4"):
        _core.gpcca_min_chi(X, 3)
    T = csr(np.eye(30))
    with pytest.raises(InvalidDataError, match="independent"):
        _core.coarse_transition_matrix(T, np.ones((30, 2)), None)
    with pytest.raises(InvalidDataError, match="memberships"):
        _core.coarse_transition_matrix(T, np.ones((29, 2)), None)
    with pytest.raises(InvalidDataError, match="initial"):
        _core.coarse_transition_matrix(T, np.ones((30, 2)), np.ones(3))


@pytest.mark.parametrize(("n", "m"), [(60, 4), (300, 8), (1800, 6)])
def test_other_columns_that_span_the_same_space_give_the_same_states(n, m):
    """Signs and rotations of all columns but the first: what is asked does not change, nor may the answer."""
    X = sets_of(None, 3, n, m)
    chi, _, crispness, _ = macrostates(X, m)
    rng = np.random.default_rng(0)
    for k in range(8):
        turn = (
            np.diag(rng.choice([-1.0, 1.0], m - 1))
            if k % 2
            else np.linalg.qr(rng.normal(size=(m - 1,) * 2))[0]
        )
        other = np.ascontiguousarray(np.c_[X[:, :1], X[:, 1:] @ turn])
        turned, _, found, _ = macrostates(other, m)
        assert_allclose(found, crispness, rtol=1e-6)
        assert_allclose(turned, chi, atol=1e-5)
