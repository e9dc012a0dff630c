"""A graph of clusters, with what their cells become on its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Patch
from matplotlib.path import Path
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, MissingDataError
from ferrocyte._options import check_number
from ferrocyte._sparse import is_sparse
from ferrocyte.pl._cells import add_colorbar, dress, labels_on_data
from ferrocyte.pl._common import (
    MANY,
    axes_width,
    embedding_coordinates,
    finish,
    paper,
    place_legend,
    root_figure,
    shade,
)
from ferrocyte.pl._heatmap import as_colormap
from ferrocyte.pl._keywords import sort_keywords
from ferrocyte.pl._panels import panels, spread_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Graph", "draw_means", "draw_pies", "read", "stress_layout"]


@dataclass(frozen=True)
class Graph:
    """Clusters as nodes.

    Attributes
    ----------
    names : list of str
    weights : ndarray, shape (n, n)
        Connectivity of clusters; symmetric, in [0, 1].
    positions : ndarray, shape (n, 2)
    sizes : ndarray of int, shape (n,)
        Number of cells.
    cells : ndarray, shape (n_cells, 2), or None
        Coordinates of cells to draw below.
    """

    names: list[str]
    weights: NDArray[np.float64]
    positions: NDArray[np.float64]
    sizes: NDArray[np.int64]
    cells: NDArray[np.float64] | None


def read(adata: AnnData, cluster_key: str, names: Sequence[str], basis: str | None) -> Graph:
    """What ``scanpy.tl.paga`` left in `uns["paga"]`, for the clusters `names`.

    Positions are the middles of clusters in `basis`; else those that ``scanpy.pl.paga`` left; else they are
    computed by :func:`stress_layout`.

    Raises
    ------
    MissingDataError
        If there is no such graph.
    InvalidDataError
        If it belongs to another clustering.
    """
    if "paga" not in adata.uns or "connectivities" not in adata.uns["paga"]:
        raise MissingDataError(
            "Unable to find a graph of clusters in `adata.uns['paga']`. Run "
            f"`scanpy.tl.paga(adata, groups={cluster_key!r})` first."
        )
    paga = adata.uns["paga"]
    column = adata.obs[cluster_key].astype("category")
    categories = [str(c) for c in column.cat.categories]
    weights = paga["connectivities"]
    weights = np.asarray(weights.toarray() if is_sparse(weights) else weights, dtype=np.float64)
    groups = paga.get("groups", cluster_key)
    if str(groups) != cluster_key or weights.shape != (len(categories), len(categories)):
        raise InvalidDataError(
            f"Expected `adata.uns['paga']` to connect the {len(categories)} clusters of "
            f"`adata.obs[{cluster_key!r}]`, found {weights.shape[0]} of `{groups}`. Run "
            f"`scanpy.tl.paga(adata, groups={cluster_key!r})` anew, or pass another `cluster_key`."
        )
    picks = [categories.index(name) for name in names]
    weights = np.maximum(weights, weights.T)[np.ix_(picks, picks)]
    sizes = column.cat.codes.value_counts().reindex(picks, fill_value=0).to_numpy(dtype=np.int64)
    cells = None if basis is None else embedding_coordinates(adata, basis)
    if cells is not None:
        codes = column.cat.codes.to_numpy()
        positions = np.array([np.nanmedian(cells[codes == k], axis=0) for k in picks])
    elif np.shape(paga.get("pos")) == (len(categories), 2):
        positions = np.asarray(paga["pos"], dtype=np.float64)[picks]
    else:
        positions = stress_layout(weights)
    return Graph(list(names), weights, positions, sizes, cells)


def stress_layout(weights: NDArray[np.float64], rounds: int = 200) -> NDArray[np.float64]:
    """Place the nodes of a graph such that distances are like the ways between them [1]_ [2]_.

    Parameters
    ----------
    weights : ndarray of float, shape (n, n)
        Symmetric; the length of an edge is the inverse of its weight.
    rounds : int, default 200
        Of majorization.

    Returns
    -------
    ndarray of float, shape (n, 2)
        The same for the same weights.

    References
    ----------
    .. [1] T. Kamada and S. Kawai, Inf. Process. Lett. 31 (1989).
    .. [2] E. R. Gansner, Y. Koren and S. North, Graph Drawing by Stress Majorization, GD 2004.
    """
    from scipy.sparse.csgraph import shortest_path

    n = len(weights)
    if n < 3:
        return np.column_stack([np.arange(n, dtype=np.float64), np.zeros(n)])
    lengths = np.divide(1.0, weights, out=np.zeros_like(weights), where=weights > 0)
    np.fill_diagonal(lengths, 0.0)
    ways = shortest_path(lengths, directed=False)
    finite = np.isfinite(ways)
    longest = float(ways[finite].max()) or 1.0
    ways = np.where(finite, ways, 1.3 * longest) / longest
    # weak edges are many times longer than strong ones, which would all end up on one spot
    ways = np.sqrt(ways)
    center = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * center @ ways**2 @ center)
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(n)] < 0, -1.0, 1.0)
    place = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 1e-6))
    force = np.divide(1.0, ways**2, out=np.zeros_like(ways), where=ways > 0)
    laplacian = np.diag(force.sum(axis=1)) - force
    inverse = np.linalg.pinv(laplacian)
    for _ in range(rounds):
        apart = np.linalg.norm(place[:, None] - place[None], axis=2)
        pull = -np.divide(force * ways, apart, out=np.zeros_like(apart), where=apart > 1e-12)
        np.fill_diagonal(pull, 0.0)
        np.fill_diagonal(pull, -pull.sum(axis=1))
        place = inverse @ (pull @ place)
    return np.asarray(place)


def draw_means(
    graph: Graph,
    means: pd.DataFrame,
    *,
    cbar: bool,
    ncols: int | None,
    basis: str | None,
    frame: Mapping[str, Any],
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Means as colours of the nodes, a panel for each lineage."""
    look = _options(kwargs)
    cmap = as_colormap(look["cmap"])
    whole, titles = spread_titles(look["title"], list(means.columns))
    with panels(
        len(titles), frame["ax"], ncols=ncols, figsize=frame["figsize"], dpi=frame["dpi"], inches=(4.2, 3.6)
    ) as (axes, ours):
        areas = _areas(axes[0], graph, look)
        for panel, lineage, title in zip(axes, means.columns, titles, strict=True):
            _draw_edges(panel, graph, look)
            points = panel.scatter(
                graph.positions[:, 0], graph.positions[:, 1], s=areas,
                c=means.loc[graph.names, lineage], cmap=cmap, norm=Normalize(), edgecolors=shade(0.2),
                linewidths=0.8, zorder=3, plotnonfinite=True,
            )  # fmt: skip
            _dress(panel, graph, basis, title, look)
            if cbar:
                add_colorbar(panel, points)
        if whole is not None:
            root_figure(axes[0]).suptitle(whole)
        finish(axes[0], save=frame["save"], show=frame["show"], dpi=frame["dpi"], ours=ours)
    return axes[0] if len(axes) == 1 else axes


def draw_pies(
    graph: Graph,
    means: pd.DataFrame,
    colors: Mapping[str, str],
    *,
    legend_kwargs: Mapping[str, Any],
    basis: str | None,
    frame: Mapping[str, Any],
    **kwargs: Any,
) -> Axes:
    """Means as pies on the nodes, one graph for all lineages."""
    look = _options(kwargs)
    legend = dict(legend_kwargs)
    size = frame["figsize"] or (8.6 if len(colors) > MANY else 6.4, 5.0)
    with panels(1, frame["ax"], figsize=size, dpi=frame["dpi"]) as (axes, ours):
        ax = axes[0]
        _draw_edges(ax, graph, look)
        for name, place, area in zip(graph.names, graph.positions, _areas(ax, graph, look), strict=True):
            _draw_pie(ax, place, means.loc[name], colors, float(area))
        _dress(ax, graph, basis, "" if look["title"] is None else str(look["title"]), look)
        handles = [Patch(facecolor=color, label=name) for name, color in colors.items()]
        place_legend(ax, legend.pop("loc"), handles, **{"fontsize": "small", **legend})
        finish(ax, save=frame["save"], show=frame["show"], dpi=frame["dpi"], ours=ours)
    return ax


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = {
        "threshold": 0.05, "node_size_scale": 1.0, "edge_width_scale": 1.0, "fontsize": None,
        "cmap": "viridis", "title": None, "legend_loc": "on data",
    }  # fmt: skip
    options.update(sort_keywords(given, options, "a graph of `aggregate_fate_probabilities`"))
    check_number(options["threshold"], "threshold", low=0.0)
    for name in ("node_size_scale", "edge_width_scale"):
        check_number(options[name], name, above=0.0)
    return options


def _areas(ax: Axes, graph: Graph, look: Mapping[str, Any]) -> NDArray[np.float64]:
    """Areas of nodes in square points, by the root of their number of cells: many cells do not hide few."""
    largest = (0.11 * 72 * axes_width(ax)) ** 2 * look["node_size_scale"]
    share = np.sqrt(np.maximum(graph.sizes, 1))
    return np.asarray(np.maximum(largest * share / share.max(), 40.0))


def _draw_edges(ax: Axes, graph: Graph, look: Mapping[str, Any]) -> None:
    if graph.cells is not None:
        dot = max(0.5, min(6.0, 8000 / len(graph.cells)))
        ax.scatter(
            graph.cells[:, 0],
            graph.cells[:, 1],
            s=dot,
            color=shade(0.85),
            linewidths=0,
            zorder=0,
            rasterized=True,
        )
    i, j = np.nonzero(np.triu(graph.weights, 1) > look["threshold"])
    if not len(i):
        return
    thick = 4.5 * look["edge_width_scale"] * graph.weights[i, j] / graph.weights[i, j].max()
    ends = np.stack([graph.positions[i], graph.positions[j]], axis=1)
    ax.add_collection(
        LineCollection(list(ends), linewidths=np.maximum(thick, 0.4), colors=[shade(0.45)], zorder=2)
    )


def _draw_pie(
    ax: Axes, place: NDArray[np.float64], shares: pd.Series, colors: Mapping[str, str], area: float
) -> None:
    values = shares.to_numpy(dtype=np.float64)
    total = np.nansum(values)
    ax.scatter(place[0], place[1], s=area, facecolor=paper(), edgecolors=shade(0.2), linewidths=0.8, zorder=3)
    if not total > 0:
        return
    edges = np.cumsum(np.concatenate([[0.0], np.nan_to_num(values) / total]))
    for name, start, end in zip(shares.index, edges[:-1], edges[1:], strict=True):
        if end - start < 1e-6:
            continue
        turn = 2 * np.pi * np.linspace(start, end, max(3, int(120 * (end - start)) + 2))
        rim = np.column_stack([np.cos(turn), np.sin(turn)])
        outline = rim if end - start > 1 - 1e-6 else np.vstack([[0.0, 0.0], rim])
        # a marker is scaled to its largest coordinate
        ax.scatter(
            place[0],
            place[1],
            s=area * np.abs(outline).max() ** 2,
            marker=MarkerStyle(Path(outline)),
            color=colors[str(name)],
            linewidths=0,
            zorder=4,
        )


def _dress(ax: Axes, graph: Graph, basis: str | None, title: str, look: Mapping[str, Any]) -> None:
    spots = {name: place[None] for name, place in zip(graph.names, graph.positions, strict=True)}
    ax.margins(0.15)
    labels = labels_on_data(ax, spots if look["legend_loc"] is not None else {}, look["fontsize"])
    dress(ax, basis=basis or "", title=title, fontsize=look["fontsize"], labels=labels)
    if graph.cells is None:
        ax.margins(0.15)
