"""`map_to_schema`, `rows_of_columns` and `value_report`, beside the slow, obvious way."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal


def naive(x, targets, width):
    out, totals = np.zeros((x.shape[0], width)), np.zeros(x.shape[0])
    for i, row in enumerate(x):
        for value, target in zip(row, targets, strict=True):
            if target >= 0:
                out[i, target] += value
            if target >= -1:
                totals[i] += value
    return out.astype(np.float32), totals.astype(np.float32)


@st.composite
def counts(draw):
    n, genes, width = draw(st.integers(0, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 130))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-2, 6, (n, genes)).clip(0).astype(draw(st.sampled_from([np.float32, np.float64])))
    return x, rng.integers(-2, width, genes).astype(np.int32), width


@given(counts(), st.sampled_from(["dense", "csr"]), st.integers(1, 3))
def test_genes_go_where_they_belong(case, form, threads):
    x, targets, width = case
    given_as = x if form == "dense" else sp.csr_matrix(x)
    data, indices, indptr, totals = _core.map_to_schema(given_as, targets, width, threads=threads)
    assert (data.dtype, indices.dtype, totals.dtype) == (np.float32, np.int32, np.float32)
    out = sp.csr_matrix((data, indices, indptr), shape=(len(x), width))
    out.check_format(full_check=True)
    assert out.has_canonical_format
    assert (data != 0).all()
    expected, sums = naive(x, targets, width)
    assert_array_equal(out.toarray(), expected)
    assert_array_equal(totals, sums)


def test_sums_are_rounded_once():
    """2**24 + 1 + 1 in float32 would stay at 2**24."""
    x = np.array([[2.0**24, 1.0, 1.0]], dtype=np.float32)
    data, _, _, totals = _core.map_to_schema(x, np.array([3, 3, 3], dtype=np.int32), 4, threads=1)
    assert data[0] == totals[0] == 2.0**24 + 2


@given(counts(), st.data(), st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_columns_are_cut_into_rows(case, data, is_sorted, dtype):
    x = sp.csc_matrix(case[0].astype(dtype))
    if not is_sorted:
        for j in range(x.shape[1]):
            span = slice(x.indptr[j], x.indptr[j + 1])
            x.indices[span], x.data[span] = x.indices[span][::-1].copy(), x.data[span][::-1].copy()
    start = data.draw(st.integers(0, x.shape[0]))
    stop = data.draw(st.integers(start, x.shape[0] + 2))
    values, indices, indptr = _core.rows_of_columns(
        x.data, x.indices, x.indptr.astype(np.int64), (start, stop), sorted=is_sorted
    )
    assert values.dtype == dtype
    out = sp.csr_matrix((values, indices, indptr), shape=(stop - start, x.shape[1])).toarray()
    assert_array_equal(out[: x.shape[0] - start], case[0][start:stop])
    assert not out[x.shape[0] - start :].any()


@given(st.lists(st.sampled_from([0.0, 1.0, 7.0, 0.5, -1.0, -2.5, np.nan, np.inf, -np.inf]), max_size=40))
def test_what_values_are_like(values):
    for dtype in (np.float32, np.float64):
        x = np.array(values, dtype=dtype)
        nonzero, fractional, negative, not_finite = _core.value_report(x, threads=1)
        assert nonzero == np.count_nonzero(x)
        assert fractional == sum(v in (0.5, -2.5) for v in values)
        assert negative == next((i for i, v in enumerate(values) if v < 0), None)
        assert not_finite == next((i for i, v in enumerate(values) if not np.isfinite(v)), None)


def test_what_does_not_fit_is_refused():
    x, targets = np.ones((2, 3)), np.zeros(3, dtype=np.int32)
    with pytest.raises(InvalidDataError, match="3 columns"):
        _core.map_to_schema(np.ones((2, 4)), targets, 2, threads=1)
    with pytest.raises(InvalidOptionError, match="below 2, found 5"):
        _core.map_to_schema(x, targets + 5, 2, threads=1)
    with pytest.raises(InvalidDataError):
        _core.map_to_schema(np.ones((2, 3), dtype=np.int64), targets, 2, threads=1)
    with pytest.raises(InvalidDataError, match="contiguous"):
        _core.map_to_schema(np.ones((3, 2)).T, targets, 2, threads=1)
    columns = sp.csc_matrix(x)
    wrong = columns.indptr.astype(np.int64)
    wrong[1] = 9
    for indptr in (wrong, wrong[:0], wrong[:-1]):
        with pytest.raises(InvalidDataError):
            _core.rows_of_columns(columns.data, columns.indices, indptr, (0, 1), sorted=True)
    indptr = columns.indptr.astype(np.int64)
    for rows in ((2, 1), (0, 2**40)):
        with pytest.raises((InvalidOptionError, MemoryError)):
            _core.rows_of_columns(columns.data, columns.indices, indptr, rows, sorted=True)
    with pytest.raises(TypeError):
        _core.value_report(np.ones(3, dtype=np.int32), threads=1)
