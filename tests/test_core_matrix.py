"""`nan_columns`, `first_not_finite`, `count_positive` and `column_correlations`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from numpy.testing import assert_allclose, assert_array_equal

X = np.array([[1, -1, 7, 0, 0], [2, -2, 7, 0, np.nan], [3, -3, 7, 1, 0], [4, -4, 7, 0, 0]], dtype=float)
Y = np.array([1.0, 2.0, 3.0, 4.0])


def forms(x):
    """The same numbers as the core may meet them."""
    repeated = sp.csr_matrix(x)
    # Columns backwards, every value as two halves.
    rows = itertools.pairwise(repeated.indptr)
    reverse = np.concatenate([np.arange(end - 1, begin - 1, -1) for begin, end in rows])
    halves = sp.csr_matrix(x.shape)
    halves.indptr = repeated.indptr * 2
    halves.indices = np.repeat(repeated.indices[reverse], 2)
    halves.data = np.repeat(repeated.data[reverse] / 2, 2)
    wide = sp.csr_matrix(x)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    readonly = x.copy()
    readonly.flags.writeable = False
    return {
        "dense": x,
        "read-only": readonly,
        "float32": x.astype(np.float32),
        "csr": sp.csr_matrix(x),
        "csr float32": sp.csr_matrix(x.astype(np.float32)),
        "csr int64": wide,
        "csr array": sp.csr_array(x),
        "csr unsorted with repeats": halves,
    }


@pytest.mark.parametrize("form", forms(X))
def test_on_paper(form):
    """y deviates by (-3, -1, 1, 3) / 2, squares sum to 5; column 3 by (-1, -1, 3, -1) / 4, squares sum to
    3/4 and products to 1/2: r = 0.5 / sqrt(3.75)."""
    x = forms(X)[form]
    assert_array_equal(_core.nan_columns(x, threads=2), [False, False, False, False, True])
    assert_array_equal(_core.count_positive(x, threads=2), [2, 2, 3, 2])
    assert _core.first_not_finite(x, None, threads=1) == (1, 4)
    assert _core.first_not_finite(x, np.array([True] * 4 + [False]), threads=1) is None
    r = _core.column_correlations(x, Y, threads=1)
    assert_allclose(r, [1, -1, np.nan, 0.5 / np.sqrt(3.75), np.nan], rtol=1e-14)


@pytest.mark.parametrize("form", forms(X))
@pytest.mark.parametrize("shape", [(5, 4), (300, 40), (1000, 3), (20, 1100)])
def test_correlations_agree_with_numpy(form, shape):
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.7, shape).astype(np.float32).astype(np.float64)
    y = rng.normal(size=shape[0]) + 100
    x = forms(dense)[form]
    a, b = dense - dense.mean(axis=0), y - y.mean()
    with np.errstate(invalid="ignore"):
        expected = b @ a / (np.linalg.norm(a, axis=0) * np.linalg.norm(b))
    expected[np.ptp(dense, axis=0) == 0] = np.nan
    assert_allclose(_core.column_correlations(x, y, threads=2), expected, atol=1e-12)
    assert_array_equal(_core.count_positive(x, threads=2), (dense > 0).sum(axis=1))


def test_correlations_on_a_high_level():
    """Plain sums of squares would lose all digits here."""
    y = np.random.default_rng(0).normal(size=3000)
    x = np.stack([1e9 + y, 1e9 - y], axis=1)
    assert_allclose(_core.column_correlations(x, y, threads=1), [1, -1], atol=1e-6)
    assert_allclose(_core.column_correlations(sp.csr_matrix(x), y, threads=1), [1, -1], atol=1e-6)


def test_threads_change_no_bit():
    x = np.random.default_rng(0).poisson(0.5, (20_000, 30)).astype(np.float32)
    y = np.random.default_rng(1).normal(size=20_000)
    for form in (x, sp.csr_matrix(x)):
        one = _core.column_correlations(form, y, threads=1)
        for threads in (2, 5):
            assert_array_equal(_core.column_correlations(form, y, threads=threads), one)


def test_the_first_bad_value_is_found_by_row_then_column():
    x = np.ones((2000, 7))
    x[1999, 0] = np.nan
    x[700, 5] = -np.inf
    x[700, 6] = np.nan
    assert _core.first_not_finite(x, None, threads=2) == (700, 5)
    assert _core.first_not_finite(x, np.arange(7) == 0, threads=2) == (1999, 0)
    assert_array_equal(np.flatnonzero(_core.nan_columns(x, threads=2)), [0, 6])


def test_infinite_values_and_constant_targets_give_nan():
    x = np.array([[1, np.inf], [2, 1], [3, 1]])
    assert_allclose(_core.column_correlations(x, Y[:3], threads=1), [1, np.nan])
    assert np.isnan(_core.column_correlations(x, np.full(3, 0.1), threads=1)).all()


def test_empty_matrices():
    for shape in ((0, 0), (0, 3), (3, 0)):
        for x in (np.empty(shape), sp.csr_matrix(shape)):
            assert_array_equal(_core.count_positive(x, threads=1), np.zeros(shape[0]))
            assert_array_equal(_core.nan_columns(x, threads=1), np.zeros(shape[1], dtype=bool))
            assert _core.first_not_finite(x, None, threads=1) is None
            assert np.isnan(_core.column_correlations(x, np.ones(shape[0]), threads=1)).all()


def test_wrong_lengths_and_targets():
    with pytest.raises(InvalidDataError, match="one value per row"):
        _core.column_correlations(X, Y[:3], threads=1)
    with pytest.raises(InvalidDataError, match="target is not finite in row 1"):
        _core.column_correlations(X, np.array([1, np.nan, 2, 3]), threads=1)
    with pytest.raises(InvalidDataError, match="column mask"):
        _core.first_not_finite(X, np.array([True]), threads=1)
