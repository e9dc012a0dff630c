"""Shares of lineages as a pie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError, InvalidTypeError
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["pie_values", "plot_pie"]


def pie_values(lineage: Lineage, reduction: Callable[..., Any]) -> pd.DataFrame:
    """One value per lineage.

    Parameters
    ----------
    lineage : Lineage
        Of at least two lineages, transposed or not.
    reduction : callable
        Such as `numpy.mean`; called with the plain values and the axis of the cells as `axis=`.

    Returns
    -------
    pandas.DataFrame
        One row per lineage: `value` (float) and `color` (hex), indexed by name.

    Raises
    ------
    InvalidTypeError
        If `reduction` can not be called.
    InvalidDataError
        If there is one lineage only, or `reduction` does not give one value per lineage that is finite and
        not negative, at least one of them above zero.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> import numpy as np
    >>> fc.pl.pie_values(adata.obsm["lineages_fwd"], np.mean).columns.tolist()
    ['value', 'color']
    """
    if not callable(reduction):
        raise InvalidTypeError(
            f"Expected `reduction` to be a function such as `numpy.mean`, found `{type(reduction).__name__}`."
        )
    names, colors, axis = lineage._labels()
    n = len(names)
    if n == 1:
        raise InvalidDataError("Unable to plot a pie of only 1 lineage. It has the whole of it.")
    values = np.asarray(reduction(lineage.X, axis=1 - axis), dtype=np.float64).ravel()
    if len(values) != n:
        raise InvalidDataError(
            f"Expected `reduction` to give {n} values, one per lineage, found {len(values)}. "
            "It has to reduce over `axis`."
        )
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise InvalidDataError(
            f"Expected reduced values to be finite, not negative and not all zero, found {values.tolist()}. "
            "Use another `reduction`."
        )
    return pd.DataFrame({"value": values, "color": colors}, index=pd.Index(names, name="lineage"))


def plot_pie(
    values: pd.DataFrame,
    *,
    title: str | None = None,
    legend_loc: str | None = "on data",
    legend_kwargs: Mapping[str, Any] = MappingProxyType({}),
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw one slice per lineage.

    Parameters
    ----------
    values : pandas.DataFrame
        Made by :func:`pie_values`.
    title : str, optional
        Default: none.
    legend_loc : str or None, default "on data"
        `"on data"` writes names beside the slices, or in a legend beside the pie, with their values, if there
        are more than 8; else a place such as `"best"` or `"upper right out"`; `None`: no names.
    legend_kwargs : mapping
        For :meth:`matplotlib.axes.Axes.legend`.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        For :meth:`matplotlib.axes.Axes.pie`. By default slices carry the values with four digits;
        `autopct=None` leaves them out.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidOptionError
        If the legend position is unknown.
    InvalidTypeError
        For an unknown keyword.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> import numpy as np
    >>> ax = fc.pl.plot_pie(fc.pl.pie_values(adata.obsm["lineages_fwd"], np.mean), show=False)
    """
    from matplotlib.colors import to_hex

    from ferrocyte._colors import text_color
    from ferrocyte.pl._common import MANY, drawing, finish, known_keywords, legend_place, paper, place_legend

    on_data = isinstance(legend_loc, str) and legend_loc.strip().lower() == "on data"
    if not on_data:
        legend_place(legend_loc)
    total = float(values["value"].sum())
    crowded = on_data and len(values) > MANY
    names = [str(name) for name in values.index]
    if crowded:
        on_data, legend_loc = False, "center right out"
        names = [f"{name} {value:.4f}" for name, value in zip(names, values["value"], strict=True)]
        kwargs = {"autopct": None, **kwargs}
    options: dict[str, Any] = {
        "colors": values["color"].tolist(),
        "labels": values.index.tolist() if on_data else None,
        "autopct": lambda percent: f"{percent / 100 * total:.4f}",
        "pctdistance": 0.75,  # where a narrow slice is wide enough for its number
        "startangle": 90,
        "counterclock": False,
        "wedgeprops": {"edgecolor": paper(), "linewidth": 1},
        **kwargs,
    }
    with drawing(ax, figsize, dpi) as (axes, ours):
        with known_keywords("plot_pie"):
            wedges, *texts = axes.pie(values["value"].to_numpy(), **options)
        if len(texts) == 2 and "textprops" not in kwargs:
            for wedge, number in zip(wedges, texts[1], strict=True):
                number.set_color(text_color(to_hex(wedge.get_facecolor())))
        for wedge, name in zip(wedges, names, strict=True):
            wedge.set_label(name)
        axes.set_title(title or "")
        if not on_data:
            look = {"frameon": False, "fontsize": "small"} if crowded else {}
            place_legend(axes, legend_loc, wedges, **{**look, **legend_kwargs})
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes
