"""Answers as tables, and answers put into AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte.cas.constants import CellMetadataFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferrocyte.cas import models

__all__ = ["ontology_frame", "query_frame", "search_frame", "summary_frame"]

_DISTANCES = ("min_distance", "p25_distance", "median_distance", "p75_distance", "max_distance")

# The features of `CellMetadataFeatures`, in their order.
_METADATA: dict[str, Any] = dict.fromkeys((f.value for f in CellMetadataFeatures), object) | {
    "cas_cell_index": np.int64,
    "total_mrna_umis": np.int64,
}


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
    """One row a cell; the columns that were asked for, or those with any value where that is not known."""
    columns = results._asked
    if columns is None:
        used = {name for cell in results.data for name, value in cell if value is not None}
        columns = [name for name in _METADATA if name in used or name == "cas_cell_index"]
    table = {}
    for name in columns:
        values = [getattr(cell, name) for cell in results.data]
        dtype = _METADATA[name]
        if dtype == np.int64 and None in values:
            dtype = pd.Int64Dtype()  # whole numbers stay whole where some are missing
        table[name] = pd.array(values, dtype=dtype) if dtype == pd.Int64Dtype() else np.array(values, dtype)
    return pd.DataFrame(table)
