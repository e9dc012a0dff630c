"""Exit codes: what a scheduler can tell from the number alone."""

from __future__ import annotations

import errno
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ferrocyte._errors import (
    ConvergenceError,
    FerrocyteError,
    FileFormatError,
    InvalidOptionError,
    InvalidTypeError,
)
from ferrocyte.cli._events import Events

__all__ = ["EXIT_CODES", "INCOMPLETE", "OK", "USAGE", "UsageError", "explain", "termination_interrupts"]

OK, FAILED, USAGE, DATA, UNSOLVED, FILES = 0, 1, 2, 3, 4, 5
SERVICE, INCOMPLETE, INTERRUPTED, TERMINATED = 6, 7, 130, 143
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
    TERMINATED: "terminated",
}


class UsageError(FerrocyteError, ValueError):
    """Arguments that contradict each other or name something that is not there."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which schedulers say that the time is over."""


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: what was finished is kept, nothing is half written."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def code_of(err: BaseException) -> int:
    """The exit code that stands for an error."""
    if isinstance(err, KeyboardInterrupt):
        return TERMINATED if isinstance(err, Terminated) else INTERRUPTED
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
    if isinstance(err, FerrocyteError | MemoryError):
        return DATA
    return FAILED


def explain(err: BaseException, events: Events) -> int:
    """Report an error as an event and return its exit code; only a defect shows where it happened."""
    code = code_of(err)
    if code in (INTERRUPTED, TERMINATED):
        message = f"{EXIT_CODES[code]}; nothing was written"
    else:
        message = " ".join([str(err) or repr(err), *getattr(err, "__notes__", [])])
    if isinstance(err, MemoryError):
        message = f"Not enough memory: {message}. `ferrocyte fate --dry-run` tells what a run needs."
    if isinstance(err, OSError) and err.errno == errno.ENOSPC:
        message += ". The disk is full; nothing was left behind."
    details = {"error": type(err).__name__, "message": message, "exit_code": code}
    if code == FAILED:
        details["traceback"] = "".join(traceback.format_exception(err))
    events.error(**details)
    return code
