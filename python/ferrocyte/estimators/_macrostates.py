"""Macrostates of a Markov chain by GPCCA: memberships, cells, names, the coarse-grained chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._settings import threads
from ferrocyte.estimators._eigen import Schur
from ferrocyte.estimators._states import Reference, assign_cells, categorical, name_states, warn_of_small
from ferrocyte.kernels._matrix import Matrix, as_csr
from ferrocyte.lineage import Lineage

__all__ = ["Macrostates", "coarse_grained", "min_chi", "single_macrostate"]


ACCURACY = 1e-8  # of a stationary distribution over macrostates


class Macrostates(NamedTuple):
    """What :meth:`GPCCA.compute_macrostates` stores.

    Attributes
    ----------
    macrostates : Series of category, length n_cells
    macrostates_colors : list of str
    macrostates_memberships : Lineage, shape (n_cells, n_states)
    coarse_T : DataFrame, shape (n_states, n_states), or None
    coarse_initial_distribution, coarse_stationary_distribution : Series, length n_states, or None
    """

    macrostates: pd.Series
    macrostates_colors: list[str]
    macrostates_memberships: Lineage
    coarse_T: pd.DataFrame | None  # noqa: N815
    coarse_initial_distribution: pd.Series | None
    coarse_stationary_distribution: pd.Series | None


class Rotation(NamedTuple):
    """Memberships as GPCCA+ finds them, and how good they are."""

    chi: NDArray[np.float64]
    crispness: float
    min_chi: float


def rotate(schur: Schur, n_states: int) -> Rotation:
    """The crispest memberships in the first `n_states` Schur vectors."""
    chi, _, crispness, least, _ = _core.gpcca_macrostates(
        np.ascontiguousarray(schur.X), n_states, threads=threads()
    )
    return Rotation(chi, float(crispness), float(least))


def min_chi(schur: Schur, n_states: int) -> float:
    """Smallest membership of the inner simplex, at most 0; close to 0 where there are `n_states` states."""
    return float(_core.gpcca_min_chi(np.ascontiguousarray(schur.X), n_states, threads=threads()))


def coarse_matrix(
    matrix: Matrix, chi: NDArray[np.float64], initial: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Transitions between macrostates."""
    return _core.coarse_transition_matrix(as_csr(matrix), chi, initial, threads=threads())


def coarse_stationary(
    matrix: Matrix, chi: NDArray[np.float64], coarse: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The stationary distribution over macrostates, from the chain between them alone.

    Memberships span an invariant subspace, :math:`T \\chi = \\chi P + E` with the coarse :math:`P` and a
    small :math:`E`. Hence :math:`\\pi^T \\chi (I - P) = \\pi^T E` for the stationary :math:`\\pi` over cells:
    the stationary distribution of :math:`P` is :math:`\\chi^T \\pi` to within the largest entries of
    :math:`E`, times the norm of the group inverse of :math:`I - P` (Meyer, SIAM Review 17, 1975), about the
    inverse of the gap behind eigenvalue 1.

    Parameters
    ----------
    matrix, chi, coarse
        Of shapes (n_cells, n_cells), (n_cells, n_states) and (n_states, n_states).

    Returns
    -------
    ndarray of float64, shape (n_states,), or None
        Entries sum to 1 and are within 1e-8 of the exact ones. None where that can not be promised: several
        closed classes, or macrostates that hardly communicate.
    """
    m = len(coarse)
    error = np.abs(as_csr(matrix) @ chi - chi @ coarse).max(axis=0).sum() + m * np.finfo(np.float64).eps
    system = np.vstack([(np.eye(m) - coarse).T, np.ones(m)])
    visits = np.linalg.lstsq(system, np.r_[np.zeros(m), 1.0], rcond=None)[0]
    try:
        inverse = np.linalg.inv(np.eye(m) - coarse + visits) - visits
    except np.linalg.LinAlgError:
        return None
    bound = float(error * np.abs(inverse).sum(axis=1).max())
    if not bound <= ACCURACY or visits.min() < -bound:
        return None
    visits = np.maximum(visits, 0.0)
    return visits / visits.sum()


def coarse_grained(
    matrix: Matrix,
    chi: NDArray[np.float64],
    index: pd.Index,
    *,
    n_cells: int | None,
    ref: Reference | None,
    initial: NDArray[np.float64] | None,
    pi: Callable[[], NDArray[np.float64]],
) -> Macrostates:
    """Name the macrostates with memberships `chi`, and the chain between them.

    `pi` computes the stationary distribution over cells; it is called only where the chain between the
    macrostates does not settle how often each is visited, see :func:`coarse_stationary`.
    """
    n, n_states = chi.shape
    codes = assign_cells(chi, n_cells)
    names, colors = name_states(codes, n_states, ref)
    warn_of_small(codes, names, n_cells)
    start = np.full(n, 1 / n) if initial is None else initial
    coarse = coarse_matrix(matrix, chi, initial)
    visits = coarse_stationary(matrix, chi, coarse)
    return Macrostates(
        categorical(codes, names, index),
        colors,
        Lineage(chi, names=names, colors=colors),
        pd.DataFrame(coarse, index=names, columns=names),
        pd.Series(chi.T @ start, index=names),
        pd.Series(chi.T @ pi() if visits is None else visits, index=names),
    )


def single_macrostate(
    pi: NDArray[np.float64], index: pd.Index, *, n_cells: int | None, ref: Reference | None
) -> Macrostates:
    """All cells in one state; its membership is the stationary distribution."""
    pi = pi[:, None]
    codes = assign_cells(pi, n_cells)
    names, colors = name_states(codes, 1, ref)
    return Macrostates(
        categorical(codes, names, index), colors, Lineage(pi, names=names, colors=colors), None, None, None
    )


def as_results(found: Macrostates) -> dict[str, Any]:
    """By the names of the results table."""
    return found._asdict()
