"""What every figure needs and none should repeat: axes, colours, legend places, saving and showing.

Nothing here computes a result. The public modules of this room import matplotlib, and this file, only when
they draw, so the tables behind a figure can be had without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Colormap, is_color_like, to_hex, to_rgb
from matplotlib.figure import SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from ferrocyte import _adata, _keys
from ferrocyte._colors import category_palette
from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    suggest,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

__all__ = [
    "axes_width",
    "category_colors",
    "drawing",
    "embedding_coordinates",
    "faint",
    "finish",
    "ink",
    "known_keywords",
    "legend_of_groups",
    "legend_place",
    "paper",
    "place_legend",
    "root_figure",
    "save_figure",
    "shade",
    "turn_labels",
]

_VERTICAL = {"upper": "upper", "top": "upper", "center": "center", "lower": "lower", "bottom": "lower"}
_HORIZONTAL = ("left", "center", "right")
_MODIFIERS = ("in", "out")
# Names in a legend from which on it is no longer put among the data.
MANY = 8
# A legend beside the axes takes a second column above this many names.
LEGEND_ROWS = 16
# Backends that draw to files: showing on them does nothing but warn.
_FILE_BACKENDS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def category_colors(
    adata: AnnData | None,
    key: str | None,
    categories: Sequence[Any],
    palette: str | Colormap | Sequence[str] | Mapping[Any, str] | None = None,
) -> dict[Any, str]:
    """Colour of each category of an `obs` column.

    Parameters
    ----------
    adata : AnnData or None
        Where `uns["<key>_colors"]` is looked up. Not changed.
    key : str or None
        Name of the column.
    categories : sequence
        Categories in their order.
    palette : str, Colormap, sequence, mapping or None, default None
        A matplotlib colour map or its name, colours in category order (repeated if too few), or colours by
        category. Goes before the stored colours.

    Returns
    -------
    dict
        Hex colour by category: those of `palette`, else of `uns["<key>_colors"]` if there are enough,
        else those of :func:`ferrocyte._colors.category_palette`.

    Raises
    ------
    InvalidOptionError
        If `palette` has something that is no colour.
    """
    n = len(categories)
    if palette is not None:
        return dict(zip(categories, _palette_colors(palette, categories), strict=True))
    stored = None if adata is None or key is None else adata.uns.get(_keys.colors(key))
    if stored is not None:
        values = [str(c) for c in np.atleast_1d(np.asarray(stored, dtype=object))]
        if len(values) >= n and all(is_color_like(c) for c in values[:n]):
            return dict(zip(categories, [to_hex(c) for c in values[:n]], strict=True))
    return dict(zip(categories, category_palette(n), strict=True))


def _palette_colors(
    palette: str | Colormap | Sequence[str] | Mapping[Any, str], categories: Sequence[Any]
) -> list[str]:
    n = len(categories)
    if isinstance(palette, str):
        if palette not in mpl.colormaps:
            raise InvalidOptionError(
                f"Invalid option `palette={palette!r}`: expected the name of a matplotlib colour map, "
                f"a list of colours or a dict of them.{suggest(palette, mpl.colormaps)}"
            )
        palette = mpl.colormaps[palette]
    if isinstance(palette, Colormap):
        listed = getattr(palette, "colors", None)
        if listed is not None and n <= len(listed) <= 20:
            return [to_hex(c) for c in listed[:n]]
        return [to_hex(c) for c in palette(np.linspace(0, 1, max(n, 1)))[:n]]
    if isinstance(palette, Mapping):
        missing = [c for c in categories if c not in palette]
        if missing:
            raise InvalidOptionError(
                f"Invalid option `palette`: it has no colour for {missing!r}. Give one for each category."
            )
        chosen = [palette[c] for c in categories]
    else:
        given = list(palette)
        if not given:
            raise InvalidOptionError("Invalid option `palette`: the list is empty. Give at least one colour.")
        chosen = [given[i % len(given)] for i in range(n)]
    wrong = [c for c in chosen if not is_color_like(c)]
    if wrong:
        raise InvalidOptionError(
            f"Invalid option `palette`: {wrong[0]!r} is not a colour that matplotlib knows."
        )
    return [to_hex(c) for c in chosen]


def embedding_coordinates(
    adata: AnnData, basis: str, components: str | Sequence[int] = (1, 2)
) -> NDArray[np.float64]:
    """Two columns of an embedding.

    Parameters
    ----------
    adata : AnnData
        With `obsm["X_<basis>"]` or `obsm["<basis>"]`.
    basis : str
        Name of the embedding, with or without the leading `X_`.
    components : str or sequence of int, default (1, 2)
        Which two columns, counted from 1; also written `"1,2"`.

    Returns
    -------
    ndarray of float64, shape (n_cells, 2)

    Raises
    ------
    MissingDataError
        If there is no such embedding.
    InvalidDataError
        If it has fewer than two columns.
    InvalidOptionError
        If `components` are not two of its columns.
    """
    coordinates = _adata.embedding(adata, basis)
    if coordinates.shape[1] < 2:
        raise InvalidDataError(
            f"Expected basis {basis!r} to have at least 2 columns, found {coordinates.shape[1]}."
        )
    return coordinates[:, component_indices(components, coordinates.shape[1])]


def component_indices(components: str | Sequence[int], n_columns: int) -> list[int]:
    """Positions of two components given as `"1,2"` or `(1, 2)`, counted from 1, among `n_columns`."""
    parts = components.split(",") if isinstance(components, str) else list(components)
    try:
        chosen = [int(p) - 1 for p in parts]
    except (TypeError, ValueError):
        chosen = []
    if len(chosen) != 2 or not all(0 <= c < n_columns for c in chosen):
        raise InvalidOptionError(
            f"Invalid option `components={components!r}`: expected two numbers from 1 to {n_columns}, "
            "such as '1,2'."
        )
    return chosen


def faint() -> str:
    """Of cells that are only there for the others to be seen: light grey on white."""
    return to_hex(shade(0.8275))


def root_figure(ax: Axes) -> Figure:
    """The figure that axes belong to, also when they sit in a part of it."""
    figure = ax.figure
    return figure.figure if isinstance(figure, SubFigure) else figure


def axes_width(ax: Axes) -> float:
    """Width of axes in inches; where the layout is still to come, that of their place in the grid.

    So panels of one figure agree on the size of their texts, whichever is drawn first.
    """
    figure, place = root_figure(ax), ax.get_subplotspec()
    if place is not None and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        return float(place.get_position(figure).width * figure.get_figwidth())
    return float(ax.get_window_extent().width / figure.dpi)


def ink() -> Any:
    """What stands out from the background in matplotlib's current style: black in the default one."""
    return mpl.rcParams["text.color"]


def paper() -> Any:
    """The background in matplotlib's current style: white in the default one."""
    color = mpl.rcParams["axes.facecolor"]
    return mpl.rcParams["figure.facecolor"] if color == "none" else color


def shade(lightness: float) -> tuple[float, float, float]:
    """Between :func:`ink` (0) and :func:`paper` (1): greys that are as faint on dark as on white."""
    ends = zip(to_rgb(ink()), to_rgb(paper()), strict=True)
    # In steps of 255, so that what is drawn and what a hex string says are the same.
    red, green, blue = (round(255 * ((1 - lightness) * a + lightness * b)) / 255 for a, b in ends)
    return red, green, blue


@contextmanager
def drawing(
    ax: Axes | None, figsize: tuple[float, float] | None = None, dpi: float | None = None
) -> Iterator[tuple[Axes, bool]]:
    """The axes to draw on, and whether we made them.

    Our own figures lay themselves out (`constrained`), and are closed when drawing fails: a notebook would
    show the empty frame below the error.
    """
    if ax is not None:
        yield ax, False
        return
    figure, made = plt.subplots(figsize=figsize, dpi=dpi, layout="constrained")
    try:
        yield made, True
    except BaseException:
        plt.close(figure)
        raise


def legend_place(loc: str | int | None) -> tuple[str, str, str] | str | int | None:
    """Read a legend position.

    Parameters
    ----------
    loc : str, int or None
        `None` or `"none"`: no legend. A position of matplotlib's (`"best"`, `"right"`, a number), or
        `"<upper|top|center|lower|bottom> <left|center|right> [in|out]"`. Without a horizontal word,
        `right` is taken for upper, top and center, `left` for lower and bottom.

    Returns
    -------
    None, str, int or tuple
        No legend; matplotlib's own position; or vertical, horizontal and `"in"` or `"out"`.

    Raises
    ------
    InvalidOptionError
        If a word is unknown, there are too many, or the middle of the axes is asked for outside of them.
    """
    if loc is None or (isinstance(loc, str) and loc.strip().lower() == "none"):
        return None
    if isinstance(loc, int) and not isinstance(loc, bool):
        if not 0 <= loc <= 10:
            raise InvalidOptionError(f"Invalid legend position {loc}: matplotlib has the numbers 0 to 10.")
        return loc
    if not isinstance(loc, str):
        raise InvalidTypeError(
            f"Expected the legend position to be a `str` or `None`, found `{type(loc).__name__}`."
        )
    words = loc.lower().split()
    if words in (["best"], ["right"]):
        return words[0]
    usage = "Write '<upper|top|center|lower|bottom> <left|center|right> [in|out]', such as 'upper right out'."
    if not words or words[0] not in _VERTICAL:
        raise InvalidOptionError(
            f"Invalid legend position {loc!r}: {' '.join(words[:1])!r} is not vertical. {usage}"
        )
    vertical = _VERTICAL[words[0]]
    if len(words) == 1:
        return vertical, "left" if vertical == "lower" else "right", "in"
    if words[1] not in _HORIZONTAL:
        raise InvalidOptionError(f"Invalid legend position {loc!r}: {words[1]!r} is not horizontal. {usage}")
    if len(words) > 3:
        raise InvalidOptionError(
            f"Invalid legend position {loc!r}. Expected only 1 additional modifier ('in' or 'out'), "
            f"found {words[2:]!r}."
        )
    modifier = words[2] if len(words) == 3 else "in"
    if modifier not in _MODIFIERS:
        raise InvalidOptionError(f"Invalid modifier {modifier!r} in {loc!r}. Valid ones are 'in' and 'out'.")
    if (vertical, words[1], modifier) == ("center", "center", "out"):
        raise InvalidOptionError(
            f"Invalid legend position {loc!r}: the center can not be outside the axes. {usage}"
        )
    return vertical, words[1], modifier


def place_legend(ax: Axes, loc: Any, handles: Sequence[Any], **kwargs: Any) -> Legend | None:
    """Draw a legend at a position of :func:`legend_place`; `None` if there is to be none.

    Outside places keep clear of tick labels, axis labels and title, whatever their size. The "best" place of
    many names is outside: inside they would cover what they explain.
    """
    place: Any = legend_place(loc)
    if place is None or not handles:
        return None
    if place in ("best", 0) and len(handles) > MANY:
        place = ("upper", "right", "out")
        kwargs = {"ncols": 1 + (len(handles) - 1) // LEGEND_ROWS, **kwargs}
    if not isinstance(place, tuple):
        return ax.legend(handles=handles, loc=place, **kwargs)
    vertical, horizontal, modifier = place
    if modifier == "in":
        name: Any = "center" if vertical == horizontal else f"{vertical} {horizontal}"
        return ax.legend(handles=handles, loc=name, **kwargs)
    # The legend hangs on the outer edge of whatever the axes carry there. The distance is in inches, not in
    # parts of the axes: making room for the legend will shrink these.
    left, low, right, high = _overhang(ax)
    if horizontal == "center":
        anchor, shift = (0.5, float(vertical == "upper")), (0.0, high if vertical == "upper" else -low)
        name = "lower center" if vertical == "upper" else "upper center"
    else:
        anchor = (float(horizontal == "right"), {"upper": 1.0, "center": 0.5, "lower": 0.0}[vertical])
        shift = (right if horizontal == "right" else -left, 0.0)
        name = f"{vertical} {'left' if horizontal == 'right' else 'right'}"
    place = ax.transAxes + ScaledTranslation(*shift, root_figure(ax).dpi_scale_trans)
    return ax.legend(
        handles=handles, loc=name, bbox_to_anchor=anchor, bbox_transform=place, borderaxespad=0.3, **kwargs
    )


def legend_of_groups(figure: Figure, groups: Mapping[str, Mapping[Any, str]], fontsize: float) -> None:
    """One legend beside the figure for the colours of several columns, each under its name.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        With a constrained layout, which makes room.
    groups : mapping
        Colour by category, by name of the column; without categories it is left out.
    fontsize : float
        In points.
    """
    handles: list[Patch] = []
    headings: list[int] = []
    for name, colors in groups.items():
        if colors:
            headings.append(len(handles))
            handles.append(Patch(alpha=0, label=name))
            handles += [Patch(facecolor=color, label=str(c)) for c, color in colors.items()]
    if not handles:
        return
    rows = max(LEGEND_ROWS, int(figure.get_figheight() * 72 / (1.7 * fontsize)))
    legend = figure.legend(
        handles=handles, loc="outside right upper", fontsize=fontsize, frameon=False,
        ncols=1 + (len(handles) - 1) // rows,
    )  # fmt: skip
    for at in headings:
        legend.get_texts()[at].set_fontweight("bold")


def _overhang(ax: Axes) -> tuple[float, float, float, float]:
    """How far labels, ticks and title stick out to the left, bottom, right and top, in inches."""
    figure = root_figure(ax)
    frame = ax.get_window_extent()
    box = ax.get_tightbbox(figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None)
    if box is None:
        return 0.0, 0.0, 0.0, 0.0
    pixels = (frame.x0 - box.x0, frame.y0 - box.y0, box.x1 - frame.x1, box.y1 - frame.y1)
    left, low, right, high = (max(0.0, float(p)) / figure.dpi for p in pixels)
    return left, low, right, high


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: float | None = None) -> Path:
    """Write a figure, cropped to its content and transparent, unless its style has a dark background.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to save.
    path : str or path
        Taken as given; missing folders are made; `.png` is added unless it ends in a format that
        matplotlib can write.
    dpi : float, optional
        Dots per inch. Default: those of the figure.

    Returns
    -------
    pathlib.Path
        Where it was written.
    """
    if isinstance(path, bool) or not isinstance(path, str | os.PathLike):
        raise InvalidTypeError(
            f"Expected `save` to be a path, found `{type(path).__name__}`. Give a file name."
        )
    target = Path(path).expanduser()
    if target.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
        target = target.with_name(target.name + ".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    # White text on nothing is lost on the white page that most files end up on.
    plain = min(to_rgb(figure.get_facecolor())) > 0.5
    figure.savefig(target, bbox_inches="tight", transparent=plain, dpi="figure" if dpi is None else dpi)
    return target


@contextmanager
def known_keywords(figure: str) -> Iterator[None]:
    """Keywords that matplotlib does not know are the caller's mistake, and said so.

    Raises
    ------
    InvalidTypeError
    """
    try:
        yield
    except (AttributeError, TypeError) as err:
        if "unexpected keyword" not in str(err):
            raise
        raise InvalidTypeError(f"{figure} has a keyword that matplotlib does not know: {err}") from None


def turn_labels(ax: Axes, degrees: float) -> None:
    """Turn the names below the axes; slanted ones end at their tick."""
    slanted = degrees % 90 != 0
    for label in ax.get_xticklabels():
        label.set(rotation=degrees, rotation_mode="anchor" if slanted else "default")
        label.set_horizontalalignment("center" if not slanted else "right" if degrees % 180 < 90 else "left")


def is_interactive() -> bool:
    """Whether somebody sits in front of this session: a prompt, a notebook, or matplotlib told so."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules or mpl.is_interactive()


def is_shown(save: Any, show: bool | None, *, ours: bool = True) -> bool:
    """Whether a figure is to be shown, see :func:`finish`; a notebook would print what is returned then."""
    return (ours and save is None and is_interactive()) if show is None else bool(show)


def finish(
    ax: Axes,
    *,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    dpi: float | None = None,
    ours: bool = True,
) -> None:
    """Save and show a finished figure.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Of the figure.
    save : path, optional
        See :func:`save_figure`.
    show : bool, optional
        `None`: only in an interactive session, only when nothing is saved, and only a figure that we made.
    dpi : float, optional
        For `save`.
    ours : bool, default True
        Whether we made the figure.
    """
    if save is not None:
        save_figure(root_figure(ax), save, dpi)
    if is_shown(save, show, ours=ours) and mpl.get_backend().lower() not in _FILE_BACKENDS:
        plt.show()


def as_categorical(values: pd.Series) -> pd.Categorical | None:
    """The column as a categorical if its values are names, `None` if they are numbers."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical(values)
    if pd.api.types.is_bool_dtype(values.dtype) or not pd.api.types.is_numeric_dtype(values.dtype):
        return pd.Categorical(values.astype("string").where(values.notna()))
    return None
