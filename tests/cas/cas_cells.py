"""Cells for the service of the tests, and the slow, obvious way from them to its schema."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

SCHEMA = [f"ENSG{i:011d}" for i in range(1, 31)]


def cells(n=23, seed=0, extra=5, shuffle=True):
    """Counts on the schema's genes in another order, some missing, and genes the schema does not know."""
    rng = np.random.default_rng(seed)
    genes = SCHEMA[: len(SCHEMA) - 4] + [f"ENSG9{i:010d}" for i in range(extra)]
    if shuffle:
        genes = list(rng.permutation(genes))
    x = sp.random(n, len(genes), 0.4, format="csr", dtype=np.float32, random_state=rng)
    x.data = rng.integers(1, 30, len(x.data)).astype(np.float32)
    var = pd.DataFrame({"symbol": [f"S{g[-4:]}" for g in genes]}, index=genes)
    obs = pd.DataFrame({"donor": ["somebody"] * n}, index=[f"cell-{i}" for i in range(n)])
    return AnnData(X=x, obs=obs, var=var)


def on_schema(adata, ids=None, x=None):
    """Name, dense row on the schema and total of each cell."""
    ids = list(adata.var_names if ids is None else ids)
    x = adata.X if x is None else x
    dense = np.asarray(x.todense() if sp.issparse(x) else x, dtype=np.float64)
    out = []
    for name, row in zip(adata.obs_names, dense, strict=True):
        mapped = np.zeros(len(SCHEMA))
        for gene, value in zip(ids, row, strict=True):
            if gene in SCHEMA:
                mapped[SCHEMA.index(gene)] += value
        out.append((name, mapped, row.sum()))
    return out


def right(results, adata, make, **how):
    """Whether every cell of `adata` has exactly the answer that the service gives to its counts, in order."""
    expected = [make(*cell) for cell in on_schema(adata, **how)]
    return [answer.model_dump(exclude_none=True) for answer in results.data] == expected
