"""Answers as tables, and answers put into AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferrocyte.cas import models

__all__ = ["ontology_frame", "query_frame", "search_frame", "summary_frame"]

_DISTANCES = ("min_distance", "p25_distance", "median_distance", "p75_distance", "max_distance")


def _long(data: Sequence[Any], entries: str, columns: dict[str, Any]) -> pd.DataFrame:
    """One row for each of the `entries` of each cell; `columns` are their names and dtypes."""
    counts = [len(getattr(cell, entries)) for cell in data]
    matches = [match for cell in data for match in getattr(cell, entries)]
    names = np.repeat(np.array([cell.query_cell_id for cell in data], dtype=object), counts)
    table: dict[str, Any] = {"query_cell_id": names}
    for column, dtype in columns.items():
        table[column] = np.array([getattr(match, column) for match in matches], dtype=dtype)
    return pd.DataFrame(table)


def summary_frame(results: models.CellTypeSummaryStatisticsResults) -> pd.DataFrame:
    """One row a match."""
    columns = {"cell_type": object, "cell_count": np.int64} | dict.fromkeys(_DISTANCES, np.float64)
    return _long(results.data, "matches", columns)


def ontology_frame(results: models.CellTypeOntologyAwareResults) -> pd.DataFrame:
    """One row a match."""
    columns = {"cell_type_ontology_term_id": object, "cell_type": object, "score": np.float64}
    return _long(results.data, "matches", columns)


def search_frame(results: models.MatrixQueryResults) -> pd.DataFrame:
    """One row a neighbor."""
    return _long(results.data, "neighbors", {"cas_cell_index": np.int64, "distance": np.float64})


def query_frame(results: models.CellQueryResults) -> pd.DataFrame:
    """One row a cell; columns without any value are left out."""
    if not results.data:
        return pd.DataFrame({"cas_cell_index": np.array([], dtype=np.int64)})
    return pd.DataFrame([cell.model_dump() for cell in results.data]).dropna(axis=1, how="all")
