"""The transition matrix between macrostates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, NotComputedError
from ferrocyte._options import check_number, check_option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["Order", "coarse_frame", "plot_coarse_T"]

Order = Literal["stability", "incoming", "outgoing", "stat_dist"] | None
ORDERS: tuple[Order, ...] = ("stability", "incoming", "outgoing", "stat_dist", None)

_NAMES = {"stationary": "stationary distribution", "initial": "initial distribution"}


def coarse_frame(
    coarse_T: pd.DataFrame,
    stationary: pd.Series | None = None,
    initial: pd.Series | None = None,
    *,
    order: Order = "stability",
) -> pd.DataFrame:
    """Transition matrix and distributions of macrostates, in order.

    Parameters
    ----------
    coarse_T : pandas.DataFrame, shape (n_states, n_states)
        Transitions from rows to columns, with the same names on both.
    stationary, initial : pandas.Series, optional
        Distributions over the same names.
    order : {"stability", "incoming", "outgoing", "stat_dist"} or None, default "stability"
        States from low to high by probability to stay, sum of transitions from other states, sum of
        transitions to other states, or stationary probability. `None`: as they come. Ties stay as they come.

    Returns
    -------
    pandas.DataFrame
        Columns are states. Rows have two levels: ``("transitions", <state>)`` for the matrix, then
        ``("stationary", "")`` and ``("initial", "")`` if they are given.

    Raises
    ------
    InvalidOptionError
        If `order` is unknown.
    NotComputedError
        If it needs the stationary distribution and there is none.
    InvalidDataError
        If names do not match.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import pandas as pd
    >>> coarse = pd.DataFrame([[0.9, 0.1], [0.3, 0.7]], index=["a", "b"], columns=["a", "b"])
    >>> fc.pl.coarse_frame(coarse)
                         b    a
    part        state
    transitions b      0.7  0.3
                a      0.1  0.9
    """
    check_option(order, "order", ORDERS)
    names = [str(c) for c in coarse_T.columns]
    if [str(r) for r in coarse_T.index] != names:
        raise InvalidDataError("Expected the same names in rows and columns of the coarse transition matrix.")
    rows = {("transitions", n): v for n, v in zip(names, coarse_T.to_numpy(dtype=np.float64), strict=True)}
    for name, values in (("stationary", stationary), ("initial", initial)):
        if values is not None:
            if [str(i) for i in values.index] != names:
                raise InvalidDataError(f"Expected the {_NAMES[name]} to be over {names}.")
            rows[name, ""] = values.to_numpy(dtype=np.float64)
    if order == "stat_dist" and stationary is None:
        raise NotComputedError(
            "There is no coarse stationary distribution to order by. Pass another `order`."
        )
    table = pd.DataFrame(
        list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=["part", "state"]), columns=names
    )
    turn = [names[i] for i in _positions(table, order)]
    parts = [("transitions", n) for n in turn]
    return table.loc[parts + [key for key in rows if key[0] != "transitions"], turn]


def _positions(table: pd.DataFrame, order: Order) -> NDArray[np.intp]:
    matrix = table.loc["transitions"].to_numpy()
    stay = matrix.diagonal()
    if order is None:
        return np.arange(len(matrix))
    if order == "stability":
        by = stay
    elif order == "incoming":
        by = matrix.sum(axis=0) - stay
    elif order == "outgoing":
        by = matrix.sum(axis=1) - stay
    else:
        by = table.loc[("stationary", "")].to_numpy()
    return np.argsort(by, kind="stable")


def plot_coarse_T(  # noqa: N802
    table: pd.DataFrame,
    *,
    cmap: str | Colormap = "viridis",
    xtick_rotation: float = 45,
    annotate: bool = True,
    show_cbar: bool = True,
    title: str | None = None,
    figsize: tuple[float, float] = (8, 8),
    dpi: float | None = 80,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    text_kwargs: Mapping[str, Any] = MappingProxyType({}),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw transitions between macrostates as squares, from rows to columns.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`coarse_frame`; distributions in it are drawn as rows below.
    cmap : str or Colormap, default "viridis"
        Colours of the values; one scale for all that is drawn, and for nothing that is not.
    xtick_rotation : float, default 45
        Degrees by which names below are turned.
    annotate : bool, default True
        Write the values.
    show_cbar : bool, default True
        Draw a colour bar, in axes of its own.
    title : str, optional
        Default: ``"coarse-grained transition matrix"``.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving. Default: 8 x 8 at 80.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    text_kwargs : mapping
        For the values: :meth:`matplotlib.axes.Axes.text`, such as `fontsize`.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        For :meth:`matplotlib.axes.Axes.imshow`, and `vmin` and `vmax`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidOptionError
        If the colour map is unknown.
    InvalidTypeError
        For an unknown keyword.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import pandas as pd
    >>> coarse = pd.DataFrame([[0.9, 0.1], [0.3, 0.7]], index=["a", "b"], columns=["a", "b"])
    >>> ax = fc.pl.plot_coarse_T(fc.pl.coarse_frame(coarse), show=False)
    """
    from matplotlib.colors import Normalize

    from ferrocyte.pl._common import drawing, finish, known_keywords, turn_labels
    from ferrocyte.pl._heatmap import add_bar, as_colormap, draw_squares, write_numbers

    colors = as_colormap(cmap)
    rotation = check_number(xtick_rotation, "xtick_rotation")
    matrix = table.loc["transitions"]
    parts = table.index.get_level_values("part")
    below = {part: table[parts == part].to_numpy() for part in _NAMES if part in parts}
    n = len(matrix)
    vmin, vmax = kwargs.pop("vmin", None), kwargs.pop("vmax", None)
    everything = table.to_numpy()
    norm = Normalize(everything.min() if vmin is None else vmin, everything.max() if vmax is None else vmax)
    gap = 0.1 + 0.02 * n
    tops = [-0.5] + [n - 0.5 + gap + k * (1 + gap) for k in range(len(below))]
    with drawing(ax, figsize, dpi) as (axes, ours):
        with known_keywords("plot_coarse_T"):
            images = [
                draw_squares(axes, values, norm, colors, top=top, **kwargs)
                for values, top in zip([matrix.to_numpy(), *below.values()], tops, strict=True)
            ]
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_ylim(tops[-1] + (1 if below else n), -0.5)
        axes.set_yticks(
            [*range(n), *(top + 0.5 for top in tops[1:])],
            [*matrix.index, *(_NAMES[part].replace(" ", "\n") for part in below)],
        )
        axes.set_xticks(range(n), matrix.columns)
        turn_labels(axes, rotation)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title("coarse-grained transition matrix" if title is None else title)
        if show_cbar:
            add_bar(axes, images[0])
        if annotate:
            with known_keywords("text_kwargs"):
                for image in images:
                    write_numbers(axes, image, text_kwargs)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes
