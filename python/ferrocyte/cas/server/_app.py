"""The application: paths, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ferrocyte.cas.local import RouteError
from ferrocyte.cas.server._limits import Refusal
from ferrocyte.cas.server._observe import NOTES, Observed, refusal_response
from ferrocyte.cas.server._service import CELLS, GENERAL, Service

__all__ = ["create_app"]


def _routes(service: Service) -> list[Route]:
    def route(method: str, path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
        async def noted(request: Request) -> Response:
            request.scope[NOTES]["route"] = path
            return await handler(request)

        return Route(path, noted, methods=[method], name=handler.__name__)

    return [
        route("GET", "/healthz", service.health),
        route("GET", "/metrics", service.numbers),
        route("GET", "/api/openapi.json", service.openapi),
        route("GET", "/api/docs", service.pages),
        route("GET", "/api/redoc", service.pages),
        route("GET", f"{GENERAL}/validate-token", service.validate_token),
        route("POST", f"{GENERAL}/validate-client-version", service.validate_client_version),
        route("GET", f"{GENERAL}/application-info", service.application_info),
        route("GET", f"{GENERAL}/list-models", service.list_models),
        route("GET", f"{GENERAL}/feature-schemas", service.feature_schemas),
        route("GET", f"{GENERAL}/feature-schema/{{name}}", service.feature_schema),
        route("GET", f"{GENERAL}/quota", service.quota),
        route("GET", f"{GENERAL}/cell-ontology-resource/{{name}}", service.cell_ontology_resource),
        route("GET", f"{GENERAL}/feedback/answer", service.feedback),
        route("POST", f"{GENERAL}/feedback/opt-out", service.opt_out),
        route("POST", f"{GENERAL}/increase-quota/{{email}}", service.increase_quota),
        route("POST", f"{CELLS}/annotate-cell-type-summary-statistics-strategy", service.annotate_summary),
        route("POST", f"{CELLS}/annotate-cell-type-ontology-aware-strategy", service.annotate_ontology),
        route("POST", f"{CELLS}/nearest-neighbor-search", service.nearest_neighbors),
        route("POST", f"{CELLS}/annotate", service.annotate),
        route("POST", f"{CELLS}/query-cells-by-ids", service.query_cells),
        route("GET", f"{CELLS}/cache-info", service.cache_info),
    ]


async def _refused(request: Request, err: Exception) -> Response:
    assert isinstance(err, Refusal)
    return refusal_response(err)


async def _wrong(request: Request, err: Exception) -> Response:
    assert isinstance(err, RouteError)
    return refusal_response(Refusal(err.status, err.detail))


async def _plain(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)
    return refusal_response(Refusal(err.status_code, err.detail, dict(err.headers or {})))


async def _invalid(request: Request, err: Exception) -> Response:
    assert isinstance(err, ValidationError)
    found = err.errors(include_url=False, include_context=False)
    return refusal_response(
        Refusal(422, [{**e, "loc": ["body", *e["loc"]], "input": repr(e["input"])[:200]} for e in found])
    )


def create_app(service: Service) -> Starlette:
    """The ASGI application of a service.

    Parameters
    ----------
    service : Service

    Returns
    -------
    starlette.applications.Starlette
    """
    observed = Middleware(Observed, service.metrics, service.limits, only_loopback=service.tokens is None)
    app = Starlette(
        routes=_routes(service),
        middleware=[observed],
        lifespan=service.lifespan,
        exception_handlers={
            Refusal: _refused,
            RouteError: _wrong,
            HTTPException: _plain,
            ValidationError: _invalid,
        },
    )
    app.router.redirect_slashes = False
    return app
