"""Chains for the benches of estimators: cells on arms that leave one centre, walking to nearest neighbours.

How fast such a chain mixes is a matter of its shape. Thick arms with a preferred direction are left in some
hundred steps; thin ones without are a long diffusion, and that is where iterative solvers take long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

TIP = 30  # terminal cells of an arm


def arms(
    cells: int,
    arms: int,
    dims: int,
    width: float,
    bias: float,
    neighbors: int = 30,
    n_targets: int | None = None,
    genes: int = 0,
    density: float = 0.05,
    schur: int = 0,
    seed: int = 0,
) -> Any:
    """An AnnData object with the chain in `obsp["T_fwd"]` and the terminal cells in `obs["target"]`.

    Parameters
    ----------
    cells, arms, neighbors
        Numbers of cells, of arms and of neighbours per cell.
    dims, width
        Dimensions of the space, at least 2, and how thick an arm of length 1 is in each across it.
    bias
        How much rarer steps towards the centre are; 0 for no direction.
    n_targets
        Tips are dealt out to so many targets; one each by default.
    genes, density
        Counts of so many genes, float32 CSR with that part of stored values, a tenth of the genes rising in
        an arm.
    schur
        Store so many Schur vectors.
    """
    import anndata as ad
    import pandas as pd
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    arm = np.sort(rng.integers(arms, size=cells))
    along = rng.random(cells)
    angle = 2 * np.pi * arm / arms
    across = width * (rng.random((cells, dims - 1)) - 0.5)
    x = np.zeros((cells, dims))
    x[:, 0] = along * np.cos(angle) - across[:, 0] * np.sin(angle)
    x[:, 1] = along * np.sin(angle) + across[:, 0] * np.cos(angle)
    x[:, 2:] = across[:, 1:]
    distance, near = cKDTree(x).query(x, neighbors + 1)
    rows, near, distance = np.repeat(np.arange(cells), neighbors), near[:, 1:].ravel(), distance[:, 1:]
    weight = np.exp(-((distance / distance[:, neighbors // 2, None]) ** 2)).ravel()
    graph = sp.csr_matrix((weight, (rows, near)), shape=(cells, cells))
    graph = sp.csr_matrix(graph + graph.T)
    back = np.repeat(along, np.diff(graph.indptr)) - along[graph.indices]
    graph.data /= 1 + np.exp(np.clip(bias * back / np.median(np.abs(back)), -30, 30))
    T = sp.csr_matrix(sp.diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph)
    T.sort_indices()

    n_targets = arms if n_targets is None else n_targets
    target = np.full(cells, -1)
    for a in range(arms):
        own = np.flatnonzero(arm == a)
        target[own[np.argsort(along[own])[-TIP:]]] = a % n_targets
    names = np.array([f"t{k}" for k in range(n_targets)], dtype=object)
    # unlike numbers, names do not make AnnData complain
    obs = pd.DataFrame(
        {
            "arm": pd.Categorical.from_codes(arm, categories=[f"arm{k}" for k in range(arms)]),
            "target": pd.Categorical.from_codes(target, categories=names),
        },
        index=pd.Index([f"c{i}" for i in range(cells)], dtype=object),
    )
    X = _counts(arm, along, genes, density, rng) if genes else sp.csr_matrix((cells, 1), dtype=np.float32)
    adata = ad.AnnData(X=X, obs=obs, obsp={"T_fwd": T})
    if schur:
        from ferrocyte import _core

        adata.obsm["schur"] = _core.schur_decomposition(T, None, n_components=schur, threads=2)[0]
    return adata


def _counts(
    arm: np.ndarray, along: np.ndarray, genes: int, density: float, rng: np.random.Generator
) -> sp.csr_matrix:
    """Values 1, 2, ... at random places, drawn row by row so that nothing dense is made."""
    n = len(arm)
    per_row = rng.binomial(genes, density, size=n)
    indptr = np.r_[0, np.cumsum(per_row)]
    indices = np.empty(indptr[-1], dtype=np.int32)
    data = np.empty(indptr[-1], dtype=np.float32)
    for i in range(n):
        part = slice(indptr[i], indptr[i + 1])
        cols = np.sort(rng.choice(genes, per_row[i], replace=False))
        rising = (cols % 10 == 0) & (cols // 10 % (arm.max() + 1) == arm[i])
        indices[part] = cols
        data[part] = 1 + rng.poisson(np.where(rising, 4 * along[i], 0.3))
    return sp.csr_matrix((data, indices, indptr), shape=(n, genes))
