"""Log odds of two fates over experimental time."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte import _adata
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte._options import check_number, check_seed
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["log_odds", "log_odds_frame"]

# Added to the ratio before the logarithm is taken.
SHIFT = 1e-12
PLAIN = "#4a6785"
OUTLINE = ("edgecolor", "edgecolors", "linewidth", "linewidths")
LOOK = (
    "marker", "vmin", "vmax", "perc", "sort_order", "na_color", "colorbar", "legend_fontsize",
    *OUTLINE,
)  # fmt: skip


def log_odds_frame(
    adata: AnnData,
    lineage_1: str,
    lineage_2: str | None = None,
    time_key: str = "exp_time",
    backward: bool = False,
) -> pd.DataFrame:
    """Compute the log odds of two fates.

    Parameters
    ----------
    adata : AnnData
        With fate probabilities.
    lineage_1 : str
        A lineage; a comma joins several.
    lineage_2 : str, optional
        Another one. Default: all others together.
    time_key : str, default "exp_time"
        Column of `obs` with numbers, or categories that are numbers.
    backward : bool, default False
        Direction of the process.

    Returns
    -------
    pandas.DataFrame
        One row per cell whose two probabilities are positive: `time`, and `log_odds`, the natural logarithm
        of their ratio.

    Raises
    ------
    MissingDataError
        If there are no fate probabilities, no such lineage or no such column.
    InvalidDataError
        If times are not numbers, or no cell is left.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> adata.obs["day"] = adata.obs["pseudotime"].round().astype("category")
    >>> fc.pl.log_odds_frame(adata, "A", "B", time_key="day").shape[0]  # where either is possible
    232
    """
    fates = Lineage.from_adata(adata, backward=backward)
    first = fates[lineage_1].X[:, 0]
    second = 1.0 - first if lineage_2 is None else fates[lineage_2].X[:, 0]
    keep = (first > 0) & (second > 0)
    if not keep.any():
        raise InvalidDataError(
            f"Expected cells that can have both fates, found none: the probability of {lineage_1!r} or of "
            f"{'the others' if lineage_2 is None else repr(lineage_2)} is 0 everywhere."
        )
    time = _times(adata, time_key)
    odds = np.log(first[keep] / second[keep] + SHIFT)
    return pd.DataFrame({"time": time[keep], "log_odds": odds}, index=adata.obs_names[keep])


def _times(adata: AnnData, key: str) -> NDArray[np.float64]:
    column = _adata.column(adata, key)
    try:
        out = np.asarray(column.astype(object), dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"Unable to convert `adata.obs[{key!r}]` of type `{column.dtype}` to `float`. Pass a "
            f"`time_key` of "
            "numbers."
        ) from None
    if not np.isfinite(out).all():
        raise InvalidDataError(f"Expected finite times in `adata.obs[{key!r}]`, found NaN or infinity.")
    return out


def log_odds(
    adata: AnnData,
    lineage_1: str,
    lineage_2: str | None = None,
    time_key: str = "exp_time",
    backward: bool = False,
    keys: str | Sequence[str] | None = None,
    threshold: float | Sequence[float] | None = None,
    threshold_color: str = "red",
    layer: str | None = None,
    use_raw: bool = False,
    size: float = 2.0,
    cmap: Any = "viridis",
    alpha: float | None = 0.8,
    ncols: int | None = None,
    fontsize: float | str | None = None,
    xticks_step_size: int | None = 1,
    legend_loc: str | int | None = "best",
    jitter: bool | float = True,
    seed: int | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes | NDArray[Any] | None:
    """Draw the log odds of two fates against experimental time, one point per cell.

    Parameters
    ----------
    adata : AnnData
        With fate probabilities.
    lineage_1, lineage_2, time_key, backward
        See :func:`log_odds_frame`, which returns the numbers.
    keys : str or list of str, optional
        Columns of `obs` or genes that colour the cells, a panel for each. Default: one panel, one colour.
    threshold : float or list of float, optional
        Cells whose value of the key is above it are drawn twice as large in `threshold_color`, the others in
        grey; one for all keys, or one for each.
    threshold_color : str, default "red"
    layer : str, optional
        Layer with the expression of genes. Default: `X`.
    use_raw : bool, default False
        Take genes from `adata.raw`.
    size : float, default 2
        Diameter of a point, in points.
    cmap : str or Colormap, default "viridis"
        For numbers.
    alpha : float, default 0.8
    ncols : int, optional
        Panels per row.
    fontsize : float or str, optional
        Of titles and axis labels.
    xticks_step_size : int or None, default 1
        Name every so many time points; None: none.
    legend_loc : str, default "best"
        Of categories.
    jitter : bool or float, default True
        Spread cells of one time point sideways, by this share of the distance of time points; True: 0.2.
    seed : int, optional
        Of the spread. Default: 0, so that a figure can be drawn again.
    figsize, dpi
        Of a new figure, in inches and dots per inch.
    save : path, optional
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    ax : matplotlib.axes.Axes, optional
        Draw here, if there is one panel.
    **kwargs
        How points look: `marker`, `vmin`, `vmax`, `perc`, `sort_order`, `na_color`, `colorbar`,
        `legend_fontsize`, as for ``plot_projection``, and `edgecolor`, `linewidth` of their outlines.

    Returns
    -------
    matplotlib.axes.Axes, ndarray of them, or None
        None when the figure is shown.

    Raises
    ------
    MissingDataError
        If a key is not there.
    InvalidOptionError
        If `threshold` is a list of another length than `keys`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> adata.obs["day"] = adata.obs["pseudotime"].round().astype("category")
    >>> ax = fc.pl.log_odds(adata, "A", "B", time_key="day", keys="cell_type", show=False)
    """
    from ferrocyte.pl._cells import cell_values
    from ferrocyte.pl._common import category_colors, finish, is_shown, shade
    from ferrocyte.pl._keywords import sort_keywords
    from ferrocyte.pl._panels import panels

    look = sort_keywords(kwargs, LOOK, "log_odds")
    outline = {name: look.pop(name) for name in OUTLINE if name in look}
    table = log_odds_frame(adata, lineage_1, lineage_2, time_key, backward)
    names: list[str | None] = [keys] if keys is None or isinstance(keys, str) else list(dict.fromkeys(keys))
    if not names:
        raise InvalidOptionError("Expected at least one key, found none. Leave out `keys` for one colour.")
    limits = _thresholds(threshold, names)
    rows = adata.obs_names.get_indexer(table.index)
    values = [None if name is None else cell_values(adata, name, layer, use_raw) for name in names]
    moments, x = np.unique(table["time"].to_numpy(), return_inverse=True)
    width = 0.2 if jitter is True else check_number(float(jitter), "jitter", low=0.0, high=1.0)
    rng = np.random.default_rng(check_seed(seed) or 0)
    xy = np.column_stack([x + rng.uniform(-width, width, size=len(x)), table["log_odds"].to_numpy()])
    against = "rest" if lineage_2 is None else lineage_2
    area = check_number(size, "size", above=0.0) ** 2
    with panels(len(names), ax, ncols=ncols, figsize=figsize, dpi=dpi, inches=(5.2, 4.0)) as (axes, ours):
        for panel, name, value, limit in zip(axes, names, values, limits, strict=True):
            chosen = value[rows] if value is not None else None
            colors = None
            if isinstance(chosen, pd.Categorical) and name is not None:
                colors = category_colors(adata, name, list(chosen.categories))
            style = {"area": area, "alpha": alpha, "cmap": cmap, "legend_loc": legend_loc, "look": look}
            _draw(panel, xy, chosen, colors, limit, threshold_color, **style)
            for points in panel.collections if outline else ():
                points.set(**outline)
            panel.axhline(0.0, color=shade(0.6), lw=0.8, ls="--", zorder=0)
            panel.set_title("" if name is None else name, fontsize=fontsize)
            panel.set_xlabel(time_key, fontsize=fontsize)
            panel.set_ylabel(_fold(f"log odds {lineage_1} / {against}"), fontsize=fontsize)
            _name_times(panel, moments, xticks_step_size)
            panel.spines[["top", "right"]].set_visible(False)
        finish(axes[0], save=save, show=show, dpi=dpi, ours=ours)
    if is_shown(save, show, ours=ours):
        return None
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def _thresholds(threshold: Any, names: Sequence[Any]) -> list[float | None]:
    if threshold is None or np.isscalar(threshold):
        threshold = [threshold] * len(names)
    given: list[Any] = list(threshold)
    if len(given) != len(names):
        raise InvalidOptionError(f"Expected `threshold` to have {len(names)} entries, found {len(given)}.")
    return [None if t is None else check_number(t, "threshold") for t in given]


def _draw(
    ax: Axes,
    xy: NDArray[np.float64],
    values: Any,
    colors: Any,
    limit: float | None,
    threshold_color: str,
    *,
    area: float,
    alpha: float | None,
    cmap: Any,
    legend_loc: Any,
    look: dict[str, Any],
) -> None:
    from ferrocyte.pl._cells import draw_values
    from ferrocyte.pl._common import faint

    marker = {"marker": look.get("marker", "o")}
    if values is None:
        draw_values(ax, xy, None, PLAIN, size=area, alpha=alpha, **marker)
    elif limit is None or isinstance(values, pd.Categorical):
        draw_values(ax, xy, values, colors, size=area, alpha=alpha, cmap=cmap, legend_loc=legend_loc, **look)
    else:
        above = values > limit
        draw_values(ax, xy[~above], None, faint(), size=area, alpha=alpha, **marker)
        draw_values(ax, xy[above], None, threshold_color, size=4 * area, alpha=alpha, **marker)


def _fold(text: str) -> str:
    """In as few lines as fit beside axes of usual height."""
    return textwrap.fill(text, 40)


def _name_times(ax: Axes, moments: NDArray[np.float64], step: int | None) -> None:
    if step is None:
        ax.set_xticks([])
        return
    if step < 1:
        raise InvalidOptionError(f"Expected `xticks_step_size` to be positive, found {step}.")
    shown = np.arange(0, len(moments), step)
    ax.set_xticks(shown, [f"{moments[i]:g}" for i in shown])
