"""Small annotated data for models of trends."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import scipy.sparse as sp

LINEAGES = ["a", "b", "c"]


def cells(n: int = 120, genes: int = 8, seed: int = 0, sparse: bool = False) -> ad.AnnData:
    """Gamma-distributed genes g0, g1, ... whose means are waves over pseudotime `t`; fates a, b, c."""
    rng = np.random.default_rng(seed)
    t = np.r_[0.0, np.sort(rng.uniform(0, 1, n - 2)), 1.0]
    waves = 2 + np.sin(5 * t[:, None] + np.arange(genes))
    x = rng.gamma(4, waves / 4)
    adata = ad.AnnData(
        sp.csr_matrix(x) if sparse else x, obs=pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    )
    adata.var_names = [f"g{i}" for i in range(genes)]
    adata.obs["t"] = t
    adata.obs["group"] = pd.Categorical(np.where(t < 0.5, "early", "late"))
    adata.layers["half"] = adata.X / 2
    adata.obsm["points"] = np.c_[t, x[:, 0]]
    adata.obsm["table"] = pd.DataFrame({"one": t, "name": "x"}, index=adata.obs_names)
    adata.raw = adata.copy()
    fates = rng.dirichlet(np.ones(3), n)
    fates[:, 0] = t * (1 - 1e-9)
    fates[:, 1:] *= ((1 - fates[:, 0]) / fates[:, 1:].sum(axis=1))[:, None]
    adata.obsm["lineages_fwd"] = fc.Lineage(fates, names=LINEAGES)
    return adata
