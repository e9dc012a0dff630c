"""How much is taken, how many at a time, for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Gate", "Limits", "Refusal", "limited_body"]

Receive = Callable[[], Awaitable[Any]]


class Refusal(Exception):  # noqa: N818 - an answer, not a defect
    """A question that gets another answer than it asked for.

    Attributes
    ----------
    status : int
        HTTP status.
    detail : object
        What the client is told: a string, or the list of a 422.
    headers : dict of str to str
    """

    def __init__(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status, self.detail, self.headers = status, detail, headers or {}


@dataclass(frozen=True)
class Limits:
    """What the service takes.

    Attributes
    ----------
    max_upload_bytes : int
        Of a request with counts.
    max_question_bytes : int
        Of a request without.
    max_cells : int
        In one request.
    max_values : int
        Non-zero counts in one request, or all of a dense matrix.
    max_reader_bytes : int
        Memory of a process that reads uploads.
    upload_seconds : float
        For a request to arrive.
    read_seconds : float
        For an uploaded file to be read.
    answer_seconds : float
        For its cells to be embedded and compared.
    workers : int
        Requests that are worked on at a time.
    readers : int
        Files that are read at a time.
    waiting : int
        Requests that have arrived and wait for a worker; more are sent away.
    connections : int
        Open at a time.
    """

    max_upload_bytes: int = 256 * 2**20
    max_question_bytes: int = 32 * 2**20
    max_cells: int = 20_000
    max_values: int = 50_000_000
    max_reader_bytes: int = 4 * 2**30
    upload_seconds: float = 300.0
    read_seconds: float = 30.0
    answer_seconds: float = 450.0
    workers: int = 2
    readers: int = 2
    waiting: int = 256
    connections: int = 1000


class Gate:
    """Lets a number of requests work at a time, and a number of others wait in line.

    Parameters
    ----------
    places, waiting : int
    """

    def __init__(self, places: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._most = places + waiting
        self.inside = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place.

        Raises
        ------
        Refusal
            503 if the line is full. A 429 would be kinder English, but clients take it for the quota.
        """
        if self.inside >= self._most:
            raise Refusal(503, "The service is busy. Ask again in a moment.", {"Retry-After": "1"})
        self.inside += 1
        try:
            async with self._places:
                yield
        finally:
            self.inside -= 1


def limited_body(receive: Receive, most: int, count: Callable[[int], None]) -> Receive:
    """`receive` that refuses what goes beyond `most` bytes of body, and tells `count` how many came.

    Raises (when called)
    --------------------
    Refusal
        413.
    """
    seen = 0

    async def inner() -> Any:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            n = len(message.get("body", b""))
            seen += n
            count(n)
            if seen > most:
                raise Refusal(413, f"The request is larger than the {most} bytes that the service takes.")
        return message

    return inner
