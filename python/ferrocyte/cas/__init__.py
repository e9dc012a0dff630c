"""Client of the Cellarium Cell Annotation Service."""

from __future__ import annotations

from ferrocyte.cas import constants, errors, models
from ferrocyte.cas.async_client import AsyncCASClient
from ferrocyte.cas.client import CASClient
from ferrocyte.cas.constants import CellMetadataFeatures, CountMatrixInput

__all__ = [
    "AsyncCASClient",
    "CASClient",
    "CellMetadataFeatures",
    "CountMatrixInput",
    "constants",
    "errors",
    "models",
]


def __dir__() -> list[str]:
    return sorted(__all__)
