"""A user's script, for the type checker alone: what each method gives is known, and nothing of it is Any."""

from __future__ import annotations

from typing import assert_type

from ferrocyte.cas import AsyncCASClient, CASClient, CellMetadataFeatures, CountMatrixInput
from ferrocyte.cas.errors import AnnotationIncompleteError, ChunkFailure
from ferrocyte.cas.models import (
    CellQueryResults,
    CellTypeOntologyAwareResults,
    CellTypeSummaryStatisticsResults,
    MatrixQueryResults,
)

PATH = "cells.h5ad"


def waiting(client: CASClient) -> None:
    assert_type(client.allowed_models_list, list[str])
    client.validate_model_name("first")
    client.validate_version()
    client.print_user_quota()
    quota = client.quota()
    assert_type(quota.left, int)
    assert_type(quota.lifetime_quota, int | None)
    ontology = client.annotate_matrix_cell_type_ontology_aware_strategy(
        PATH, 500, CountMatrixInput.RAW_X, prune_threshold=0.1, on_error="partial", checkpoint="journal"
    )
    assert_type(ontology, CellTypeOntologyAwareResults)
    assert_type(ontology.failures, list[ChunkFailure])
    assert_type(ontology.failures[0].cell_names, tuple[str, ...])
    assert_type(ontology.model_name, str | None)
    for cell in ontology.data:
        assert_type(cell.query_cell_id, str)
        assert_type(cell.total_weight, float)
        assert_type(cell.matches[0].score, float)
    summary = client.annotate_matrix_cell_type_summary_statistics_strategy(PATH, show_progress=False)
    assert_type(summary, CellTypeSummaryStatisticsResults)
    assert_type(summary.data[0].matches[0].cell_count, int)
    statistics = summary.data[0].matches[0].dataset_ids_with_counts
    assert_type(statistics, list[CellTypeSummaryStatisticsResults.DatasetStatistics] | None)
    found = client.search_matrix(PATH, check_counts=False)
    assert_type(found, MatrixQueryResults)
    assert_type(found.data[0].neighbors[0].cas_cell_index, float)
    cells = client.query_cells_by_ids([1, 2], [CellMetadataFeatures.TISSUE, "cell_type"])
    assert_type(cells, CellQueryResults)
    assert_type(cells.data[0].tissue, str | None)
    assert_type(client.annotate_anndata_file(PATH), CellTypeSummaryStatisticsResults)
    assert_type(client.annotate_10x_h5_file(PATH), CellTypeSummaryStatisticsResults)
    assert_type(client.search_10x_h5_file(PATH, on_error="raise"), MatrixQueryResults)
    with CASClient.local("reference.h5ad") as local:
        assert_type(local, CASClient)


async def awaiting(client: AsyncCASClient) -> None:
    assert_type(await client.allowed_models_list, list[str])
    await client.validate_model_name(None)
    await client.validate_version()
    await client.print_user_quota()
    assert_type((await client.quota()).remaining_weekly_quota, int)
    ontology = await client.annotate_matrix_cell_type_ontology_aware_strategy(PATH, checkpoint=None)
    assert_type(ontology, CellTypeOntologyAwareResults)
    summary = await client.annotate_matrix_cell_type_summary_statistics_strategy(PATH, on_error="raise")
    assert_type(summary, CellTypeSummaryStatisticsResults)
    assert_type(await client.search_matrix(PATH), MatrixQueryResults)
    assert_type(await client.query_cells_by_ids([1]), CellQueryResults)
    assert_type(await client.annotate_anndata_file(PATH), CellTypeSummaryStatisticsResults)
    assert_type(await client.annotate_10x_h5_file(PATH), CellTypeSummaryStatisticsResults)
    assert_type(await client.search_10x_h5_file(PATH), MatrixQueryResults)
    async with AsyncCASClient.local("reference.h5ad") as local:
        assert_type(local, AsyncCASClient)


def lost(error: AnnotationIncompleteError) -> None:
    failure = error.failures[0]
    assert_type(failure.status, int | None)
    assert_type(failure.error, Exception)
