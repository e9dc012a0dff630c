"""A service in the same process: what a client asks is answered from references, without HTTP and HDF5."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from urllib.parse import unquote

import scipy.sparse as sp

from ferrocyte.cas._http import Request, Response
from ferrocyte.cas._service import UNLIMITED
from ferrocyte.cas._upload import Counts
from ferrocyte.cas.local._reference import Reference
from ferrocyte.cas.local._routes import STOP, RouteError, Routes

__all__ = ["LocalTransport"]

_GENERAL = "api/cellarium-general/"
_OPERATIONS = "api/cellarium-cell-operations/"
_QUOTA = {
    "user_id": 0,
    "weekly_quota": UNLIMITED,
    "remaining_weekly_quota": UNLIMITED,
    "quota_reset_date": "9999-12-31T00:00:00",
    "lifetime_quota": None,
    "remaining_lifetime_quota": None,
    "quota_increased": False,
}
_USER = {"username": "local", "email": "", "should_ask_for_feedback": False}
_logger = logging.getLogger(__name__)


class LocalTransport:
    """A `Transport` that answers from references.

    Parameters
    ----------
    references : mapping of str to Reference
        By model name; the first is the default.
    threads : int, default 1
        Of one question; questions are answered one after another.
    """

    def __init__(self, references: Mapping[str, Reference], *, threads: int = 1) -> None:
        self.routes = Routes(references, threads=threads)
        self._executor: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.routes.references))})"

    async def request(self, request: Request) -> Response:
        """As :class:`ferrocyte.cas._http.Transport`."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="ferrocyte-local")
        stop = Event()
        loop = asyncio.get_running_loop()
        answer = loop.run_in_executor(self._executor, self._answer, request, stop)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Nothing goes on behind the back of who gave up.
            stop.set()
            await asyncio.wait([answer])
            raise

    async def aclose(self) -> None:
        """Stop the thread that answers."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    def _answer(self, request: Request, stop: Event) -> Response:
        STOP.set(stop)
        # What is wrong with the counts is the asker's affair, as it is where they are written to a file.
        counts = None if request.upload is None else request.upload.counts
        try:
            return Response(200, parsed=self._route(request, counts))
        except RouteError as error:
            return Response(error.status, parsed={"detail": error.detail})
        except Exception:
            _logger.exception("The question %s %s failed", request.method, request.path)
            return Response(500, parsed={"detail": "Error processing request"})

    def _route(self, request: Request, counts: Counts | None) -> Any:
        if request.path.startswith(_GENERAL):
            return self._general(request.path.removeprefix(_GENERAL), request.json or {})
        verb = request.path.removeprefix(_OPERATIONS)
        if verb == "query-cells-by-ids":
            asked = request.json
            return self.routes.query_cells(asked["cas_cell_ids"], asked["metadata_feature_names"])
        if verb not in _UPLOADS or counts is None:
            raise RouteError(404, "Not Found")
        matrix = sp.csr_matrix(
            (counts.data, counts.indices, counts.indptr), shape=(len(counts), len(counts.genes))
        )
        method, convert = _UPLOADS[verb]
        options = {name: convert[name](value) for name, value in request.fields.items() if name in convert}
        return getattr(self.routes, method)(
            matrix, counts.totals, counts.names, request.fields["model_name"], **options
        )

    def _general(self, path: str, asked: Any) -> Any:
        verb, _, name = path.partition("/")
        routes = self.routes
        answers: dict[str, Callable[[], Any]] = {
            "validate-token": lambda: _USER,
            "validate-client-version": lambda: routes.validate_client_version(asked.get("client_version")),
            "application-info": routes.application_info,
            "list-models": routes.list_models,
            "feature-schemas": routes.feature_schemas,
            "feature-schema": lambda: routes.feature_schema(unquote(name)),
            "cell-ontology-resource": lambda: routes.cell_ontology_resource(unquote(name)),
            "quota": lambda: _QUOTA,
        }
        if verb not in answers:
            raise RouteError(404, "Not Found")
        return answers[verb]()


# The method for each route with counts, and how its form fields are read.
_UPLOADS: dict[str, tuple[str, dict[str, Callable[[str], Any]]]] = {
    "annotate-cell-type-summary-statistics-strategy": (
        "annotate_summary",
        {"include_extended_output": lambda text: text == "True"},
    ),
    "annotate-cell-type-ontology-aware-strategy": (
        "annotate_ontology",
        {"prune_threshold": float, "weighting_prefactor": float, "ontology_column_name": str},
    ),
    "nearest-neighbor-search": ("nearest_neighbors", {}),
}
