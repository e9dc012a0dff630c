"""Data to try things on: two small real sets in the package, and simulated cells with known fates.

Nothing is downloaded. Every call returns a new AnnData object.
"""

from __future__ import annotations

from typing import Any

from ferrocyte._errors import MissingAttributeError
from ferrocyte.datasets._real import bone_marrow, dentate_gyrus
from ferrocyte.datasets._score import fate_error
from ferrocyte.datasets._simulate import simulate
from ferrocyte.datasets._tree import TREES

__all__ = ["TREES", "bone_marrow", "dentate_gyrus", "fate_error", "simulate"]

# Sets that CellRank downloads; what to do instead is said where a script looks for them.
_ELSEWHERE = (
    "lung",
    "pancreas",
    "pancreas_preprocessed",
    "reprogramming_morris",
    "reprogramming_schiebinger",
    "zebrafish",
)


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        raise MissingAttributeError(
            f"ferrocyte downloads nothing, so there is no `datasets.{name}`. Get the file yourself and read "
            "it with `anndata.read_h5ad`, or use `datasets.dentate_gyrus()` (velocity), "
            "`datasets.bone_marrow()` (pseudotime) or `datasets.simulate()`."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
