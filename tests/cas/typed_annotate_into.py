"""More of `typed_script`, with AnnData, which has no types of its own."""

from __future__ import annotations

from typing import assert_type

from anndata import AnnData
from ferrocyte.cas import AsyncCASClient, CASClient
from ferrocyte.cas.models import (
    CellTypeOntologyAwareResults,
    CellTypeSummaryStatisticsResults,
    MatrixQueryResults,
)


def waiting(client: CASClient, adata: AnnData) -> None:
    ontology = client.annotate_into(adata, chunk_size=500, prune_threshold=0.1)
    assert_type(ontology, CellTypeOntologyAwareResults)
    summary = client.annotate_into(adata, strategy="summary", checkpoint="journal")
    assert_type(summary, CellTypeSummaryStatisticsResults)
    assert_type(client.annotate_into(adata, ontology), CellTypeOntologyAwareResults)
    assert_type(client.validate_and_sanitize_input_data(adata, None, "X", "index"), AnnData)
    client.insert_ontology_aware_response(ontology, adata)
    client.compute_most_granular_top_k_calls_single(adata, 0.2, top_k=1)
    client.compute_most_granular_top_k_calls_cluster(adata, 0.2, "leiden")
    assert_type(client.annotate_anndata(adata, include_dev_metadata=True), CellTypeSummaryStatisticsResults)
    assert_type(client.search_anndata(adata, 100), MatrixQueryResults)
    client.annotate_into(adata, chunk_sise=500)  # type: ignore[call-overload]


async def awaiting(client: AsyncCASClient, adata: AnnData) -> None:
    assert_type(await client.annotate_into(adata), CellTypeOntologyAwareResults)
    assert_type(await client.annotate_into(adata, strategy="summary"), CellTypeSummaryStatisticsResults)
    assert_type(await client.annotate_anndata(adata), CellTypeSummaryStatisticsResults)
    assert_type(await client.search_anndata(adata), MatrixQueryResults)
