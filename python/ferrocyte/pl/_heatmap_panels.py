"""Heatmaps of trends: strips above, trees and names beside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ferrocyte.pl._common import category_colors, finish, legend_of_groups
from ferrocyte.pl._fits import Fits
from ferrocyte.pl._heatmap import as_colormap
from ferrocyte.pl._strips import Along, draw_strip
from ferrocyte.pl._trees import draw_tree, grow_tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Look", "Strips", "by_gene", "by_lineage", "closed_on_errors"]

FATE_CMAP = "magma"
Rows = Mapping[str, Mapping[str | None, tuple[NDArray[np.float64], NDArray[np.float64]]]]


class Look(NamedTuple):
    """How a heatmap looks."""

    cmap: Any
    fontsize: float | None
    xlabel: str
    title: str | None
    cbar: bool
    figsize: tuple[float, float] | None
    dpi: float | None


class Strips:
    """What is drawn above the trends of a lineage."""

    def __init__(
        self, adata: AnnData, time_key: str, backward: bool, keys: Sequence[str], with_fates: bool
    ) -> None:
        self._adata, self._keys, self._fates = adata, list(keys), with_fates
        self._along = Along(adata, time_key, backward)
        for key in self._keys:  # what is not there is said before anything is drawn
            self._along.covariate(np.array([0.0, 1.0]), None, key)

    def names(self, lineage: str | None) -> list[str]:
        """Labels, from top to bottom; there is no fate probability without a lineage."""
        return [*(["fate probability"] if self._fates and lineage is not None else []), *self._keys]

    def draw(self, ax: Axes, name: str, x: NDArray[np.float64], lineage: str | None) -> dict[Any, str]:
        """Draw one; returns the colours of categories, for a legend."""
        if name == "fate probability" and lineage is not None and name not in self._keys:
            values: Any = self._along.fates(x, lineage)
            draw_strip(ax, x, values, cmap=FATE_CMAP, limits=(0.0, 1.0), label=name)
            return {}
        values = self._along.covariate(x, lineage, name)
        if not isinstance(values, pd.Categorical):
            draw_strip(ax, x, values, label=name)
            return {}
        colors = category_colors(self._adata, name, list(values.categories))
        draw_strip(ax, x, values, colors=colors, label=name)
        return {c: colors[c] for c in values.categories if (values == c).any()}


@contextmanager
def closed_on_errors(figures: list[Figure]) -> Iterator[None]:
    """Figures that are made before another fails would show up empty-handed."""
    try:
        yield
    except BaseException:
        for figure in figures:
            plt.close(figure)
        raise


def by_lineage(
    figures: list[Figure],
    fits: Fits,
    strips: Strips,
    look: Look,
    lineage: str | None,
    table: pd.DataFrame,
    *,
    with_tree: bool,
    all_names: bool,
    scale: bool,
    save: str | os.PathLike[str] | None,
    show: bool | None,
) -> None:
    """One figure: genes are rows; appended to `figures`."""
    names = strips.names(lineage)
    n, size = len(table), look.fontsize or 8.0
    height = float(np.clip(0.19 * n, 2.6, 9.0)) if not all_names else max(2.6, 0.0165 * size * n)
    inches = look.figsize or (6.6 + 0.9 * with_tree, height + 0.8 + 0.24 * len(names))
    tree = grow_tree(table.to_numpy())[0] if with_tree else None
    figure, grid = plt.subplots(
        1 + len(names), 2 if tree is not None else 1, figsize=inches, dpi=look.dpi, squeeze=False,
        layout="constrained",
        gridspec_kw={
            "height_ratios": [*(0.2 for _ in names), inches[1] - 0.8 - 0.24 * len(names)],
            "width_ratios": [1, 8] if tree is not None else [1],
        },
    )  # fmt: skip
    figures.append(figure)
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
    x, values = _even(table.columns.to_numpy(dtype=np.float64), table.to_numpy(dtype=np.float64))
    ax = grid[-1, -1]
    image = ax.imshow(
        values, aspect="auto", interpolation="nearest", cmap=as_colormap(look.cmap),
        extent=(x[0], x[-1], n - 0.5, -0.5),
    )  # fmt: skip
    _name_rows(ax, [str(g) for g in table.index], size, inches[1] - 0.8 - 0.24 * len(names), all_names)
    ax.set_xlabel(look.xlabel)
    shown = {}
    for row, name in enumerate(names):
        shown[name] = strips.draw(grid[row, -1], name, x, lineage)
        grid[row, -1].tick_params(labelsize=size)
    legend_of_groups(figure, shown, size)
    if tree is not None:
        for spare in grid[:-1, 0]:
            spare.remove()
        draw_tree(grid[-1, 0], tree, side="left")
        ax.yaxis.tick_right()
        for row in range(len(names)):
            grid[row, -1].yaxis.tick_right()
            grid[row, -1].tick_params(length=0)
    grid[0, -1].set_title(look.title if look.title is not None else lineage or "")
    if look.cbar:
        _bar(figure, image, list(grid[:, -1]), "scaled expression" if scale else "expression")
    finish(ax, save=save, show=show, dpi=look.dpi)


def by_gene(
    fits: Fits,
    strips: Strips,
    look: Look,
    panels: Rows,
    *,
    scale: bool,
    height: float,
    save: str | os.PathLike[str] | None,
    show: bool | None,
) -> Figure:
    """One figure: a panel for each gene, lineages are rows; strips are panels above."""
    lineages = [k for k in fits.lineages if any(k in row for row in panels.values())]
    extra = list(dict.fromkeys(name for k in lineages for name in strips.names(k)))
    points = {k: _even_points(next(row[k][0] for row in panels.values() if k in row)) for k in lineages}
    count = len(extra) + len(panels)
    longest = max(len(str(name)) for name in (*lineages, *extra, *panels))
    inches = look.figsize or (
        6.4 + 0.07 * longest + 1.2 * bool(extra),
        0.7 + count * (height * len(lineages) + 0.12),
    )
    figure, grid = plt.subplots(
        count, 1, figsize=inches, dpi=look.dpi, squeeze=False, layout="constrained", sharex=True
    )
    with closed_on_errors([figure]):
        axes = list(grid.ravel())
        cmap = as_colormap(look.cmap)
        shown: dict[str, dict[Any, str]] = {name: {} for name in extra}
        for ax, name in zip(axes, extra, strict=False):
            inner = {k: ax.inset_axes(_slot(i, len(lineages))) for i, k in enumerate(lineages)}
            for k, row in inner.items():
                shown[name].update(strips.draw(row, name, points[k], k))
                row.axis("off")
            _share_time(list(inner.values()), points)
            _dress_gene(ax, name, lineages, look)
        legend_of_groups(figure, shown, look.fontsize or 8.0)
        images = []
        for ax, (name, rows) in zip(axes[len(extra) :], panels.items(), strict=True):
            low = min(float(v.min()) for _, v in rows.values())
            high = max(float(v.max()) for _, v in rows.values())
            norm = Normalize(0.0, 1.0) if scale else Normalize(low, high)
            for i, k in enumerate(lineages):
                if k in rows:
                    x, values = _even(rows[k][0], rows[k][1][None, :])
                    images.append(
                        ax.imshow(
                            values, aspect="auto", interpolation="nearest", cmap=cmap, norm=norm,
                            extent=(x[0], x[-1], i + 0.46, i - 0.46),
                        )
                    )  # fmt: skip
            _dress_gene(ax, name, lineages, look)
            if look.cbar and not scale:
                _bar(figure, images[-1], [ax], "")
        low = min(float(x[0]) for x in points.values())
        high = max(float(x[-1]) for x in points.values())
        for ax in axes:
            ax.set_xlim(low, high)
        axes[-1].set_xlabel(look.xlabel)
        if look.title is not None:
            figure.suptitle(look.title)
        if look.cbar and scale:
            _bar(figure, images[-1], axes, "scaled expression")
        finish(axes[0], save=save, show=show, dpi=look.dpi)
    return figure


def _even_points(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linspace(x[0], x[-1], len(x))


def _even(
    x: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values at evenly spaced points, as pixels are, also if test points are not."""
    even = _even_points(x)
    if np.allclose(even, x):
        return even, values
    return even, np.stack([np.interp(even, x, row) for row in values])


def _slot(row: int, n: int) -> tuple[float, float, float, float]:
    return 0.0, 1.0 - (row + 0.96) / n, 1.0, 0.92 / n


def _share_time(axes: Sequence[Axes], points: Mapping[Any, NDArray[np.float64]]) -> None:
    low, high = min(x[0] for x in points.values()), max(x[-1] for x in points.values())
    for ax in axes:
        ax.set_xlim(low, high)


def _dress_gene(ax: Axes, name: str, lineages: Sequence[str | None], look: Look) -> None:
    n, size = len(lineages), look.fontsize or 8.0
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_yticks(range(n) if lineages != [None] else [], [str(k) for k in lineages if k is not None])
    ax.tick_params(length=0, labelsize=size)
    ax.set_ylabel(name, fontsize=size + 1, rotation=0, ha="right", va="center", labelpad=6)
    ax.spines[:].set_visible(False)


def _name_rows(ax: Axes, names: Sequence[str], size: float, inches: float, every: bool) -> None:
    """As many names as fit beside each other."""
    step = 1 if every else max(1, int(np.ceil(len(names) * 1.15 * size / 72 / max(inches, 0.1))))
    shown = range(0, len(names), step)
    ax.set_yticks(list(shown), [names[i] for i in shown], fontsize=size)
    ax.tick_params(axis="y", length=2 if step > 1 else 0)


def _bar(figure: Figure, image: Any, axes: Sequence[Axes], label: str) -> None:
    bar = figure.colorbar(image, ax=list(axes), pad=0.02, fraction=0.05, shrink=0.8, aspect=25)
    bar.outline.set_visible(False)
    bar.set_label(label)
