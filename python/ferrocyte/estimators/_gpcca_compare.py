"""Comparing kernels and numbers of macrostates, as members of an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidOptionError, InvalidTypeError, NotComputedError, suggest
from ferrocyte._options import check_count
from ferrocyte.estimators._gpcca_macrostates import MacrostateMembers
from ferrocyte.estimators._macrostates import rotate
from ferrocyte.estimators._states import ClusterKey, assign_cells, main_categories, reference
from ferrocyte.estimators._suggest import candidates, recommend
from ferrocyte.estimators._tsi import score, table, usable

__all__ = ["ComparisonMembers"]


class ComparisonMembers(MacrostateMembers):
    """What helps to choose a kernel and a number of macrostates; results stay as they are."""

    _tsi: pd.DataFrame | None = None

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
            If `cluster_key` is a mapping; says "to be a `str` or `None`".
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

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> round(
        ...     g.tsi(
        ...         4,
        ...         terminal_states=["Granule immature", "Astrocytes"],
        ...         cluster_key="clusters",
        ...         n_cells=10,
        ...     ),
        ...     2,
        ... )
        1.0
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
        if not len(terminal_states):
            raise InvalidOptionError("Expected at least one terminal state to look for, found none.")
        options = dict(kwargs)
        n_cells, weight_key = options.pop("n_cells", 30), options.pop("weight_key", None)
        n_cells = None if n_cells is None else check_count(n_cells, "n_cells")
        ref = reference(self.adata, cluster_key, weight_key)
        assert ref is not None  # there is a key
        for name in terminal_states:
            if str(name) not in ref.names:
                raise InvalidOptionError(f"Invalid terminal state {name!r}.{suggest(name, ref.names)}")
        n_used = min(n_macrostates, self.shape[0])
        # One more, so that a complex pair at the end stays together.
        spectrum, _ = self._schur_for(max(n_used, 2), options)

        def clusters_of(number: int) -> set[str]:
            if number > n_used:
                raise InvalidOptionError("more states than cells")
            if number == 1:
                chi = self._stationary()[:, None]
            else:
                number += spectrum.splits_pair(number)
                chi = rotate(spectrum, number).chi
            codes = assign_cells(chi, n_cells)
            won = main_categories(codes, chi.shape[1], ref)
            return {ref.names[i] for i in won if i is not None}

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
            A row per number, which is the index `n_states`. Criteria, larger is better in each: `eigenvalue`,
            the real part of the last one used; `eigengap` after it; `min_chi` (at most 0); `crispness` (at
            most 1); `min_stability`, the smallest diagonal entry of the coarse transition matrix; `purity`,
            the mean over states of the share of their largest cluster among their `n_cells` cells, NaN
            without `cluster_key`. Then `smallest_state`, the number of cells whose most likely state is the
            smallest one; `problem`, what speaks against the number altogether; and `why`, which is empty
            except for the recommended number.

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
        Recommended is the number with the largest
        :math:`(\\lambda_n - \\lambda_{n+1}) - \\alpha (1 - \\lambda_n)`, with the `alpha` of
        :meth:`compute_schur`, among those without a problem: as many as there are processes much slower than
        the rest. It counts states in which cells stay, such as fates; for
        intermediate states take more. It is a start for looking at :meth:`plot_macrostates`, not a proof.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> table = g.suggest_n_states(2, 5, cluster_key="clusters")
        >>> table.index.tolist()
        [2, 3, 4, 5]
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
        params = self._results.params_of("schur_vectors") if new is None else new[1]
        best, why = recommend(out, float(params.get("alpha", 1.0)))
        out["why"] = np.where(out.index == best, why, "")
        return out
