"""Every error ferrocyte raises on purpose, in one tree.

Each class also inherits the builtin that a caller would expect (``KeyError`` for a missing key and so
on), so ``except ValueError`` written for another package keeps working.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

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
    "nearest",
    "suggest",
    "warn_user",
]


class FerrocyteError(Exception):
    """Base of all errors raised by ferrocyte."""


class FerrocyteWarning(UserWarning):
    """Something was done that the user may want to know about; the answer is right all the same."""


class MissingDataError(FerrocyteError, KeyError):
    """A key was not found in the AnnData object."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument, which would put our sentence in quotes.
        return str(self.args[0]) if self.args else ""


class InvalidDataError(FerrocyteError, ValueError):
    """Values or shapes that the computation can not use: NaN, negative weights, mismatched sizes.

    Attributes
    ----------
    cells : list of int
        Positions of the cells at fault, where that is known; a caller who knows their names adds them.
    """

    def __init__(self, *args: object, cells: Iterable[int] = ()) -> None:
        super().__init__(*args)
        self.cells = list(cells)


class InvalidOptionError(FerrocyteError, ValueError):
    """A parameter has a value outside its documented choices or range."""


class InvalidTypeError(FerrocyteError, TypeError):
    """A parameter or a stored object is of the wrong type."""


class InvalidIndexError(FerrocyteError, IndexError):
    """A position or a cell name that does not exist."""


class MissingAttributeError(FerrocyteError, AttributeError):
    """A part that an AnnData object may have, such as `raw`, is not there."""


class FitError(FerrocyteError, RuntimeError):
    """A model could not be fitted to its data; says which cells or values are why.

    Attributes
    ----------
    cells : list of int
        Positions of the cells at fault, where that is known.
    """

    def __init__(self, *args: object, cells: Iterable[int] = ()) -> None:
        super().__init__(*args)
        self.cells = list(cells)


class NotComputedError(FerrocyteError, RuntimeError):
    """A result was asked for before the step that makes it."""


class MissingPackageError(FerrocyteError, ImportError):
    """A package that only some functions need is not installed; the message says how to get it."""


class NoTransientCellsError(FerrocyteError, RuntimeError):
    """Every cell is in a terminal state, so that there is no fate to compute."""


class NotSupportedError(FerrocyteError, NotImplementedError):
    """A combination of options, or of an option and a kind of data, that there is no method for."""


class ConvergenceError(FerrocyteError, RuntimeError):
    """An iterative method did not reach its tolerance; carries the residual in its message."""


class FileFormatError(FerrocyteError, ValueError):
    """A file is not ours, is of a version we do not know, or holds another kind of object."""


_HERE = str(Path(__file__).parent)


def warn_user(message: str, category: type[Warning] = FerrocyteWarning) -> None:
    """Issue a warning that points at the line of the caller's program, however deep we are."""
    level = 1
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    warnings.warn(message, category, stacklevel=level)


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that `name` resembles most, or is a part of, whatever its case; None if none is."""
    by_lower = {k.lower(): k for k in known}
    wanted = str(name).lower()
    close = difflib.get_close_matches(wanted, by_lower, n=1) or [
        k for k in by_lower if wanted and wanted in k
    ]
    return by_lower[close[0]] if close else None


def suggest(name: object, known: Iterable[object], *, limit: int = 12) -> str:
    """Say what could have been meant instead of `name`.

    Parameters
    ----------
    name : object
        What the user gave.
    known : iterable
        What exists.
    limit : int, default 12
        List at most this many names.

    Returns
    -------
    str
        ``" Did you mean 'a'?"`` when something is close, and what there is; starts with a space.
    """
    # What is no text has no quotes: that may be all the difference. None is X among layers in anndata 0.13.
    names = {str(k): repr(str(k)) if isinstance(k, str) else str(k) for k in known if k is not None}
    if not names:
        return " There is nothing there."
    close = nearest(name, names)
    listed = ", ".join(list(names.values())[:limit])
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    hint = f" Did you mean {names[close]}?" if close is not None else ""
    return f"{hint} Available: {listed}{more}."
