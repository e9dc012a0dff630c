"""Calls of a user's function for many cells, by threads, in an order that no result depends on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from ferrocyte._progress import progress_bar

__all__ = ["for_chunks"]

# Cells per chunk; fixed, so that what a chunk does never depends on the number of threads.
CHUNK = 64


def for_chunks(
    n: int, work: Callable[[range, threading.Event], None], *, threads: int, show_progress_bar: bool
) -> None:
    """Call ``work(cells, stop)`` for consecutive ranges of cells.

    Parameters
    ----------
    n : int
        Number of cells.
    work : callable
        Writes its results to places of its own. Should return when `stop` is set.
    threads : int
        1 calls from the caller's thread.
    show_progress_bar : bool

    Raises
    ------
    BaseException
        What `work` raises first, or KeyboardInterrupt; nothing runs on afterwards.
    """
    chunks = [range(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    stop = threading.Event()
    with progress_bar(show_progress_bar) as progress:

        def report(done: int) -> None:
            if progress is not None:
                progress(min(done * CHUNK, n), n)

        if threads == 1:
            for done, chunk in enumerate(chunks):
                work(chunk, stop)
                report(done + 1)
            return
        with ThreadPoolExecutor(threads) as pool:
            pending = {pool.submit(work, chunk, stop) for chunk in chunks}
            try:
                while pending:
                    # Woken now and then, so that Ctrl-C is seen while all threads are busy.
                    done_now, pending = wait(pending, timeout=0.05, return_when=FIRST_EXCEPTION)
                    for future in done_now:
                        future.result()
                    report(len(chunks) - len(pending))
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
