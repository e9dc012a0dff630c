"""Annotation against a reference of one's own, on this machine."""

from __future__ import annotations

from ferrocyte.cas.local._routes import RouteError, Routes

__all__ = ["RouteError", "Routes"]
