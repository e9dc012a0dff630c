"""One annotation: cells cut into chunks, chunks sent side by side, answers put back in order.

A chunk is selected, brought to the schema, written and sent while others are on their way; only what is being
written or sent is in memory. What is answered is kept, whatever happens to the rest.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from ferrocyte._errors import InvalidOptionError
from ferrocyte.cas._checkpoint import Journal
from ferrocyte.cas._http import Request
from ferrocyte.cas._notices import notify
from ferrocyte.cas._operations import Operation
from ferrocyte.cas._prepare import Prepared
from ferrocyte.cas._retry import Asker, Failed, Limiter, Then
from ferrocyte.cas._upload import Counts, Upload
from ferrocyte.cas.errors import (
    AnnotationIncompleteError,
    CASError,
    CASWarning,
    ChunkFailure,
    describe,
)

__all__ = ["JOBS", "Job", "OnError", "check_on_error"]

OnError = Literal["raise", "partial"]
# Where somebody listens who may interrupt them, jobs that have begun.
JOBS: contextvars.ContextVar[list[Job] | None] = contextvars.ContextVar("jobs", default=None)
_logger = logging.getLogger(__name__)
# Seconds between lines about the cells that are done, where no bar shows them.
_TELL_EVERY = 30.0


def check_on_error(value: Any) -> OnError:
    """`value` if it is one of the two.

    Raises
    ------
    InvalidOptionError
    """
    if value not in ("raise", "partial"):
        raise InvalidOptionError(f"Expected `on_error` to be 'raise' or 'partial', found {value!r}.")
    return value


@dataclass(frozen=True)
class _Chunk:
    number: int
    start: int
    stop: int

    def halves(self) -> tuple[_Chunk, _Chunk]:
        middle = (self.start + self.stop + 1) // 2
        return _Chunk(self.number, self.start, middle), _Chunk(self.number, middle, self.stop)


class Job:
    """All cells of one call, on their way.

    Parameters
    ----------
    prepared : Prepared
    operation : Operation
    asker : Asker
    headers : dict
        Of every request.
    chunk_size : int
        Cells in a request.
    max_concurrent : int
        Requests at a time, at most.
    threads : int
        Worker threads that prepare chunks.
    checkpoint : path-like or None
    report : callable, optional
        Called as ``report(cells done, cells in all, retries=…)``.
    """

    def __init__(
        self,
        prepared: Prepared,
        operation: Operation,
        asker: Asker,
        *,
        headers: dict[str, str],
        chunk_size: int,
        max_concurrent: int,
        threads: int = 1,
        checkpoint: str | os.PathLike[str] | None = None,
        report: Callable[..., object] | None = None,
    ) -> None:
        self.prepared = prepared
        self.operation = operation
        self.answers: list[Any] = [None] * len(prepared)
        self.failures: list[ChunkFailure] = []
        self.retries = 0
        self.n_sent = 0
        self._done = 0
        self._asker = asker
        self._headers = headers
        self._max_concurrent = max_concurrent
        self._threads = threads
        self._checkpoint = checkpoint
        self._journal: Journal | None = None
        self._report = report
        self._tell_next = time.monotonic() + _TELL_EVERY
        self._stopped: CASError | None = None
        self._current: dict[int, _Chunk] = {}
        self._sent: set[_Chunk] = set()
        starts = range(0, len(prepared), chunk_size)
        self._queue = deque(
            _Chunk(number, start, min(start + chunk_size, len(prepared)))
            for number, start in enumerate(starts)
        )

    def open_checkpoint(self) -> None:
        """Open the journal, if there is one."""
        if self._checkpoint is not None:
            self._journal = Journal(self._checkpoint, self.operation.kind, self.operation.adapter)

    async def count_known(self) -> int:
        """How many cells of this call the journal has an answer for; it reads the counts of all."""
        journal = self._journal
        if journal is None or not len(journal):
            return 0
        known = 0
        for chunk in self._queue:
            digests = await asyncio.to_thread(self._digests, chunk)
            known += sum(journal.get(digest) is not None for digest in digests)
        return known

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()

    def retried(self) -> None:
        """Somebody asks again."""
        self.retries += 1
        self._progress(0)

    async def run(self) -> None:
        """Work until every cell has an answer or a reason why not; cancelling keeps what is there."""
        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="ferrocyte-cas")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ferrocyte-cas-journal")
        self._reading = asyncio.Semaphore(self._threads)
        limiter = Limiter(self._max_concurrent)
        self._progress(0)
        try:
            n_workers = min(self._max_concurrent, len(self._queue))
            async with asyncio.TaskGroup() as group:
                for k in range(n_workers):
                    group.create_task(self._worker(k, limiter, executor))
        except BaseExceptionGroup as group_error:
            # Only what is no failure of a chunk comes here: a mistake of ours, or an interrupt.
            raise group_error.exceptions[0] from None
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
            self._writer.shutdown(wait=True)
        for chunk in self._queue:
            self._fail(chunk, range(chunk.start, chunk.stop), self._stopped or CASError("Not sent."), 0)
        self._queue.clear()
        self.failures.sort(key=lambda f: f.positions[0])

    async def _worker(self, k: int, limiter: Limiter, executor: ThreadPoolExecutor) -> None:
        while self._queue and self._stopped is None:
            chunk = self._queue.popleft()
            self._current[k] = chunk
            await self._chunk(chunk, limiter, executor)
            del self._current[k]

    async def _chunk(self, chunk: _Chunk, limiter: Limiter, executor: ThreadPoolExecutor) -> None:
        rows: Sequence[int] = range(chunk.start, chunk.stop)
        digests: list[str] = []
        loop = asyncio.get_running_loop()
        try:
            if self._journal is not None:
                rows, digests = await self._not_known(self._journal, chunk, executor)
                if not rows:
                    return
        except Exception as err:  # one chunk's trouble must not reach the answers of others
            self._fail(chunk, rows, err, 0)
            return
        if self._stopped is not None:
            self._fail(chunk, rows, self._stopped, 0)
            return
        names = [self.prepared.sent_as[row] for row in rows]
        upload = Upload(lambda: self._counts(chunk, rows), len(rows), executor)
        request = Request(
            "POST", self.operation.path, self._headers, fields=self.operation.fields, upload=upload
        )
        self.n_sent += 1
        self._sent.add(chunk)
        try:
            answers, _ = await self._asker.ask(
                request, lambda response: self.operation.parse(response, names), limiter
            )
        except Failed as failed:
            self._after(failed, chunk, rows)
            return
        except Exception as err:
            self._fail(chunk, rows, err, int(upload.was_made))
            return
        self._keep(rows, answers)
        if self._journal is not None:
            try:
                # Cancelling does not reach this: what is kept in memory gets onto the disk as well.
                await asyncio.shield(loop.run_in_executor(self._writer, self._journal.add, digests, answers))
            except CASError as err:
                self._stopped = self._stopped or err  # the answers are good; sending more would risk them

    def _counts(self, chunk: _Chunk, rows: Sequence[int]) -> Counts:
        counts = self.prepared.counts(chunk.start, chunk.stop)
        return counts if len(rows) == len(counts) else counts.take([row - chunk.start for row in rows])

    def _digests(self, chunk: _Chunk) -> list[str]:
        """What the journal knows the cells of a chunk by."""
        return self.prepared.counts(chunk.start, chunk.stop).digests(self.operation.context())

    async def _not_known(
        self, journal: Journal, chunk: _Chunk, executor: ThreadPoolExecutor
    ) -> tuple[list[int], list[str]]:
        """Rows of a chunk that the journal has no answer for, with their digests; the others are kept."""
        rows = range(chunk.start, chunk.stop)
        # In turn: the first chunk is written and sent before the next ones are even read.
        async with self._reading:
            digests = await asyncio.get_running_loop().run_in_executor(executor, self._digests, chunk)
        answers = {row: journal.get(digest) for row, digest in zip(rows, digests, strict=True)}
        known = [row for row in rows if answers[row] is not None]
        self._keep(known, [answers[row] for row in known])
        missing = [row for row in rows if answers[row] is None]
        return missing, [digests[row - chunk.start] for row in missing]

    def _after(self, failed: Failed, chunk: _Chunk, rows: Sequence[int]) -> None:
        """What follows from a chunk without an answer."""
        if failed.then is Then.SPLIT and len(rows) > 1:
            self._queue.extendleft(reversed(chunk.halves()))
            return
        if failed.then is Then.STOP:
            self._stopped = self._stopped or failed.error
        self._fail(chunk, rows, failed.error, failed.attempts)

    def _keep(self, rows: Sequence[int], answers: Sequence[Any]) -> None:
        for row, answer in zip(rows, answers, strict=True):
            # Cells are sent under unique names; the user gets the name that was given.
            name = self.prepared.cells[row]
            if answer.query_cell_id != name:
                answer = answer.model_copy(update={"query_cell_id": name})
            self.answers[row] = answer
        self._progress(len(rows))

    def _fail(self, chunk: _Chunk, rows: Sequence[int], error: Exception, attempts: int) -> None:
        rows = [row for row in rows if self.answers[row] is None]
        if not rows:
            return
        names = tuple(self.prepared.cells[row] for row in rows)
        status = getattr(error, "status", None)
        self.failures.append(ChunkFailure(chunk.number, names, tuple(rows), status, attempts, error))

    def _progress(self, cells: int) -> None:
        self._done += cells
        if self._report is not None:
            self._report(self._done, len(self.answers), retries=self.retries)
        elif (now := time.monotonic()) >= self._tell_next:
            self._tell_next = now + _TELL_EVERY
            _logger.info("%d of %d cells answered, %d retries", self._done, len(self.answers), self.retries)

    def partial(self) -> Any:
        """The model with the answers there are, in input order."""
        results = self.operation.collect([a for a in self.answers if a is not None])
        results._failures = list(self.failures)
        return results

    def interrupted(self) -> None:
        """Name every cell without an answer, after `run` was cancelled."""
        named = {row for failure in self.failures for row in failure.positions}
        error = CASError("Interrupted before an answer came.")
        for chunk in sorted([*self._current.values(), *self._queue], key=lambda c: c.start):
            rows = [r for r in range(chunk.start, chunk.stop) if r not in named]
            self._fail(chunk, rows, error, int(chunk in self._sent))
        self._current.clear()
        self._queue.clear()
        self.failures.sort(key=lambda f: f.positions[0])

    def message(self) -> str:
        """What is missing and how to go on."""
        path = None if self._checkpoint is None else os.fspath(self._checkpoint)
        return describe(self.failures, len(self.answers), None if path is None else str(path))

    def results(self, on_error: OnError) -> Any:
        """The model; an error or a warning if cells are missing in it.

        Raises
        ------
        AnnotationIncompleteError
        """
        results = self.partial()
        if not self.failures:
            return results
        incomplete = AnnotationIncompleteError(self.message(), partial=results, failures=self.failures)
        if on_error == "raise":
            raise incomplete from self.failures[0].error
        try:
            notify(self.message())
        except CASWarning as warning:  # where warnings are errors, the answers go with the error
            raise incomplete from warning
        return results
