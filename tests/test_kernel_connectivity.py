"""ConnectivityKernel and the graph that kernels read."""

from __future__ import annotations

import warnings

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteWarning
from numpy.testing import assert_allclose, assert_array_equal

# A path 0 - 1 - 2 with weights 1 and 2.
PATH = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]], dtype=float)


def cells(graph=PATH, key="connectivities"):
    adata = ad.AnnData(np.zeros((np.shape(graph)[0], 2), dtype=np.float32))
    adata.obs_names = [f"c{i}" for i in range(adata.n_obs)]
    adata.obsp[key] = graph
    return adata


def test_without_density_normalisation():
    """Rows of the path over their sums 1, 3, 2."""
    k = fc.kernels.ConnectivityKernel(cells()).compute_transition_matrix(density_normalize=False)
    assert_allclose(k.transition_matrix.toarray(), [[0, 1, 0], [1 / 3, 0, 2 / 3], [0, 1, 0]], atol=1e-15)
    assert k.params == {"dnorm": False, "key": "connectivities"}


def test_with_density_normalisation():
    """Column sums q = (1, 3, 2): entries c_ij / (q_i q_j) of row 1 are 1/3 and 2/6, so 1/2 each."""
    k = fc.kernels.ConnectivityKernel(cells()).compute_transition_matrix()
    assert_allclose(k.transition_matrix.toarray(), [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]], atol=1e-15)
    assert k.params == {"dnorm": True, "key": "connectivities"}
    assert repr(k) == "ConnectivityKernel[n=3, dnorm=True, key='connectivities']"
    assert k.init == {"conn_key": "connectivities", "check_connectivity": False}
    assert k.backward is None


def test_cache():
    k = fc.kernels.ConnectivityKernel(cells()).compute_transition_matrix()
    T = k.transition_matrix
    assert k.compute_transition_matrix().transition_matrix is T
    assert k.compute_transition_matrix(density_normalize=False).transition_matrix is not T


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csc_array, sp.csr_array, np.asarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, bool])
def test_any_graph_becomes_canonical(form, dtype):
    graph = form(PATH.astype(dtype))
    k = fc.kernels.ConnectivityKernel(cells(graph))
    assert isinstance(k.connectivities, sp.csr_matrix)
    assert k.connectivities.dtype == np.float64
    assert_array_equal(k.connectivities.toarray(), PATH.astype(dtype))


def test_a_canonical_graph_is_not_copied():
    graph = sp.csr_matrix(PATH)
    adata = cells(graph)
    k = fc.kernels.ConnectivityKernel(adata)
    assert np.shares_memory(k.connectivities.data, adata.obsp["connectivities"].data)
    T = k.compute_transition_matrix().transition_matrix
    T.data[:] = 7
    T.indices[:] = 0
    assert_array_equal(adata.obsp["connectivities"].toarray(), PATH)


def test_unsorted_repeated_zero_and_wide_indices():
    """Row 1 as 2 -> 2 and 0 -> 1/2 + 1/2, with a stored zero; int64 indices."""
    data = np.array([1, 2, 0.5, 0.5, 0, 2.0])
    graph = sp.csr_matrix((data, [1, 2, 0, 0, 1, 1], [0, 1, 5, 6]), shape=(3, 3))
    graph.indices, graph.indptr = graph.indices.astype(np.int64), graph.indptr.astype(np.int64)
    adata = cells(graph)
    held = adata.obsp["connectivities"]
    before = held.data.copy(), held.indices.copy(), held.indptr.copy()
    k = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    assert_array_equal(k.connectivities.toarray(), PATH)
    assert k.connectivities.indices.dtype == k.connectivities.indptr.dtype == np.int32
    assert k.connectivities.nnz == 4
    for a, b in zip((held.data, held.indices, held.indptr), before, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("connectivities", "connectivities"),
        ("connectivities", None),
        ("foo_connectivities", "foo"),
        ("foo_connectivities", "foo_connectivities"),
        ("foo_connectivities", "foo_distances"),
        ("foo", "foo"),
    ],
)
def test_where_the_graph_is_looked_for(stored, asked):
    k = fc.kernels.ConnectivityKernel(cells(sp.csr_matrix(PATH), stored), conn_key=asked)
    assert_array_equal(k.connectivities.toarray(), PATH)
    assert k.compute_transition_matrix().params["key"] == (asked or "connectivities")


def test_missing_graph():
    with pytest.raises(KeyError, match=r"obsp\['knn'\].*knn_connectivities.*'nn'.*scanpy.pp.neighbors"):
        fc.kernels.ConnectivityKernel(cells(sp.csr_matrix(PATH), "nn"), conn_key="knn")
    with pytest.raises(TypeError, match="conn_key"):
        fc.kernels.ConnectivityKernel(cells(), conn_key=3)


@pytest.mark.parametrize(
    ("entry", "value", "says"),
    [
        ((1, 2), np.nan, "NaN or infinite weights for 'c1'"),
        ((1, 2), np.inf, "NaN or infinite weights for 'c1'"),
        ((2, 1), -1.0, "negative weights for 'c2'"),
    ],
)
def test_weights_that_are_refused(entry, value, says):
    graph = PATH.copy()
    graph[entry] = value
    with pytest.raises(ValueError, match=says):
        fc.kernels.ConnectivityKernel(cells(sp.csr_matrix(graph)))


def test_cells_without_neighbors_are_named():
    graph = np.zeros((10, 10))
    graph[0, 1] = graph[1, 0] = 1
    with pytest.raises(ValueError, match="8 without: 'c2', 'c3', 'c4', 'c5', 'c6' and 3 more"):
        fc.kernels.ConnectivityKernel(cells(sp.csr_matrix(graph)))


def test_asymmetric_graph_warns():
    graph = PATH.copy()
    graph[0, 1] = 0.5
    with pytest.warns(FerrocyteWarning, match="not symmetric.*0.5"):
        fc.kernels.ConnectivityKernel(cells(sp.csr_matrix(graph)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.kernels.ConnectivityKernel(cells(sp.csr_matrix(graph)), check_symmetric=False)
        fc.kernels.ConnectivityKernel(cells())


def test_disconnected_graph_warns_on_request():
    graph = sp.block_diag([PATH, np.eye(2)[::-1]])
    with pytest.warns(FerrocyteWarning, match="2 parts: 3 cells with 'c0'; 2 cells with 'c3'"):
        fc.kernels.ConnectivityKernel(cells(graph.tocsr()), check_connectivity=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k = fc.kernels.ConnectivityKernel(cells(graph.tocsr())).compute_transition_matrix()
    assert_allclose(np.asarray(k.transition_matrix.sum(axis=1)), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("indices", "indptr"),
    [
        ([1, 0, 5, 1], [0, 1, 3, 4]),
        ([1, 0, -1, 1], [0, 1, 3, 4]),
        ([1, 0, 2, 1], [0, 3, 1, 4]),
        ([1, 0, 2, 1], [0, 1, 3, 9]),
    ],
)
def test_contradictory_arrays(indices, indptr):
    """scipy does not look at these; nothing may crash."""
    graph = sp.csr_matrix(PATH)
    adata = cells(graph)
    held = adata.obsp["connectivities"]
    held.indices = np.array(indices, dtype=np.int32)
    held.indptr = np.array(indptr, dtype=np.int32)
    with pytest.raises(ValueError, match="valid CSR"):
        fc.kernels.ConnectivityKernel(adata)


def test_from_adata_and_copy():
    adata = cells(sp.csr_matrix(PATH))
    k = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    k.write_to_adata()
    again = fc.kernels.ConnectivityKernel.from_adata(adata, "T_fwd")
    assert again.params == k.params
    assert again.init == k.init
    assert_array_equal(again.transition_matrix.toarray(), k.transition_matrix.toarray())
    copied = k.copy()
    assert copied.connectivities is not k.connectivities
    assert_array_equal(copied.connectivities.toarray(), PATH)
