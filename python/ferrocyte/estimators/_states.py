"""Which cells make up a state, and what states are called. Pure functions on arrays and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _adata, _keys
from ferrocyte._colors import category_palette, default_colors, shades, to_hex
from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
    warn_user,
)
from ferrocyte._sparse import name_cells

__all__ = [
    "ClusterKey",
    "Reference",
    "assign_cells",
    "categorical",
    "name_states",
    "reference",
    "warn_of_small",
]

ClusterKey: TypeAlias = str | Mapping[str, str] | None
# A state left with a smaller share of the cells it asked for is not one.
LEAST_SHARE = 0.2
PROPORTION_TOLERANCE = 1e-3
# Name and colour of a state whose cells are in no category.
NAMELESS = ("unassigned", "#808080")


class Reference(NamedTuple):
    """Categories that give states their names.

    Attributes
    ----------
    names, colors : list of str
        Of the categories; hex colours.
    codes : ndarray of int, shape (n_cells,), or None
        Category of each cell, -1 for none.
    shares : ndarray of float64, shape (n_cells, n_categories), or None
        Or how much of each cell belongs to each.
    """

    names: list[str]
    colors: list[str]
    codes: NDArray[np.integer[Any]] | None = None
    shares: NDArray[np.float64] | None = None

    @property
    def weights(self) -> pd.DataFrame:
        """How much of each cell belongs to each category; a row per cell."""
        if self.codes is None:
            return pd.DataFrame(self.shares, columns=self.names)
        one_hot = np.asarray(self.codes)[:, None] == np.arange(len(self.names))
        return pd.DataFrame(one_hot.astype(np.float64), columns=self.names)


def reference(adata: AnnData, cluster_key: ClusterKey, weight_key: str | None = None) -> Reference | None:
    """Read what states are to be named by.

    Parameters
    ----------
    adata : AnnData
    cluster_key : str, dict or None
        A categorical column of `obs`, as ``"key"`` or ``{"obs": "key"}``, or ``{"obsm": "key"}`` for a
        DataFrame of proportions that sum to 1 in each cell (within 1e-3).
    weight_key : str, optional
        Column of `obs` with a weight for each cell; only with ``{"obsm": ...}``.

    Returns
    -------
    Reference or None
        None without a `cluster_key`.

    Raises
    ------
    MissingDataError
        Says ``Unable to find clusters``, ``adata.obsm['<key>']`` or ``Weights not found``.
    InvalidTypeError
        Says ``Expected `key` `` or ``pandas.DataFrame``.
    InvalidDataError, InvalidOptionError
        Says ``proportions summing to`` or `` `weight_key` is only supported``, or names ``'obs'`` and
        ``'obsm'``.
    """
    if cluster_key is None:
        if weight_key is not None:
            raise InvalidOptionError(
                "`weight_key` is only supported together with `cluster_key={'obsm': ...}`. Leave it out."
            )
        return None
    source, key = _split_key(cluster_key)
    if source == "obs":
        if weight_key is not None:
            raise InvalidOptionError(
                "`weight_key` is only supported for proportions in `obsm`: `cluster_key={'obsm': ...}`. "
                "Leave it out."
            )
        return _from_column(adata, key)
    return _from_proportions(adata, key, weight_key)


def _split_key(cluster_key: Any) -> tuple[str, str]:
    if isinstance(cluster_key, str):
        return "obs", str(cluster_key)
    if not isinstance(cluster_key, Mapping) or len(cluster_key) != 1:
        raise InvalidTypeError(
            "Expected `key` of clusters to be a string or a dict of one entry, such as `{'obsm': 'key'}`, "
            f"found {cluster_key!r}."
        )
    ((source, key),) = cluster_key.items()
    if source not in ("obs", "obsm"):
        raise InvalidOptionError(f"Expected clusters in 'obs' or 'obsm', found {source!r}.")
    return str(source), str(key)


def _from_column(adata: AnnData, key: str) -> Reference:
    if key not in adata.obs:
        raise MissingDataError(
            f"Unable to find clusters in `adata.obs[{key!r}]`.{suggest(key, adata.obs.columns)}"
        )
    values = adata.obs[key]
    if not isinstance(values.dtype, pd.CategoricalDtype):
        raise InvalidTypeError(
            f"Expected `adata.obs[{key!r}]` to be categorical, found type `{values.dtype}`. Convert it with "
            f"`adata.obs[{key!r}].astype('category')`."
        )
    if not len(values.cat.categories):
        raise InvalidDataError(f"Expected `adata.obs[{key!r}]` to have categories, found none.")
    names = [str(c) for c in values.cat.categories]
    return Reference(names, category_colors(adata, key, len(names)), codes=np.asarray(values.cat.codes))


def _from_proportions(adata: AnnData, key: str, weight_key: str | None) -> Reference:
    if key not in adata.obsm:
        raise MissingDataError(f"Unable to find `adata.obsm[{key!r}]`.{suggest(key, adata.obsm.keys())}")
    frame = adata.obsm[key]
    if not isinstance(frame, pd.DataFrame):
        raise InvalidTypeError(
            f"Expected `adata.obsm[{key!r}]` to be a `pandas.DataFrame` of proportions, found "
            f"`{type(frame).__name__}`."
        )
    try:
        values = frame.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidDataError(f"Expected `adata.obsm[{key!r}]` to hold numbers only.") from None
    wanted = f"Expected `adata.obsm[{key!r}]` to have proportions summing to 1 in each cell"
    strange = np.flatnonzero(~(np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1)))
    if len(strange):
        raise InvalidDataError(
            f"{wanted}, none of them negative or NaN, found others for "
            f"{name_cells(adata.obs_names, strange)}. Remove these cells or compute their proportions anew."
        )
    off = np.abs(values.sum(axis=1) - 1)
    if not values.shape[1] or not (off <= PROPORTION_TOLERANCE).all():
        raise InvalidDataError(
            f"{wanted}, within {PROPORTION_TOLERANCE:g}, found a cell {off.max():.3g} off. Divide the rows "
            "by their sum."
        )
    if weight_key is not None:
        if weight_key not in adata.obs:
            raise MissingDataError(
                f"Weights not found in `adata.obs[{weight_key!r}]`.{suggest(weight_key, adata.obs.columns)}"
            )
        weights = _adata.numeric_column(adata, weight_key, "weight of cells", "weight_key")
        if weights.min() < 0:
            raise InvalidDataError(
                f"Expected weights in `adata.obs[{weight_key!r}]` to be at least 0, found "
                f"{weights.min():g} for {name_cells(adata.obs_names, np.flatnonzero(weights < 0))}."
            )
        values = values * weights[:, None]
    names = [str(c) for c in frame.columns]
    return Reference(names, category_colors(adata, key, len(names)), shares=values)


def category_colors(adata: AnnData, key: str, n: int) -> list[str]:
    """Colours of `n` categories as figures have them: of ``uns["<key>_colors"]``, if these are enough."""
    stored = adata.uns.get(_keys.colors(key))
    if stored is not None and len(stored) >= n:
        try:
            return [to_hex(c) for c in list(stored)[:n]]
        except InvalidDataError:
            pass
    return category_palette(n)


def categorical(codes: NDArray[np.integer[Any]], names: Sequence[str], index: pd.Index) -> pd.Series:
    """States by cell, in the order of `names`; code -1 is missing."""
    return pd.Series(pd.Categorical.from_codes(codes, categories=list(names)), index=index)


def assign_cells(memberships: NDArray[np.float64], n_cells: int | None) -> NDArray[np.intp]:
    """State of each cell: those that are among the most likely of a state belong to it.

    Parameters
    ----------
    memberships : ndarray, shape (n_cells, n_states)
    n_cells : int or None
        Each state takes so many of its most likely cells; one that is taken by several goes to that of its
        largest membership. None: every cell to its most likely state.

    Returns
    -------
    ndarray of int, shape (n_cells,)
        Position of the state; -1 for cells in none.

    Raises
    ------
    InvalidOptionError
        If there are not so many cells; says ``decrease this to at most``.
    InvalidDataError
        If a state is left with fewer than a fifth of what it asked for.
    """
    n, n_states = memberships.shape
    best = np.argmax(memberships, axis=1)
    if n_cells is None:
        return best
    if n_cells > n / n_states:
        raise InvalidOptionError(
            f"Expected `n_cells` to fit into {n_states} states of {n} cells, found {n_cells}. Please "
            f"decrease this to at most {n // n_states}."
        )
    # Stable, so that equal memberships are taken in the order of the cells.
    order = np.argsort(-memberships, axis=0, kind="stable")[:n_cells]
    taken = np.zeros(memberships.shape, dtype=bool)
    np.put_along_axis(taken, order, True, axis=0)
    among = np.where(taken, memberships, -np.inf)
    codes = np.where(taken.any(axis=1), np.argmax(among, axis=1), -1)
    counts = np.bincount(codes[codes >= 0], minlength=n_states)
    least = max(1, int(LEAST_SHARE * n_cells))
    if (counts < least).any():
        state = int(counts.argmin())
        raise InvalidDataError(
            f"State number {state} is left with {counts[state]} of {n_cells} cells, at least {least} are "
            "needed: its other cells are more likely in another state. Use a smaller `n_cells` or fewer "
            "states."
        )
    return codes


def warn_of_small(codes: NDArray[np.integer[Any]], names: Sequence[str], n_cells: int | None) -> None:
    """Warn of states that share cells with others and are left with fewer than they asked for."""
    if n_cells is None:
        return
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    small = [f"{name!r} has {count}" for name, count in zip(names, counts, strict=True) if count < n_cells]
    if small:
        warn_user(
            f"Some states have fewer than `n_cells={n_cells}` cells, because others are more likely for some "
            f"of them: {', '.join(small)}."
        )


def name_states(
    codes: NDArray[np.integer[Any]], n_states: int, ref: Reference | None
) -> tuple[list[str], list[str]]:
    """Names and colours of states: of the category that most of their cells belong to.

    A name that several states win gets suffixes ``_1``, ``_2``, ... and shades of its colour. A state whose
    cells are in no category is called ``"unassigned"``, with a warning.

    Parameters
    ----------
    codes : ndarray of int, shape (n_cells,)
        Position of the state of each cell, -1 for none.
    n_states : int
    ref : Reference or None
        None: ``"0"``, ``"1"``, ... in default colours.

    Returns
    -------
    names, colors : list of str
    """
    if ref is None:
        return [str(i) for i in range(n_states)], default_colors(n_states)
    won = main_categories(codes, n_states, ref)
    if None in won:
        warn_user(
            f"No cell of {won.count(None)} of the {n_states} states is in any of the categories {ref.names}: "
            f"they are called {NAMELESS[0]!r}."
        )
    names: list[str] = []
    colors: list[str] = []
    seen: dict[int | None, int] = {}
    for category in won:
        times, i = won.count(category), seen.get(category, 0)
        seen[category] = i + 1
        name, color = NAMELESS if category is None else (ref.names[category], ref.colors[category])
        names.append(name if times == 1 else f"{name}_{i + 1}")
        colors.append(color if times == 1 else shades(color, times)[i])
    return _unique(names), colors


def main_categories(codes: NDArray[np.integer[Any]], n_states: int, ref: Reference) -> list[int | None]:
    """Position of the category that most of the cells of each state belong to; the first on a tie.

    None for a state whose cells are in no category.
    """
    return [int(np.argmax(row)) if row.any() else None for row in composition(codes, n_states, ref)]


def _unique(names: list[str]) -> list[str]:
    """A category may be called like another one with a suffix."""
    out: list[str] = []
    for name in names:
        new, i = name, 1
        while new in out or (new != name and new in names):
            new, i = f"{name}_{i}", i + 1
        out.append(new)
    return out


def composition(codes: NDArray[np.integer[Any]], n_states: int, ref: Reference) -> NDArray[np.float64]:
    """Sum of the weights of each category over the cells of each state; shape (n_states, n_categories)."""
    n = len(ref.names)
    inside = np.flatnonzero(codes >= 0)
    if ref.codes is not None:
        inside = inside[ref.codes[inside] >= 0]
        pairs = codes[inside].astype(np.int64) * n + ref.codes[inside]
        return np.bincount(pairs, minlength=n_states * n).reshape(n_states, n).astype(np.float64)
    out = np.zeros((n_states, n))
    assert ref.shares is not None  # one of the two is there
    np.add.at(out, codes[inside], ref.shares[inside])
    return out
