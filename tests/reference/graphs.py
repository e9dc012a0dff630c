"""What a nearest-neighbor graph of a data set must be."""

from __future__ import annotations

import anndata as ad
import numpy as np
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.csgraph import connected_components


def check_graph(adata: ad.AnnData, rep: str, n_neighbors: int = 30) -> None:
    """A connected symmetric graph, and distances that are those between the coordinates."""
    c, d = adata.obsp["connectivities"], adata.obsp["distances"]
    for g in (c, d):
        assert sp.issparse(g)
        assert g.format == "csr"
        assert g.shape == (adata.n_obs, adata.n_obs)
        assert g.has_sorted_indices
        assert np.isfinite(g.data).all()
        assert (g.data > 0).all()
        assert not g.diagonal().any()
    assert abs(c - c.T).max() == 0
    assert c.data.max() <= 1
    assert connected_components(c)[0] == 1
    assert_array_equal(np.diff(d.indptr), n_neighbors - 1)
    row, col = d.nonzero()
    x = np.asarray(adata.obsm[rep], dtype=np.float64)
    assert_allclose(d.data, np.linalg.norm(x[row] - x[col], axis=1), rtol=1e-4, atol=1e-5)
    some = np.arange(0, adata.n_obs, max(1, adata.n_obs // 20))
    full = np.linalg.norm(x[some, None] - x[None], axis=2)
    assert_allclose(
        np.sort(d[some].data.reshape(some.size, -1), axis=1),
        np.sort(full, axis=1)[:, 1:n_neighbors],
        rtol=1e-4,
    )
