"""Squares of numbers, for matrices of states and of Schur vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, Normalize, to_hex
from numpy.typing import ArrayLike, NDArray

from ferrocyte._colors import text_color
from ferrocyte._errors import InvalidOptionError, suggest
from ferrocyte.pl._common import root_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage
    from matplotlib.text import Text

__all__ = ["add_bar", "as_colormap", "draw_squares", "write_numbers"]


def as_colormap(cmap: str | Colormap) -> Colormap:
    """A colour map by name.

    Raises
    ------
    InvalidOptionError
        If matplotlib has none of that name.
    """
    if not isinstance(cmap, str):
        return cmap
    if cmap not in mpl.colormaps:
        raise InvalidOptionError(
            f"Invalid option `cmap={cmap!r}`: matplotlib has no colour map of that name."
            f"{suggest(cmap, mpl.colormaps)}"
        )
    return mpl.colormaps[cmap]


def draw_squares(
    ax: Axes, values: ArrayLike, norm: Normalize, cmap: Colormap, *, top: float = -0.5, **kwargs: Any
) -> AxesImage:
    """One square per value, whose upper edge is at `top`; NaN stays empty."""
    numbers: NDArray[np.float64] = np.atleast_2d(np.asarray(values, dtype=np.float64))
    n_rows, n_columns = numbers.shape
    extent = (-0.5, n_columns - 0.5, top + n_rows, top)
    look: dict[str, Any] = {"interpolation": "nearest", "aspect": "equal", **kwargs}
    return ax.imshow(np.ma.masked_invalid(numbers), norm=norm, cmap=cmap, extent=extent, **look)


def write_numbers(
    ax: Axes, image: AxesImage, text_kwargs: Mapping[str, Any], *, fmt: str = ".2f"
) -> list[Text]:
    """The values of squares into them, black or white, as large as they allow."""
    values: Any = np.ma.masked_invalid(np.ma.asarray(image.get_array()))
    shades: Any = image.cmap(image.norm(values))
    top = image.get_extent()[3]
    ax.apply_aspect()
    inches = ax.get_window_extent().height / root_figure(ax).dpi / abs(np.diff(ax.get_ylim())[0])
    look: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "fontsize": float(np.clip(inches * 72 * 0.28, 3, 12)),
        **text_kwargs,
    }
    texts = []
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is np.ma.masked:
                continue
            number = f"{value:{fmt}}"
            if float(number) == 0:
                number = number.lstrip("-")
            color = text_color(to_hex(shades[i, j]))
            texts.append(ax.text(j, top + 0.5 + i, number, **{"color": color, **look}))
    return texts


def add_bar(ax: Axes, image: AxesImage) -> Colorbar:
    """A thin colour bar of the height of the squares."""
    bar = root_figure(ax).colorbar(image, ax=ax, pad=0.02, fraction=0.046, shrink=0.8)
    bar.outline.set_visible(False)
    return bar
