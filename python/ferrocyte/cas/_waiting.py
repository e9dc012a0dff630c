"""A client whose methods wait: it runs the asynchronous one in a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from ferrocyte.cas._chunks import JOBS, Job
from ferrocyte.cas._loop import LoopThread
from ferrocyte.cas._notices import on_behalf_of_caller
from ferrocyte.cas.async_client import AsyncCASClient
from ferrocyte.cas.errors import AnnotationInterrupt

__all__ = ["Waiting"]

T = TypeVar("T")


class Waiting:
    """What methods of `CASClient` wait with.

    Parameters
    ----------
    client : AsyncCASClient
        Does the work.
    """

    def __init__(self, client: AsyncCASClient) -> None:
        self._client = client
        self._thread = LoopThread(client._service.transport.aclose)

    def __repr__(self) -> str:
        return repr(self._client).removeprefix("Async")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and stop the thread. The client can be used again."""
        self._thread.close()

    def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine of the other client and wait for it."""
        with on_behalf_of_caller():
            return self._thread.run(make)

    def _job(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run what sends chunks; Ctrl-C keeps what is answered."""
        jobs: list[Job] = []
        mark = JOBS.set(jobs)
        try:
            return self._run(make)
        except KeyboardInterrupt:
            if not jobs:
                raise
            job = jobs[0]
            job.interrupted()
            raise AnnotationInterrupt(
                f"Interrupted. {job.message()}", partial=job.partial(), failures=job.failures
            ) from None
        finally:
            JOBS.reset(mark)
