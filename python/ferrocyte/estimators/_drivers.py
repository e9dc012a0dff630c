"""Correlation of genes with lineages: estimates, tests and tables. Pure functions on arrays.

Expression is read piece by piece, in the layout it is stored in: rows of dense and CSR matrices, columns of
Fortran-ordered and CSC ones, in memory or on disk. What the core can read where it lies is not copied;
anything else is copied one piece at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import vstack
from scipy.special import ndtr, ndtri
from scipy.stats import false_discovery_control

from ferrocyte import _core
from ferrocyte._adata import Features, as_features
from ferrocyte._errors import InvalidDataError, NotSupportedError
from ferrocyte._sparse import is_sparse

__all__ = [
    "Expression",
    "Statistics",
    "adjusted",
    "complete_pairs",
    "correlate",
    "driver_table",
    "fisher",
    "most_correlated",
    "permute",
]

Floats = NDArray[np.float64]
Progress = Callable[[int, int], object] | None

# Bytes of a piece that is copied; and of the correlations of bootstraps that are held at a time.
PIECE = 32 << 20
BOOTSTRAPS = 64 << 20
# Rows of a piece are a multiple of this, the number of rows whose sums the core takes together.
ROWS = 256
# Share of the sum of squares that is round-off once the mean is subtracted.
NOTHING = 1e-13
COLUMNS = ("corr", "pval", "qval", "ci_low", "ci_high")


class Statistics(NamedTuple):
    """Of every gene and lineage; arrays of float64, shape (n_genes, n_lineages); NaN where undefined.

    Attributes
    ----------
    corr : Pearson correlation
    pval : p-value
    ci_low, ci_high : confidence interval
    """

    corr: Floats
    pval: Floats
    ci_low: Floats
    ci_high: Floats


class Expression:
    """A cell-by-gene matrix, as it is stored, that can be read in pieces.

    Parameters
    ----------
    matrix
        Dense or sparse, of any numeric type and layout, in memory or on disk.
    what : str
        Its name in messages.
    cells : ndarray of bool, optional
        Use only these rows.

    Raises
    ------
    InvalidDataError, InvalidTypeError
        If it is no matrix of real numbers.
    """

    def __init__(self, matrix: Any, what: str, cells: NDArray[np.bool_] | None = None) -> None:
        on_disk = type(matrix).__module__.partition(".")[0] in ("h5py", "zarr", "anndata")
        piecewise = is_sparse(matrix) or on_disk or type(matrix) is np.ndarray
        if not piecewise or getattr(matrix, "format", "csr") not in ("csr", "csc"):
            matrix = as_features(matrix, what)
        if len(matrix.shape) != 2:
            raise InvalidDataError(f"Expected {what} to be a matrix, found {len(matrix.shape)} dimensions.")
        self.matrix: Any = matrix
        self.what = what
        self.cells = None if cells is None or cells.all() else cells
        self.n_cells = int(matrix.shape[0]) if cells is None else int(cells.sum())
        self.n_genes = int(matrix.shape[1])
        self.sparse = is_sparse(matrix) or hasattr(matrix, "format")

    @property
    def by_columns(self) -> bool:
        """Whether columns lie together."""
        if self.sparse:
            return bool(self.matrix.format == "csc")
        flags = getattr(self.matrix, "flags", None)
        return flags is not None and bool(flags.f_contiguous and not flags.c_contiguous)

    @property
    def in_place(self) -> bool:
        """Whether the core can read all of it where it lies."""
        matrix = self.matrix
        if (
            self.cells is not None
            or self.by_columns
            or np.dtype(matrix.dtype) not in (np.float32, np.float64)
        ):
            return False
        if is_sparse(matrix):
            return matrix.indices.dtype == np.int32
        return isinstance(matrix, np.ndarray) and matrix.flags.c_contiguous and matrix.flags.aligned

    def _bytes(self) -> int:
        if not self.sparse:
            return int(np.prod(self.matrix.shape)) * max(np.dtype(self.matrix.dtype).itemsize, 4)
        stored = getattr(self.matrix, "nnz", None)  # unknown on disk: as if every fifth value were stored
        number = int(np.prod(self.matrix.shape)) // 5 if stored is None else int(stored)
        return number * (max(np.dtype(self.matrix.dtype).itemsize, 4) + 4)

    def row_pieces(self) -> Iterator[Features]:
        """Some rows at a time, all genes."""
        if self.in_place:
            yield as_features(self.matrix, self.what)
            return
        n = int(self.matrix.shape[0])
        step = _step(n, self._bytes(), PIECE)
        step = max(ROWS, step // ROWS * ROWS)
        for start in range(0, n, step):
            piece = self.matrix[start : start + step]
            keep = None if self.cells is None else self.cells[start : start + step]
            if keep is None or keep.any():
                yield as_features(piece if keep is None else piece[keep], self.what)

    def genes_per_piece(self, most: int | None = None) -> int:
        """How many genes make up a piece, at most `most`."""
        step = _step(self.n_genes, self._bytes(), max(PIECE, self._bytes() // 16))
        return max(1, step if most is None else min(step, most))

    def column_pieces(self, step: int) -> Iterator[tuple[slice, Features]]:
        """Some genes at a time, all cells; and which genes."""
        for start in range(0, self.n_genes, step):
            genes = slice(start, min(start + step, self.n_genes))
            if self.by_columns:
                piece = self.matrix[:, genes]
                yield genes, as_features(piece if self.cells is None else piece[self.cells], self.what)
                continue
            parts: list[Any] = [rows[:, genes] for rows in self.row_pieces()]
            whole = parts[0] if len(parts) == 1 else vstack(parts) if self.sparse else np.vstack(parts)
            yield genes, as_features(whole, self.what)


def _step(n: int, total: int, wanted: int) -> int:
    """How many of `n` items of `total` bytes make `wanted` bytes."""
    return max(1, min(n, int(n * wanted / max(total, 1))))


# Estimates --------------------------------------------------------------------------------------------


def correlate(
    expression: Expression, targets: Floats, *, threads: int = 1, progress: Progress = None
) -> Floats:
    """Pearson correlation of each gene with each target.

    Parameters
    ----------
    expression : Expression
    targets : ndarray of float64, shape (n_cells, n_targets)
    threads : int, default 1
        The result does not depend on it.
    progress : callable, optional
        Called with what is done, and of how much.

    Returns
    -------
    ndarray of float64, shape (n_genes, n_targets)
        NaN for constant genes and targets, and for genes with a value that is NaN or infinite.
    """
    targets = np.ascontiguousarray(targets, dtype=np.float64)
    n_cells, n_genes = expression.n_cells, expression.n_genes
    if expression.by_columns:
        out = np.empty((n_genes, targets.shape[1]))
        for genes, piece in expression.column_pieces(expression.genes_per_piece()):
            sums = _core.ColumnCorrelations(genes.stop - genes.start, targets)
            sums.add(piece, threads=threads)
            out[genes] = sums.finish()
            _tell(progress, genes.stop, n_genes)
        return out
    sums = _core.ColumnCorrelations(n_genes, targets)
    done = 0
    for piece in expression.row_pieces():
        sums.add(piece, threads=threads, progress=_part(progress, done, piece.shape[0], n_cells))
        done += piece.shape[0]
    return sums.finish()


def complete_pairs(expression: Expression, targets: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """As :func:`correlate`, over those cells in which the gene is not NaN; and how many these are.

    Raises
    ------
    NotSupportedError
        For sparse expression; says ``dense``.
    """
    if expression.sparse:
        raise NotSupportedError(
            f"`nan_policy='omit'` needs dense expression, found {expression.what} sparse. Use "
            "`nan_policy='propagate'`, or a dense layer."
        )
    out = np.empty((expression.n_genes, targets.shape[1]))
    counts = np.empty(expression.n_genes, dtype=np.int64)
    y = targets - targets.mean(axis=0)
    for genes, piece in expression.column_pieces(max(1, expression.genes_per_piece() // 4)):
        x = np.asarray(piece, dtype=np.float64)
        there = ~np.isnan(x)
        counts[genes] = there.sum(axis=0)
        n = np.maximum(counts[genes], 1)[:, None]
        constant = ~(np.fmin.reduce(x, axis=0) < np.fmax.reduce(x, axis=0))[:, None]
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values give NaN
            # about the mean, so that a high level does not drown the spread
            x = np.where(there, x - np.where(there, x, 0).sum(axis=0) / n[:, 0], 0)
            sum_x, squares_x = x.sum(axis=0)[:, None], (x**2).sum(axis=0)[:, None]
            sum_y, squares_y = there.T @ y, there.T @ y**2
            spread_x, spread_y = squares_x - sum_x**2 / n, squares_y - sum_y**2 / n
            constant = constant | (spread_y <= NOTHING * squares_y)
            r = (x.T @ y - sum_x * sum_y / n) / np.sqrt(np.where(constant, np.nan, spread_x * spread_y))
        out[genes] = np.clip(r, -1, 1)
    return out, counts


def _tell(progress: Progress, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _part(progress: Progress, before: int, size: int, total: int) -> Progress:
    """Progress of a part of a job, as that of the whole."""
    if progress is None:
        return None
    return lambda done, of: progress(before + (done * size // of if of else 0), total)


# Tests ------------------------------------------------------------------------------------------------


def fisher(corr: Floats, n: int | NDArray[np.int64], confidence_level: float) -> Statistics:
    """Test correlations, and give their intervals, by Fisher's transformation.

    Parameters
    ----------
    corr : ndarray of float64, shape (n_genes, n_lineages)
    n : int or ndarray of int, shape (n_genes,)
        Number of cells.
    confidence_level : float
        In (0, 1).

    Returns
    -------
    Statistics
        All but the correlations are NaN with fewer than 4 cells.

    Notes
    -----
    ``z = atanh(r)`` is nearly normal with deviation ``1 / sqrt(n - 3)``: the interval is
    ``tanh(z -+ q / sqrt(n - 3))`` with the normal quantile `q`, and ``p = 2 Phi(-|z| sqrt(n - 3))`` [1]_.

    References
    ----------
    .. [1] R. A. Fisher, On the probable error of a coefficient of correlation deduced from a small sample,
       Metron 1 (1921).
    """
    freedom = np.atleast_1d(np.asarray(n, dtype=np.float64) - 3)[:, None]
    root = np.sqrt(np.where(freedom > 0, freedom, np.nan))
    quantile = ndtri(confidence_level + (1 - confidence_level) / 2)
    with np.errstate(divide="ignore"):  # a correlation of 1 is infinitely sure
        z = np.arctanh(corr)
    return Statistics(
        corr, 2 * ndtr(-np.abs(z) * root), np.tanh(z - quantile / root), np.tanh(z + quantile / root)
    )


def permute(
    expression: Expression,
    targets: Floats,
    *,
    n_perms: int,
    seed: int,
    confidence_level: float,
    threads: int = 1,
    progress: Progress = None,
) -> Statistics:
    """Correlate genes with targets, and test by permuting cells; intervals are from bootstraps of cells.

    Parameters
    ----------
    expression : Expression
    targets : ndarray of float64, shape (n_cells, n_targets)
    n_perms : int
        Number of permutations, and of bootstraps.
    seed : int
        Each permutation and each bootstrap has a random stream of its own, so that the result does not depend
        on the number of threads, nor on which genes there are.
    confidence_level : float
        In (0, 1).
    threads : int, default 1
    progress : callable, optional

    Returns
    -------
    Statistics
        `pval` is the share of the permutations whose correlation is at least as far from 0; the interval runs
        between two quantiles over those bootstraps in which the correlation is defined.
    """
    targets = np.ascontiguousarray(targets, dtype=np.float64)
    n_genes, k = expression.n_genes, targets.shape[1]
    tail = (1 - confidence_level) / 2
    out = Statistics(*(np.empty((n_genes, k)) for _ in range(4)))
    step = expression.genes_per_piece(max(1, BOOTSTRAPS // (8 * k * n_perms)))
    for genes, piece in expression.column_pieces(step):
        found = _core.permutation_test(
            piece,
            targets,
            n_perms=n_perms,
            quantiles=(tail, 1 - tail),
            seed=seed,
            threads=threads,
            progress=_part(progress, genes.start, genes.stop - genes.start, n_genes),
        )
        for whole, part in zip(out, found, strict=True):
            whole[genes] = part
    return out


def adjusted(pval: Floats) -> Floats:
    """p-values corrected for their number, by Benjamini and Hochberg, in each column; NaN stay out of it."""
    out = np.full(pval.shape, np.nan)
    for k in range(pval.shape[1]):
        there = ~np.isnan(pval[:, k])
        if there.any():
            out[there, k] = false_discovery_control(pval[there, k], method="bh")
    return out


# Tables -----------------------------------------------------------------------------------------------


def driver_table(found: Statistics, genes: pd.Index, lineages: Sequence[str]) -> pd.DataFrame:
    """All statistics side by side, genes in their order.

    Returns
    -------
    pandas.DataFrame
        Columns ``<lineage>_corr``, ``_pval``, ``_qval``, ``_ci_low``, ``_ci_high``, lineage after lineage.
    """
    parts = (found.corr, found.pval, adjusted(found.pval), found.ci_low, found.ci_high)
    columns = {
        f"{lineage}_{column}": part[:, k]
        for k, lineage in enumerate(lineages)
        for column, part in zip(COLUMNS, parts, strict=True)
    }
    return pd.DataFrame(columns, index=genes)


def most_correlated(table: pd.DataFrame, lineages: Sequence[str]) -> pd.DataFrame:
    """Genes by decreasing correlation with the first lineage, equal ones with the next; NaN come last."""
    by = [f"{lineage}_corr" for lineage in lineages]
    return table.sort_values(by, ascending=False, kind="stable")
