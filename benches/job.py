"""The parts of a job, for all files of jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

QUIET: dict[str, Any] = {"show_progress_bar": False}


@dataclass(frozen=True)
class Job:
    """One timed piece of work; see the head of `jobs.py`."""

    construct: Callable[[], Any]
    run: Callable[[Any], Any]
    answer: Callable[[Any, Any], dict[str, Any]]
