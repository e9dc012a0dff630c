"""Names and colours of lineages, checked once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferrocyte._colors import default_colors, to_hex
from ferrocyte._errors import InvalidDataError, InvalidTypeError

__all__ = ["Labels", "check_colors", "check_names", "frozen"]


class Labels(NamedTuple):
    """Names and colours of the lineages, and along which axis they lie."""

    names: Sequence[str]
    colors: Sequence[str]
    axis: int


def check_names(names: Any, n: int) -> list[str]:
    """`n` different names as strings.

    Raises
    ------
    InvalidTypeError, InvalidDataError
        If they are not iterable, too many or too few, or not unique as strings.
    """
    found = [str(name) for name in _listed(names, "names", n)]
    if len(set(found)) != len(found):
        twice = sorted({name for name in found if found.count(name) > 1})
        raise InvalidDataError(f"Not all lineage names are unique: {twice} more than once. Rename them.")
    return found


def check_colors(colors: Any, n: int) -> list[str]:
    """`n` colours as hex strings; `None` for the default ones.

    Raises
    ------
    InvalidTypeError, InvalidDataError
        If they are not iterable, too many or too few, or no colours.
    """
    if colors is None:
        return default_colors(n)
    return [to_hex(c) for c in _listed(colors, "colors", n)]


def _listed(value: Any, what: str, n: int) -> list[Any]:
    try:
        found = list(value)
    except TypeError:
        raise InvalidTypeError(
            f"Expected `{what}` to be iterable, found type `{type(value).__name__}`. Give one per lineage."
        ) from None
    if len(found) != n:
        raise InvalidDataError(
            f"Expected `{what}` to be of size {n}, found {len(found)}. Give one per lineage."
        )
    return found


def frozen(values: Iterable[str]) -> NDArray[np.str_]:
    """As an array that can be shared: nobody can write to it."""
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        return values
    array = np.array([str(v) for v in values], dtype=np.str_)
    array.flags.writeable = False
    return array
