"""Warnings that point at the line of the user, whichever thread finds the reason."""

from __future__ import annotations

import contextvars
import inspect
import warnings

from ferrocyte.cas.errors import CASWarning

__all__ = ["notify", "on_behalf_of_caller"]

_caller: contextvars.ContextVar[tuple[str, int] | None] = contextvars.ContextVar("caller", default=None)


def _outside() -> tuple[str, int]:
    """File and line of the nearest frame that is not of this package."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("ferrocyte."):
        frame = frame.f_back
    return ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


class on_behalf_of_caller:  # noqa: N801 - reads as a sentence after `with`
    """What is told in this context, in other threads too, points at the line that called the package."""

    def __enter__(self) -> None:
        self._token = _caller.set(_outside())

    def __exit__(self, *exc: object) -> None:
        _caller.reset(self._token)


def notify(message: str) -> None:
    """Warn; an error before anything is sent where warnings are errors."""
    warnings.warn_explicit(message, CASWarning, *(_caller.get() or _outside()))
