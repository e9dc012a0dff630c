"""Parts of kernels: similarities, threshold schemes, velocity models, couplings, walks, projection, flow."""

from __future__ import annotations

from ferrocyte.kernels.utils._flow import FlowPlotter
from ferrocyte.kernels.utils._models import Deterministic, MonteCarlo, Stochastic
from ferrocyte.kernels.utils._projection import TmatProjection
from ferrocyte.kernels.utils._random_walk import RandomWalk
from ferrocyte.kernels.utils._similarity import Correlation, Cosine, DotProduct, SimilarityABC
from ferrocyte.kernels.utils._threshold import (
    CustomThresholdScheme,
    HardThresholdScheme,
    SoftThresholdScheme,
    ThresholdSchemeABC,
)
from ferrocyte.kernels.utils._transport import TransportMap, transport_map

__all__ = [
    "Correlation",
    "Cosine",
    "CustomThresholdScheme",
    "Deterministic",
    "DotProduct",
    "FlowPlotter",
    "HardThresholdScheme",
    "MonteCarlo",
    "RandomWalk",
    "SimilarityABC",
    "SoftThresholdScheme",
    "Stochastic",
    "ThresholdSchemeABC",
    "TmatProjection",
    "TransportMap",
    "transport_map",
]


def __dir__() -> list[str]:
    return sorted(__all__)
