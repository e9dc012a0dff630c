"""Vectors on an embedding, as streamlines or as arrows on a grid."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ferrocyte._errors import InvalidOptionError
from ferrocyte._options import check_number
from ferrocyte.pl._vector_grid import VectorGrid, quiver_scale, vector_grid

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["VectorGrid", "plot_projection", "quiver_scale", "vector_grid"]

_STREAM_KEYWORDS = ("arrow_style", "max_length", "integration_direction")
_GRID_KEYWORDS = ("arrow_length", "scale", "autoscale")
_SHARED_KEYWORDS = ("smooth", "min_mass", "n_neighbors", "cutoff_perc", "components")


def plot_projection(
    adata: AnnData,
    vectors: ArrayLike,
    basis: str = "umap",
    *,
    stream: bool = True,
    color: str | Sequence[str] | None = None,
    density: float | None = None,
    linewidth: float | None = None,
    arrow_size: float | Sequence[float] | None = None,
    arrow_color: str | None = None,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Draw projected vectors over the cells of an embedding.

    Parameters
    ----------
    adata : AnnData
        With the embedding in `obsm`. Not changed.
    vectors : array-like, shape (n_cells, n_components)
        Vectors in that embedding, in its units.
    basis : str, default "umap"
        `obsm["X_<basis>"]` or `obsm["<basis>"]`.
    stream : bool, default True
        Streamlines; else arrows on a grid.
    color : str or list of str, optional
        An `obs` column, a gene or a colour for the cells. A list draws one panel each. Default: `clusters`,
        `leiden` or `louvain`, whichever exists first, else light grey.
    density : float, optional
        Streams: closeness of streamlines, 2 for a figure 5 inches wide by default, less for a narrower one.
        Arrows: their number per axis is 36 times this, default 1.
    linewidth : float, optional
        Width of streamlines in points where the vectors are of typical length (up to 1.6 times this where
        they are longest, down to 0.4 times where they are shortest), or of arrow outlines. Default: 1.1
        for streams, 0 for arrows.
    arrow_size : float or (float, float, float), optional
        Streams: factor for the arrow heads, default 1. Arrows: factor for their width, or head length, head
        width and head axis length in shaft widths.
    arrow_color : str, optional
        Default: the colour of texts for streams (black), a little fainter for arrows.
    title : str or list of str, optional
        Default: `color`, if it is a key.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    show : bool, optional
        Default: show in an interactive session.
    save : path, optional
        Save here; `.png` is added without a suffix.
    **kwargs
        As scVelo's `velocity_embedding_stream` and `velocity_embedding_grid` call them.
        Field: `smooth`, `min_mass`, `n_neighbors`, `cutoff_perc` (:func:`vector_grid`), `components` (such as
        `"1,2"`). Streams: `arrow_style` (`"-|>"`), `max_length` (4, in axes lengths),
        `integration_direction` (`"both"`, `"forward"`, `"backward"`). Arrows: `autoscale` (True: arrows are
        brought to the grid's size; False: drawn in units of the embedding), `scale` and `arrow_length`
        (factors for their length, 1). Cells: `layer`, `use_raw`, `size` (square points), `alpha`, `cmap` or
        `color_map`, `palette`, `groups` (colour only these), `vmin`, `vmax`, `perc` (colour limits as
        percentiles), `sort_order` (high values on top), `na_color`, `marker`, `colorbar`. Legend:
        `legend_loc`
        (`"on data"`, `"right margin"`, `"none"`, or a place such as `"upper right out"`), `legend_fontsize`,
        `legend_fontweight`, `legend_fontoutline`. Frame: `frameon`, `xlabel`, `ylabel`, `fontsize`, `xlim`,
        `ylim`. Keywords of the other kind of figure, and those with nothing to steer here, have no effect.

    Returns
    -------
    matplotlib.axes.Axes
        Or a list of them if `color` is a list.

    Raises
    ------
    MissingDataError
        If the embedding or `color` is not there.
    InvalidDataError
        If shapes do not match or no vector is finite.
    InvalidOptionError
        If a value is out of range.
    InvalidTypeError
        For an unknown keyword; the message lists close ones.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    >>> vectors = fc.kernels.utils.TmatProjection(kernel, basis="umap").project()
    >>> ax = fc.pl.plot_projection(adata, vectors, color="clusters", show=False)
    """
    from ferrocyte.pl._cells import default_color, draw_cells, dress
    from ferrocyte.pl._common import axes_width, component_indices, drawing, embedding_coordinates, finish
    from ferrocyte.pl._keywords import CELL_KEYWORDS, FRAME_KEYWORDS, cell_style, sort_keywords

    known = (*CELL_KEYWORDS, *FRAME_KEYWORDS, *_STREAM_KEYWORDS, *_GRID_KEYWORDS, *_SHARED_KEYWORDS)
    options = sort_keywords(kwargs, known, "plot_projection")
    if isinstance(color, list | tuple) and not _is_rgb(color):
        return _panels(
            adata,
            vectors,
            basis,
            list(color),
            title,
            figsize,
            dpi,
            ax,
            show,
            save,
            dict(
                options,
                stream=stream,
                density=density,
                linewidth=linewidth,
                arrow_size=arrow_size,
                arrow_color=arrow_color,
            ),
        )

    if density is not None:
        check_number(density, "density", above=0.0)
    components = options.pop("components", None) or "1,2"
    xy = embedding_coordinates(adata, basis, components)
    uv = np.asarray(vectors, dtype=np.float64)
    pair = component_indices(components, uv.shape[1] if uv.ndim == 2 else 2)
    uv = uv[:, pair] if uv.ndim == 2 else uv
    field = {name: options.pop(name, None) for name in ("smooth", "min_mass", "n_neighbors", "cutoff_perc")}
    grid = vector_grid(xy, uv, density=1.0 if stream else (density or 1.0), stream=stream, **field)

    frame = {name: options.pop(name, None) for name in FRAME_KEYWORDS}
    cells = cell_style(options, alpha=0.4, legend_loc="on data")
    color = default_color(adata) if color is None else color
    if title is None:
        title = color if isinstance(color, str) and (color in adata.obs or color in adata.var_names) else ""
    with drawing(ax, figsize, dpi) as (axes, ours):
        labels = draw_cells(axes, adata, xy, color, large=True, **cells)
        finite = xy[np.isfinite(xy).all(axis=1)]
        axes.update_datalim(finite)
        dress(axes, basis=basis, title=str(title), components=pair, labels=labels, **frame)
        inches = axes_width(axes)
        if stream:
            _draw_stream(axes, grid, density, linewidth, arrow_size, arrow_color, inches, options)
        else:
            _draw_arrows(axes, grid, linewidth, arrow_size, arrow_color, options)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes


def _is_rgb(color: Sequence[Any]) -> bool:
    return len(color) in (3, 4) and all(isinstance(c, int | float) for c in color)


def _panels(
    adata: AnnData,
    vectors: ArrayLike,
    basis: str,
    colors: list[str],
    title: str | Sequence[str] | None,
    figsize: tuple[float, float] | None,
    dpi: float | None,
    ax: Axes | None,
    show: bool | None,
    save: str | os.PathLike[str] | None,
    options: Mapping[str, Any],
) -> list[Axes]:
    import matplotlib.pyplot as plt

    from ferrocyte.pl._common import finish

    if ax is not None or not colors:
        raise InvalidOptionError(
            f"Expected one `color` {'for one `ax`' if ax is not None else 'or more'}, found {len(colors)}. "
            "Draw them one by one."
        )
    n_columns = min(len(colors), 3)
    n_rows = -(-len(colors) // n_columns)
    figsize = figsize or (5.0 * n_columns, 4.2 * n_rows)
    _, grid = plt.subplots(n_rows, n_columns, figsize=figsize, dpi=dpi, layout="constrained", squeeze=False)
    titles = list(title) if isinstance(title, list | tuple) else [title] * len(colors)
    for panel in grid.ravel()[len(colors) :]:
        panel.remove()
    panels = list(grid.ravel()[: len(colors)])
    for panel, key, name in zip(panels, colors, titles, strict=False):
        plot_projection(adata, vectors, basis, color=key, title=name, ax=panel, show=False, **options)
    finish(panels[0], save=save, show=show, dpi=dpi)
    return panels


def _draw_stream(
    ax: Axes,
    grid: VectorGrid,
    density: float | None,
    linewidth: float | None,
    arrow_size: float | Sequence[float] | None,
    arrow_color: str | None,
    inches: float,
    options: Mapping[str, Any],
) -> None:
    from ferrocyte.pl._common import ink

    speed = np.hypot(grid.u, grid.v)
    if not np.isfinite(speed).any():
        return
    # The same number of lines per inch, so that a narrow figure does not turn black.
    density = 2.0 * float(np.clip(inches / 5.0, 0.6, 1.5)) if density is None else density
    typical = np.nanpercentile(speed, 75) or 1.0
    base = (1.1 if linewidth is None else linewidth) * float(np.clip(inches / 5.0, 0.75, 1.0))
    width = base * np.clip(0.4 + 0.6 * np.nan_to_num(speed / typical), 0.4, 1.6)
    ax.streamplot(
        grid.x,
        grid.y,
        np.ma.masked_invalid(grid.u),
        np.ma.masked_invalid(grid.v),
        density=density,
        linewidth=width,
        color=arrow_color or ink(),
        arrowsize=(1.0 if arrow_size is None else float(np.mean(arrow_size)))
        * float(np.clip(inches / 5, 0.7, 1.0)),
        arrowstyle=options.get("arrow_style") or "-|>",
        maxlength=options.get("max_length") or 4,
        integration_direction=options.get("integration_direction") or "both",
        minlength=0.06,
        zorder=3,
    )


def _draw_arrows(
    ax: Axes,
    grid: VectorGrid,
    linewidth: float | None,
    arrow_size: float | Sequence[float] | None,
    arrow_color: str | None,
    options: Mapping[str, Any],
) -> None:
    table = grid.frame().dropna()
    from ferrocyte.pl._common import shade

    step = np.array([grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]])
    steps = np.hypot(table["u"] / step[0], table["v"] / step[1])
    if not steps.gt(0).any():
        return
    factor = float(options.get("scale") or 1.0) * float(options.get("arrow_length") or 1.0)
    if options.get("autoscale") in (None, True):
        # A long arrow (95th percentile) spans one and a third grid squares.
        factor *= 4 / 3 / (np.percentile(steps, 95) or steps.max())
    # What is shorter than its own head would be drawn as a dot, which reads as a cell.
    table = table[steps * factor > 0.3]
    u, v = table["u"].to_numpy(), table["v"].to_numpy()
    heads = (4.0, 3.5, 3.6)
    thickness = 1.0
    if arrow_size is not None:
        sizes = np.atleast_1d(np.asarray(arrow_size, dtype=float))
        if len(sizes) == 3:
            heads = tuple(sizes)
        else:
            thickness = float(sizes[0])
    ax.quiver(
        table["x"],
        table["y"],
        u * factor,
        v * factor,
        angles="xy",
        scale_units="xy",
        scale=1,
        color=arrow_color or shade(0.17),
        width=0.12 * thickness * float(step[0]),
        units="x",
        minlength=0.6,
        zorder=3,
        headlength=heads[0],
        headwidth=heads[1],
        headaxislength=heads[2],
        linewidth=linewidth or 0,
    )
