"""How many terminal states are found with how many macrostates."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError, InvalidOptionError
from ferrocyte._options import check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_tsi", "tsi_frame"]

_COLUMNS = ("number_of_macrostates", "identified_terminal_states", "optimal_identification")


def tsi_frame(table: pd.DataFrame, n_macrostates: int | None = None) -> pd.DataFrame:
    """Counts of found terminal states, from few to many macrostates.

    Parameters
    ----------
    table : pandas.DataFrame
        Whole numbers: `number_of_macrostates`, `identified_terminal_states`, `optimal_identification`.
    n_macrostates : int, optional
        Up to this many. Default: all.

    Returns
    -------
    pandas.DataFrame
        The same columns, in ascending order of the first.

    Raises
    ------
    InvalidDataError
        If a column is missing.
    InvalidOptionError
        If `n_macrostates` is not positive, or more than there are.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import pandas as pd
    >>> found = pd.DataFrame(
    ...     {
    ...         "number_of_macrostates": [1, 2, 3],
    ...         "identified_terminal_states": [0, 1, 2],
    ...         "optimal_identification": [1, 2, 2],
    ...     }
    ... )
    >>> fc.pl.tsi_frame(found, 2)
       number_of_macrostates  identified_terminal_states  optimal_identification
    0                      1                           0                       1
    1                      2                           1                       2
    """
    missing = [c for c in _COLUMNS if c not in table]
    if missing or table.empty:
        raise InvalidDataError(
            f"Expected the table of `.tsi()`, with columns {_COLUMNS}, found {list(table)}."
        )
    counts = table[list(_COLUMNS)].astype(int).sort_values(_COLUMNS[0]).reset_index(drop=True)
    if n_macrostates is not None:
        n_macrostates = check_count(n_macrostates, "n_macrostates")
        most = int(counts[_COLUMNS[0]].max())
        if n_macrostates > most:
            raise InvalidOptionError(
                f"Expected `n_macrostates` to be at most {most}, found {n_macrostates}. "
                f"Call `.tsi(n_macrostates={n_macrostates}, ...)` first."
            )
        counts = counts[counts[_COLUMNS[0]] <= n_macrostates]
    return counts


def plot_tsi(
    table: pd.DataFrame,
    *,
    label: str = "identified",
    x_offset: tuple[float, float] = (0.2, 0.2),
    y_offset: tuple[float, float] = (0.1, 0.1),
    figsize: tuple[float, float] = (6, 4),
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw found terminal states as steps, below the best that is possible.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`tsi_frame`.
    label : str, default "identified"
        Name of the method in the legend.
    x_offset, y_offset : (float, float), default (0.2, 0.2) and (0.1, 0.1)
        Room before the first and after the last value, in units of the axes.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving. Default: 6 x 4.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        For :meth:`matplotlib.axes.Axes.step`, such as `linewidth`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidTypeError
        For an unknown keyword.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import pandas as pd
    >>> found = pd.DataFrame(
    ...     {
    ...         "number_of_macrostates": [1, 2, 3],
    ...         "identified_terminal_states": [0, 1, 2],
    ...         "optimal_identification": [1, 2, 2],
    ...     }
    ... )
    >>> ax = fc.pl.plot_tsi(fc.pl.tsi_frame(found), show=False)
    """
    from matplotlib.ticker import MaxNLocator

    from ferrocyte.pl._common import drawing, finish, known_keywords, place_legend

    n, found, best = (table[c].to_numpy() for c in _COLUMNS)
    with drawing(ax, figsize, dpi) as (axes, ours):
        style: dict[str, Any] = {"where": "post", "linewidth": 1.8, **kwargs}
        ideal = {**style, "color": "#d55e00", "linestyle": "--", "label": "optimal identification"}
        own = {"color": "#0072b2", "label": label, **style}
        with known_keywords("plot_tsi"):
            handles = [*axes.step(n, found, **own), *axes.step(n, best, **ideal)]
        axes.set_xlim(n.min() - x_offset[0], n.max() + x_offset[1])
        low, high = min(found.min(), best.min()), max(found.max(), best.max())
        axes.set_ylim(low - y_offset[0], high + y_offset[1])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_yticks(np.arange(low, high + 1))
        axes.set_xlabel("number of macrostates")
        axes.set_ylabel("identified terminal states")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        place_legend(axes, "lower center out", handles, frameon=False, ncols=2)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes
