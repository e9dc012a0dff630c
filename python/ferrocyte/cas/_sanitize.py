"""An AnnData object on the genes of a schema, for who wants to see what is sent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from ferrocyte.cas._genes import var_column
from ferrocyte.cas._prepare import prepare
from ferrocyte.cas._source import Source
from ferrocyte.cas._upload import GeneList

__all__ = ["sanitized"]


def sanitized(
    adata: AnnData,
    source: Source,
    genes: GeneList,
    *,
    ids_column: str,
    names_column: str | None,
    threads: int,
) -> AnnData:
    """Counts of all cells on the genes of a schema, with `obs` and `obsm`; a new object.

    `obs["total_mrna_umis"]` counts all molecules, those of genes outside of the schema too.
    """
    prepared = prepare(source, genes, ids_column=ids_column, names_column=names_column, threads=threads)
    counts = prepared.counts(0, len(prepared))
    x = sp.csr_matrix((counts.data, counts.indices, counts.indptr), shape=(len(counts), len(genes)))
    obs = adata.obs.copy()
    obs["total_mrna_umis"] = counts.totals
    var = pd.DataFrame(index=pd.Index(genes.names, dtype=object))
    if names_column is not None:
        names = np.full(len(genes), "N/A", dtype=object)
        symbols = var_column(source.var, names_column, "feature_names_column_name")
        kept = prepared.targets >= 0
        names[prepared.targets[kept]] = symbols[kept]
        var["feature_name"] = names
    return AnnData(X=x, obs=obs, var=var, obsm={key: adata.obsm[key].copy() for key in adata.obsm})
