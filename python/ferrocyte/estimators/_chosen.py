"""Initial and terminal states as they are chosen: from cells a user names, or from macrostates."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte._colors import default_colors
from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    suggest,
    warn_user,
)
from ferrocyte._lineage_index import members
from ferrocyte._options import check_option
from ferrocyte._sparse import name_cells
from ferrocyte.estimators._states import (
    Reference,
    assign_cells,
    categorical,
    category_colors,
    composition,
    name_states,
    warn_of_small,
)
from ferrocyte.lineage import Lineage

__all__ = ["Chosen", "cells_in_both", "from_cells", "from_macrostates", "renamed", "shared_clusters"]


class Chosen(NamedTuple):
    """States of one kind, initial or terminal.

    Attributes
    ----------
    states : Series of category, length n_cells
    colors : list of str
    probabilities : Series of float, length n_cells, or None
    memberships : Lineage, shape (n_cells, n_states), or None
    """

    states: pd.Series
    colors: list[str]
    probabilities: pd.Series | None = None
    memberships: Lineage | None = None

    def as_results(self, kind: str) -> dict[str, Any]:
        """By the names of the results table; `kind` is ``"terminal_states"`` or ``"initial_states"``."""
        return {
            kind: self.states,
            f"{kind}_colors": self.colors,
            f"{kind}_probabilities": self.probabilities,
            f"{kind}_memberships": self.memberships,
        }

    def named_by(self, ref: Reference | None) -> Chosen:
        """The same with names and colours by overlap with reference categories, if there are any."""
        if ref is None:
            return self
        codes = np.asarray(self.states.cat.codes)
        names, colors = name_states(codes, len(self.states.cat.categories), ref)
        memberships = self.memberships
        if memberships is not None:
            memberships = Lineage(memberships.X, names=names, colors=colors)
        return Chosen(categorical(codes, names, self.states.index), colors, self.probabilities, memberships)


# Cells that a user names ------------------------------------------------------------------------------


def from_cells(adata: AnnData, states: pd.Series | Mapping[Any, Any]) -> Chosen:
    """States as a user gives them.

    Parameters
    ----------
    adata : AnnData
    states : Series of category, or dict
        A series over the cells, missing for those in no state. Or ``{name: cells}`` with names or positions
        of cells. Or ``{key: clusters}`` with a categorical column of `obs` and one or more of its categories.

    Returns
    -------
    Chosen
        Without probabilities and memberships. States of a dict are in alphabetical order; those of clusters
        have the colours of these.

    Raises
    ------
    InvalidTypeError
        If it is neither, or the series is not categorical.
    InvalidDataError
        For unknown cells or clusters, a cell in two states, no state, and names that are the same as strings.
    """
    if isinstance(states, pd.Series):
        return _from_series(adata, states)
    if not isinstance(states, Mapping):
        raise InvalidTypeError(
            f"Expected `states` to be a categorical series or a dict, found `{type(states).__name__}`."
        )
    if not states:
        raise InvalidDataError("Expected `states` to have at least one state, found an empty dict.")
    if len(states) == 1:
        ((key, value),) = states.items()
        if key in adata.obs and isinstance(adata.obs[key].dtype, pd.CategoricalDtype):
            return _from_clusters(adata, key, value)
    _refuse_same_names(states)
    codes = np.full(adata.n_obs, -1)
    found: list[str] = []
    for name, cells in sorted(states.items(), key=lambda item: str(item[0])):
        rows = _rows_of(adata.obs_names, cells, str(name))
        if not len(rows):
            warn_user(f"State {str(name)!r} has no cells. It is left out.")
            continue
        twice = rows[codes[rows] >= 0]
        if len(twice):
            raise InvalidDataError(
                f"Expected each cell to be in one state, found {len(twice)} cells of {str(name)!r} in "
                f"{found[codes[twice[0]]]!r}, too: {name_cells(adata.obs_names, twice)}."
            )
        codes[rows] = len(found)
        found.append(str(name))
    return Chosen(categorical(codes, _some(found), adata.obs_names), default_colors(len(found)))


def _some(names: list[str]) -> list[str]:
    if not names:
        raise InvalidDataError("No categories have been selected: no state has a cell.")
    return names


def _refuse_same_names(names: Iterable[Any]) -> None:
    texts = [str(name) for name in names]
    if len(set(texts)) != len(texts):
        twice = sorted({t for t in texts if texts.count(t) > 1})
        raise InvalidDataError(f"Expected names of states to be unique as strings, found {twice} twice.")


def _from_series(adata: AnnData, states: pd.Series) -> Chosen:
    if not isinstance(states.dtype, pd.CategoricalDtype):
        raise InvalidTypeError(
            f"Expected `states` to be categorical, found type `{states.dtype}`. Convert it with "
            "`.astype('category')`."
        )
    if len(states) != adata.n_obs:
        raise InvalidDataError(
            f"Expected `states` to have {adata.n_obs} entries, one per cell, found {len(states)}."
        )
    if not states.index.equals(adata.obs_names):
        if states.index.is_unique and not states.index.symmetric_difference(adata.obs_names).size:
            states = states.loc[adata.obs_names]
        elif not isinstance(states.index, pd.RangeIndex):
            unknown = states.index.difference(adata.obs_names)
            raise InvalidDataError(
                f"Expected `states` to be over the cells of `adata`, found {len(unknown)} other names, first "
                f"{str(unknown[0])!r}. Set its index to `adata.obs_names`."
                if len(unknown)
                else "Expected `states` to have each cell once. Set its index to `adata.obs_names`."
            )
    _refuse_same_names(states.cat.categories)
    codes = np.asarray(states.cat.codes)
    used = np.unique(codes[codes >= 0])
    names = _some([str(states.cat.categories[i]) for i in used])
    dropped = [str(c) for i, c in enumerate(states.cat.categories) if i not in used]
    if dropped:
        warn_user(f"States {dropped} have no cells. They are left out.")
    position = np.full(len(states.cat.categories) + 1, -1)
    position[used] = np.arange(len(used))
    return Chosen(categorical(position[codes], names, adata.obs_names), default_colors(len(names)))


def _from_clusters(adata: AnnData, key: str, clusters: Any) -> Chosen:
    column = adata.obs[key]
    wanted = [clusters] if isinstance(clusters, str) or not np.iterable(clusters) else list(clusters)
    categories = column.cat.categories
    for cluster in wanted:
        if cluster not in categories:
            raise InvalidDataError(
                f"Unable to find cluster {cluster!r} in `adata.obs[{key!r}]`.{suggest(cluster, categories)}"
            )
    shades = category_colors(adata, key, len(categories))
    positions = sorted({categories.get_loc(c) for c in wanted}, key=lambda i: str(categories[i]))
    own = np.asarray(column.cat.codes)
    positions = [i for i in positions if (own == i).any()]
    names = _some([str(categories[i]) for i in positions])
    _refuse_same_names(names)
    codes = np.full(adata.n_obs, -1)
    for code, i in enumerate(positions):
        codes[own == i] = code
    return Chosen(categorical(codes, names, adata.obs_names), [shades[i] for i in positions])


def _rows_of(names: pd.Index, cells: Any, state: str) -> NDArray[np.intp]:
    """Distinct positions of cells given by name, position or mask, in increasing order."""
    if isinstance(cells, str) or not np.iterable(cells):
        cells = [cells]
    values = list(cells)
    if values and all(isinstance(v, bool | np.bool_) for v in values):
        if len(values) != len(names):
            raise InvalidDataError(
                f"Expected the mask of state {state!r} to have {len(names)} entries, found {len(values)}."
            )
        return np.flatnonzero(values)
    if values and all(isinstance(v, str) for v in values):
        rows = names.get_indexer(pd.Index(values)) if names.is_unique else np.array([-1])
        if (rows < 0).any():
            unknown = [v for v, row in zip(values, rows, strict=False) if row < 0]
            raise InvalidDataError(
                f"Invalid cell names {unknown[:5]} of state {state!r}: {len(unknown)} are not in "
                "`adata.obs_names`, or names are not unique."
            )
        return np.unique(rows)
    try:
        rows = np.array([operator.index(v) for v in values], dtype=np.int64)
    except TypeError:
        raise InvalidDataError(
            f"Expected cells of state {state!r} as names, positions or a mask, found {values[:3]!r}."
        ) from None
    if len(rows) and (rows.min() < -len(names) or rows.max() >= len(names)):
        raise InvalidDataError(
            f"Invalid cell positions of state {state!r}: expected less than {len(names)}, found "
            f"{int(rows.max())}."
        )
    return np.unique(rows % len(names)).astype(np.intp)


# Macrostates ------------------------------------------------------------------------------------------


def from_macrostates(
    memberships: Lineage,
    names: Sequence[str],
    index: pd.Index,
    *,
    n_cells: int,
    agg: str = "top_n",
) -> Chosen:
    """States that are macrostates, or several of them together.

    Parameters
    ----------
    memberships : Lineage, shape (n_cells, n_macrostates)
    names : sequence of str
        ``"a, b"`` merges.
    index : Index
        Names of the cells.
    n_cells : int
        How many of its most likely cells make up a state.
    agg : {"top_n", "union"}
        Of merged states: the cells of the largest summed membership, or those of each of them.

    Raises
    ------
    MissingDataError
        Says ``Invalid lineage name``.
    InvalidOptionError, InvalidDataError
        For an unknown `agg`, overlapping names, and too many or too few cells.
    """
    agg = check_option(agg, "agg", ("top_n", "union"))
    selected: Lineage = memberships[list(names)]
    if agg == "union":
        singles = members(selected.names.tolist(), memberships.names.tolist())
        parts: Lineage = memberships[[part for group in singles for part in group]]
        group_of = np.repeat(np.arange(len(singles)), [len(group) for group in singles])
        single_codes = assign_cells(parts.X, n_cells)
        codes = np.where(single_codes >= 0, group_of[single_codes], -1)
    else:
        codes = assign_cells(selected.X, n_cells)
    labels, colors = [str(n) for n in selected.names], [str(c) for c in selected.colors]
    warn_of_small(codes, labels, n_cells)
    scaled = (selected.X / selected.X.max(axis=0)).max(axis=1)
    return Chosen(categorical(codes, labels, index), colors, pd.Series(scaled, index=index), selected)


# Checks and changes -----------------------------------------------------------------------------------


def cells_in_both(initial: pd.Series | None, terminal: pd.Series | None) -> tuple[int, list[tuple[str, str]]]:
    """How many cells are in a state of either, and which states share them."""
    if initial is None or terminal is None:
        return 0, []
    both = initial.notna().to_numpy() & terminal.notna().to_numpy()
    pairs = zip(initial[both].astype(str), terminal[both].astype(str), strict=True)
    return int(both.sum()), list(dict.fromkeys(pairs))


def shared_clusters(initial: pd.Series, terminal: pd.Series, ref: Reference) -> list[tuple[str, str, str]]:
    """Initial and terminal states most of whose cells are in the same category: (initial, terminal, it)."""
    found: list[list[tuple[str, int]]] = []
    for states in (initial, terminal):
        table = composition(np.asarray(states.cat.codes), len(states.cat.categories), ref)
        found.append(
            [
                (str(name), int(np.argmax(row)))
                for name, row in zip(states.cat.categories, table, strict=True)
                if row.any()
            ]
        )
    return [(a, b, ref.names[i]) for a, i in found[0] for b, j in found[1] if i == j]


def renamed(chosen: Chosen, old_new: Any, what: str) -> Chosen:
    """The same states under other names.

    Parameters
    ----------
    chosen : Chosen
    old_new : dict
        New names by old ones.
    what : str
        ``"terminal"`` or ``"initial"``, for messages.

    Raises
    ------
    InvalidTypeError
        If it is not a dict.
    InvalidOptionError
        Says ``Invalid terminal states names`` or ``After renaming``.
    """
    if not isinstance(old_new, Mapping):
        raise InvalidTypeError(
            f"Expected new names as a dict `{{old: new}}`, found `{type(old_new).__name__}`."
        )
    new_of = {str(old): str(new) for old, new in old_new.items()}
    names = [str(c) for c in chosen.states.cat.categories]
    unknown = [name for name in new_of if name not in names]
    if unknown:
        raise InvalidOptionError(f"Invalid {what} states names {unknown}.{suggest(unknown[0], names)}")
    after = [new_of.get(name, name) for name in names]
    if len(set(after)) != len(after):
        twice = sorted({name for name in after if after.count(name) > 1})
        raise InvalidOptionError(f"After renaming, names of {what} states are not unique: {twice}.")
    memberships = chosen.memberships
    if memberships is not None:
        memberships = Lineage(memberships.X, names=after, colors=memberships.colors)
    states = chosen.states.cat.rename_categories(after)
    return Chosen(states, list(chosen.colors), chosen.probabilities, memberships)
