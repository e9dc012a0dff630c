"""From neighbors to the answers of the protocol."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte import _core

if TYPE_CHECKING:
    from ferrocyte.cas.local._reference import Reference

__all__ = ["neighbors", "ontology_aware", "summary"]


def neighbors(
    numbers: NDArray[np.int64], distances: NDArray[np.float64], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Neighbors with their distances, one entry a cell."""
    return [
        {
            "query_cell_id": name,
            "neighbors": [
                {"cas_cell_index": index, "distance": distance} for index, distance in zip(*pair, strict=True)
            ],
        }
        for name, *pair in zip(names, numbers.tolist(), distances.tolist(), strict=True)
    ]


def ontology_aware(
    reference: Reference,
    rows: NDArray[np.int64],
    distances: NDArray[np.float64],
    names: Sequence[str],
    *,
    prune_threshold: float,
    weighting_prefactor: float,
    threads: int = 1,
) -> list[dict[str, Any]]:
    """Scores of terms, one entry a cell; a term collects the weight of neighbors at or below it."""
    ontology = reference.ontology
    ends, terms, scores, weights, unrecognized = _core.ontology_scores(
        reference.cells.terms[rows],
        distances,
        *ontology.upward,
        prune=float(prune_threshold),
        prefactor=float(weighting_prefactor),
        threads=threads,
    )
    ids, labels = ontology.cl_names, ontology.labels
    flat = [
        {"score": score, "cell_type_ontology_term_id": ids[term], "cell_type": labels[term]}
        for term, score in zip(terms.tolist(), scores.tolist(), strict=True)
    ]
    bounds = ends.tolist()
    return [
        {
            "query_cell_id": name,
            "matches": flat[bounds[i] : bounds[i + 1]],
            "total_weight": weight,
            "total_neighbors": rows.shape[1],
            "total_neighbors_unrecognized": unknown,
        }
        for i, (name, weight, unknown) in enumerate(
            zip(names, weights.tolist(), unrecognized.tolist(), strict=True)
        )
    ]


_COLUMNS = ("min_distance", "p25_distance", "median_distance", "p75_distance", "max_distance")


def summary(
    reference: Reference,
    rows: NDArray[np.int64],
    distances: NDArray[np.float64],
    names: Sequence[str],
    *,
    extended: bool,
    threads: int = 1,
) -> list[dict[str, Any]]:
    """Statistics of the neighbors of each cell type, one entry a cell; most frequent types first."""
    codes, labels = reference.cells.cell_types
    of_neighbors = codes[rows]
    ends, groups, counts, statistics = _core.summary_statistics(of_neighbors, distances, threads=threads)
    flat = [
        {"cell_type": labels[group], "cell_count": count, **dict(zip(_COLUMNS, row, strict=False))}
        for group, count, row in zip(groups.tolist(), counts.tolist(), statistics.tolist(), strict=True)
    ]
    bounds = ends.tolist()
    if extended and reference.cells.datasets is not None:
        _add_datasets(reference, rows, of_neighbors, distances, flat, groups.tolist(), bounds, threads)
    return [
        {"query_cell_id": name, "matches": flat[bounds[i] : bounds[i + 1]]} for i, name in enumerate(names)
    ]


def _add_datasets(
    reference: Reference,
    rows: NDArray[np.int64],
    types: NDArray[np.int32],
    distances: NDArray[np.float64],
    flat: list[dict[str, Any]],
    groups: list[int],
    bounds: list[int],
    threads: int,
) -> None:
    """The same within each type by dataset."""
    assert reference.cells.datasets is not None
    codes, labels = reference.cells.datasets
    pairs = types.astype(np.int64) * len(labels) + codes[rows]
    if pairs.size and pairs.max() >= 2**31:
        raise OverflowError("more than 2147483647 pairs of cell type and dataset")
    ends, both, counts, statistics = _core.summary_statistics(
        pairs.astype(np.int32), distances, threads=threads
    )
    lines = list(zip(both.tolist(), counts.tolist(), statistics.tolist(), strict=True))
    for i, (start, stop) in enumerate(itertools.pairwise(bounds)):
        of_type: dict[int, list[dict[str, Any]]] = {}
        for pair, count, (least, _, median, _, most, mean) in lines[ends[i] : ends[i + 1]]:
            group, dataset = divmod(pair, len(labels))
            of_type.setdefault(group, []).append(
                {
                    "dataset_id": labels[dataset],
                    "count_per_dataset": count,
                    "min_distance": least,
                    "max_distance": most,
                    "median_distance": median,
                    "mean_distance": mean,
                }
            )
        for at in range(start, stop):
            flat[at]["dataset_ids_with_counts"] = of_type[groups[at]]
