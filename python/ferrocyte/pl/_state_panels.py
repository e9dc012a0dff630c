"""Panels of :func:`ferrocyte.pl.plot_states`, one function each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from ferrocyte.pl._cells import (
    cell_values,
    default_color,
    draw_cells,
    draw_values,
    dress,
    labels_on_data,
    legend_of_categories,
    point_size,
)
from ferrocyte.pl._common import axes_width, category_colors, root_figure, shade
from ferrocyte.pl._keywords import cell_style

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["StatePanels", "blend"]

# Cells that carry the name of a state written on the data: the highest ones.
_LABELLED = 30
# Of a cell that makes a state, in square points.
_LEAST_AREA = 9.0


def blend(
    values: NDArray[np.float64], colors: Sequence[str], low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colour of each cell: that of its largest value, mixed with grey.

    Parameters
    ----------
    values : ndarray of float, shape (n_cells, n_states)
    colors : sequence of str
        Of the states.
    low, high : float
        Where the colour is grey and where it is full; linear in between.

    Returns
    -------
    colors : ndarray of float, shape (n_cells, 3)
        RGB in [0, 1].
    strength : ndarray of float, shape (n_cells,)
        In [0, 1].
    """
    top = values.argmax(axis=1)
    span = high - low if high > low else 1.0
    strength = np.clip((values.max(axis=1) - low) / span, 0.0, 1.0)
    full = np.array([to_rgb(c) for c in colors])[top]
    return strength[:, None] * full + (1 - strength[:, None]) * np.array(shade(0.85)), strength


@dataclass
class StatePanels:
    """One figure's data and style.

    Attributes
    ----------
    adata : AnnData
    table : pandas.DataFrame
        From :func:`ferrocyte.pl.states_frame`: coordinates or time, then states or values.
    shades : mapping
        Colour of each state.
    frame, options : mapping
        Keywords for the frame and for the cells.
    """

    adata: AnnData
    table: pd.DataFrame
    shades: Mapping[str, str]
    frame: Mapping[str, Any]
    options: dict[str, Any]

    @property
    def xy(self) -> NDArray[np.float64]:
        """Coordinates of the cells."""
        return self.table.iloc[:, :2].to_numpy(dtype=np.float64)

    def _style(self, *unused: str, **defaults: Any) -> dict[str, Any]:
        style = cell_style(self.options, **defaults)
        return {k: v for k, v in style.items() if k not in ("layer", "use_raw", "palette", *unused)}

    def _embed(self, ax: Axes, title: str, labels: Sequence[Text] = ()) -> None:
        frame = dict(self.frame)
        if frame["frameon"]:
            for label, column in zip(("xlabel", "ylabel"), self.table.columns, strict=False):
                frame[label] = str(column).upper() if frame[label] is None else frame[label]
        dress(ax, basis="", title=title, labels=labels, **frame)

    # On an embedding ----------------------------------------------------------------------------------

    def cells(self, ax: Axes, key: str) -> None:
        """Cells coloured by a key of the data."""
        style = cell_style(self.options, legend_loc="on data")
        for mine in ("groups", "vmin", "vmax", "perc", "palette"):  # meant for the states
            style.pop(mine, None)
        labels = draw_cells(ax, self.adata, self.xy, key, **style)
        self._embed(ax, key, labels)

    def states(self, ax: Axes, title: str, names: Sequence[str]) -> None:
        """Cells of states in colour, the others in grey."""
        values = pd.Categorical(self.table["state"]).set_categories(list(names))
        style = self._style("cmap", "vmin", "vmax", "perc", "sort_order", "colorbar", legend_loc="on data")
        area = point_size(len(self.table), ax)
        # Few cells make a state: they must stand out from all the others, however many these are.
        style.setdefault("size", np.where(values.codes >= 0, max(1.8 * area, _LEAST_AREA), area))
        if title == names[0]:
            style["legend_loc"] = None
        labels = draw_values(ax, self.xy, values, self.shades, what="the states", rim=0.4, **style)
        self._embed(ax, title, labels)

    def blended(self, ax: Axes, title: str) -> None:
        """All states in one panel, as :func:`blend`."""
        values = self.table.iloc[:, 2:].to_numpy(dtype=np.float64)
        style = self._style(
            "cmap", "groups", "na_color", "sort_order", "colorbar", "perc", legend_loc="on data"
        )
        finite = np.isfinite(values).all(axis=1)
        values = np.where(finite[:, None], values, 0.0)
        top = values[finite].max(axis=1) if finite.any() else np.zeros(1)
        low, high = (1 / values.shape[1] if values.shape[1] > 1 else 0.0), float(top.max())
        perc = self.options.get("perc")
        if perc is not None and len(perc) == 2:
            low, high = (float(p) for p in np.percentile(top, list(perc)))
        given = style.pop("vmin", None), style.pop("vmax", None)
        low, high = (b if a is None else float(a) for a, b in zip(given, (low, high), strict=True))
        colors, strength = blend(values, list(self.shades.values()), low, high)
        order = np.argsort(strength, kind="stable")
        loc = style.pop("legend_loc")
        words = [style.pop(f"legend_font{k}", None) for k in ("size", "weight", "outline")]
        size = style.pop("size", None)
        if size is not None and np.ndim(size):
            size = np.asarray(size, dtype=np.float64)[order]
        draw_values(ax, self.xy[order], None, colors[order], size=size, **style)
        labels: list[Text] = []
        if loc == "on data":
            n = min(_LABELLED, max(1, len(values) // 20))
            highest = np.argsort(-values, axis=0, kind="stable")[:n]
            spots = {name: self.xy[highest[:, j]] for j, name in enumerate(self.shades)}
            labels = labels_on_data(ax, spots, *words)
        else:
            legend_of_categories(ax, self.shades, loc, words[0], style.get("marker", "o"))
        self._embed(ax, title, labels)

    def values(self, ax: Axes, title: str, name: str) -> None:
        """One state along a colour map."""
        column = 2 + list(self.shades).index(name)
        values = self.table.iloc[:, column].to_numpy(dtype=np.float64)
        draw_values(ax, self.xy, values, **self._style("groups"))
        self._embed(ax, title)

    # Along time ---------------------------------------------------------------------------------------

    @property
    def time(self) -> NDArray[np.float64]:
        """Time of the cells."""
        return self.table.iloc[:, 0].to_numpy(dtype=np.float64)

    def values_in_time(self, axes: Sequence[Axes], titles: Sequence[str], color: Any) -> None:
        """One state per panel against time, with one legend for all."""
        key = default_color(self.adata) if color is None else color
        by_state = color is None and key not in self.adata.obs
        style = cell_style(self.options, alpha=0.8, legend_loc="right", colorbar=True)
        loc, bar = _beside(style.pop("legend_loc")), style.pop("colorbar")
        for j, (ax, title, name) in enumerate(zip(axes, titles, self.shades, strict=True)):
            xy = np.c_[self.time, self.table.iloc[:, 1 + j].to_numpy(dtype=np.float64)]
            paint = self.shades[name] if by_state else key
            draw_cells(ax, self.adata, xy, paint, legend_loc=None, colorbar=False, **style)
            self._axes(ax, title, ylabel="probability")
        if by_state or not isinstance(key, str):
            return
        values = cell_values(self.adata, key, style.get("layer"), style.get("use_raw"))
        several = len(axes) > 1
        if isinstance(values, pd.Categorical):
            colors = category_colors(self.adata, key, list(values.categories), style.get("palette"))
            shown = {c: colors[c] for c in values.categories if (values == c).any()}
            size = style.get("legend_fontsize")
            legend_of_categories(axes[-1], shown, loc, size, style.get("marker", "o"), shared=several)
        elif values is not None and bar:
            figure = root_figure(axes[0])
            scale = figure.colorbar(axes[-1].collections[-1], ax=list(axes), shrink=0.6, aspect=30, label=key)
            scale.outline.set_visible(False)
            if scale.solids is not None:
                scale.solids.set_alpha(1)

    def states_in_time(self, ax: Axes, title: str, color: Any) -> None:
        """One row of cells per state, from top to bottom; cells of no state are left out."""
        codes = pd.Categorical(self.table["state"]).codes
        inside = np.flatnonzero(codes >= 0)
        # The golden ratio fills a row evenly, whatever the number of cells, and the same way each time.
        offsets = (np.arange(len(inside)) * 0.6180339887498949) % 1.0 - 0.5
        xy = np.c_[self.time[inside], codes[inside] + 0.6 * offsets]
        if color is None:
            names = [str(s) for s in self.shades]
            values = pd.Categorical.from_codes(codes[inside], names)
            style = self._style("cmap", "vmin", "vmax", "perc", "sort_order", "colorbar")
            style["legend_loc"] = None  # the rows have their names
            style.setdefault("size", point_size(len(inside), ax))
            draw_values(ax, xy, values, self.shades, what="the states", rim=0.4, **style)
        else:
            style = cell_style(self.options, legend_loc="right")
            style["legend_loc"] = _beside(style["legend_loc"])
            draw_cells(ax, self.adata[inside], xy, color, **style)
        span = np.ptp(self.time) or 1.0
        ax.set_xlim(self.time.min() - 0.03 * span, self.time.max() + 0.03 * span)
        ax.set_yticks(range(len(self.shades)), list(self.shades))
        ax.set_ylim(len(self.shades) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        self._axes(ax, title, ylabel="")

    def _axes(self, ax: Axes, title: str, ylabel: str) -> None:
        frame = self.frame
        size = frame["fontsize"]
        ax.set_xlabel(
            str(self.table.columns[0]) if frame["xlabel"] is None else frame["xlabel"], fontsize=size
        )
        ax.set_ylabel(ylabel if frame["ylabel"] is None else frame["ylabel"], fontsize=size)
        ax.set_title(title, fontsize=float(np.clip(2.4 * axes_width(ax), 8, 12)) if size is None else size)
        if frame["xlim"] is not None:
            ax.set_xlim(frame["xlim"])
        if frame["ylim"] is not None:
            ax.set_ylim(frame["ylim"])
        for side in ("top", "right"):
            ax.spines[side].set_visible(frame["frameon"] is True)
        if frame["frameon"] is False:
            for side in ("left", "bottom"):
                ax.spines[side].set_visible(False)


def _beside(loc: Any) -> Any:
    """Along time there is no place on the data where all cells of a category are."""
    return "right" if loc == "on data" else loc
