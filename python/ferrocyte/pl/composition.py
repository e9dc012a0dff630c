"""Which clusters the cells of each macrostate come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ferrocyte._errors import InvalidDataError
from ferrocyte._options import check_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["composition_frame", "plot_composition"]


def composition_frame(
    states: pd.Series, clusters: pd.Series | pd.DataFrame, weights: ArrayLike | None = None
) -> pd.DataFrame:
    """Cells of each state by cluster.

    Parameters
    ----------
    states : pandas.Series
        Categorical over the cells, missing for cells that are in no state.
    clusters : pandas.Series or pandas.DataFrame
        Categorical over the same cells, or proportions of shape `(n_cells, n_clusters)`; matched by position.
    weights : array-like of float, shape (n_cells,), optional
        How much a cell counts. Default: 1.

    Returns
    -------
    pandas.DataFrame
        One row per state, one column per cluster: the number of cells, or the sum of their weights times
        their proportions. Cells without a cluster do not count.

    Raises
    ------
    InvalidDataError
        If lengths differ.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import pandas as pd
    >>> states = pd.Series(["A", "A", "B", None], dtype="category")
    >>> clusters = pd.Series(["x", "y", "y", "y"], dtype="category")
    >>> fc.pl.composition_frame(states, clusters)
                  x    y
    macrostate
    A           1.0  1.0
    B           0.0  1.0
    """
    of = pd.Categorical(states)
    if isinstance(clusters, pd.DataFrame):
        names, shares = [str(c) for c in clusters.columns], clusters.to_numpy(dtype=np.float64)
    else:
        kinds = pd.Categorical(clusters)
        names = [str(c) for c in kinds.categories]
        shares = (kinds.codes[:, None] == np.arange(len(names))).astype(np.float64)
    factor = np.ones(len(of)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(of) == len(shares) == len(factor):
        raise InvalidDataError(
            f"Expected states, clusters and weights of the same cells, found {len(of)}, {len(shares)} and "
            f"{len(factor)}."
        )
    inside = (of.codes[:, None] == np.arange(len(of.categories))).astype(np.float64)
    counts = inside.T @ (shares * factor[:, None])
    rows = pd.Index([str(c) for c in of.categories], name="macrostate")
    return pd.DataFrame(counts, index=rows, columns=names)


def plot_composition(
    table: pd.DataFrame,
    *,
    colors: Mapping[str, str] | None = None,
    width: float = 0.8,
    title: str | None = None,
    labelrot: float = 45,
    legend_loc: str | int | None = "upper right out",
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar per state, stacked by cluster.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`composition_frame`.
    colors : mapping, optional
        Colour by cluster. Default: a colour-blind-safe palette.
    width : float, default 0.8
        Of the bars, in (0, 1].
    title : str, optional
        Default: none.
    labelrot : float, default 45
        Degrees by which names below are turned.
    legend_loc : str or None, default "upper right out"
        Where to put the legend; `None`: no legend.
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
        If the legend position is unknown, or `width` is not in (0, 1].

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    >>> table = fc.pl.composition_frame(g.macrostates, adata.obs["clusters"])
    >>> ax = fc.pl.plot_composition(table, show=False)
    """
    from matplotlib.patches import Patch

    from ferrocyte.pl._common import (
        category_colors,
        drawing,
        finish,
        ink,
        legend_place,
        place_legend,
        turn_labels,
    )

    legend_place(legend_loc)
    width = check_number(width, "width", above=0.0, high=1.0)
    shades = category_colors(None, None, list(table.columns), colors)
    with drawing(ax, figsize, dpi) as (axes, ours):
        bottom = np.zeros(len(table))
        handles: list[Any] = []
        for name in table.columns:
            heights = table[name].to_numpy(dtype=np.float64)
            rows = np.flatnonzero(heights)
            if not len(rows):
                continue
            look: dict[str, Any] = {"color": shades[name], "edgecolor": ink(), "linewidth": 0.6}
            axes.bar(rows, heights[rows], width, bottom=bottom[rows], **look)
            handles.append(Patch(facecolor=shades[name], edgecolor=ink(), linewidth=0.6, label=name))
            bottom += heights
        axes.set_xlim(-0.6, len(table) - 0.4)
        axes.set_xticks(range(len(table)), table.index)
        turn_labels(axes, labelrot)
        axes.set_xlabel("macrostate")
        axes.set_ylabel("frequency")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_title(title or "")
        columns = 1 + (len(handles) - 1) // 16 if handles else 1
        place_legend(axes, legend_loc, handles, frameon=False, fontsize="small", ncols=columns)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes
