"""How a Lineage shows itself, as text and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte._colors import text_color

__all__ = ["format_value", "html_table", "text"]

_ALL = 100  # up to so many cells are all shown
_ENDS = 10  # else so many from each end


def text(kind: str, values: NDArray[Any], names: Sequence[str]) -> str:
    """`repr` of a Lineage."""
    body = np.array2string(values, separator=", ", prefix=f"{kind}(")
    return f"{kind}({body},\n  names([{', '.join(names)}]))"


def format_value(values: NDArray[Any], spec: str) -> str:
    """A single value by a format such as ``.2f`` or ``{:.2f}``."""
    if values.size != 1:
        raise TypeError(f"Only a single value can be formatted, found shape {values.shape}. Index one first.")
    return spec.format(values.item()) if "{" in spec else format(values.item(), spec)


def html_table(values: NDArray[Any], names: Sequence[str], colors: Sequence[str], *, transposed: bool) -> str:
    """A table with coloured names.

    Parameters
    ----------
    values : ndarray, shape (n_cells, n_lineages)
        The other way round if `transposed`.
    names, colors : sequence of str
        Of the lineages.
    transposed : bool
        Lineages are rows.

    Returns
    -------
    str
        Tags: div, table, tr, th, td, p. Of more than 100 cells the first and the last 10 are shown.
    """
    n_cells, n_lineages = values.shape[::-1] if transposed else values.shape
    heads = [_head(n, c) for n, c in zip(names, colors, strict=True)]
    shown = _shown(n_cells)
    if transposed:
        rows = [
            head + "".join(_cell(None if i is None else line[i]) for i in shown)
            for head, line in zip(heads, values, strict=True)
        ]
    else:
        rows = ["".join(heads)]
        rows += ["".join(_cell(v) for v in _line(values, i)) for i in shown]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    size = (
        f"{n_lineages} lineages x {n_cells} cells"
        if transposed
        else f"{n_cells} cells x {n_lineages} lineages"
    )
    return f"<div style='overflow-x: auto'><table>{body}</table><p>{size}</p></div>"


def _shown(n: int) -> list[int | None]:
    """Positions to show; None stands for those left out."""
    if n <= _ALL:
        return list(range(n))
    return [*range(_ENDS), None, *range(n - _ENDS, n)]


def _line(values: NDArray[Any], i: int | None) -> Iterable[Any]:
    return [None] * values.shape[1] if i is None else values[i]


def _head(name: str, color: str) -> str:
    style = f"background-color: {color}; color: {text_color(color)}; text-align: center"
    return f"<th style='{style}'>{html.escape(name)}</th>"


def _cell(value: Any) -> str:
    if value is None:
        shown = "..."
    elif isinstance(value, float | np.floating):
        shown = f"{value:.6f}"
    else:
        shown = html.escape(str(value))
    return f"<td style='text-align: right'>{shown}</td>"
