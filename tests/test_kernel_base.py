"""Members that every kernel has, and kernels of one's own."""

from __future__ import annotations

import copy
import pickle

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidDataError, InvalidIndexError, InvalidTypeError, NotComputedError
from ferrocyte.kernels import BidirectionalKernel, ConnectivityKernel, Kernel, UnidirectionalKernel
from numpy.testing import assert_allclose, assert_array_equal


class Lazy(UnidirectionalKernel):
    """What a user writes."""

    def compute_transition_matrix(self, stay=0.5):
        if self._reuse_cache({"stay": stay}):
            return self
        n = self.shape[0]
        self.transition_matrix = stay * sp.eye(n) + (1 - stay) * sp.csr_matrix(np.ones((n, n)) / n)
        return self


class Drift(BidirectionalKernel):
    """A ring: every cell goes to the next one."""

    def compute_transition_matrix(self):
        self.transition_matrix = np.roll(np.eye(self.shape[0]), -1 if self.backward else 1, axis=1)
        return self

    def __invert__(self):
        return Drift(self.adata, backward=not self.backward)


class ByKeyword(BidirectionalKernel):
    """With a keyword of its own, which is kept for `from_adata`."""

    def __init__(self, adata, backward=False, power=1):
        super().__init__(adata, backward=backward, power=power)
        self.power = power

    def compute_transition_matrix(self):
        self.transition_matrix = np.arange(1, self.shape[0] ** 2 + 1).reshape(self.shape) ** float(self.power)
        return self


def cells(n=5):
    return ad.AnnData(np.zeros((n, 2), dtype=np.float32))


@pytest.fixture
def adata():
    return cells()


def test_an_uncomputed_kernel(adata):
    k = Lazy(adata)
    assert k.transition_matrix is None
    assert k.params == {}
    assert k.shape == (5, 5)
    assert len(k) == 1
    assert k[0] is k
    assert list(k) == [k]
    assert k.kernels == (k,)
    assert k.adata is adata
    assert k.backward is None
    assert repr(k) == str(k) == "Lazy[n=5]"
    for i in (1, -1, 7):
        with pytest.raises(IndexError):
            k[i]
    with pytest.raises(InvalidIndexError):
        k[2]


def test_a_kernel_of_ones_own(adata):
    k = Lazy(adata)
    assert k.compute_transition_matrix(0.25) is k
    assert_allclose(k.transition_matrix.toarray(), 0.25 * np.eye(5) + 0.15)
    assert k.params == {"stay": 0.25}
    assert repr(k) == "Lazy[n=5, stay=0.25]"
    assert str(k) == "Lazy[n=5]"
    T = k.transition_matrix
    assert k.compute_transition_matrix(0.25).transition_matrix is T
    assert k.compute_transition_matrix(0.5).transition_matrix is not T


def test_repr_rounds_and_marks_the_direction(adata):
    assert repr(Lazy(adata).compute_transition_matrix(1 / 3)) == "Lazy[n=5, stay=0.333]"
    assert repr(Drift(adata, backward=True)) == str(Drift(adata, backward=True)) == "~Drift[n=5]"


def test_a_failing_kernel_stays_as_it_was(adata):
    class Fails(UnidirectionalKernel):
        def compute_transition_matrix(self, ok):
            if self._reuse_cache({"ok": ok}):
                return self
            if not ok:
                raise KeyboardInterrupt
            self.transition_matrix = np.eye(5)
            return self

    k = Fails(adata).compute_transition_matrix(True)
    T = k.transition_matrix
    with pytest.raises(KeyboardInterrupt):
        k.compute_transition_matrix(False)
    assert k.transition_matrix is T
    assert k.params == {"ok": True}
    with pytest.raises(KeyboardInterrupt):  # and does not take the failure for a result
        k.compute_transition_matrix(False)


def test_direction_must_be_a_bool(adata):
    assert Drift(adata, backward=np.bool_(True)).backward is True
    for wrong in (None, 1, "yes"):
        with pytest.raises(TypeError, match="backward"):
            Drift(adata, backward=wrong)


def test_adata_must_be_annotated_data():
    with pytest.raises(InvalidTypeError, match="AnnData"):
        Lazy(np.eye(3))
    with pytest.raises(InvalidDataError, match="at least one cell"):
        Lazy(ad.AnnData(np.zeros((0, 3))))


# Setter of the matrix ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.coo_array, sp.lil_matrix, sp.dia_matrix])
def test_sparse_matrices_become_csr_with_normalised_rows(adata, form):
    k = Lazy(adata)
    raw = np.array([[2, 2, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 3, 1, 0], [0, 0, 0, 5, 0], [1, 1, 1, 1, 1]])
    k.transition_matrix = form(raw)
    T = k.transition_matrix
    assert isinstance(T, sp.csr_matrix)
    assert T.dtype == np.float64
    assert T.indices.dtype == T.indptr.dtype == np.int32
    assert_allclose(T.toarray(), raw / raw.sum(axis=1, keepdims=True))


def test_dense_stays_dense_and_normalised_stays_the_same_object(adata):
    k = Lazy(adata)
    k.transition_matrix = np.full((5, 5), 2, dtype=np.int8)
    assert_allclose(k.transition_matrix, 0.2)
    T = sp.csr_matrix(np.eye(5))
    k.transition_matrix = T
    assert k.transition_matrix is T


def test_the_users_matrix_is_not_touched(adata):
    raw = sp.csr_matrix(
        (np.array([1.0, 3, 0, 2, 2, 2, 2]), [3, 1, 0, 1, 2, 3, 4], [0, 2, 4, 5, 6, 7]), shape=(5, 5)
    )
    before = raw.data.copy(), raw.indices.copy(), raw.indptr.copy()
    k = Lazy(adata)
    k.transition_matrix = raw
    for a, b in zip((raw.data, raw.indices, raw.indptr), before, strict=True):
        assert_array_equal(a, b)
    T = k.transition_matrix
    assert T.indices.tolist() == [1, 3, 1, 2, 3, 4]
    assert_allclose(T.data, [0.75, 0.25, 1, 1, 1, 1])


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    ("entry", "value", "says"),
    [
        ((1, 2), -0.5, r"Unable to normalize matrix with negative values\..*'1'"),
        ((1, 2), np.nan, "finite.*'1'"),
        ((3, 3), np.inf, "finite.*'3'"),
        ((2, 2), 0.0, "rows of zeros.*'2'"),
    ],
)
def test_matrices_that_are_refused(adata, form, entry, value, says):
    raw = np.eye(5)
    raw[entry] = value
    k = Lazy(adata).compute_transition_matrix()
    T = k.transition_matrix
    with pytest.raises(ValueError, match=says):
        k.transition_matrix = form(raw)
    assert k.transition_matrix is T
    assert k.params == {"stay": 0.5}


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (5,)])
def test_shape_of_the_matrix(adata, shape):
    with pytest.raises(ValueError, match=r"Expected matrix to be of shape `\(5, 5\)`"):
        Lazy(adata).transition_matrix = np.ones(shape)


def test_rows_sum_to_one(adata):
    rng = np.random.default_rng(0)
    k = Lazy(cells(40))
    k.transition_matrix = sp.random(40, 40, 0.3, random_state=rng) + sp.eye(40)
    assert_allclose(np.asarray(k.transition_matrix.sum(axis=1)), 1, rtol=1e-12)


# Copies and the annotated data ------------------------------------------------------------------------


def test_copy(adata):
    k = Lazy(adata)
    assert k.copy().transition_matrix is None
    k.compute_transition_matrix(0.25)
    k.extra = np.arange(3)
    shallow, deep = k.copy(), k.copy(deep=True)
    assert shallow.adata is adata
    assert deep.adata is not adata
    for c in (shallow, deep, copy.copy(k), copy.deepcopy(k)):
        assert type(c) is Lazy
        assert c.params == k.params
        assert c.params is not k.params
        assert c.transition_matrix is not k.transition_matrix
        assert (c.transition_matrix != k.transition_matrix).nnz == 0
        assert c.extra is not k.extra
        assert repr(c) == repr(k)


def test_pickling_is_left_to_python(adata):
    """Not our file format, but process pools need it; a kernel that has a parent must not fail."""
    k = Drift(adata).compute_transition_matrix()
    e = k + Lazy(adata).compute_transition_matrix()
    assert repr(pickle.loads(pickle.dumps(k))) == repr(k)
    assert repr(pickle.loads(pickle.dumps(e))) == repr(e)


def test_parent_is_accepted(adata):
    whole = 2 * Lazy(adata)
    part = Lazy(adata, parent=whole)
    assert part.parent is whole
    assert part.init == {}


def test_setting_adata(adata):
    k = Lazy(adata)
    other = cells()
    k.adata = other
    assert k.adata is other
    k.adata = None
    assert k.adata is None
    assert k.shape == (5, 5)
    with pytest.raises(ValueError, match=r"Expected new `AnnData`.*to have same shape"):
        k.adata = cells(4)
    with pytest.raises(TypeError, match="AnnData"):
        k.adata = "cells"


def test_inverse(adata):
    k = Drift(adata).compute_transition_matrix()
    back = ~k
    assert back.backward is True
    assert back.adata is adata
    assert back.transition_matrix is None
    assert k.transition_matrix is not None
    with pytest.raises(TypeError, match="no direction"):
        ~Lazy(adata)
    by = ByKeyword(adata, power=2).compute_transition_matrix()
    assert (~by).init == {"power": 2, "backward": True}
    assert (~by).power == 2


# AnnData ----------------------------------------------------------------------------------------------


def test_write_to_adata(adata):
    k = Drift(adata, backward=True)
    with pytest.raises(RuntimeError, match="Compute transition matrix first as"):
        k.write_to_adata()
    assert not adata.obsp
    assert not adata.uns
    k.compute_transition_matrix().write_to_adata()
    assert adata.obsp["T_bwd"] is k.transition_matrix
    assert adata.uns["T_bwd_params"] == {"params": {}, "init": {"backward": True}}
    adata.uns["T_bwd_params"]["embeddings"] = ["umap"]
    k.write_to_adata(copy=True)
    assert adata.obsp["T_bwd"] is not k.transition_matrix
    assert set(adata.uns["T_bwd_params"]) == {"params", "init", "embeddings"}
    k.write_to_adata("mine")
    assert adata.obsp["mine"] is k.transition_matrix
    k.adata = None
    with pytest.raises(ValueError, match="adata"):
        k.write_to_adata()


@pytest.mark.parametrize("through_file", [False, True])
def test_from_adata(adata, tmp_path, through_file):
    k = ByKeyword(adata, backward=True, power=2).compute_transition_matrix()
    lazy = Lazy(adata).compute_transition_matrix(0.25)
    k.write_to_adata()
    lazy.write_to_adata("lazy")
    if through_file:
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = ad.read_h5ad(tmp_path / "cells.h5ad")
    again = ByKeyword.from_adata(adata, "T_bwd")
    assert again.backward is True
    assert again.power == 2
    assert again.params == k.params
    assert_array_equal(again.transition_matrix, k.transition_matrix)
    again = Lazy.from_adata(adata, "lazy", copy=True)
    assert again.params == {"stay": 0.25}
    assert repr(again) == repr(lazy)
    assert again.transition_matrix is not adata.obsp["lazy"]
    with pytest.raises(KeyError, match=r"obsp\['nothing'\].*'T_bwd'"):
        Lazy.from_adata(adata, "nothing")
    del adata.uns["lazy_params"]
    with pytest.raises(KeyError, match="lazy_params"):
        Lazy.from_adata(adata, "lazy")


def test_from_adata_of_another_class_says_what_to_call(adata):
    ByKeyword(adata, power=2).compute_transition_matrix().write_to_adata()
    for cls in (ConnectivityKernel, Kernel):
        with pytest.raises(
            InvalidTypeError, match=rf"make a `{cls.__name__}`.*`PrecomputedKernel.from_adata`"
        ):
            cls.from_adata(adata, "T_fwd")


def test_members_that_need_a_matrix_say_so(adata):
    k = Lazy(adata)
    adata.obsm["X_umap"] = np.zeros((5, 2))
    for call in (
        lambda: k.plot_projection(),
        lambda: k.plot_random_walks(5),
        lambda: k.plot_single_flow("a", "b", "c"),
        lambda: k.cbc("a", "b", "c", "d"),
    ):
        with pytest.raises(NotComputedError, match="Compute transition matrix first as"):
            call()


# Cross-boundary correctness ---------------------------------------------------------------------------


def boundary():
    """Cells 0 and 1 of cluster a, 2 and 3 of b, 4 of c. Only 0 has neighbors in b: 2 with weight 2, 3 with
    1."""
    adata = cells()
    adata.obs["cluster"] = np.array(["a", "a", "b", "b", "c"], dtype=object)
    adata.obs["cluster"] = adata.obs["cluster"].astype("category")
    adata.obsm["X_pca"] = np.array([[0, 0, 0], [5, 5, 5], [1, 0, 0], [0, 0, 3], [0, 2, 0]], dtype=float)
    graph = np.zeros((5, 5))
    graph[0, [1, 2, 3, 4]] = [1, 2, 1, 1]
    graph[1, [0, 4]] = 1
    adata.obsp["distances"] = sp.csr_matrix(graph)
    return adata


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_cbc(form):
    """Cell 0 at the origin: the graph suggests 2 (1, 0, 0) + (0, 0, 3) = (2, 0, 3).

    T leads to 2 and 4 with 1/2 each: (1/2, 0, 0) + (0, 1, 0) = (1/2, 1, 0). Centred: (1/3, -5/3, 4/3) and
    (0, 1/2, -1/2); their product is -5/6 - 4/6 = -3/2, their squares are 42/9 and 1/2.
    """
    adata = boundary()
    T = np.eye(5)
    T[0] = [0, 0, 0.5, 0, 0.5]
    k = Lazy(adata)
    k.transition_matrix = form(T)
    score = k.cbc("a", "b", cluster_key="cluster", rep="X_pca")
    assert_allclose(score, [-1.5 / np.sqrt(42 / 9 * 0.5)], atol=1e-12)
    assert_allclose(k.cbc(["a"], ["b"], "cluster", "pca"), score)
    expression = 1.0 * k + 1.0 * k
    assert_allclose(expression.cbc("a", "b", "cluster", "X_pca"), score)
    assert k.cbc("c", "b", "cluster", "X_pca").shape == (0,)


def test_cbc_of_what_is_not_there():
    adata = boundary()
    adata.obs["number"] = np.arange(5.0)
    k = Lazy(adata).compute_transition_matrix()
    good = {"source": "a", "target": "b", "cluster_key": "cluster", "rep": "X_pca"}
    for change, error, says in (
        ({"source": "aa"}, ValueError, "source.*'aa'.*Did you mean 'a'"),
        ({"target": []}, ValueError, "target.*at least one"),
        ({"cluster_key": "clusters"}, KeyError, "Did you mean 'cluster'"),
        ({"cluster_key": "number"}, TypeError, "categorical"),
        ({"rep": "X_umap"}, KeyError, "X_umap.*'X_pca'"),
        ({"graph_key": "dist"}, KeyError, "Did you mean 'distances'"),
    ):
        with pytest.raises(error, match=says):
            k.cbc(**{**good, **change})
