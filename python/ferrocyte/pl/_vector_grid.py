"""Vectors of cells averaged on a grid, and the scale of arrows: the numbers behind a projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError
from ferrocyte._options import check_count, check_number

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = ["VectorGrid", "quiver_scale", "vector_grid"]

# Share of a figure that its one axes covers, and the size of a figure in inches, in matplotlib's
# documented defaults (`figure.subplot.*`, `figure.figsize`); height over width of the axes follows.
_AXES_ASPECT = (0.77 * 4.8) / (0.775 * 6.4)
_REACH = 4.0  # widths of the Gaussian after which a cell no longer counts; its weight there is 3e-4
_PAIRS = 4_000_000  # of a cell and a grid point at a time: about 100 MB
_NO_MASS = 1e-9  # what rounding leaves at the edge of the reach
_LEAST_MASS = float(np.exp(-(2.5**2) / 2))  # of a lone cell two and a half widths away
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
        Where the arrows start. Cells with NaN or infinity are left out, but count as arrows.
    vectors : array-like, shape (n_cells, 2)
        Arrows in units of the embedding. Rows with NaN or infinity are left out likewise.

    Returns
    -------
    float
        Positive scale; 1.0 if no vector is finite or all are zero, so that dividing by it is safe.

    Raises
    ------
    InvalidDataError
        If the shapes differ or are not `(n_cells, 2)`.
    """
    xy, uv = _check(embedding, vectors)
    n_arrows = len(xy)
    placed = np.isfinite(xy).all(axis=1)
    xy, uv = xy[placed], uv[placed]
    if not len(xy):
        return 1.0
    width, height = (_axis_range(xy[:, axis]) for axis in (0, 1))
    lengths = np.hypot(uv[:, 0] / width, uv[:, 1] / height * _AXES_ASPECT)
    lengths = lengths[np.isfinite(lengths)]
    mean = float(lengths.mean()) if len(lengths) else 0.0
    return 1.8 * mean * max(10.0, float(np.sqrt(n_arrows))) if mean > 0 else 1.0


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
            raise InvalidDataError(
                f"Expected {name} of shape (n_cells, 2), found {array.shape}. Select two columns."
            )
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

    At a grid point `g` the vector is `sum_i w_i v_i / sum_i w_i` over the cells within `4 * h`, with
    `w_i = exp(-d_i^2 / (2 h^2))` and `d_i` the distance of cell `i` from `g` in grid steps (the
    Nadaraya-Watson estimate; the Gaussian is lowered by its value at `4 * h`, so that no cell leaves with a
    jump). The width is `h = smooth * max(1, s)`, where `s` is the median distance, in
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
        Average over this many nearest cells only (more if some are equally far). Default: all in reach.
    min_mass : float, default 1
        Streams: 0 (everything) to 5 (large vectors only); grid points whose length times mass (mass counted
        up to 1) is below `10**(min_mass - 6)` of the largest one are NaN. Arrows: 0 (everything) to 100;
        grid points with less mass than this percentage of the 99th percentile of mass are NaN. Both, unless
        0: so are grid points with less mass than a lone cell gives at a distance of `2.5 * h`.
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
    Time and memory O(n_cells * (4 h)^2) for cells spread evenly.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    >>> vectors = fc.kernels.utils.TmatProjection(kernel, basis="umap").project()
    >>> grid = fc.pl.vector_grid(adata.obsm["X_umap"], vectors, stream=False)
    >>> grid.frame().columns.tolist()
    ['x', 'y', 'u', 'v', 'mass']
    """
    from scipy.spatial import cKDTree  # a quarter of a second to load, and only needed here

    smooth = 0.5 if smooth is None or smooth is True else (0.0 if smooth is False else smooth)
    min_mass = 1.0 if min_mass is None else min_mass
    check_number(density, "density", above=0)
    check_number(smooth, "smooth", low=0)
    check_number(min_mass, "min_mass", low=0, high=5 if stream else 100)
    if cutoff_perc is not None:
        check_number(cutoff_perc, "cutoff_perc", low=0, high=100)
    if n_neighbors is not None:
        check_count(n_neighbors, "n_neighbors")

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
    points = np.stack(np.meshgrid(np.arange(n_points), np.arange(n_points)), axis=-1).reshape(-1, 2)
    mean, mass = _average(points.astype(np.float64), tree, uv, width, n_neighbors)

    speed = np.linalg.norm(mean, axis=1)
    if stream:
        momentum = np.nan_to_num(speed) * np.minimum(mass, 1.0)
        least = 10.0 ** (min_mass - 6) if min_mass > 0 else 0.0
        keep = (mass > _NO_MASS) & (momentum >= least * momentum.max())
    else:
        keep = (mass > _NO_MASS) & (mass >= min_mass / 100 * np.percentile(mass, 99))
    if min_mass > 0:
        keep &= mass >= _LEAST_MASS
    if cutoff_perc is not None and keep.any():
        keep &= speed >= np.percentile(speed[keep], cutoff_perc)
    mean[~keep] = np.nan
    shape = (n_points, n_points)
    return VectorGrid(x, y, mean[:, 0].reshape(shape), mean[:, 1].reshape(shape), mass.reshape(shape))


def _average(
    points: NDArray[np.float64],
    tree: cKDTree,
    uv: NDArray[np.float64],
    width: float,
    n_neighbors: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean vector at each point, NaN where there is no cell in reach, and the sum of weights."""
    from scipy.spatial import cKDTree

    # With no width the nearest cell speaks for its own grid square and nothing further off.
    reach = _REACH * width if width > 0 else float(np.sqrt(0.5))
    furthest = None
    if width == 0 or n_neighbors is not None:
        k = 1 if width == 0 or n_neighbors is None else min(n_neighbors, tree.n)
        # Cells as far as the last neighbour all count: which of them comes first is chance.
        furthest = np.ravel(tree.query(points, k=[k])[0]) * (1 + 1e-9)

    grid = cKDTree(points)
    sums = np.zeros((len(points), 3))
    # Cells in portions, so that a wide kernel over many cells does not fill the memory with pairs.
    portion = max(1, int(_PAIRS / min(len(points), np.pi * (reach + 1) ** 2)))
    for start in range(0, tree.n, portion):
        some = cKDTree(tree.data[start : start + portion])
        pairs = grid.sparse_distance_matrix(some, reach, output_type="ndarray")
        if furthest is not None:
            pairs = pairs[pairs["v"] <= furthest[pairs["i"]]]
        weight = _bell(pairs["v"] / width) if width > 0 else np.ones(len(pairs))
        for column, factor in enumerate((1.0, *uv[start + pairs["j"]].T)):
            sums[:, column] += np.bincount(pairs["i"], weight * factor, minlength=len(points))
    mass = sums[:, 0]
    mean = np.divide(
        sums[:, 1:], mass[:, None], out=np.full((len(points), 2), np.nan), where=mass[:, None] > 0
    )
    return mean, mass


def _bell(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian of distances in widths, lowered to reach 0 at `_REACH`: 1 at no distance, no jump anywhere."""
    floor = np.exp(-0.5 * _REACH**2)
    return np.maximum((np.exp(-0.5 * distance**2) - floor) / (1 - floor), 0.0)
