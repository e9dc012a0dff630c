"""What cells are, along pseudotime: narrow strips beside trends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _adata
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Along", "draw_strip"]


class Along:
    """Averages over the cells of a lineage near each test point: a window of a twentieth of the points.

    Parameters
    ----------
    adata : AnnData
    time_key : str
    backward : bool
    """

    def __init__(self, adata: AnnData, time_key: str, backward: bool) -> None:
        self._adata = adata
        self._time = _adata.numeric_column(adata, time_key, "pseudotime", "time_key")
        self._backward = backward

    def fates(self, x: NDArray[np.float64], lineage: str) -> NDArray[np.float64]:
        """Mean fate probability of the cells near each of `x`, shape of `x`."""
        return _means(self._places(x), self._weights(lineage), np.ones(self._adata.n_obs), len(x))

    def covariate(
        self, x: NDArray[np.float64], lineage: str | None, key: str
    ) -> pd.Categorical | NDArray[np.float64]:
        """The commonest category, or the mean of numbers, near each of `x`; cells count by fate."""
        from ferrocyte.pl._common import as_categorical

        column = _adata.column(self._adata, key)
        names = as_categorical(column)
        weights = np.ones(len(column)) if lineage is None else self._weights(lineage)
        places = self._places(x)
        if names is None:
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            known = np.isfinite(numbers)
            return _means(np.where(known, places, -1), np.where(known, numbers, 0.0), weights, len(x))
        n = len(names.categories)
        inside = (places >= 0) & (names.codes >= 0)
        votes: Any = np.zeros((len(x), n))
        np.add.at(votes, (places[inside], names.codes[inside]), weights[inside])
        votes = _window(votes)
        return pd.Categorical.from_codes(
            votes.argmax(axis=1)[_nearest(votes.sum(axis=1) > 1e-12)], categories=names.categories
        )

    def _weights(self, lineage: str) -> NDArray[np.float64]:
        fates = Lineage.from_adata(self._adata, backward=self._backward)
        return np.asarray(fates[lineage].X[:, 0], dtype=np.float64)

    def _places(self, x: NDArray[np.float64]) -> NDArray[np.intp]:
        """Position of the test point next to each cell, -1 for cells outside of them."""
        between = (x[1:] + x[:-1]) / 2
        places = np.searchsorted(between, self._time)
        return np.where((self._time < x[0]) | (self._time > x[-1]), -1, places)


def _means(
    places: NDArray[np.intp], values: NDArray[np.float64], weights: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    inside = places >= 0
    total: Any = np.bincount(places[inside], weights=weights[inside], minlength=n)
    summed: Any = np.bincount(places[inside], weights=(weights * values)[inside], minlength=n)
    total, summed = _window(total), _window(summed)
    known = total > 1e-12 * max(float(total.max()), 1e-300)
    if not known.any():
        return np.full(n, np.nan)
    at = np.arange(n)
    return np.interp(at, at[known], summed[known] / total[known])


def _window(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(sums, max(1, len(sums) // 20), axis=0, mode="constant"))


def _nearest(known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Position of the nearest known place, for each place."""
    at, places = np.arange(len(known)), np.flatnonzero(known)
    if not len(places):
        return at
    right = np.searchsorted(places, at).clip(0, len(places) - 1)
    left = (right - 1).clip(0)
    nearer = np.abs(places[left] - at) <= np.abs(places[right] - at)
    return np.asarray(places[np.where(nearer, left, right)])


def draw_strip(
    ax: Axes,
    x: NDArray[np.float64],
    values: pd.Categorical | NDArray[np.float64],
    *,
    colors: Mapping[Any, str] | None = None,
    cmap: Any = "viridis",
    limits: tuple[float, float] | None = None,
    label: str = "",
) -> None:
    """A row of colours along `x`; categories by `colors`, numbers by `cmap`."""
    from matplotlib.colors import to_rgba

    extent = (float(x[0]), float(x[-1]), 0.0, 1.0)
    options: dict[str, Any] = {"extent": extent, "aspect": "auto", "interpolation": "nearest"}
    if isinstance(values, pd.Categorical):
        ax.imshow(np.array([[to_rgba((colors or {})[c]) for c in values]]), **options)
    else:
        low, high = limits or (None, None)
        ax.imshow(values[None, :], cmap=cmap, vmin=low, vmax=high, **options)
    ax.set_xlim(extent[:2])
    ax.set_xticks([])
    ax.set_yticks([0.5], [label])
    ax.tick_params(length=0)
