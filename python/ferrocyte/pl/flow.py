"""Figure of the flow out of one cluster over experimental time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import InvalidOptionError
from ferrocyte._options import check_number
from ferrocyte.pl._flow_tables import FlowTables, compute_flow, flow_edges, time_categories

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["FlowTables", "compute_flow", "flow_edges", "plot_single_flow", "time_categories"]


def plot_single_flow(
    tables: FlowTables,
    adata: AnnData | None = None,
    *,
    min_flow: float = 0.0,
    remove_empty_clusters: bool = True,
    ascending: bool | None = False,
    colors: Mapping[Any, str] | None = None,
    legend_loc: str | int | None = "upper right out",
    alpha: float | None = 0.8,
    xticks_step_size: int | None = 1,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the flow out of one cluster.

    Every cluster is a lane along time, as wide as its share of cells. Bands lead from the lane of the source
    cluster to the others, as wide as the share of its cells that moves there until the next time.

    Parameters
    ----------
    tables : FlowTables
        From :func:`compute_flow`.
    adata : AnnData, optional
        For the colours in `uns["<cluster_key>_colors"]`. Not changed.
    min_flow : float, default 0
        Draw bands whose share of the flow is above this, in [0, 1].
    remove_empty_clusters : bool, default True
        Leave out clusters into which no band leads.
    ascending : bool or None, default False
        The source cluster is in the middle and the others lie around it: those with most flow next to it
        (False), or those with least (True). `None`: from the top, in the order of `tables.flow`.
    colors : mapping, optional
        Colour by cluster, instead of those of `adata`.
    legend_loc : str, optional
        Such as `"upper right out"`; `None`: no legend.
    alpha : float, default 0.8
        Opacity of lanes and bands.
    xticks_step_size : int or None, default 1
        A tick at every n-th time; `None`: none.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidOptionError
        If no flow is above `min_flow` and clusters without flow are to be removed, or an option is out of
        range.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    >>> tables = fc.pl.compute_flow(
    ...     kernel.transition_matrix, adata.obs, "Granule immature", "clusters", "age(days)"
    ... )
    >>> ax = fc.pl.plot_single_flow(tables, adata, min_flow=0.05, show=False)
    """
    from matplotlib.patches import Patch

    from ferrocyte.pl._common import (
        category_colors,
        drawing,
        finish,
        legend_place,
        place_legend,
        root_figure,
    )

    legend_place(legend_loc)
    check_number(min_flow, "min_flow", low=0.0)
    if xticks_step_size is not None and xticks_step_size < 1:
        raise InvalidOptionError(
            f"Expected `xticks_step_size` to be positive or `None`, found {xticks_step_size}."
        )
    order = _lane_order(tables, min_flow, remove_empty_clusters, ascending)
    palette = dict(category_colors(adata, tables.cluster_key, tables.categories))
    palette.update(colors or {})
    lanes = _lane_centers(tables.contingency[order])
    edges = flow_edges(tables, min_flow)
    edges = edges[edges["target"].isin(order)]

    with drawing(ax, figsize, dpi) as (axes, ours):
        for name in order:
            x, half = _lane_outline(tables.contingency[name])
            low, high = lanes[name] - half, lanes[name] + half
            # Bands pass behind lanes: without this ground, their overlap would be a third, darker colour.
            axes.fill_between(x, low, high, color=axes.get_facecolor(), linewidth=0, zorder=2)
            axes.fill_between(
                x, low, high, color=palette[name], alpha=alpha, linewidth=0, zorder=3, label=str(name)
            )
        for _, step in edges.groupby("t1", sort=True):
            _draw_bands(axes, step, tables, lanes, palette, alpha)

        _dress(axes, tables, order, lanes, xticks_step_size)
        handles = [Patch(facecolor=palette[n], alpha=alpha, label=str(n)) for n in order]
        inches = root_figure(axes).get_figwidth()
        place_legend(
            axes,
            legend_loc,
            handles,
            frameon=False,
            fontsize=float(np.clip(1.9 * inches, 7, 10)),
            ncols=1 + (len(handles) - 1) // 16,
        )
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes


def _dress(
    ax: Axes, tables: FlowTables, order: list[Any], lanes: Mapping[Any, float], xticks_step_size: int | None
) -> None:
    from ferrocyte.pl._common import axes_width

    times = tables.contingency.index.to_numpy(dtype=float)
    ax.set_xlim(times[0] - 0.02 * np.ptp(times), times[-1] + 0.02 * np.ptp(times))
    top = max(lanes[n] + tables.contingency[n].max() / 2 for n in order)
    low = min(lanes[n] - tables.contingency[n].max() / 2 for n in order)
    margin = 0.03 * (top - low) or 0.5
    ax.set_ylim(low - margin, top + margin)
    ax.set_yticks([])
    ticks = [] if xticks_step_size is None else times[::xticks_step_size]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    if sum(len(f"{t:g}") + 1 for t in ticks) > 11 * axes_width(ax):
        ax.tick_params(axis="x", rotation=90)
    ax.set_xlabel(tables.time_key)
    ax.set_ylabel(tables.cluster_key)
    ax.set_title(str(tables.cluster))
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _lane_order(tables: FlowTables, min_flow: float, remove_empty: bool, ascending: bool | None) -> list[Any]:
    """Clusters from top to bottom."""
    incoming = tables.flow.max(axis=0)
    if remove_empty:
        if not (incoming > min_flow).any():
            raise InvalidOptionError(
                f"After removing clusters with no incoming flow above `min_flow={min_flow}`, none "
                "remain. The largest "
                f"flow is {incoming.max():.3g}; lower `min_flow` or pass `remove_empty_clusters=False`."
            )
        kept = [c for c in incoming.index if incoming[c] > min_flow or c == tables.cluster]
    else:
        kept = list(incoming.index)
    if ascending is None:
        return kept
    others = [c for c in kept if c != tables.cluster]
    total = tables.flow.sum(axis=0)
    others.sort(key=lambda c: total[c] if ascending else -total[c])
    # Nearest first, above and below in turn, so that bands cross few lanes.
    return [*others[::2][::-1], tables.cluster, *others[1::2]]


def _lane_centers(contingency: pd.DataFrame) -> dict[Any, float]:
    """Height of the middle of each lane, downwards in column order, with room for its widest place."""
    widest = contingency.max(axis=0)
    gap = 0.08 * max(float(widest.sum()), 1e-12)
    centers, edge = {}, 0.0
    for name in contingency.columns:
        centers[name] = edge - widest[name] / 2
        edge -= float(widest[name]) + gap
    return centers


def _lane_outline(share: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half width of a lane along time: monotone between the times, so never wider than the data say."""
    from scipy.interpolate import PchipInterpolator

    times = share.index.to_numpy(dtype=float)
    # Every time itself is a corner of the outline, however unevenly they are spaced.
    x = np.unique(np.concatenate([np.linspace(*pair, 60) for pair in pairwise(times)]))
    return x, np.maximum(PchipInterpolator(times, share.to_numpy(dtype=float))(x), 0) / 2


def _draw_bands(
    ax: Axes,
    step: pd.DataFrame,
    tables: FlowTables,
    lanes: Mapping[Any, float],
    palette: Mapping[Any, str],
    alpha: float | None,
) -> None:
    """Bands of one time step, leaving side by side from the rim of the source that faces their target."""
    home = lanes[tables.cluster]
    t1, t2 = float(step["t1"].iloc[0]), float(step["t2"].iloc[0])
    half = tables.contingency.at[step["t1"].iloc[0], tables.cluster] / 2
    for side in (1, -1):
        facing = [e for e in step.itertuples() if (lanes[e.target] > home) == (side > 0)]
        # The furthest target takes the rim: bands of one side then never cross.
        facing.sort(key=lambda e: -abs(lanes[e.target] - home))
        rim = home + side * half
        for edge in facing:
            start = rim - side * edge.width_start / 2
            rim -= side * edge.width_start
            arrival = tables.contingency.at[edge.t2, edge.target] / 2
            end = lanes[edge.target] - side * (arrival - edge.width_end / 2)
            _draw_band(
                ax,
                (t1, t2),
                (start, end),
                (edge.width_start, edge.width_end),
                (palette[tables.cluster], palette[edge.target]),
                alpha,
                str(edge.target),
            )


def _draw_band(
    ax: Axes,
    times: tuple[float, float],
    heights: tuple[float, float],
    widths: tuple[float, float],
    colors: tuple[str, str],
    alpha: float | None,
    name: str,
) -> None:
    """One S-shaped band that fades from one colour into the other."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Polygon

    s = np.linspace(0, 1, 80)
    smooth = s**2 * (3 - 2 * s)
    x = times[0] + s * (times[1] - times[0])
    middle = heights[0] + smooth * (heights[1] - heights[0])
    half = (widths[0] + smooth * (widths[1] - widths[0])) / 2
    outline = np.concatenate([np.c_[x, middle + half], np.c_[x, middle - half][::-1]])
    shape = Polygon(outline, facecolor="none", edgecolor="none", zorder=1)
    ax.add_patch(shape)
    low, high = outline[:, 1].min(), outline[:, 1].max()
    fade = LinearSegmentedColormap.from_list("fade", list(colors))
    image = ax.imshow(
        s[None, :],
        cmap=fade,
        vmin=0,
        vmax=1,
        alpha=alpha,
        aspect="auto",
        extent=(*times, low, high),
        zorder=1,
        interpolation="bilinear",
        origin="lower",
    )
    image.set_clip_path(shape)
    image.set_gid(f"band-{name}")
