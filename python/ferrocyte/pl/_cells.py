"""Cells as points of an embedding, coloured by a key: the background of stream, grid and walk figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.patheffects as patheffects
import numpy as np
import pandas as pd
from matplotlib.colors import is_color_like
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
)
from ferrocyte._sparse import is_sparse
from ferrocyte.pl._common import (
    LEGEND_ROWS,
    as_categorical,
    axes_width,
    category_colors,
    faint,
    paper,
    place_legend,
    root_figure,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = [
    "add_colorbar",
    "cell_values",
    "default_color",
    "draw_cells",
    "draw_values",
    "dress",
    "gene_expression",
    "labels_on_data",
    "legend_of_categories",
    "point_size",
    "spread_labels",
]


def default_color(adata: AnnData) -> str:
    """What cells are coloured by when nobody says: the usual names of a clustering, else grey."""
    for key in ("clusters", "leiden", "louvain"):
        if key in adata.obs:
            return key
    return faint()


def point_size(n_cells: int, ax: Axes, *, large: bool = False) -> float:
    """Area of a point in square points such that all cells together cover a fixed share of the axes."""
    box = ax.get_window_extent()
    dpi = root_figure(ax).dpi
    square_inches = box.width * box.height / dpi**2
    share, least, most = (0.45, 6.0, 160.0) if large else (0.22, 2.0, 60.0)
    area = share * square_inches * 72**2 / max(n_cells, 1)
    return float(np.clip(area, least, most * min(1.0, square_inches / 20)))


def cell_values(
    adata: AnnData, color: str, layer: str | None, use_raw: bool | None
) -> pd.Categorical | NDArray[np.float64] | None:
    """Values of an `obs` column or a gene; None if `color` is a colour."""
    if color in adata.obs:
        names = as_categorical(adata.obs[color])
        return names if names is not None else np.asarray(adata.obs[color], dtype=np.float64)
    vector = _gene_vector(adata, color, layer, use_raw)
    if vector is not None:
        return vector
    if is_color_like(color):
        return None
    raise MissingDataError(
        f"Unable to find `color={color!r}`: no such column in `adata.obs`, no such gene, and no "
        f"colour of that name.{suggest(color, adata.obs.columns)}"
    )


def _gene_vector(
    adata: AnnData, gene: str, layer: str | None, use_raw: bool | None
) -> NDArray[np.float64] | None:
    if layer is not None and layer not in adata.layers:
        raise MissingDataError(
            f"Unable to find `adata.layers[{layer!r}]`.{suggest(layer, adata.layers.keys())}"
        )
    if use_raw and adata.raw is None:
        raise MissingDataError("Unable to find `adata.raw`. Set it or pass `use_raw=False`.")
    genes = adata.raw.var_names if use_raw else adata.var_names
    if gene not in genes:
        return None
    # By position: a column of `obs` may have the same name.
    place = genes.get_loc(gene)
    if not isinstance(place, int):
        raise InvalidDataError(
            f"Expected gene names to be unique, found {gene!r} more than once. "
            "Call `.var_names_make_unique()`."
        )
    part = adata.raw[:, [place]] if use_raw else adata[:, [place]]
    column = part.X if layer is None or use_raw else part.layers[layer]
    return np.asarray(column.toarray() if is_sparse(column) else column, dtype=np.float64).ravel()


def gene_expression(
    adata: AnnData, gene: str, layer: str | None = None, use_raw: bool | None = None
) -> NDArray[np.float64]:
    """Expression of one gene in `X`, a layer or `raw`; shape (n_cells,).

    Raises
    ------
    MissingDataError
        If the gene, the layer or `raw` is not there.
    """
    vector = _gene_vector(adata, gene, layer, use_raw)
    if vector is None:
        where = "adata.raw.var_names" if use_raw else "adata.var_names"
        genes = adata.raw.var_names if use_raw else adata.var_names
        raise MissingDataError(f"Unable to find gene {gene!r} in `{where}`.{suggest(gene, genes)}")
    return vector


def draw_cells(
    ax: Axes,
    adata: AnnData,
    xy: NDArray[np.float64],
    color: Any,
    *,
    layer: str | None = None,
    use_raw: bool | None = None,
    palette: str | Sequence[str] | Mapping[Any, str] | None = None,
    **style: Any,
) -> list[Text]:
    """Draw cells as points, coloured by a key; for the others see :func:`draw_values`.

    `color` is an `obs` column, a gene or a colour, see
    :func:`ferrocyte.pl.projection.plot_projection`.

    Returns the names written on the data, for :func:`dress` to move apart once the limits are known.
    """
    if color is None:
        color = default_color(adata)
    if not isinstance(color, str):
        if not is_color_like(color):
            raise InvalidTypeError(
                f"Expected `color` to be a key or a colour, found `{type(color).__name__}`."
            )
        values = None
    else:
        values = cell_values(adata, color, layer, use_raw)
    colors = color
    if isinstance(values, pd.Categorical):
        colors = category_colors(adata, color, list(values.categories), palette)
    return draw_values(ax, xy, values, colors, what=f"`adata.obs[{color!r}]`", **style)


def draw_values(
    ax: Axes,
    xy: NDArray[np.float64],
    values: pd.Categorical | NDArray[np.float64] | None,
    colors: Any = None,
    *,
    what: str = "the values",
    size: float | Sequence[float] | None = None,
    large: bool = False,
    alpha: float | None = None,
    cmap: Any = None,
    groups: str | Sequence[str] | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    perc: Sequence[float] | None = None,
    sort_order: bool = True,
    na_color: str | None = None,
    legend_loc: str | int | None = "on data",
    legend_fontsize: float | str | None = None,
    legend_fontweight: int | str | None = None,
    legend_fontoutline: float | None = None,
    colorbar: bool = True,
    marker: str = "o",
    rim: float = 0.0,
) -> list[Text]:
    """Draw one point per cell.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    xy : ndarray of float, shape (n_cells, 2)
    values : pandas.Categorical, ndarray of float or None
        Of length `n_cells`; missing ones are drawn below the others in `na_color`. `None`: all cells in the
        same colours.
    colors
        Colour by category; for `None`, one colour or one per cell.
    rim : float
        Width of a dark rim, in points, around cells that have a category.
    what : str
        What the values are called in messages.
    **others
        As :func:`ferrocyte.pl.projection.plot_projection` has them.

    Returns
    -------
    list of matplotlib.text.Text
        Names written on the data, for :func:`dress` to move apart once the limits are known.
    """
    labels: list[Text] = []
    n_cells = len(xy)
    na_color = faint() if na_color is None else na_color
    sizes = np.asarray(point_size(n_cells, ax, large=large) if size is None else size, dtype=np.float64)
    if sizes.ndim > 1 or sizes.size not in (1, n_cells):
        raise InvalidDataError(f"Expected `size` to be one number or {n_cells}, found shape {sizes.shape}.")
    sizes = np.broadcast_to(sizes.ravel(), n_cells)
    style: dict[str, Any] = {
        "alpha": alpha,
        "linewidths": 0,
        "zorder": 1,
        "marker": marker,
        "plotnonfinite": False,
    }
    style["rasterized"] = n_cells > 20_000  # a vector file with more points opens nowhere

    if values is None:
        ax.scatter(xy[:, 0], xy[:, 1], s=sizes, color=colors, **style)
    elif isinstance(values, pd.Categorical):
        _draw_categories(ax, xy, what, values, colors, sizes, style, groups, na_color, rim)
        shown = [c for c in values.categories if (values == c).any() and _in_groups(c, groups)]
        if legend_loc == "on data":
            spots = {c: xy[np.asarray(values == c)] for c in shown}
            labels = labels_on_data(ax, spots, legend_fontsize, legend_fontweight, legend_fontoutline)
        else:
            legend_of_categories(ax, {c: colors[c] for c in shown}, legend_loc, legend_fontsize, marker)
    else:
        _draw_numbers(ax, xy, values, sizes, style, cmap, (vmin, vmax), perc, sort_order, na_color, colorbar)
    return labels


def legend_of_categories(
    ax: Axes,
    colors: Mapping[Any, str],
    loc: str | int | None,
    fontsize: float | str | None = None,
    marker: str = "o",
    *,
    shared: bool = False,
) -> None:
    """A point and a name for each category; `"right margin"` and `"right"` are short for a place outside.

    If `shared`, that place is beside the whole figure.
    """
    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=7, color=color, label=str(name))
        for name, color in colors.items()
    ]
    look: dict[str, Any] = {
        "frameon": False,
        "fontsize": fontsize or "small",
        "handletextpad": 0.2,
        "ncols": 1 + (len(handles) - 1) // LEGEND_ROWS if handles else 1,
    }
    if shared and loc in ("right margin", "right"):
        root_figure(ax).legend(handles=handles, loc="outside right center", **look)
    else:
        place_legend(ax, "center right out" if loc in ("right margin", "right") else loc, handles, **look)


def _draw_numbers(
    ax: Axes,
    xy: NDArray[np.float64],
    values: NDArray[np.float64],
    sizes: NDArray[np.float64],
    style: dict[str, Any],
    cmap: Any,
    limits: tuple[float | None, float | None],
    perc: Sequence[float] | None,
    sort_order: bool,
    na_color: str,
    colorbar: bool,
) -> None:
    """Points along a colour map, with its bar; high values on top."""
    finite = np.isfinite(values)
    low, high = limits
    if perc is not None and finite.any():
        edges = np.percentile(values[finite], list(perc)) if len(perc) == 2 else (None, None)
        low, high = (edges[0] if low is None else low), (edges[1] if high is None else high)
    ax.scatter(xy[~finite, 0], xy[~finite, 1], s=sizes[~finite], color=na_color, **style)
    order = np.flatnonzero(finite)
    if sort_order:
        order = order[np.argsort(values[order], kind="stable")]
    points = ax.scatter(
        xy[order, 0],
        xy[order, 1],
        s=sizes[order],
        c=values[order],
        cmap=cmap or "viridis",
        vmin=low,
        vmax=high,
        **style,
    )
    if colorbar and len(order):
        add_colorbar(ax, points)


def add_colorbar(ax: Axes, mappable: Any) -> None:
    """A thin bar beside the axes."""
    bar = root_figure(ax).colorbar(mappable, ax=ax, pad=0.02, fraction=0.05, shrink=0.85)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    bar.outline.set_visible(False)


def _in_groups(category: Any, groups: str | Sequence[str] | None) -> bool:
    if groups is None:
        return True
    return str(category) in ([groups] if isinstance(groups, str) else [str(g) for g in groups])


def _draw_categories(
    ax: Axes,
    xy: NDArray[np.float64],
    what: str,
    values: pd.Categorical,
    colors: Mapping[Any, str],
    sizes: NDArray[np.float64],
    style: dict[str, Any],
    groups: str | Sequence[str] | None,
    na_color: str,
    rim: float,
) -> None:
    """One scatter for all categories, in cell order: no cluster hides another because of its name."""
    names = [str(c) for c in values.categories]
    for group in [groups] if isinstance(groups, str) else (groups or []):
        if str(group) not in names:
            raise InvalidOptionError(f"Unable to find {group!r} in {what}.{suggest(group, names)}")
    table = np.array(
        [colors[c] if _in_groups(c, groups) else na_color for c in values.categories] + [na_color]
    )
    background = (table[values.codes] == na_color) if groups is not None else values.codes < 0
    order = np.argsort(~background, kind="stable")
    order = order[
        np.isfinite(xy[order]).all(axis=1)
    ]  # matplotlib warns of each rim of a point without a place
    style = {**style, "linewidths": np.where(background, 0.0, rim)[order]}
    if rim:
        style["edgecolors"] = "#202020"
    ax.scatter(xy[order, 0], xy[order, 1], s=sizes[order], c=table[values.codes][order], **style)


def labels_on_data(
    ax: Axes,
    spots: Mapping[Any, NDArray[np.float64]],
    fontsize: float | str | None = None,
    fontweight: int | str | None = None,
    outline: float | None = None,
) -> list[Text]:
    """Names at the middle one of their points; :func:`dress` moves them apart where they would overlap."""
    texts = []
    if fontsize is None:
        fontsize = float(np.clip(1.9 * axes_width(ax), 6, 10) - (1 if len(spots) > 10 else 0))
    halo = [patheffects.withStroke(linewidth=2.5 if outline is None else outline, foreground=paper())]
    for name, points in spots.items():
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            continue
        # The cell nearest to the median, not the median: that of a crescent lies outside it.
        center = np.median(points, axis=0)
        spot = points[np.argmin(((points - center) ** 2).sum(axis=1))]
        texts.append(
            ax.text(
                spot[0],
                spot[1],
                str(name),
                ha="center",
                va="center",
                zorder=5,
                fontsize=fontsize,
                fontweight=fontweight or "bold",
                path_effects=halo,
            )
        )
    return texts


def spread_labels(ax: Axes, texts: Sequence[Text], rounds: int = 60) -> None:
    """Push overlapping labels apart, up and down, and all of them into the axes."""
    if not texts:
        return
    figure = root_figure(ax)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    frame = ax.get_window_extent()
    # Of the text alone: an annotation counts its line, too.
    boxes = [Text.get_window_extent(t, renderer) for t in texts]
    centers = np.array([[(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2] for b in boxes])
    half = np.array([[b.width / 2 + 1, b.height / 2 + 1] for b in boxes])
    start = ax.transData.transform([t.get_position() for t in texts])
    offset = centers - start
    for _ in range(rounds):
        moved = False
        centers[:, 0] = np.clip(
            centers[:, 0], frame.x0 + half[:, 0], np.maximum(frame.x1 - half[:, 0], frame.x0)
        )
        centers[:, 1] = np.clip(
            centers[:, 1], frame.y0 + half[:, 1], np.maximum(frame.y1 - half[:, 1], frame.y0)
        )
        for i in range(len(texts)):
            for j in range(i):
                gap = half[i] + half[j] - np.abs(centers[i] - centers[j])
                if (gap > 0.5).all():
                    push = gap[1] / 2 * (1 if centers[i, 1] >= centers[j, 1] else -1)
                    centers[i, 1] += push
                    centers[j, 1] -= push
                    moved = True
        if not moved:
            break
    for text, spot in zip(texts, ax.transData.inverted().transform(centers - offset), strict=True):
        text.set_position(spot)


def dress(
    ax: Axes,
    *,
    basis: str,
    title: str | None,
    frameon: bool | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    fontsize: float | str | None = None,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    components: Sequence[int] = (0, 1),
    labels: Sequence[Text] = (),
) -> None:
    """Title, limits, frame and labels of an embedding; ticks never: the units of an embedding say nothing."""
    ax.margins(0.06)
    ax.autoscale_view()
    if xlim is not None:
        ax.set_xlim(xlim)
    if ylim is not None:
        ax.set_ylim(ylim)
    ax.set_xticks([])
    ax.set_yticks([])
    name = basis.removeprefix("X_").upper()
    if frameon or xlabel is not None:
        ax.set_xlabel(f"{name}{components[0] + 1}" if xlabel is None else xlabel, fontsize=fontsize)
    if frameon or ylabel is not None:
        ax.set_ylabel(f"{name}{components[1] + 1}" if ylabel is None else ylabel, fontsize=fontsize)
    if not frameon:
        for spine in ax.spines.values():
            spine.set_visible(False)
    if fontsize is None:
        fontsize = float(np.clip(2.4 * axes_width(ax), 8, 12))
    ax.set_title(title or "", fontsize=fontsize)
    spread_labels(ax, [text for text in labels if _is_inside(ax, text)])


def _is_inside(ax: Axes, text: Text) -> bool:
    """Whether a name belongs to a point within the limits; if not, it is hidden."""
    (x, y), (left, right), (low, high) = text.get_position(), sorted(ax.get_xlim()), sorted(ax.get_ylim())
    inside = bool(left <= x <= right and low <= y <= high)
    text.set_visible(inside)
    return inside
