"""Which cells a trend is fitted to, and where it is looked at."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _adata
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte._options import check_count, check_number
from ferrocyte._sparse import name_cells
from ferrocyte.lineage import Lineage

__all__ = ["Cells", "above", "select_cells"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The same for all signals of a lineage.

    Attributes
    ----------
    x_all, w_all : ndarray, shape (n_cells,)
        Pseudotime and weight of every cell.
    rows : ndarray of int, shape (n_used,)
        Cells inside the window, one for each pseudotime, in the order of pseudotime.
    x_test : ndarray, shape (n_test_points,)
    """

    x_all: Array
    w_all: Array
    rows: NDArray[np.int64]
    x_test: Array


def select_cells(
    adata: AnnData,
    lineage: str | None,
    time_key: str,
    backward: bool,
    time_range: Any,
    threshold: float | None,
    weight_threshold: Any,
    n_test_points: int | None,
) -> Cells:
    """Cells of a lineage along pseudotime; parameters as in :meth:`BaseModel.prepare`."""
    start, end = _check_range(time_range)
    low, floor = _check_weight_threshold(weight_threshold)
    if threshold is not None:
        threshold = check_number(threshold, "threshold")
    if n_test_points is not None:
        n_test_points = check_count(n_test_points, "n_test_points")
    if not isinstance(time_key, str):
        raise InvalidTypeError(f"Expected `time_key` to be a string, found `{type(time_key).__name__}`.")
    x_all = _adata.numeric_column(adata, time_key, "pseudotime", "time_key")
    w_all = np.ones(adata.n_obs) if lineage is None else _weights(adata, lineage, backward, low, floor)

    x, first = np.unique(x_all, return_index=True)  # sorted; of equal ones the first cell
    w = w_all[first]
    if end is None:
        end = x[-1] if lineage is None or np.allclose(w, w[0]) else _end(x, w, threshold, n_test_points)
    start = x[0] if start is None else start
    if start > end:
        start, end = end, start
    asked = f"[{start:g}, {end:g}]"
    start, end = max(start, x[0]), min(end, x[-1])
    inside = (x >= start) & (x <= end)
    if not inside.any():
        raise InvalidDataError(
            f"No cell has `adata.obs[{time_key!r}]` in the time range {asked}; values are in "
            f"[{x[0]:g}, {x[-1]:g}]. Choose another `time_range`."
        )
    x_test = x[inside] if n_test_points is None else np.linspace(start, end, n_test_points)
    return Cells(x_all, w_all, first[inside].astype(np.int64), np.asarray(x_test, dtype=np.float64))


def above(y: Array, rows: NDArray[np.int64], least: float | None, name: str) -> NDArray[np.int64]:
    """The rows whose value in `y` is above `least`, not counting rounding."""
    if least is None:
        return rows
    least = check_number(least, "filter_cells")
    values = y[rows]
    kept = rows[(values > least) & ~np.isclose(values, least)]
    if not len(kept):
        raise InvalidDataError(
            f"No cell has a value of {name!r} above `filter_cells={least:g}` inside the time range. Lower it."
        )
    return kept


def _end(x: Array, w: Array, threshold: float | None, n_test_points: int | None) -> float:
    """Where the smoothed weights of the cells that clearly belong to the lineage are largest."""
    from scipy.ndimage import convolve

    enough = w >= (np.median(w) if threshold is None else threshold)
    if not enough.any():
        raise InvalidDataError(
            f"No cell has a weight of at least `threshold={threshold}`, the largest is {w.max():g}. Lower it."
        )
    width = max(1, (len(x) if n_test_points is None else n_test_points) // 20)
    smooth = convolve(w[enough], np.full(width, 1 / width), mode="nearest")
    return float(x[enough][np.argmax(smooth)])


def _weights(adata: AnnData, lineage: str, backward: bool, low: float, floor: float) -> Array:
    fates = Lineage.from_adata(adata, backward=backward)
    w = np.array(fates[lineage].X, dtype=np.float64)
    if w.shape[1] != 1:
        raise InvalidDataError(f"Expected `lineage` to name one lineage, found {w.shape[1]}.")
    w = w[:, 0]
    bad = np.flatnonzero(~np.isfinite(w) | (w < 0))
    if len(bad):
        raise InvalidDataError(
            f"Expected fate probabilities of lineage {lineage!r} to be finite and not negative, found others "
            f"for {name_cells(adata.obs_names, bad)}. Compute them anew.",
            cells=bad.tolist(),
        )
    w[w < low] = floor
    if not w.any():
        raise InvalidDataError(
            f"All weights of lineage {lineage!r} are 0, so that no cell counts. Choose another lineage or a "
            "positive `weight_threshold`."
        )
    return w


def _check_range(time_range: Any) -> tuple[float | None, float | None]:
    if time_range is None:
        return None, None
    if isinstance(time_range, numbers.Real) and not isinstance(time_range, bool):
        return None, check_number(time_range, "time_range")
    if not isinstance(time_range, tuple | list):
        raise InvalidTypeError(
            f"Expected `time_range` to be None, a number or a pair, found `{type(time_range).__name__}`."
        )
    if len(time_range) != 2:
        raise InvalidOptionError(
            f"Expected `time_range` to be a pair (start, end), found {len(time_range)} values."
        )
    start, end = (None if t is None else check_number(t, "time_range") for t in time_range)
    return start, end


def _check_weight_threshold(value: Any) -> tuple[float, float]:
    if isinstance(value, numbers.Real):
        value = (value, value)
    if not isinstance(value, tuple | list | np.ndarray):
        raise InvalidTypeError(
            f"Expected `weight_threshold` to be a number or a pair, found `{type(value).__name__}`."
        )
    if len(value) != 2:
        raise InvalidOptionError(f"Expected `weight_threshold` to be a pair, found {len(value)} values.")
    low, floor = (check_number(v, "weight_threshold", low=0.0) for v in value)
    return low, floor
