"""PrecomputedKernel: a matrix from anywhere."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte.kernels import ConnectivityKernel, PrecomputedKernel
from numpy.testing import assert_allclose, assert_array_equal

RING = np.roll(np.eye(4), 1, axis=1)


def cells(**obsp):
    adata = ad.AnnData(np.zeros((4, 2), dtype=np.float32))
    for key, value in obsp.items():
        adata.obsp[key] = value
    return adata


def test_from_a_matrix():
    k = PrecomputedKernel(RING)
    assert k.transition_matrix is RING or np.shares_memory(k.transition_matrix, RING)
    assert k.params == {"origin": "array"}
    assert k.init == {}
    assert k.backward is None
    assert k.adata.shape == (4, 1)
    assert k.adata.obs.shape[1] == k.adata.var.shape[1] == 0
    assert k.compute_transition_matrix() is k
    assert repr(k) == "PrecomputedKernel[n=4, origin='array']"
    T = sp.csr_matrix(RING)
    assert PrecomputedKernel(T).transition_matrix is T
    assert PrecomputedKernel(T, copy=True).transition_matrix is not T
    assert PrecomputedKernel(T, backward=True).backward is True
    assert_allclose(PrecomputedKernel(3 * RING).transition_matrix, RING)
    assert_array_equal(PrecomputedKernel(pd.DataFrame(RING)).transition_matrix, RING)
    adata = cells()
    assert PrecomputedKernel(RING, adata=adata).adata is adata


def test_from_a_kernel():
    adata = cells(connectivities=sp.csr_matrix(RING + RING.T))
    ck = ConnectivityKernel(adata)
    with pytest.raises(RuntimeError, match="Compute transition matrix"):
        PrecomputedKernel(ck)
    with pytest.raises(RuntimeError, match="Compute transition matrix"):
        PrecomputedKernel(ck + ck)
    ck.compute_transition_matrix()
    k = PrecomputedKernel(ck, adata=cells())
    assert k.transition_matrix is ck.transition_matrix
    assert k.adata is adata
    assert k.params == {"dnorm": True, "key": "connectivities", "origin": repr(ck)}
    assert "origin" not in ck.params
    e = ck + PrecomputedKernel(RING, adata=adata, backward=True)
    assert PrecomputedKernel(e).backward is True
    assert_allclose(PrecomputedKernel(e).transition_matrix, e.transition_matrix)


@pytest.mark.parametrize(
    ("keys", "args", "origin", "backward"),
    [
        (["T_fwd", "T_bwd"], {}, "T_fwd", False),
        (["T_bwd"], {}, "T_bwd", True),
        (["foo"], {"obsp_key": "foo"}, "foo", None),
        (["foo"], {"obsp_key": "foo", "backward": True}, "foo", True),
        (["T_bwd"], {"obsp_key": "T_bwd", "backward": None}, "T_bwd", None),
    ],
)
def test_from_annotated_data(keys, args, origin, backward):
    adata = cells(**dict.fromkeys(keys, sp.csr_matrix(RING)))
    k = PrecomputedKernel(adata, **args)
    assert k.backward is backward
    assert k.params == {"origin": f"adata.obsp[{origin!r}]"}
    assert k.init == {"obsp_key": origin, "backward": backward}
    assert k.adata is adata
    assert_array_equal(k.transition_matrix.toarray(), RING)


@pytest.mark.parametrize(
    ("what", "origin", "backward"),
    [("foo", "foo", None), (True, "T_bwd", True), (False, "T_fwd", False), (None, "T_fwd", None)],
)
def test_by_key_or_direction(what, origin, backward):
    adata = cells(foo=RING, T_fwd=RING, T_bwd=RING)
    k = PrecomputedKernel(what, adata=adata)
    assert k.params == {"origin": f"adata.obsp[{origin!r}]"}
    assert k.backward is backward


def test_refused():
    adata = cells()
    for args, error, says in (
        (([[1.0]],), TypeError, "Expected `object`"),
        (("foo",), TypeError, "Expected `object`"),
        ((3, adata), TypeError, "Expected `object`"),
        ((np.ones((10, 5)),), ValueError, r"Expected matrix to be of shape `\(10, 10\)`"),
        ((np.ones(10),), ValueError, r"Expected matrix to be of shape `\(10, 10\)`"),
        ((np.array([[1.0, -2], [1, 1]]),), ValueError, r"Unable to normalize matrix with negative values\."),
        ((np.zeros((2, 2)),), ValueError, "rows of zeros"),
        ((RING, ad.AnnData(np.zeros((5, 1)))), ValueError, "shape"),
        ((adata,), ValueError, "T_fwd.*obsp_key"),
        (("foo", adata), KeyError, "foo"),
    ):
        with pytest.raises(error, match=says):
            PrecomputedKernel(*args)
    with pytest.raises(TypeError, match="backward"):
        PrecomputedKernel(RING, backward="yes")


@pytest.mark.parametrize("key", ["T_fwd", "T_bwd", "mine"])
@pytest.mark.parametrize("backward", [None, True, False])
def test_round_trip(tmp_path, key, backward):
    adata = cells()
    k = PrecomputedKernel(sp.csr_matrix(RING), adata=adata, backward=backward)
    k.write_to_adata(key)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for again in (
        PrecomputedKernel.from_adata(adata, key),
        PrecomputedKernel.from_adata(ad.read_h5ad(tmp_path / "cells.h5ad"), key),
    ):
        assert again.backward is backward
        assert again.params == k.params
        assert_array_equal(again.transition_matrix.toarray(), RING)


def test_copy():
    k = PrecomputedKernel(RING, backward=True)
    c = k.copy()
    assert c.backward is True
    assert c.params == k.params
    assert c.transition_matrix is not k.transition_matrix
    with pytest.raises(TypeError, match="inverted"):
        _ = ~k
