"""Makes the data of the benches once and keeps it outside of the repository."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from chains import arms

FORMAT = 1  # raise it when this file writes something else


def ensure(spec: dict[str, Any], simulate: dict[str, Any], cache: Path) -> Path:
    """Path of the h5ad file of a data set; made unless it is in `cache`.

    A set of `cells` alone is simulated with the arguments `simulate`, any other is a chain of `chains.py`.
    """
    n_cells, simulated = spec["cells"], set(spec) == {"cells"}
    kind = "sim" if simulated else "arms"
    given = {"n_cells": n_cells, "format": FORMAT, **simulate} if simulated else {"format": FORMAT, **spec}
    name = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
    path = cache / f"{kind}_{n_cells}_{name}.h5ad"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        (_make(n_cells, simulate) if simulated else arms(**spec)).write_h5ad(partial)
        partial.rename(path)
    return path


def _make(n_cells: int, simulate: dict[str, Any]) -> Any:
    import anndata as ad
    from ferrocyte.datasets import simulate as make

    full = make(n_cells=n_cells, **simulate)
    adata = ad.AnnData(
        # CellRank wants an X; none of the cases reads it
        X=sp.csr_matrix(full.shape, dtype=np.float32),
        obs=full.obs[["cell_type", "pseudotime"]].copy(),
        var=full.var[[]].copy(),
        obsm={key: full.obsm[key] for key in ("X_low", "X_umap")},
        layers={key: full.layers[key] for key in ("Ms", "velocity")},
        obsp={key: full.obsp[key] for key in ("connectivities", "distances")},
        uns={"neighbors": full.uns["neighbors"]},
    )
    adata.obsp["T_walk"] = walking_chain(adata.obsp["connectivities"])
    return adata


def walking_chain(graph: Any) -> sp.csr_matrix:
    """Chain for the random walks: the graph without density, in plain scipy, rows summing to 1."""
    c = sp.csr_matrix(graph, dtype=np.float64)
    q = sp.diags(1.0 / np.asarray(c.sum(axis=0)).ravel())
    t = sp.csr_matrix(q @ c @ q)
    t = sp.csr_matrix(sp.diags(1.0 / np.asarray(t.sum(axis=1)).ravel()) @ t)
    t.sort_indices()
    return t
