"""Macrostates as members of an estimator."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, warn_user
from ferrocyte._options import check_count, check_number
from ferrocyte.estimators._eigen import (
    Schur,
    check_distribution,
    check_which,
    eigengap,
    eigenvalues_of,
    schur,
)
from ferrocyte.estimators._macrostates import (
    Macrostates,
    as_results,
    coarse_grained,
    min_chi,
    rotate,
    single_macrostate,
)
from ferrocyte.estimators._states import ClusterKey, reference
from ferrocyte.estimators._term_states import TermStatesEstimator
from ferrocyte.lineage import Lineage

__all__ = ["MacrostateMembers"]


class MacrostateMembers(TermStatesEstimator):
    """Schur decomposition and macrostates of GPCCA."""

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

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> g.schur_vectors.shape
        (200, 10)
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
            warn_user(f"Expected at least 2 Schur vectors, found `n_components={n_components}`. Computing 2.")
            n_components = 2
        if n_components > n:
            warn_user(f"There are {n} cells, so `n_components={n_components}` becomes {n}.")
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

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> g.macrostates.value_counts().to_dict()
        {'Astrocytes': 10, 'Neuroblast': 10, 'Granule immature': 10}
        """
        found, params, spectrum = self._macrostates_of(
            n_states, n_cells=n_cells, cluster_key=cluster_key, weight_key=weight_key, schur_options=kwargs
        )
        self._store_macrostates(found, params, spectrum)
        return self

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
        _check_schur_options(schur_options)
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
            return single_macrostate(self._stationary(), index, n_cells=n_cells, ref=ref), params, None
        most = wanted if isinstance(wanted, int) else wanted[1]
        spectrum, new = self._schur_for(most, schur_options)
        number = wanted if isinstance(wanted, int) else _largest_min_chi(spectrum, *wanted)
        if spectrum.splits_pair(number):
            warn_user(
                f"{number} macrostates would split a pair of complex conjugate eigenvalues. "
                f"Computing {number + 1}."
            )
            number += 1
        initial = self._initial_of(new)
        found = coarse_grained(
            self.transition_matrix,
            rotate(spectrum, number).chi,
            index,
            n_cells=n_cells,
            ref=ref,
            initial=initial,
            pi=lambda: self._stationary(initial),
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
        _check_schur_options(options)
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


def _check_schur_options(options: Mapping[str, Any]) -> None:
    known = list(inspect.signature(MacrostateMembers.compute_schur).parameters)[1:]
    for name in options:
        if name not in known:
            raise InvalidTypeError(
                f"There is no keyword {name!r}. Others are taken for `compute_schur`: {', '.join(known)}."
            )


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
