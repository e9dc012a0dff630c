"""What the service answers, route by route, over `Routes` of `ferrocyte.cas.local`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ferrocyte.cas.server import _openapi
from ferrocyte.cas.server._database import Database, User
from ferrocyte.cas.server._limits import Gate, Limits, Refusal
from ferrocyte.cas.server._metrics import CONTENT_TYPE, Metrics
from ferrocyte.cas.server._observe import NOTES
from ferrocyte.cas.server._questions import (
    CellsQuestion,
    DeprecatedQuestion,
    IdsQuestion,
    OntologyQuestion,
    SummaryQuestion,
    VersionQuestion,
)
from ferrocyte.cas.server._quota import UNLIMITED, Quotas
from ferrocyte.cas.server._references import Generation, References
from ferrocyte.cas.server._tokens import Tokens
from ferrocyte.cas.server._uploads import Cells, Readers, form_of

__all__ = ["CELLS", "GENERAL", "Service"]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Q = TypeVar("Q", bound=CellsQuestion)
_logger = logging.getLogger(__name__)
GENERAL, CELLS = "/api/cellarium-general", "/api/cellarium-cell-operations"
# A question without counts is small.
_QUESTION_SECONDS = 30.0


@dataclass(frozen=True)
class _Known:
    """What a request brings along before it is answered."""

    user: User
    generation: Generation


class Service:
    """Handlers of the routes, and what they share.

    Parameters
    ----------
    references : References
    database : Database or None
        Accounts. None: no tokens are asked for, everybody is the same user without a limit.
    limits : Limits
    feedback_url : str or None
        Where `feedback/answer` leads; 404 if None.
    watch_seconds : float
        How often to look whether references have changed on disk; 0 for never.
    """

    def __init__(
        self,
        references: References,
        database: Database | None = None,
        *,
        limits: Limits | None = None,
        feedback_url: str | None = None,
        watch_seconds: float = 2.0,
    ) -> None:
        self.references = references
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.database = database or Database(None)
        self.tokens = None if database is None else Tokens(database)
        self._anybody = None
        if database is None:
            self._anybody = self.database.add_user("local", weekly_quota=UNLIMITED, admin=True)
        self.quotas = Quotas(self.database)
        self._feedback_url = feedback_url
        self._watch_seconds = watch_seconds
        self.gate = Gate(self.limits.workers + self.limits.readers, self.limits.waiting)
        self.readers = Readers(self.limits)
        self._workers = ThreadPoolExecutor(self.limits.workers, thread_name_prefix="cas-work")
        self._clerks = ThreadPoolExecutor(2, thread_name_prefix="cas-accounts")
        self.metrics.gauge("requests_at_work", lambda: self.gate.inside)
        self.metrics.gauge("references", lambda: len(self.references.current.genes))
        self.metrics.gauge("reader_deaths_total", lambda: self.readers.deaths)

    # Life -------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """From before the first request to after the last one has been answered."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = set()

        def hang_up() -> None:
            task = loop.create_task(self.reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        listens = hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread()
        if listens:
            loop.add_signal_handler(signal.SIGHUP, hang_up)
        if self._watch_seconds > 0:
            tasks.add(loop.create_task(self.references.watch(self._watch_seconds, self._reloaded)))
        try:
            yield
        finally:
            if listens:
                loop.remove_signal_handler(signal.SIGHUP)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.readers.close()
            self._workers.shutdown(wait=True)
            self._clerks.shutdown(wait=True)
            self.database.close()

    async def reload(self) -> bool:
        """Serve what is on disk now."""
        done = await asyncio.to_thread(self.references.reload)
        self._reloaded(done)
        return done

    def _reloaded(self, done: bool) -> None:
        self.metrics.add("reloads_total", outcome="done" if done else "failed")

    # Who asks, and what -----------------------------------------------------------------------------

    async def _account(self, function: Callable[..., T], *args: Any) -> T:
        """What is about accounts waits for a disk, and does so elsewhere."""
        return await asyncio.get_running_loop().run_in_executor(self._clerks, function, *args)

    async def _known(self, request: Request) -> _Known:
        user = self._anybody
        if user is None:
            assert self.tokens is not None
            user = await self._account(self.tokens.verify, request.headers.get("authorization"))
        request.scope[NOTES]["user"] = user.id
        return _Known(user, self.references.current)

    async def _admin(self, request: Request) -> _Known:
        known = await self._known(request)
        if not known.user.admin:
            raise Refusal(403, "Only administrators of this service may do this.")
        return known

    async def _question(self, request: Request, model: type[M]) -> M:
        try:
            async with asyncio.timeout(_QUESTION_SECONDS):
                return model.model_validate_json(await request.body() or b"null")
        except TimeoutError:
            raise Refusal(408, f"The request did not arrive within {_QUESTION_SECONDS:g} seconds.") from None

    async def _work(self, function: Callable[[], Any]) -> bytes:
        """An answer as JSON, from the pool of workers.

        Raises
        ------
        Refusal
            504 if it takes too long.
        """
        job = asyncio.get_running_loop().run_in_executor(self._workers, lambda: to_json(function()))
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await asyncio.shield(job)
        except TimeoutError:
            job.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise Refusal(
                504, f"There was no answer within {self.limits.answer_seconds:g} seconds. Send fewer cells."
            ) from None

    # About the service ------------------------------------------------------------------------------

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def numbers(self, request: Request) -> Response:
        await self._known(request)
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        return _json(_openapi.document(tokens=self.tokens is not None))

    async def pages(self, request: Request) -> Response:
        return HTMLResponse(_openapi.page(_openapi.document(tokens=self.tokens is not None)))

    async def application_info(self, request: Request) -> Response:
        return _json(self.references.current.routes.application_info())

    async def validate_client_version(self, request: Request) -> Response:
        asked = await self._question(request, VersionQuestion)
        return _json(self.references.current.routes.validate_client_version(asked.client_version))

    async def validate_token(self, request: Request) -> Response:
        return _json(_who((await self._known(request)).user))

    async def opt_out(self, request: Request) -> Response:
        known = await self._known(request)
        return _json(_who(await self._account(self.database.opt_out_of_feedback, known.user)))

    async def feedback(self, request: Request) -> Response:
        missing = [n for n in ("client_session_id", "client_action_id") if n not in request.query_params]
        if missing:
            raise Refusal(
                422,
                [
                    {"type": "missing", "loc": ["query", n], "msg": "Field required", "input": None}
                    for n in missing
                ],
            )
        if self._feedback_url is None:
            raise Refusal(404, "This service has no form for feedback.")
        return RedirectResponse(self._feedback_url)

    async def list_models(self, request: Request) -> Response:
        return _json((await self._known(request)).generation.routes.list_models())

    async def feature_schemas(self, request: Request) -> Response:
        return _json((await self._known(request)).generation.routes.feature_schemas())

    async def feature_schema(self, request: Request) -> Response:
        generation, name = (await self._known(request)).generation, request.path_params["name"]
        return await self._document(generation, f"s/{name}", lambda: generation.routes.feature_schema(name))

    async def cell_ontology_resource(self, request: Request) -> Response:
        generation, name = (await self._known(request)).generation, request.path_params["name"]
        response = await self._document(
            generation, f"o/{name}", lambda: generation.routes.cell_ontology_resource(name)
        )
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    async def _document(self, generation: Generation, key: str, make: Callable[[], Any]) -> Response:
        body = await asyncio.to_thread(self.references.document, generation, key, make)
        return Response(body, media_type="application/json")

    async def quota(self, request: Request) -> Response:
        known = await self._known(request)
        return _json(await self._account(self.quotas.document, known.user))

    async def increase_quota(self, request: Request) -> Response:
        await self._admin(request)
        user = await self._account(self.database.user, "email", request.path_params["email"])
        if user is None:
            raise Refusal(404, "There is no user with this address.")
        await self._account(self.quotas.increase, user)
        return _json(await self._account(self.quotas.document, user))

    async def cache_info(self, request: Request) -> Response:
        await self._admin(request)
        tokens = (0, 0, 0, 0) if self.tokens is None else self.tokens.cache_info()
        return _json([tokens, self.references.cache_info()])

    # About cells ------------------------------------------------------------------------------------

    async def query_cells(self, request: Request) -> Response:
        known = await self._known(request)
        asked = await self._question(request, IdsQuestion)
        request.scope[NOTES]["ids"] = len(asked.cas_cell_ids)
        routes = known.generation.routes
        async with self.gate.place():
            body = await self._work(
                lambda: routes.query_cells(asked.cas_cell_ids, asked.metadata_feature_names)
            )
        return Response(body, media_type="application/json")

    async def annotate_summary(self, request: Request) -> Response:
        return await self._cells(
            request,
            SummaryQuestion,
            lambda routes, cells, model, asked: routes.annotate_summary(
                cells.counts, cells.totals, cells.names, model, asked.include_extended_output
            ),
        )

    async def annotate(self, request: Request) -> Response:
        return await self._cells(
            request,
            DeprecatedQuestion,
            lambda routes, cells, model, asked: routes.annotate_summary(
                cells.counts, cells.totals, cells.names, model, asked.include_dev_metadata
            ),
        )

    async def annotate_ontology(self, request: Request) -> Response:
        return await self._cells(
            request,
            OntologyQuestion,
            lambda routes, cells, model, asked: routes.annotate_ontology(
                cells.counts,
                cells.totals,
                cells.names,
                model,
                prune_threshold=asked.prune_threshold,
                weighting_prefactor=asked.weighting_prefactor,
                ontology_column_name=asked.ontology_column_name,
            ),
        )

    async def nearest_neighbors(self, request: Request) -> Response:
        return await self._cells(
            request,
            CellsQuestion,
            lambda routes, cells, model, asked: routes.nearest_neighbors(
                cells.counts, cells.totals, cells.names, model
            ),
            counted=False,
        )

    async def _cells(
        self,
        request: Request,
        question: type[Q],
        answer: Callable[[Any, Cells, str, Q], Any],
        *,
        counted: bool = True,
    ) -> Response:
        """A question with counts, from its first byte to its answer."""
        known = await self._known(request)
        generation, notes = known.generation, request.scope[NOTES]
        async with form_of(request, self.limits.upload_seconds) as (file, fields):
            asked = question.model_validate(fields)
            model = asked.model_name
            if model == "default" and model not in generation.genes:
                model = generation.default
            genes = generation.genes_of(model)
            async with self.gate.place():
                cells = await self.readers.read(file, genes)
                notes.update(model=model, cells=len(cells.names))
                key = _key(request, asked, cells.digest)
                if counted:
                    await self._account(self.quotas.check, known.user, len(cells.names), key)
                body = await self._work(lambda: answer(generation.routes, cells, model, asked))
                if counted:
                    await self._account(self.quotas.count, known.user, len(cells.names), key)
        self.metrics.add("answered_cells_total", len(cells.names), route=notes["route"], model=model)
        return Response(body, media_type="application/json")


def _key(request: Request, asked: BaseModel, digest: bytes) -> bytes:
    """What tells whether the same request was answered before."""
    action = request.headers.get("x-client-action-id", "")
    known = json.dumps([action or os.urandom(16).hex(), request.url.path, asked.model_dump()])
    return hashlib.blake2b(known.encode() + digest, digest_size=16).digest()


def _who(user: User) -> dict[str, Any]:
    return {
        "username": user.name,
        "email": user.email,
        "should_ask_for_feedback": user.asks_for_feedback,
    }


def _json(value: Any) -> Response:
    return Response(to_json(value), media_type="application/json")
