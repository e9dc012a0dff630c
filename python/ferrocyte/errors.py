"""Every error and warning that ferrocyte raises on purpose.

All derive from :class:`FerrocyteError`; each also from the builtin that a caller would expect, so that
``except KeyError`` catches a :class:`MissingDataError`.
"""

from ferrocyte._errors import (
    ConvergenceError,
    FerrocyteError,
    FerrocyteWarning,
    FileFormatError,
    FitError,
    InvalidDataError,
    InvalidIndexError,
    InvalidOptionError,
    InvalidTypeError,
    MissingAttributeError,
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
    "FitError",
    "InvalidDataError",
    "InvalidIndexError",
    "InvalidOptionError",
    "InvalidTypeError",
    "MissingAttributeError",
    "MissingDataError",
    "MissingPackageError",
    "NoTransientCellsError",
    "NotComputedError",
    "NotSupportedError",
]
