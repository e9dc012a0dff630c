"""A script in a process of its own that is sent Ctrl-C while it computes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

from reference.patience import LONG

__all__ = ["interrupted"]

# `started()` begins the work; `stopped()` says that it was interrupted, and how much processor time it took.
# A thread that waits for signals notes what had been used when the signal came.
WATCH = """
import os, signal, threading, time
signals, told = os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)
used = []
watch = lambda: os.read(signals, 1) and used.append(time.process_time())
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()

def started():
    print("started", flush=True)

def stopped():
    end = time.process_time()
    watcher.join()
    print("interrupted", end - used[0], flush=True)
"""


def interrupted(code: str, most: float = 10.0) -> list[str]:
    """Lines that a script prints after it was interrupted; it must end well.

    The script calls ``started()`` and begins with the work in a ``try`` block, and calls ``stopped()`` when
    that was interrupted. From the signal to there it may use so many seconds of processor time, far fewer
    than all the work takes; a busy machine gives them slowly, but gives no more of them.
    """
    with subprocess.Popen(
        [sys.executable, "-c", WATCH + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        # Work that waits uses no processor time; all of it would take longer than this.
        hangs = threading.Timer(LONG, child.kill)
        try:
            assert child.stdout.readline() == "started\n", child.stderr.read()
            time.sleep(0.5)
            hangs.start()
            child.send_signal(signal.SIGINT)
            said, _, seconds = child.stdout.readline().partition(" ")
            assert said == "interrupted", child.stderr.read()
            assert float(seconds) < most
            # Not `communicate`: it would miss what came together with the line above.
            lines, errors = child.stdout.read().splitlines(), child.stderr.read()
            assert child.wait() == 0, errors
            return lines
        finally:
            hangs.cancel()
            child.kill()
