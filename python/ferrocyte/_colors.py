"""Colours of lineages and states: the default ones, their means, and shades of one.

Pure functions on matplotlib's colour specifications. matplotlib itself is imported only for what is not
already a hex string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ferrocyte._errors import InvalidDataError, InvalidOptionError

__all__ = [
    "GREY",
    "MIXTURE",
    "category_palette",
    "default_colors",
    "mean_color",
    "shades",
    "text_color",
    "to_hex",
]

# What scanpy draws categories in (after d3's category20), so that a lineage and a cluster look alike; files
# written elsewhere hold the same colours.
_FIRST = (
    "#1f77b4", "#ff7f0e", "#279e68", "#d62728", "#aa40fc", "#8c564b", "#e377c2", "#b5bd61", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#dbdb8d", "#9edae5",
    "#ad494a", "#8c6d31",
)  # fmt: skip
# Then matplotlib's qualitative maps (ColorBrewer); None: all colours of the map.
_THEN: tuple[tuple[str, tuple[int, ...] | None], ...] = (
    ("Accent", None), ("Dark2", (1, 2, 4, 5, 6)), ("Set1", None), ("Set2", None), ("Set3", None),
)  # fmt: skip
_HEX = re.compile(r"#[0-9a-fA-F]{6}")

# Okabe & Ito, "Color Universal Design" (2008), without black and with the yellow darkened: on white,
# the original yellow can not be seen in small points.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B59F00", "#7F7F7F")
# Paul Tol, "Colour schemes" (SRON/EPS/TN/09-002, 2021), discrete rainbows of 14 and of 23: the order of
# hue is also one of lightness and weight, which is what remains to a colour-blind reader of many categories.
_TOL_14 = (
    "#D1BBD7", "#AE76A3", "#882E72", "#1965B0", "#5289C7", "#7BAFDE", "#4EB265", "#90C987", "#CAE0AB",
    "#F7F056", "#F6C141", "#F1932D", "#E8601C", "#DC050C",
)  # fmt: skip
_TOL_23 = (
    "#D9CCE3", "#CAACCB", "#BA8DB4", "#AA6F9E", "#994F88", "#882E72", "#1965B0", "#437DBF", "#6195CF",
    "#7BAFDE", "#4EB265", "#90C987", "#CAE0AB", "#F7F056", "#F7CB45", "#F4A736", "#EE8026", "#E65518",
    "#DC050C", "#A5170E", "#72190E", "#42150A", "#777777",
)  # fmt: skip

GREY = "#808080"
"""Of what belongs to no lineage or to all."""
MIXTURE = "#000000"
"""Of values picked from several lineages."""


def default_colors(n: int) -> list[str]:
    """Colours of `n` categories that have none.

    Parameters
    ----------
    n : int
        Number of categories, at most 62.

    Returns
    -------
    list of str
        `n` different hex colours, always in the same order.

    Raises
    ------
    InvalidOptionError
        If there are not so many.
    """
    if n <= len(_FIRST):
        return list(_FIRST[:n])
    import matplotlib as mpl

    colors = list(_FIRST)
    for name, picks in _THEN:
        cmap = mpl.colormaps[name]
        listed = [to_hex(cmap(i)) for i in range(cmap.N)]
        colors += listed if picks is None else [listed[i] for i in picks]
    if n > len(colors):
        raise InvalidOptionError(
            f"Expected at most {len(colors)} categories without colors, found {n}. Give the colors yourself."
        )
    return colors[:n]


def category_palette(n: int) -> list[str]:
    """Colours for `n` categories that stay apart for readers who are colour-blind.

    Parameters
    ----------
    n : int
        Number of categories, at least 0.

    Returns
    -------
    list of str
        `n` hex colours: eight of Okabe and Ito (2008); up to 23 spread over Tol's discrete rainbows;
        above that samples of matplotlib's `turbo`, where neighbours are no longer easy to tell apart.
    """
    if n <= len(_OKABE_ITO):
        return [c.lower() for c in _OKABE_ITO[:n]]
    for rainbow in (_TOL_14, _TOL_23):
        if n <= len(rainbow):
            picks = np.linspace(0, len(rainbow) - 1, n).round().astype(int)
            return [rainbow[i].lower() for i in picks]
    import matplotlib as mpl

    return [to_hex(c) for c in mpl.colormaps["turbo"](np.linspace(0.02, 0.98, n))]


def to_hex(color: Any) -> str:
    """A colour as a lower-case hex string without opacity.

    Parameters
    ----------
    color : matplotlib colour
        A name, a hex string, an RGB or RGBA tuple in [0, 1].

    Returns
    -------
    str

    Raises
    ------
    InvalidDataError
        Says ``is not a valid color``.
    """
    if isinstance(color, str) and _HEX.fullmatch(color):
        return str(color).lower()
    import matplotlib.colors as mcolors

    if not mcolors.is_color_like(color):
        raise InvalidDataError(
            f"Value {color!r} is not a valid color. Give one that matplotlib knows: a name such as 'red', "
            "'#1f77b4' or three numbers from 0 to 1."
        )
    return str(mcolors.to_hex(color))


def _hsv(color: str) -> Any:
    import matplotlib.colors as mcolors

    return mcolors.rgb_to_hsv(mcolors.to_rgb(color))


def _from_hsv(hsv: Any) -> str:
    import matplotlib.colors as mcolors

    return str(mcolors.to_hex(tuple(mcolors.hsv_to_rgb(hsv))))


def mean_color(colors: Iterable[str]) -> str:
    """The mean of hue, saturation and value, each by itself, as a hex string."""
    return _from_hsv(np.mean([_hsv(c) for c in colors], axis=0))


def shades(color: str, n: int) -> list[str]:
    """`n` colours around one, for states that share a name.

    Hue runs from 0.1 below to 0.1 above that of `color`, value from 0.3 below to 0.3 above, both cut at 0 and
    1, over `2 n` points of which every second is taken.

    Parameters
    ----------
    color : str
        Hex colour in the middle.
    n : int
        How many.

    Returns
    -------
    list of str
        `n` hex colours, from dark to bright.
    """
    hue, saturation, value = _hsv(color)
    hues = np.linspace(max(hue - 0.1, 0.0), min(hue + 0.1, 1.0), 2 * n)[::2]
    values = np.linspace(max(value - 0.3, 0.0), min(value + 0.3, 1.0), 2 * n)[::2]
    return [_from_hsv((h, saturation, v)) for h, v in zip(hues, values, strict=True)]


def text_color(background: str) -> str:
    """Black or white, whichever stands out more from a hex colour.

    The relative luminance of sRGB and the contrast ratio of WCAG 2 (1.4.3).
    """
    parts: Sequence[float] = [int(background[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # equal contrast to black and white where (L + 0.05)^2 = 1.05 * 0.05
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
