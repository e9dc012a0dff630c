"""Waiting for what other threads and processes do, for as long as a busy machine takes.

Tests wait for what they are about, never for a time in which it should have happened. The clock only ends
what would never end.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["LONG", "QUICK", "until"]

# Seconds after which something hangs, and is not slow.
LONG = 300.0
# Clients of the annotation service: short pauses between attempts, but patience with every attempt.
QUICK = {
    "retry_delay": 0.01,
    "max_retry_delay": 0.02,
    "request_timeout": LONG,
    "total_timeout": 2 * LONG,
    "connect_timeout": LONG,
    "lookup_timeout": 2 * LONG,
}


def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
