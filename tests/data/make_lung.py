"""Trims two studies of human lung to a reference and a query.

Run as ``python make_lung.py tabula_sapiens_lung_1000.h5ad hlca_lung_query_1000.h5ad tests/data``; see
`lung.md`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.sparse as sp

N_GENES = 1000
OBS = {
    "lung_reference": ["donor_id", "assay", "sex", "tissue"],
    "lung_query": ["donor_id"],
}

if __name__ == "__main__":
    *sources, out = sys.argv[1:]
    reference, query = (ad.read_h5ad(source) for source in sources)
    query.obs["donor_id"] = query.obs["donor"]
    genes = reference.var_names.intersection(query.var_names)
    # Variable genes of the reference alone: the query is not to be known beforehand.
    logs = reference[:, genes].copy()
    sc.pp.normalize_total(logs, target_sum=1e4)
    sc.pp.log1p(logs)
    sc.pp.highly_variable_genes(logs, n_top_genes=N_GENES)
    genes = genes[logs.var["highly_variable"].to_numpy()]
    for (name, columns), full in zip(OBS.items(), (reference, query), strict=True):
        cells = full[:, genes]
        trimmed = ad.AnnData(
            sp.csr_matrix(cells.X, dtype=np.float32),
            obs=cells.obs[["cell_type", "cell_type_ontology_term_id", *columns]]
            .astype(str)
            .astype("category"),
            var=reference[:, genes].var[["feature_name"]].astype(str),
        )
        # A map to draw on, from the cells of the file alone.
        drawn = trimmed.copy()
        sc.pp.normalize_total(drawn, target_sum=1e4)
        sc.pp.log1p(drawn)
        sc.pp.pca(drawn, n_comps=30)
        sc.pp.neighbors(drawn, n_neighbors=15)
        sc.tl.umap(drawn, random_state=0)
        trimmed.obsm["X_umap"] = np.asarray(drawn.obsm["X_umap"], dtype=np.float32)
        trimmed.write_h5ad(Path(out, f"{name}.h5ad"), compression="gzip", compression_opts=9)
