"""One question, asked until it is answered or there is no point in asking again."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from pydantic import ValidationError

from ferrocyte.cas._http import Request, Response, Secret, Transport
from ferrocyte.cas.errors import (
    AuthenticationError,
    CASConnectionError,
    CASError,
    CASHTTPError,
    CASTimeoutError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    ServerError,
    UnreachableError,
)

__all__ = ["Asker", "Failed", "Limiter", "Policy", "Then", "Told"]

T = TypeVar("T")
Parse = Callable[[Response], T]


class Then(Enum):
    """What follows from a failure."""

    RETRY = "ask again"
    GIVE_UP = "this question has no answer"
    SPLIT = "too large: ask for fewer cells at a time"
    STOP = "no other question will be answered either"


@dataclass(frozen=True)
class Policy:
    """How patiently to ask.

    Attributes
    ----------
    attempts : int
        How often, at most.
    delay, max_delay : float
        Seconds. Before attempt k + 1 a time drawn from (0, min(max_delay, delay * 2**(k - 1))) passes:
        exponential back-off with full jitter, so that clients which were refused together do not come
        back together.
    request_timeout : float
        Seconds for one attempt, from sending to the end of the answer.
    total_timeout : float
        Seconds for all attempts together.
    option : str
        What users call `total_timeout`.
    """

    attempts: int = 7
    delay: float = 5.0
    max_delay: float = 32.0
    request_timeout: float = 530.0
    total_timeout: float = 3600.0
    option: str = "total_timeout"

    def pause(self, attempt: int) -> float:
        """Seconds to wait after attempt number `attempt`, from 1."""
        return random.uniform(0.0, min(self.max_delay, self.delay * 2.0 ** (attempt - 1)))


class Failed(Exception):  # noqa: N818 - how one question ended, never seen outside
    """A question without an answer."""

    def __init__(self, error: CASError, then: Then, attempts: int) -> None:
        super().__init__(str(error))
        self.error, self.then, self.attempts = error, then, attempts


class Limiter:
    """At most so many questions at a time, fewer when the service pushes back.

    Halved at a refusal (once for all questions that were on their way at the time), one more after a whole
    round of answers: additive increase, multiplicative decrease, as in TCP.
    """

    def __init__(self, limit: int) -> None:
        self.max = limit
        self.limit = float(limit)
        self.active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._not_before = 0.0
        self._last_cut = -1.0

    async def acquire(self) -> float:
        """Wait for a place; the time it was given."""
        while self.active >= int(self.limit):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if not place.cancelled():
                    self._wake()  # the place was ours already: hand it on
                elif place in self._waiting:
                    self._waiting.remove(place)
                raise
        self.active += 1
        try:
            while (pause := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(pause)
        except BaseException:
            self.release()
            raise
        return time.monotonic()

    def release(self) -> None:
        """Give the place back."""
        self.active -= 1
        self._wake()

    def answered(self) -> None:
        """The service keeps up."""
        self.limit = min(float(self.max), self.limit + 1.0 / self.limit)
        self._wake()

    def refused(self, since: float, retry_after: float) -> None:
        """The service pushes back at a question that was asked at `since`."""
        now = time.monotonic()
        if since > self._last_cut:
            self.limit = max(1.0, self.limit / 2.0)
            self._last_cut = now
        self._not_before = max(self._not_before, now + retry_after)

    def _wake(self) -> None:
        free = int(self.limit) - self.active
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


class Told:
    """Tells of questions that are asked again, in a log: one line, and then one a while.

    Parameters
    ----------
    logger : logging.Logger
    attempts : int
        How often a question is asked at most.
    from_attempt : int, default 1
        Failures of earlier attempts are not worth a line.
    every : float
        Seconds between two lines.
    """

    def __init__(self, logger: logging.Logger, attempts: int, *, from_attempt: int = 1, every: float) -> None:
        self._logger, self._attempts, self._from, self._every = logger, attempts, from_attempt, every
        self._next = float("-inf")
        self._untold = 0

    def __call__(self, error: CASError, attempt: int, pause: float) -> None:
        """Attempt number `attempt` has failed, and `pause` seconds pass before the next."""
        now = time.monotonic()
        if attempt < self._from or now < self._next:
            self._untold += 1
            return
        more = f" ({self._untold} more like this since the last line)" if self._untold else ""
        self._untold, self._next = 0, now + self._every
        self._logger.warning(
            "%s. Asking again in %.1f s (attempt %d of at most %d)%s.",
            str(error).rstrip("."),
            pause,
            attempt + 1,
            self._attempts,
            more,
        )


def retry_after(response: Response) -> float:
    """Seconds that the service asks to wait; 0 if it does not say."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def detail_of(response: Response, limit: int = 500) -> str:
    """What the service says about a failure, in one line."""
    text = response.body.decode("utf-8", "replace") if response.body else str(response.parsed or "")
    try:
        parsed = response.parsed if response.parsed is not None else json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and "detail" in parsed:
        parsed = parsed["detail"]
        text = parsed if isinstance(parsed, str) else json.dumps(parsed)
    text = " ".join(text.split())
    return text[:limit] + "…" if len(text) > limit else text


# What a status means, and what follows. Others: 5xx is asked again, anything else gives up.
_STATUSES: dict[int, tuple[type[CASHTTPError], Then, str]] = {
    401: (
        AuthenticationError,
        Then.STOP,
        "the token is missing, malformed, unknown or expired; get a new one",
    ),
    403: (
        PermissionDeniedError,
        Then.STOP,
        "the account may not do this; choose another model or ask for access",
    ),
    404: (NotFoundError, Then.STOP, "the service does not offer this (any more)"),
    405: (NotFoundError, Then.STOP, "the service does not offer this in this way"),
    408: (CASTimeoutError, Then.RETRY, "the service waited too long for the request"),
    413: (CASHTTPError, Then.SPLIT, "the request is too large"),
    429: (ServerError, Then.RETRY, "the service is busy; try again later, or with fewer requests at a time"),
}
_PUSHES_BACK = (429, 502, 503, 504)


class Asker:
    """Asks questions through a transport, and judges the answers.

    Parameters
    ----------
    transport : Transport
    policy : Policy
    secret : Secret
        Kept out of messages.
    quota_left : callable, optional
        Coroutine function that tells how many cells the account has left: what tells a refusal for good from
        one for now, which share status 429.
    on_retry : callable, optional
        Called as ``on_retry(error, attempt, pause)`` with each failure that is not the last word, the number
        of attempts so far, and the seconds until the next one.
    was_there : bool, default True
        Whether the service has answered somebody before. If not, an address without a service is taken for
        a wrong one, and not asked again.
    """

    def __init__(
        self,
        transport: Transport,
        policy: Policy,
        secret: Secret,
        *,
        quota_left: Callable[[], Awaitable[int]] | None = None,
        on_retry: Callable[[CASError, int, float], None] | None = None,
        was_there: bool = True,
    ) -> None:
        self._transport = transport
        self._policy = policy
        self._secret = secret
        self._quota_left = quota_left
        self._on_retry = on_retry
        self._was_there = was_there

    async def ask(self, request: Request, parse: Parse[T], limiter: Limiter | None = None) -> tuple[T, int]:
        """Ask until there is an answer that `parse` accepts; it, and the number of attempts.

        Raises
        ------
        Failed
            With the last error and what follows from it.
        """
        policy = self._policy
        deadline = time.monotonic() + policy.total_timeout
        last: CASError | None = None
        for attempt in range(1, policy.attempts + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            outcome, then, wait = await self._once(request, parse, limiter, left)
            if then is None:
                return outcome, attempt
            last = outcome
            if then is not Then.RETRY:
                raise Failed(last, then, attempt)
            if attempt == policy.attempts:
                raise Failed(last, Then.GIVE_UP, attempt)
            pause = max(wait, policy.pause(attempt))
            if time.monotonic() + pause >= deadline:
                raise Failed(self._late(last, wait), Then.GIVE_UP, attempt)
            if self._on_retry is not None:
                self._on_retry(last, attempt, pause)
            await asyncio.sleep(pause)
        raise Failed(self._late(last, 0.0), Then.GIVE_UP, attempt)

    def _late(self, last: CASError | None, wait: float) -> CASTimeoutError:
        asked = f" It asks to wait {wait:g} s." if wait else ""
        before = f" Last: {last}" if last is not None else ""
        policy = self._policy
        return CASTimeoutError(
            f"No answer within {policy.total_timeout:g} s in all (`{policy.option}`).{asked}{before}",
            status=getattr(last, "status", None),
        )

    async def _once(
        self, request: Request, parse: Parse[T], limiter: Limiter | None, left: float
    ) -> tuple[Any, Then | None, float]:
        """Ask once: the answer or an error, what follows from it, and the seconds the service asks for."""
        try:
            async with asyncio.timeout(left):
                since = await limiter.acquire() if limiter is not None else time.monotonic()
        except TimeoutError:
            return CASTimeoutError("The service was too busy to be asked."), Then.RETRY, 0.0
        seconds = min(self._policy.request_timeout, left)
        try:
            async with asyncio.timeout(seconds):
                response = await self._transport.request(request)
        except TimeoutError as err:
            if limiter is not None:
                limiter.refused(since, 0.0)
            if isinstance(err, CASTimeoutError):
                return err, Then.RETRY, 0.0
            what = f"{request.method} {request.path}"
            return CASTimeoutError(f"No complete answer to {what} within {seconds:.3g} s."), Then.RETRY, 0.0
        except CASConnectionError as err:
            if limiter is not None:
                limiter.refused(since, 0.0)
            wrong = isinstance(err, UnreachableError) and not self._was_there
            return err, Then.GIVE_UP if wrong else Then.RETRY, 0.0
        finally:
            if limiter is not None:
                limiter.release()
        self._was_there = True
        if 200 <= response.status < 300:
            return await self._accept(response, parse, limiter)
        wait = retry_after(response)
        if limiter is not None and response.status in _PUSHES_BACK:
            limiter.refused(since, wait if wait < left else 0.0)
        error, then = await self._refusal(request, response)
        return error, then, wait

    async def _accept(
        self, response: Response, parse: Parse[T], limiter: Limiter | None
    ) -> tuple[Any, Then | None, float]:
        try:
            if not response.is_json:
                kind = response.headers.get("content-type", "nothing")
                raise ValueError(f"content type {kind}: {self._secret.hide(detail_of(response, 120))}")
            # Large answers take a while to read; the loop serves the other questions meanwhile.
            value = await asyncio.to_thread(parse, response)
        except (ValidationError, ValueError, KeyError, TypeError) as err:
            what = str(err)
            if isinstance(err, ValidationError):
                first = err.errors(include_url=False, include_input=False)[0]
                what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            return (
                InvalidResponseError(
                    f"Status {response.status}, but no valid answer: {self._secret.hide(what)}",
                    status=response.status,
                ),
                Then.RETRY,
                0.0,
            )
        if limiter is not None:
            limiter.answered()
        return value, None, 0.0

    async def _refusal(self, request: Request, response: Response) -> tuple[CASHTTPError, Then]:
        status, detail = response.status, self._secret.hide(detail_of(response))
        said = f" It says: {detail}" if detail else ""
        if status == 429 and await self._quota_is_used_up(request, detail):
            message = f"The quota of the account is used up (status 429).{said} "
            return QuotaExceededError(
                message + "Wait for the reset date that `print_user_quota()` shows, or ask for more.",
                status=status,
                detail=detail,
            ), Then.STOP
        if status in _STATUSES:
            kind, then, words = _STATUSES[status]
        elif status >= 500:
            kind, then, words = ServerError, Then.RETRY, "the service failed"
        else:
            kind, then, words = CASHTTPError, Then.GIVE_UP, "the service does not accept the request"
        if kind is NotFoundError:
            words += f" ({request.method} {request.path}). Is the address that of an annotation service?"
        else:
            words += "."
        return kind(f"Status {status}: {words}{said}", status=status, detail=detail), then

    async def _quota_is_used_up(self, request: Request, detail: str) -> bool:
        """A fresh look at the quota decides; the words of the refusal do where there is no other way."""
        said = "quota" in detail.lower()
        if self._quota_left is None:
            return said
        try:
            left = await self._quota_left()
        except CASError:
            return said
        return left < (request.upload.n_cells if request.upload is not None else 1)
