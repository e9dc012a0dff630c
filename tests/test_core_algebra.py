"""`weighted_sum` and `elementwise_product`."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference.matrices import csr, from_parts, random_graph

A = csr([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
B = csr([[0.0, 0.25, 0.75], [0.5, 0.0, 0.5], [0.5, 0.0, 0.5]])


def test_the_even_mixture_of_two_chains():
    out = from_parts(_core.weighted_sum([A, B], [0.5, 0.5], threads=1), A.shape)
    assert_array_equal(out.toarray(), [[0.25, 0.375, 0.375], [0.25, 0.25, 0.5], [0.25, 0, 0.75]])


def test_the_product_of_two_chains_with_one_common_entry_per_row():
    out = from_parts(_core.elementwise_product([A, B], threads=1), A.shape)
    assert_array_equal(out.toarray(), [[0, 1, 0], [0, 0, 1], [0, 0, 1]])
    assert out.nnz == 3


def test_a_product_divides_rows_by_their_sum():
    """(1, 2) * (3, 1) = (3, 2), so 3/5 and 2/5."""
    out = _core.elementwise_product([csr([[1, 2]]), csr([[3, 1]])], threads=1)
    assert_allclose(out[0], [0.6, 0.4], rtol=1e-15)


def test_a_sum_stores_the_union_and_keeps_zeros():
    out = from_parts(_core.weighted_sum([A, A], [1.0, -1.0], threads=1), A.shape)
    assert out.nnz == A.nnz
    assert not out.data.any()


matrices = st.integers(1, 8).flatmap(
    lambda n: st.lists(
        st.lists(
            st.lists(st.one_of(st.just(0.0), st.floats(0.01, 9)), min_size=n, max_size=n),
            min_size=n,
            max_size=n,
        ),
        min_size=1,
        max_size=4,
    )
)


@given(matrices, st.lists(st.floats(-4, 4), min_size=4, max_size=4))
def test_both_agree_with_dense_arithmetic(dense, weights):
    dense = [np.array(m) for m in dense]
    weights = weights[: len(dense)]
    sparse = [csr(m) for m in dense]
    out = from_parts(_core.weighted_sum(sparse, weights, threads=1), dense[0].shape)
    expected = sum(w * m for w, m in zip(weights, dense, strict=True))
    assert_allclose(out.toarray(), expected, rtol=1e-12, atol=1e-12)
    assert out.nnz == np.count_nonzero(np.any(dense, axis=0))
    product = np.prod(dense, axis=0)
    empty = np.flatnonzero(~product.any(axis=1))
    if len(empty):
        with pytest.raises(InvalidDataError, match="sum to zero") as caught:
            _core.elementwise_product(sparse, threads=1)
        assert caught.value.cells == empty.tolist()
    else:
        out = from_parts(_core.elementwise_product(sparse, threads=1), dense[0].shape)
        assert_allclose(out.toarray(), product / product.sum(axis=1, keepdims=True), rtol=1e-12)
        assert_allclose(out.sum(axis=1), 1, atol=1e-12)


def test_threads_and_index_widths_change_no_bit():
    a, b, c = (random_graph(1500, 9, seed) for seed in (1, 2, 3))
    c = c + sp.eye(1500, format="csr")
    b, c = b + c, c + b
    wide = a + c
    wide.indptr, wide.indices = wide.indptr.astype(np.int64), wide.indices.astype(np.int64)
    for function in (lambda n: _core.weighted_sum([wide, b, c], [0.2, 0.3, 0.5], threads=n),
                     lambda n: _core.weighted_sum([wide, b], [0.2, 0.3], threads=n),
                     lambda n: _core.elementwise_product([wide, b, c], threads=n)):  # fmt: skip
        one = function(1)
        assert one[1].dtype == one[2].dtype == np.int32
        for threads in (2, 5):
            for x, y in zip(one, function(threads), strict=True):
                assert_array_equal(x, y)


def test_operands_are_left_alone():
    a, b = A.copy(), B.copy()
    _core.weighted_sum([a, b], [0.1, 0.9], threads=1)
    _core.elementwise_product([a, b], threads=1)
    assert_array_equal(a.toarray(), A.toarray())
    assert_array_equal(b.toarray(), B.toarray())


def test_what_can_not_be_combined_is_refused():
    with pytest.raises(InvalidOptionError, match="at least one matrix"):
        _core.weighted_sum([], [], threads=1)
    with pytest.raises(InvalidOptionError, match="at least one matrix"):
        _core.elementwise_product([], threads=1)
    with pytest.raises(InvalidDataError, match="one per matrix"):
        _core.weighted_sum([A, B], [1.0], threads=1)
    with pytest.raises(InvalidDataError, match=r"shape \(3, 3\)"):
        _core.weighted_sum([A, csr(np.eye(4))], [1.0, 1.0], threads=1)
    with pytest.raises(InvalidOptionError, match="finite"):
        _core.weighted_sum([A], [np.inf], threads=1)
    with pytest.raises(InvalidDataError, match="negative"):
        _core.elementwise_product([A, -A], threads=1)
    with pytest.raises(InvalidDataError, match="not finite in row 2"):
        _core.weighted_sum([csr(np.diag([1, 1, 1e308]))], [100.0], threads=1)
