"""Estimators that know initial and terminal states."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ferrocyte.estimators._base import BaseEstimator
from ferrocyte.estimators._fates import FateMembers
from ferrocyte.estimators._plots import PlotMembers
from ferrocyte.lineage import Lineage

__all__ = ["TermStatesEstimator"]


class TermStatesEstimator(FateMembers, PlotMembers, BaseEstimator):
    """Base of estimators that find initial and terminal states.

    Parameters
    ----------
    object : Kernel, KernelExpression, AnnData, array, sparse matrix, str, bool or None
        See :class:`BaseEstimator`.
    **kwargs
        To :class:`~ferrocyte.kernels.PrecomputedKernel`.
    """

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
        """Confidence in [0, 1] that a cell is in a terminal state."""
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
        """Confidence in [0, 1] that a cell is in an initial state."""
        return self._results.get("initial_states_probabilities")

    @property
    def initial_states_memberships(self) -> Lineage | None:
        """Membership of each cell in each initial state; None for states that were set by hand."""
        return self._results.get("initial_states_memberships")

    def _described(self) -> list[str]:
        out = []
        for name in ("initial_states", "terminal_states"):
            states = self._results.get(name)
            found: Any = None if states is None else sorted(map(str, states.cat.categories))
            out.append(f"{name}={found}")
        return out
