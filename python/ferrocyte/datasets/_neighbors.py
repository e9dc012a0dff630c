"""The neighbour graph of simulated cells: scanpy's weights on exact neighbours."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp

__all__ = ["set_neighbors"]

# In more dimensions than this a k-d tree visits nearly all of its leaves, and brute force wins.
MAX_TREE_DIMENSIONS = 15


def set_neighbors(adata: ad.AnnData, n_neighbors: int) -> None:
    """Set ``obsp["connectivities"]`` and ``["distances"]`` on ``obsm["X_low"]``.

    Parameters
    ----------
    adata : AnnData
        Simulated cells.
    n_neighbors : int
        Neighbours per cell, the cell included: each row of ``distances`` has ``n_neighbors - 1`` values.
    """
    import scanpy as sc

    search = _ExactNeighbors(n_neighbors)
    sc.pp.neighbors(adata, n_neighbors, use_rep="X_low", random_state=0, transformer=search)
    for graph in adata.obsp.values():
        graph.sort_indices()


class _ExactNeighbors:
    """Exact search in the form that scanpy takes.

    Scanpy's own choice for many cells is approximate, and its answer changes with the number of threads.
    """

    def __init__(self, n_neighbors: int) -> None:
        self.n_neighbors = n_neighbors

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"n_neighbors": self.n_neighbors}

    def fit_transform(self, x: np.ndarray) -> sp.csr_matrix:
        from sklearn.neighbors import NearestNeighbors

        algorithm = "kd_tree" if x.shape[1] <= MAX_TREE_DIMENSIONS else "brute"
        search = NearestNeighbors(n_neighbors=self.n_neighbors - 1, algorithm=algorithm).fit(x)
        # without an argument the cells themselves are left out; scanpy puts them back where it counts them
        return search.kneighbors_graph(mode="distance")
