"""Couplings between time points in all the forms they come in, read as blocks of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidIndexError, InvalidTypeError
from ferrocyte._sparse import canonical_csr, is_sparse, name_cells, to_memory
from ferrocyte.kernels._matrix import csr_from_parts
from ferrocyte.kernels.utils._transport import TransportMap

__all__ = ["Coupling", "Key", "thresholds"]

Key = tuple[Any, Any]
# Entries of a dense coupling that are looked at in one go (32 MB in float64).
BLOCK = 4_000_000
BITS, LEVELS = 16, 4


class Coupling:
    """How the cells of one time point go to those of another.

    Parameters
    ----------
    value : array-like, sparse, DataFrame, AnnData, TransportMap, callable or iterator
        Rows are source cells. A callable is called without arguments for each pass over the rows and returns
        an iterable of blocks of rows; an iterator of blocks is kept in a temporary file if more than one pass
        is needed.
    key : tuple
        Source and target time, for messages.
    names : (pandas.Index, pandas.Index)
        Source and target cells of the annotated data.

    Raises
    ------
    InvalidIndexError
        If names of cells differ; says ``Source observations`` or ``Target observations``.
    InvalidDataError, InvalidTypeError
        For another shape or type.
    """

    def __init__(self, value: Any, key: Key, names: tuple[pd.Index, pd.Index]) -> None:
        self.key, self.names = key, names
        self.shape = (len(names[0]), len(names[1]))
        own: tuple[Any, Any] = (None, None)
        if isinstance(value, AnnData):
            own, value = (value.obs_names, value.var_names), value.X
        elif isinstance(value, pd.DataFrame):
            own, value = (value.index, value.columns), value.to_numpy()
        elif isinstance(value, TransportMap):
            own = (value.source_names, value.target_names)
        # Where row i and column j of the coupling are among the cells of the annotated data.
        self.rows = self._order(own[0], 0)
        self.cols = self._order(own[1], 1)
        self.sparse: sp.csr_matrix | None = None
        self._make: Callable[[], Iterator[Any]] | None = None
        self._once: Iterator[Any] | None = None
        self._read(value)

    def _order(self, own: pd.Index | None, axis: int) -> NDArray[np.int64]:
        wanted, side = self.names[axis], ("Source", "Target")[axis]
        if own is None:
            return np.arange(len(wanted), dtype=np.int64)
        own = pd.Index(own).astype(str)
        where = pd.Index(wanted).astype(str).get_indexer(own)
        lost = np.flatnonzero(where < 0)
        missing = pd.Index(wanted).astype(str).difference(own)
        if len(lost) or len(missing) or not own.is_unique:
            found = (
                f"it has {name_cells(own, lost)}, which are not there"
                if len(lost)
                else f"it lacks {name_cells(missing, range(len(missing)))}"
                if len(missing)
                else "some of its names occur twice"
            )
            raise InvalidIndexError(
                f"{side} observations of the coupling {self._said} are not those of `adata` at time "
                f"{self.key[axis]}: {found}. Compute the coupling for the cells that are in `adata`."
            )
        return where.astype(np.int64)

    @property
    def _said(self) -> str:
        return f"({self.key[0]}, {self.key[1]})"

    def _read(self, value: Any) -> None:
        value = to_memory(value)
        if isinstance(value, TransportMap):
            self._check_shape(value.shape)
            self._make = value.blocks
        elif is_sparse(value):
            self._check_shape(value.shape)
            self.sparse = canonical_csr(value, f"the coupling {self._said}")
            bad = np.flatnonzero(~((self.sparse.data >= 0) & np.isfinite(self.sparse.data)))
            if len(bad):
                rows = np.unique(np.searchsorted(self.sparse.indptr, bad, side="right") - 1)
                raise self._wrong_entries(self.rows[rows])
        elif callable(value):
            self._make = lambda: self._called(value)
        elif isinstance(value, Iterator):
            self._once = value
        elif hasattr(value, "__array__") or isinstance(value, list | tuple):
            array = np.asarray(value)
            if array.dtype.kind not in "buif":
                raise InvalidTypeError(
                    f"Expected numbers in the coupling {self._said}, found `{array.dtype}`."
                )
            self._check_shape(array.shape)
            self._make = lambda: _slices(array)
        else:
            raise InvalidTypeError(
                f"Expected the coupling {self._said} to be an array, a sparse matrix, a data frame, an "
                f"`AnnData`, "
                f"or something that gives blocks of rows, found `{type(value).__name__}`."
            )

    def _called(self, function: Callable[[], Any]) -> Iterator[Any]:
        """The blocks that a function gives; one matrix is one block."""
        found = function()
        if is_sparse(found) or (hasattr(found, "__array__") and np.ndim(found) == 2):
            return iter([found])
        try:
            return iter(found)
        except TypeError:
            raise InvalidTypeError(
                f"Expected the function for the coupling {self._said} to return blocks of rows, found "
                f"`{type(found).__name__}`."
            ) from None

    def _wrong_entries(self, cells: Any) -> InvalidDataError:
        cells = [int(i) for i in cells]
        return InvalidDataError(
            f"Expected finite and no negative entries in the coupling {self._said}, found others in the row "
            f"of {name_cells(self.names[0], cells)}.",
            cells=cells,
        )

    def _check_shape(self, found: tuple[int, ...]) -> None:
        if tuple(found) != self.shape:
            raise InvalidDataError(
                f"Expected the coupling {self._said} to be of shape {self.shape}, cells at time "
                f"{self.key[0]} x "
                f"cells at time {self.key[1]}, found {tuple(found)}."
            )

    # Passes over the rows -----------------------------------------------------------------------------

    def blocks(self, *, again: bool) -> Iterator[NDArray[Any]]:
        """All rows in order, float32 or float64 in C order, some at a time.

        Parameters
        ----------
        again : bool
            Whether there will be another pass.
        """
        if self._once is not None and again:
            self._spool(self._once)
        consumed = self._once is not None
        made = self._once if self._make is None else self._make()
        self._once = None
        seen = 0
        for given in made or ():
            for block in self._checked(given):
                yield block
                seen += len(block)
        if consumed and not seen:
            raise self._used_up()
        if seen != self.shape[0]:
            self._check_shape((seen, self.shape[1]))

    def _checked(self, given: Any) -> Iterator[NDArray[Any]]:
        given = given.toarray() if is_sparse(given) else np.asarray(given)
        if given.ndim != 2 or given.shape[1] != self.shape[1] or given.dtype.kind not in "buif":
            raise InvalidDataError(
                f"Expected blocks of rows with {self.shape[1]} numbers each in the coupling {self._said}, "
                f"found "
                f"shape {given.shape} of type `{given.dtype}`."
            )
        yield from _slices(given)

    def _spool(self, once: Iterator[Any]) -> None:
        """Keep the blocks of an iterator, which can be read only once, in a file without a name."""
        n = 0
        with tempfile.TemporaryFile() as file:
            for given in once:
                for block in self._checked(given):
                    np.ascontiguousarray(block, dtype=np.float64).tofile(file)
                    n += len(block)
            if n == 0:
                raise self._used_up()
            self._check_shape((n, self.shape[1]))
            file.flush()
            kept = np.memmap(file, dtype=np.float64, mode="r", shape=self.shape)  # outlives the file's name
        self._make, self._once = lambda: _slices(kept), None

    def _used_up(self) -> InvalidDataError:
        return InvalidDataError(
            f"The iterator for the coupling {self._said} gives no rows. If it was read before, it is empty "
            "now: pass a function that returns a new iterator each time."
        )

    # What is kept -------------------------------------------------------------------------------------

    def least_row_maximum(self, threads: int) -> float:
        """The smallest of the largest entries of each row, rows of zeros left out; infinity without rows."""
        least = np.inf
        for block, start in self._named(again=True):
            with self._naming(start):
                maxima = _core.coupling_row_maxima(block, threads=threads)
            least = min(least, maxima[maxima > 0].min(initial=np.inf))
        return float(least)

    def percentile(self, q: float, threads: int) -> float:
        """The `q`-th percentile of all entries, as ``numpy.percentile`` has it, without a copy of them."""
        self.least_row_maximum(threads)  # finds what is wrong with the entries
        n = self.shape[0] * self.shape[1]
        position = (n - 1) * q / 100.0
        k = int(position)
        prefix, left, equal = 0, k, 0
        for level in range(LEVELS):
            counts = np.zeros(1 << BITS, dtype=np.int64)
            for block in self.blocks(again=True):
                counts += _core.coupling_entry_counts(block, prefix, level, threads=threads)
            below = np.concatenate([[0], np.cumsum(counts)])
            digit = int(np.searchsorted(below, left, side="right") - 1)
            prefix, left, equal = prefix << BITS | digit, int(left - below[digit]), int(counts[digit])
        value = float(np.uint64(prefix).view(np.float64))
        share = position - k
        if share == 0 or left + 1 < equal:
            return value
        blocks = self.blocks(again=True)
        above = min(_core.coupling_next_above(block, value, threads=threads) for block in blocks)
        step = above - value
        return value + step * share if share < 0.5 else above - step * (1 - share)

    def kept(self, threshold: float | None, threads: int) -> sp.csr_matrix:
        """The coupling without entries below the threshold; sparse couplings are left alone."""
        if self.sparse is not None:
            return self.sparse
        parts = []
        for block, start in self._named(again=False):
            with self._naming(start):
                kept = _core.coupling_keep_at_least(block, threshold or 0.0, threads=threads)
            parts.append(csr_from_parts(kept, (len(block), self.shape[1])))
        return parts[0] if len(parts) == 1 else sp.csr_matrix(sp.vstack(parts, format="csr"))

    def _named(self, *, again: bool) -> Iterator[tuple[NDArray[Any], int]]:
        start = 0
        for block in self.blocks(again=again):
            yield block, start
            start += len(block)

    def _naming(self, start: int) -> _Naming:
        return _Naming(self, start)


def thresholds(couplings: list[Coupling], threshold: Any, n_threads: int) -> list[float | None]:
    """The value below which entries of each coupling become 0; `threshold` as in `RealTimeKernel`."""
    if threshold is None:
        return [None] * len(couplings)
    if isinstance(threshold, str):
        own = [c.least_row_maximum(n_threads) if c.sparse is None else np.inf for c in couplings]
        least = min(own)
        return [least if threshold == "auto" else value for value in own]
    return [c.percentile(threshold, n_threads) if c.sparse is None else None for c in couplings]


class _Naming:
    """Turns the row in an error of the core into the name of a cell."""

    def __init__(self, coupling: Coupling, start: int) -> None:
        self.coupling, self.start = coupling, start

    def __enter__(self) -> None:
        return

    def __exit__(self, _: Any, err: BaseException | None, __: Any) -> None:
        if not isinstance(err, InvalidDataError) or not err.cells:
            return
        coupling = self.coupling
        raise coupling._wrong_entries(coupling.rows[[self.start + i for i in err.cells]]) from err


def _slices(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Blocks of rows that the core reads in place; other types and orders are copied block by block."""
    step = max(1, BLOCK // max(1, array.shape[1]))
    dtype = array.dtype if array.dtype in (np.float32, np.float64) and array.dtype.isnative else np.float64
    for start in range(0, len(array), step):
        yield np.ascontiguousarray(array[start : start + step], dtype=dtype)
