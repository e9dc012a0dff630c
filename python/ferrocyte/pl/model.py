"""One trend over the cells it was fitted to."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import InvalidTypeError, MissingDataError, NotComputedError
from ferrocyte.models import GAM, BaseModel, FittedModel, Gene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_model", "trend_frame"]


def trend_frame(
    model: BaseModel, *, lineage_probability: bool = False, lineage_probability_conf_int: bool | float = False
) -> pd.DataFrame:
    """The numbers of a trend.

    Parameters
    ----------
    model : BaseModel
        After `predict`.
    lineage_probability : bool, default False
        Add a trend of the weights, which takes another fit, and scale the others as the figure does: the
        smallest of trend, cells and interval, as far as it is drawn, becomes 0, the largest 1. Not done if
        all weights are 1, and for fitted models.
    lineage_probability_conf_int : bool or float, default False
        Add its confidence interval; a number is the level, 0.95 by default.

    Returns
    -------
    pandas.DataFrame
        One row per test point: `x`, `y`, with an interval `lower` and `upper`, and with
        `lineage_probability` also `probability`, `probability_lower`, `probability_upper`.

    Raises
    ------
    NotComputedError
        Before `predict`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> model = fc.models.GAM(adata).prepare("gene00005", "A", "pseudotime").fit()
    >>> _ = model.predict()
    >>> fc.pl.trend_frame(model).columns.tolist()
    ['x', 'y']
    """
    if model.y_test is None:
        raise NotComputedError("There is no trend to draw. Run `.predict()` first.")
    out = {"x": model.x_test[:, 0], "y": model.y_test}
    if model.conf_int is not None:
        out["lower"], out["upper"] = model.conf_int.T
    if lineage_probability:
        low, high = _range(model)
        for name in set(out) - {"x"}:
            out[name] = (out[name] - low) / (high - low)
        if not isinstance(model, FittedModel) and not np.allclose(model.w, 1.0):
            out.update(_probability(model, lineage_probability_conf_int))
    return pd.DataFrame(out)


def _reach(model: BaseModel) -> tuple[float, float]:
    """How far an interval is drawn: as far as the values reach, once more above and below them.

    Where nothing is known it may be wide without limit, under a log link most of all, and hide all else.
    """
    most = float(np.finfo(np.float32).max)  # what an axis can show
    if model.y_all is None or not model.y_all.size:
        return -most, most
    values = np.append(model.y_all[:, 0], model.y_test)
    low, high = float(values.min()), float(values.max())
    return max(2 * low - high, -most), min(2 * high - low, most)


def _range(model: BaseModel) -> tuple[float, float]:
    values = [v for v in (model.y_test, model.y_all) if v is not None and v.size]
    if model.conf_int is not None:
        values.append(np.clip(model.conf_int, *_reach(model)))
    low, high = min(float(np.min(v)) for v in values), max(float(np.max(v)) for v in values)
    return low, high if high > low else low + 1.0


def _probability(model: BaseModel, conf_int: bool | float) -> dict[str, NDArray[np.float64]]:
    again = copy.deepcopy(model)
    again.fit(y=again.w)
    out = {"probability": again.predict()}
    if conf_int is not False:
        level = 0.95 if conf_int is True else float(conf_int)
        options = {"level": level} if isinstance(again, GAM) else {}
        out["probability_lower"], out["probability_upper"] = again.confidence_interval(**options).T
    return out


@dataclass(frozen=True)
class _Colors:
    """How cells are coloured: one colour, numbers with a label, or categories with a legend."""

    values: Any
    label: str | None = None
    continuous: bool = False
    legend: dict[Any, str] | None = None


def _cell_colors(model: BaseModel, key: Any, same_plot: bool) -> _Colors:
    from matplotlib.colors import is_color_like

    from ferrocyte.pl._common import as_categorical, category_colors, ink

    if key is not None and is_color_like(key):
        return _Colors(key)
    adata = model.adata
    if key is not None:
        if not isinstance(key, str):
            raise InvalidTypeError(f"Expected `cell_color` to be a string, found `{type(key).__name__}`.")
        if adata is None:
            raise MissingDataError(f"Unable to find {key!r}: this model has no annotated data. Give a color.")
        if key in adata.obs:
            names = as_categorical(adata.obs[key])
            if names is None:
                return _Colors(adata.obs[key].to_numpy(dtype=np.float64), key, continuous=True)
            colors = category_colors(adata, key, list(names.categories))
            return _Colors([colors.get(c, "#808080") for c in names], key, legend=colors)
        signal = model.signal
        raw = signal is not None and signal.use_raw and adata.raw is not None and key in adata.raw.var_names
        gene = Gene(key, layer=None if signal is None or raw else signal.layer, use_raw=raw)
        return _Colors(gene.fetch(adata), key, continuous=True)
    if same_plot or np.allclose(model.w_all, 1.0):
        return _Colors(ink())
    return _Colors(model.w_all, "fate probability", continuous=True)


def plot_model(
    model: BaseModel,
    figsize: tuple[float, float] = (8, 5),
    same_plot: bool = False,
    hide_cells: bool = False,
    perc: tuple[float, float] | None = None,
    fate_prob_cmap: Any = "viridis",
    cell_color: str | None = None,
    lineage_color: str = "black",
    alpha: float = 0.8,
    lineage_alpha: float = 0.2,
    title: str | None = None,
    size: float = 15,
    lw: float = 2,
    cbar: bool = True,
    margins: float = 0.015,
    xlabel: str | None = "pseudotime",
    ylabel: str | None = "expression",
    conf_int: bool = True,
    lineage_probability: bool = False,
    lineage_probability_conf_int: bool | float = False,
    lineage_probability_color: str | None = None,
    obs_legend_loc: str | None = "best",
    dpi: float | None = None,
    fig: Figure | None = None,
    ax: Any = None,
    save: str | os.PathLike[str] | None = None,
    *,
    show: bool | None = None,
    **kwargs: Any,
) -> Figure:
    """Draw a trend over its cells; parameters as in :meth:`ferrocyte.models.BaseModel.plot`.

    Parameters
    ----------
    model : BaseModel
        After `predict`.
    show : bool, optional
        Default: show a new figure in an interactive session.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    NotComputedError
        Before `predict`.
    MissingDataError
        If `cell_color` is neither a colour nor in the data.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> model = fc.models.GAM(adata).prepare("gene00005", "A", "pseudotime").fit()
    >>> _ = model.predict()
    >>> figure = fc.pl.plot_model(model, show=False)
    """
    from matplotlib.lines import Line2D

    from ferrocyte.pl._common import drawing, finish, ink, place_legend, root_figure

    if lineage_color == "black":
        lineage_color = ink()
    table = trend_frame(
        model,
        lineage_probability=lineage_probability,
        lineage_probability_conf_int=lineage_probability_conf_int,
    )
    signal, lineage = model.signal, model.lineage
    hide_cells = hide_cells or model.x_all is None or model.y_all is None or model.w_all is None
    colors = _Colors(None) if hide_cells else _cell_colors(model, cell_color, same_plot)
    if title is None:
        name = "" if signal is None else signal.name
        title = name if lineage is None else f"{name} @ {lineage}"
    if ylabel == "expression" and signal is not None:
        ylabel = signal.ylabel
    if lineage_probability and ylabel is not None:
        ylabel = f"scaled {ylabel}"
    if fig is not None and ax is None:
        ax = fig.gca()

    with drawing(ax, figsize, dpi) as (axes, ours):
        if not hide_cells:
            _scatter(
                axes, model, colors, scaled=lineage_probability, perc=perc, cmap=fate_prob_cmap, size=size,
                alpha=alpha, cbar=cbar and not same_plot,
            )  # fmt: skip
        axes.plot(table["x"], table["y"], color=lineage_color, lw=lw, label=title, zorder=3)
        if conf_int and "lower" in table:
            low, high = _reach(model)
            if lineage_probability:
                least, most = _range(model)
                low, high = (low - least) / (most - least), (high - least) / (most - least)
            ends = table["lower"].clip(low, high), table["upper"].clip(low, high)
            axes.fill_between(table["x"], *ends, color=lineage_color, alpha=lineage_alpha, lw=0, zorder=2)
        axes.set(title=title, xlabel=xlabel or "", ylabel=ylabel or "")
        axes.margins(margins)
        if "probability" in table:
            color = lineage_color if lineage_probability_color is None else lineage_probability_color
            axes.plot(table["x"], table["probability"], color=color, lw=lw, ls="--", zorder=3)
            if "probability_lower" in table:
                axes.fill_between(
                    table["x"], table["probability_lower"], table["probability_upper"], color=color,
                    alpha=lineage_alpha, lw=0, zorder=2,
                )  # fmt: skip
            lines = [Line2D([], [], color=color, lw=lw, ls="--", label="probability")]
            place_legend(axes, kwargs.pop("loc", "best"), lines, **kwargs)
        elif colors.legend and obs_legend_loc is not None:
            points = [
                Line2D([], [], color=c, marker="o", ls="", label=str(n)) for n, c in colors.legend.items()
            ]
            place_legend(axes, obs_legend_loc, points, title=colors.label)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return root_figure(axes)


def _scatter(
    axes: Any,
    model: BaseModel,
    colors: _Colors,
    *,
    scaled: bool,
    perc: tuple[float, float] | None,
    cmap: Any,
    size: float,
    alpha: float,
    cbar: bool,
) -> None:
    from ferrocyte.pl._common import root_figure

    y = model.y_all[:, 0]
    if scaled:
        low, high = _range(model)
        y = (y - low) / (high - low)
    options: dict[str, Any] = {"s": size, "alpha": alpha, "linewidths": 0, "zorder": 1}
    if not colors.continuous:
        axes.scatter(model.x_all[:, 0], y, c=colors.values, **options)
        return
    values = np.asarray(colors.values, dtype=np.float64)
    ends = np.nanpercentile(values, (0, 100) if perc is None else perc)
    points = axes.scatter(model.x_all[:, 0], y, c=values, cmap=cmap, vmin=ends[0], vmax=ends[1], **options)
    if cbar:
        bar = root_figure(axes).colorbar(points, ax=axes, fraction=0.04, pad=0.02, label=colors.label)
        if bar.solids is not None:
            bar.solids.set_alpha(1)
