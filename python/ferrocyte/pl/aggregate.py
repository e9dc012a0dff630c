"""Fate probabilities of clusters: means and distributions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ferrocyte import _adata
from ferrocyte._errors import InvalidDataError, InvalidOptionError, MissingDataError, suggest
from ferrocyte._options import check_option
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["aggregate_fate_probabilities", "aggregated_frame"]

Mode = Literal["bar", "paga", "paga_pie", "violin", "heatmap", "clustermap"]
MODES = ("bar", "paga", "paga_pie", "violin", "heatmap", "clustermap")
ALL = "all cells"


def aggregated_frame(
    adata: AnnData,
    backward: bool = False,
    lineages: str | Sequence[str] | None = None,
    cluster_key: str | None = "clusters",
    clusters: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute mean fate probabilities of clusters.

    Parameters
    ----------
    adata : AnnData
        With fate probabilities.
    backward : bool, default False
        Direction of the process.
    lineages : str or list of str, optional
        Which of them, in this order; a comma joins several. Default: all.
    cluster_key : str or None, default "clusters"
        Categorical column of `obs`; None: all cells as one cluster.
    clusters : str or list of str, optional
        Which of them, in this order. Default: all that have cells.

    Returns
    -------
    pandas.DataFrame
        One row per cluster and lineage: `cluster`, `lineage`, `mean`, `sem` (standard error of the mean:
        population deviation by the root of the number of cells) and `n_cells`. NaN are left out.

    Raises
    ------
    MissingDataError
        If there are no fate probabilities, no such lineage, column or cluster.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> table = fc.pl.aggregated_frame(adata, cluster_key="cell_type")
    >>> table.columns.tolist()
    ['cluster', 'lineage', 'mean', 'sem', 'n_cells']
    """
    fates, groups = _read(adata, backward, lineages, cluster_key, clusters)
    rows = []
    for cluster, cells in groups.items():
        values = fates.X[cells]
        n = np.isfinite(values).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):  # NaN where no cell has a value
            mean = np.nansum(values, axis=0) / n
            error = np.sqrt(np.nansum((values - mean) ** 2, axis=0)) / n
        rows += [
            (cluster, str(name), float(mean[k]), float(error[k]), int(n[k]))
            for k, name in enumerate(fates.names)
        ]
    return pd.DataFrame(rows, columns=["cluster", "lineage", "mean", "sem", "n_cells"])


def _read(
    adata: AnnData, backward: bool, lineages: Any, cluster_key: str | None, clusters: Any
) -> tuple[Lineage, dict[str, NDArray[np.bool_]]]:
    """The chosen lineages, and the cells of each chosen cluster."""
    fates = Lineage.from_adata(adata, backward=backward)
    if lineages is not None:
        chosen = [lineages] if isinstance(lineages, str) else list(lineages)
        if not chosen:
            raise InvalidDataError(f"No lineages have been selected. Choose from {fates.names.tolist()}.")
        fates = fates[chosen]
    if cluster_key is None:
        return fates, {ALL: np.ones(adata.n_obs, dtype=bool)}
    column = _adata.column(adata, cluster_key).astype("category")
    there = [c for c in column.cat.categories if (column == c).any()]
    if clusters is not None:
        by_name = {str(c): c for c in there}
        given = [clusters] if isinstance(clusters, str) else list(clusters)
        for name in given:
            if str(name) not in by_name:
                raise MissingDataError(
                    f"Unable to find the cluster {name!r} in `adata.obs[{cluster_key!r}]`."
                    f"{suggest(name, by_name)}"
                )
        there = [by_name[str(name)] for name in dict.fromkeys(given)]
    return fates, {str(c): (column == c).to_numpy() for c in there}


def aggregate_fate_probabilities(
    adata: AnnData,
    mode: Mode = "paga_pie",
    backward: bool = False,
    lineages: str | Sequence[str] | None = None,
    cluster_key: str | None = "clusters",
    clusters: str | Sequence[str] | None = None,
    basis: str | None = None,
    cbar: bool = True,
    ncols: int | None = None,
    sharey: bool = False,
    fmt: str = "0.2f",
    xrot: float = 90,
    legend_kwargs: Mapping[str, Any] | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes | list[Axes] | None:
    """Draw the fate probabilities of clusters.

    Parameters
    ----------
    adata : AnnData
        With fate probabilities. Not changed.
    mode : str, default "paga_pie"
        ``"bar"``: means with their standard errors, a panel for each cluster; ``"violin"``: distributions, a
        panel for each lineage;
        ``"heatmap"``, ``"clustermap"``: table of means, the latter ordered by similarity, with trees;
        ``"paga"``: means as colours of the nodes of a PAGA graph, a panel for each lineage; ``"paga_pie"``:
        as pies in one graph.
    backward, lineages, cluster_key, clusters
        See :func:`aggregated_frame`, which returns the numbers. `cluster_key` can be None for bar and violin;
        the PAGA modes take all clusters.
    basis : str, optional
        Embedding to draw below the PAGA graph, whose nodes are put into the middle of their clusters.
        Default: the layout in `uns["paga"]["pos"]`, or one made of the graph, without cells.
    cbar : bool, default True
        Draw colour bars.
    ncols : int, optional
        Panels per row.
    sharey : bool, default False
        Same limits in all panels of bar and violin.
    fmt : str, default "0.2f"
        Of numbers in a heatmap.
    xrot : float, default 90
        Turn names on the horizontal axis by so many degrees.
    legend_kwargs : dict, optional
        For the legend of ``"paga_pie"``; `loc` may be None. Default: ``{"loc": "best"}``.
    figsize, dpi
        Of a new figure, in inches and dots per inch.
    save : path, optional
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    ax : matplotlib.axes.Axes, optional
        Draw here, if there is one panel.
    **kwargs
        `title`; for tables `cmap`, `annot`, and for trees `method`, `metric`; for PAGA `threshold`,
        `node_size_scale`, `edge_width_scale`, `fontsize`, `cmap`, and `legend_loc`, None for no names of
        clusters; for bars and violins what ``matplotlib.axes.Axes.bar`` and ``violinplot`` take.

    Returns
    -------
    matplotlib.axes.Axes, list of them for several panels, or None
        None when the figure is shown.

    Raises
    ------
    InvalidOptionError
        For an unknown mode, or `cluster_key=None` where clusters are needed.
    MissingDataError
        If something named is not there; for the PAGA modes, `uns["paga"]`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> ax = fc.pl.aggregate_fate_probabilities(adata, mode="heatmap", cluster_key="cell_type", show=False)
    """
    from ferrocyte.pl._common import is_shown

    check_option(mode, "mode", MODES)
    if cluster_key is None and mode not in ("bar", "violin"):
        raise InvalidOptionError(f"Expected `cluster_key` for `mode={mode!r}`, found None.")
    frame = {"figsize": figsize, "dpi": dpi, "save": save, "show": show, "ax": ax}
    chosen = (adata, backward, lineages, cluster_key, clusters)
    if mode in ("paga", "paga_pie"):
        axes = _draw_graph(mode, *chosen[:4], basis, cbar, ncols, legend_kwargs, frame, kwargs)
    else:
        axes = _draw_clusters(mode, *chosen, cbar, ncols, sharey, fmt, xrot, frame, kwargs)
    return None if is_shown(save, show, ours=ax is None) else axes


def _draw_graph(
    mode: str,
    adata: AnnData,
    backward: bool,
    lineages: str | Sequence[str] | None,
    cluster_key: str | None,
    basis: str | None,
    cbar: bool,
    ncols: int | None,
    legend_kwargs: Mapping[str, Any] | None,
    frame: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> Axes | list[Axes]:
    """The modes with a PAGA graph, which take all clusters."""
    from ferrocyte.pl import _paga

    fates, groups = _read(adata, backward, lineages, cluster_key, None)
    graph = _paga.read(adata, str(cluster_key), list(groups), basis)
    means = _square(aggregated_frame(adata, backward, lineages, cluster_key), fates)
    if mode == "paga":
        return _paga.draw_means(graph, means, cbar=cbar, ncols=ncols, basis=basis, frame=frame, **kwargs)
    colors = dict(zip(map(str, fates.names), map(str, fates.colors), strict=True))
    legend = {"loc": "best", **(legend_kwargs or {})}
    options = {"title": cluster_key, **kwargs}
    return _paga.draw_pies(graph, means, colors, legend_kwargs=legend, basis=basis, frame=frame, **options)


def _draw_clusters(
    mode: str,
    adata: AnnData,
    backward: bool,
    lineages: str | Sequence[str] | None,
    cluster_key: str | None,
    clusters: str | Sequence[str] | None,
    cbar: bool,
    ncols: int | None,
    sharey: bool,
    fmt: str,
    xrot: float,
    frame: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> Axes | list[Axes]:
    """Bars, violins and tables."""
    from ferrocyte.pl import _aggregate_panels as draw

    fates, groups = _read(adata, backward, lineages, cluster_key, clusters)
    shared: dict[str, Any] = {"ncols": ncols, "sharey": sharey, "xrot": xrot, "frame": frame}
    if mode == "violin":
        return draw.violins(adata, cluster_key, fates, groups, **shared, **kwargs)
    table = aggregated_frame(adata, backward, lineages, cluster_key, clusters)
    if mode == "bar":
        return draw.bars(table, fates, **shared, **kwargs)
    function = draw.table_of_means if mode == "heatmap" else draw.clustered_means
    return function(_square(table, fates).T, fmt=fmt, xrot=xrot, cbar=cbar, frame=frame, **kwargs)


def _square(table: pd.DataFrame, fates: Lineage) -> pd.DataFrame:
    """Means, clusters as rows and lineages as columns, in their orders."""
    wide = table.pivot(index="cluster", columns="lineage", values="mean")
    return wide.loc[list(dict.fromkeys(table["cluster"])), [str(n) for n in fates.names]]
