"""The one door to a service: a request goes in, a response comes out.

Everything above this module (retries, chunks, checkpoints, results) knows a service only as a `Transport`:
an object with ``async request(Request) -> Response`` and ``async aclose()``. `HttpTransport` speaks to the
real one. An engine in the same process is another: it answers the same paths, takes the counts of a chunk
from `request.upload.counts` (rows of the schema, so that nothing is written to HDF5 and read back) and
hands over Python objects as `Response.parsed` instead of JSON. It is given to a client as
``AsyncCASClient(transport=...)`` or ``CASClient(transport=...)``. A transport raises `CASConnectionError` or
`CASTimeoutError` where no answer comes, and never looks at the status of one that does.
"""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
import json
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

# httpx loads these two at its first request, which would hold up everything else in the event loop.
import anyio  # noqa: F401
import httpcore  # noqa: F401
import httpx

from ferrocyte._errors import InvalidOptionError
from ferrocyte.cas.errors import CASConnectionError, CASTimeoutError, UnreachableError

if TYPE_CHECKING:
    from ferrocyte.cas._upload import Upload

__all__ = ["DEFAULT_URL", "HttpTransport", "Request", "Response", "Secret", "Transport", "clean_url"]

DEFAULT_URL = "https://cellarium-cloud-api.cellarium.ai"
_logger = logging.getLogger(__name__)
_PIECE = 1 << 17
# How long a connection is kept for the next request. Services close theirs later: what is sent into a
# connection that is being closed is lost.
IDLE_SECONDS = 5.0


class Secret:
    """A string that does not show itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string."""
        return self._value

    def hide(self, text: str) -> str:
        """`text` without the secret in it, should somebody echo it."""
        out = text
        # The parts of a token are secrets as well; short ones would blank out ordinary words.
        for part in (self._value, *self._value.split(".")):
            if len(part) >= 8:
                out = out.replace(part, "***")
        return out

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("A secret is not written anywhere.")


@dataclass(frozen=True)
class Request:
    """One question to a service.

    Attributes
    ----------
    method : str
        ``"GET"`` or ``"POST"``.
    path : str
        Below the base URL, without a leading slash.
    headers : mapping
        Beside the ones that a transport adds itself (who asks, what is sent).
    json : object
        Body, for a question without counts.
    fields : mapping of str to str
        Form fields that go with `upload`.
    upload : Upload or None
        Counts of some cells.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    fields: Mapping[str, str] = field(default_factory=dict)
    upload: Upload | None = None


@dataclass(frozen=True)
class Response:
    """One answer.

    Attributes
    ----------
    status : int
        HTTP status code.
    headers : mapping
        Names in lower case.
    body : bytes
        As received.
    parsed : object or None
        What the body would parse to, from a transport that has it already.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    parsed: Any = None

    @property
    def is_json(self) -> bool:
        """Whether the answer says that it is JSON."""
        kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
        return self.parsed is not None or kind == "application/json" or kind.endswith("+json")


class Transport(Protocol):
    """What carries requests to a service; see the head of this module."""

    async def request(self, request: Request) -> Response:
        """Ask and wait for the whole answer; cancelling the task gives up."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def clean_url(url: str | None) -> str:
    """The base URL without slashes at its end; the default for None and an empty string.

    Raises
    ------
    InvalidOptionError
        For anything that is no http or https URL.
    """
    url = (url or "").strip().rstrip("/") or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidOptionError(
            f"Expected `api_url` to be an http or https address, found {hide_user(url)!r}. "
            f"Leave it empty for {DEFAULT_URL}."
        )
    return url


def hide_user(url: str) -> str:
    """The URL without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


_ours = contextvars.ContextVar("ferrocyte_cas_request", default=False)


class _Quiet(logging.Filter):
    """httpx tells every request at level INFO; a run of hundreds of chunks tells its own, shorter story."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not _ours.get()


_quiet = _Quiet()


def multipart(fields: Mapping[str, str], upload: bytes) -> tuple[list[bytes], str]:
    """The parts of a form with a file and text fields, and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="adata.h5ad"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = "".join(
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{value}"
        for name, value in fields.items()
    )
    parts = [head.encode(), upload, f"{tail}\r\n--{boundary}--\r\n".encode()]
    return parts, f"multipart/form-data; boundary={boundary}"


async def _pieces(parts: list[bytes]) -> AsyncIterator[bytes]:
    """A body bit by bit, which takes the list apart: what is sent is let go of.

    A socket takes so much at a time, and what is left over would be copied.
    """
    while parts:
        part = parts.pop(0)
        for start in range(0, len(part), _PIECE):
            yield part[start : start + _PIECE]


def _first_cause(err: BaseException) -> BaseException:
    """What the system said, below what libraries made of it."""
    while True:
        if isinstance(err, BaseExceptionGroup):  # of several addresses of a host
            err = err.exceptions[0]
        cause = err.__cause__ or err.__context__
        if cause is None:
            return err
        err = cause


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class HttpTransport:
    """A service over HTTP, through one pool of connections.

    Parameters
    ----------
    url : str
        Base URL as :func:`clean_url` gives it.
    token : Secret
        Sent as a bearer token.
    connect_timeout : float
        Seconds to wait for a connection.
    max_connections : int
        Size of the pool.
    """

    def __init__(self, url: str, token: Secret, *, connect_timeout: float, max_connections: int) -> None:
        self._url = url
        self._token = token
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # The whole attempt has a time-out of its own (see _retry); reading may be quiet for long before it.
        self._timeout = httpx.Timeout(None, connect=connect_timeout)
        self._limits = httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=IDLE_SECONDS,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({hide_user(self._url)!r})"

    def _pool(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            # Connections belong to the loop they were made in; those of a loop that is gone are gone too.
            logging.getLogger("httpx").addFilter(_quiet)
            self._client = httpx.AsyncClient(timeout=self._timeout, limits=self._limits)
            self._loop = loop
        return self._client

    async def request(self, request: Request) -> Response:
        """As :class:`Transport`.

        Raises
        ------
        CASConnectionError, CASTimeoutError
        """
        headers = {**request.headers, "Authorization": f"Bearer {self._token.reveal()}"}
        content: bytes | AsyncIterator[bytes] | None = None
        if request.upload is not None:
            parts, headers["Content-Type"] = multipart(request.fields, await request.upload.h5ad())
            content, headers["Content-Length"] = _pieces(parts), str(sum(map(len, parts)))
            del parts
        elif request.json is not None:
            content, headers["Content-Type"] = json.dumps(request.json).encode(), "application/json"
        mark = _ours.set(True)
        try:
            answer = await self._pool().request(
                request.method, f"{self._url}/{request.path}", headers=headers, content=content
            )
        except httpx.TimeoutException as err:
            raise CASTimeoutError(f"No connection to {hide_user(self._url)} within the time-out.") from err
        except (httpx.TransportError, httpx.DecodingError) as err:
            raise self._failed(err) from None
        finally:
            _ours.reset(mark)
        return Response(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    def _failed(self, err: httpx.RequestError) -> CASConnectionError:
        """What became of a connection, in words that say what to do where that is known."""
        url, host = hide_user(self._url), urlsplit(self._url).hostname or ""
        cause = _first_cause(err)
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return UnreachableError(
                f"The host {host!r} is not known. Check the address of the service ({url}), and whether this "
                "machine is online."
            )
        if isinstance(cause, ConnectionRefusedError):
            if _is_loopback(host):
                return UnreachableError(
                    f"Nobody listens at {url}. Check the address; a service that has just been started "
                    "(`ferrocyte cas serve`) says when it is listening."
                )
            return CASConnectionError(f"The connection to {url} was refused.")
        what = self._token.hide(str(cause)) or type(cause).__name__
        return CASConnectionError(f"The connection to {url} failed ({type(err).__name__}: {what}).")

    async def aclose(self) -> None:
        """Close the pool."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()
