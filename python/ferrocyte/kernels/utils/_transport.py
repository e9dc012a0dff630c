"""Optimal transport between the cells of two time points, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from ferrocyte._options import check_count, check_number
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads

__all__ = ["TransportMap", "transport_map"]

Cost = NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64], float]
# Keep the kernel in memory below this many entries (0.5 GB); above, it is made anew in each iteration.
STORED = 64_000_000
# Entries per block of rows that is handed out (32 MB).
BLOCK = 4_000_000


class TransportMap:
    """A coupling of source and target cells that is known by its potentials; made by :func:`transport_map`.

    Rows are computed when they are asked for, so the map never has to exist whole:
    :math:`P_{ij} = \\exp((f_i + g_j - C_{ij}) / \\epsilon)`.

    Attributes
    ----------
    shape : (int, int)
        Source cells, target cells.
    source_potential, target_potential : ndarray
        `f` and `g`, in units of the cost.
    epsilon : float
        Strength of the entropy.
    iterations : int
        What it took.
    residual : float
        By how much row sums miss their optimal values, as a share of the mass.
    source_names, target_names : pandas.Index or None
        Names of cells, if known.

    Examples
    --------
    >>> import numpy as np, ferrocyte as fc
    >>> x = np.array([[0.0], [1.0]])
    >>> tmap = fc.kernels.utils.transport_map(
    ...     x, x, epsilon=0.1, scale_cost=1.0, lambda1=np.inf, lambda2=np.inf
    ... )
    >>> np.asarray(tmap).round(3)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """

    def __init__(
        self,
        cost: Cost,
        source_potential: NDArray[np.float64],
        target_potential: NDArray[np.float64],
        *,
        epsilon: float,
        iterations: int,
        residual: float,
        source_names: pd.Index | None = None,
        target_names: pd.Index | None = None,
    ) -> None:
        self._cost = cost
        self.source_potential, self.target_potential = source_potential, target_potential
        self.epsilon, self.iterations, self.residual = epsilon, iterations, residual
        self.source_names, self.target_names = source_names, target_names

    @property
    def shape(self) -> tuple[int, int]:
        """Source cells, target cells."""
        return len(self.source_potential), len(self.target_potential)

    def rows(self, start: int, stop: int, *, n_jobs: int | None = None) -> NDArray[np.float64]:
        """Rows `start` to `stop` as an array.

        Parameters
        ----------
        start, stop : int
            Positions of source cells.
        n_jobs : int, optional
            Threads.

        Returns
        -------
        ndarray, shape (stop - start, n_target)
        """
        return _core.transport_plan(
            self._cost,
            self.source_potential,
            self.target_potential,
            epsilon=self.epsilon,
            start=start,
            stop=stop,
            threads=threads(n_jobs),
        )

    def blocks(self, *, n_jobs: int | None = None) -> Iterator[NDArray[np.float64]]:
        """Yield all rows from first to last, some at a time."""
        n, m = self.shape
        step = max(1, BLOCK // m)
        for start in range(0, n, step):
            yield self.rows(start, min(start + step, n), n_jobs=n_jobs)

    def mass(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row sums and column sums: how much each source cell sends and each target cell receives."""
        sent, received = [], np.zeros(self.shape[1])
        for block in self.blocks():
            sent.append(block.sum(axis=1))
            received += block.sum(axis=0)
        return np.concatenate(sent), received

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        out = self.rows(0, self.shape[0])
        return out if dtype is None else out.astype(dtype)

    def __repr__(self) -> str:
        return (
            f"TransportMap[{self.shape[0]} -> {self.shape[1]} cells, epsilon={self.epsilon:g}, "
            f"iterations={self.iterations}, residual={self.residual:.1e}]"
        )


def transport_map(
    source: ArrayLike | None = None,
    target: ArrayLike | None = None,
    *,
    cost: ArrayLike | None = None,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    epsilon: float = 0.05,
    lambda1: float = 1.0,
    lambda2: float = 50.0,
    scale_cost: Literal["mean"] | float = "mean",
    tol: float = 1e-9,
    max_iter: int = 10_000,
    n_jobs: int | None = None,
    show_progress_bar: bool = True,
) -> TransportMap:
    """Couple two sets of cells by entropic, unbalanced optimal transport [1]_ [2]_.

    Parameters
    ----------
    source : array-like, shape (n_source, d), optional
        Coordinates of source cells, for instance principal components.
    target : array-like, shape (n_target, d), optional
        Coordinates of target cells.
    cost : array-like, shape (n_source, n_target), optional
        Costs instead of coordinates.
    a, b : array-like, optional
        Mass of source and target cells, positive. Default: uniform, sum 1.
    epsilon : float, default 0.05
        Strength of the entropy, in units of the (scaled) cost: smaller is sharper and slower.
    lambda1, lambda2 : float, default 1 and 50
        How strongly the map must keep to `a` and `b`; infinity for exactly.
    scale_cost : "mean" or float, default "mean"
        Squared Euclidean distances are divided by their mean, or by this number. Costs that are given are
        used as they are.
    tol : float, default 1e-9
        Row sums may miss their optimal values by this share of the mass.
    max_iter : int, default 10,000
        Give up after so many iterations.
    n_jobs : int, optional
        Threads; the result is the same for any number.
    show_progress_bar : bool, default True

    Returns
    -------
    TransportMap

    Raises
    ------
    InvalidDataError
        For NaN, empty sets of cells, or sizes that do not agree.
    ConvergenceError
        If the tolerance was not met.

    Notes
    -----
    Minimises :math:`\\langle P, C \\rangle + \\epsilon KL(P | 1) + \\lambda_1 KL(P 1 | a) + \\lambda_2 KL(P^T
    1 | b)`. Memory O(n_source * n_target) for up to 64 million entries, else O(n_source + n_target).

    References
    ----------
    .. [1] L. Chizat et al., Scaling algorithms for unbalanced optimal transport problems, Math. Comp. 87
       (2018).
    .. [2] G. Schiebinger et al., Optimal-transport analysis of single-cell gene expression, Cell 176 (2019).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> early, late = rng.normal(size=(30, 2)), rng.normal(size=(40, 2))
    >>> plan = fc.kernels.utils.transport_map(early, late, show_progress_bar=False)
    >>> plan.shape, plan.rows(0, 5).shape
    ((30, 40), (5, 40))
    """
    prepared, (n, m) = _prepare(source, target, cost, scale_cost)
    mass = (_marginal(a, n, "a"), _marginal(b, m, "b"))
    check_number(epsilon, "epsilon", above=0.0)
    check_number(tol, "tol", above=0.0)
    for name, value in (("lambda1", lambda1), ("lambda2", lambda2)):
        if value != np.inf:
            check_number(value, name, above=0.0)
    with progress_bar(show_progress_bar, unit="row") as progress:
        f, g, iterations, residual = _core.transport_potentials(
            prepared,
            *mass,
            epsilon=float(epsilon),
            lambda_source=float(lambda1),
            lambda_target=float(lambda2),
            tol=float(tol),
            max_iter=check_count(max_iter, "max_iter"),
            max_stored=STORED,
            threads=threads(n_jobs),
            progress=progress,
        )
    return TransportMap(prepared, f, g, epsilon=float(epsilon), iterations=iterations, residual=residual)


def _prepare(source: Any, target: Any, cost: Any, scale_cost: Any) -> tuple[Cost, tuple[int, int]]:
    if (cost is None) == (source is None or target is None):
        raise InvalidOptionError("Expected either `source` and `target`, or `cost`. Pass one of the two.")
    if cost is not None:
        costs = _matrix(cost, "cost")
        return costs, (costs.shape[0], costs.shape[1])
    x, y = _matrix(source, "source"), _matrix(target, "target")
    if x.shape[1] != y.shape[1]:
        raise InvalidDataError(
            f"Expected `source` and `target` to have the same coordinates, found {x.shape[1]} and "
            f"{y.shape[1]}."
        )
    if scale_cost == "mean":
        # mean |x - y|^2 without looking at pairs: both variances and the distance of the means
        with np.errstate(over="ignore", invalid="ignore"):
            apart = x.mean(axis=0) - y.mean(axis=0)
            scale = float(x.var(axis=0).sum() + y.var(axis=0).sum() + apart @ apart)
        if np.isinf(scale):
            raise InvalidDataError(
                "Expected coordinates whose squares are finite. Divide them by their scale."
            )
        scale = scale if scale > 0 else 1.0
    else:
        scale = check_number(scale_cost, "scale_cost", above=0.0)
    return (x, np.ascontiguousarray(y.T), scale), (len(x), len(y))


def _matrix(value: Any, name: str) -> NDArray[np.float64]:
    try:
        out = np.ascontiguousarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidDataError(f"Expected `{name}` to be a matrix of numbers.") from None
    if out.ndim != 2 or 0 in out.shape:
        raise InvalidDataError(f"Expected `{name}` to be a matrix with rows and columns, found {out.shape}.")
    return out


def _marginal(value: Any, n: int, name: str) -> NDArray[np.float64]:
    if value is None:
        return np.full(n, 1.0 / n)
    out = np.ascontiguousarray(value, dtype=np.float64)
    if out.shape != (n,) or not (np.isfinite(out).all() and (out > 0).all()):
        raise InvalidDataError(
            f"Expected `{name}` to have {n} positive numbers, one per cell, found shape {out.shape}"
            f"{'' if out.shape != (n,) else f' with values down to {out.min():g}'}."
        )
    return out
