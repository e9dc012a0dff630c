"""What happens around every request: ids, limits of size, numbers, one line of log, no trace of a defect.

Neither cell names nor counts nor tokens are logged, and of a defect only where it happened, not what it says.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
import traceback
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ferrocyte.cas.server._limits import Limits, Refusal, limited_body
from ferrocyte.cas.server._metrics import Metrics

__all__ = ["JSONLines", "Observed", "is_loopback", "refusal_response"]

_logger = logging.getLogger(__name__)
_ECHOED = ("x-client-session-id", "x-client-action-id")
_AN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Where handlers leave what is to be logged.
NOTES = "ferrocyte"


def is_loopback(host: str) -> bool:
    """Whether this name or address is always this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def refusal_response(refusal: Refusal) -> Response:
    """The answer that a refusal stands for."""
    body = json.dumps({"detail": refusal.detail}, default=str).encode()
    return Response(body, refusal.status, refusal.headers, "application/json")


class Observed:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    limits : Limits
    only_loopback : bool
        Whether to refuse requests that call this machine by another name than its own, as pages of other
        sites in a browser here could make them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, limits: Limits, *, only_loopback: bool) -> None:
        self._app, self._metrics, self._limits, self._only_loopback = app, metrics, limits, only_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        ids = {name: headers.get(name, "") for name in _ECHOED}
        ids = {name: value for name, value in ids.items() if _AN_ID.fullmatch(value)}
        ids["x-trace-id"] = secrets.token_hex(16)
        notes: dict[str, Any] = {"route": "none"}
        scope[NOTES] = notes
        begin, status, received = time.monotonic(), 0, 0

        def count(n: int) -> None:
            nonlocal received
            received += n

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(ids)
            await send(message)

        body = limited_body(receive, self._most(headers), count)
        try:
            await self._guarded(scope, headers, body, answer)
        except Refusal as refusal:
            if status == 0:
                await refusal_response(refusal)(scope, receive, answer)
        except Exception as err:
            notes["defect"] = _where(err)
            if status == 0:
                failed = Refusal(500, "Error processing request")
                await refusal_response(failed)(scope, receive, answer)
        finally:
            seconds = time.monotonic() - begin
            route = notes["route"]
            self._metrics.add("requests_total", route=route, status=str(status))
            self._metrics.add("received_bytes_total", received)
            self._metrics.observe("request_seconds", seconds, route=route)
            _logger.log(
                logging.ERROR if "defect" in notes else logging.INFO,
                "request",
                extra={
                    "fields": {
                        "method": scope["method"],
                        **notes,
                        "status": status,
                        "seconds": round(seconds, 4),
                        "bytes": received,
                        **{name.removeprefix("x-").replace("-", "_"): value for name, value in ids.items()},
                    }
                },
            )

    async def _guarded(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        if self._only_loopback and not is_loopback(_host_of(headers)):
            raise Refusal(
                421,
                "Without tokens this service answers to 127.0.0.1 and localhost only, not to other names.",
            )
        try:
            declared = int(headers.get("content-length", 0))
        except ValueError:
            raise Refusal(400, "Expected Content-Length to be a number.") from None
        most = self._most(headers)
        if declared > most:
            raise Refusal(413, f"The request is larger than the {most} bytes that the service takes.")
        await self._app(scope, receive, send)

    def _most(self, headers: Headers) -> int:
        is_form = headers.get("content-type", "").lower().startswith("multipart/")
        return self._limits.max_upload_bytes if is_form else self._limits.max_question_bytes


def _host_of(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _where(err: BaseException) -> str:
    frames = traceback.extract_tb(err.__traceback__)[-3:]
    places = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames))
    return f"{type(err).__name__} at {places}"


class JSONLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter`; of exceptions only the type and the place."""
        at = time.gmtime(record.created)
        line = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', at)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["defect"] = _where(record.exc_info[1])
        return json.dumps(line, default=str)
