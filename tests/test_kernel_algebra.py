"""Sums and products of kernels: numbers on paper, and values that never change."""

from __future__ import annotations

import copy

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte.kernels import BidirectionalKernel, PrecomputedKernel, UnidirectionalKernel
from ferrocyte.kernels._algebra import Constant
from numpy.testing import assert_allclose, assert_array_equal

# Three chains over three cells.
A = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=float)
B = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
C = np.full((3, 3), 1 / 3)
ADATA = ad.AnnData(np.zeros((3, 1), dtype=np.float32))


class Fixed(UnidirectionalKernel):
    """Takes the matrix it is given."""

    def compute_transition_matrix(self, matrix=None, name=None):
        self.transition_matrix = matrix
        return self


class Way(BidirectionalKernel):
    """With a direction."""

    def compute_transition_matrix(self, matrix=None):
        self.transition_matrix = matrix
        return self


def kernel(matrix, form=sp.csr_matrix, adata=ADATA):
    return Fixed(adata).compute_transition_matrix(form(matrix))


@pytest.fixture(params=[sp.csr_matrix, np.asarray], ids=["sparse", "dense"])
def abc(request):
    return [kernel(m, request.param) for m in (A, B, C)]


def dense(expression):
    T = expression.transition_matrix
    return T.toarray() if sp.issparse(T) else T


def state(*kernels):
    """What must not change: representation and the very objects inside."""
    return [(repr(k), id(k.transition_matrix), k.params, k.backward) for k in kernels]


# Numbers ----------------------------------------------------------------------------------------------


def test_weighted_sums(abc):
    a, b, c = abc
    assert_allclose(dense(0.8 * a + 0.2 * b), 0.8 * A + 0.2 * B, atol=1e-15)
    assert_allclose(dense(9 * a + b), 0.9 * A + 0.1 * B, atol=1e-15)
    assert_allclose(dense(a + b + c), (A + B + C) / 3, atol=1e-15)
    assert_allclose(dense(10 * a), A, atol=1e-15)
    assert_allclose(dense(2 * (a + 3 * b)), (A + 3 * B) / 4, atol=1e-15)
    assert_allclose(dense(1 * a + 1 * (b + c)), (2 * A + B + C) / 4, atol=1e-15)
    assert_allclose(dense(a + a + b), (2 * A + B) / 3, atol=1e-15)


def test_sums_mix_sparse_and_dense():
    e = kernel(A) + 3 * kernel(B, np.asarray)
    assert isinstance(e.transition_matrix, np.ndarray)
    assert_allclose(dense(e), (A + 3 * B) / 4, atol=1e-15)


@pytest.mark.parametrize("forms", [(sp.csr_matrix,) * 2, (sp.csr_matrix, np.asarray), (np.asarray,) * 2])
def test_product(forms):
    """Rows of B * (2 C + A) / 3, by hand: (1/2 * 2/9, 1/2 * 5/9, 0) is 2 : 5, and so on around the ring."""
    b = kernel(B, forms[0])
    mixed = kernel((2 * C + A) / 3, forms[1])
    want = np.array([[2, 5, 0], [0, 2, 5], [5, 0, 2]]) / 7
    for e in (b * mixed, mixed * b, (3 * b) * mixed, 5 * (b * mixed)):
        assert_allclose(dense(e), want, atol=1e-15)
    assert sp.issparse((b * mixed).transition_matrix) == (sp.csr_matrix in forms)


def test_product_in_a_sum_counts_as_one_without_a_constant(abc):
    a, b, c = abc
    product = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    e = a * b + 3 * c
    n = "Fixed[n=3]"
    assert repr(e) == f"((1.0 * {n} * 1.0 * {n}) + 3.0 * {n})"
    assert_allclose(dense(e), (product + 3 * C) / 4, atol=1e-15)
    assert repr(e) == f"(0.25 * (1.0 * {n} * 1.0 * {n}) + 0.75 * {n})"
    assert_allclose(dense(0.5 * (a * b) + 0.5 * c), (product + C) / 2, atol=1e-15)


def test_product_without_common_neighbors_names_cells():
    one, other = kernel(np.eye(3)), kernel(A)
    for e in (
        one * other,
        kernel(np.eye(3), np.asarray) * other,
        kernel(np.eye(3), np.asarray) * kernel(A, np.asarray),
    ):
        with pytest.raises(ValueError, match="3 cells without any neighbor: '0', '1', '2'"):
            e.compute_transition_matrix()


def test_sparse_results_are_canonical(abc):
    a, b, c = (kernel(m) for m in (A, B, C))
    for e in (a + b + c, b * c):
        T = e.transition_matrix
        assert isinstance(T, sp.csr_matrix)
        assert T.dtype == np.float64
        assert T.indices.dtype == np.int32
        assert (np.diff(T.indices)[np.diff(np.repeat(range(3), np.diff(T.indptr))) == 0] > 0).all()
        assert_allclose(np.asarray(T.sum(axis=1)), 1, rtol=1e-12)


def test_many_kernels_sum_to_one():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(np.zeros((30, 1), dtype=np.float32))
    parts = [kernel(sp.random(30, 30, 0.2, random_state=rng) + sp.eye(30), adata=adata) for _ in range(6)]
    weights = rng.random(6) * 10 + 0.01
    e = weights[0] * parts[0]
    for w, k in zip(weights[1:], parts[1:], strict=True):
        e = e + w * k
    want = sum(w * k.transition_matrix for w, k in zip(weights / weights.sum(), parts, strict=True))
    assert_allclose(dense(e), want.toarray(), atol=1e-15)
    assert_allclose(np.asarray(e.transition_matrix.sum(axis=1)), 1, rtol=1e-12)


# Structure --------------------------------------------------------------------------------------------


def test_terms(abc):
    a, b, c = abc
    for e in ((a + b) + c, a + (b + c), a + b + c):
        assert len(e) == 3
        assert [term[1] for term in e] == [a, b, c]
        assert [term[0].transition_matrix for term in e] == [1, 1, 1]
    nested = 1 * a + 1 * (b + c)
    assert len(nested) == 2
    assert len(nested[1][1]) == 2
    assert (2 * (3 * a))[0].transition_matrix == 6
    assert (2 * (3 * a))[1] is a
    assert ((a * 2) * 3)[0].transition_matrix == 6
    assert [term[1] for term in a * b] == [a, b]
    for bad in (2, -3):
        with pytest.raises(IndexError, match="tuple index out of range"):
            (a + b)[bad]


def test_constants_before_and_after(abc):
    a, b, _ = abc
    e = 9 * a + 1 * b
    assert [term[0].transition_matrix for term in e] == [9, 1]
    e.compute_transition_matrix()
    assert [term[0].transition_matrix for term in e] == [0.9, 0.1]
    lone = (10 * a).compute_transition_matrix()
    assert lone[0].transition_matrix == 10
    three = (a + b + a).compute_transition_matrix()
    assert [term[0].transition_matrix for term in three] == [1 / 3] * 3


def test_repr(abc):
    adata = fc.datasets.dentate_gyrus()
    vk, ck = fc.kernels.VelocityKernel(adata), fc.kernels.ConnectivityKernel(adata)
    v, c = "VelocityKernel[n=200]", "ConnectivityKernel[n=200]"
    assert repr(vk + ck) == str(vk + ck) == f"(1.0 * {v} + 1.0 * {c})"
    assert repr(~(vk + ck)) == f"~(1.0 * {v} + 1.0 * {c})"
    assert repr(10 * ck) == f"10.0 * {c}"
    assert repr(vk * ck) == f"(1.0 * {v} * 1.0 * {c})"
    assert repr(2 * (vk * ck)) == f"2.0 * (1.0 * {v} * 1.0 * {c})"
    assert repr(2 * (vk + ck)) == f"2.0 * (1.0 * {v} + 1.0 * {c})"
    assert repr(1 / 3 * vk + vk * ck) == f"(0.333 * {v} + (1.0 * {v} * 1.0 * {c}))"
    assert repr(~vk) == f"~{v}"
    assert repr(~vk + ck) == f"~(1.0 * {v} + 1.0 * {c})"
    ck.compute_transition_matrix()
    assert repr(2 * ck) == "2.0 * ConnectivityKernel[n=200, dnorm=True, key='connectivities']"
    assert str(2 * ck) == f"2.0 * {c}"
    a, b, _ = abc
    e = (3 * a + b).compute_transition_matrix()
    assert repr(e) == str(e) == "(0.75 * Fixed[n=3] + 0.25 * Fixed[n=3])"


def test_kernels_and_params(abc):
    a, b, _ = abc
    assert (a + a + a).kernels == (a,)
    assert set((a + 2 * (b * a)).kernels) == {a, b}
    assert (2 * a).params == {}
    a._params, b._params = {"x": 1}, {"y": 2.0}
    assert (a + b).params == {"Fixed[n=3, x=1]:0": {"x": 1}, "Fixed[n=3, y=2.0]:1": {"y": 2.0}}


def test_parents(abc):
    a, b, c = abc
    e = a + b
    assert a.parent.parent is e
    assert b._parent._parent is e
    assert e.parent is None
    assert e[0].parent is e
    e.compute_transition_matrix()
    assert a.parent.parent is e
    bigger = e + c
    assert e[0].parent is e
    assert a.parent.parent is bigger
    del bigger, e  # a parent is not kept alive by its parts
    assert a.parent is None


def test_directions():
    forward, backward, none = Way(ADATA), Way(ADATA, backward=True), kernel(A)
    assert (forward + none).backward is False
    assert (none * backward).backward is True
    assert (none + none).backward is None
    for combine in (
        lambda: forward + backward,
        lambda: forward * backward,
        lambda: none + forward + 2 * backward,
    ):
        with pytest.raises(ValueError, match="Unable to combine both forward"):
            combine()


def test_cells_must_match():
    other = kernel(np.eye(4), adata=ad.AnnData(np.zeros((4, 1), dtype=np.float32)))
    with pytest.raises(ValueError, match=r"same cells.*3, 4"):
        kernel(A) + other


@pytest.mark.parametrize("value", [0, -1, -0.5, np.nan, np.inf, np.float64(-2)])
def test_constants_are_positive(abc, value):
    for multiply in (lambda: value * abc[0], lambda: abc[0] * value):
        with pytest.raises(ValueError, match="to be positive"):
            multiply()


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), np.float64(2)])
def test_numbers_from_either_side(abc, value):
    for e in (value * abc[0], abc[0] * value):
        assert len(e) == 2
        assert e[0].transition_matrix == 2.0


def test_what_is_not_an_expression(abc):
    a, b, _ = abc
    for wrong in (
        lambda: a + 1,
        lambda: 1 + a,
        lambda: a + (2 * b)[0],
        lambda: a - b,
        lambda: a / 2,
        lambda: a * "2",
        lambda: a * True,
        lambda: a * A,
        lambda: A * a,
        lambda: np.float64(1) + a,
    ):
        with pytest.raises(TypeError):
            wrong()
    x = (2 * a)[0] * (3 * b)[0]
    assert isinstance(x, Constant)
    assert x.transition_matrix == 6
    assert ((2 * a)[0] + (3 * b)[0]).transition_matrix == 5


def test_uncomputed_leaves():
    ready, waiting = kernel(A), Fixed(ADATA)
    e = ready + waiting
    for use in (
        e.compute_transition_matrix,
        lambda: e.transition_matrix,
        (2 * waiting).compute_transition_matrix,
    ):
        with pytest.raises(RuntimeError, match="`Fixed\\[n=3\\]` is uninitialized"):
            use()
    with pytest.raises(TypeError, match="no parameters"):
        (ready + ready).compute_transition_matrix(similarity="cosine")
    waiting.compute_transition_matrix(B)
    assert_allclose(dense(e), (A + B) / 2)


# Values -----------------------------------------------------------------------------------------------


def test_evaluating_an_inner_sum_earlier_changes_nothing(abc):
    a, b, c = abc
    want = (3 * A + B + C) / 5
    inner = 3 * a + b
    late = inner + c
    inner.compute_transition_matrix()
    assert repr(inner).startswith("(0.75 * ")
    early = inner + c
    assert_allclose(dense(late), want, atol=1e-15)
    assert_allclose(dense(early), want, atol=1e-15)
    assert repr(early) == repr(late)
    assert [t[0].transition_matrix for t in early] == [0.6, 0.2, 0.2]


def test_operands_stay_as_they_were(abc):
    a, b, c = abc
    inner = (9 * a + b).compute_transition_matrix()
    product = 2 * (a * b)
    before = state(a, b, c, inner, product)
    arrays = [dense(k).copy() for k in (a, b, c, inner, product)]
    for e in (inner + c, 4 * inner + product, inner * c, ~inner, inner.copy(), copy.deepcopy(product)):
        e.compute_transition_matrix()
        assert state(a, b, c, inner, product) == before
    for k, array in zip((a, b, c, inner, product), arrays, strict=True):
        assert_array_equal(dense(k), array)


def test_the_matrix_follows_its_kernels(abc):
    """The matrix never disagrees with the kernels that `repr` shows."""
    a, b, _ = abc
    e = a + b
    T = e.transition_matrix
    assert e.compute_transition_matrix().transition_matrix is T
    b.compute_transition_matrix(C)
    assert_allclose(dense(e), (A + C) / 2)


def test_inverse():
    forward, none = Way(ADATA).compute_transition_matrix(A), kernel(B)
    e = forward + 3 * none
    back = ~e
    assert back.backward is True
    assert [t[0].transition_matrix for t in back] == [1, 3]
    assert back[0][1] is not forward
    assert back[0][1].adata is ADATA
    assert back[1][1] is not none
    assert forward.backward is False
    with pytest.raises(RuntimeError, match="is uninitialized"):
        back.compute_transition_matrix()
    undirected = ~(none + 2 * none)
    assert_allclose(dense(undirected), B)
    assert len((~(forward + forward)).kernels) == 1


def test_inverse_keeps_raw_constants(abc):
    a, b, _ = abc
    e = (9 * a + b).compute_transition_matrix()
    assert [t[0].transition_matrix for t in ~e] == [9, 1]


def test_copy(abc):
    a, b, _ = abc
    e = (3 * a + b).compute_transition_matrix()
    c = e.copy()
    assert repr(c) == repr(e)
    assert c.transition_matrix is not e.transition_matrix
    assert_array_equal(dense(c), dense(e))
    assert c[0][1] is not a
    assert c.adata is ADATA
    assert len((a + a).copy().kernels) == 1
    deep = e.copy(deep=True)
    assert deep.adata is not ADATA
    assert len({id(k.adata) for k in deep.kernels}) == 1
    assert (a + Fixed(ADATA)).copy().shape == (3, 3)


def test_adata_reaches_all_kernels(abc):
    a, b, _ = abc
    e = a + 2 * b
    other = ADATA.copy()
    e.adata = other
    assert a.adata is b.adata is e.adata is other
    with pytest.raises(ValueError, match="same shape"):
        e.adata = ad.AnnData(np.zeros((4, 1), dtype=np.float32))
    e.adata = None
    assert a.adata is None
    assert e.shape == (3, 3)


def test_write_to_adata():
    adata = ADATA.copy()
    a, b = kernel(A, adata=adata), kernel(B, adata=adata)
    e = a + b
    e.write_to_adata()
    assert adata.obsp["T_fwd"] is e.transition_matrix
    assert adata.uns["T_fwd_params"]["init"] == {"backward": False}
    assert set(adata.uns["T_fwd_params"]["params"]) == {"Fixed[n=3]:0", "Fixed[n=3]:1"}
    again = PrecomputedKernel.from_adata(adata, "T_fwd")
    assert_array_equal(dense(again), dense(e))


def test_precomputed_kernels_with_a_direction_are_copied_when_inverted():
    p = PrecomputedKernel(A, backward=True)
    with pytest.raises(ValueError, match="Unable to combine both forward"):
        ~(p + Way(ADATA, backward=True))
    assert_array_equal(dense(~(1 * p)), A)
