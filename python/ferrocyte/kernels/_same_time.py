"""Transitions between cells of one time point."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _keys
from ferrocyte._errors import MissingDataError, suggest, warn_user
from ferrocyte.kernels._matrix import as_csr
from ferrocyte.kernels.connectivity import ConnectivityKernel

__all__ = ["similar_cells", "within_last"]


def within_last(
    adata: AnnData, mode: str, cells: NDArray[np.int64], time: Any, conn_kwargs: dict[str, Any]
) -> sp.csr_matrix:
    """Transitions within the last time point: to oneself, to all alike, or to similar cells."""
    m = len(cells)
    if mode == "diagonal":
        return sp.csr_matrix(sp.identity(m, format="csr"))
    if mode == "uniform":
        return sp.csr_matrix((m, m))  # rows without entries become uniform
    return similar_cells(adata, cells, time, conn_kwargs)


def similar_cells(
    adata: AnnData, cells: NDArray[np.int64], time: Any, conn_kwargs: dict[str, Any]
) -> sp.csr_matrix:
    """Transitions to similar cells, from a graph of these cells alone, computed by scanpy.

    Parameters
    ----------
    adata : AnnData
        All cells; only representations and expression of the chosen ones are read.
    cells : ndarray of int
        Positions.
    time
        Their time point, for messages.
    conn_kwargs : dict
        For ``scanpy.pp.neighbors``.
    """
    if len(cells) < 3:
        warn_user(f"{len(cells)} cells at time {time} are too few for a graph: they stay where they are.")
        return sp.csr_matrix(sp.identity(len(cells), format="csr"))
    import scanpy as sc

    part = adata[cells]
    # Only what a graph is made from: no layers, no pairs of cells. scanpy would look for the eigenvalues that
    # belong to a diffusion map of all cells.
    used = {"X_pca", conn_kwargs.get("use_rep")}
    subset = AnnData(
        X=part.X,
        obs=pd.DataFrame(index=part.obs_names),
        var=adata.var,
        obsm={key: np.asarray(part.obsm[key]) for key in part.obsm if key in used},
    )
    if (subset.X is None or not subset.n_vars) and "use_rep" not in conn_kwargs:
        # scanpy would take the expression, which is not there.
        if "X_pca" not in subset.obsm:
            raise MissingDataError(
                "Unable to compute a graph of cells of one time: there is neither expression nor "
                f"`adata.obsm['X_pca']`.{suggest('X_pca', subset.obsm.keys())} Name a representation with "
                "`conn_kwargs={'use_rep': ...}`."
            )
        conn_kwargs = {**conn_kwargs, "use_rep": "X_pca"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scanpy's dependencies have to say of each other
        sc.pp.neighbors(subset, **conn_kwargs)
    name = conn_kwargs.get("key_added")
    key = f"{name}_{_keys.CONNECTIVITIES}" if name else None
    kernel = ConnectivityKernel(subset, conn_key=key, check_symmetric=False).compute_transition_matrix()
    return as_csr(kernel._require_matrix())
