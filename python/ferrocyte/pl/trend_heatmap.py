"""Trends of many genes as rows of colours."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ferrocyte import _adata
from ferrocyte._errors import InvalidDataError, MissingDataError, suggest
from ferrocyte._options import check_count, check_number, check_option
from ferrocyte.models import BaseModel, Signal
from ferrocyte.pl._fits import UNSET, Fits, Models, fit_signals, resolve_signals

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["heatmap", "heatmap_frame", "raw_frame"]


def heatmap_frame(
    models: Models,
    lineage: str | None,
    *,
    n_convolve: int | None = 5,
    scale: bool = True,
    cluster_genes: bool = False,
    gene_order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute the rows of a heatmap of trends.

    Parameters
    ----------
    models : dict
        From :func:`fit_trends`, or from a figure with `return_models`.
    lineage : str or None
        Which lineage.
    n_convolve : int or None, default 5
        Width of the running mean over test points, which continues with the values at the ends.
    scale : bool, default True
        Bring each gene to [0, 1]; constant ones to 0.
    cluster_genes : bool, default False
        Order genes by similarity (average linkage of Euclidean distances) instead of by their maximum.
    gene_order : sequence of str, optional
        Genes that come first, in this order.

    Returns
    -------
    pandas.DataFrame
        A row per gene, a column per test point, named by its pseudotime. Genes are ordered by the position of
        their maximum. Those that failed are not there.

    Raises
    ------
    InvalidDataError
        If no gene has a trend, or trends have different test points.
    MissingDataError
        If `gene_order` names another gene.
    InvalidOptionError
        If `n_convolve` is not positive.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> models = fc.pl.fit_trends(
    ...     adata, fc.models.GAM(adata), adata.var_names[:3], time_key="pseudotime", show_progress_bar=False
    ... )
    >>> fc.pl.heatmap_frame(models, "A").shape
    (3, 200)
    """
    table = raw_frame(models, lineage)
    table[:] = _smooth(table.to_numpy(), n_convolve)
    if scale:
        table[:] = _scaled(table.to_numpy(), axis=1)
    if cluster_genes:
        from ferrocyte.pl._trees import grow_tree

        order = grow_tree(table.to_numpy())[1]
    else:
        order = np.argsort(table.to_numpy().argmax(axis=1), kind="stable").tolist()
    table = table.iloc[order]
    if gene_order is None:
        return table
    first = list(dict.fromkeys(gene_order))
    for name in first:
        if name not in models:
            raise MissingDataError(f"Unable to find {name!r} of `gene_order`.{suggest(name, models)}")
    first = [name for name in first if name in table.index]
    return table.loc[[*first, *(name for name in table.index if name not in first)]]


def raw_frame(models: Models, lineage: str | None) -> pd.DataFrame:
    """Trends along a lineage as they are: genes as rows, test points as columns; raises as above."""
    fitted = {s: row[lineage] for s, row in models.items() if row.get(lineage)}
    if not fitted:
        raise InvalidDataError(f"Expected at least one trend along {lineage!r}, found none.")
    points = {s: np.asarray(m.x_test[:, 0], dtype=np.float64) for s, m in fitted.items()}
    x = next(iter(points.values()))
    for name, other in points.items():
        if len(other) != len(x) or not np.allclose(other, x):
            raise InvalidDataError(
                f"Expected trends along {lineage!r} to have the same test points, found others for {name!r}. "
                "Fit all genes with the same `time_range` and `n_test_points`."
            )
    rows = np.stack([np.asarray(m.y_test, dtype=np.float64) for m in fitted.values()])
    columns = pd.Index(x, name="pseudotime")
    return pd.DataFrame(rows, index=pd.Index(list(fitted), name="gene"), columns=columns)


def _smooth(values: NDArray[np.float64], width: int | None) -> NDArray[np.float64]:
    from scipy.ndimage import uniform_filter1d

    if width is None or check_count(width, "n_convolve") == 1:
        return values
    return np.asarray(uniform_filter1d(values, width, axis=1, mode="nearest"))


def _scaled(values: NDArray[np.float64], axis: int | None) -> NDArray[np.float64]:
    low = values.min(axis=axis, keepdims=True)
    span = values.max(axis=axis, keepdims=True) - low
    # what varies by round-off alone is constant
    flat = span <= 1e-12 * np.maximum(np.abs(low), 1e-300)
    return np.where(flat, 0.0, (values - low) / np.where(flat, 1.0, span))


def heatmap(
    adata: AnnData,
    model: BaseModel | Mapping[str, Any],
    genes: str | Signal | Sequence[str | Signal],
    time_key: str = UNSET,
    lineages: str | Sequence[str | None] | None = None,
    backward: bool = False,
    mode: Literal["lineages", "genes"] = "lineages",
    time_range: Any = None,
    callback: Callable[..., BaseModel] | Mapping[str, Any] | None = None,
    cluster_key: str | Sequence[str] | None = None,
    show_fate_probabilities: bool = False,
    cluster_genes: bool = False,
    keep_gene_order: bool = False,
    scale: bool = True,
    n_convolve: int | None = 5,
    show_all_genes: bool = False,
    cbar: bool = True,
    lineage_height: float = 0.33,
    fontsize: float | None = None,
    xlabel: str | None = None,
    title: str | None = None,
    cmap: Any = "viridis",
    dendrogram: bool = True,
    return_genes: bool = False,
    return_models: bool = False,
    return_figure: bool = False,
    n_jobs: int | None = None,
    backend: str = "loky",
    show_progress_bar: bool = True,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    gene_order: Sequence[str] | None = None,
    *,
    gene_symbols: str | None = None,
    show: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Draw trends of many genes as rows of colours.

    Parameters
    ----------
    adata, model, time_key, lineages, backward, time_range, callback, gene_symbols, n_jobs
        See :func:`fit_trends`.
    genes : str, Signal or sequence of them
        What to draw.
    mode : {"lineages", "genes"}, default "lineages"
        A figure for each lineage, whose rows are genes in the order of their maximum; or one figure with a
        panel for each gene, whose rows are lineages.
    cluster_key : str or list of str, optional
        Columns of `obs`, drawn above as a strip: what most cells of the lineage are, or their mean.
    show_fate_probabilities : bool, default False
        Draw the mean fate probability above as a strip.
    cluster_genes : bool, default False
        Order genes by similarity; only for ``mode="lineages"``.
    keep_gene_order : bool, default False
        Draw all lineages in the order of the first.
    scale : bool, default True
        Bring each gene to [0, 1]; for ``mode="genes"`` over all lineages together.
    n_convolve : int or None, default 5
        Width of the running mean over test points.
    show_all_genes : bool, default False
        Name all genes, also if names overlap.
    cbar : bool, default True
        Draw a colour bar.
    lineage_height : float, default 0.33
        Height of a row of ``mode="genes"``, in inches.
    fontsize : float, optional
        Of names of genes and titles.
    xlabel : str, optional
        Default: `time_key`.
    title : str, optional
        Default: the lineage, for ``mode="lineages"``.
    cmap : str or Colormap, default "viridis"
    dendrogram : bool, default True
        Draw the tree of ``cluster_genes=True``.
    return_genes, return_models, return_figure : bool, default False
        What to return; with the figures comes the order of genes, too.
    backend : str, default "loky"
        Has no effect.
    show_progress_bar : bool, default True
    figsize, dpi
        Of each figure, in inches and dots per inch.
    save : path, optional
        For several lineages a folder, with ``lineage_<name>.png`` in it.
    gene_order : sequence of str, optional
        Genes that come first, in this order.
    show : bool, optional
        Default: show in an interactive session, unless figures are saved or returned.
    **kwargs
        For :meth:`ferrocyte.models.BaseModel.prepare`.

    Returns
    -------
    None, or what is asked for
        `return_models`: ``{name of gene: {lineage: model}}``; `return_figure`: a list of figures, or one for
        ``mode="genes"``, and what `return_genes` gives: the order of genes, a DataFrame with a column per
        lineage, or None for ``mode="genes"``. Several come as a tuple in this order.
        :func:`heatmap_frame` gives the numbers.

    Raises
    ------
    InvalidOptionError, InvalidTypeError, MissingDataError, InvalidDataError, FitError
        See :func:`fit_trends` and :func:`heatmap_frame`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> genes = adata.var_names[:10].tolist()
    >>> fc.pl.heatmap(
    ...     adata,
    ...     fc.models.GAM(adata),
    ...     genes,
    ...     time_key="pseudotime",
    ...     lineages="A",
    ...     save="heatmap.png",
    ...     show_progress_bar=False,
    ... )
    """
    from ferrocyte.pl import _heatmap_panels as draw
    from ferrocyte.pl._heatmap import as_colormap

    check_option(mode, "mode", ("lineages", "genes"))
    check_number(lineage_height, "lineage_height", above=0.0)
    resolved = resolve_signals(
        adata,
        genes,
        data_key=kwargs.pop("data_key", UNSET),
        use_raw=kwargs.pop("use_raw", UNSET),
        gene_symbols=gene_symbols,
    )
    as_colormap(cmap)
    keys = [] if cluster_key is None else [cluster_key] if isinstance(cluster_key, str) else list(cluster_key)
    for key in keys:
        _adata.column(adata, key)
    for name in gene_order or ():
        if name not in resolved:
            raise MissingDataError(f"Unable to find {name!r} of `gene_order`.{suggest(name, resolved)}")
    fits = fit_signals(
        adata, model, resolved, lineages, time_key=time_key, backward=backward, time_range=time_range,
        callback=callback, n_jobs=n_jobs, backend=backend, show_progress_bar=show_progress_bar, **kwargs,
    )  # fmt: skip
    strips = draw.Strips(adata, time_key, backward, keys, show_fate_probabilities)
    look = draw.Look(cmap, fontsize, time_key if xlabel is None else xlabel, title, cbar, figsize, dpi)
    show = False if show is None and (return_figure or save is not None) else show
    order = None
    figures: Any
    if mode == "genes":
        figures = draw.by_gene(
            fits, strips, look, _gene_panels(fits, n_convolve, scale, gene_order), scale=scale,
            height=lineage_height, save=save, show=show,
        )  # fmt: skip
    else:
        tables: dict[str | None, pd.DataFrame] = {}
        kept = None if gene_order is None else list(gene_order)
        for lineage in _with_trends(fits):
            tables[lineage] = heatmap_frame(
                fits.models, lineage, n_convolve=n_convolve, scale=scale, gene_order=kept,
                cluster_genes=cluster_genes and not (keep_gene_order and tables),
            )  # fmt: skip
            if keep_gene_order and kept is None:
                kept = list(tables[lineage].index)
        order = pd.DataFrame({k: pd.Series(list(t.index)) for k, t in tables.items()})
        tree = cluster_genes and dendrogram and gene_order is None
        figures = []
        with draw.closed_on_errors(figures):
            for lineage, table in tables.items():
                target = _target(save, lineage, len(tables))
                with_tree = tree and not (keep_gene_order and figures)
                draw.by_lineage(
                    figures, fits, strips, look, lineage, table, with_tree=with_tree,
                    all_names=show_all_genes, scale=scale, save=target, show=show,
                )  # fmt: skip
    out: list[Any] = [fits.returned()] if return_models else []
    out += [figures] if return_figure else []
    out += [order] if return_genes or return_figure else []
    return None if not out else out[0] if len(out) == 1 else tuple(out)


def _with_trends(fits: Fits) -> list[str | None]:
    """Lineages along which something could be fitted."""
    return [k for k in fits.lineages if any(row.get(k) for row in fits.models.values())]


def _gene_panels(
    fits: Fits, n_convolve: int | None, scale: bool, gene_order: Sequence[str] | None
) -> dict[str, dict[str | None, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """For each gene and lineage: test points and values, scaled over all lineages of a gene."""
    fitted = fits.fitted()
    names = list(dict.fromkeys([*(gene_order or ()), *fitted]))
    out = {}
    for name in (n for n in names if n in fitted):
        rows = {k: _smooth(np.asarray(m.y_test)[None, :], n_convolve)[0] for k, m in fitted[name].items()}
        if scale:
            flat = _scaled(np.concatenate(list(rows.values())), axis=None)
            ends = np.cumsum([len(v) for v in rows.values()])[:-1]
            rows = dict(zip(rows, np.split(flat, ends), strict=True))
        out[name] = {k: (np.asarray(fitted[name][k].x_test[:, 0]), v) for k, v in rows.items()}
    return out


def _target(save: str | os.PathLike[str] | None, lineage: str | None, n: int) -> Path | None:
    if save is None:
        return None
    if n == 1:
        return Path(save)
    name = str(lineage)
    if not name or any(c in name for c in "/\\\0"):
        name = "".join("_" if c in "/\\\0" else c for c in name) or "_"
    return Path(save) / f"lineage_{name}.png"
