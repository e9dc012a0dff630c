"""Exit codes: what a scheduler can tell from the number alone."""

from __future__ import annotations

import errno
import traceback

from ferrocyte._errors import (
    ConvergenceError,
    FerrocyteError,
    FileFormatError,
    InvalidOptionError,
    InvalidTypeError,
)
from ferrocyte.cli._events import Events

__all__ = ["EXIT_CODES", "INCOMPLETE", "OK", "USAGE", "UsageError", "explain"]

OK, FAILED, USAGE, DATA, UNSOLVED, FILES = 0, 1, 2, 3, 4, 5
SERVICE, INCOMPLETE, INTERRUPTED = 6, 7, 130
EXIT_CODES = {
    OK: "done",
    FAILED: "failed in a way that is a defect of ferrocyte",
    USAGE: "arguments can not be used",
    DATA: "the data can not be used",
    UNSOLVED: "a method did not converge",
    FILES: "a file can not be read or written",
    SERVICE: "the service refused, failed or could not be reached",
    INCOMPLETE: "some cells have no answer",
    INTERRUPTED: "interrupted",
}


class UsageError(FerrocyteError, ValueError):
    """Arguments that contradict each other or name something that is not there."""


def code_of(err: BaseException) -> int:
    """The exit code that stands for an error."""
    if isinstance(err, KeyboardInterrupt):
        return INTERRUPTED
    # By name: who does not annotate does not load the client.
    family = [base.__name__ for base in type(err).__mro__]
    if "AnnotationIncompleteError" in family:
        return INCOMPLETE
    if "CASError" in family:
        return SERVICE
    if isinstance(err, FileFormatError | OSError):
        return FILES
    if isinstance(err, UsageError | InvalidOptionError | InvalidTypeError):
        return USAGE
    if isinstance(err, ConvergenceError):
        return UNSOLVED
    if isinstance(err, FerrocyteError):
        return DATA
    return FAILED


def explain(err: BaseException, events: Events) -> int:
    """Report an error as an event and return its exit code; only a defect shows where it happened."""
    code = code_of(err)
    message = "interrupted; nothing was written" if code == INTERRUPTED else str(err) or repr(err)
    if isinstance(err, OSError) and err.errno == errno.ENOSPC:
        message += ". The disk is full; nothing was left behind."
    details = {"error": type(err).__name__, "message": message, "exit_code": code}
    if code == FAILED:
        details["traceback"] = "".join(traceback.format_exception(err))
    events.error(**details)
    return code
