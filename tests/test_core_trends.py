"""`_core.trend_basis`, `trend_penalty` and `fit_trends`, beside dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_trends as naive

N, K = 300, 7
# distribution, link and a mean that both allow
FAMILIES = [
    ("normal", "identity", lambda x: np.sin(4 * x)),
    ("normal", "log", lambda x: 3 + np.sin(4 * x)),
    ("normal", "inverse", lambda x: 2 + np.sin(4 * x)),
    ("binomial", "logit", lambda x: 0.5 + 0.4 * np.sin(4 * x)),
    ("poisson", "log", lambda x: 3 + 2 * np.sin(4 * x)),
    ("poisson", "identity", lambda x: 6 + 2 * np.sin(4 * x)),
    ("gamma", "log", lambda x: 3 + 2 * np.sin(4 * x)),
    ("gamma", "inverse", lambda x: 1 + 0.5 * np.sin(4 * x)),
    ("gamma", "identity", lambda x: 3 + np.sin(4 * x)),
    ("inv_gauss", "log", lambda x: 1 + 0.5 * np.sin(4 * x)),
    ("inv_gauss", "inv_squared", lambda x: 1 + 0.3 * np.sin(4 * x)),
]
IDS = [f"{d}-{link}" for d, link, _ in FAMILIES]


def draw(distribution, mu, rng):
    match distribution:
        case "normal":
            return rng.normal(mu, 0.3)
        case "binomial":
            return rng.binomial(1, mu).astype(float)
        case "poisson":
            return rng.poisson(mu).astype(float)
        case "gamma":
            return rng.gamma(4, mu / 4)
        case "inv_gauss":
            return rng.wald(mu, 6.0)


def data(distribution="normal", curve=np.sin, seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-1, 2, n))
    return x, draw(distribution, curve(x), rng), rng.uniform(0.05, 1.0, n)


def fit(x, y, w, lams=(3.0,), rows=None, matrix=None, columns=None, **kwargs):
    options = {
        "n_splines": K, "order": 3, "edges": (x.min(), x.max()), "distribution": "normal", "link": "identity",
        **kwargs,
    }  # fmt: skip
    matrix = y[:, None] if matrix is None else matrix
    columns = np.arange(matrix.shape[1]) if columns is None else columns
    rows = np.arange(len(x)) if rows is None else rows
    return _core.fit_trends(matrix, columns, rows, x, w, lams=list(lams), **options)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5), st.integers(1, 12), st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_basis_is_that_of_scipy(order, more, seed, length):
    x = np.random.default_rng(seed).uniform(-length, 2 * length, 30)
    x = np.r_[x, x.min()]
    edges = (x.min(), x.max())
    found = _core.trend_basis(x, n_splines=order + more, order=order, edges=edges)
    assert_allclose(found, naive.basis(x, order + more, order, *edges), atol=1e-9)
    assert_allclose(found.sum(axis=1), 1, atol=1e-14)


def test_basis_is_straight_beyond_its_edges():
    inside = _core.trend_basis(np.array([0.0, 1e-7]), n_splines=6, order=3, edges=(0.0, 1.0))
    slope = (inside[1] - inside[0]) / 1e-7
    outside = _core.trend_basis(np.array([-0.5]), n_splines=6, order=3, edges=(0.0, 1.0))
    assert_allclose(outside[0], inside[0] - 0.5 * slope, atol=1e-5)
    assert_allclose(outside.sum(), 1)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("derivative", "ridge"), [(1.0, 0.0), (0.0, 1.0), (2.0, 0.5)])
def test_penalty(derivative, ridge, intercept):
    options = {"derivative": derivative, "ridge": ridge, "intercept": intercept}
    assert_allclose(_core.trend_penalty(6, **options), naive.penalty(6, **options), atol=1e-15)


def test_an_intercept_without_penalty_is_the_ridge_around_the_mean():
    """Minimising over b in sum (y - b - B c)^2 + |D c|^2 + |c|^2 is the same as the penalty on c + b."""
    x, y, _ = data()
    X = naive.basis(x, K, 3, x.min(), x.max())
    D = np.diff(np.eye(K), 2, axis=0)
    S = np.zeros((K + 1, K + 1))
    S[:K, :K] = 3 * (D.T @ D + np.eye(K))
    X1 = np.c_[X, np.ones(N)]
    c = np.linalg.solve(X1.T @ X1 + S, X1.T @ y)
    out = fit(x, y, np.ones(N))
    assert_allclose(X @ out["coefficients"][0], X1 @ c, atol=1e-8)


@pytest.mark.parametrize("lam", [0.01, 3.0, 500.0])
@pytest.mark.parametrize(("distribution", "link", "curve"), FAMILIES, ids=IDS)
def test_fits_are_those_of_dense_normal_equations(distribution, link, curve, lam):
    x, y, w = data(distribution, curve)
    out = fit(x, y, w, [lam], distribution=distribution, link=link)
    X, S = naive.basis(x, K, 3, x.min(), x.max()), lam * naive.penalty(K)
    c, mu, W = naive.pirls(X, y, w, S, distribution, link, curve(x))
    covariance, edf, scale = naive.summary(X, y, w, S, c, mu, W, distribution)
    assert out["failed"] == [None]
    assert out["converged"].all()
    assert_allclose(out["coefficients"][0], c, rtol=2e-6, atol=2e-6)
    assert_allclose(out["edf"][0], edf, rtol=1e-5)
    assert_allclose(out["scale"][0], scale, rtol=1e-5)
    assert_allclose(out["covariance"][0], covariance, rtol=1e-4, atol=1e-4 * abs(covariance).max())


@pytest.mark.parametrize(("order", "n"), [(0, 5), (1, 4), (2, 9), (4, 20), (5, 6)])
def test_other_degrees(order, n):
    x, y, w = data()
    out = fit(x, y, w, n_splines=n, order=order)
    X = naive.basis(x, n, order, x.min(), x.max())
    c, _, _ = naive.pirls(X, y, w, 3 * naive.penalty(n), "normal", "identity")
    assert_allclose(out["coefficients"][0], c, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.9])
def test_expectiles(tau):
    x, y, w = data(curve=np.sin)
    out = fit(x, y, w, expectile=tau)
    X = naive.basis(x, K, 3, x.min(), x.max())
    c = naive.expectile(X, y, w, 3 * naive.penalty(K), tau)
    assert_allclose(out["coefficients"][0], c, atol=1e-7)


def test_the_expectile_of_a_constant_by_hand():
    """Of values 0 and 1 in equal number, the expectile e has tau (1 - e) = (1 - tau) e, so e = tau."""
    x = np.linspace(0, 1, 40)
    y = np.tile([0.0, 1.0], 20)
    out = fit(x, y, np.ones(40), [1e9], expectile=0.8)
    assert_allclose(out["coefficients"][0], 0.8, atol=1e-3)


@pytest.mark.parametrize("criterion", ["gcv", "reml"])
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_smoothing_found_is_the_best(criterion, noise):
    """Not above the smallest of a fine grid of brute force, and where that is."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 1, 150))
    y, w = np.sin(7 * x) + noise * rng.normal(size=150), rng.uniform(0.2, 1, 150)
    out = fit(x, y, w, [], criterion=criterion, n_splines=12)
    X, S = naive.basis(x, 12, 3, x.min(), x.max()), naive.penalty(12)
    value = naive.gcv if criterion == "gcv" else naive.log_restricted_likelihood
    grid = np.logspace(-6, 6, 2001)
    values = np.array([value(X, y, w, S, lam) for lam in grid])
    at = value(X, y, w, S, out["lam"][0])
    assert at <= values.min() + 1e-6 * (values.max() - values.min())
    assert_allclose(np.log(out["lam"][0]), np.log(grid[values.argmin()]), atol=0.03)


@pytest.mark.parametrize("criterion", ["gcv", "reml"])
@pytest.mark.parametrize(("distribution", "link", "curve"), FAMILIES, ids=IDS)
def test_a_search_does_no_worse_than_a_fine_grid(criterion, distribution, link, curve):
    x, y, w = data(distribution, curve)
    options = {"distribution": distribution, "link": link, "criterion": criterion}
    out = fit(x, y, w, [], **options)
    # the end of the search's range has the scale that goes into restricted likelihood, so compare near it
    grid = out["lam"][0] * np.logspace(-2, 2, 81)
    best = fit(x, y, w, grid, **options)
    if criterion == "gcv":
        assert out["criterion"][0] <= best["criterion"][0] * (1 + 1e-5 * np.sign(best["criterion"][0]))
    else:
        assert abs(np.log(out["lam"][0] / best["lam"][0])) < 0.5


def test_a_grid_is_searched_completely():
    x, y, w = data(curve=lambda x: np.sin(5 * x))
    grid = [100.0, 0.01, 1.0]
    out = fit(x, y, w, grid, criterion="gcv")
    each = [fit(x, y, w, [lam], criterion="gcv")["criterion"][0] for lam in grid]
    assert out["lam"][0] == grid[int(np.argmin(each))]
    assert_allclose(out["criterion"][0], min(each))


def test_many_columns_are_each_as_alone_whatever_the_storage_and_threads():
    rng = np.random.default_rng(0)
    x, _, w = data(n=120)
    Y = rng.gamma(2, 1, (150, 37)) * (rng.uniform(size=(150, 37)) > 0.4)
    rows = rng.permutation(150)[:120]
    columns = rng.permutation(37)[:30]
    options = {"distribution": "gamma", "link": "log", "rows": rows, "columns": columns}
    reference = fit(x, None, w, matrix=Y, **options)
    for k in (0, 17):
        alone = fit(x, Y[rows, columns[k]], w, distribution="gamma", link="log")
        assert_array_equal(alone["coefficients"][0], reference["coefficients"][k])
    for threads in (1, 2, 5):
        for matrix in (Y, sp.csr_matrix(Y)):
            out = fit(x, None, w, matrix=matrix, threads=threads, **options)
            assert_array_equal(out["coefficients"], reference["coefficients"])
            assert_array_equal(out["covariance"], reference["covariance"])
    single = fit(x, None, w, matrix=Y.astype(np.float32), **options)
    assert_allclose(single["coefficients"], reference["coefficients"], atol=1e-5)


def test_a_gene_that_fails_stops_no_other():
    x, _, w = data(n=60)
    rng = np.random.default_rng(0)
    Y = rng.gamma(2, 1, (60, 6))
    Y[5, 1], Y[:, 2], Y[7, 3], Y[3, 5] = np.nan, 0.0, np.inf, -1.0
    out = fit(x, None, w, matrix=Y, distribution="gamma", link="log")
    assert out["failed"] == [None, "not_finite", "no_mean", "not_finite", None, None]
    assert out["failed_row"].tolist() == [-1, 5, -1, 7, -1, -1]
    assert np.isnan(out["coefficients"][[1, 2, 3]]).all()
    assert np.isfinite(out["coefficients"][[0, 4, 5]]).all()
    Y[3, 5] = 0.0  # negative values count as 0
    again = fit(x, None, w, matrix=Y, distribution="gamma", link="log")
    assert_array_equal(again["coefficients"][5], out["coefficients"][5])


def test_zeros_under_a_log_link_are_used_as_they_are():
    """The estimating equations of gamma and log need no logarithm of y."""
    rng = np.random.default_rng(1)
    x, _, w = data()
    y = rng.gamma(2, 1, N) * (rng.uniform(size=N) > 0.7)
    out = fit(x, y, w, distribution="gamma", link="log")
    X, S = naive.basis(x, K, 3, x.min(), x.max()), naive.penalty(K)
    c = out["coefficients"][0]
    score = X.T @ (w * (y * np.exp(-X @ c) - 1)) - 3 * S @ c
    assert_allclose(score, 0, atol=1e-5)


def test_constant_responses():
    x, _, w = data()
    for family in ({}, {"distribution": "gamma", "link": "log"}):
        out = fit(x, np.full(N, 2.5), w, **family)
        expected = np.log(2.5) if family else 2.5
        assert_allclose(out["coefficients"][0], expected, rtol=1e-9)
        assert out["scale"][0] < 1e-20


def test_runs_of_zeros_and_outliers_converge():
    """Where plain scoring would leap from side to side: a few large values among many zeros."""
    rng = np.random.default_rng(5)
    for seed in range(20):
        x, _, w = data(n=80, seed=seed)
        y = np.where(rng.uniform(size=80) < 0.06, rng.gamma(0.3, 40.0, 80), 0.0)
        y[seed] = 200.0
        out = fit(x, y, w, [0.1], distribution="gamma", link="log")
        assert out["failed"] == [None]
        assert out["converged"].all()


def test_what_is_refused():
    x, y, w = data(n=50)
    with pytest.raises(InvalidOptionError, match="positive for some cell"):
        fit(x, y, w * 0)
    with pytest.raises(InvalidDataError, match="at least as many with weight as basis functions, 7, found 6"):
        fit(x[:6], y[:6], w[:6])
    with pytest.raises(InvalidDataError, match="not finite in row 3"):
        fit(np.where(np.arange(50) == 3, np.nan, x), y, w, edges=(-1.0, 2.0))
    for wrong in (
        {"lams": [-1.0]}, {"lams": []}, {"lams": [1.0, 2.0]}, {"lams": [0.0], "criterion": "reml"},
        {"criterion": "aic"}, {"distribution": "beta"}, {"link": "probit"}, {"expectile": 1.0},
        {"expectile": 0.5, "distribution": "gamma"}, {"n_splines": 3}, {"edges": (1.0, 1.0)}, {"tol": 0.0},
        {"max_iter": 0}, {"ridge": -1.0}, {"columns": np.array([0, 0])}, {"rows": np.full(50, -1)},
    ):  # fmt: skip
        with pytest.raises(InvalidOptionError):
            fit(x, y, w, **wrong)
    for wrong in ({"columns": np.array([1])}, {"rows": np.full(50, 50)}, {"rows": np.arange(10)}):
        with pytest.raises(InvalidDataError):
            fit(x, y, w, **wrong)


def test_too_few_effective_cells():
    x, y, _ = data(n=50)
    w = np.full(50, 1e-9)
    w[:2] = 1.0
    assert fit(x, y, w, [0.0])["failed"] == ["too_few_cells"]
