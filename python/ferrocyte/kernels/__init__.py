"""Kernels: from annotated data to a transition matrix between cells, and their combinations."""

from __future__ import annotations

from ferrocyte.kernels import utils
from ferrocyte.kernels._algebra import KernelExpression
from ferrocyte.kernels._base import BidirectionalKernel, Kernel, UnidirectionalKernel
from ferrocyte.kernels._experimental_time import ExperimentalTimeKernel
from ferrocyte.kernels.connectivity import ConnectivityKernel
from ferrocyte.kernels.cytotrace import CytoTRACEKernel
from ferrocyte.kernels.precomputed import PrecomputedKernel
from ferrocyte.kernels.pseudotime import PseudotimeKernel
from ferrocyte.kernels.real_time import RealTimeKernel
from ferrocyte.kernels.velocity import VelocityKernel

__all__ = [
    "BidirectionalKernel",
    "ConnectivityKernel",
    "CytoTRACEKernel",
    "ExperimentalTimeKernel",
    "Kernel",
    "KernelExpression",
    "PrecomputedKernel",
    "PseudotimeKernel",
    "RealTimeKernel",
    "UnidirectionalKernel",
    "VelocityKernel",
    "utils",
]


def __dir__() -> list[str]:
    return sorted(__all__)
