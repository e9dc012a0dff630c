"""Scores of the Cell Ontology in AnnData, and the most granular terms that are certain enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
)
from ferrocyte.cas._arguments import finite
from ferrocyte.cas.models import CellOntologyResource, CellTypeOntologyAwareResults

__all__ = [
    "METADATA_KEY",
    "ROOT",
    "SCORES_KEY",
    "align",
    "insert_scores",
    "top_calls_by_cell",
    "top_calls_by_cluster",
]

SCORES_KEY = "cas_cl_scores"
METADATA_KEY = "cas_metadata"
ROOT = "CL:0000000"


def term_id(name: str) -> str:
    """A term as the service spells it; older files have an underscore, as in CL_0000236."""
    return name.replace("_", ":", 1) if name.startswith("CL_") else name


def align(names: Sequence[str], adata: AnnData) -> NDArray[np.intp]:
    """For each cell of `adata` the position of its answer.

    The same names in the same order, repeated or not, are taken one by one; otherwise cells are found by
    name, the first of several with one name by the first answer of that name, and so on.

    Raises
    ------
    InvalidDataError
        If cells have no answer; some are named.
    """
    wanted = [str(name) for name in adata.obs_names]
    if list(names) == wanted:
        return np.arange(len(wanted))
    places: dict[str, list[int]] = {}
    for at in range(len(names) - 1, -1, -1):
        places.setdefault(names[at], []).append(at)
    out, missing = np.zeros(len(wanted), dtype=np.intp), []
    for i, name in enumerate(wanted):
        found = places.get(name)
        if not found:
            missing.append(name)
        else:
            # A name that is asked for more often than it was answered keeps its last answer.
            out[i] = found.pop() if len(found) > 1 else found[0]
    if missing:
        shown = ", ".join(repr(n) for n in missing[:3])
        raise InvalidDataError(
            f"{len(missing)} of the {len(wanted)} cells of `adata` have no answer ({shown}, …). "
            "Annotate them too, or put the results into the cells that have one: "
            "`adata[[a.query_cell_id for a in results.data]]`."
        )
    return out


def score_matrix(results: CellTypeOntologyAwareResults, resource: CellOntologyResource) -> sp.csr_matrix:
    """Scores, answers by terms.

    Raises
    ------
    InvalidDataError
        For a term that the ontology does not have.
    """
    column = {name: k for k, name in enumerate(resource.cl_names)}
    lengths = [len(answer.matches) for answer in results.data]
    matches = [match for answer in results.data for match in answer.matches]
    try:
        columns = [column[term_id(m.cell_type_ontology_term_id)] for m in matches]
    except KeyError as err:
        raise InvalidDataError(
            f"The results have the term {err.args[0]!r}, which is not in the ontology of the model. Were "
            "they made by another model?"
        ) from None
    out = sp.csr_matrix(
        (
            np.array([m.score for m in matches], dtype=np.float64),
            np.array(columns, dtype=np.int32),
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        ),
        shape=(len(results.data), len(resource.cl_names)),
    )
    out.sum_duplicates()
    return out


def insert_scores(
    results: CellTypeOntologyAwareResults, adata: AnnData, resource: CellOntologyResource, name: str
) -> None:
    """Put scores into ``obsm["cas_cl_scores"]`` and what their columns are into ``uns["cas_metadata"]``."""
    if not isinstance(results, CellTypeOntologyAwareResults):
        raise InvalidTypeError(
            "Expected the results of the ontology-aware strategy "
            f"(`CellTypeOntologyAwareResults`), found `{type(results).__name__}`."
        )
    rows = align([answer.query_cell_id for answer in results.data], adata)
    scores = score_matrix(results, resource)[rows]
    labels = resource.cell_ontology_term_id_to_cell_type
    adata.obsm[SCORES_KEY] = scores
    adata.uns[METADATA_KEY] = {
        "cl_names": list(resource.cl_names),
        "cl_labels": [labels.get(name, name) for name in resource.cl_names],
        "ontology_resource_name": name,
    }


def _scores_of(adata: AnnData) -> tuple[sp.csr_matrix, list[str], list[str]]:
    if SCORES_KEY not in adata.obsm or METADATA_KEY not in adata.uns:
        raise MissingDataError(
            f"No scores in `adata.obsm[{SCORES_KEY!r}]`. Call `insert_ontology_aware_response` first."
        )
    metadata = adata.uns[METADATA_KEY]
    names = [term_id(str(name)) for name in metadata["cl_names"]]
    return sp.csr_matrix(adata.obsm[SCORES_KEY]), names, [str(label) for label in metadata["cl_labels"]]


def _depths(
    names: Sequence[str], resource: CellOntologyResource, use_shortest_path: bool
) -> NDArray[np.int64]:
    """Steps from the root to each term; -1 for a term that is not below it."""
    paths = (
        resource.shortest_path_lengths_from_cell_root
        if use_shortest_path
        else resource.longest_path_lengths_from_cell_root
    )
    known = {term_id(name): depth for name, depth in paths.items()}
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


def _check(min_acceptable_score: Any, top_k: Any) -> tuple[float, int]:
    if isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 1:
        raise InvalidOptionError(f"Expected `top_k` to be a positive whole number, found {top_k!r}.")
    return finite(min_acceptable_score, "min_acceptable_score"), int(top_k)


def _calls(
    columns: NDArray[Any], scores: NDArray[np.float64], depths: NDArray[np.int64], least: float, top_k: int
) -> list[tuple[float, int]]:
    """The deepest terms with a score of at least `least`, best scores first among equals."""
    use = (scores >= least) & (depths[columns] >= 0)
    columns, scores = columns[use], scores[use]
    order = np.lexsort((columns, -scores, -depths[columns]))[:top_k]
    return [(float(scores[k]), int(columns[k])) for k in order]


def _write(
    adata: AnnData,
    calls: list[list[tuple[float, int]]],
    names: list[str],
    labels: list[str],
    prefix: str,
    k: int,
) -> None:
    root_label = labels[names.index(ROOT)] if ROOT in names else "cell"
    columns: dict[str, Any] = {}
    for i in range(k):
        found = [c[i] if i < len(c) else None for c in calls]
        columns[f"{prefix}_score_{i + 1}"] = [1.0 if f is None else f[0] for f in found]
        columns[f"{prefix}_name_{i + 1}"] = [ROOT if f is None else names[f[1]] for f in found]
        columns[f"{prefix}_label_{i + 1}"] = [root_label if f is None else labels[f[1]] for f in found]
    table = pd.DataFrame(columns, index=adata.obs_names)
    for column in table.columns:
        values = table[column].to_numpy()
        adata.obs[column] = values if values.dtype.kind == "f" else pd.Categorical(values)


def top_calls_by_cell(
    adata: AnnData,
    resource: CellOntologyResource,
    min_acceptable_score: float,
    top_k: int,
    obs_prefix: str,
    use_shortest_path: bool,
) -> None:
    """Write the most granular calls of each cell into `obs`."""
    least, top_k = _check(min_acceptable_score, top_k)
    scores, names, labels = _scores_of(adata)
    depths = _depths(names, resource, use_shortest_path)
    calls = []
    for i in range(scores.shape[0]):
        span = slice(scores.indptr[i], scores.indptr[i + 1])
        calls.append(_calls(scores.indices[span], scores.data[span], depths, least, top_k))
    _write(adata, calls, names, labels, obs_prefix, top_k)


def top_calls_by_cluster(
    adata: AnnData,
    resource: CellOntologyResource,
    min_acceptable_score: float,
    cluster_label_obs_column: str,
    top_k: int,
    obs_prefix: str,
    use_shortest_path: bool,
) -> None:
    """Write the most granular calls of each cluster, from its mean scores, into `obs`."""
    least, top_k = _check(min_acceptable_score, top_k)
    scores, names, labels = _scores_of(adata)
    if cluster_label_obs_column not in adata.obs:
        raise MissingDataError(
            f"No column {cluster_label_obs_column!r} in `adata.obs`."
            f"{suggest(cluster_label_obs_column, adata.obs.columns)}"
        )
    clusters = pd.Categorical(adata.obs[cluster_label_obs_column])
    depths = _depths(names, resource, use_shortest_path)
    columns = np.arange(len(names))
    of_cluster = []
    for k in range(len(clusters.categories)):
        cells = np.flatnonzero(clusters.codes == k)
        mean = np.asarray(scores[cells].mean(axis=0)).ravel() if len(cells) else np.zeros(len(names))
        of_cluster.append(_calls(columns, mean, depths, least, top_k))
    # Cells without a cluster get the root, as calls that are not certain enough do.
    calls = [of_cluster[code] if code >= 0 else [] for code in clusters.codes]
    _write(adata, calls, names, labels, obs_prefix, top_k)
