"""From options to a running service, and back to a quiet process."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import uvicorn

from ferrocyte._errors import InvalidOptionError
from ferrocyte.cas.local import Reference, Routes, open_references
from ferrocyte.cas.server._app import create_app
from ferrocyte.cas.server._database import Database
from ferrocyte.cas.server._limits import Limits
from ferrocyte.cas.server._observe import JSONLines, is_loopback
from ferrocyte.cas.server._references import References, stamp_of
from ferrocyte.cas.server._service import Service

__all__ = ["make_server", "make_service", "name_references", "open_named", "serve"]

_logger = logging.getLogger(__name__)
# How long a connection waits for its next request. Clients let go of theirs after 5 to 15 seconds and must be
# the first to do so: a request that meets the end of its connection is lost.
_IDLE_SECONDS = 30
# What is logged from which level on. Warnings of the parser of forms quote what was uploaded.
_LOGGED = {
    "ferrocyte.cas": logging.INFO,
    "uvicorn.error": logging.WARNING,
    "asyncio": logging.WARNING,
    "python_multipart": logging.CRITICAL,
}


def name_references(given: Sequence[str]) -> list[tuple[str | None, Path]]:
    """Folders or `.h5ad` files with the model names they are given, from `PATH` or `NAME=PATH`.

    Raises
    ------
    InvalidOptionError
        For what does not exist, empty names, or nothing at all.
    """
    out: list[tuple[str | None, Path]] = []
    for text in given:
        name, named, folder = text.partition("=")
        path = Path(folder if named else text)
        if not path.exists():
            raise InvalidOptionError(
                f"There is no reference {str(path)!r}. `ferrocyte cas build-reference` makes one."
            )
        if named and not name.strip():
            raise InvalidOptionError(f"Expected `--reference NAME={folder}`, found no name in {text!r}.")
        out.append((name.strip() if named else None, path))
    if not out:
        raise InvalidOptionError("Expected at least one reference: `--reference FOLDER`.")
    return out


def open_named(
    given: Sequence[tuple[str | None, Path]], cell_type_column: str | None = None
) -> dict[str, Reference]:
    """References by model name; who was given none goes by the name in its folder, or of its file.

    Raises
    ------
    InvalidOptionError
        If two go by the same name.
    FileFormatError
    MissingDataError
        For cells without a column of their types.
    """
    out: dict[str, Reference] = {}
    for name, path in given:
        column = cell_type_column if path.is_file() else None
        (reference,) = open_references(path, column).values()
        known = reference.name if name is None else name
        if known in out:
            raise InvalidOptionError(
                f"Expected a name of its own for each reference, found {known!r} twice. Name them: "
                "`--reference NAME=FOLDER`."
            )
        out[known] = reference
    return out


def make_service(
    references: Sequence[tuple[str | None, Path]],
    *,
    cell_type_column: str | None = None,
    host: str = "127.0.0.1",
    tokens: Path | None = None,
    limits: Limits | None = None,
    feedback_url: str | None = None,
    watch_seconds: float = 2.0,
) -> Service:
    """A service over reference folders; parameters as :func:`serve`."""
    if tokens is None and not is_loopback(host):
        raise InvalidOptionError(
            f"Expected a database of tokens for a service that others can reach (host {host!r}). Pass "
            "`--tokens FILE`, made with `ferrocyte cas token create`, or bind to 127.0.0.1."
        )

    paths = [path for _, path in references]
    served = References(lambda: Routes(open_named(references, cell_type_column)), lambda: stamp_of(paths))
    database = None if tokens is None else Database(tokens)
    return Service(served, database, limits=limits, feedback_url=feedback_url, watch_seconds=watch_seconds)


class _Server(uvicorn.Server):
    """Tells when it listens, and where."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            _logger.info("listening", extra={"fields": {"url": url}})
            if self._ready is not None:
                self._ready(url)


def make_server(
    service: Service, host: str, port: int, ready: Callable[[str], None] | None = None
) -> uvicorn.Server:
    """The server of a service; `ready` is told the address when it listens."""
    limits = service.limits
    config = uvicorn.Config(
        create_app(service),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        limit_concurrency=limits.connections,
        timeout_keep_alive=_IDLE_SECONDS,
        # What is at work is finished; nothing can be at work for longer than this.
        timeout_graceful_shutdown=math.ceil(
            limits.upload_seconds + 2 * limits.read_seconds + limits.answer_seconds
        ),
    )
    return _Server(config, ready)


def serve(
    references: Sequence[tuple[str | None, Path]],
    *,
    cell_type_column: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    tokens: Path | None = None,
    limits: Limits | None = None,
    feedback_url: str | None = None,
    watch_seconds: float = 2.0,
    log: TextIO | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is at work. SIGHUP reloads the references.

    Parameters
    ----------
    references : sequence of (str or None, path)
        Reference folders, or `.h5ad` files with cells whose types are known, and their model names; None
        for the name in the folder, or of the file. The first is the default model. Files are made into
        references in the user's cache folder before the service listens.
    cell_type_column : str, optional
        Column of `obs` with the types of cells in files; default: ``"cell_type"``.
    host : str, default "127.0.0.1"
        Address to bind to.
    port : int, default 8000
        0 for any that is free.
    tokens : path, optional
        Database of tokens and quotas. Needed unless `host` is this machine alone; without it nobody is asked
        for a token, and requests that call the machine by another name than its own are refused.
    limits : Limits, optional
    feedback_url : str, optional
        Where `feedback/answer` leads.
    watch_seconds : float, default 2
        How often to look whether a reference has changed on disk; 0 for never.
    log : text file, optional
        Where one JSON object a line is written; default: standard error.
    ready : callable, optional
        Told the URL when the service listens.

    Raises
    ------
    InvalidOptionError
        If others could reach the service and there are no tokens.
    FileFormatError
        For a reference or a database that can not be read.
    MissingDataError
        For cells without a column of their types.
    OSError
        If the address can not be bound.
    """
    service = make_service(
        references,
        cell_type_column=cell_type_column,
        host=host,
        tokens=tokens,
        limits=limits,
        feedback_url=feedback_url,
        watch_seconds=watch_seconds,
    )
    server = make_server(service, host, port, ready)
    with _logged(sys.stderr if log is None else log), _kept_signals():
        try:
            server.run()
            _logger.info("stopped")
        except SystemExit:
            # uvicorn has logged why.
            raise OSError(f"The service can not listen on {host}, port {port}.") from None


@contextlib.contextmanager
def _logged(stream: TextIO) -> Iterator[None]:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONLines())
    loggers = [logging.getLogger(name) for name in _LOGGED]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger, level in zip(loggers, _LOGGED.values(), strict=True):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """uvicorn raises the signals that stopped it again; to have stopped as asked is no failure."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, lambda *_: None) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
