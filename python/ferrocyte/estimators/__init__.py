"""Estimators: from a transition matrix to initial and terminal states, fates and what drives them."""

from __future__ import annotations

from ferrocyte.estimators._base import BaseEstimator
from ferrocyte.estimators._term_states import TermStatesEstimator
from ferrocyte.estimators.cflare import CFLARE
from ferrocyte.estimators.gpcca import GPCCA

__all__ = ["CFLARE", "GPCCA", "BaseEstimator", "TermStatesEstimator"]


def __dir__() -> list[str]:
    return sorted(__all__)
