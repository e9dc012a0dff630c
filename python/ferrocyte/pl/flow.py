"""Flow out of one cluster over experimental time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError, suggest

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["FlowTables", "compute_flow", "flow_edges", "plot_single_flow", "time_categories"]

_MAX_TIMES = 100


class FlowTables(NamedTuple):
    """The numbers behind a flow figure.

    Attributes
    ----------
    flow : pandas.DataFrame
        Rows `(t1, t2)` of consecutive times, a column per cluster: share of the flow out of the source cluster
        at `t1` that arrives in each cluster at `t2`. A row sums to 1, or is 0 where nothing flows.
    contingency : pandas.DataFrame
        Rows are times, a column per cluster: share of each cluster among the chosen cells of that time.
    times : pandas.Categorical
        Time of every cell, ordered, numeric categories.
    cluster, cluster_key, time_key : str
        What it was computed for.
    categories : list
        All categories of the cluster column, in order; colours are stored for these.
    """

    flow: pd.DataFrame
    contingency: pd.DataFrame
    times: pd.Categorical
    cluster: Any
    cluster_key: str
    time_key: str
    categories: list[Any]


def time_categories(obs: pd.DataFrame, time_key: str) -> pd.Categorical:
    """An `obs` column as an ordered categorical of numbers.

    Parameters
    ----------
    obs : pandas.DataFrame
        Not changed.
    time_key : str
        A column of numbers, or of categories or strings that read as numbers.

    Returns
    -------
    pandas.Categorical
        Ordered; integers stay integers, everything else becomes float.

    Raises
    ------
    MissingDataError
        If there is no such column.
    InvalidTypeError
        If its values are not numbers.
    InvalidDataError
        If some are missing or not finite, or more than 100 are different.
    """
    where = f"`adata.obs[{time_key!r}]`"
    if time_key not in obs:
        raise MissingDataError(f"Unable to find data in {where}.{suggest(time_key, obs.columns)}")
    column = obs[time_key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    try:
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            raise TypeError("dates")
        numbers = column.astype(float).to_numpy()
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"Unable to convert {where} of type `{column.dtype}` to `float`. Pass a `time_key` with numbers, such as "
            f"days."
        ) from None
    missing = ~np.isfinite(numbers)
    if missing.any():
        raise InvalidDataError(
            f"Expected a finite time for every cell in {where}, found none for {missing.sum()} cells, first "
            f"{obs.index[int(np.argmax(missing))]!r}. Fill or remove them."
        )
    if pd.api.types.is_integer_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.int64)
    distinct = np.unique(numbers)
    if len(distinct) > _MAX_TIMES:
        raise InvalidDataError(
            f"Expected {where} to have at most {_MAX_TIMES} different times, found {len(distinct)}. Group them first, "
            "for example with `pandas.cut`."
        )
    return pd.Categorical(numbers, categories=distinct, ordered=True)


def compute_flow(
    transition_matrix: sp.spmatrix | sp.sparray | NDArray[np.float64],
    obs: pd.DataFrame,
    cluster: Any,
    cluster_key: str,
    time_key: str,
    clusters: Sequence[Any] | None = None,
    time_points: Sequence[float] | None = None,
) -> FlowTables:
    """Flow out of one cluster between consecutive times.

    Between times `t1` and `t2`, the flow into cluster `c` is the sum of the transition matrix over rows of
    cells of `cluster` at `t1` and columns of cells of `c` at `t2`, divided by the sum of that over all chosen
    clusters (Mittnenzweig et al., Cell 2021, with transition probabilities in place of metacell flows).

    Parameters
    ----------
    transition_matrix : sparse matrix or ndarray, shape (n_cells, n_cells)
        Row-stochastic.
    obs : pandas.DataFrame
        Row per cell. Not changed.
    cluster : str
        Source cluster.
    cluster_key : str
        Categorical column with the clusters.
    time_key : str
        Column with experimental times: numbers, or names that read as numbers; at most 100 different ones.
    clusters : sequence, optional
        Look only at cells of these clusters and of `cluster`, in this order, `cluster` first. Names that do not
        exist are left out. Default: all clusters, in category order.
    time_points : sequence of float, optional
        Look only at these times. Default: all.

    Returns
    -------
    FlowTables

    Raises
    ------
    MissingDataError
        If a column is not there.
    InvalidTypeError
        If the clusters are not categorical or the times not numbers.
    InvalidDataError, InvalidOptionError
        If the matrix has another shape, the source cluster does not exist, or fewer than two clusters or two
        time points are left.

    Notes
    -----
    Time and memory O(nnz of the rows of `cluster` + n_cells).
    """
    if cluster_key not in obs:
        raise MissingDataError(
            f"Unable to find clusters in `adata.obs[{cluster_key!r}]`.{suggest(cluster_key, obs.columns)}"
        )
    labels = obs[cluster_key]
    if not isinstance(labels.dtype, pd.CategoricalDtype):
        raise InvalidTypeError(
            f"Expected `adata.obs[{cluster_key!r}]` to be categorical, found `{labels.dtype}`. Convert it first: "
            f"`adata.obs[{cluster_key!r}] = adata.obs[{cluster_key!r}].astype('category')`."
        )
    if transition_matrix.shape != (len(obs), len(obs)):
        raise InvalidDataError(
            f"Expected a transition matrix of shape {(len(obs), len(obs))}, one row per cell, found "
            f"{transition_matrix.shape}."
        )
    categories = list(labels.cat.categories)
    chosen = _choose_clusters(cluster, clusters, categories, cluster_key)
    times = time_categories(obs, time_key)
    points = _choose_times(time_points, times.categories.to_numpy(), time_key)

    # Position of each cell's cluster and time among the chosen ones, -1 for cells that are left out.
    cluster_of = pd.Index(chosen).get_indexer(labels)
    time_of = pd.Index(points).get_indexer(np.asarray(times.categories)[times.codes])
    inside = (cluster_of >= 0) & (time_of >= 0)
    table = np.zeros((len(points), len(chosen)))
    np.add.at(table, (time_of[inside], cluster_of[inside]), 1.0)
    contingency = _shares(table)

    source = chosen.index(cluster)
    flow = np.zeros((len(points) - 1, len(chosen)))
    matrix = transition_matrix if isinstance(transition_matrix, np.ndarray) else sp.csr_array(transition_matrix)
    for k in range(len(points) - 1):
        rows = np.flatnonzero((cluster_of == source) & (time_of == k))
        columns = np.flatnonzero((cluster_of >= 0) & (time_of == k + 1))
        arriving = np.asarray(matrix[rows].sum(axis=0), dtype=np.float64).ravel()[columns]
        flow[k] = np.bincount(cluster_of[columns], weights=arriving, minlength=len(chosen))

    names = pd.Index(chosen, name=cluster_key)
    steps = pd.MultiIndex.from_arrays([points[:-1], points[1:]], names=["t1", "t2"])
    return FlowTables(
        flow=pd.DataFrame(_shares(flow), index=steps, columns=names),
        contingency=pd.DataFrame(contingency, index=pd.Index(points, name=time_key), columns=names),
        times=times,
        cluster=cluster,
        cluster_key=cluster_key,
        time_key=time_key,
        categories=categories,
    )


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def _choose_clusters(cluster: Any, clusters: Sequence[Any] | None, categories: list[Any], key: str) -> list[Any]:
    known = suggest(cluster, categories)
    if clusters is None:
        wanted = categories
        if cluster not in categories:
            raise InvalidOptionError(f"Invalid source cluster {cluster!r} for `adata.obs[{key!r}]`.{known}")
    else:
        given = [clusters] if isinstance(clusters, str) else list(clusters)
        wanted = list(dict.fromkeys([cluster, *given]))
    if len(wanted) < 2:
        raise InvalidOptionError(
            f"Expected at least `2` clusters, found `{len(wanted)}`. Name clusters other than {cluster!r}, or pass "
            "`clusters=None` for all."
        )
    valid = [c for c in wanted if c in categories]
    if not valid:
        raise InvalidOptionError(f"No valid clusters have been selected.{known}")
    if cluster not in categories:
        raise InvalidOptionError(f"Invalid source cluster {cluster!r} for `adata.obs[{key!r}]`.{known}")
    if len(valid) < 2:
        absent = [c for c in wanted if c not in categories]
        raise InvalidOptionError(
            f"Expected at least `2` clusters, found `{len(valid)}`: no cells are called {absent!r}."
            f"{suggest(absent[0], categories)}"
        )
    return valid


def _choose_times(time_points: Sequence[float] | None, existing: NDArray[Any], key: str) -> NDArray[Any]:
    if time_points is None:
        if len(existing) < 2:
            raise InvalidDataError(
                f"Expected at least `2` time points, found `{len(existing)}` in `adata.obs[{key!r}]`. Flow needs cells "
                "of different times."
            )
        return existing
    listed = ", ".join(f"{t:g}" for t in existing[:20])
    try:
        wanted = np.unique(np.asarray(list(time_points), dtype=float))
    except (TypeError, ValueError):
        raise InvalidTypeError(f"Unable to convert `time_points={time_points!r}` to `float`.") from None
    if len(wanted) < 2:
        raise InvalidOptionError(
            f"Expected at least `2` time points, found `{len(wanted)}` in `time_points`. There are: {listed}."
        )
    valid = existing[np.isin(existing, wanted)]
    if not len(valid):
        raise InvalidOptionError(f"No valid time points have been selected. There are: {listed}.")
    if len(valid) < 2:
        raise InvalidOptionError(
            f"Expected at least `2` time points, found `{len(valid)}` of {wanted.tolist()} among the cells. There are: "
            f"{listed}."
        )
    return valid


def flow_edges(tables: FlowTables, min_flow: float = 0.0) -> pd.DataFrame:
    """Edges of the figure: flow into other clusters, as bands.

    Parameters
    ----------
    tables : FlowTables
        From :func:`compute_flow`.
    min_flow : float, default 0
        Leave out edges whose flow is not above this share, in [0, 1].

    Returns
    -------
    pandas.DataFrame
        Columns `t1`, `t2`, `target`, `flow` (share of the source's flow), `width_start` (that share of the
        source's share of cells at `t1`: the width of the band where it leaves) and `width_end` (the same, but
        no more than the target's share of cells at `t2`).
    """
    rows = []
    for (t1, t2), shares in tables.flow.iterrows():
        for target, flow in shares.items():
            if target == tables.cluster or not flow > min_flow:
                continue
            start = flow * tables.contingency.at[t1, tables.cluster]
            rows.append((t1, t2, target, flow, start, min(start, tables.contingency.at[t2, target])))
    return pd.DataFrame(rows, columns=["t1", "t2", "target", "flow", "width_start", "width_end"])


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
        If no flow is above `min_flow` and clusters without flow are to be removed, or an option is out of range.
    """
    from matplotlib.patches import Patch

    from ferrocyte.pl._common import category_colors, finish, legend_place, new_axes, place_legend

    legend_place(legend_loc)
    if xticks_step_size is not None and xticks_step_size < 1:
        raise InvalidOptionError(f"Expected `xticks_step_size` to be positive or `None`, found {xticks_step_size}.")
    order = _lane_order(tables, min_flow, remove_empty_clusters, ascending)
    palette = dict(category_colors(adata, tables.cluster_key, tables.categories))
    palette.update(colors or {})
    lanes = _lane_centers(tables.contingency[order])
    edges = flow_edges(tables, min_flow)
    edges = edges[edges["target"].isin(order)]

    axes, ours = new_axes(ax, figsize, dpi)
    for name in order:
        x, half = _lane_outline(tables.contingency[name])
        axes.fill_between(
            x, lanes[name] - half, lanes[name] + half, color=palette[name], alpha=alpha, linewidth=0, zorder=2,
            label=str(name),
        )  # fmt: skip
    for _, step in edges.groupby("t1", sort=True):
        _draw_bands(axes, step, tables, lanes, palette, alpha)

    times = tables.contingency.index.to_numpy(dtype=float)
    axes.set_xlim(times[0] - 0.02 * np.ptp(times), times[-1] + 0.02 * np.ptp(times))
    top = max(lanes[n] + tables.contingency[n].max() / 2 for n in order)
    low = min(lanes[n] - tables.contingency[n].max() / 2 for n in order)
    axes.set_ylim(low - 0.03 * (top - low), top + 0.03 * (top - low))
    axes.set_yticks([])
    ticks = [] if xticks_step_size is None else times[::xticks_step_size]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    if sum(len(f"{t:g}") for t in ticks) > 9 * axes.get_window_extent().width / axes.get_figure(root=True).dpi:
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlabel(tables.time_key)
    axes.set_ylabel(tables.cluster_key)
    axes.set_title(str(tables.cluster))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles = [Patch(facecolor=palette[n], alpha=alpha, label=str(n)) for n in order]
    place_legend(axes, legend_loc, handles, frameon=False, ncols=1 + (len(handles) - 1) // 16)
    finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes


def _lane_order(tables: FlowTables, min_flow: float, remove_empty: bool, ascending: bool | None) -> list[Any]:
    """Clusters from top to bottom."""
    incoming = tables.flow.max(axis=0)
    if remove_empty:
        if not (incoming > min_flow).any():
            raise InvalidOptionError(
                f"After removing clusters with no incoming flow above `min_flow={min_flow}`, none remain. The largest "
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
    x = np.linspace(times[0], times[-1], 60 * (len(times) - 1) + 1)
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
                ax, (t1, t2), (start, end), (edge.width_start, edge.width_end),
                (palette[tables.cluster], palette[edge.target]), alpha, str(edge.target),
            )  # fmt: skip


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
        s[None, :], cmap=fade, vmin=0, vmax=1, alpha=alpha, aspect="auto", extent=(*times, low, high), zorder=1,
        interpolation="bilinear", origin="lower",
    )  # fmt: skip
    image.set_clip_path(shape)
    image.set_gid(f"band-{name}")
