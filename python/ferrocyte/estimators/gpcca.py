"""Generalized Perron cluster cluster analysis."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    NotComputedError,
    suggest,
)
from ferrocyte._options import check_count, check_number, check_option
from ferrocyte.estimators._chosen import from_cells, from_macrostates
from ferrocyte.estimators._eigen import (
    Schur,
    check_distribution,
    check_which,
    eigengap,
    eigenvalues_of,
    schur,
    stationary,
)
from ferrocyte.estimators._gpcca_plots import GPCCAPlotMembers
from ferrocyte.estimators._macrostates import (
    Macrostates,
    as_results,
    coarse_grained,
    min_chi,
    rotate,
    single_macrostate,
)
from ferrocyte.estimators._predict import METHODS, least_visited, most_stable
from ferrocyte.estimators._states import ClusterKey, Reference, assign_cells, main_categories, reference
from ferrocyte.estimators._suggest import candidates, recommend
from ferrocyte.estimators._term_states import TermStatesEstimator
from ferrocyte.estimators._tsi import score, table, usable
from ferrocyte.lineage import Lineage

__all__ = ["GPCCA"]


class GPCCA(GPCCAPlotMembers, TermStatesEstimator):
    """Macrostates, and initial and terminal states among them, of a Markov chain over cells.

    Parameters
    ----------
    object : Kernel, KernelExpression, AnnData, array, sparse matrix, str, bool or None
        A kernel with a transition matrix, or anything :class:`~ferrocyte.kernels.PrecomputedKernel` takes.
    **kwargs
        To :class:`~ferrocyte.kernels.PrecomputedKernel`.

    Raises
    ------
    NotComputedError
        If a kernel has no matrix yet; says ``Compute transition matrix first``.
    """

    @property
    def schur_vectors(self) -> NDArray[np.float64] | None:
        """Real Schur vectors, shape `(n_cells, n_components)`."""
        return self._results.get("schur_vectors")

    @property
    def schur_matrix(self) -> NDArray[np.float64] | None:
        """Schur matrix, shape `(n_components, n_components)`."""
        return self._results.get("schur_matrix")

    @property
    def macrostates(self) -> pd.Series | None:
        """Categorical, by cell; missing for cells that are in none."""
        return self._results.get("macrostates")

    @property
    def macrostates_memberships(self) -> Lineage | None:
        """Membership of each cell in each macrostate; rows sum to 1."""
        return self._results.get("macrostates_memberships")

    @property
    def coarse_T(self) -> pd.DataFrame | None:  # noqa: N802
        """Transition matrix between macrostates; rows sum to 1, entries may be slightly negative."""
        return self._results.get("coarse_T")

    @property
    def coarse_initial_distribution(self) -> pd.Series | None:
        """Initial distribution over macrostates."""
        return self._results.get("coarse_initial_distribution")

    @property
    def coarse_stationary_distribution(self) -> pd.Series | None:
        """Stationary distribution over macrostates."""
        return self._results.get("coarse_stationary_distribution")

    # Spectrum -----------------------------------------------------------------------------------------

    def compute_schur(
        self,
        n_components: int = 20,
        initial_distribution: ArrayLike | None = None,
        method: Literal["krylov", "brandts"] = "krylov",
        which: Literal["LR", "LM"] = "LR",
        alpha: float = 1.0,
        verbose: bool | None = None,
    ) -> Self:
        """Compute the dominant real Schur decomposition of the transition matrix.

        Parameters
        ----------
        n_components : int, default 20
            Number of Schur vectors; one more where a complex pair would be cut. Below 2 becomes 2, and more
            than there are cells becomes their number, each with a warning.
        initial_distribution : array-like, shape (n_cells,), optional
            Weight of each cell in the inner product, positive; scaled to sum to 1. Default: uniform.
        method : {"krylov", "brandts"}, default "krylov"
            Both are computed by Krylov-Schur iterations, never from a dense copy.
        which : {"LR", "LM"}, default "LR"
            Sort eigenvalues by real part or by magnitude.
        alpha : float, default 1.0
            How much an eigenvalue away from 1 counts against a gap after it, at least 0.
        verbose : bool, optional
            Has no effect.

        Returns
        -------
        GPCCA
            Itself, with :attr:`schur_vectors` of shape `(n_cells, n_components)`, :attr:`schur_matrix` and
            :attr:`eigendecomposition` without vectors. Macrostates stay as they are.

        Raises
        ------
        InvalidOptionError
            For an unknown method (says ``Invalid method``) or order (says ``sorting criterion``).
        InvalidDataError
            If `initial_distribution` is not positive in each cell.
        ConvergenceError
            If the residuals can not be brought below 1e-10.

        Notes
        -----
        :math:`T X = X R` with :math:`X^T D X = I`, `D` the diagonal of the initial distribution, and a first
        column of 1 [1]_. Memory O(nnz + n_cells * n_components).

        .. [1] B. Reuter, K. Fackeldey, M. Weber, Generalized Markov modeling of nonreversible molecular
           kinetics. J. Chem. Phys., 2019.
        """
        found, params = self._schur_of(
            n_components=n_components,
            initial_distribution=initial_distribution,
            method=method,
            which=which,
            alpha=alpha,
            verbose=verbose,
        )
        self._results.set(params=params, **_schur_results(found, params))
        return self

    def _schur_of(
        self,
        *,
        n_components: int = 20,
        initial_distribution: Any = None,
        method: str = "krylov",
        which: str = "LR",
        alpha: float = 1.0,
        verbose: bool | None = None,
    ) -> tuple[Schur, dict[str, Any]]:
        n = self.shape[0]
        if method not in ("krylov", "brandts"):
            raise InvalidOptionError(f"Invalid method {method!r}. Valid options: 'krylov', 'brandts'.")
        which = check_which(which)
        alpha = check_number(alpha, "alpha", low=0)
        n_components = check_count(n_components, "n_components", least=-(2**31))
        if n_components < 2:
            _warn(f"Expected at least 2 Schur vectors, found `n_components={n_components}`. Computing 2.")
            n_components = 2
        if n_components > n:
            _warn(f"There are {n} cells, so `n_components={n_components}` becomes {n}.")
            n_components = n
        initial = check_distribution(initial_distribution, n)
        found = schur(self.transition_matrix, n_components, which, initial)
        params = {
            "n_components": n_components,
            "initial_distribution": initial,
            "method": method,
            "which": which,
            "alpha": alpha,
            "verbose": verbose,
        }
        return found, params

    # Macrostates --------------------------------------------------------------------------------------

    def compute_macrostates(
        self,
        n_states: int | Sequence[int] | None = None,
        n_cells: int | None = 30,
        cluster_key: ClusterKey = None,
        weight_key: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute macrostates: soft memberships, their most likely cells and the chain between them.

        Parameters
        ----------
        n_states : int, (int, int) or None
            How many; one more where a complex pair would be split. A pair: the number between them (at least
            3) with the largest minChi. None: as the eigengap says.
        n_cells : int or None, default 30
            How many of its most likely cells make up a state; a cell that several ask for goes to the most
            likely one. None: each cell goes to its most likely state.
        cluster_key : str or dict, optional
            Name and colour states by the category most of their cells are in: a categorical column of `obs`,
            as ``"key"`` or ``{"obs": "key"}``; or ``{"obsm": "key"}``, a DataFrame of proportions which sum
            to 1. States that share a name get suffixes ``_1``, ``_2``, ...
        weight_key : str, optional
            Column of `obs` with a weight for each cell, for ``{"obsm": ...}``.
        **kwargs
            To :meth:`compute_schur`, which is then computed anew.

        Returns
        -------
        GPCCA
            Itself, with :attr:`macrostates`, :attr:`macrostates_memberships`, :attr:`coarse_T`,
            :attr:`coarse_initial_distribution` and :attr:`coarse_stationary_distribution`. Initial and
            terminal states, and what depends on them, are undone. A Schur decomposition of enough columns is
            used as it is. For one state, its membership is the stationary distribution, and there is neither
            a Schur decomposition nor a coarse-grained chain.

        Raises
        ------
        NotComputedError
            Without an eigendecomposition for None (says ``Compute eigendecomposition``), or a Schur
            decomposition for a pair.
        InvalidOptionError, InvalidTypeError
            For numbers out of range (says ``decrease this to at most`` for `n_cells`).
        InvalidDataError
            If a state is left with less than a fifth of `n_cells`, or proportions do not sum to 1.
        MissingDataError
            If there are no such clusters; says ``Unable to find clusters``.

        Notes
        -----
        GPCCA+ [1]_ on real Schur vectors [2]_: the linear map of the vectors to memberships of the largest
        crispness. Between states :math:`(\\chi^T D \\chi)^{-1} \\chi^T D T \\chi`.

        .. [1] S. Roeblitz, M. Weber, Fuzzy spectral clustering by PCCA+. Adv. Data Anal. Classif., 2013.
        .. [2] B. Reuter et al., Generalized Markov state modeling method for nonequilibrium biomolecular
           dynamics. J. Chem. Theory Comput., 2018.
        """
        found, params, spectrum = self._macrostates_of(
            n_states, n_cells=n_cells, cluster_key=cluster_key, weight_key=weight_key, schur_options=kwargs
        )
        self._store_macrostates(found, params, spectrum)
        return self

    # Initial and terminal states ------------------------------------------------------------------------

    def predict_terminal_states(
        self,
        method: Literal["stability", "top_n", "eigengap", "eigengap_coarse"] = "stability",
        n_cells: int = 30,
        alpha: float | None = 1,
        stability_threshold: float = 0.96,
        n_states: int | None = None,
        allow_overlap: bool = False,
    ) -> Self:
        """Choose terminal states among the macrostates.

        Parameters
        ----------
        method : {"stability", "top_n", "eigengap", "eigengap_coarse"}, default "stability"
            All that are at least `stability_threshold` stable; the `n_states` most stable; as many as the
            eigengap says; as many as the gap between stabilities says. The stability of a macrostate is its
            entry on the diagonal of :attr:`coarse_T`.
        n_cells : int, default 30
            How many of its most likely cells make up a state.
        alpha : float, default 1
            For ``"eigengap_coarse"``: how much a stability away from 1 counts against a gap after it.
        stability_threshold : float, default 0.96
            For ``"stability"``.
        n_states : int, optional
            For ``"top_n"``.
        allow_overlap : bool, default False
            Cells may be initial and terminal.

        Returns
        -------
        GPCCA
            Itself, with :attr:`terminal_states`, :attr:`terminal_states_probabilities` and
            :attr:`terminal_states_memberships`. What depends on terminal states is undone.

        Raises
        ------
        NotComputedError
            If there are no macrostates.
        InvalidDataError
            If none is stable enough (says ``No macrostate has a stability``, and which threshold would select
            one), or for overlap (says ``Found `<count>` overlapping``).
        InvalidOptionError
            For an unknown method and numbers out of range.

        Warns
        -----
        FerrocyteWarning
            If only one state is left, or an initial and a terminal state share a cluster.
        """
        params = {
            "method": method,
            "n_cells": n_cells,
            "alpha": alpha,
            "stability_threshold": stability_threshold,
            "n_states": n_states,
            "allow_overlap": allow_overlap,
        }
        check_option(method, "method", METHODS)
        memberships = self._require("macrostates_memberships")
        coarse = self.coarse_T
        if coarse is None:
            names = [str(n) for n in memberships.names]
        else:
            names = most_stable(
                coarse,
                method,
                threshold=stability_threshold,
                n_states=n_states,
                alpha=1.0 if alpha is None else alpha,
                gap=lambda: int(self._require("eigendecomposition")["eigengap"]),
            )
        if len(names) == 1 and not (method == "top_n" and coarse is not None):
            where = "There is one macrostate, so it is" if coarse is None else f"Only {names[0]!r} is left as"
            _warn(
                f"{where} the only terminal state: every cell will end there with probability 1. Compute "
                "more macrostates or choose with `.set_terminal_states()`.",
                level=3,
            )
        self._set_macrostates("terminal_states", names, n_cells, "top_n", None, params, allow_overlap)
        return self

    def predict_initial_states(
        self, n_states: int = 1, n_cells: int = 30, allow_overlap: bool = False
    ) -> Self:
        """Choose initial states: the macrostates where the chain is the least in the long run.

        Parameters
        ----------
        n_states : int, default 1
            How many.
        n_cells : int, default 30
            How many of its most likely cells make up a state.
        allow_overlap : bool, default False
            Cells may be initial and terminal.

        Returns
        -------
        GPCCA
            Itself, with :attr:`initial_states`, :attr:`initial_states_probabilities` and
            :attr:`initial_states_memberships`. What depends on initial states is undone.

        Raises
        ------
        NotComputedError
            If there are no macrostates (says ``Compute macro``) or there is no distribution over them.
        InvalidDataError
            For overlap; says ``Found `<count>` overlapping``.
        InvalidOptionError
            For numbers out of range.

        Warns
        -----
        FerrocyteWarning
            If an initial and a terminal state share a cluster.
        """
        params = {"n_states": n_states, "n_cells": n_cells, "allow_overlap": allow_overlap}
        memberships = self._require("macrostates_memberships")
        stationary = self.coarse_stationary_distribution
        if memberships.shape[1] == 1:
            least_visited(pd.Series([1.0]), n_states)
            names = [str(memberships.names[0])]
        elif stationary is None:
            raise NotComputedError(
                "No stationary distribution over macrostates found. Compute them anew as "
                "`.compute_macrostates()`, or use `.set_initial_states()`."
            )
        else:
            names = least_visited(stationary, n_states)
        self._set_macrostates("initial_states", names, n_cells, "top_n", None, params, allow_overlap)
        return self

    def predict(self, *args: Any, **kwargs: Any) -> Self:
        """An old name of :meth:`predict_terminal_states`, with the same parameters."""
        warnings.warn(
            "`GPCCA.predict` is deprecated, use `GPCCA.predict_terminal_states`.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.predict_terminal_states(*args, **kwargs)

    def fit(
        self,
        n_states: int | Sequence[int] | None = None,
        n_cells: int | None = 30,
        cluster_key: ClusterKey = None,
        weight_key: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute macrostates and what is needed for them.

        .. deprecated:: 0.1.0
           Use :meth:`compute_schur` and :meth:`compute_macrostates`.

        Parameters
        ----------
        n_states, n_cells, cluster_key, weight_key, **kwargs
            To :meth:`compute_macrostates`.

        Returns
        -------
        GPCCA
            Itself.
        """
        warnings.warn(
            "`GPCCA.fit` is deprecated, use `GPCCA.compute_schur` and `GPCCA.compute_macrostates`.",
            DeprecationWarning,
            stacklevel=2,
        )
        if n_states is None:
            self.compute_eigendecomposition()
            number: Any = int(self._require("eigendecomposition")["eigengap"]) + 1
        elif np.iterable(n_states):
            number = n_states
            if self.schur_vectors is None:
                self.compute_schur(max(check_count(v, "n_states") for v in n_states))
        else:
            number = n_states
            if number == 1:
                self.compute_eigendecomposition()
        return self.compute_macrostates(number, n_cells, cluster_key, weight_key, **kwargs)

    def set_terminal_states(  # type: ignore[override]
        self,
        states: str | Sequence[str] | Mapping[str, Any] | pd.Series | None = None,
        n_cells: int = 30,
        allow_overlap: bool = False,
        cluster_key: ClusterKey = None,
        weight_key: str | None = None,
        agg: Literal["top_n", "union"] = "top_n",
    ) -> Self:
        """Set the terminal states, from macrostates or by cells.

        Parameters
        ----------
        states : str, sequence of str, dict, Series of category, or None
            Names of macrostates, where ``"a, b"`` merges two; None for all. Or cells, as for
            :meth:`TermStatesEstimator.set_terminal_states`.
        n_cells : int, default 30
            How many of its most likely cells make up a state; not for states given by cells.
        allow_overlap : bool, default False
            Cells may be initial and terminal.
        cluster_key : str or dict, optional
            Name and colour states by the category most of their cells are in, as for
            :meth:`compute_macrostates`. Default: names of macrostates; those of merged ones are joined in
            alphabetical order.
        weight_key : str, optional
            Column of `obs` with a weight for each cell, for ``{"obsm": ...}``.
        agg : {"top_n", "union"}, default "top_n"
            Of merged states: the `n_cells` cells of the largest summed membership, or the `n_cells` most
            likely ones of each.

        Returns
        -------
        GPCCA
            Itself, with :attr:`terminal_states` and, for macrostates, :attr:`terminal_states_probabilities`
            and :attr:`terminal_states_memberships`. What depends on terminal states is undone.

        Raises
        ------
        NotComputedError
            For names without macrostates.
        MissingDataError
            For an unknown name; says ``Invalid lineage name``.
        InvalidOptionError
            For numbers out of range (says ``to be positive``) and an unknown `agg` (says ``Invalid option``).
        InvalidDataError
            For overlap (says ``Found `<count>` overlapping``), and cells that can not be used.
        """
        return self._set_any("terminal_states", states, n_cells, allow_overlap, cluster_key, weight_key, agg)

    def set_initial_states(  # type: ignore[override]
        self,
        states: str | Sequence[str] | Mapping[str, Any] | pd.Series | None = None,
        n_cells: int = 30,
        allow_overlap: bool = False,
        cluster_key: ClusterKey = None,
        weight_key: str | None = None,
        agg: Literal["top_n", "union"] = "top_n",
    ) -> Self:
        """Set the initial states, from macrostates or by cells.

        Parameters
        ----------
        states : str, sequence of str, dict, Series of category, or None
            As for :meth:`set_terminal_states`.
        n_cells : int, default 30
            How many of its most likely cells make up a state; not for states given by cells.
        allow_overlap : bool, default False
            Cells may be initial and terminal.
        cluster_key, weight_key
            Name and colour states by the category most of their cells are in.
        agg : {"top_n", "union"}, default "top_n"
            Which cells of merged states.

        Returns
        -------
        GPCCA
            Itself, with :attr:`initial_states` and, for macrostates, :attr:`initial_states_probabilities` and
            :attr:`initial_states_memberships`. What depends on initial states is undone.

        Raises
        ------
        NotComputedError, MissingDataError, InvalidOptionError, InvalidDataError
            As for :meth:`set_terminal_states`.
        """
        return self._set_any("initial_states", states, n_cells, allow_overlap, cluster_key, weight_key, agg)

    def _set_any(
        self,
        kind: str,
        states: Any,
        n_cells: Any,
        allow_overlap: bool,
        cluster_key: ClusterKey,
        weight_key: str | None,
        agg: Any,
    ) -> Self:
        params = {
            "states": _plain_states(states),
            "n_cells": n_cells,
            "allow_overlap": allow_overlap,
            "cluster_key": cluster_key,
            "weight_key": weight_key,
            "agg": agg,
        }
        check_option(agg, "agg", ("top_n", "union"))
        n_cells = check_count(n_cells, "n_cells")
        if isinstance(states, pd.Series | Mapping):
            chosen = from_cells(self.adata, states).named_by(reference(self.adata, cluster_key, weight_key))
            self._store_states(kind, chosen, params, allow_overlap=allow_overlap)
            return self
        memberships = self._require("macrostates_memberships")
        if states is None:
            names = [str(n) for n in memberships.names]
        else:
            names = [states] if isinstance(states, str) else [str(s) for s in states]
        if not names:
            raise InvalidOptionError(
                "No macrostates have been selected. Give names, or None for all of them."
            )
        ref = reference(self.adata, cluster_key, weight_key)
        self._set_macrostates(kind, names, n_cells, agg, ref, params, allow_overlap)
        return self

    def _set_macrostates(
        self,
        kind: str,
        names: Sequence[str],
        n_cells: Any,
        agg: str,
        ref: Reference | None,
        params: dict[str, Any],
        allow_overlap: bool,
    ) -> None:
        chosen = from_macrostates(
            self._require("macrostates_memberships"),
            names,
            self._cell_names(),
            n_cells=check_count(n_cells, "n_cells"),
            agg=agg,
        )
        self._store_states(kind, chosen.named_by(ref), params, allow_overlap=allow_overlap)

    # Choosing a kernel and a number of states -----------------------------------------------------------

    def tsi(
        self,
        n_macrostates: int,
        terminal_states: Sequence[str] | None = None,
        cluster_key: str | None = None,
        **kwargs: Any,
    ) -> float:
        """Compute the terminal state identification score.

        For each number of macrostates from 1 to `n_macrostates`, count the known terminal states that are the
        cluster of a macrostate.

        Parameters
        ----------
        n_macrostates : int
            The largest number of macrostates.
        terminal_states : sequence of str, optional
            Known terminal states, categories of `cluster_key`. Default: those of the last call.
        cluster_key : str, optional
            Categorical column of `obs`. Default: that of the last call.
        **kwargs
            To :meth:`compute_macrostates`, such as `n_cells`.

        Returns
        -------
        float
            In [0, 1]: the counts over what is possible, both summed over the numbers of macrostates. The
            estimator's results stay as they are.

        Raises
        ------
        InvalidTypeError
            Says `` `cluster_key` to be a `str` or `None` ``.
        NotComputedError
            If there is no last call to take `terminal_states` or `cluster_key` from.
        InvalidOptionError
            If a terminal state is no category of `cluster_key`, or for numbers out of range.
        MissingDataError
            If there are no such clusters.

        Notes
        -----
        All numbers of macrostates share one Schur basis. A number that fails counts as the next smaller one.
        After P. Weiler et al., CellRank 2, Nature Methods, 2024.
        """
        n_macrostates = check_count(n_macrostates, "n_macrostates")
        if cluster_key is not None and not isinstance(cluster_key, str):
            raise InvalidTypeError(
                f"Expected `cluster_key` to be a `str` or `None`, found `{type(cluster_key).__name__}`."
            )
        if isinstance(terminal_states, str):
            terminal_states = [terminal_states]
        if usable(self._tsi, n_macrostates, terminal_states, cluster_key, kwargs):
            return score(self._tsi, n_macrostates)
        if self._tsi is not None and terminal_states is None and cluster_key is None:
            terminal_states, cluster_key = self._tsi.attrs["terminal_states"], self._tsi.attrs["cluster_key"]
        if terminal_states is None or cluster_key is None:
            raise NotComputedError(
                "Expected `terminal_states` and `cluster_key`: there is no earlier `.tsi()` of at least "
                f"{n_macrostates} macrostates to take them from."
            )
        options = dict(kwargs)
        n_cells, weight_key = options.pop("n_cells", 30), options.pop("weight_key", None)
        n_cells = None if n_cells is None else check_count(n_cells, "n_cells")
        ref = reference(self.adata, cluster_key, weight_key)
        assert ref is not None  # there is a key
        for name in terminal_states:
            if str(name) not in ref.weights.columns:
                raise InvalidOptionError(
                    f"Invalid terminal state {name!r}.{suggest(name, ref.weights.columns)}"
                )
        n_used = min(n_macrostates, self.shape[0])
        # One more, so that a complex pair at the end stays together.
        spectrum, _ = self._schur_for(max(n_used, 2), options)

        def clusters_of(number: int) -> set[str]:
            if number > n_used:
                raise InvalidOptionError("more states than cells")
            if number == 1:
                chi = stationary(self.transition_matrix)[:, None]
            else:
                number += spectrum.splits_pair(number)
                chi = rotate(spectrum, number).chi
            codes = assign_cells(chi, n_cells, warn=False)
            return {str(ref.weights.columns[i]) for i in main_categories(codes, chi.shape[1], ref)}

        found = table(n_macrostates, [str(s) for s in terminal_states], cluster_key, clusters_of)
        found.attrs["options"] = kwargs
        self._tsi = found
        return score(found, n_macrostates)

    def suggest_n_states(
        self,
        n_min: int = 2,
        n_max: int = 12,
        cluster_key: ClusterKey = None,
        weight_key: str | None = None,
        n_cells: int = 30,
    ) -> pd.DataFrame:
        """Compare numbers of macrostates and recommend one. The estimator's results stay as they are.

        Parameters
        ----------
        n_min, n_max : int, default 2 and 12
            Smallest and largest number to look at, at least 2.
        cluster_key : str or dict, optional
            Clusters that macrostates should not mix, as for :meth:`compute_macrostates`.
        weight_key : str, optional
            Column of `obs` with a weight for each cell, for ``{"obsm": ...}``.
        n_cells : int, default 30
            How many of its most likely cells make up a state.

        Returns
        -------
        DataFrame
            A row per number, which is the index `n_states`. Criteria, larger is better in each: `eigengap`
            after that many eigenvalues; `min_chi` (at most 0); `crispness` (at most 1); `min_stability`, the
            smallest diagonal entry of the coarse transition matrix; `purity`, the mean over states of the
            share of their largest cluster among their `n_cells` cells, NaN without `cluster_key`. Then
            `smallest_state`, the number of cells whose most likely state is the smallest one; `problem`, what
            speaks against the number altogether; and `why`, which is empty except for the recommended
            number.

        Raises
        ------
        InvalidOptionError, InvalidTypeError
            For numbers out of range.
        InvalidDataError
            If every number would split a pair of complex eigenvalues.
        MissingDataError
            If there are no such clusters.

        See Also
        --------
        ferrocyte.pl.plot_n_states : The table as a figure.

        Notes
        -----
        Recommended is the number with the best mean rank over the criteria (after rounding to what makes a
        difference), the smaller one on a tie, among those without a problem. It is a start for looking at
        :meth:`plot_macrostates`, not a proof.
        """
        n_min, n_max = check_count(n_min, "n_min", least=2), check_count(n_max, "n_max", least=2)
        if n_max < n_min:
            raise InvalidOptionError(f"Expected `n_max` to be at least `n_min={n_min}`, found {n_max}.")
        if n_max > self.shape[0]:
            raise InvalidOptionError(
                f"Expected `n_max` to be at most {self.shape[0]}, the number of cells, found {n_max}."
            )
        n_cells = check_count(n_cells, "n_cells")
        ref = reference(self.adata, cluster_key, weight_key)
        # One component more, for the gap after the last.
        spectrum, new = self._schur_for(min(n_max + 1, self.shape[0]), {})
        out = candidates(
            self.transition_matrix,
            spectrum,
            range(n_min, n_max + 1),
            n_cells=n_cells,
            ref=ref,
            initial=self._initial_of(new),
        )
        best, why = recommend(out)
        out["why"] = np.where(out.index == best, why, "")
        return out

    # What the steps above are made of -------------------------------------------------------------------

    def _macrostates_of(
        self,
        n_states: Any,
        *,
        n_cells: Any,
        cluster_key: ClusterKey,
        weight_key: str | None,
        schur_options: dict[str, Any],
    ) -> tuple[Macrostates, dict[str, Any], tuple[Schur, dict[str, Any]] | None]:
        """Macrostates, their parameters and, if one had to be computed, the Schur decomposition with its."""
        index = self._cell_names()
        ref = reference(self.adata, cluster_key, weight_key)
        n_cells = None if n_cells is None else check_count(n_cells, "n_cells")
        wanted = self._check_n_states(n_states)
        params = {
            "n_states": n_states,
            "n_cells": n_cells,
            "cluster_key": cluster_key,
            "weight_key": weight_key,
        }
        if wanted == 1:
            return single_macrostate(self.transition_matrix, index, n_cells=n_cells, ref=ref), params, None
        most = wanted if isinstance(wanted, int) else wanted[1]
        spectrum, new = self._schur_for(most, schur_options)
        number = wanted if isinstance(wanted, int) else _largest_min_chi(spectrum, *wanted)
        if spectrum.splits_pair(number):
            _warn(
                f"{number} macrostates would split a pair of complex conjugate eigenvalues. "
                f"Computing {number + 1}."
            )
            number += 1
        found = coarse_grained(
            self.transition_matrix,
            rotate(spectrum, number).chi,
            index,
            n_cells=n_cells,
            ref=ref,
            initial=self._initial_of(new),
        )
        return found, params, new

    def _initial_of(self, new: tuple[Schur, dict[str, Any]] | None) -> NDArray[np.float64] | None:
        """The initial distribution of a new Schur decomposition, or of the stored one."""
        params = self._results.params_of("schur_vectors") if new is None else new[1]
        initial = params.get("initial_distribution")
        return None if initial is None else np.asarray(initial, dtype=np.float64)

    def _store_macrostates(
        self, found: Macrostates, params: dict[str, Any], new: tuple[Schur, dict[str, Any]] | None
    ) -> None:
        values = as_results(found)
        if new is not None:
            values.update(_schur_results(*new))
            self._results.set(params=params, other_params={"schur_vectors": new[1]}, **values)
        elif found.coarse_T is None:
            # One macrostate has nothing to do with Schur vectors.
            self._results.set(params=params, **values, schur_vectors=None)
        else:
            self._results.set(params=params, **values)

    def _cell_names(self) -> pd.Index:
        adata = self.adata
        return pd.RangeIndex(self.shape[0]).astype(str) if adata is None else adata.obs_names

    def _check_n_states(self, n_states: Any) -> int | tuple[int, int]:
        n = self.shape[0]
        if n_states is None:
            found = self._require("eigendecomposition")
            return min(int(found["eigengap"]) + 1, n)
        if isinstance(n_states, str) or not np.iterable(n_states):
            number = check_count(n_states, "n_states")
            if number > n:
                raise InvalidOptionError(
                    f"Expected `n_states` to be at most {n}, the number of cells, found {number}."
                )
            return number
        limits = [check_count(v, "n_states") for v in n_states]
        if len(limits) != 2:
            raise InvalidOptionError(
                f"Expected `n_states` to be a number or a pair `(min, max)`, found {len(limits)} numbers."
            )
        self._require("schur_vectors")
        low, high = max(min(limits), 3), max(limits)
        high = max(high, low + 1)
        if high > n:
            raise InvalidOptionError(
                f"Expected `n_states` to be at most {n}, the number of cells, found {high}."
            )
        return low, high

    def _schur_for(
        self, n_states: int, options: dict[str, Any]
    ) -> tuple[Schur, tuple[Schur, dict[str, Any]] | None]:
        """A Schur decomposition for so many states; once more as the second item if it is a new one."""
        x, r = self.schur_vectors, self.schur_matrix
        if x is not None and r is not None and not options:
            stored = Schur(x, r, eigenvalues_of(r), 0.0, 0)
            if x.shape[1] >= n_states:
                return stored, None
        kept: dict[str, Any] = {} if x is None else self._results.params_of("schur_vectors")
        inherited: dict[str, Any] = {
            k: kept[k] for k in ("initial_distribution", "which", "alpha") if k in kept
        }
        chosen: dict[str, Any] = {**inherited, "n_components": n_states, **options}
        new = self._schur_of(**chosen)
        if new[0].X.shape[1] < n_states:
            raise InvalidOptionError(
                f"Expected `n_components` to be at least {n_states}, the number of states, found "
                f"{new[0].X.shape[1]}."
            )
        return new[0], new


def _largest_min_chi(spectrum: Schur, low: int, high: int) -> int:
    """The number in [low, high] whose minChi is the largest, of those that split no complex pair."""
    high = min(high, spectrum.X.shape[1])
    numbers = [m for m in range(low, high + 1) if not spectrum.splits_pair(m)]
    if not numbers:
        raise InvalidDataError(
            f"No number of macrostates in [{low}, {high}] leaves pairs of complex eigenvalues together. "
            "Widen the range."
        )
    scores = [min_chi(spectrum, m) for m in numbers]
    return numbers[int(np.argmax(scores))]


def _schur_results(found: Schur, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "schur_vectors": found.X,
        "schur_matrix": found.R,
        "eigendecomposition": {
            "D": found.eigenvalues,
            "eigengap": eigengap(found.eigenvalues, params["alpha"]),
            "params": {"which": params["which"], "k": len(found.eigenvalues), "alpha": params["alpha"]},
        },
    }


def _plain_states(states: Any) -> Any:
    """States as a parameter to be kept; of a series only that it was one."""
    if isinstance(states, pd.Series):
        return "series"
    if isinstance(states, Mapping):
        return {str(k): v if isinstance(v, str) else np.asarray(v).tolist() for k, v in states.items()}
    return states if states is None or isinstance(states, str) else [str(s) for s in states]


def _warn(message: str, level: int = 4) -> None:
    warnings.warn(message, FerrocyteWarning, stacklevel=level)
