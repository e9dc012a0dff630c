"""Genes whose trends along a lineage have the same shape."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ferrocyte import _adata, _keys
from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    MissingPackageError,
    suggest,
    warn_user,
)
from ferrocyte._options import check_count, check_number
from ferrocyte.models import BaseModel, Signal
from ferrocyte.pl._fits import UNSET, Models, fit_signals, resolve_signals
from ferrocyte.pl.trend_heatmap import raw_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["cluster_trends", "cluster_trends_frame", "group_trends"]

CLUSTERS, POINTS, PCA = "clusters", "x_test", "X_pca"


def group_trends(
    models: Models,
    lineage: str | None,
    *,
    norm: bool = True,
    random_state: int | None = None,
    pca_kwargs: Mapping[str, Any] | None = None,
    neighbors_kwargs: Mapping[str, Any] | None = None,
    clustering_kwargs: Mapping[str, Any] | None = None,
) -> AnnData:
    """Find groups of trends: communities in the nearest-neighbor graph of their shapes.

    Parameters
    ----------
    models : dict
        From :func:`fit_trends`.
    lineage : str or None
        Which lineage.
    norm : bool, default True
        Bring each trend to mean 0 and (population) variance 1; constant ones to 0.
    random_state : int, optional
        Seed of all steps. Default: 0.
    pca_kwargs : dict, optional
        For ``sklearn.decomposition.PCA``; `n_comps` is `n_components`. Default: up to 50 components, full
        decomposition.
    neighbors_kwargs : dict, optional
        For ``scanpy.pp.neighbors``. Default: up to 15 neighbors by the trends themselves, ``use_rep="X"``;
        ``use_rep="X_pca"``: by their principal components.
    clustering_kwargs : dict, optional
        For ``scanpy.tl.leiden``, such as `resolution`.

    Returns
    -------
    AnnData
        A row per gene that could be fitted, a column per test point; `obs["clusters"]`, `var["x_test"]`
        (pseudotime), `obsm["X_pca"]`.

    Raises
    ------
    MissingPackageError
        Without igraph, which leiden needs.
    InvalidDataError
        If no gene has a trend, or trends have different test points.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> genes = adata.var_names.tolist()
    >>> models = fc.pl.fit_trends(
    ...     adata,
    ...     fc.models.GAM(adata),
    ...     genes,
    ...     lineages="A",
    ...     time_key="pseudotime",
    ...     show_progress_bar=False,
    ... )
    >>> trends = fc.pl.group_trends(models, "A", random_state=0)
    >>> trends.shape
    (20, 200)
    """
    table = raw_frame(models, lineage)
    values = table.to_numpy(dtype=np.float64)
    if norm:
        mean, deviation = values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)
        flat = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        values = np.where(flat, 0.0, (values - mean) / np.where(flat, 1.0, deviation))
    out = AnnData(
        values,
        obs=pd.DataFrame(index=table.index.astype(str)),
        var=pd.DataFrame({POINTS: table.columns.to_numpy()}, index=[str(i) for i in range(table.shape[1])]),
    )
    seed = 0 if random_state is None else check_count(random_state, "random_state", least=0)
    n = len(values)
    if n < 3:  # no graph to speak of
        out.obs[CLUSTERS] = pd.Categorical(["0"] * n)
        return out
    try:
        import igraph  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "Clusters of trends need the package igraph, which is not installed. Install it with "
            "`pip install 'ferrocyte[leiden]'`."
        ) from None
    import scanpy as sc
    from sklearn import decomposition

    given = dict(pca_kwargs or {})
    if "n_comps" in given:  # as scanpy calls it
        given["n_components"] = given.pop("n_comps")
    reduce = {
        "n_components": min(50, n - 1, values.shape[1]), "svd_solver": "full", "random_state": seed,
        **given,
    }  # fmt: skip
    out.obsm[PCA] = decomposition.PCA(**reduce).fit_transform(values)
    near = {"use_rep": "X", "n_neighbors": min(15, n - 1), "random_state": seed, **(neighbors_kwargs or {})}
    sc.pp.neighbors(out, **near)
    found = {
        "flavor": "igraph", "n_iterations": 2, "directed": False, "random_state": seed,
        **(clustering_kwargs or {}), "key_added": CLUSTERS,
    }  # fmt: skip
    sc.tl.leiden(out, **found)
    return out


def cluster_trends_frame(trends: AnnData, clusters: Sequence[Any] | None = None) -> pd.DataFrame:
    """The numbers of clustered trends.

    Parameters
    ----------
    trends : AnnData
        From :func:`group_trends`, or from `uns` of what :func:`cluster_trends` was called with.
    clusters : sequence, optional
        Which of them, in this order. Default: all.

    Returns
    -------
    pandas.DataFrame
        One row per gene and test point: `cluster`, `gene`, `x` (pseudotime), `y`.

    Raises
    ------
    MissingDataError
        If there is no such cluster.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> genes = adata.var_names.tolist()
    >>> models = fc.pl.fit_trends(
    ...     adata,
    ...     fc.models.GAM(adata),
    ...     genes,
    ...     lineages="A",
    ...     time_key="pseudotime",
    ...     show_progress_bar=False,
    ... )
    >>> table = fc.pl.cluster_trends_frame(fc.pl.group_trends(models, "A", random_state=0))
    >>> table.columns.tolist()
    ['cluster', 'gene', 'x', 'y']
    """
    members = _members(trends, clusters)
    x = trends.var[POINTS].to_numpy(dtype=np.float64)
    values: NDArray[np.float64] = np.asarray(trends.X)
    parts = [
        pd.DataFrame(
            {
                "cluster": name,
                "gene": np.repeat(trends.obs_names.to_numpy()[rows], len(x)),
                "x": np.tile(x, int(rows.sum())),
                "y": values[rows].ravel(),
            }
        )
        for name, rows in members.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _members(trends: AnnData, clusters: Sequence[Any] | None) -> dict[str, NDArray[np.bool_]]:
    column = trends.obs[CLUSTERS].astype("category")
    known = [str(c) for c in column.cat.categories]
    given = known if clusters is None else [clusters] if isinstance(clusters, str) else list(clusters)
    if not given:
        raise InvalidOptionError(f"Expected at least one of the clusters {known}, found none.")
    labels = column.astype(str).to_numpy()
    for name in given:
        if str(name) not in known:
            raise MissingDataError(f"Unable to find the cluster {name!r} of trends.{suggest(name, known)}")
    return {str(name): labels == str(name) for name in dict.fromkeys(given)}


def cluster_trends(
    adata: AnnData,
    model: BaseModel | Mapping[str, Any],
    genes: str | Signal | Sequence[str | Signal],
    lineage: str,
    time_key: str = UNSET,
    backward: bool = False,
    time_range: Any = None,
    clusters: Sequence[Any] | None = None,
    n_points: int = 200,
    covariate_key: str | Sequence[str] | None = None,
    ratio: float = 0.05,
    cmap: Any = "viridis",
    norm: bool = True,
    recompute: bool = False,
    callback: Callable[..., BaseModel] | Mapping[str, Any] | None = None,
    ncols: int = 3,
    sharey: bool = False,
    key: str | None = None,
    random_state: int | None = None,
    show_progress_bar: bool = True,
    n_jobs: int | None = None,
    backend: str = "loky",
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    pca_kwargs: Mapping[str, Any] | None = None,
    neighbors_kwargs: Mapping[str, Any] | None = None,
    clustering_kwargs: Mapping[str, Any] | None = None,
    return_models: bool = False,
    return_figure: bool = False,
    *,
    gene_symbols: str | None = None,
    show: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Group genes by the shape of their trends along a lineage, and draw the groups.

    Parameters
    ----------
    adata, model, time_key, backward, time_range, callback, gene_symbols, n_jobs
        See :func:`fit_trends`. `adata.uns` gets the groups.
    genes : str, Signal or sequence of them
        What to group.
    lineage : str
        Which lineage.
    clusters : sequence, optional
        Draw these, in this order. Default: all.
    n_points : int, default 200
        Number of test points.
    covariate_key : str or list of str, optional
        Columns of `obs`, drawn below as a strip: what most cells of the lineage are, or their mean.
    ratio : float, default 0.05
        Height of a strip, as a share of that of a panel.
    cmap : str or Colormap, default "viridis"
        Of strips of numbers.
    norm, random_state, pca_kwargs, neighbors_kwargs, clustering_kwargs
        See :func:`group_trends`.
    recompute : bool, default False
        Do not use the groups that are there already.
    ncols : int, default 3
        Panels per row.
    sharey : bool, default False
        Same limits in all panels.
    key : str, optional
        Of `uns`. Default: ``"lineage_<lineage>_trend"``.
    backend : str, default "loky"
        Has no effect.
    show_progress_bar : bool, default True
    figsize, dpi
        Of the figure, in inches and dots per inch.
    save : path, optional
    return_models, return_figure : bool, default False
        What to return.
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved or returned.
    **kwargs
        For :meth:`ferrocyte.models.BaseModel.prepare`.

    Returns
    -------
    None, or what is asked for
        `return_models`: ``{name of gene: {lineage: model}}``; `return_figure`: the figure; if both, a tuple.
        `uns` has what :func:`group_trends` returns; :func:`cluster_trends_frame` gives its numbers.

    Raises
    ------
    MissingPackageError
        Without igraph, which leiden needs.
    MissingDataError
        If there is no such cluster or covariate.
    InvalidDataError
        If something else than groups of trends is stored under `key`.
    InvalidOptionError, InvalidTypeError, FitError
        See :func:`fit_trends`.

    Warns
    -----
    FerrocyteWarning
        If the groups that are there already are of other genes.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> figure = fc.pl.cluster_trends(
    ...     adata,
    ...     fc.models.GAM(adata),
    ...     adata.var_names.tolist(),
    ...     lineage="A",
    ...     time_key="pseudotime",
    ...     random_state=0,
    ...     return_figure=True,
    ...     show_progress_bar=False,
    ... )
    >>> adata.uns["lineage_A_trend"].shape
    (20, 200)
    """
    from ferrocyte.pl._heatmap import as_colormap

    if not isinstance(lineage, str):
        raise InvalidTypeError(f"Expected `lineage` to be a string, found `{type(lineage).__name__}`.")
    check_number(ratio, "ratio", above=0.0)
    check_count(ncols, "ncols")
    resolved = resolve_signals(
        adata,
        genes,
        data_key=kwargs.pop("data_key", UNSET),
        use_raw=kwargs.pop("use_raw", UNSET),
        gene_symbols=gene_symbols,
    )
    as_colormap(cmap)
    covariates = [covariate_key] if isinstance(covariate_key, str) else list(covariate_key or ())
    for name in covariates:
        _adata.column(adata, name)
    n_points = kwargs.pop("n_test_points", n_points)  # its name everywhere else
    if n_points is not None:
        check_count(n_points, "n_points", least=2)
    key = _keys.trend(lineage) if key is None else key
    trends = None if recompute else _stored(adata, key, resolved)
    fits = None
    if trends is None or return_models:
        fits = fit_signals(
            adata, model, resolved, [lineage], time_key=time_key, backward=backward, time_range=time_range,
            callback=callback, n_jobs=n_jobs, backend=backend, show_progress_bar=show_progress_bar,
            n_test_points=n_points, **kwargs,
        )  # fmt: skip
    fresh = trends is None
    if trends is None:
        assert fits is not None
        trends = group_trends(
            fits.models, lineage, norm=norm, random_state=random_state, pca_kwargs=pca_kwargs,
            neighbors_kwargs=neighbors_kwargs, clustering_kwargs=clustering_kwargs,
        )  # fmt: skip
    figure = _draw(
        adata, trends, lineage, time_key, backward, clusters=clusters, covariates=covariates, ratio=ratio,
        cmap=cmap, ncols=ncols, sharey=sharey, figsize=figsize, dpi=dpi, save=save,
        show=False if show is None and return_figure else show,
    )  # fmt: skip
    if fresh:
        adata.uns[key] = trends
    out: list[Any] = [fits.returned()] if return_models and fits is not None else []
    out += [figure] if return_figure else []
    return None if not out else out[0] if len(out) == 1 else tuple(out)


def _stored(adata: AnnData, key: str, genes: Mapping[str, Signal]) -> AnnData | None:
    """Groups of an earlier call."""
    if key not in adata.uns:
        return None
    found = adata.uns[key]
    if not (isinstance(found, AnnData) and CLUSTERS in found.obs and POINTS in found.var):
        raise InvalidDataError(
            f"Expected `adata.uns[{key!r}]` to hold clusters of trends, found `{type(found).__name__}`. Pass "
            "another `key`, or `recompute=True` to replace it."
        )
    missing = [g for g in genes if g not in found.obs_names]
    if missing or len(genes) < found.n_obs:
        warn_user(
            f"The clusters in `adata.uns[{key!r}]` were made of other genes ({len(missing)} of {len(genes)} "
            "are not there). Pass `recompute=True` to make them anew."
        )
    return found


def _draw(
    adata: AnnData,
    trends: AnnData,
    lineage: str,
    time_key: str,
    backward: bool,
    *,
    clusters: Sequence[Any] | None,
    covariates: Sequence[str],
    ratio: float,
    cmap: Any,
    ncols: int,
    sharey: bool,
    figsize: tuple[float, float] | None,
    dpi: float | None,
    save: str | os.PathLike[str] | None,
    show: bool | None,
) -> Any:
    import matplotlib.pyplot as plt

    from ferrocyte.pl._common import category_colors, finish, legend_of_groups
    from ferrocyte.pl._heatmap import as_colormap
    from ferrocyte.pl._strips import Along, draw_strip

    keys = list(covariates)
    members = _members(trends, clusters)
    x = trends.var[POINTS].to_numpy(dtype=np.float64)
    along = Along(adata, time_key, backward) if keys else None
    even = np.linspace(x[0], x[-1], len(x))  # as pixels are
    strips = {k: along.covariate(even, lineage, k) for k in keys} if along is not None else {}
    values: NDArray[np.float64] = np.asarray(trends.X)
    columns = min(ncols, len(members))
    rows, each = -(-len(members) // columns), 1 + len(keys)
    height = 2.5 * (1 + 1.6 * ratio * len(keys))
    figure, grid = plt.subplots(
        rows * each, columns, squeeze=False, layout="constrained", dpi=dpi,
        figsize=figsize or (3.5 * columns + 0.4, height * rows + 0.3),
        gridspec_kw={"height_ratios": [1.0, *([ratio] * len(keys))] * rows},
    )  # fmt: skip
    try:
        figure.set_layout_engine("constrained", h_pad=0.03, hspace=0.0)
        legends: dict[str, dict[Any, str]] = {}
        panels = []
        for at, (name, mask) in enumerate(members.items()):
            row, column = divmod(at, columns)
            ax = grid[row * each, column]
            panels.append(ax)
            _draw_cluster(ax, x, values[mask], name)
            for k, (covariate, along_x) in enumerate(strips.items(), start=1):
                below = grid[row * each + k, column]
                table = None
                if isinstance(along_x, pd.Categorical):
                    table = category_colors(adata, covariate, list(along_x.categories))
                    legends[covariate] = {c: table[c] for c in along_x.categories if (along_x == c).any()}
                draw_strip(
                    below, even, along_x, colors=table, cmap=as_colormap(cmap),
                    label=covariate if column == 0 else "",
                )  # fmt: skip
                below.tick_params(labelsize=7)
            last = grid[row * each + len(keys), column]
            if keys:
                ax.tick_params(labelbottom=False)
                last.set_xticks(ax.get_xticks())
                last.tick_params(axis="x", length=3)
                last.set_xlim(x[0], x[-1])
            if row == rows - 1 or at + columns >= len(members):
                last.set_xlabel(time_key if isinstance(time_key, str) else "pseudotime")
            if column == 0:
                ax.set_ylabel("trend")
        for at in range(len(members), rows * columns):
            for k in range(each):
                grid[(at // columns) * each + k, at % columns].remove()
        if sharey:
            limits = [ax.get_ylim() for ax in panels]
            for ax in panels:
                ax.set_ylim(min(a for a, _ in limits), max(b for _, b in limits))
        legend_of_groups(figure, legends, 8.0)
        finish(panels[0], save=save, show=show, dpi=dpi)
    except BaseException:
        plt.close(figure)
        raise
    return figure


def _draw_cluster(ax: Axes, x: NDArray[np.float64], rows: NDArray[np.float64], name: str) -> None:
    """Trends of a cluster, and their mean."""
    from matplotlib.collections import LineCollection

    from ferrocyte.pl._common import ink

    faint = float(np.clip(6.0 / max(len(rows), 1), 0.12, 0.6))
    lines = [np.column_stack([x, row]) for row in rows]
    ax.add_collection(LineCollection(lines, colors="#4a6785", linewidths=0.8, alpha=faint))
    ax.plot(x, rows.mean(axis=0), color=ink(), lw=2)
    ax.autoscale_view()
    ax.margins(x=0)
    ax.set_xlim(x[0], x[-1])
    genes = "1 gene" if len(rows) == 1 else f"{len(rows)} genes"
    ax.set_title(f"cluster {name} ({genes})", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
