"""Trends of genes and other numbers along lineages."""

from __future__ import annotations

from ferrocyte.models._base import BaseModel
from ferrocyte.models.failed import FailedModel
from ferrocyte.models.fitted import FittedModel
from ferrocyte.models.gam import GAM
from ferrocyte.models.gamr import GAMR
from ferrocyte.models.signals import Gene, Obs, Obsm, Signal
from ferrocyte.models.sklearn_model import SKLearnModel

__all__ = [
    "GAM",
    "GAMR",
    "BaseModel",
    "FailedModel",
    "FittedModel",
    "Gene",
    "Obs",
    "Obsm",
    "SKLearnModel",
    "Signal",
]


def __dir__() -> list[str]:
    return sorted(__all__)
