"""What the keys of a Lineage mean: cells and lineages by position, mask or name, mixtures of lineages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, InvalidIndexError, MissingDataError, suggest

__all__ = ["Columns", "Key", "members", "parse"]

REST = "rest"  # the sum of all lineages that are not named beside it
Rows: TypeAlias = "slice | NDArray[np.intp]"


class Columns(NamedTuple):
    """Selected lineages.

    Attributes
    ----------
    groups : list of list of int
        Positions that are summed into each column of the result.
    mixed : bool
        Whether any column was asked for as a mixture.
    rest : int or None
        Which of the groups is all that no other key names.
    """

    groups: list[list[int]]
    mixed: bool
    rest: int | None = None


class Key(NamedTuple):
    """Selected cells and lineages; `pairs` are picked element by element instead."""

    rows: Rows
    columns: Columns
    pairs: NDArray[np.intp] | None


def parse(key: Any, n_cells: int, names: Sequence[str], *, transposed: bool = False) -> Key:
    """Read what stands in the brackets.

    Parameters
    ----------
    key : object
        Cells, names of lineages, or a pair of cells and lineages (lineages and cells if `transposed`).
    n_cells : int
        Number of cells.
    names : sequence of str
        Names of the lineages.
    transposed : bool, default False
        Whether lineages come first.

    Returns
    -------
    Key

    Raises
    ------
    MissingDataError
        If there is no lineage of that name; says ``Invalid lineage name``.
    InvalidDataError
        If there are more than two keys (says ``Expected key to be``) or mixtures that overlap (says
        ``Found overlapping keys``).
    InvalidIndexError, IndexError, TypeError
        If positions do not exist, or cells are asked for by name.
    """
    cells, lineages = _split(key, transposed)
    rows, exact = _rows(cells, n_cells)
    columns = _columns(lineages, names)
    pairs = None
    if exact and not columns.mixed and n_cells > 1 and len(rows) == n_cells:  # type: ignore[arg-type]
        pairs = _one_per_cell(lineages, names, n_cells)
    return Key(rows, columns, pairs)


def _split(key: Any, transposed: bool) -> tuple[Any, Any]:
    """(cells, lineages); everything where nothing was said."""
    if isinstance(key, tuple):
        if len(key) > 2:
            raise InvalidDataError(
                f"Expected key to be of length at most 2 (cells and lineages), found {len(key)}. "
                "Give several lineages as a list: x[['a', 'b', 'c']]."
            )
        if len(key) == 2 and not transposed and not isinstance(key[0], str):
            return key
        if len(key) == 2 and transposed and not isinstance(key[1], str):
            return key[1], key[0]
        if len(key) == 2 and transposed and not isinstance(key[0], str):
            raise InvalidIndexError(
                f"Cells have no names here, found {key[1]!r} in their place. After `.T` lineages come first: "
                "x.T['a', :]."
            )
        # Names side by side are lineages; turned, these swap as any other two keys do.
        key = (list(key[::-1] if transposed else key) if len(key) == 2 else key[0]) if key else None
    if transposed:
        return None, key
    return (None, key) if _has_names(key) else (key, None)


def _is_sequence(key: Any) -> bool:
    return isinstance(key, list | tuple | range) or (np.ndim(key) == 1 and hasattr(key, "__array__"))


def _has_names(key: Any) -> bool:
    if isinstance(key, str):
        return True
    if getattr(getattr(key, "dtype", None), "kind", "O") in "biuf":
        return False  # no need to look at a million entries
    return _is_sequence(key) and any(isinstance(k, str) for k in key)


def _rows(key: Any, n: int) -> tuple[Rows, bool]:
    """Positions of cells, and whether they were listed one by one."""
    if key is None or key is Ellipsis:
        return slice(None), False
    if isinstance(key, slice):
        return key, False
    if _has_names(key):
        raise InvalidIndexError(
            f"Cells have no names here, found {key!r} in their place. Lineages come second: x[:, ['a', 'b']]."
        )
    ixs = np.asarray(key)
    return _positions(_line(key), n, 0), ixs.ndim == 1 and ixs.dtype != bool


def _line(key: Any) -> NDArray[Any]:
    """One row or column of positions as a list of them: ``x["a"] > 0.5``, what `numpy.ix_` makes."""
    ixs = np.asarray(key)
    return ixs.ravel() if isinstance(key, np.ndarray) and ixs.ndim == 2 and 1 in ixs.shape else ixs


def _columns(key: Any, names: Sequence[str]) -> Columns:
    n = len(names)
    if key is None or key is Ellipsis:
        return Columns([[i] for i in range(n)], False)
    if isinstance(key, slice):
        return Columns([[i] for i in range(n)[key]], False)
    if isinstance(key, np.ndarray):
        key = _line(key)
    if isinstance(key, str) or not _is_sequence(key):
        key = [key]
    items = list(key)
    if not _has_names(key):
        ixs = np.asarray(key, dtype=None if items else np.intp)
        return Columns([[int(i)] for i in dict.fromkeys(_positions(ixs, n, 1).tolist())], False)
    left = _left_by(items, names)
    groups = [left if left and k == REST else _group(k, names) for k in items]
    unique = list(dict.fromkeys(groups))
    mixed = any(isinstance(k, str) and k not in names for k in items)
    if mixed:
        _refuse_overlap(unique, names)
    return Columns([list(g) for g in unique], mixed, unique.index(left) if left else None)


def _left_by(keys: Sequence[Any], names: Sequence[str]) -> tuple[int, ...]:
    """Positions of the lineages that no key names, if asked for; a lineage of that name goes first."""
    if REST in names or not any(isinstance(k, str) and k == REST for k in keys):
        return ()
    named = {i for k in keys if not (isinstance(k, str) and k == REST) for i in _group(k, names)}
    left = tuple(i for i in range(len(names)) if i not in named)
    if not left:
        raise InvalidDataError(f"All lineages are named, so that nothing is left for {REST!r}. Leave it out.")
    return left


def _group(key: Any, names: Sequence[str]) -> tuple[int, ...]:
    """Positions that one key sums: one, or those of a name with commas, in the order of their names."""
    if not isinstance(key, str):
        if np.ndim(key) != 0:
            raise InvalidIndexError(f"Expected the name or position of a lineage, found {key!r}.")
        return (int(_positions(np.asarray(key), len(names), 1)[0]),)
    if key in names:  # also a column that was mixed before and has a comma in its name
        return (names.index(key),)
    return tuple(names.index(p) for p in sorted(set(parts_of(key, names))))


def members(keys: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """Names that each key sums, one or several."""
    left = [names[i] for i in _left_by(keys, names)]
    return [left if left and key == REST else parts_of(key, names) for key in keys]


def parts_of(key: str, names: Sequence[str]) -> list[str]:
    """Names that a mixture is made of. They may have commas themselves: the longest that fits counts.

    Raises
    ------
    MissingDataError
        Says ``Invalid lineage name``.
    """
    if key in names:
        return [key]
    pieces = [piece for piece in key.split(",") if piece.strip()]
    found = _joined(pieces, names) if len(pieces) > 1 else None
    if found is None:
        pieces = [piece.strip() for piece in pieces] or [key]
        unknown = next((piece for piece in pieces if piece not in names), key)
        raise MissingDataError(f"Invalid lineage name {unknown!r}.{suggest(unknown, names)}")
    return found


def _joined(pieces: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """Neighbouring pieces put together to names; None if that can not be done without a rest."""
    if not pieces:
        return []
    for stop in range(len(pieces), 0, -1):
        name = ",".join(pieces[:stop]).strip()
        rest = _joined(pieces[stop:], names) if name in names else None
        if rest is not None:
            return [name, *rest]
    return None


def _refuse_overlap(groups: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    seen: set[int] = set()
    for group in groups:
        twice = seen.intersection(group)
        if twice:
            raise InvalidDataError(
                f"Found overlapping keys: {[names[i] for i in sorted(twice)]}. Each lineage can be in one "
                "mixture only."
            )
        seen.update(group)


def _positions(ixs: NDArray[Any], n: int, axis: int) -> NDArray[np.intp]:
    """Integers or a mask as positions; numpy says what is wrong with them, and along which axis."""
    if ixs.ndim > 1 or (ixs.ndim == 0 and ixs.dtype == bool):
        what = ("cells", "lineages")[axis]
        raise InvalidIndexError(
            f"Expected positions of {what} or a mask, found type {ixs.dtype} and shape {ixs.shape}."
        )
    if ixs.size == 0 and ixs.dtype != bool:
        ixs = ixs.astype(np.intp)
    probe: NDArray[np.intp] = np.broadcast_to(np.arange(n), (1, n)) if axis else np.arange(n)[:, None]
    found = probe[:, ixs] if axis else probe[ixs]
    return np.atleast_1d(found.ravel())


def _one_per_cell(key: Any, names: Sequence[str], n_cells: int) -> NDArray[np.intp] | None:
    """For each cell one lineage, if that is what was listed."""
    if not _is_sequence(key) or len(key) != n_cells or np.asarray(key).dtype == bool:
        return None
    return np.array([_group(k, names)[0] for k in key], dtype=np.intp)
