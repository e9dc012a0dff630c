"""Chains small enough to solve on paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from ferrocyte.kernels import PrecomputedKernel


def lumped(coarse, sizes) -> sp.csr_matrix:
    """A chain whose blocks are exactly its macrostates.

    From any cell of block `a`, each cell of block `b` has probability `coarse[a, b] / sizes[b]`. Its
    eigenvalues are those of `coarse` and zeros, its dominant right eigenvectors are constant on blocks, so
    memberships are 0 or 1 and the coarse transition matrix is `coarse`.
    """
    coarse = np.asarray(coarse, dtype=float)
    block = np.repeat(np.arange(len(sizes)), sizes)
    return sp.csr_matrix(coarse[np.ix_(block, block)] / np.asarray(sizes)[block])


def kernel_over(matrix, sizes, names="abcdefgh", **kwargs) -> PrecomputedKernel:
    """A kernel over cells `c0`, `c1`, ... with their block in `obs["clusters"]`."""
    n = int(np.sum(sizes))
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n)])
    labels = np.repeat(list(names[: len(sizes)]), sizes)
    obs["clusters"] = pd.Categorical(labels, categories=sorted(set(labels)))
    adata = AnnData(np.zeros((n, 3), dtype=np.float32), obs=obs)
    adata.uns["clusters_colors"] = ["#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff"][: len(sizes)]
    return PrecomputedKernel(matrix, adata=adata, **kwargs)


# pi = (3, 5, 30) / 38: the flow into a, 0.01 pi_c, is that out of it, 0.1 pi_a; into b 0.05 pi_a = 0.03 pi_b.
THREE = np.array([[0.90, 0.05, 0.05], [0.00, 0.97, 0.03], [0.01, 0.00, 0.99]])
# Around in circles: a complex pair of eigenvalues 0.8 + 0.2 exp(2 pi i / 3).
CYCLE = np.array([[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.2, 0.0, 0.8]])
