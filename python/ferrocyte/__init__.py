"""Fate mapping and annotation of single cells, on a Rust core."""

from __future__ import annotations

from ferrocyte._core import __version__

__all__ = ["__version__"]
