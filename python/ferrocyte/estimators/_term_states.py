"""Estimators that know initial and terminal states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import FerrocyteError, InvalidDataError, warn_user
from ferrocyte._options import check_count, check_number, no_effect
from ferrocyte.estimators._base import BaseEstimator
from ferrocyte.estimators._chosen import Chosen, cells_in_both, from_cells, renamed, shared_clusters
from ferrocyte.estimators._eigen import check_which, eigendecomposition, stationary
from ferrocyte.estimators._fates import FateMembers
from ferrocyte.estimators._plots import PlotMembers
from ferrocyte.estimators._states import ClusterKey, reference
from ferrocyte.kernels._matrix import Matrix
from ferrocyte.lineage import Lineage

__all__ = ["TermStatesEstimator"]

_KINDS = ("initial_states", "terminal_states")


class TermStatesEstimator(FateMembers, PlotMembers, BaseEstimator):
    """Base of estimators that find initial and terminal states.

    Parameters
    ----------
    object : Kernel, KernelExpression, AnnData, array, sparse matrix, str, bool or None
        See :class:`BaseEstimator`.
    **kwargs
        To :class:`~ferrocyte.kernels.PrecomputedKernel`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> [
    ...     issubclass(e, fc.estimators.TermStatesEstimator)
    ...     for e in (fc.estimators.GPCCA, fc.estimators.CFLARE)
    ... ]
    [True, True]
    """

    _pi: tuple[Matrix, bytes | None, NDArray[np.float64]] | None = None

    @property
    def eigendecomposition(self) -> dict[str, Any] | None:
        """Eigenvalues `D`, `eigengap`, `params`; with vectors also `V_l`, `V_r` and `stationary_dist`."""
        return self._results.get("eigendecomposition")

    @property
    def terminal_states(self) -> pd.Series | None:
        """Categorical, by cell; missing for cells that are in none."""
        return self._results.get("terminal_states")

    @property
    def terminal_states_probabilities(self) -> pd.Series | None:
        """Confidence in [0, 1] that a cell is in a terminal state; None for states that were set by hand."""
        return self._results.get("terminal_states_probabilities")

    @property
    def terminal_states_memberships(self) -> Lineage | None:
        """Membership of each cell in each terminal state; None for states that were set by hand."""
        return self._results.get("terminal_states_memberships")

    @property
    def initial_states(self) -> pd.Series | None:
        """Categorical, by cell; missing for cells that are in none."""
        return self._results.get("initial_states")

    @property
    def initial_states_probabilities(self) -> pd.Series | None:
        """Confidence in [0, 1] that a cell is in an initial state; None for states that were set by hand."""
        return self._results.get("initial_states_probabilities")

    @property
    def initial_states_memberships(self) -> Lineage | None:
        """Membership of each cell in each initial state; None for states that were set by hand."""
        return self._results.get("initial_states_memberships")

    def compute_eigendecomposition(
        self,
        k: int = 20,
        which: Literal["LR", "LM"] = "LR",
        alpha: float = 1.0,
        only_evals: bool = False,
        ncv: int | None = None,
    ) -> Self:
        """Compute dominant eigenvalues and, for each, the left and the right eigenvector.

        Parameters
        ----------
        k : int, default 20
            How many; one more where a complex pair would be cut. All of them for a dense matrix.
        which : {"LR", "LM"}, default "LR"
            Those of largest real part or of largest magnitude.
        alpha : float, default 1.0
            How much an eigenvalue away from 1 counts against a gap after it, at least 0.
        only_evals : bool, default False
            Eigenvalues only.
        ncv : int, optional
            Has no effect: the size of the Krylov space is chosen by the solver.

        Returns
        -------
        TermStatesEstimator
            Itself, with :attr:`eigendecomposition`: `D`, complex, of shape `(k,)` in decreasing order;
            `eigengap`, the position of the last eigenvalue before the gap; `params`; and, unless
            `only_evals`, `V_l` and `V_r`, complex, of shape `(n_cells, k)` and norm 1, and
            `stationary_dist` of shape `(n_cells,)`, which sums to 1.

        Raises
        ------
        InvalidOptionError
            For an unknown `which` (says ``sorting criterion``) and numbers out of range.
        ConvergenceError
            If the residuals can not be brought below 1e-10.

        Notes
        -----
        Krylov-Schur [1]_. The eigengap is at the largest
        :math:`(\\lambda_i - \\lambda_{i+1}) - \\alpha (1 - \\lambda_i)` over real parts. Where the chain has
        several closed classes, `stationary_dist` is its long-run average from a uniform start.

        .. [1] G. W. Stewart, A Krylov-Schur algorithm for large eigenproblems. SIAM J. Matrix Anal. Appl.,
           2001.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> _ = kernel.compute_transition_matrix()
        >>> g = fc.estimators.GPCCA(kernel)
        >>> _ = g.compute_eigendecomposition(k=5)
        >>> g.eigendecomposition["D"].real.round(2)
        array([1.  , 0.93, 0.91, 0.79, 0.79])
        """
        no_effect("ncv", ncv, None, "the size of the Krylov space is chosen by the solver")
        k = min(check_count(k, "k"), self.shape[0])
        found = eigendecomposition(
            self.transition_matrix,
            k,
            check_which(which),
            check_number(alpha, "alpha", low=0),
            only_values=bool(only_evals),
        )
        if not only_evals:
            found["stationary_dist"] = self._stationary().copy()
        params = {"k": k, "which": which, "alpha": alpha, "only_evals": bool(only_evals), "ncv": ncv}
        self._results.set(eigendecomposition=found, params=params)
        return self

    def _stationary(self, initial: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The stationary distribution, see :func:`stationary`; kept for as long as the matrix is the same."""
        matrix, key = self.transition_matrix, None if initial is None else initial.tobytes()
        if self._pi is None or self._pi[0] is not matrix or self._pi[1] != key:
            self._pi = (matrix, key, stationary(matrix, initial))
        return self._pi[2]

    # States set by hand -------------------------------------------------------------------------------

    def set_terminal_states(
        self,
        states: pd.Series | Mapping[str, Any],
        cluster_key: ClusterKey = None,
        allow_overlap: bool = False,
        weight_key: str | None = None,
    ) -> Self:
        """Set the terminal states.

        Parameters
        ----------
        states : Series of category, or dict
            A series over the cells, missing for those in no state. Or ``{name: cells}`` with names or
            positions of cells, or a mask. Or ``{key: clusters}`` with a categorical column of `obs` and one
            or more of its categories, which keep their names and colours.
        cluster_key : str or dict, optional
            Name and colour states by the category of `obs` most of their cells are in; see
            :meth:`GPCCA.compute_macrostates`.
        allow_overlap : bool, default False
            Cells may be initial and terminal.
        weight_key : str, optional
            Weight of each cell in `obs`, for ``cluster_key={"obsm": ...}``.

        Returns
        -------
        TermStatesEstimator
            Itself, with :attr:`terminal_states`; without probabilities and memberships. What depends on the
            states is undone.

        Raises
        ------
        InvalidTypeError
            If `states` are neither, or not categorical.
        InvalidDataError
            For unknown cells or clusters, cells in two states, no state, names that are the same as strings,
            and overlap (says ``Found `<count>` overlapping``).
        """
        return self._set_given("terminal_states", states, cluster_key, weight_key, allow_overlap)

    def set_initial_states(
        self,
        states: pd.Series | Mapping[str, Any],
        cluster_key: ClusterKey = None,
        allow_overlap: bool = False,
        weight_key: str | None = None,
    ) -> Self:
        """Set the initial states.

        Parameters
        ----------
        states : Series of category, or dict
            As for :meth:`set_terminal_states`.
        cluster_key : str or dict, optional
            Name and colour states by the category of `obs` most of their cells are in.
        allow_overlap : bool, default False
            Cells may be initial and terminal.
        weight_key : str, optional
            Weight of each cell in `obs`, for ``cluster_key={"obsm": ...}``.

        Returns
        -------
        TermStatesEstimator
            Itself, with :attr:`initial_states`; without probabilities and memberships. What depends on the
            states is undone.

        Raises
        ------
        InvalidTypeError, InvalidDataError
            As for :meth:`set_terminal_states`.
        """
        return self._set_given("initial_states", states, cluster_key, weight_key, allow_overlap)

    def _set_given(
        self, kind: str, states: Any, cluster_key: ClusterKey, weight_key: str | None, allow_overlap: bool
    ) -> Self:
        ref = reference(self.adata, cluster_key, weight_key)
        chosen = from_cells(self.adata, states).named_by(ref)
        params = {"cluster_key": cluster_key, "weight_key": weight_key, "allow_overlap": bool(allow_overlap)}
        self._store_states(kind, chosen, params, allow_overlap=allow_overlap)
        return self

    def rename_terminal_states(self, old_new: Mapping[str, str]) -> Self:
        """Rename terminal states.

        Parameters
        ----------
        old_new : dict
            New names by old ones; others stay. The order of states stays.

        Returns
        -------
        TermStatesEstimator
            Itself. What depends on the states is undone, unless the dict is empty.

        Raises
        ------
        NotComputedError
            If there are none; says ``Compute terminal states``.
        InvalidOptionError
            Says ``Invalid terminal states names`` or, if names are not unique then, ``After renaming``.
        InvalidTypeError
            If it is not a dict.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.rename_terminal_states(
        ...     {"Granule immature": "Granule"}
        ... ).terminal_states.cat.categories.tolist()
        ['Granule', 'Astrocytes']
        """
        return self._rename("terminal_states", old_new)

    def rename_initial_states(self, old_new: Mapping[str, str]) -> Self:
        """Rename initial states.

        Parameters
        ----------
        old_new : dict
            New names by old ones; others stay. The order of states stays.

        Returns
        -------
        TermStatesEstimator
            Itself. What depends on the states is undone, unless the dict is empty.

        Raises
        ------
        NotComputedError
            If there are none; says ``Compute initial states``.
        InvalidOptionError
            Says ``Invalid initial states names`` or, if names are not unique then, ``After renaming``.
        InvalidTypeError
            If it is not a dict.
        """
        return self._rename("initial_states", old_new)

    def _rename(self, kind: str, old_new: Any) -> Self:
        chosen = renamed(self._chosen(kind), old_new, kind.partition("_")[0])
        if old_new:
            self._results.set(params=self._results.params_of(kind), **chosen.as_results(kind))
        return self

    def _chosen(self, kind: str) -> Chosen:
        self._require(kind)
        get = self._results.get
        return Chosen(
            get(kind), get(f"{kind}_colors"), get(f"{kind}_probabilities"), get(f"{kind}_memberships")
        )

    def _store_states(
        self, kind: str, chosen: Chosen, params: dict[str, Any], *, allow_overlap: bool = False
    ) -> None:
        """Store initial or terminal states: checks of one kind against the other, then all at once."""
        other = self._results.get(_KINDS[1 - _KINDS.index(kind)])
        initial, terminal = (chosen.states, other) if kind == "initial_states" else (other, chosen.states)
        overlap, pairs = cells_in_both(initial, terminal)
        if overlap and not allow_overlap:
            shared = ", ".join(f"initial {a!r} with terminal {b!r}" for a, b in pairs)
            raise InvalidDataError(
                f"Found `{overlap}` overlapping cells between initial and terminal states: {shared}. Choose "
                "other states, or pass `allow_overlap=True` if this is intended."
            )
        if other is not None:
            self._warn_of_shared_clusters(kind, chosen.states, other, params)
        self._results.set(params=params, **chosen.as_results(kind))

    def _warn_of_shared_clusters(
        self, kind: str, states: pd.Series, other: pd.Series, params: Mapping[str, Any]
    ) -> None:
        key, weight = params.get("cluster_key"), params.get("weight_key")
        if key is None:
            known = self._results.params_of("macrostates")
            key, weight = known.get("cluster_key"), known.get("weight_key")
        try:
            ref = reference(self.adata, key, weight)
        except FerrocyteError:
            # The clusters that macrostates were named by may be gone; nothing depends on them here.
            return
        if ref is None:
            return
        initial, terminal = (states, other) if kind == "initial_states" else (other, states)
        shared = shared_clusters(initial, terminal, ref)
        if shared:
            pairs = "; ".join(f"initial {a!r} and terminal {b!r} in {c!r}" for a, b, c in shared)
            warn_user(
                f"Initial and terminal states share a cluster: {pairs}. One of them may be wrong: look at "
                "`.plot_macrostates(which='initial_and_terminal')`, or choose with `.set_initial_states()` "
                "and `.set_terminal_states()`."
            )

    def _described(self) -> list[str]:
        out = []
        for name in _KINDS:
            states = self._results.get(name)
            found: Any = None if states is None else sorted(str(c) for c in states.cat.categories)
            out.append(f"{name}={found}")
        return out
