"""Sparse matrices in the one form the core takes, and what can be wrong with them. Knows no AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ferrocyte._errors import InvalidDataError, warn_user

__all__ = ["SHOWN", "canonical_csr", "check_csr", "is_sparse", "name_cells", "to_memory", "warn_about_graph"]

# How many cells a message names.
SHOWN = 5


def name_cells(names: Sequence[Any] | pd.Index | None, rows: Sequence[int] | NDArray[Any]) -> str:
    """Name some cells in a message: ``'AAC-1', 'AAG-1' and 3 more``."""
    rows = np.asarray(rows, dtype=np.int64)
    shown = [repr(str(names[i])) if names is not None else f"cell {i}" for i in rows[:SHOWN]]
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return ", ".join(shown) + more


def is_sparse(value: Any) -> bool:
    """Whether this is a scipy sparse matrix or array."""
    return bool(sp.issparse(value))


def to_memory(array: Any) -> Any:
    """Read an array of a backed AnnData object into memory; anything else is returned as it is."""
    if hasattr(array, "to_memory"):
        return array.to_memory()
    if type(array).__module__.partition(".")[0] in ("h5py", "zarr"):
        return array[...]
    return array


def canonical_csr(matrix: Any, what: str) -> sp.csr_matrix:
    """Give a CSR matrix as the core wants it; the same object if it is one already.

    Parameters
    ----------
    matrix : array-like or sparse
        Two-dimensional, any format and numeric type. Never changed.
    what : str
        Its name in messages.

    Returns
    -------
    scipy.sparse.csr_matrix
        float64; columns sorted and unique, no stored zeros; indices and row pointers of one integer type,
        int32 while they fit.

    Raises
    ------
    InvalidDataError
        If it is not two-dimensional, not numeric, or its arrays contradict each other.
    """
    matrix = to_memory(matrix)
    if not is_sparse(matrix):
        dense = np.asarray(matrix)
        if dense.ndim != 2 or dense.dtype.kind not in "buif":
            raise InvalidDataError(
                f"Expected {what} to be a matrix of numbers, found {dense.ndim} dimensions of type "
                f"`{dense.dtype}`."
            )
        return canonical_csr(sp.csr_matrix(dense.astype(np.float64, copy=False)), what)
    if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
        raise InvalidDataError(
            f"Expected {what} to be a matrix of real numbers, found type `{matrix.dtype}`."
        )
    if matrix.format == "csr":
        check_csr(matrix, what)
        parts = (matrix.data, matrix.indices, matrix.indptr)
        out = (
            matrix
            if isinstance(matrix, sp.csr_matrix)
            else sp.csr_matrix(parts, shape=matrix.shape, copy=False)
        )
    else:
        out = sp.csr_matrix(matrix)

    fits = out.nnz <= np.iinfo(np.int32).max and max(out.shape) <= np.iinfo(np.int32).max
    index = np.int32 if fits else np.int64
    ready = (
        out.data.dtype == np.float64
        and out.data.dtype.isnative
        and out.indices.dtype == out.indptr.dtype == index
        and all(a.flags.c_contiguous and a.flags.aligned for a in (out.data, out.indices, out.indptr))
    )
    clean = _has_canonical_format(out) and not (out.data == 0).any()
    if ready and clean:
        return out
    data: Any = np.array(out.data, dtype=np.float64, order="C", copy=None if clean else True)
    indices: Any = np.array(out.indices, dtype=index, order="C", copy=None if clean else True)
    indptr: Any = np.array(out.indptr, dtype=index, order="C", copy=None if clean else True)
    out = sp.csr_matrix((data, indices, indptr), shape=out.shape, copy=False)
    if not clean:
        out.sum_duplicates()
        out.eliminate_zeros()
        out.has_sorted_indices = True
    return out


def check_csr(matrix: Any, what: str) -> None:
    """scipy trusts the arrays of a matrix and may crash on contradictory ones; we do not."""
    n_rows, n_cols = matrix.shape
    indptr, indices = matrix.indptr, matrix.indices
    problem = None
    if len(indptr) != n_rows + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        problem = "row pointers that do not start at 0, decrease, or are of the wrong number"
    elif indptr[-1] > len(indices) or len(indices) != len(matrix.data):
        problem = "row pointers that end past the stored values"
    # As unsigned numbers, negative ones are the largest: found in one go.
    elif len(indices) and indices.view(indices.dtype.str.replace("i", "u")).max() >= n_cols:
        problem = f"column indices outside of 0..{n_cols}"
    if problem:
        raise InvalidDataError(f"Expected {what} to be a valid CSR matrix, found {problem}. Build it anew.")


def _has_canonical_format(matrix: Any) -> bool:
    """Sorted, unique columns, found out without writing to flags of the user's matrix."""
    if len(matrix.indices) != matrix.indptr[-1]:
        return False
    if len(matrix.indices) < 2:
        return True
    increasing = matrix.indices[1:] > matrix.indices[:-1]
    starts = matrix.indptr[1:-1]
    starts = starts[(starts > 0) & (starts < len(matrix.indices))]
    increasing[starts - 1] = True  # a new row may begin anywhere
    return bool(increasing.all())


def warn_about_graph(
    matrix: sp.csr_matrix, names: Sequence[Any] | pd.Index | None, *, connectivity: bool, symmetry: bool
) -> None:
    """Warn if a graph falls into parts that can not reach each other, or is not symmetric."""
    if symmetry:
        difference = abs(matrix - matrix.T)
        if difference.nnz and difference.max() > 1e-6 * matrix.data.max():
            warn_user(
                "The graph is not symmetric: weights differ between directions by up to "
                f"{difference.max():.3g}. Pass `check_symmetric=False` if this is meant."
            )
    if connectivity:
        n_parts, labels = connected_components(matrix, directed=False)
        if n_parts > 1:
            sizes = np.bincount(labels)
            order = np.argsort(-sizes, kind="stable")
            parts = []
            for part in order[:SHOWN]:
                example = name_cells(names, [int(np.argmax(labels == part))])
                parts.append(f"{sizes[part]} cells with {example}")
            more = f" and {n_parts - SHOWN} more" if n_parts > SHOWN else ""
            warn_user(
                f"The graph is not connected, it has {n_parts} parts: {'; '.join(parts)}{more}. No cell "
                f"will ever "
                "reach another part. Compute a graph with more neighbors or treat the parts separately."
            )
