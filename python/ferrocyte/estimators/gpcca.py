"""Generalized Perron cluster cluster analysis."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidOptionError, NotComputedError, warn_user
from ferrocyte._options import check_count, check_option
from ferrocyte.estimators._chosen import from_cells, from_macrostates
from ferrocyte.estimators._gpcca_compare import ComparisonMembers
from ferrocyte.estimators._gpcca_plots import GPCCAPlotMembers
from ferrocyte.estimators._predict import METHODS, least_visited, most_stable, only_one
from ferrocyte.estimators._states import ClusterKey, Reference, reference

__all__ = ["GPCCA"]


class GPCCA(GPCCAPlotMembers, ComparisonMembers):
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

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time").compute_transition_matrix()
    >>> g = fc.estimators.GPCCA(kernel).compute_schur(10)
    >>> g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    GPCCA[kernel=PseudotimeKernel[n=200], initial_states=None, terminal_states=None]
    >>> g.macrostates.cat.categories.tolist()
    ['Astrocytes', 'Neuroblast', 'Granule immature']
    >>> g.set_terminal_states(["Granule immature", "Astrocytes"], n_cells=10).terminal_states.count()
    np.int64(20)
    """

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

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> g.predict_terminal_states("top_n", n_states=2).terminal_states.cat.categories.tolist()
        ['Astrocytes', 'Granule immature']
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
            warn_user(only_one(names[0], coarse))
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

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> g.predict_initial_states(n_states=1).initial_states.cat.categories.tolist()
        ['Astrocytes']
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

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> g.set_terminal_states(["Granule immature", "Astrocytes"])
        GPCCA[kernel=PseudotimeKernel[n=200], initial_states=None, terminal_states=['Astrocytes', 'Granule
            immature']]
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


def _plain_states(states: Any) -> Any:
    """States as a parameter to be kept; of a series only that it was one."""
    if isinstance(states, pd.Series):
        return "series"
    if isinstance(states, Mapping):
        return {str(k): v if isinstance(v, str) else np.asarray(v).tolist() for k, v in states.items()}
    return states if states is None or isinstance(states, str) else [str(s) for s in states]
