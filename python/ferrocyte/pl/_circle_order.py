"""In which order lineages stand on a circle: the shortest way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from ferrocyte._errors import InvalidDataError, InvalidOptionError

__all__ = ["MOST", "shortest_tour", "tour_distances"]

# The exact search takes time and memory in 2 ** n; 20 lineages take seconds.
MOST = 20


def tour_distances(columns: NDArray[np.float64], metric: str | Callable[..., Any]) -> NDArray[np.float64]:
    """Distances between the columns of a matrix, by a metric of ``scipy.spatial.distance.pdist``.

    Raises
    ------
    InvalidOptionError
        If there is no such metric.
    InvalidDataError
        If a distance is not finite.
    """
    try:
        distances: Any = pdist(columns.T, metric=cast(Any, metric))
    except (ValueError, TypeError) as err:
        raise InvalidOptionError(
            f"Invalid option `metric={metric!r}`: {err}. It is a metric of `scipy.spatial.distance.pdist`."
        ) from None
    out: NDArray[np.float64] = squareform(distances)
    if not np.isfinite(out).all():
        raise InvalidDataError(
            f"Distances between lineages by `metric={metric!r}` are not finite. Use another metric or "
            "`lineage_order='default'`."
        )
    return out


def shortest_tour(distances: NDArray[np.float64]) -> list[int]:
    """The shortest closed tour through all points, starting with the first [1]_.

    Parameters
    ----------
    distances : ndarray of float, shape (n, n)
        Symmetric, n at most 20.

    Returns
    -------
    list of int
        Points in order; of a tour and its reverse, the one whose second point comes first.

    References
    ----------
    .. [1] M. Held and R. M. Karp, A dynamic programming approach to sequencing problems, J. SIAM 10 (1962).
    """
    n = len(distances)
    if n > MOST:
        raise InvalidOptionError(
            f"Expected at most {MOST} lineages for `lineage_order='optimal'`, found {n}. Use 'default'."
        )
    if n <= 3:
        return list(range(n))
    rest = n - 1  # the first point is where tours start and end
    between, home = distances[1:, 1:], distances[0, 1:]
    sets = np.arange(1 << rest)
    counts = np.array([s.bit_count() for s in range(1 << rest)])
    # cost[j, set]: shortest way from the start through `set`, which ends at j
    cost = np.full((rest, 1 << rest), np.inf)
    before = np.zeros((rest, 1 << rest), dtype=np.int8)
    cost[np.arange(rest), 1 << np.arange(rest)] = home
    for size in range(2, rest + 1):
        layer = sets[counts == size]
        for j in range(rest):
            chosen = layer[(layer >> j) & 1 == 1]
            ways = cost[:, chosen ^ (1 << j)] + between[:, j, None]
            best = ways.argmin(axis=0)
            cost[j, chosen] = ways[best, np.arange(len(chosen))]
            before[j, chosen] = best
    remaining = (1 << rest) - 1
    j = int((cost[:, remaining] + home).argmin())
    tour = []
    while True:
        tour.append(j + 1)
        remaining, j = remaining ^ (1 << j), int(before[j, remaining])
        if not remaining:
            break
    tour = tour if tour[0] < tour[-1] else tour[::-1]
    return [0, *tour]
