"""Every error and warning that ferrocyte raises on purpose.

All derive from :class:`FerrocyteError`; each also from the builtin that a caller would expect, so that
``except KeyError`` catches a :class:`MissingDataError`.
"""

from __future__ import annotations

from ferrocyte._errors import (
    ConvergenceError,
    FerrocyteError,
    FerrocyteWarning,
    FileFormatError,
    InvalidDataError,
    InvalidIndexError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    MissingPackageError,
    NotComputedError,
    NoTransientCellsError,
    NotSupportedError,
)

__all__ = [
    "ConvergenceError",
    "FerrocyteError",
    "FerrocyteWarning",
    "FileFormatError",
    "InvalidDataError",
    "InvalidIndexError",
    "InvalidOptionError",
    "InvalidTypeError",
    "MissingDataError",
    "MissingPackageError",
    "NoTransientCellsError",
    "NotComputedError",
    "NotSupportedError",
]
