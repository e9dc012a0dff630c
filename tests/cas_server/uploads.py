"""Files and forms by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import anndata as ad
import httpx
import numpy as np
import scipy.sparse as sp
from cas_cells import SCHEMA
from reference.patience import LONG

# One for all: to make one for each request takes longer than the request. No connection is used twice, and so
# none that a service is about to close.
HTTP = httpx.Client(
    trust_env=False, timeout=LONG, limits=httpx.Limits(max_keepalive_connections=0, max_connections=None)
)
GENERAL, OPERATIONS = "/api/cellarium-general", "/api/cellarium-cell-operations"


def h5ad(adata):
    """The file that anndata writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5ad"
        adata.write_h5ad(path, compression="gzip")
        return path.read_bytes()


def on_schema(n=4, seed=0, kind="csr", schema=SCHEMA, prefix="cell"):
    """Cells as a client has to send them."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(1.0, (n, len(schema))).astype(np.float32)
    out = ad.AnnData(X=x if kind == "dense" else getattr(sp, f"{kind}_matrix")(x))
    out.obs_names = [f"{prefix}-{i}" for i in range(n)]
    out.var_names = list(schema)
    out.obs["total_mrna_umis"] = x.sum(axis=1)
    return out


def post(server, path, file, headers=None, **fields):
    """A form with a file."""
    return HTTP.post(
        f"{server.url}{OPERATIONS}/{path}",
        files={"file": ("adata.h5ad", file, "application/octet-stream")},
        data=fields,
        headers=headers,
    )
