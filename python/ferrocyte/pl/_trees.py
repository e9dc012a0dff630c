"""Trees of rows that resemble each other: their order, and how they are drawn beside a heatmap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, InvalidOptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_tree", "grow_tree"]


def grow_tree(
    rows: NDArray[np.float64], method: Any = "average", metric: Any = "euclidean"
) -> tuple[NDArray[np.float64] | None, list[int]]:
    """Cluster rows, and order them such that neighbours resemble each other.

    Parameters
    ----------
    rows : ndarray of float, shape (n, m)
    method, metric
        Of ``scipy.cluster.hierarchy.linkage``.

    Returns
    -------
    linkage : ndarray or None
        None for a single row.
    order : list of int
        Positions of rows.

    Raises
    ------
    InvalidOptionError
        If there is no such method or metric.
    InvalidDataError
        If a distance is not finite, as the correlation with a constant row.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import pdist

    if len(rows) < 2:
        return None, list(range(len(rows)))
    try:
        distances = pdist(rows, metric=metric)
        tree = linkage(distances, method=method) if np.isfinite(distances).all() else None
    except (ValueError, TypeError) as err:
        raise InvalidOptionError(
            f"Invalid option `method={method!r}` or `metric={metric!r}`: {err}. They are those of "
            "`scipy.cluster.hierarchy.linkage`."
        ) from None
    if tree is None:
        raise InvalidDataError(
            f"Distances of rows by `metric={metric!r}` are not finite. Use another metric, or leave rows out "
            "that are constant or have NaN."
        )
    tree = optimal_leaf_ordering(tree, distances)
    return tree, leaves_list(tree).tolist()


def draw_tree(ax: Axes, tree: NDArray[np.float64], *, side: str) -> None:
    """Draw a tree whose leaves are at 0, 1, ..., on the left of a heatmap or on top of it."""
    from matplotlib.collections import LineCollection
    from scipy.cluster.hierarchy import dendrogram

    from ferrocyte.pl._common import shade

    drawn = dendrogram(tree, no_plot=True)
    # scipy puts leaves at 5, 15, 25, ...
    across = (np.asarray(drawn["icoord"], dtype=np.float64) - 5.0) / 10.0
    height = np.asarray(drawn["dcoord"], dtype=np.float64)
    points = (height, across) if side == "left" else (across, height)
    ax.add_collection(LineCollection(list(np.stack(points, axis=2)), colors=[shade(0.3)], linewidths=0.9))
    n, top = len(tree) + 1, 1.05 * max(float(height.max()), 1e-12)
    if side == "left":
        ax.set(xlim=(top, 0.0), ylim=(n - 0.5, -0.5))
    else:
        ax.set(xlim=(-0.5, n - 0.5), ylim=(0.0, top))
    ax.axis("off")
