"""How good each number of macrostates is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["n_states_frame", "plot_n_states"]

_COLUMN, _REASON, _PROBLEM = "n_states", "why", "problem"
_FLAGS = ("recommended", "has_problem")
_GOOD, _OTHER = "#d55e00", "#0072b2"


def n_states_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Criteria by number of macrostates, ready to draw.

    Parameters
    ----------
    table : pandas.DataFrame
        As `GPCCA.suggest_n_states` returns it: one row per number of states, which is the index or the column
        `n_states`; numeric columns are criteria, `problem` and `why` are texts, empty where nothing speaks
        against a number and where it is not the recommended one.

    Returns
    -------
    pandas.DataFrame
        Indexed by `n_states` (int), ascending: one column of floats per criterion that has a value, then
        `recommended` and `has_problem` (bool).

    Raises
    ------
    InvalidDataError
        If there is no row or no criterion.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> table = fc.pl.n_states_frame(g.suggest_n_states(2, 5, cluster_key="clusters"))
    >>> int(table["recommended"].sum())
    1
    """
    if _COLUMN in table:
        table = table.set_index(_COLUMN)
    criteria = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c].dtype)]
    criteria = [c for c in criteria if table[c].dtype != bool and table[c].notna().any()]
    if table.empty or not criteria:
        raise InvalidDataError(
            f"Expected the table of `.suggest_n_states()`, with numbers in it, found columns {list(table)}."
        )
    numbers = table[criteria].astype(float)
    for flag, column in zip(_FLAGS, (_REASON, _PROBLEM), strict=True):
        texts = table[column] if column in table else pd.Series("", index=table.index)
        numbers[flag] = [isinstance(text, str) and text != "" for text in texts]
    numbers.index = pd.Index(table.index.astype(int), name=_COLUMN)
    return numbers.sort_index()


def plot_n_states(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    **kwargs: Any,
) -> list[Axes] | None:
    """Draw one panel per criterion for the number of macrostates.

    The recommended number stands out; numbers that something speaks against are hollow.

    Parameters
    ----------
    table : pandas.DataFrame
        As `GPCCA.suggest_n_states` returns it.
    title : str, optional
        Default: the recommended number, with the reason from the column `why`.
    ncols : int, optional
        Panels per row. Default: up to 3, or 4 if there are more than 6.
    figsize, dpi
        In inches and dots per inch; `dpi` also when saving.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    **kwargs
        For :meth:`matplotlib.axes.Axes.plot`, such as `linewidth`.

    Returns
    -------
    list of matplotlib.axes.Axes or None
        None when the figure is shown.

    Raises
    ------
    InvalidDataError
        If there is no row or no criterion.
    InvalidTypeError
        For an unknown keyword.

    See Also
    --------
    n_states_frame : The numbers behind the figure.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> axes = fc.pl.plot_n_states(g.suggest_n_states(2, 5, cluster_key="clusters"), show=False)
    """
    import textwrap

    from matplotlib.ticker import MaxNLocator

    from ferrocyte.pl._common import finish, is_shown, known_keywords, paper, root_figure
    from ferrocyte.pl._panels import panels

    numbers = n_states_frame(table)
    criteria = [c for c in numbers.columns if c not in _FLAGS]
    best = numbers.index[numbers["recommended"]]
    bad = numbers.index[numbers["has_problem"]]
    style: dict[str, Any] = {"color": _OTHER, "marker": "o", "markersize": 4, "linewidth": 1.2, **kwargs}
    with panels(len(criteria), ncols=ncols, figsize=figsize, dpi=dpi, inches=(3.2, 2.5)) as (axes, ours):
        for panel, name in zip(axes, criteria, strict=True):
            values = numbers[name]
            for n in best:
                panel.axvline(n, color=_GOOD, linewidth=6, alpha=0.18, zorder=0)
            with known_keywords("plot_n_states"):
                panel.plot(numbers.index, values, **style)
            panel.plot(bad, values[bad], "o", color=paper(), markeredgecolor=_OTHER, markersize=4, zorder=2.5)
            panel.plot(best, values[best], "o", color=_GOOD, markersize=7, zorder=3)
            panel.set_title(str(name).replace("_", " "), fontsize=10)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            panel.set_xlabel("number of macrostates")
            panel.margins(y=0.15)
            panel.set_xlim(numbers.index.min() - 0.5, numbers.index.max() + 0.5)
            for side in ("top", "right"):
                panel.spines[side].set_visible(False)
        figure = root_figure(axes[0])
        if title is None:
            title = _title(table, best)
        wide = max(20, int(np.floor(figure.get_figwidth() * 72 / 5.6)))
        if title:
            figure.suptitle(textwrap.fill(title, wide), fontsize=10)
        finish(axes[0], save=save, show=show, dpi=dpi, ours=ours)
    return None if is_shown(save, show, ours=ours) else axes


def _title(table: pd.DataFrame, best: pd.Index) -> str:
    if len(best) != 1:
        return ""
    if _COLUMN in table:
        table = table.set_index(_COLUMN)
    return f"{best[0]} macrostates: {table[_REASON].loc[best[0]]}"
