"""Rows of a matrix in any of the forms that counts come in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import FileFormatError, InvalidDataError, InvalidTypeError

__all__ = ["Reader", "reader"]

Reader = Callable[[int, int], Any]
# Entries of a matrix in columns that are turned into rows at a time: 128 MB of them.
_SLAB = 1 << 24


def reader(
    matrix: Any, shape: tuple[int, int] | None = None, kind: str | None = None
) -> tuple[Reader, NDArray[Any] | None]:
    """A function ``read(start, stop)`` for rows of `matrix`, and its values where they lie in memory.

    Parameters
    ----------
    matrix : array, sparse matrix, h5py group or dataset, or what a backed AnnData object has
    shape, kind : optional
        Of an h5py group that does not say: (rows, columns), and ``"csr"`` or ``"csc"``.

    Returns
    -------
    read : callable
        Gives a CSR matrix or a dense array in C order, float32 or float64.
    values : array or None

    Raises
    ------
    InvalidTypeError, InvalidDataError, FileFormatError
    """
    group = matrix if isinstance(matrix, h5py.Group) else getattr(matrix, "group", None)
    if isinstance(group, h5py.Group):
        return _from_group(group, shape, kind), None
    if isinstance(matrix, h5py.Dataset):
        _check_numbers(matrix.dtype)
        return (lambda start, stop: _floats(matrix[start:stop])), None
    if sp.issparse(matrix):
        return _from_sparse(matrix)
    if isinstance(matrix, np.ndarray):
        matrix = np.asarray(matrix)
        _check_numbers(matrix.dtype)
        return (lambda start, stop: _floats(matrix[start:stop])), matrix.ravel(order="K")
    if hasattr(matrix, "compute"):  # dask
        _check_numbers(matrix.dtype)
        return (lambda start, stop: _rows_in_memory(matrix[start:stop].compute())), None
    raise InvalidTypeError(
        f"Expected counts in a numpy array or scipy matrix, found `{type(matrix).__name__}`."
    )


def _rows_in_memory(matrix: Any) -> Any:
    return reader(matrix)[0](0, matrix.shape[0])


def _check_numbers(dtype: Any) -> None:
    if np.dtype(dtype).kind not in "fiub":
        raise InvalidTypeError(f"Expected counts as numbers, found dtype {dtype}.")


def _float_type(dtype: Any) -> type[np.floating[Any]]:
    return np.float64 if np.dtype(dtype) == np.float64 else np.float32


def _floats(values: Any) -> NDArray[Any]:
    values = np.asarray(values)
    return np.ascontiguousarray(values, dtype=_float_type(values.dtype))


def _csr(indptr: Any, indices: Any, data: Any, n_columns: int) -> sp.csr_matrix:
    """A CSR matrix over arrays that are used where they lie when they can be; the core checks them."""
    data = _floats(data)
    out = sp.csr_matrix((len(indptr) - 1, n_columns), dtype=data.dtype)
    # The constructor would copy what is a piece of a longer array.
    out.data, out.indices, out.indptr = data, np.asarray(indices).astype(np.int32, copy=False), indptr
    return out


class _Rows:
    """CSR arrays, in memory or in a file."""

    def __init__(self, indptr: Any, indices: Any, data: Any, shape: tuple[int, int]) -> None:
        _check_numbers(data.dtype)
        self.indptr = np.asarray(indptr[()], dtype=np.int64)
        self.indices, self.data, self.shape = indices, data, shape
        ends = len(self.indptr) == shape[0] + 1 and self.indptr[0] == 0 and self.indptr[-1] == len(data)
        if not ends or len(indices) != len(data) or (np.diff(self.indptr) < 0).any():
            raise InvalidDataError("The sparse matrix is damaged: its arrays do not fit together.")

    def __call__(self, start: int, stop: int) -> sp.csr_matrix:
        span = slice(int(self.indptr[start]), int(self.indptr[stop]))
        indptr = self.indptr[start : stop + 1] - span.start
        return _csr(indptr, self.indices[span], self.data[span], self.shape[1])


class _Columns:
    """CSC arrays in memory, of the types that the core reads in place."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.indptr = np.asarray(matrix.indptr, dtype=np.int64)
        self.sorted = bool(matrix.has_sorted_indices)

    def __call__(self, start: int, stop: int) -> sp.csr_matrix:
        data, indices, indptr = _core.rows_of_columns(
            self.matrix.data, self.matrix.indices, self.indptr, (start, stop), sorted=self.sorted
        )
        return _csr(indptr, indices, data, self.matrix.shape[1])


class _ColumnSlabs:
    """CSC arrays in a file, turned into rows a slab at a time; each slab reads the file once."""

    def __init__(self, indptr: Any, indices: Any, data: Any, shape: tuple[int, int]) -> None:
        _check_numbers(data.dtype)
        self.indptr = np.asarray(indptr[()], dtype=np.int64)
        self.indices, self.data, self.shape = indices, data, shape
        if len(self.indptr) != shape[1] + 1 or self.indptr[-1] != len(data) or len(indices) != len(data):
            raise InvalidDataError("The sparse matrix is damaged: its arrays do not fit together.")
        per_row = max(1.0, len(data) / max(shape[0], 1))
        self.height = max(1, min(shape[0], int(_SLAB / per_row)))
        self.first = -1
        self.slab: sp.csr_matrix | None = None
        self.lock = threading.Lock()

    def _load(self, first: int) -> sp.csr_matrix:
        last = min(first + self.height, self.shape[0])
        parts: list[tuple[Any, Any, Any]] = []
        for at in range(0, len(self.data), _SLAB):
            end = min(at + _SLAB, len(self.data))
            rows = np.asarray(self.indices[at:end])
            keep = np.flatnonzero((rows >= first) & (rows < last))
            columns = np.searchsorted(self.indptr, keep + at, side="right") - 1
            parts.append((rows[keep] - first, columns, _floats(self.data[at:end])[keep]))
        rows, columns, values = (np.concatenate([p[k] for p in parts] or [[]]) for k in range(3))
        slab = sp.coo_matrix((values, (rows, columns)), shape=(last - first, self.shape[1]))
        return slab.tocsr()

    def __call__(self, start: int, stop: int) -> Any:
        out = []
        with self.lock:
            while start < stop:
                first = start - start % self.height
                if self.slab is None or self.first != first:
                    self.slab, self.first = None, -1
                    self.slab, self.first = self._load(first), first
                end = min(stop, first + self.height)
                out.append(self.slab[start - first : end - first])
                start = end
        return out[0] if len(out) == 1 else sp.csr_matrix(sp.vstack(out, format="csr"))


def _from_sparse(matrix: Any) -> tuple[Reader, NDArray[Any]]:
    _check_numbers(matrix.dtype)
    if matrix.format == "csc":
        if matrix.dtype in (np.float32, np.float64) and matrix.indices.dtype == np.int32:
            return _Columns(matrix), matrix.data
        return _ColumnSlabs(matrix.indptr, matrix.indices, matrix.data, matrix.shape), matrix.data
    if matrix.format != "csr":
        matrix = matrix.tocsr()
    return _Rows(matrix.indptr, matrix.indices, matrix.data, matrix.shape), matrix.data


def _from_group(group: h5py.Group, shape: tuple[int, int] | None, kind: str | None) -> Reader:
    if kind is None:
        said = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))
        kind = {"csr_matrix": "csr", "csc_matrix": "csc", "csr": "csr", "csc": "csc"}.get(str(said))
    if kind is None or not {"data", "indices", "indptr"} <= set(group):
        raise FileFormatError(f"Expected a sparse matrix in {group.name!r}, found {dict(group.attrs)}.")
    if shape is None:
        found = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
        shape = (int(found[0]), int(found[1]))
    rows_or_columns = _Rows if kind == "csr" else _ColumnSlabs
    return rows_or_columns(group["indptr"], group["indices"], group["data"], shape)
