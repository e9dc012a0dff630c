"""Rows of cell-by-gene matrices as float64, gathered into memory that is used again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte._sparse import is_sparse

__all__ = ["RowReader"]


class RowReader:
    """Copies some rows, and of them the chosen columns, of a matrix that is never copied as a whole.

    One per thread: what :meth:`read` returns is overwritten by its next call.

    Parameters
    ----------
    matrix : ndarray or CSR matrix, shape (n_cells, n_genes)
        float32 or float64.
    columns : ndarray of int or None
        Chosen columns, None for all.
    max_rows : int
        Most rows that are read at once.
    """

    def __init__(self, matrix: Any, columns: NDArray[np.intp] | None, max_rows: int) -> None:
        self._matrix = matrix
        self._columns = columns
        width = matrix.shape[1] if columns is None else len(columns)
        self._out = np.empty((max_rows, width))
        direct = is_sparse(matrix) or (columns is None and matrix.dtype == np.float64)
        self._raw = None if direct else np.empty((max_rows, matrix.shape[1]), dtype=matrix.dtype)
        self._narrow = direct or columns is None or matrix.dtype == np.float64
        self._chosen = None if self._narrow else np.empty((max_rows, width), dtype=matrix.dtype)

    def read(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """The rows, shape `(len(rows), width)`, float64 in C order."""
        out = self._out[: len(rows)]
        if is_sparse(self._matrix):
            dense = self._matrix[rows].toarray()
            out[...] = dense if self._columns is None else dense[:, self._columns]
            return out
        if self._raw is None:
            return np.take(self._matrix, rows, axis=0, out=out, mode="clip")
        raw = np.take(self._matrix, rows, axis=0, out=self._raw[: len(rows)], mode="clip")
        if self._columns is None:
            out[...] = raw
        elif self._chosen is None:
            np.take(raw, self._columns, axis=1, out=out, mode="clip")
        else:
            out[...] = np.take(raw, self._columns, axis=1, out=self._chosen[: len(rows)], mode="clip")
        return out
