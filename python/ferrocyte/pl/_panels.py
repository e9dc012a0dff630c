"""Several axes side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from ferrocyte._errors import InvalidOptionError
from ferrocyte._options import check_count
from ferrocyte.pl._common import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["panels", "spread_titles"]


@contextmanager
def panels(
    n: int,
    ax: Axes | None = None,
    *,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    inches: tuple[float, float] = (4.4, 3.8),
) -> Iterator[tuple[list[Axes], bool]]:
    """`n` axes to draw on, row by row, and whether we made them.

    Parameters
    ----------
    n : int
        How many, at least 1.
    ax : matplotlib.axes.Axes, optional
        To draw on instead of a new figure, where `n` is 1.
    ncols : int, optional
        Axes per row. Default: as many as there are up to 3, and 4 from 7 axes on.
    figsize, dpi
        Of a new figure, in inches and dots per inch.
    inches : (float, float)
        Size of one of several axes, if there is no `figsize`.

    Raises
    ------
    InvalidOptionError
        If one `ax` is given for several, or `ncols` is not positive.
    """
    if ncols is not None:
        ncols = check_count(ncols, "ncols")
    if ax is not None and n > 1:
        raise InvalidOptionError(
            f"Expected one panel for one `ax`, found {n}. Leave out `ax`, or draw them one by one."
        )
    if n == 1:
        with drawing(ax, figsize, dpi) as (axes, ours):
            yield [axes], ours
        return
    ncols = min(n, (3 if n <= 6 else 4) if ncols is None else ncols)
    nrows = -(-n // ncols)
    if figsize is None:
        figsize = (inches[0] * ncols, inches[1] * nrows)
    figure, grid = plt.subplots(nrows, ncols, figsize=figsize, dpi=dpi, layout="constrained", squeeze=False)
    try:
        for spare in grid.ravel()[n:]:
            spare.remove()
        yield list(grid.ravel()[:n]), True
    except BaseException:
        plt.close(figure)
        raise


def spread_titles(title: str | Sequence[str] | None, names: Sequence[str]) -> tuple[str | None, list[str]]:
    """A title for the whole figure and one for each panel.

    A string is that of the whole, or of the only panel; a sequence has one for each; `names` are the default.

    Raises
    ------
    InvalidOptionError
        If a sequence is of another length.
    """
    if title is None:
        return None, list(names)
    if isinstance(title, str):
        return (None, [title]) if len(names) == 1 else (title, list(names))
    given: list[Any] = list(title)
    if len(given) != len(names):
        raise InvalidOptionError(f"Expected `title` to have {len(names)} titles, found {len(given)}.")
    return None, [str(t) for t in given]
