"""Data to try things on: two small real sets in the package, and simulated cells with known fates.

Nothing is downloaded. Every call returns a new AnnData object.
"""

from __future__ import annotations

from ferrocyte.datasets._real import bone_marrow, dentate_gyrus
from ferrocyte.datasets._score import fate_error
from ferrocyte.datasets._simulate import simulate
from ferrocyte.datasets._tree import TREES

__all__ = ["TREES", "bone_marrow", "dentate_gyrus", "fate_error", "simulate"]
