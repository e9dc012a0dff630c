"""Panels of trends: one for each signal and lineage, or several trends in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ferrocyte.models import BaseModel, FittedModel, Signal
from ferrocyte.pl._fits import Fits

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_grid", "draw_together"]


def draw_grid(
    adata: AnnData,
    fits: Fits,
    look: Mapping[str, Any],
    frame: Mapping[str, Any],
    share: tuple[Any, Any],
    *,
    transpose: bool,
    as_title: bool,
    cbar: bool,
    percs: Mapping[str | None, Any],
    cmap: Any,
    obs_legend_loc: Any,
    **_: Any,
) -> Figure:
    """A panel for each signal and lineage."""
    from ferrocyte.pl._common import category_colors
    from ferrocyte.pl.model import plot_model

    models = fits.fitted()
    names, lineages = list(models), fits.lineages
    colors = fits.colors if cmap is None else category_colors(None, None, lineages, cmap)
    one_scale = len({repr(pair) for pair in percs.values()}) == 1
    shape = (len(lineages), len(names)) if transpose else (len(names), len(lineages))
    sharex = share[0] if share[0] is not None else "row" if transpose else "col"
    sharey = share[1] if share[1] is not None else "col" if transpose else "row"
    with _grid(shape, frame, sharex, sharey, (3.9, 2.8)) as (figure, grid):
        for i, name in enumerate(names):
            for j, lineage in enumerate(lineages):
                at = (j, i) if transpose else (i, j)
                ax, fitted = grid[at], models[name].get(lineage)
                signal = fits.signals[name]
                title, ylabel = _texts(name, lineage, signal, at, as_title=as_title, transpose=transpose)
                if fitted is None:
                    _draw_nothing(ax, title, ylabel)
                    continue
                plot_model(
                    _with_data(fitted, adata), ax=ax, cbar=cbar and (at[1] == shape[1] - 1 or not one_scale),
                    obs_legend_loc=_cells_legend(obs_legend_loc, 0, 1) if at == (0, shape[1] - 1) else None,
                    **{
                        "title": title, "ylabel": ylabel, "lineage_color": colors[lineage],
                        "perc": percs[lineage], **look,
                        "xlabel": look["xlabel"] if at[0] == shape[0] - 1 else None,
                    },
                )  # fmt: skip
        if one_scale:
            _same_colors(list(grid.ravel()))
    return figure


def _texts(
    name: str, lineage: str | None, signal: Signal, at: tuple[int, int], *, as_title: bool, transpose: bool
) -> tuple[str, str | None]:
    """Title and vertical label of a panel in a row and a column."""
    of = "" if lineage is None else lineage
    if as_title:
        return (f"{name} @ {of}" if of else name), signal.ylabel if at[1] == 0 else None
    if transpose:
        return (name if at[0] == 0 else ""), (of or signal.ylabel) if at[1] == 0 else None
    return (of if at[0] == 0 else ""), name if at[1] == 0 else None


def draw_together(
    adata: AnnData,
    fits: Fits,
    look: Mapping[str, Any],
    frame: Mapping[str, Any],
    share: tuple[Any, Any],
    *,
    transpose: bool,
    as_title: bool,
    cbar: bool,
    percs: Mapping[str | None, Any],
    cmap: Any,
    legend_loc: Any,
    obs_legend_loc: Any,
    ncols: int,
) -> Figure:
    """All lineages of a signal in one panel, or all signals of a lineage."""
    from matplotlib.lines import Line2D

    from ferrocyte.pl._common import LEGEND_ROWS, MANY, category_colors, place_legend
    from ferrocyte.pl.model import plot_model

    models = fits.fitted()
    panels: dict[Any, dict[Any, BaseModel]] = dict(models)
    colors: dict[Any, str] = dict(fits.colors)
    labels = {s.ylabel for s in fits.signals.values()}
    if transpose:
        panels = {k: {s: row[k] for s, row in models.items() if k in row} for k in fits.lineages}
        panels = {k: row for k, row in panels.items() if row}
        colors = category_colors(None, None, list(models))
        look = {**look, "hide_cells": True}
    if cmap is not None:
        colors = category_colors(None, None, list(colors), cmap)
    ylabel = labels.pop() if len(labels) == 1 else "value"
    columns = min(ncols, len(panels))
    shape = (-(-len(panels) // columns), columns)
    options: dict[str, Any] = {"ylabel": ylabel, **look}
    lines = {
        k: Line2D([], [], color=colors[k], lw=look["lw"], label=str(k))
        for k in dict.fromkeys(key for row in panels.values() for key in row if key is not None)
    }
    beside = legend_loc == "best" and len(lines) > MANY  # once for all panels: too many to be among trends
    with _grid(shape, frame, share[0] or False, share[1] or False, (4.6, 3.2)) as (figure, grid):
        axes = list(grid.ravel())
        for spare in axes[len(panels) :]:
            spare.remove()
        for i, (ax, (name, row)) in enumerate(zip(axes, panels.items(), strict=False)):
            title = "" if name is None else str(name)
            for at, (key, fitted) in enumerate(row.items()):
                hidden = {"hide_cells": True} if at else {}
                plot_model(
                    _with_data(fitted, adata), ax=ax, same_plot=True,
                    obs_legend_loc=None if at else _cells_legend(obs_legend_loc, i, columns),
                    **{
                        "title": title if as_title else "", "lineage_color": colors[key],
                        "perc": percs[name if transpose else key], **options, **hidden,
                    },
                )  # fmt: skip
            if not as_title and not transpose:
                ax.set_ylabel(title)
            if cbar and look["cell_color"] is not None:
                _bar(ax, str(look["cell_color"]))
            named = [lines[k] for k in row if k is not None]
            before = ax.get_legend()
            if not beside and (len(named) > 1 or transpose):
                place_legend(ax, legend_loc, named, fontsize="small")
                if before is not None and ax.get_legend() is not before:
                    ax.add_artist(before)
                    before.set_clip_on(False)  # else what lies outside has no place in the figure
        if beside:
            ncols = 1 + (len(lines) - 1) // LEGEND_ROWS
            figure.legend(
                handles=list(lines.values()), loc="outside right center", fontsize="small", ncols=ncols
            )
        _same_colors(axes[: len(panels)])
    return figure


def _cells_legend(place: Any, panel: int, columns: int) -> Any:
    """Where no place was asked for, once beside the first row: inside are trends and their legend."""
    if place != "best":
        return place
    return "upper right out" if panel == columns - 1 else None


def _grid(
    shape: tuple[int, int], frame: Mapping[str, Any], sharex: Any, sharey: Any, inches: tuple[float, float]
) -> Any:
    from contextlib import contextmanager

    import matplotlib.pyplot as plt

    from ferrocyte.pl._common import finish

    @contextmanager
    def made() -> Any:
        size = frame["figsize"] or (inches[0] * shape[1] + 0.8, inches[1] * shape[0] + 0.4)
        figure, grid = plt.subplots(
            *shape, figsize=size, dpi=frame["dpi"], sharex=sharex, sharey=sharey, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        figure.set_layout_engine("constrained", w_pad=0.08)  # between a colour bar's label and the next panel
        try:
            yield figure, grid
            if frame["suptitle"] is not None:
                figure.suptitle(frame["suptitle"])
            finish(grid[0, 0], save=frame["save"], show=frame["show"], dpi=frame["dpi"])
        except BaseException:
            plt.close(figure)
            raise

    return made()


def _with_data(model: BaseModel, adata: AnnData) -> BaseModel:
    """What was computed before does not know its data, by which cells may be coloured."""
    if model.adata is not None or not isinstance(model, FittedModel):
        return model
    out = model.copy()
    out._adata = adata
    return out


def _draw_nothing(ax: Axes, title: str, ylabel: str | None) -> None:
    ax.set(title=title, ylabel=ylabel or "")
    ax.text(0.5, 0.5, "no fit", ha="center", va="center", color="0.5", transform=ax.transAxes)


def _colored(ax: Axes) -> list[Any]:
    """The cells of a panel, if they have colours along a map."""
    return [c for c in ax.collections if c.get_array() is not None and np.size(c.get_offsets()) > 2]


def _same_colors(axes: Sequence[Axes]) -> None:
    """One colour means the same in all panels."""
    points = [c for ax in axes for c in _colored(ax)]
    limits = [c.get_clim() for c in points]
    if limits:
        low, high = min(a for a, _ in limits), max(b for _, b in limits)
        for c in points:
            c.set_clim(low, high)
            bar = c.colorbar
            if bar is not None and bar.solids is not None:
                bar.solids.set_alpha(1)  # which a change of limits takes back


def _bar(ax: Axes, label: str) -> None:
    from ferrocyte.pl._common import root_figure

    for points in _colored(ax)[:1]:
        bar = root_figure(ax).colorbar(points, ax=ax, fraction=0.04, pad=0.02, label=label)
        if bar.solids is not None:
            bar.solids.set_alpha(1)
