"""Flows between all clusters of a time course at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte._errors import InvalidOptionError, InvalidTypeError, MissingDataError, suggest
from ferrocyte._options import check_number
from ferrocyte.pl._flow_tables import compute_flow

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["Flows", "compute_flows", "plot_flow"]


class Flows(NamedTuple):
    """The numbers behind a figure of all flows.

    Attributes
    ----------
    edges : pandas.DataFrame
        One row per step of time and pair of clusters with flow: `t1`, `t2`, `source`, `target`, `flow` (share
        of what leaves the source, 1 over all targets), `width_start` (that share of the source's share of
        cells) and `width_end` (share of the target's share of cells that comes from the source).
    shares : pandas.DataFrame
        Rows are times, a column per cluster: share of each cluster among the chosen cells of that time.
    cluster_key, time_key : str
        What it was computed for.
    categories : list
        All categories of the cluster column, in order; colours are stored for these.
    """

    edges: pd.DataFrame
    shares: pd.DataFrame
    cluster_key: str
    time_key: str
    categories: list[Any]


def compute_flows(
    transition_matrix: sp.csr_matrix | sp.csr_array | NDArray[np.float64],
    obs: pd.DataFrame,
    cluster_key: str,
    time_key: str,
    clusters: Sequence[Any] | None = None,
    time_points: Sequence[float] | None = None,
) -> Flows:
    """Flows out of every cluster between consecutive times: :func:`compute_flow` for each of them.

    Parameters
    ----------
    transition_matrix : sparse matrix or ndarray, shape (n_cells, n_cells)
        Row-stochastic.
    obs : pandas.DataFrame
        Row per cell. Not changed.
    cluster_key : str
        Categorical column with the clusters.
    time_key : str
        Column with experimental times: numbers, or names that read as numbers; at most 100 different ones.
    clusters : sequence, optional
        Look only at cells of these clusters, in this order. Default: all, in category order.
    time_points : sequence of float, optional
        Look only at these times. Default: all.

    Returns
    -------
    Flows

    Raises
    ------
    MissingDataError, InvalidTypeError, InvalidDataError, InvalidOptionError
        As :func:`compute_flow`; also if a cluster does not exist.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    >>> flows = fc.pl.compute_flows(kernel.transition_matrix, adata.obs, "clusters", "age(days)")
    >>> flows.edges.columns.tolist()
    ['t1', 't2', 'source', 'target', 'flow', 'width_start', 'width_end']
    """
    if cluster_key not in obs:
        raise MissingDataError(
            f"Unable to find clusters in `adata.obs[{cluster_key!r}]`.{suggest(cluster_key, obs.columns)}"
        )
    labels = obs[cluster_key]
    if not isinstance(labels.dtype, pd.CategoricalDtype):
        raise InvalidTypeError(
            f"Expected `adata.obs[{cluster_key!r}]` to be categorical, found `{labels.dtype}`. Convert it "
            f"with `adata.obs[{cluster_key!r}].astype('category')`."
        )
    known = list(labels.cat.categories)
    chosen = known if clusters is None else list(dict.fromkeys(clusters))
    for name in chosen:
        if name not in known:
            raise InvalidOptionError(
                f"Unable to find the cluster {name!r} in `adata.obs[{cluster_key!r}]`.{suggest(name, known)}"
            )
    if not chosen:
        raise InvalidOptionError("Expected at least `2` clusters, found `0`.")
    tables = [
        compute_flow(transition_matrix, obs, name, cluster_key, time_key, chosen, time_points)
        for name in chosen
    ]
    shares = tables[0].contingency[chosen]
    parts = []
    for table in tables:
        flow = table.flow[chosen].stack().rename("flow").reset_index()
        flow.columns = pd.Index(["t1", "t2", "target", "flow"])
        flow.insert(2, "source", table.cluster)
        parts.append(flow)
    edges = pd.concat(parts, ignore_index=True)
    long = shares.stack()
    leaving = long.loc[pd.MultiIndex.from_frame(edges[["t1", "source"]])].to_numpy()
    reached = long.loc[pd.MultiIndex.from_frame(edges[["t2", "target"]])].to_numpy()
    edges["width_start"] = edges["flow"].to_numpy() * leaving
    arriving = edges.groupby(["t2", "target"])["width_start"].transform("sum").to_numpy()
    part = np.divide(edges["width_start"], arriving, out=np.zeros(len(edges)), where=arriving > 0)
    edges["width_end"] = part * reached
    edges = edges[edges["flow"] > 0].sort_values(["t1", "source", "target"], kind="stable", key=_rank(chosen))
    return Flows(edges.reset_index(drop=True), shares, cluster_key, time_key, known)


def _rank(chosen: Sequence[Any]) -> Any:
    """Clusters in their order, times by size."""
    place = {name: k for k, name in enumerate(chosen)}
    return lambda column: column if column.name == "t1" else column.map(place).astype(int)


def plot_flow(
    flows: Flows,
    adata: AnnData | None = None,
    *,
    min_flow: float = 0.0,
    gap: float = 0.02,
    colors: Mapping[Any, str] | None = None,
    legend_loc: str | int | None = "upper right out",
    alpha: float | None = 0.5,
    xticks_step_size: int | None = 1,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
) -> Axes | None:
    """Draw the flows between all clusters of a time course.

    At each time, clusters are stacked blocks, as high as their shares of cells. Bands lead from each block to
    those of the next time, in the colour of where they come from: at their start, a block is divided among
    its futures; at their end, among its origins.

    Parameters
    ----------
    flows : Flows
        From :func:`compute_flows`.
    adata : AnnData, optional
        For the colours in `uns["<cluster_key>_colors"]`. Not changed.
    min_flow : float, default 0
        Draw bands whose share of the flow out of their source is above this, in [0, 1].
    gap : float, default 0.02
        Between blocks, as a share of all cells.
    colors : mapping, optional
        Colour by cluster, instead of those of `adata`.
    legend_loc : str, optional
        Such as `"upper right out"`; `None`: no legend.
    alpha : float, default 0.5
        Opacity of bands.
    xticks_step_size : int or None, default 1
        A tick at every n-th time; `None`: none.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    save : path, optional
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes or None
        None when the figure is shown.

    Raises
    ------
    InvalidOptionError
        If an option is out of range.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    >>> flows = fc.pl.compute_flows(kernel.transition_matrix, adata.obs, "clusters", "age(days)")
    >>> ax = fc.pl.plot_flow(flows, adata, min_flow=0.05, show=False)
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch, Rectangle

    from ferrocyte.pl._common import (
        category_colors,
        drawing,
        finish,
        is_shown,
        legend_place,
        paper,
        place_legend,
    )

    check_number(min_flow, "min_flow", low=0.0, high=1.0)
    check_number(gap, "gap", low=0.0, high=1.0)
    legend_place(legend_loc)
    if xticks_step_size is not None and xticks_step_size < 1:
        raise InvalidOptionError(
            f"Expected `xticks_step_size` to be positive or `None`, found {xticks_step_size}."
        )
    palette = {**category_colors(adata, flows.cluster_key, flows.categories), **(colors or {})}
    times = flows.shares.index.to_numpy(dtype=float)
    blocks = _block_tops(flows.shares, gap)
    half = 0.012 * float(np.ptp(times))
    with drawing(ax, figsize or (1.6 + 1.5 * len(times), 4.6), dpi) as (axes, ours):
        shown = []
        for time, row in blocks.items():
            for name, (top, height) in row.items():
                if height > 0:
                    shown.append(name)
                    block = Rectangle((float(time) - half, top - height), 2 * half, height, zorder=3)
                    block.set(facecolor=palette[name], edgecolor=paper(), linewidth=0.4)
                    axes.add_patch(block)
        bands, shades = [], []
        for edge, start, end in _band_tops(flows.edges, blocks):
            if edge.flow > min_flow:
                ends = (float(edge.t1) + half, float(edge.t2) - half)
                bands.append(_band(ends, (start, end), (edge.width_start, edge.width_end)))
                shades.append(palette[edge.source])
        axes.add_collection(
            PolyCollection(bands, facecolors=shades, edgecolors="none", alpha=alpha, zorder=2)
        )
        axes.set_xlim(times[0] - 2 * half, times[-1] + 2 * half)
        highest = max((top for row in blocks.values() for top, _ in row.values()), default=1.0)
        axes.set_ylim(-0.01, highest + 0.01)
        axes.set_yticks([])
        ticks = [] if xticks_step_size is None else times[::xticks_step_size]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set(xlabel=flows.time_key, ylabel=flows.cluster_key)
        axes.spines[["top", "right", "left"]].set_visible(False)
        handles = [Patch(facecolor=palette[n], label=str(n)) for n in flows.shares.columns if n in shown]
        columns = 1 + (len(handles) - 1) // 16
        place_legend(axes, legend_loc, handles, frameon=False, fontsize="small", ncols=columns)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return None if is_shown(save, show, ours=ours) else axes


def _block_tops(shares: pd.DataFrame, gap: float) -> dict[Any, dict[Any, tuple[float, float]]]:
    """Top and height of each block; the first cluster is on top, and blocks without cells take no room."""
    out: dict[Any, dict[Any, tuple[float, float]]] = {}
    for time, row in shares.iterrows():
        total = float(row.sum()) + gap * max(int((row > 0).sum()) - 1, 0)
        top, out[time] = total, {}
        for name, height in row.items():
            out[time][name] = (top, float(height))
            top -= float(height) + (gap if height > 0 else 0.0)
    return out


def _band_tops(edges: pd.DataFrame, blocks: Mapping[Any, Mapping[Any, tuple[float, float]]]) -> list[Any]:
    """Each edge with the upper ends of its band; sources divide from the top, and so do targets."""
    leaving = {(t, n): top for t, row in blocks.items() for n, (top, _) in row.items()}
    arriving = dict(leaving)
    out = []
    for edge in edges.itertuples():
        start, end = (edge.t1, edge.source), (edge.t2, edge.target)
        out.append((edge, leaving[start], arriving[end]))
        leaving[start] -= edge.width_start
        arriving[end] -= edge.width_end
    return out


def _band(
    times: tuple[float, float], tops: tuple[float, float], widths: tuple[float, float]
) -> NDArray[np.float64]:
    """Outline of an S-shaped band."""
    s = np.linspace(0, 1, 40)
    smooth = s**2 * (3 - 2 * s)
    x = times[0] + s * (times[1] - times[0])
    upper = tops[0] + smooth * (tops[1] - tops[0])
    lower = upper - (widths[0] + smooth * (widths[1] - widths[0]))
    return np.concatenate([np.column_stack([x, upper]), np.column_stack([x, lower])[::-1]])
