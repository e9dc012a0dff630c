"""Figures as members of estimators."""

from __future__ import annotations

__all__ = ["PlotMembers"]


class PlotMembers:
    """The `plot_*` members of estimators."""
