"""Labels, scores and a table of all matches, put into an AnnData object in one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ferrocyte._errors import InvalidOptionError, InvalidTypeError
from ferrocyte.cas import _ontology
from ferrocyte.cas.models import (
    CellOntologyResource,
    CellTypeOntologyAwareResults,
    CellTypeSummaryStatisticsResults,
)

__all__ = ["check_key", "put_into"]


def check_key(key: Any) -> None:
    """Refuse what can not be the start of names of columns.

    Raises
    ------
    InvalidOptionError
    """
    if not isinstance(key, str) or not key:
        raise InvalidOptionError(f"Expected `key_added` to be a name, found {key!r}.")


def put_into(
    adata: AnnData,
    results: Any,
    key: str,
    *,
    ontology: tuple[CellOntologyResource, str] | None,
    least: float,
    use_shortest_path: bool = False,
) -> None:
    """Put results into `adata`: one label and score a cell, and the table of all matches.

    Everything is computed on the side first, so that nothing is changed if something is wrong.

    Raises
    ------
    InvalidDataError
        If cells have no answer, unless the results say so themselves in `failures`.
    """
    check_key(key)
    if isinstance(results, CellTypeSummaryStatisticsResults):
        columns = _majority(results)
        scores = None
    elif isinstance(results, CellTypeOntologyAwareResults):
        assert ontology is not None
        columns, scores = _granular(results, ontology[0], least, use_shortest_path)
    else:
        raise InvalidTypeError(
            "Expected `CellTypeOntologyAwareResults` or `CellTypeSummaryStatisticsResults`, found "
            f"`{type(results).__name__}`."
        )
    names = [answer.query_cell_id for answer in results.data]
    here, rows = _answered(names, adata, bool(results.failures))
    table = results.to_frame()
    new = {}
    for column, values in columns.items():
        taken = np.full(adata.n_obs, np.nan if values.dtype.kind == "f" else None, dtype=values.dtype)
        taken[here] = values[rows]
        new[f"{key}_{column}"] = taken if values.dtype.kind == "f" else pd.Categorical(taken)
    if scores is not None and ontology is not None:
        resource, name = ontology
        full = scores[rows] if here.all() else _spread(scores[rows], here)
        labels = resource.cell_ontology_term_id_to_cell_type
        adata.obsm[_ontology.SCORES_KEY] = full
        adata.uns[_ontology.METADATA_KEY] = {
            "cl_names": list(resource.cl_names),
            "cl_labels": [labels.get(term, term) for term in resource.cl_names],
            "ontology_resource_name": name,
        }
    adata.uns[f"{key}_matches"] = table
    for column, values in new.items():
        adata.obs[column] = values


def _answered(names: list[str], adata: AnnData, partial: bool) -> tuple[Any, Any]:
    """Which cells of `adata` have an answer, and which answer it is."""
    here = np.ones(adata.n_obs, dtype=bool)
    if partial:
        here = np.isin(adata.obs_names.astype(str).to_numpy(dtype=object), np.array(names, dtype=object))
    return here, _ontology.align(names, adata[here] if not here.all() else adata)


def _spread(scores: Any, here: Any) -> Any:
    """Rows at the cells they belong to; empty rows elsewhere."""
    import scipy.sparse as sp

    where = np.flatnonzero(here)
    put = sp.csr_matrix((np.ones(len(where)), (where, np.arange(len(where)))), shape=(len(here), len(where)))
    return (put @ scores).tocsr()


def _majority(results: CellTypeSummaryStatisticsResults) -> dict[str, Any]:
    """The cell type of most neighbors, its share of them, and the smallest distance to one of them."""
    labels, shares, distances = [], [], []
    for answer in results.data:
        best = max(answer.matches, key=lambda m: (m.cell_count, -m.min_distance))
        labels.append(best.cell_type)
        shares.append(best.cell_count / max(1, sum(m.cell_count for m in answer.matches)))
        distances.append(best.min_distance)
    return {
        "cell_type": np.array(labels, dtype=object),
        "cell_type_score": np.array(shares, dtype=np.float64),
        "cell_type_min_distance": np.array(distances, dtype=np.float64),
    }


def _granular(
    results: CellTypeOntologyAwareResults,
    resource: CellOntologyResource,
    least: float,
    use_shortest_path: bool,
) -> tuple[dict[str, Any], Any]:
    """The most granular term with a score of at least `least`."""
    scores = _ontology.score_matrix(results, resource)
    answers = AnnData(
        obs=pd.DataFrame(index=pd.RangeIndex(len(results.data)).astype(str)),
        obsm={_ontology.SCORES_KEY: scores},
    )
    labels = resource.cell_ontology_term_id_to_cell_type
    answers.uns[_ontology.METADATA_KEY] = {
        "cl_names": list(resource.cl_names),
        "cl_labels": [labels.get(name, name) for name in resource.cl_names],
    }
    _ontology.top_calls_by_cell(answers, resource, least, 1, "best", use_shortest_path)
    return {
        "cell_type": answers.obs["best_label_1"].astype(object).to_numpy(),
        "cell_type_ontology_term_id": answers.obs["best_name_1"].astype(object).to_numpy(),
        "cell_type_score": answers.obs["best_score_1"].to_numpy(dtype=np.float64),
    }, scores
