"""`ColumnCorrelations` and `permutation_test`."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import FerrocyteError, InvalidDataError, InvalidOptionError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_drivers as naive

QUARTERS = (0.025, 0.975)
FORMS = {
    "dense, float64": lambda x: x.astype(np.float64),
    "dense, float32": lambda x: x.astype(np.float32),
    "CSR, float64": lambda x: sp.csr_matrix(x.astype(np.float64)),
    "CSR, float32": lambda x: sp.csr_matrix(x.astype(np.float32)),
    "CSR, all stored": lambda x: all_stored(x),
}


def all_stored(x):
    n, m = x.shape
    parts = (x.astype(float).ravel(), np.tile(np.arange(m), n).astype(np.int32), np.arange(n + 1) * m)
    return sp.csr_matrix(parts, shape=x.shape)


def correlations(x, y, pieces=1, **kwargs):
    sums = _core.ColumnCorrelations(x.shape[1], y)
    for rows in np.array_split(np.arange(x.shape[0]), pieces):
        sums.add(x[rows[0] : rows[-1] + 1], **kwargs)
    return sums.finish()


def permuted(x, y, n_perms=200, seed=0, quantiles=QUARTERS, **kwargs):
    found = _core.permutation_test(x, y, n_perms=n_perms, quantiles=quantiles, seed=seed, **kwargs)
    return [np.asarray(part) for part in found]


def counts(n, m, seed=0):
    """Small whole numbers, mostly zero: exact in either precision."""
    rng = np.random.default_rng(seed)
    return rng.poisson(0.7, size=(n, m)).astype(np.float64)


def targets(n, k, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(k), n)


# Correlations -----------------------------------------------------------------------------------------


def test_four_cells_on_paper():
    """y = (1, 2, 3, 4) deviates by (-3, -1, 1, 3) / 2 with squares that sum to 5; (0, 0, 1, 0) by
    (-1, -1, 3, -1) / 4 with 3/4; products sum to 1/2: r = 0.5 / sqrt(15/4) = 1 / sqrt(15)."""
    y = np.array([[1.0], [2.0], [3.0], [4.0]])
    x = np.hstack([y, -y, [[0.0], [0], [1], [0]], np.full((4, 1), 7.0)])
    for form in FORMS.values():
        for pieces in (1, 3):
            assert_allclose(correlations(form(x), y, pieces), [[1], [-1], [15**-0.5], [np.nan]], rtol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pieces", [1, 7])
def test_correlations_agree_with_the_slow_version(form, pieces):
    x, y = counts(900, 6), targets(900, 3)
    found = correlations(FORMS[form](x), y, pieces, threads=2)
    assert_allclose(found, naive.correlations(x, y), atol=1e-14)


@pytest.mark.parametrize("form", ["dense, float64", "CSR, all stored"])
def test_a_level_of_a_million_does_not_drown_a_spread_of_one(form):
    rng = np.random.default_rng(5)
    x, y = 1e6 + rng.normal(size=(2000, 4)), targets(2000, 2)
    assert_allclose(correlations(FORMS[form](x), y), naive.correlations(x, y), atol=1e-12)
    high, low = permuted(FORMS[form](x), y), permuted(FORMS[form](x - 1e6), y)
    assert_array_equal(high[1], low[1])
    for a, b in zip(high, low, strict=True):
        assert_allclose(a, b, atol=1e-8)  # what is left of x - 1e6 in float64
    exact = naive.correlations(x - 1e6, y)
    assert_allclose(low[0], exact, atol=1e-13)


@pytest.mark.parametrize("k", [1, 4, 5, 13])
def test_sparse_columns_at_a_high_level_with_zeros_here_and_there(k):
    """Where the zeros are decides what values are counted from; the correlation must not depend on it."""
    n = 3000
    y = np.ascontiguousarray(targets(n, k + 1)[:, :k])
    level = 1e6 + np.random.default_rng(2).normal(size=(n, 6))
    level[0, 0] = 0  # in the first row
    level[500, 1] = 0  # long after the first rows
    level[2000:, 2] = 0  # only in later chunks
    level[:1500, 3] = 0
    level[[3, 1030, 2999], 4] = 0  # column 5 has none
    x = level - level.astype(np.longdouble).mean(axis=0)
    y_about = y - y.astype(np.longdouble).mean(axis=0)
    spread = np.sqrt(np.outer((x**2).sum(axis=0), (y_about**2).sum(axis=0)))
    expected = np.array([[np.sum(a * b) for b in y_about.T] for a in x.T]) / spread
    for threads in (1, 3):
        found = correlations(sp.csr_matrix(level), y, threads=threads)
        assert_allclose(found, expected.astype(float), rtol=0, atol=1e-11)


def test_rows_must_be_complete_and_fit():
    y = targets(10, 2)
    sums = _core.ColumnCorrelations(3, y)
    sums.add(np.ones((4, 3)))
    with pytest.raises(InvalidDataError, match="targets"):
        sums.finish()
    with pytest.raises(InvalidDataError, match="3 columns"):
        sums.add(np.ones((4, 2)))
    with pytest.raises(InvalidDataError, match="6 more rows"):
        sums.add(np.ones((7, 3)))
    sums.add(np.ones((6, 3)))
    assert np.isnan(sums.finish()).all()


def test_a_piece_that_was_interrupted_can_be_added_again():
    class EnoughError(Exception):
        pass

    def progress(done, total):
        raise EnoughError

    x, y = counts(300, 5), targets(300, 2)
    sums = _core.ColumnCorrelations(5, y)
    sums.add(x[:100])
    with pytest.raises(EnoughError):
        sums.add(x[100:], progress=progress)
    sums.add(x[100:])
    assert_allclose(sums.finish(), naive.correlations(x, y), atol=1e-14)


def test_permutations_stop_when_asked_to():
    class EnoughError(Exception):
        pass

    def progress(done, total):
        raise EnoughError

    with pytest.raises(EnoughError):
        permuted(counts(3000, 50), targets(3000, 2), n_perms=10**5, progress=progress)


# Permutations and bootstraps --------------------------------------------------------------------------


def test_three_cells_on_paper():
    """(0, 1, 2) has r = 1 with itself, which 2 of 6 orders reach: p = 1/3. (0, 1, 0) has r = 0: p = 1.
    Cells drawn from a line lie on it, or in a point, which has no correlation: the interval is [1, 1]."""
    y = np.array([[0.0], [1.0], [2.0]])
    x = np.hstack([y, [[0.0], [1.0], [0.0]]])
    r, p, low, high = permuted(x, y, n_perms=20_000)
    assert_allclose(r[:, 0], [1, 0], atol=1e-15)
    assert_allclose(p[:, 0], [1 / 3, 1], atol=0.01)
    assert_allclose([low[0, 0], high[0, 0]], [1, 1], atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_draws_agree_with_all_there_are(seed):
    """All 120 orders and all 3125 bootstraps of five cells; 40,000 draws are within 5 standard errors."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, size=(5, 3)).astype(float), rng.random((5, 2))
    x[0], x[1] = 0, 3  # no constant column
    n = 40_000
    _, p, low, high = permuted(x, y, n_perms=n, quantiles=(0.1, 0.9))
    for j in range(3):
        for k in range(2):
            exact = naive.p_value(x[:, j], y[:, k])
            assert abs(p[j, k] - exact) < 5 * np.sqrt(0.25 / n)
            # The quantiles of so few cells jump: those of levels just around hold them.
            outer, inner = naive.interval(x[:, j], y[:, k], 0.82), naive.interval(x[:, j], y[:, k], 0.78)
            assert outer[0] - 1e-9 <= low[j, k] <= inner[0] + 1e-9
            assert inner[1] - 1e-9 <= high[j, k] <= outer[1] + 1e-9


def test_a_real_correlation_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    y = rng.random((500, 1))
    x = np.hstack([y + rng.normal(scale=0.3, size=(500, 1)), rng.normal(size=(500, 200))])
    r, p, low, high = permuted(x, y, n_perms=500, threads=2)
    assert p[0, 0] == 0
    assert low[0, 0] < r[0, 0] < high[0, 0]
    assert low[0, 0] > 0.5
    # p-values of noise are uniform: 200 of them have a mean of 1/2 with a standard error of 0.02
    assert abs(p[1:].mean() - 0.5) < 0.1
    # and intervals of 95 % hold 0 in nearly all of 200
    assert ((low[1:] < 0) & (high[1:] > 0)).mean() > 0.88


@pytest.mark.parametrize("k", [1, 3, 40, 70])
def test_forms_threads_and_neighbors_do_not_matter(k):
    """More targets than fit side by side, rows that end within a chunk, columns by themselves."""
    x, y = counts(517, 5), targets(517, k + 1)[:, :k].copy()
    expected = permuted(x, y, n_perms=70)
    for form in FORMS.values():
        for a, b in zip(permuted(form(x), y, n_perms=70, threads=3), expected, strict=True):
            assert_allclose(a, b, atol=1e-12)
    for a, b in zip(permuted(x, y, n_perms=70, threads=2), expected, strict=True):
        assert_array_equal(a, b)
    for a, b in zip(permuted(x[:, 2:3].copy(), y, n_perms=70), expected, strict=True):
        assert_array_equal(a, b[2:3])
    for a, b in zip(permuted(x, y[:, :1].copy(), n_perms=70), expected, strict=True):
        assert_allclose(a, b[:, :1], atol=1e-12)
    assert not np.array_equal(permuted(x, y, n_perms=70, seed=1)[1], expected[1])


def test_what_has_no_correlation_is_nan_and_spoils_nothing_else():
    x, y = counts(100, 6), targets(100, 2)
    y[:, 1] = 0.5
    x[:, 1] = 0.1
    x[3, 2] = np.nan
    x[3, 3] = np.inf
    alone = permuted(x[:, :1].copy(), y)
    for form in ("dense, float64", "CSR, float64"):
        found = permuted(FORMS[form](x), y)
        for part, single in zip(found, alone, strict=True):
            assert np.isnan(part[1:4]).all()
            assert np.isnan(part[:, 1]).all()
            assert_allclose(part[0], single[0], atol=1e-12)
            assert np.isfinite(part[[0, 4, 5], 0]).all()


def test_a_gene_in_one_cell():
    """Bootstraps without that cell have no correlation and do not count."""
    x = np.zeros((30, 1))
    x[4] = 2.0
    y = np.arange(30.0)[:, None]
    for form in (np.asarray, sp.csr_matrix):
        r, p, low, high = permuted(form(x), y, n_perms=500)
        assert np.isfinite([r, p, low, high]).all()
        assert low[0, 0] <= r[0, 0] <= high[0, 0] < 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"n_perms": 0}, InvalidOptionError),
        ({"n_perms": -1}, OverflowError),
        ({"n_perms": 2**62}, InvalidOptionError),
        ({"seed": -1}, OverflowError),
        ({"quantiles": (-0.1, 0.5)}, InvalidOptionError),
        ({"quantiles": (0.1, np.nan)}, InvalidOptionError),
        ({"quantiles": (0.1,)}, (TypeError, ValueError)),
    ],
)
def test_wrong_parameters(change, error):
    with pytest.raises(error):
        permuted(counts(9, 2), targets(9, 2), **change)


def test_wrong_targets():
    x, y = counts(9, 2), targets(9, 2)
    bad = y.copy()
    bad[2, 1] = np.inf
    for wrong, match in ((y[:8], "targets"), (bad, "not finite in row 2"), (np.asfortranarray(y), "C order")):
        with pytest.raises(InvalidDataError, match=match):
            permuted(x, wrong)
    for wrong in (bad, np.asfortranarray(y)):
        with pytest.raises(InvalidDataError):
            _core.ColumnCorrelations(2, wrong)
    with pytest.raises(TypeError):
        permuted(x, y[:, 0])
    with pytest.raises(TypeError):
        permuted(x, y.astype(np.float32))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_numbers_give_numbers_or_a_typed_error(data):
    n, m, k = (data.draw(st.integers(0, 5)) for _ in range(3))
    number = st.sampled_from([0.0, 1.0, -2.0, 1e-300, 1e300, np.inf, -np.inf, np.nan]) | st.floats(-9, 9)
    x = np.array(data.draw(st.lists(number, min_size=n * m, max_size=n * m))).reshape(n, m)
    y = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n * k, max_size=n * k))).reshape(n, k)
    if data.draw(st.booleans()):
        x = sp.csr_matrix(x)
    try:
        r = correlations(x, y, 1) if n else np.full((m, k), np.nan)
        found = permuted(x, y, n_perms=data.draw(st.integers(1, 70)))
    except FerrocyteError:
        return
    assert all(part.shape == (m, k) for part in found)
    defined = ~np.isnan(found[0])
    assert (np.abs(found[0][defined]) <= 1).all()
    assert ((found[1][defined] >= 0) & (found[1][defined] <= 1)).all()
    assert_array_equal(np.isnan(found[1]), ~defined)
    assert not (found[2] > found[3]).any()
    assert_array_equal(r, found[0])
