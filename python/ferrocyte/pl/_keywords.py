"""Keywords of the figures that other packages draw under the same names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ferrocyte._errors import InvalidTypeError, warn_user

__all__ = ["CELL_KEYWORDS", "FRAME_KEYWORDS", "cell_style", "sort_keywords"]

# How points of cells look, and the frame around them, on every figure of an embedding.
CELL_KEYWORDS = (
    "layer", "use_raw", "size", "s", "alpha", "palette", "groups", "vmin", "vmax", "perc", "sort_order",
    "na_color", "cmap", "color_map",
    "legend_loc", "legend_fontsize", "legend_fontweight", "legend_fontoutline", "colorbar", "marker",
)  # fmt: skip
FRAME_KEYWORDS = ("frameon", "xlabel", "ylabel", "fontsize", "xlim", "ylim")

# Understood, because scripts pass them, but with nothing to steer here: name and its usual default.
NO_EFFECT: dict[str, Any] = {
    "vkey": None, "recompute": None, "X": None, "V": None, "X_grid": None, "V_grid": None,
    "principal_curve": False, "projection": "2d", "ncols": None, "nrows": None, "wspace": None,
    "hspace": None,
    "neighbors_key": None, "edges": False, "edges_width": 0.1, "edges_color": "grey", "arrows": False,
    "arrows_kwds": None, "add_outline": False, "outline_width": None, "outline_color": None, "mask_obs": None,
    "gene_symbols": None, "na_in_legend": True, "scale_factor": None, "return_fig": None,
    "legend_align_text": None,
    "right_margin": None, "left_margin": None, "colorbar_loc": "right", "rescale_color": None,
    "color_gradients": None, "add_text": None, "vcenter": None, "norm": None, "zorder": None,
    "rasterized": None,
    "aspect": "auto", "add_margin": None,
}  # fmt: skip

_warned: set[str] = set()


def sort_keywords(given: Mapping[str, Any], known: Iterable[str], figure: str) -> dict[str, Any]:
    """Keep the keywords that steer something; refuse those nobody knows.

    Parameters
    ----------
    given : mapping
        What the caller passed on.
    known : iterable of str
        What the figure understands.
    figure : str
        Its name, for the message.

    Returns
    -------
    dict
        The part of `given` that is in `known`. A keyword that exists elsewhere but has nothing to steer
        here is dropped, with one warning per session when it is set to something other than its default.

    Raises
    ------
    InvalidTypeError
        For any other keyword; names the nearest ones.
    """
    known = set(known)
    kept = {}
    for name, value in given.items():
        if name in known:
            kept[name] = value
        elif name in NO_EFFECT:
            default = NO_EFFECT[name]
            same = value is default or (isinstance(value, bool | str | int | float) and value == default)
            if not same and name not in _warned:
                _warned.add(name)
                warn_user(f"`{name}` has no effect on {figure}.")
        else:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
            raise InvalidTypeError(
                f"{figure} has no keyword {name!r}.{hint} It has: {', '.join(sorted(known))}."
            )
    return kept


def cell_style(options: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """What of `options` is about points of cells, under one name for each.

    `s` is `size` and `color_map` is `cmap`; what is `None` falls to `defaults`, except `legend_loc`, for
    which it means that there is to be no legend.
    """
    style = {name: options[name] for name in CELL_KEYWORDS if options.get(name) is not None}
    for short, name in (("s", "size"), ("color_map", "cmap")):
        if short in style:
            style.setdefault(name, style[short])
            del style[short]
    if "legend_loc" in options:
        style["legend_loc"] = options["legend_loc"]
    return {**defaults, **style}
