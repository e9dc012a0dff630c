"""Figures. Each has a function that computes its numbers and one that draws them."""

from __future__ import annotations

__all__: list[str] = []
