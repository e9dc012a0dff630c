"""An event loop in a thread of its own, so that a program with a running loop can call and wait."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")
# Waiting in steps lets Ctrl-C through on every platform.
_STEP = 0.1


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(timeout=5)


class LoopThread:
    """Runs coroutines one after the other or side by side, for callers that are not asynchronous.

    The thread starts at the first call; a forked process gets a thread of its own.

    Parameters
    ----------
    at_end : callable, optional
        Makes a coroutine that closes what belongs to the loop, run when the thread ends: at `close`, or when
        nobody knows this object any more.
    """

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self._at_end = at_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is not None and self._process == os.getpid() and not self._loop.is_closed():
                return self._loop
            loop, at_end = asyncio.new_event_loop(), self._at_end

            def serve() -> None:  # knows nothing of `self`, whose end it waits for
                asyncio.set_event_loop(loop)
                try:
                    loop.run_forever()
                    if at_end is not None:
                        loop.run_until_complete(at_end())
                finally:
                    loop.run_until_complete(loop.shutdown_asyncgens())
                    loop.close()

            thread = threading.Thread(target=serve, name="ferrocyte-cas-loop", daemon=True)
            thread.start()
            self._loop, self._process = loop, os.getpid()
            self._finalizer = weakref.finalize(self, _stop, loop, thread)
            return loop

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine that `make` makes, and wait for it.

        Ctrl-C cancels it, waits until it has cleaned up, and goes on as `KeyboardInterrupt`.
        """
        loop = self._running()
        context = contextvars.copy_context()
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []

        def finished(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                done.set_exception(concurrent.futures.CancelledError())
                return
            error = task.exception()
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(task.result())

        def start() -> None:
            task = loop.create_task(make(), context=context)
            tasks.append(task)
            task.add_done_callback(finished)

        loop.call_soon_threadsafe(start)
        try:
            return self._wait(done)
        except KeyboardInterrupt:
            if not done.done():
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
                concurrent.futures.wait([done], timeout=30)
            raise

    @staticmethod
    def _wait(done: concurrent.futures.Future[T]) -> T:
        while True:
            finished, _ = concurrent.futures.wait([done], timeout=_STEP)
            if finished:
                return done.result()

    def close(self) -> None:
        """Stop the thread; the next call starts another."""
        with self._lock:
            finalizer, self._finalizer, self._loop = self._finalizer, None, None
        if finalizer is not None and self._process == os.getpid():
            finalizer()
        elif finalizer is not None:
            finalizer.detach()
