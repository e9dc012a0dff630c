"""`schur_decomposition`, `eigenvectors` and `stationary_distribution`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import ConvergenceError, InvalidDataError, InvalidOptionError
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_gpcca as naive
from reference.matrices import csr, random_graph, row_normalized


def schur(T, n, initial=None, **options):
    """Vectors, matrix and eigenvalues; residuals and orthogonality are checked anew, in numpy."""
    X, R, values, residuals, products, restarts = _core.schur_decomposition(
        T, initial, n_components=n, **options
    )
    d = np.full(len(X), 1 / len(X)) if initial is None else initial / initial.sum()
    m = X.shape[1]
    assert_array_equal(X[:, 0], 1)
    assert R.shape == (m, m)
    assert_allclose(X.T @ (d[:, None] * X), np.eye(m), atol=1e-11)
    found = np.sqrt(d @ (T @ X - X @ R) ** 2)
    assert found.max() <= 1e-10
    assert_allclose(found, residuals, atol=1e-13)
    assert products >= restarts >= 1
    assert_array_equal(np.tril(R, -2), 0)
    lam = values[:, 0] + 1j * values[:, 1]
    assert_allclose(np.sort_complex(np.linalg.eigvals(R)), np.sort_complex(lam), atol=1e-7)
    return X, R, lam


def angle(X, Y, d=None):
    """Largest angle between the spans of two bases that are orthonormal in the product with `d`."""
    root = np.full(len(X), len(X) ** -0.5) if d is None else np.sqrt(d / d.sum())
    X, Y = root[:, None] * X, root[:, None] * Y
    return np.linalg.norm(X - Y @ (Y.T @ X), 2)


def circle(n):
    """Everyone moves on by one: eigenvalues are the n-th roots of 1."""
    return sp.csr_matrix((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))


def clouds(sizes, seed=0, n_neighbors=6):
    """Chains on random graphs that do not communicate; edges lead both ways."""
    graphs = [random_graph(n, n_neighbors, seed + k) for k, n in enumerate(sizes)]
    return sp.csr_matrix(sp.block_diag([row_normalized((g + g.T).tocsr()) for g in graphs]))


def strip(n, seed=0):
    """Random walk along a strip of cells: many eigenvalues close to 1."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.random(n)) * n
    near = sp.diags([1.0] * 11, range(-5, 6), shape=(n, n)).tocoo()
    weights = np.exp(-np.abs(x[near.row] - x[near.col]))
    graph = sp.csr_matrix((weights, (near.row, near.col)), shape=(n, n))
    graph.sort_indices()
    return row_normalized(graph)


def test_two_states_on_paper():
    """From 0 to 1 with 0.1, back with 0.3: eigenvalues 1 and 0.6, basis (1, 1), (1, -1), and
    T (1, -1) = (0.8, -0.4) = 0.2 (1, 1) + 0.6 (1, -1)."""
    X, R, lam = schur(csr([[0.9, 0.1], [0.3, 0.7]]), 2)
    sign = X[0, 1]
    assert_allclose(X * [1, sign], [[1, 1], [1, -1]], atol=1e-14)
    assert_allclose(R, [[1, 0.2 * sign], [0, 0.6]], atol=1e-14)
    assert_allclose(lam, [1, 0.6], atol=1e-14)


@pytest.mark.parametrize("n", [12, 30, 400])
def test_pairs_of_a_circle_stay_together(n):
    """1, then pairs cos(2 pi k / n) +- i sin(2 pi k / n); half a pair is made whole."""
    roots = np.exp(2j * np.pi * np.array([0, 1, -1, 2, -2]) / n)
    for wanted, width in [(1, 1), (2, 3), (3, 3), (4, 5), (5, 5)]:
        assert_allclose(schur(circle(n), wanted)[2], roots[:width], atol=1e-9)


def test_real_pairs_count_one_by_one():
    """Going round in both directions: cos(2 pi k / n), each twice but the first."""
    T = 0.5 * (circle(40) + circle(40).T).tocsr()
    T.sort_indices()
    assert_allclose(schur(T, 4)[2], np.cos(2 * np.pi * np.array([0, 1, 1, 2]) / 40), atol=1e-9)


def test_classes_that_do_not_communicate():
    """The eigenvalues of a reducible chain are those of its parts, with as many copies of each."""
    parts = [clouds([70], seed=seed).toarray() for seed in (1, 1, 2)]
    expected = np.sort(np.concatenate([np.linalg.eigvals(part).real for part in parts]))[::-1]
    X, _, lam = schur(sp.csr_matrix(sp.block_diag(parts)), 5)
    assert_allclose(lam[:3], 1, atol=1e-12)
    assert_allclose(lam.real[:5], expected[:5], atol=1e-9)
    # The first three columns are constant in each part.
    assert np.abs(X[:, :3] - np.repeat(X[[0, 70, 140], :3], 70, axis=0)).max() < 1e-8


def test_two_ends_that_hold_are_two_ones():
    """Gambler's ruin with 60 states: 1 twice, then cos(pi / 59) and cos(2 pi / 59)."""
    T = sp.diags([[0.5] * 59, [0.5] * 59], [-1, 1]).tolil()
    T[0] = 0
    T[-1] = 0
    T[0, 0] = T[-1, -1] = 1
    lam = schur(sp.csr_matrix(T), 4)[2]
    assert_allclose(lam, [1, 1, np.cos(np.pi / 59), np.cos(2 * np.pi / 59)], atol=1e-9)


@pytest.mark.parametrize("which", ["LR", "LM"])
@pytest.mark.parametrize(("n", "seed"), [(30, 0), (120, 1), (250, 2)])
def test_dense_schur_gives_the_same_subspace(n, seed, which):
    T = row_normalized(random_graph(n, 5, seed))
    d = np.random.default_rng(seed).random(n) + 0.1
    key = {"LR": np.real, "LM": np.abs}[which]
    all_values = np.linalg.eigvals(T.toarray())
    keys = np.sort(key(all_values))[::-1]
    for wanted in (1, 6):
        for initial in (None, d):
            X, _, lam = schur(T, wanted, initial, which=which)
            m = len(lam)
            assert_allclose(key(lam), keys[:m], atol=1e-8)
            assert min(np.abs(all_values[:, None] - lam).min(axis=0)) < 1e-8
            if keys[m - 1] - keys[m] > 1e-3:
                assert angle(X, naive.schur_basis(T.toarray(), m, which, initial), initial) < 1e-6


def test_close_eigenvalues_of_a_long_strip():
    """Far more restarts than usual: the tolerance is kept, and eigenvalues agree with ARPACK."""
    T = strip(1500)
    lam = schur(T, 12)[2]
    expected = sp.linalg.eigs(T.tocsc(), k=12, sigma=1.001, return_eigenvectors=False)
    assert_allclose(np.sort(lam.real), np.sort(expected.real), atol=1e-9)


def test_the_identity_and_the_smallest_chains():
    assert_allclose(schur(sp.identity(80, format="csr"), 6)[2], 1, atol=1e-14)
    assert_allclose(schur(csr([[1.0]]), 1)[0], [[1]])
    assert_allclose(schur(csr([[0, 1], [1, 0]]), 2)[2], [1, -1], atol=1e-14)


BITS = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import numpy as np
from ferrocyte import _core
from test_core_spectral import strip
T = strip(1600)
parts = [_core.schur_decomposition(T, None, n_components=5, threads=int(sys.argv[1]))[:3]]
parts += [_core.eigenvectors(T, k=3, side=side, threads=int(sys.argv[1])) for side in ("left", "right")]
parts += [_core.stationary_distribution(T, threads=int(sys.argv[1]))[:1]]
print(hashlib.sha256(b"".join(np.asarray(a).tobytes() for part in parts for a in part)).hexdigest())
"""


def test_same_bits_in_any_process_on_any_number_of_threads(request):
    script = BITS.format(tests=str(request.path.parent))
    run = [
        subprocess.run([sys.executable, "-c", script, n], capture_output=True, text=True, check=True).stdout
        for n in ("1", "2", "4")
    ]
    assert len(run[0]) == 65
    assert len(set(run)) == 1


def test_the_seed_matters_only_within_the_tolerance():
    T = strip(400)
    first, second = schur(T, 6, seed=1), schur(T, 6, seed=2)
    assert (first[0] != second[0]).any()
    assert angle(first[0], second[0]) < 1e-6
    assert_allclose(first[2], second[2], atol=1e-9)


def test_what_can_not_be_asked_for():
    T = strip(50)
    for options in ({"n_components": 0}, {"n_components": 51}, {"n_components": 3, "tol": 0.0}):
        with pytest.raises(InvalidOptionError):
            _core.schur_decomposition(T, None, **options)
    with pytest.raises(InvalidOptionError, match="sorting criterion"):
        _core.schur_decomposition(T, None, n_components=3, which="SM")
    with pytest.raises(InvalidOptionError, match="at state 7"):
        _core.schur_decomposition(T, np.where(np.arange(50) == 7, 0.0, 1.0), n_components=3)
    with pytest.raises(InvalidDataError, match="one entry per state"):
        _core.schur_decomposition(T, np.ones(49), n_components=3)
    with pytest.raises(InvalidDataError, match="row-stochastic"):
        _core.schur_decomposition(csr(2 * np.eye(3)), None, n_components=2)
    with pytest.raises(InvalidOptionError, match="'left' or 'right'"):
        _core.eigenvectors(T, k=3, side="up")
    with pytest.raises(ConvergenceError, match="residual"):
        _core.schur_decomposition(strip(900), None, n_components=8, max_restarts=2)


def test_a_failing_callback_ends_the_search():
    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        _core.schur_decomposition(strip(300), None, n_components=3, progress=stop)


def eigenvectors(T, k, side, **options):
    """Eigenvalues and vectors; residuals are checked anew, in numpy."""
    values, vectors, residuals = _core.eigenvectors(T, k=k, side=side, **options)
    lam, V = values[:, 0] + 1j * values[:, 1], vectors[..., 0] + 1j * vectors[..., 1]
    M = T if side == "right" else T.T
    found = np.linalg.norm(M @ V - V * lam, axis=0)
    assert_allclose(found, residuals, atol=1e-13)
    assert found.max() < 1e-9
    assert_allclose(np.linalg.norm(V, axis=0), 1)
    # One of the largest entries is real and positive; on a cycle all are equally large but for round-off.
    size = np.abs(V)
    turned = np.where(size > size.max(axis=0) - 1e-12, np.abs(V - size), np.inf)
    assert turned.min(axis=0).max() < 1e-12
    return lam, V


@pytest.mark.parametrize("seed", range(3))
def test_left_and_right_vectors_belong_together(seed):
    """Eigenvalues agree with the dense ones, vectors of different eigenvalues are orthogonal across sides,
    the first right one is constant and the first left one the stationary distribution."""
    T = row_normalized(random_graph(150, 5, seed))
    lam, V = eigenvectors(T, 7, "right")
    mu, U = eigenvectors(T, 7, "left")
    assert_allclose(lam, mu, atol=1e-8)
    dense = np.linalg.eigvals(T.toarray())
    dense = dense[np.lexsort((-dense.imag, -dense.real.round(9)))]
    assert_allclose(lam, dense[: len(lam)], atol=1e-8)
    product = U.T @ V
    assert np.abs(product - np.diag(np.diag(product))).max() < 1e-7
    assert_allclose(V[:, 0], 150**-0.5)
    assert_allclose(U[:, 0] / U[:, 0].sum(), naive.stationary(T.toarray()), atol=1e-10)


def test_pairs_of_vectors_are_conjugate():
    lam, V = eigenvectors(circle(20), 4, "right")
    assert_allclose(lam, np.exp(2j * np.pi * np.array([0, 1, -1, 2, -2]) / 20), atol=1e-10)
    assert_array_equal(V[:, 1], V[:, 2].conj())
    # The vector of root w is (1, w, w^2, ...) up to a factor.
    assert_allclose(V[1:, 3] / V[:-1, 3], np.full(19, lam[3]), atol=1e-8)


def stationary(T, **options):
    """Distribution and classes; residuals are checked anew, in numpy."""
    pi, classes, residuals, _ = _core.stationary_distribution(T, **options)
    change = np.abs(T.T @ pi - pi)
    found = [change[classes == c].sum() for c in range(len(residuals))]
    assert_allclose(found, residuals, atol=1e-14)
    assert change.max() <= 1e-12
    assert (pi[classes >= 0] > 0).all()
    assert_array_equal(pi[classes < 0], 0)
    assert_allclose([pi[classes == c].sum() for c in range(len(residuals))], 1, rtol=1e-13)
    return pi, classes


def test_stationary_on_paper():
    """In balance 0.1 p = 0.3 q; a circle of period 3 is uniform; of two classes and a state on the way,
    each class has its own."""
    assert_allclose(stationary(csr([[0.9, 0.1], [0.3, 0.7]]))[0], [0.75, 0.25], rtol=1e-15)
    assert_allclose(stationary(circle(3))[0], 1 / 3)
    T = csr([[0, 0.5, 0.5, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 1, 0]])
    pi, classes = stationary(T)
    assert_array_equal(classes, [-1, 0, 1, 1])
    assert_allclose(pi, [0, 1, 2 / 3, 1 / 3], rtol=1e-15)


@pytest.mark.parametrize("n", [100, 1000, 6000])
def test_birth_and_death_to_many_digits(n):
    """Up with p_i, down with q_i: pi_(i+1) / pi_i = p_i / q_(i+1). Over a range of up to 20 powers of ten,
    the rarest states, too, are right to three digits."""
    rng = np.random.default_rng(n)
    up, down = 0.1 + 0.3 * rng.random(n - 1), 0.1 + 0.3 * rng.random(n - 1)
    stay = 1 - np.r_[up, 0] - np.r_[0, down]
    T = sp.diags([down, stay, up], [-1, 0, 1], format="csr")
    log = np.r_[0, np.cumsum(np.log(up / down))]
    expected = np.exp(log - log.max())
    expected /= expected.sum()
    pi = stationary(T)[0]
    assert expected.min() < 1e-3 * expected.max()
    assert_allclose(pi, expected, rtol=1e-3)


@pytest.mark.parametrize("link", [1e-4, 1e-8, 1e-13])
def test_two_clouds_that_hardly_communicate(link):
    """The balance across the link says how the parts weigh: link * pi_0 = 2 link * pi_600."""
    T = clouds([600, 900]).tolil()
    T[0] *= 1 - link
    T[0, 600] = link
    T[600] *= 1 - 2 * link
    T[600, 0] = 2 * link
    pi, classes = stationary(sp.csr_matrix(T))
    assert_array_equal(classes, 0)
    assert_allclose(pi[0], 2 * pi[600], rtol=1e-6)
    apart, _ = stationary(clouds([600, 900]))
    assert_allclose(pi[:600] / pi[:600].sum(), apart[:600], rtol=1e-3 if link > 1e-5 else 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_stationary_agrees_with_the_linear_system(seed):
    T = row_normalized(random_graph(280, 5, seed))
    assert_allclose(stationary(T)[0], naive.stationary(T.toarray()), atol=1e-12)


def test_stationary_options():
    with pytest.raises(InvalidOptionError):
        _core.stationary_distribution(circle(3), tol=-1.0)
    with pytest.raises(ConvergenceError, match="residual"):
        _core.stationary_distribution(strip(900), max_cycles=1, tol=1e-15)
