"""An approximate index for references that are too large to be compared one by one.

usearch finds candidates, more than are wanted; their distances are computed exactly, so that an approximate
answer can lack a neighbor but never has a wrong distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import FileFormatError, MissingPackageError

if TYPE_CHECKING:
    from pathlib import Path

    from ferrocyte.cas.local._reference import Reference

__all__ = ["FILE", "Index", "build_index", "open_index", "recall", "require"]

FILE = "index.usearch"
_METRICS = {"cosine": "cos", "l2": "l2sq", "dot": "ip"}
# Candidates for each neighbor that is wanted, and the least number of them.
_MORE, _LEAST = 2, 256


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError as err:
        raise MissingPackageError(
            "An approximate search needs usearch: `pip install 'ferrocyte[local]'`, or build the reference "
            "with `search='exact'`."
        ) from err
    return usearch.index


class Index:
    """An index over the vectors of a reference."""

    def __init__(self, index: Any, vectors: NDArray[np.float32], metric: str) -> None:
        self._index, self._vectors, self._metric = index, vectors, metric

    def neighbors(
        self, vectors: NDArray[np.float32], k: int, *, threads: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As :meth:`Reference.neighbors`."""
        width = min(max(_MORE * k, _LEAST), len(self._vectors))
        if len(vectors) == 0:
            return np.zeros((0, k), dtype=np.int64), np.zeros((0, k))
        found = self._index.search(vectors, width, threads=threads)
        keys = np.asarray(found.keys).reshape(len(vectors), -1).astype(np.int64)
        counts = np.asarray(getattr(found, "counts", np.full(len(vectors), keys.shape[1]))).reshape(-1)
        keys[np.arange(keys.shape[1]) >= counts[:, None]] = -1
        return _core.refine_neighbors(
            self._vectors, vectors, np.ascontiguousarray(keys), k, metric=self._metric, threads=threads
        )


def _empty(dim: int, metric: str) -> Any:
    return _usearch().Index(
        ndim=dim,
        metric=_METRICS[metric],
        dtype="f32",
        connectivity=16,
        expansion_add=128,
        expansion_search=512,
    )


def require() -> None:
    """Say early that usearch is not there.

    Raises
    ------
    MissingPackageError
    """
    _usearch()


def build_index(vectors: NDArray[np.float32], metric: str, path: Path) -> Index:
    """Build an index and write it.

    On one thread: its shape depends on the order in which vectors come, and the same cells are to give the
    same index.

    Raises
    ------
    MissingPackageError
    """
    index = _empty(vectors.shape[1], metric)
    for start in range(0, len(vectors), 10_000):
        stop = min(start + 10_000, len(vectors))
        index.add(np.arange(start, stop, dtype=np.uint64), np.asarray(vectors[start:stop]), threads=1)
    index.save(str(path))
    return Index(index, np.asarray(vectors), metric)


def open_index(reference: Reference) -> Index:
    """The index of a reference, mapped into memory.

    Raises
    ------
    MissingPackageError, FileFormatError
    """
    path = reference.path / FILE
    index = _empty(reference.embedding_dimension, reference.metric)
    try:
        index.view(str(path))
    except Exception as err:
        raise FileFormatError(f"The reference lacks a readable {path} ({err}).") from err
    if len(index) != reference.n_cells or index.ndim != reference.embedding_dimension:
        raise FileFormatError(
            f"Expected {reference.n_cells} vectors of {reference.embedding_dimension} numbers in {path}, "
            f"found {len(index)} of {index.ndim}."
        )
    return Index(index, reference.vectors, reference.metric)


def recall(index: Index, vectors: NDArray[np.float32], metric: str, k: int, *, n: int = 200) -> float:
    """Share of the true `k` nearest that the index finds, over `n` cells of the reference itself."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(n, len(vectors))).astype(np.int64))
    queries = np.ascontiguousarray(vectors[rows])
    true, _ = _core.exact_neighbors(vectors, queries, k, metric=metric)
    found, _ = index.neighbors(queries, k)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(true, found, strict=True)]
    return float(np.mean(hits)) / k
