"""Trends of genes and other numbers along lineages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, warn_user
from ferrocyte._options import check_count
from ferrocyte.models import BaseModel, Signal
from ferrocyte.pl._fits import UNSET, Models, choose_lineages, fit_signals, resolve_signals
from ferrocyte.pl._trend_panels import draw_grid, draw_together

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["fit_trends", "gene_trends", "trends_frame"]


def fit_trends(
    adata: AnnData,
    model: BaseModel | Mapping[str, Any],
    signals: str | Signal | Sequence[str | Signal],
    time_key: str,
    lineages: str | Sequence[str | None] | None = None,
    backward: bool = False,
    *,
    time_range: Any = None,
    conf_int: bool | float = True,
    callback: Callable[..., BaseModel] | Mapping[str, Any] | None = None,
    gene_symbols: str | None = None,
    n_jobs: int | None = None,
    show_progress_bar: bool = True,
    **kwargs: Any,
) -> Models:
    """Fit trends, to be drawn by several figures.

    Parameters
    ----------
    adata : AnnData
        With pseudotime and, unless ``lineages=[None]``, fate probabilities. Not changed.
    model : BaseModel or dict
        One model, copied for each fit, or ``{name of signal: model}``, or ``{name of signal: {lineage:
        model}}``; ``"*"`` stands for all that are not named. What was fitted before and is given by lineage,
        as this function returns it, is taken as it is.
    signals : str, Signal or sequence of them
        Names of genes, or :class:`~ferrocyte.models.Gene`, :class:`~ferrocyte.models.Obs`,
        :class:`~ferrocyte.models.Obsm`.
    time_key : str
        Column of `obs` with the pseudotime.
    lineages : str or list, optional
        Default: all. ``[None]``: all cells count the same.
    backward : bool, default False
        Direction of the process.
    time_range : float, (float or None, float or None) or list of them, optional
        Window of pseudotime, see :meth:`ferrocyte.models.BaseModel.prepare`; a list has one for each lineage.
    conf_int : bool or float, default True
        Compute confidence intervals; a number is their level, 0.95 by default.
    callback : callable or dict, optional
        ``callback(model, gene=..., lineage=..., time_range=..., **kwargs)`` returns the model, prepared. One
        with a parameter `signal` gets the signal in place of the name of the gene. A dict is like that of
        `model`.
    gene_symbols : str, optional
        Column of `var` by which genes are named.
    n_jobs : int, optional
        Number of threads; None for `settings.n_jobs`, -1 for all cores. The result does not depend on it.
    show_progress_bar : bool, default True
    **kwargs
        For :meth:`ferrocyte.models.BaseModel.prepare`: `threshold`, `weight_threshold`, `filter_cells`,
        `n_test_points`.

    Returns
    -------
    dict
        ``{name of signal: {lineage: model}}``. What failed is a :class:`~ferrocyte.models.FailedModel`.

    Raises
    ------
    InvalidOptionError, InvalidTypeError
        If `model` or `callback` is incomplete or of another type, or signals have the same name.
    MissingDataError
        If pseudotime, fate probabilities or a lineage are not there.
    FitError
        If a callback does not return its model, prepared.
    BaseException
        If all models fail: the first failure; says ``Fatal model``.

    Warns
    -----
    FerrocyteWarning
        If some models fail; names them.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> genes = adata.var_names[:3].tolist()
    >>> models = fc.pl.fit_trends(
    ...     adata, fc.models.GAM(adata), genes, time_key="pseudotime", show_progress_bar=False
    ... )
    >>> list(models["gene00000"])
    ['A', 'B', 'C']
    """
    resolved = resolve_signals(
        adata,
        signals,
        data_key=kwargs.pop("data_key", UNSET),
        use_raw=kwargs.pop("use_raw", UNSET),
        gene_symbols=gene_symbols,
    )
    return fit_signals(
        adata, model, resolved, lineages, time_key=time_key, backward=backward, time_range=time_range,
        conf_int=conf_int, callback=callback, n_jobs=n_jobs, show_progress_bar=show_progress_bar, **kwargs,
    ).returned()  # fmt: skip


def trends_frame(models: Models) -> pd.DataFrame:
    """The numbers of trends.

    Parameters
    ----------
    models : dict
        From :func:`fit_trends`, or from a figure with `return_models`.

    Returns
    -------
    pandas.DataFrame
        One row per signal, lineage and test point: `signal`, `lineage`, `x` (pseudotime), `y`, and `lower`
        and `upper`, NaN without an interval. Models that failed are not there.

    Raises
    ------
    InvalidDataError
        If every model failed.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> models = fc.pl.fit_trends(
    ...     adata, fc.models.GAM(adata), ["gene00000"], time_key="pseudotime", show_progress_bar=False
    ... )
    >>> fc.pl.trends_frame(models).columns.tolist()
    ['signal', 'lineage', 'x', 'y', 'lower', 'upper']
    """
    parts = []
    for signal, row in models.items():
        for lineage, model in row.items():
            if not model:
                continue
            table = pd.DataFrame({"signal": signal, "lineage": lineage, "x": model.x_test[:, 0]})
            table["y"] = np.asarray(model.y_test, dtype=np.float64)
            interval = np.full((len(table), 2), np.nan) if model.conf_int is None else model.conf_int
            table["lower"], table["upper"] = interval[:, 0], interval[:, 1]
            parts.append(table)
    if not parts:
        raise InvalidDataError("Expected at least one model that did not fail, found none.")
    return pd.concat(parts, ignore_index=True)


def gene_trends(
    adata: AnnData,
    model: BaseModel | Mapping[str, Any],
    signals: str | Signal | Sequence[str | Signal] | None = None,
    time_key: str = UNSET,
    lineages: str | Sequence[str | None] | None = None,
    backward: bool = False,
    data_key: str | None = UNSET,
    time_range: Any = None,
    transpose: bool = False,
    callback: Callable[..., BaseModel] | Mapping[str, Any] | None = None,
    conf_int: bool | float = True,
    same_plot: bool = False,
    hide_cells: bool = False,
    perc: tuple[float, float] | Sequence[tuple[float, float]] | None = None,
    lineage_cmap: Any = None,
    fate_prob_cmap: Any = "viridis",
    cell_color: str | None = None,
    cell_alpha: float = 0.6,
    lineage_alpha: float = 0.2,
    size: float = 15,
    lw: float = 2,
    cbar: bool = True,
    margins: float = 0.015,
    sharex: Any = None,
    sharey: Any = None,
    gene_as_title: bool | None = None,
    legend_loc: str | int | None = "best",
    obs_legend_loc: str | int | None = "best",
    ncols: int = 2,
    suptitle: str | None = None,
    return_models: bool = False,
    n_jobs: int | None = None,
    backend: str = "loky",
    show_progress_bar: bool = True,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    return_figure: bool = False,
    plot_kwargs: Mapping[str, Any] | None = None,
    genes: str | Sequence[str] | None = None,
    *,
    use_raw: bool = UNSET,
    gene_symbols: str | None = None,
    show: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Draw trends along lineages.

    Parameters
    ----------
    adata, model, signals, time_key, lineages, backward, time_range, callback, conf_int, gene_symbols, n_jobs
        See :func:`fit_trends`.
    transpose : bool, default False
        Lineages as rows and signals as columns; with `same_plot`, a panel per lineage with all signals,
        without cells.
    same_plot : bool, default False
        One panel per signal with all lineages, instead of one per signal and lineage.
    hide_cells : bool, default False
        Leave out the cells.
    perc : (float, float) or list of them, optional
        Percentiles at which the colours of the cells are cut; a list has one pair per lineage.
    lineage_cmap : str, Colormap or list of colours, optional
        Of the trends, by lineage or, transposed in the same panel, by signal. Default: the colours of the
        lineages.
    fate_prob_cmap : str or Colormap, default "viridis"
        For continuous colours of cells.
    cell_color : str, optional
        A colour, a column of `obs`, or a gene. Default: the fate probability.
    cell_alpha, lineage_alpha : float, default 0.6, 0.2
        Opacity of cells and of intervals, in [0, 1].
    size, lw : float, default 15, 2
        Area of a point in square points; width of a line in points.
    cbar : bool, default True
        Draw a colour bar beside each row.
    margins : float, default 0.015
        Around the data, as a part of their range.
    sharex, sharey : bool or {"none", "all", "row", "col"}, optional
        Same limits. Default: of pseudotime for a lineage, of values for a signal; with `same_plot`, none.
    gene_as_title : bool, optional
        Name signals in titles, instead of on the vertical axis. Default: if `same_plot`.
    legend_loc : str or None, default "best"
        Of the trends in the same panel.
    obs_legend_loc : str or None, default "best"
        Of the cells, if they are coloured by a categorical column.
    ncols : int, default 2
        Panels per row, with `same_plot`.
    suptitle : str, optional
        Title of the figure.
    return_models, return_figure : bool, default False
        What to return.
    backend : str, default "loky"
        Has no effect.
    show_progress_bar : bool, default True
    figsize, dpi
        Of the figure, in inches and dots per inch.
    save : path, optional
    plot_kwargs : dict, optional
        For :meth:`ferrocyte.models.BaseModel.plot`, such as `lineage_probability`.
    genes, data_key, use_raw
        Deprecated forms of `signals`.
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved or returned.
    **kwargs
        For :meth:`ferrocyte.models.BaseModel.prepare`.

    Returns
    -------
    None, dict, matplotlib.figure.Figure or both
        ``{name of signal: {lineage: model}}`` if `return_models`, the figure if `return_figure`; if both,
        a tuple of them. :func:`trends_frame` gives the numbers of the models.

    Raises
    ------
    InvalidOptionError, InvalidTypeError, MissingDataError, FitError
        See :func:`fit_trends`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> genes = adata.var_names[:3].tolist()
    >>> figure = fc.pl.gene_trends(
    ...     adata,
    ...     fc.models.GAM(adata),
    ...     genes,
    ...     time_key="pseudotime",
    ...     return_figure=True,
    ...     show_progress_bar=False,
    ... )
    >>> figure.savefig("trends.png")
    """
    from ferrocyte.pl._common import legend_place

    if genes is not None:
        if signals is not None:
            raise InvalidTypeError("Expected either `signals` or `genes`, found both. Leave `genes` out.")
        warn_user("`genes` will be deprecated. Use `signals` instead.", DeprecationWarning)
        signals = genes
    resolved = resolve_signals(adata, signals, data_key=data_key, use_raw=use_raw, gene_symbols=gene_symbols)
    check_count(ncols, "ncols")
    for place in (legend_loc, obs_legend_loc):
        legend_place(place)
    look = {
        "hide_cells": hide_cells, "fate_prob_cmap": fate_prob_cmap, "cell_color": cell_color,
        "alpha": cell_alpha, "lineage_alpha": lineage_alpha, "size": size, "lw": lw, "margins": margins,
        "conf_int": conf_int is not False, "xlabel": time_key, **(plot_kwargs or {}),
    }  # fmt: skip
    percs = _percentiles(perc, choose_lineages(adata, lineages, backward)[0])
    fits = fit_signals(
        adata, model, resolved, lineages, time_key=time_key, backward=backward, time_range=time_range,
        conf_int=conf_int, callback=callback, n_jobs=n_jobs, backend=backend,
        show_progress_bar=show_progress_bar, **kwargs,
    )  # fmt: skip
    show = False if show is None and return_figure else show
    frame = {"figsize": figsize, "dpi": dpi, "save": save, "show": show, "suptitle": suptitle}
    as_title = same_plot if gene_as_title is None else gene_as_title
    share = (sharex, sharey)
    draw = draw_together if same_plot else draw_grid
    figure = draw(
        adata, fits, look, frame, share, transpose=transpose, as_title=as_title, cbar=cbar, percs=percs,
        cmap=lineage_cmap, legend_loc=legend_loc, obs_legend_loc=obs_legend_loc, ncols=ncols,
    )  # fmt: skip
    if return_models:
        return (fits.returned(), figure) if return_figure else fits.returned()
    return figure if return_figure else None


def _percentiles(perc: Any, lineages: Sequence[str | None]) -> dict[str | None, Any]:
    """Where the colours of cells are cut, by lineage."""
    each = [perc] * len(lineages)
    if perc is not None and np.ndim(perc) == 2:
        each = list(perc)
        if len(each) != len(lineages):
            raise InvalidOptionError(
                f"Expected `perc` to have {len(lineages)} entries, one per lineage, found {len(each)}."
            )
    for pair in each:
        if pair is not None and not (np.shape(pair) == (2,) and 0 <= pair[0] < pair[1] <= 100):
            raise InvalidOptionError(
                f"Expected `perc` to be two increasing numbers from 0 to 100, or one such pair per lineage, "
                f"found {perc!r}."
            )
    return dict(zip(lineages, each, strict=True))
