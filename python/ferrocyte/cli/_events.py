"""What a command says while it works: lines for people, or JSON objects for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, TextIO

import numpy as np

__all__ = ["Events", "answer"]


class Events:
    """Writes one event a line.

    Parameters
    ----------
    command : str
        Part of every JSON event.
    json_lines : bool
        JSON objects instead of text. Every object has `time` (ISO 8601, UTC), `elapsed` (seconds since the
        start), `command`, `event` and `level`; the rest depends on the event.
    stream : text file, optional
        Default: standard error. Nobody has to read it: when it is closed, or breaks on the way, the command
        goes on in silence, since its files matter more than what it says about them.
    """

    def __init__(self, command: str, *, json_lines: bool = False, stream: TextIO | None = None) -> None:
        self.command = command
        self.json_lines = json_lines
        # Python has None for a standard error that was closed before it started.
        self.stream: TextIO | None = sys.stderr if stream is None else stream
        self._start = time.monotonic()

    @property
    def progress(self) -> bool:
        """Whether bars may be drawn: never between JSON lines."""
        return not self.json_lines

    def say(self, event: str, text: str, *, level: str = "info", **details: Any) -> None:
        """Report an event; `text` is for people, `details` for programs."""
        elapsed = time.monotonic() - self._start
        if self.json_lines:
            record = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "elapsed": round(elapsed, 3),
                "command": self.command,
                "level": level,
                "event": event,
                **details,
            }
            line = json.dumps(record, default=_plain)
        else:
            mark = "" if level == "info" else f"{level}: "
            line = f"[{elapsed:8.1f} s] {mark}{text}"
        self._write(line)

    def _write(self, line: str) -> None:
        if self.stream is None:
            return
        try:
            with _beside_bars(self.stream):
                print(line, file=self.stream, flush=True)
        except (OSError, ValueError):
            _silence(self.stream)
            self.stream = None

    def error(self, **details: Any) -> None:
        """Report the error that ends the command."""
        text = details.get("traceback") or details["message"]
        self.say("error", text, level="error", **details)

    @contextmanager
    def step(self, name: str, **details: Any) -> Iterator[dict[str, Any]]:
        """Report start and end of a step; what the body puts into the dict is reported at the end."""
        self.say("step_started", f"{name} ...", step=name, **details)
        begin = time.monotonic()
        out: dict[str, Any] = {}
        yield out
        seconds = time.monotonic() - begin
        said = "".join(f", {k} {_short(v)}" for k, v in out.items())
        self.say(
            "step_finished", f"{name}: {seconds:.1f} s{said}", step=name, seconds=round(seconds, 3), **out
        )

    @contextmanager
    def log_shown(self, name: str) -> Iterator[None]:
        """Report what is logged under a name, from level INFO, as events."""
        logger, handler = logging.getLogger(name), _Handler(self)
        level, propagate = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate

    @contextmanager
    def warnings_shown(self) -> Iterator[None]:
        """Report warnings as events, each text once."""
        seen: set[str] = set()

        def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
            text = str(message)
            if text not in seen:
                seen.add(text)
                self.say("warning", text, level="warning", category=category.__name__, message=text)

        with warnings.catch_warnings():
            warnings.simplefilter("default")
            # Housekeeping of other packages is not for the user of a command.
            for quiet in (FutureWarning, DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", quiet)
            warnings.showwarning = show
            yield


class _Handler(logging.Handler):
    """Reports records of a log as events."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.INFO)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        text, level = record.getMessage(), record.levelname.lower()
        self._events.say("log", text, level=level, message=text, logger=record.name)


@contextmanager
def _beside_bars(stream: TextIO) -> Iterator[None]:
    """Progress bars step aside for a line."""
    tqdm = sys.modules.get("tqdm")
    with nullcontext() if tqdm is None else tqdm.tqdm.external_write_mode(file=stream):
        yield


def _silence(stream: TextIO) -> None:
    """Let what is left in the buffer of a broken stream go nowhere, or Python complains of it at its end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # not a file of the system
        pass


def answer(text: str) -> None:
    """Print what the command was asked for to standard output.

    A reader that has seen enough and closed its end, as ``| head`` does, is no failure; a full disk is.
    """
    if sys.stdout is None:
        return
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError:
        _silence(sys.stdout)
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
