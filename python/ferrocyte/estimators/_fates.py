"""Fate probabilities and what follows from them: members of estimators."""

from __future__ import annotations

__all__ = ["FateMembers"]


class FateMembers:
    """Members of estimators that need terminal states."""
