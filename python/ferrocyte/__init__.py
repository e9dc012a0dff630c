"""Fate mapping and annotation of single cells, on a Rust core."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ferrocyte._core import __version__
from ferrocyte._settings import CellRankConfig, settings

if TYPE_CHECKING:
    from ferrocyte import datasets, kernels, pl

__all__ = ["CellRankConfig", "__version__", "datasets", "kernels", "pl", "settings"]

# Loaded when first used: importing the package costs little more than importing anndata.
_LAZY = ("datasets", "kernels", "pl")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
