"""Simulated walks of cells over an embedding."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError, InvalidIndexError, InvalidOptionError, suggest

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["plot_random_walks", "walks_frame"]


def walks_frame(
    walks: Sequence[ArrayLike], embedding: ArrayLike, obs_names: Sequence[str] | pd.Index | None = None
) -> pd.DataFrame:
    """The walks as a table, with the place of each visited cell.

    Parameters
    ----------
    walks : sequence of array-like of int
        Cell indices visited by each walk, from its start.
    embedding : array-like, shape (n_cells, 2)
        Coordinates of the cells.
    obs_names : sequence of str, optional
        Names of the cells. Default: their indices.

    Returns
    -------
    pandas.DataFrame
        One row per visit: `walk` and `step` (int, from 0), `cell` (name or index), `x`, `y`.

    Raises
    ------
    InvalidDataError
        If a walk is empty or not one-dimensional integers, or the embedding is not `(n_cells, 2)`.
    InvalidIndexError
        If a walk visits a cell that does not exist.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> walk = fc.kernels.utils.RandomWalk(adata, kernel.transition_matrix)
    >>> walks = walk.simulate_many(3, max_iter=10, seed=0, show_progress_bar=False)
    >>> fc.pl.walks_frame(walks, adata.obsm["X_umap"]).columns.tolist()
    ['walk', 'step', 'cell', 'x', 'y']
    """
    xy = np.asarray(embedding, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise InvalidDataError(
            f"Expected an embedding of shape (n_cells, 2), found {xy.shape}. Select two columns."
        )
    paths = [_check_walk(k, walk, len(xy)) for k, walk in enumerate(walks)]
    cells = np.concatenate(paths) if paths else np.empty(0, dtype=np.intp)
    lengths = [len(path) for path in paths]
    return pd.DataFrame(
        {
            "walk": np.repeat(np.arange(len(paths)), lengths),
            "step": np.concatenate([np.arange(n) for n in lengths]) if paths else cells,
            "cell": cells if obs_names is None else np.asarray(obs_names, dtype=object)[cells],
            "x": xy[cells, 0],
            "y": xy[cells, 1],
        }
    )


def _check_walk(number: int, walk: ArrayLike, n_cells: int) -> NDArray[np.intp]:
    path = np.asarray(walk)
    if path.ndim != 1 or not len(path) or not np.issubdtype(path.dtype, np.integer):
        raise InvalidDataError(
            f"Expected walk {number} to be a list of cell indices with its start, found shape "
            f"{path.shape} and dtype {path.dtype}."
        )
    outside = path[(path < 0) | (path >= n_cells)]
    if len(outside):
        raise InvalidIndexError(
            f"Walk {number} visits cell {outside[0]}, but there are {n_cells} cells, from 0."
        )
    return path.astype(np.intp)


def plot_random_walks(
    adata: AnnData,
    walks: Sequence[ArrayLike],
    basis: str = "umap",
    *,
    cmap: str | Colormap = "gnuplot",
    linewidth: float = 1.0,
    linealpha: float = 0.3,
    ixs_legend_loc: str | int | None = None,
    start_ixs: ArrayLike | None = None,
    stop_ixs: ArrayLike | None = None,
    color: str | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw walks over the cells of an embedding.

    Each walk is one line, coloured from its first to its last step along `cmap`. First cells are marked in
    the first colour with a white rim, last cells in the last colour with a black rim.

    Parameters
    ----------
    adata : AnnData
        With the embedding in `obsm`. Not changed.
    walks : sequence of array-like of int
        Cell indices visited by each walk, from its start.
    basis : str, default "umap"
        `obsm["X_<basis>"]` or `obsm["<basis>"]`.
    cmap : str or Colormap, default "gnuplot"
        Colours of the lines.
    linewidth : float, default 1.0
        Width of the lines in points.
    linealpha : float, default 0.3
        Opacity of the lines, 0 to 1.
    ixs_legend_loc : str, optional
        Where to put a legend for first and last cells, such as `"upper right out"`; `None`: no legend.
    start_ixs, stop_ixs : array-like of int, optional
        Cells where walks were allowed to start and where they were to stop. Circled thinly if there is a
        legend.
    color : str, optional
        An `obs` column, a gene or a colour for the cells. Default, and for `"none"`: light grey.
    title : str, optional
        Default: `color`, if it is a key.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        As `scanpy.pl.embedding` calls them, for the cells: `layer`, `use_raw`, `size` or `s` (square points),
        `alpha`, `color_map`, `palette`, `groups`, `vmin`, `vmax`, `perc`, `sort_order`, `na_color`, `marker`,
        `components`, `legend_loc` (default `"right margin"`, for which `"right"` is short; `"on data"`,
        `"none"`, or a place such as `"upper left"`), `legend_fontsize`, `legend_fontweight`,
        `legend_fontoutline`, `colorbar`, `frameon` (default off), `xlabel`, `ylabel`, `fontsize`, `xlim`,
        `ylim`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingDataError
        If the embedding or `color` is not there.
    InvalidDataError, InvalidIndexError
        If there is no walk, or one is empty or leaves the cells.
    InvalidOptionError
        If a colour map or a legend position is unknown.
    InvalidTypeError
        For an unknown keyword; the message lists close ones.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> walk = fc.kernels.utils.RandomWalk(adata, kernel.transition_matrix)
    >>> walks = walk.simulate_many(3, max_iter=10, seed=0, show_progress_bar=False)
    >>> ax = fc.pl.plot_random_walks(adata, walks, show=False)
    """
    import matplotlib as mpl

    from ferrocyte.pl._cells import draw_cells, dress, point_size
    from ferrocyte.pl._common import (
        component_indices,
        drawing,
        embedding_coordinates,
        faint,
        finish,
        legend_place,
        place_legend,
    )
    from ferrocyte.pl._keywords import CELL_KEYWORDS, FRAME_KEYWORDS, cell_style, sort_keywords

    known = (*CELL_KEYWORDS, *FRAME_KEYWORDS, "components")
    options = sort_keywords(kwargs, known, "plot_random_walks")
    legend_place(ixs_legend_loc)
    if isinstance(cmap, str):
        if cmap not in mpl.colormaps:
            raise InvalidOptionError(
                f"Invalid option `cmap={cmap!r}`: matplotlib has no colour map of that name."
                f"{suggest(cmap, mpl.colormaps)}"
            )
        cmap = mpl.colormaps[cmap]
    components = options.pop("components", None) or "1,2"
    xy = embedding_coordinates(adata, basis, components)
    table = walks_frame(walks, xy)
    if table.empty:
        raise InvalidDataError("Expected at least 1 walk, found none. Simulate some first.")
    allowed = [
        _check_cells(name, ixs, len(xy)) for name, ixs in (("start_ixs", start_ixs), ("stop_ixs", stop_ixs))
    ]

    with drawing(ax, figsize, dpi) as (axes, ours):
        frame = {name: options.pop(name, None) for name in FRAME_KEYWORDS}
        cells = cell_style(options, alpha=0.6, legend_loc="right margin")
        if isinstance(color, list) and len(color) == 1:
            color = color[0]
        color = faint() if color is None or color == "none" else color
        labels = draw_cells(axes, adata, xy, color, **cells)

        _draw_lines(axes, table, cmap, linewidth, linealpha)
        handles = _draw_ends(axes, table, cmap, max(point_size(len(xy), axes) * 1.6, 22.0))
        if legend_place(ixs_legend_loc) is not None:
            handles += _draw_rings(axes, xy, allowed, cmap, handles[0].get_sizes()[0] * 0.55)
        if title is None:
            named = isinstance(color, str) and (color in adata.obs or color in adata.var_names)
            title = color if named else ""
        pair = component_indices(components, max(2, _n_columns(adata, basis)))
        dress(axes, basis=basis, title=title, components=pair, labels=labels, **frame)
        _add_legend(axes, ixs_legend_loc, handles, place_legend)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes


def _draw_lines(ax: Axes, table: pd.DataFrame, cmap: Colormap, linewidth: float, alpha: float) -> None:
    from matplotlib.collections import LineCollection

    for _, walk in table.groupby("walk", sort=True):
        points = walk[["x", "y"]].to_numpy()
        segments: Any = np.stack([points[:-1], points[1:]], axis=1)
        colors = cmap(np.linspace(0, 1, len(segments)))
        lines = LineCollection(
            segments, colors=colors, linewidths=linewidth, alpha=alpha, zorder=2, capstyle="round"
        )
        ax.add_collection(lines, autolim=False)  # the cells have set the limits


def _draw_ends(ax: Axes, table: pd.DataFrame, cmap: Colormap, area: float) -> list[Any]:
    """First cells in the first colour with a white rim, last cells in the last colour with a black one."""
    visits = table.groupby("walk", sort=True)[["x", "y"]]
    first, last = visits.first(), visits.last()
    style: dict[str, Any] = {"s": area, "linewidths": 0.9}
    return [
        ax.scatter(first.x, first.y, color=[cmap(0.0)], edgecolors="white", zorder=3, label="start", **style),
        ax.scatter(last.x, last.y, color=[cmap(1.0)], edgecolors="black", zorder=3.1, label="stop", **style),
    ]


def _draw_rings(
    ax: Axes, xy: NDArray[np.float64], allowed: Sequence[NDArray[np.intp] | None], cmap: Colormap, area: float
) -> list[Any]:
    """Thin circles around the cells where walks were allowed to start and to stop."""
    style: dict[str, Any] = {"s": area, "facecolors": "none", "linewidths": 0.6, "alpha": 0.7, "zorder": 1.5}
    return [
        ax.scatter(xy[ixs, 0], xy[ixs, 1], edgecolors=[cmap(end)], label=label, **style)
        for ixs, end, label in zip(allowed, (0.0, 1.0), ("may start", "may stop"), strict=True)
        if ixs is not None
    ]


def _add_legend(ax: Axes, loc: str | int | None, handles: Sequence[Any], place: Any) -> None:
    """A second legend beside that of the cells, which a plain call would replace."""
    others = ax.get_legend()
    legend = place(ax, loc, handles, frameon=False, handletextpad=0.2)
    if legend is not None and others is not None:
        ax.add_artist(others)
        # Added artists are clipped to the axes, and what is clipped gets no room in the layout.
        others.set_clip_on(False)


def _n_columns(adata: AnnData, basis: str) -> int:
    stored = adata.obsm[f"X_{basis}"] if f"X_{basis}" in adata.obsm else adata.obsm[basis]
    return int(stored.shape[1])


def _check_cells(name: str, ixs: ArrayLike | None, n_cells: int) -> NDArray[np.intp] | None:
    if ixs is None:
        return None
    cells = np.atleast_1d(np.asarray(ixs))
    if len(cells) and not np.issubdtype(cells.dtype, np.integer):
        raise InvalidDataError(f"Expected `{name}` to be cell indices, found dtype {cells.dtype}.")
    outside = cells[(cells < 0) | (cells >= n_cells)]
    if len(outside):
        raise InvalidIndexError(f"`{name}` has cell {outside[0]}, but there are {n_cells} cells, from 0.")
    return cells.astype(np.intp)
