"""Transition matrices: made from the core's arrays, checked and normalised when somebody assigns one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from ferrocyte._sparse import canonical_csr, is_sparse, name_cells, to_memory

__all__ = ["Matrix", "as_csr", "csr_from_parts", "to_transition_matrix"]

Matrix: TypeAlias = NDArray[np.float64] | sp.csr_matrix
# Rows that sum to 1 within this are left alone.
TOLERANCE = 1e-12


def csr_from_parts(parts: Sequence[Any], shape: tuple[int, int]) -> sp.csr_matrix:
    """A matrix over arrays made by the core, which are canonical; nothing is copied."""
    data, indices, indptr = parts
    out = sp.csr_matrix((data, indices, indptr), shape=shape, copy=False)
    out.has_canonical_format = True
    return out


def as_csr(matrix: Matrix) -> sp.csr_matrix:
    """A transition matrix in the core's form."""
    return canonical_csr(matrix, "the transition matrix")


def to_transition_matrix(
    value: Any, shape: tuple[int, int], names: Sequence[Any] | pd.Index | None = None
) -> Matrix:
    """Check a matrix and scale its rows to sum to 1.

    Parameters
    ----------
    value : array-like or sparse, shape (n_cells, n_cells)
        Never changed; used as it is if it is float64, canonical and normalised.
    shape : (int, int)
        What it must have.
    names : sequence, optional
        Names of the cells, for messages.

    Returns
    -------
    ndarray or scipy.sparse.csr_matrix
        Dense stays dense, every sparse format becomes CSR; float64.

    Raises
    ------
    InvalidDataError
        For another shape, NaN or infinite values, negative values, and rows that sum to 0.
    """
    value = to_memory(value)
    found = tuple(np.shape(value))
    if found != tuple(shape):
        raise InvalidDataError(
            f"Expected matrix to be of shape `({shape[0]}, {shape[1]})`, found `{found}`. "
            "It needs a row and a column for each cell."
        )
    sparse = is_sparse(value)
    matrix: Any
    if sparse:
        matrix = canonical_csr(value, "the transition matrix")
        entries: NDArray[np.float64] = matrix.data
    else:
        matrix = np.asarray(value)
        if matrix.dtype.kind not in "buif":
            raise InvalidDataError(f"Expected a matrix of real numbers, found type `{matrix.dtype}`.")
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        entries = matrix
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    if not np.isfinite(sums).all():
        bad = np.flatnonzero(~np.isfinite(sums))
        raise InvalidDataError(
            f"Expected finite transition probabilities, found NaN or infinite ones for "
            f"{name_cells(names, bad)}."
        )
    if entries.size and entries.min() < 0:
        if sparse:
            row = int(np.searchsorted(matrix.indptr, int(entries.argmin()), side="right") - 1)
        else:
            row = int(entries.argmin()) // shape[1]
        raise InvalidDataError(
            f"Unable to normalize matrix with negative values. Found {entries.min():.3g} for "
            f"{name_cells(names, [row])}. Transition probabilities are at least 0."
        )
    if np.allclose(sums, 1.0, rtol=TOLERANCE, atol=0):
        return matrix
    empty = np.flatnonzero(sums == 0)
    if len(empty):
        raise InvalidDataError(
            f"Expected each row to have a positive sum, found {len(empty)} rows of zeros, of cells: "
            f"{name_cells(names, empty)}. Remove these cells or give them a transition to themselves."
        )
    if not sparse:
        return matrix / sums[:, None]
    data = _core.row_normalize(matrix)
    return csr_from_parts((data, matrix.indices, matrix.indptr), shape)
