"""Vectors on an embedding, as streamlines or as arrows on a grid."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError, InvalidOptionError

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["VectorGrid", "plot_projection", "quiver_scale", "vector_grid"]

# Share of a figure that its one axes covers, and the size of a figure in inches, in matplotlib's
# documented defaults (`figure.subplot.*`, `figure.figsize`); height over width of the axes follows.
_AXES_ASPECT = (0.77 * 4.8) / (0.775 * 6.4)
_MARGIN = 0.05  # `axes.xmargin`, `axes.ymargin`: added on both sides of the data


def quiver_scale(embedding: ArrayLike, vectors: ArrayLike) -> float:
    """Scale that matplotlib's `quiver` chooses by itself for these arrows.

    With `angles="xy"` and `scale_units="xy"`, automatic scaling makes the scale 1.8 times the mean arrow
    length, as a share of the width of the axes, times the square root of the number of arrows, at least
    10. The lengths are those on a default matplotlib figure (6.4 x 4.8 inches, one axes, margins of 5 %);
    computed here from that description, so neither settings nor a figure have a say.

    Parameters
    ----------
    embedding : array-like, shape (n_cells, 2)
        Where the arrows start.
    vectors : array-like, shape (n_cells, 2)
        Arrows in units of the embedding. Rows with NaN or infinity are left out of the mean, but count as
        arrows.

    Returns
    -------
    float
        Positive scale; 1.0 if no vector is finite or all are zero, so that dividing by it is safe.

    Raises
    ------
    InvalidDataError
        If the shapes differ or are not `(n_cells, 2)`, or an embedding coordinate is not finite.
    """
    xy, uv = _check(embedding, vectors)
    if not len(xy):
        return 1.0
    if not np.isfinite(xy).all():
        bad = np.flatnonzero(~np.isfinite(xy).all(axis=1))
        raise InvalidDataError(
            f"Expected finite embedding coordinates, found NaN or infinity for {len(bad)} cells, first at row "
            f"{bad[0]}. Remove these cells or recompute the embedding."
        )
    width, height = (_axis_range(xy[:, axis]) for axis in (0, 1))
    lengths = np.hypot(uv[:, 0] / width, uv[:, 1] / height * _AXES_ASPECT)
    lengths = lengths[np.isfinite(lengths)]
    mean = float(lengths.mean()) if len(lengths) else 0.0
    return 1.8 * mean * max(10.0, float(np.sqrt(len(xy)))) if mean > 0 else 1.0


def _axis_range(values: NDArray[np.float64]) -> float:
    low, high = float(values.min()), float(values.max())
    if high - low <= max(abs(low), abs(high)) * 1e-15:
        # All on one line: matplotlib widens the axis by 5 % of the value, or to +-0.05 around zero.
        widen = 0.05 * max(abs(low), abs(high)) if high != 0 or low != 0 else 0.05
        low, high = low - widen, high + widen
    return (high - low) * (1 + 2 * _MARGIN)


def _check(embedding: ArrayLike, vectors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xy, uv = np.asarray(embedding, dtype=np.float64), np.asarray(vectors, dtype=np.float64)
    for name, array in (("embedding", xy), ("vectors", uv)):
        if array.ndim != 2 or array.shape[1] != 2:
            raise InvalidDataError(f"Expected {name} of shape (n_cells, 2), found {array.shape}. Select two columns.")
    if len(xy) != len(uv):
        raise InvalidDataError(f"Expected one vector per cell, found {len(xy)} cells and {len(uv)} vectors.")
    return xy, uv


class VectorGrid(NamedTuple):
    """Vectors of cells averaged on a regular grid.

    Attributes
    ----------
    x, y : ndarray, shapes (n_x,) and (n_y,)
        Coordinates of the grid, in units of the embedding, evenly spaced.
    u, v : ndarray, shape (n_y, n_x)
        Mean vector at each grid point, in units of `vectors`; NaN where nothing is drawn.
    mass : ndarray, shape (n_y, n_x)
        Sum of the weights behind the mean: about the number of cells nearby.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    mass: NDArray[np.float64]

    def frame(self) -> pd.DataFrame:
        """One row per grid point: columns x, y, u, v, mass."""
        x, y = np.meshgrid(self.x, self.y)
        columns = {"x": x, "y": y, "u": self.u, "v": self.v, "mass": self.mass}
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def vector_grid(
    embedding: ArrayLike,
    vectors: ArrayLike,
    *,
    density: float = 1.0,
    smooth: float | bool | None = None,
    n_neighbors: int | None = None,
    min_mass: float | None = None,
    cutoff_perc: float | None = None,
    stream: bool = True,
) -> VectorGrid:
    """Average the vectors of cells on a regular grid.

    At a grid point `g` the vector is `sum_i w_i v_i / sum_i w_i` over the nearest cells, with
    `w_i = exp(-d_i^2 / (2 h^2))` and `d_i` the distance of cell `i` from `g` in grid steps (the
    Nadaraya-Watson estimate). The width is `h = smooth * max(1, s)`, where `s` is the median distance, in
    grid steps, of a cell to its 8th nearest one: sparse data are averaged over more than one step.

    Parameters
    ----------
    embedding : array-like, shape (n_cells, 2)
        Positions of the cells. Cells without finite position or vector are left out.
    vectors : array-like, shape (n_cells, 2)
        Their vectors.
    density : float, default 1.0
        The grid has `50 * density` points along each axis for streams and `36 * density` for arrows, at
        least 4.
    smooth : float, default 0.5
        Width of the Gaussian, see above; `True` means the default, `False` and 0 the nearest cell alone.
    n_neighbors : int, optional
        Average over this many nearest cells. Default: a fiftieth of the cells, at least 12.
    min_mass : float, default 1
        Streams: 0 (everything) to 5 (large vectors only); grid points whose length times mass (mass counted
        up to 1) is below `10**(min_mass - 6)` of the largest one are NaN, and so are those more than two
        widths away from a lone cell. Arrows: 0 (everything) to 100; grid points with less mass than this
        percentage of the 99th percentile of mass are NaN.
    cutoff_perc : float, optional
        Grid points whose vector is shorter than this percentile, 0 to 100, of those left are NaN.
    stream : bool, default True
        Which rule for `density` and `min_mass` to use.

    Returns
    -------
    VectorGrid
        Arrays x, y, u, v, mass; `.frame()` gives a table.

    Raises
    ------
    InvalidDataError
        If shapes are wrong or no cell has a finite position and vector.
    InvalidOptionError
        If a parameter is out of its range.

    Notes
    -----
    Time O(n_grid * n_neighbors * log n_cells).
    """
    from scipy.spatial import cKDTree  # a quarter of a second to load, and only needed here

    smooth = 0.5 if smooth is None or smooth is True else float(smooth)
    min_mass = 1.0 if min_mass is None else float(min_mass)
    _check_range("density", density, 0, np.inf, open_low=True)
    _check_range("smooth", smooth, 0, np.inf)
    _check_range("min_mass", min_mass, 0, 5 if stream else 100)
    if cutoff_perc is not None:
        _check_range("cutoff_perc", cutoff_perc, 0, 100)
    if n_neighbors is not None:
        _check_range("n_neighbors", n_neighbors, 1, np.inf)

    xy, uv = _check(embedding, vectors)
    usable = np.isfinite(xy).all(axis=1) & np.isfinite(uv).all(axis=1)
    xy, uv = xy[usable], uv[usable]
    n_cells = len(xy)
    if not n_cells:
        raise InvalidDataError(
            "Expected at least 1 cell with a finite position and vector, found none. Check the embedding and "
            "recompute the projection."
        )
    n_points = max(4, round((50 if stream else 36) * density))
    low, high = xy.min(axis=0), xy.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    low, high = low - 0.05 * span, high + 0.05 * span
    x, y = (np.linspace(low[axis], high[axis], n_points) for axis in (0, 1))
    step = np.array([x[1] - x[0], y[1] - y[0]])

    tree = cKDTree((xy - low) / step)
    nearest = min(8, n_cells - 1)
    spread = float(np.median(tree.query(tree.data, k=[nearest + 1])[0])) if nearest else 1.0
    width = smooth * max(1.0, spread)
    k = 1 if width == 0 else min(n_cells, n_neighbors or max(12, int(np.ceil(n_cells / 50))))
    grid = np.stack(np.meshgrid(np.arange(n_points), np.arange(n_points)), axis=-1).reshape(-1, 2).astype(float)
    distance, cell = tree.query(grid, k=np.arange(1, k + 1))
    # With no width the nearest cell speaks for its own grid square and nothing further off.
    weight = (distance <= np.sqrt(0.5)).astype(float) if width == 0 else np.exp(-0.5 * (distance / width) ** 2)
    mass = weight.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.einsum("gk,gkd->gd", weight, uv[cell]) / mass[:, None]

    speed = np.linalg.norm(mean, axis=1)
    if stream:
        momentum = np.where(mass > 0, speed * np.minimum(mass, 1.0), 0.0)
        keep = (momentum > 0) & (momentum >= 10.0 ** (min_mass - 6) * momentum.max())
        keep &= mass >= np.exp(-2.0)
    else:
        keep = (mass > 0) & (mass >= min_mass / 100 * np.percentile(mass, 99))
    if cutoff_perc is not None and keep.any():
        keep &= speed >= np.percentile(speed[keep], cutoff_perc)
    mean[~keep] = np.nan
    shape = (n_points, n_points)
    return VectorGrid(x, y, mean[:, 0].reshape(shape), mean[:, 1].reshape(shape), mass.reshape(shape))


def _check_range(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not (low < value <= high if open_low else low <= value <= high):
        upper = f" and at most {high}" if np.isfinite(high) else ""
        raise InvalidOptionError(
            f"Invalid option `{name}={value}`: expected a number {'above' if open_low else 'of at least'} {low}{upper}."
        )


_CELL_KEYWORDS = (
    "layer", "use_raw", "size", "alpha", "palette", "groups", "vmin", "vmax", "perc", "sort_order", "na_color",
    "legend_loc", "legend_fontsize", "legend_fontweight", "legend_fontoutline", "colorbar", "marker",
)  # fmt: skip
_FRAME_KEYWORDS = ("frameon", "xlabel", "ylabel", "fontsize", "xlim", "ylim")
_STREAM_KEYWORDS = ("arrow_style", "max_length", "integration_direction")
_GRID_KEYWORDS = ("arrow_length", "scale", "autoscale")
_SHARED_KEYWORDS = ("smooth", "min_mass", "n_neighbors", "cutoff_perc", "components", "cmap", "color_map")


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
        Default: black for streams, dark grey for arrows.
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
        percentiles), `sort_order` (high values on top), `na_color`, `marker`, `colorbar`. Legend: `legend_loc`
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
    """
    from ferrocyte.pl._cells import default_color, draw_cells, dress
    from ferrocyte.pl._common import component_indices, embedding_coordinates, finish, new_axes
    from ferrocyte.pl._keywords import sort_keywords

    known = (*_CELL_KEYWORDS, *_FRAME_KEYWORDS, *_STREAM_KEYWORDS, *_GRID_KEYWORDS, *_SHARED_KEYWORDS)
    options = sort_keywords(kwargs, known, "plot_projection")
    if isinstance(color, list | tuple) and not _is_rgb(color):
        return _panels(
            adata, vectors, basis, list(color), title, figsize, dpi, ax, show, save,
            dict(options, stream=stream, density=density, linewidth=linewidth, arrow_size=arrow_size,
                 arrow_color=arrow_color),
        )  # fmt: skip

    components = options.pop("components", None) or "1,2"
    xy = embedding_coordinates(adata, basis, components)
    uv = np.asarray(vectors, dtype=np.float64)
    pair = component_indices(components, uv.shape[1] if uv.ndim == 2 else 2)
    uv = uv[:, pair] if uv.ndim == 2 else uv
    field = {name: options.pop(name, None) for name in ("smooth", "min_mass", "n_neighbors", "cutoff_perc")}
    grid = vector_grid(xy, uv, density=1.0 if stream else (density or 1.0), stream=stream, **field)

    axes, ours = new_axes(ax, figsize, dpi)
    frame = {name: options.pop(name, None) for name in _FRAME_KEYWORDS}
    cells = {name: options[name] for name in _CELL_KEYWORDS if options.get(name) is not None}
    cells.setdefault("alpha", 0.4)
    color = default_color(adata) if color is None else color
    cmap = options.get("cmap") or options.get("color_map")
    # legend_loc=None means no legend, so it may not fall out with the other Nones.
    cells["legend_loc"] = options.get("legend_loc", "on data")
    labels = draw_cells(axes, adata, xy, color, cmap=cmap, large=True, **cells)
    if title is None:
        title = color if isinstance(color, str) and (color in adata.obs or color in adata.var_names) else ""
    finite = xy[np.isfinite(xy).all(axis=1)]
    axes.update_datalim(finite)
    dress(axes, basis=basis, title=title, components=pair, labels=labels, **frame)
    inches = axes.get_window_extent().width / axes.get_figure(root=True).dpi
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
    figure, grid = plt.subplots(n_rows, n_columns, figsize=figsize, dpi=dpi, layout="constrained", squeeze=False)
    titles = list(title) if isinstance(title, list | tuple) else [title] * len(colors)
    for panel in grid.ravel()[len(colors):]:
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
    speed = np.hypot(grid.u, grid.v)
    if not np.isfinite(speed).any():
        return
    # The same number of lines per inch, so that a narrow figure does not turn black.
    density = 2.0 * float(np.clip(inches / 5.0, 0.6, 1.5)) if density is None else density
    typical = np.nanpercentile(speed, 75) or 1.0
    base = (1.1 if linewidth is None else linewidth) * float(np.clip(inches / 5.0, 0.75, 1.0))
    width = base * np.clip(0.4 + 0.6 * np.nan_to_num(speed / typical), 0.4, 1.6)
    ax.streamplot(
        grid.x, grid.y, np.ma.masked_invalid(grid.u), np.ma.masked_invalid(grid.v),
        density=density, linewidth=width, color=arrow_color or "black",
        arrowsize=(1.0 if arrow_size is None else float(np.mean(arrow_size))) * float(np.clip(inches / 5, 0.7, 1.0)),
        arrowstyle=options.get("arrow_style") or "-|>", maxlength=options.get("max_length") or 4,
        integration_direction=options.get("integration_direction") or "both", zorder=3,
    )  # fmt: skip


def _draw_arrows(
    ax: Axes,
    grid: VectorGrid,
    linewidth: float | None,
    arrow_size: float | Sequence[float] | None,
    arrow_color: str | None,
    options: Mapping[str, Any],
) -> None:
    table = grid.frame().dropna()
    step = np.array([grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]])
    steps = np.hypot(table["u"] / step[0], table["v"] / step[1])
    if not steps.gt(0).any():
        return
    factor = float(options.get("scale") or 1.0) * float(options.get("arrow_length") or 1.0)
    if options.get("autoscale") in (None, True):
        # A long arrow (95th percentile) spans one and a half grid squares.
        factor *= 1.6 / (np.percentile(steps, 95) or steps.max())
    # What is shorter than its own head would be drawn as a dot, which reads as a cell.
    table = table[steps * factor > 0.2]
    u, v = table["u"].to_numpy(), table["v"].to_numpy()
    heads = (4.5, 4.0, 4.0)
    thickness = 1.0
    if arrow_size is not None:
        sizes = np.atleast_1d(np.asarray(arrow_size, dtype=float))
        if len(sizes) == 3:
            heads = tuple(sizes)
        else:
            thickness = float(sizes[0])
    ax.quiver(
        table["x"], table["y"], u * factor, v * factor, angles="xy", scale_units="xy", scale=1,
        color=arrow_color or "#2b2b2b", width=0.14 * thickness * float(step[0]), units="x", minlength=0.6, zorder=3,
        headlength=heads[0], headwidth=heads[1], headaxislength=heads[2], linewidth=linewidth or 0,
    )  # fmt: skip
