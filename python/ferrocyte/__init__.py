"""Fate mapping and annotation of single cells, on a Rust core."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ferrocyte._core import __version__
from ferrocyte._settings import CellRankConfig, settings

if TYPE_CHECKING:
    from ferrocyte import cas, datasets, errors, estimators, kernels, models, pl
    from ferrocyte.lineage import Lineage

__all__ = [
    "CellRankConfig",
    "Lineage",
    "__version__",
    "cas",
    "datasets",
    "errors",
    "estimators",
    "kernels",
    "models",
    "pl",
    "settings",
]

# Loaded when first used: importing the package costs little more than importing anndata.
_LAZY = ("cas", "datasets", "errors", "estimators", "kernels", "models", "pl")
_LAZY_CLASSES = {"Lineage": "lineage"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY_CLASSES:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY_CLASSES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
