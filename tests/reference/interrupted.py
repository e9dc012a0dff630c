"""A script in a process of its own that is sent Ctrl-C while it computes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

__all__ = ["interrupted"]


def interrupted(code: str, within: float = 10) -> list[str]:
    """Lines that a script prints after it was interrupted; it must end well.

    The script prints ``started`` where the long work begins, which must last for half a second more, and
    ``interrupted`` when it has stopped, within so many seconds: far less than the work would take.
    """
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout.readline() == "started\n", child.stderr.read()
            time.sleep(0.5)
            assert child.poll() is None, "finished before it could be interrupted"
            child.send_signal(signal.SIGINT)
            sent = time.monotonic()
            assert child.stdout.readline() == "interrupted\n", child.stderr.read()
            assert time.monotonic() - sent < within
            # Not `communicate`: it would miss what came together with the line above.
            lines, errors = child.stdout.read().splitlines(), child.stderr.read()
            assert child.wait(120) == 0, errors
            return lines
        finally:
            child.kill()
