"""Fate probabilities and what follows from them: members of estimators."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte import _adata, _core
from ferrocyte._errors import InvalidDataError, warn_user
from ferrocyte._options import check_number
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads
from ferrocyte.estimators._absorption import check_solver, explain_unreachable, select_states
from ferrocyte.estimators._driver_members import DriverMembers
from ferrocyte.kernels._matrix import as_csr
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from ferrocyte.kernels._matrix import Matrix

__all__ = ["FateMembers"]

_logger = logging.getLogger(__name__)


class FateMembers(DriverMembers):
    """Members of estimators that need terminal states."""

    if TYPE_CHECKING:

        @property
        def transition_matrix(self) -> Matrix: ...

    @property
    def fate_probabilities(self) -> Lineage | None:
        """Probability of each cell to reach each terminal state; rows sum to 1."""
        return self._results.get("fate_probabilities")

    @property
    def absorption_times(self) -> pd.DataFrame | None:
        """Mean and variance of the number of steps until a cell reaches each terminal state."""
        return self._results.get("absorption_times")

    @property
    def priming_degree(self) -> pd.Series | None:
        """Degree in [0, 1] to which each cell is primed towards its fates."""
        return self._results.get("priming_degree")

    # Where chains end ---------------------------------------------------------------------------------

    def compute_fate_probabilities(
        self,
        keys: str | Sequence[str] | None = None,
        solver: str = "gmres",
        use_petsc: bool = True,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool = True,
        tol: float = 1e-6,
        preconditioner: str | None = None,
        check_sum_tol: float = 1e-3,
    ) -> None:
        """Compute the probability of each cell to reach each terminal state.

        Parameters
        ----------
        keys : str or sequence of str, optional
            Terminal states to use, all by default; ``"a, b"`` merges `a` and `b`. Cells of states that are
            left out are like any other cell.
        solver : {"gmres", "bicgstab", "direct", "lgmres", "gcrotmk"}, default "gmres"
            Method that is tried first; ``"lgmres"`` and ``"gcrotmk"``, which also are variants of GMRES, mean
            ``"gmres"``. Where it does not converge, a stronger one takes over.
        use_petsc : bool, default True
            Has no effect: the solvers are part of this package.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores. The result does not depend on it.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.
        tol : float, default 1e-6
            Relative residual at which the solver may stop, dimensionless, in (0, 1). It stops no earlier than
            at an accuracy of 1e-11, whatever `tol`.
        preconditioner : {"jacobi", "ilu", "multilevel", "direct"}, optional
            Default: chosen by the data. Names that other packages know have no effect.
        check_sum_tol : float, default 1e-3
            Largest deviation from 1 of the sum over all states, in each cell.

        Returns
        -------
        None
            Sets :attr:`fate_probabilities`, a :class:`~ferrocyte.Lineage` of shape `(n_cells, n_states)`:
            single states in the order of the categories, then merged ones. 1 in the cells of a state.
            The report of the solver is in `params`, under ``"info"``: `solver`, `preconditioner`,
            `iterations`, `residual` and `error` (estimate of the largest one).

        Raises
        ------
        NotComputedError
            Without terminal states; says ``Compute terminal states``.
        MissingDataError
            For unknown `keys`; says ``Invalid lineage name``.
        InvalidDataError
            If mixtures overlap; if cells can not reach any state, naming them and where they end; if sums are
            off, saying ``value(s) do not sum to 1 (check_sum_tol=``.
        InvalidOptionError, InvalidTypeError
            For unknown options and numbers out of range.
        NoTransientCellsError
            If every cell is in a terminal state.
        ConvergenceError
            If no method reaches the accuracy.

        Warns
        -----
        FerrocyteWarning
            If there is one state only, which every cell reaches with probability 1.

        Notes
        -----
        Memory O(nnz + n_cells * n_states). With `Q` the transitions among cells that are in no state and `S`
        those from them into each state, solves ``(I - Q) X = S`` [1]_.

        References
        ----------
        .. [1] J. G. Kemeny and J. L. Snell, Finite Markov Chains, Springer 1976, section 3.3.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> g.fate_probabilities.names.tolist()
        ['Granule immature', 'Astrocytes']
        >>> bool((abs(g.fate_probabilities.X.sum(axis=1) - 1) < 1e-9).all())
        True
        """
        solving = check_solver(solver, tol, preconditioner, use_petsc, backend)
        check_sum_tol = check_number(check_sum_tol, "check_sum_tol", low=0)
        states = select_states(
            self._require("terminal_states"), self._results.get("terminal_states_colors"), keys
        )
        matrix = as_csr(self.transition_matrix)
        if len(states.names) == 1:
            warn_user(
                f"There is only 1 terminal state, {states.names[0]!r}: every cell reaches it with "
                "probability 1. Use two or more to tell cells apart."
            )
        try:
            with progress_bar(show_progress_bar, unit="step") as progress:
                values, info = _core.absorption_probabilities(
                    matrix, states.target, **solving, threads=threads(n_jobs), progress=progress
                )
        except InvalidDataError as err:
            raise explain_unreachable(err, matrix, states, self.adata) from None
        off = np.abs(values.sum(axis=1) - 1)
        if not (off <= check_sum_tol).all():
            raise InvalidDataError(
                f"`{int((~(off <= check_sum_tol)).sum())}` value(s) do not sum to 1 "
                f"(check_sum_tol={check_sum_tol}); the largest deviation is {off.max():.3g}. Increase "
                "`check_sum_tol`."
            )
        _logger.info("Fate probabilities of %d states, solver %s", len(states.names), info)
        self._results.set(
            fate_probabilities=Lineage(values, names=states.names, colors=states.colors),
            params={
                "keys": keys,
                "solver": solver,
                "tol": tol,
                "preconditioner": preconditioner,
                "check_sum_tol": check_sum_tol,
                "info": info,
            },
        )

    def compute_absorption_times(
        self,
        keys: str | Sequence[str] | None = None,
        calculate_variance: bool = False,
        solver: str = "gmres",
        use_petsc: bool = True,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool | None = None,
        tol: float = 1e-6,
        preconditioner: str | None = None,
    ) -> None:
        """Compute how many steps a cell takes until it reaches each terminal state.

        Parameters
        ----------
        keys : str or sequence of str, optional
            Terminal states to use, all by default; ``"a, b"`` merges `a` and `b`.
        calculate_variance : bool, default False
            Also compute the variance.
        solver, use_petsc, n_jobs, backend, tol, preconditioner
            See :meth:`compute_fate_probabilities`.
        show_progress_bar : bool, optional
            Show a progress bar in a terminal or a notebook; the default does.

        Returns
        -------
        None
            Sets :attr:`absorption_times`, by cell, with columns ``<state>_mean`` (steps) and, if asked for,
            ``<state>_var`` (steps squared). They are of the walks that end in the state. In its own cells
            both are 0; in cells of other states, and where the state is reached with probability below 1e-14,
            the mean is infinite and the variance NaN. The report of the solver is in `params`.

        Raises
        ------
        NotComputedError, MissingDataError, InvalidDataError, InvalidOptionError, InvalidTypeError
            As :meth:`compute_fate_probabilities`, which need not have been called.
        NoTransientCellsError, ConvergenceError
            As there.

        Notes
        -----
        With `h` the probability to end in the state, walks that do form a chain ``q_ij h_j / h_i``; its mean
        `m` solves ``(I - Q)(h m) = h`` [1]_. Fate probabilities are computed on the way and not stored.

        References
        ----------
        .. [1] J. G. Kemeny and J. L. Snell, Finite Markov Chains, Springer 1976, theorems 3.3.5 and 3.3.8.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_absorption_times()
        >>> g.absorption_times.shape
        (200, 2)
        """
        solving = check_solver(solver, tol, preconditioner, use_petsc, backend)
        states = select_states(
            self._require("terminal_states"), self._results.get("terminal_states_colors"), keys
        )
        matrix = as_csr(self.transition_matrix)
        try:
            with progress_bar(show_progress_bar is not False, unit="step") as progress:
                mean, variance, info = _core.absorption_times(
                    matrix,
                    states.target,
                    variance=bool(calculate_variance),
                    **solving,
                    threads=threads(n_jobs),
                    progress=progress,
                )
        except InvalidDataError as err:
            raise explain_unreachable(err, matrix, states, self.adata) from None
        columns: dict[str, NDArray[np.float64]] = {}
        for k, name in enumerate(states.names):
            columns[f"{name}_mean"] = mean[:, k]
            if variance is not None:
                columns[f"{name}_var"] = variance[:, k]
        _logger.info("Absorption times of %d states, solver %s", len(states.names), info)
        self._results.set(
            absorption_times=pd.DataFrame(columns, index=self._results.get("terminal_states").index),
            params={
                "keys": keys,
                "calculate_variance": bool(calculate_variance),
                "solver": solver,
                "tol": tol,
                "preconditioner": preconditioner,
                "info": info,
            },
        )

    # What follows -------------------------------------------------------------------------------------

    def compute_lineage_priming(
        self,
        method: Literal["kl_divergence", "entropy"] = "kl_divergence",
        early_cells: Mapping[str, Any] | Sequence[Any] | NDArray[Any] | pd.Series | None = None,
    ) -> pd.Series:
        """Compute how far each cell is on its way to a fate.

        Parameters
        ----------
        method : {"kl_divergence", "entropy"}, default "kl_divergence"
            See :meth:`Lineage.priming_degree`.
        early_cells : dict, sequence or array, optional
            Cells to compare with, all by default: ``{obs_key: clusters}``, a mask over cells, or names of
            cells. Only used for ``"kl_divergence"``.

        Returns
        -------
        pandas.Series
            By cell, from 0 (naive) to 1 (committed); also sets :attr:`priming_degree`.

        Raises
        ------
        NotComputedError
            Without fate probabilities.
        InvalidOptionError
            For another method.
        MissingDataError, InvalidTypeError, InvalidDataError
            If early cells can not be selected, or none is.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> degree = g.compute_lineage_priming("entropy")
        >>> bool(degree.between(0, 1).all())
        True
        """
        fates: Lineage = self._require("fate_probabilities")
        early = None if early_cells is None else _adata.cells_mask(self.adata, early_cells, "early_cells")
        names = self._results.get("terminal_states").index
        values = pd.Series(fates.priming_degree(method, early), index=names)
        kept = early_cells if isinstance(early_cells, Mapping) or early is None else list(names[early])
        self._results.set(priming_degree=values, params={"method": str(method), "early_cells": kept})
        return values
