"""A service and cells for it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

sys.path.insert(0, str(Path(__file__).parent))

from server import TOKEN, Server

SCHEMA = [f"ENSG{i:011d}" for i in range(1, 31)]


@pytest.fixture
def server():
    with Server(SCHEMA) as server:
        yield server


@pytest.fixture
def make_client(server):
    """A patient client with short pauses; closed in the end."""
    from ferrocyte.cas import CASClient

    made = []

    def make(**options):
        quick = {"retry_delay": 0.01, "max_retry_delay": 0.02, "request_timeout": 20.0, "total_timeout": 60.0}
        made.append(CASClient(TOKEN, server.url, **{**quick, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client):
    return make_client()


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
    """The slow, obvious way to the schema: name, dense row and total of each cell."""
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
