"""The description of the service: OpenAPI 3.1, and a page made from it that loads nothing from elsewhere."""

from __future__ import annotations

import html
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ferrocyte.cas import models
from ferrocyte.cas._service import Model, Quota
from ferrocyte.cas.local._routes import SERVED_VERSION
from ferrocyte.cas.server import _questions as questions

__all__ = ["document", "page"]

_GENERAL, _CELLS = "/api/cellarium-general", "/api/cellarium-cell-operations"
_MODELS: tuple[type[BaseModel], ...] = (
    questions.VersionQuestion,
    questions.IdsQuestion,
    models.CellTypeSummaryStatisticsResults.NeighborhoodAnnotation,
    models.CellTypeOntologyAwareResults.OntologyAwareAnnotation,
    models.MatrixQueryResults.MatrixQueryResult,
    models.CellQueryResults.CellariumCellMetadata,
    models.CellOntologyResource,
    Model,
    Quota,
)


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(**properties: str) -> dict[str, Any]:
    fields = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": fields, "required": list(fields)}


_USER = _object(username="string", email="string", should_ask_for_feedback="boolean")
_DETAIL = {"type": "object", "properties": {"detail": {}}, "required": ["detail"]}
_REASONS = {
    "400": "The question can not be answered: unknown model or field, or counts that are wrong",
    "401": "The token is missing, malformed, unknown, revoked or expired",
    "403": "Only administrators may do this",
    "404": "There is no such thing",
    "408": "The request did not arrive in time",
    "413": "The request is too large, or has too many cells",
    "421": "The service was called by a name that is not its own",
    "422": "A field is missing or of the wrong type",
    "429": "The quota of the user is used up",
    "503": "The service is busy; ask again after Retry-After seconds",
    "504": "There was no answer in time",
}


def _operation(
    summary: str,
    answer: dict[str, Any],
    statuses: str,
    *,
    body: dict[str, Any] | None = None,
    form: type[BaseModel] | None = None,
    parameters: tuple[str, ...] = (),
    query: tuple[str, ...] = (),
    token: bool = True,
    kind: str = "application/json",
    success: str = "200",
) -> dict[str, Any]:
    responses: dict[str, Any] = {
        status: {"description": _REASONS[status], "content": {"application/json": {"schema": _DETAIL}}}
        for status in statuses.split()
    }
    done: dict[str, Any] = {"description": "The answer"}
    if answer:
        done["content"] = {kind: {"schema": answer}}
    out: dict[str, Any] = {
        "summary": summary,
        "responses": {success: done, **responses},
        "parameters": [
            {"name": name, "in": where, "required": True, "schema": {"type": "string"}}
            for where, names in (("path", parameters), ("query", query))
            for name in names
        ],
    }
    if body is not None:
        out["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if form is not None:
        file = {
            "type": "string",
            "format": "binary",
            "contentMediaType": "application/octet-stream",
            "description": "An h5ad file: X float32 on the schema of the model, obs/total_mrna_umis float32.",
        }
        # In one piece: few programs find a file in a composition of schemas.
        schema = form.model_json_schema()
        schema["properties"] |= {"file": file}
        schema["required"] = [*schema.get("required", ()), "file"]
        out["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    if not token:
        out["security"] = []
    return out


def _paths() -> dict[str, Any]:
    counts = "400 401 408 413 422 429 503 504"
    page = {"type": "string"}
    results = models
    summary = _array(_ref(results.CellTypeSummaryStatisticsResults.NeighborhoodAnnotation))
    ontology = _array(_ref(results.CellTypeOntologyAwareResults.OntologyAwareAnnotation))
    neighbors = _array(_ref(results.MatrixQueryResults.MatrixQueryResult))
    found = _array(_ref(results.CellQueryResults.CellariumCellMetadata))
    return {
        "/healthz": {"get": _operation("Whether it is up", _object(status="string"), "421", token=False)},
        "/metrics": {"get": _operation("Numbers for Prometheus", page, "401 421", kind="text/plain")},
        f"{_GENERAL}/application-info": {
            "get": _operation(
                "Version and default schema",
                _object(application_version="string", default_feature_schema="string"),
                "421",
                token=False,
            )
        },
        f"{_GENERAL}/validate-client-version": {
            "post": _operation(
                "Whether a client is new enough",
                _object(is_valid="boolean", min_version="string"),
                "400 408 413 421 422",
                body=_ref(questions.VersionQuestion),
                token=False,
            )
        },
        f"{_GENERAL}/validate-token": {"get": _operation("Whose token it is", _USER, "401 421")},
        f"{_GENERAL}/list-models": {"get": _operation("Models", _array(_ref(Model)), "401 421")},
        f"{_GENERAL}/feature-schemas": {
            "get": _operation("Schemas", _array(_object(schema_name="string")), "401 421")
        },
        f"{_GENERAL}/feature-schema/{{schema_name}}": {
            "get": _operation(
                "Ids of the genes of a schema, in order",
                _array({"type": "string"}),
                "401 404 421",
                parameters=("schema_name",),
            )
        },
        f"{_GENERAL}/quota": {"get": _operation("Cells that are left", _ref(Quota), "401 421")},
        f"{_GENERAL}/cell-ontology-resource/{{name}}": {
            "get": _operation(
                "The ontology", _ref(results.CellOntologyResource), "401 404 421", parameters=("name",)
            )
        },
        f"{_GENERAL}/feedback/answer": {
            "get": _operation(
                "A form for feedback",
                {},
                "404 421 422",
                query=("client_session_id", "client_action_id"),
                token=False,
                success="307",
            )
        },
        f"{_GENERAL}/feedback/opt-out": {"post": _operation("Ask for no more feedback", _USER, "401 421")},
        f"{_GENERAL}/increase-quota/{{email}}": {
            "post": _operation("For administrators", _ref(Quota), "401 403 404 421", parameters=("email",))
        },
        f"{_CELLS}/annotate-cell-type-summary-statistics-strategy": {
            "post": _operation(
                "Cell types among the neighbors", summary, f"{counts} 421", form=questions.SummaryQuestion
            )
        },
        f"{_CELLS}/annotate-cell-type-ontology-aware-strategy": {
            "post": _operation(
                "Terms of the Cell Ontology", ontology, f"{counts} 421", form=questions.OntologyQuestion
            )
        },
        f"{_CELLS}/nearest-neighbor-search": {
            "post": _operation(
                "Nearest neighbors; not counted", neighbors, f"{counts} 421", form=questions.CellsQuestion
            )
        },
        f"{_CELLS}/annotate": {
            "post": _operation(
                "As the summary statistics strategy, for old clients",
                summary,
                f"{counts} 421",
                form=questions.DeprecatedQuestion,
            )
        },
        f"{_CELLS}/query-cells-by-ids": {
            "post": _operation(
                "What the reference knows about cells of its own",
                found,
                "400 401 408 413 421 422 503 504",
                body=_ref(questions.IdsQuestion),
            )
        },
        f"{_CELLS}/cache-info": {
            "get": _operation("For administrators", _array(_array({"type": "integer"})), "401 403 421")
        },
    }


@cache
def document(*, tokens: bool) -> dict[str, Any]:
    """The OpenAPI document; `tokens` says whether they are asked for."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    out: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "ferrocyte annotation service",
            "version": SERVED_VERSION,
            "description": "Names the types of cells by their neighbors in a reference. The version is that "
            "of the protocol.",
        },
        "paths": _paths(),
        "components": {"schemas": schemas["$defs"]},
    }
    if tokens:
        out["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        out["security"] = [{"token": []}]
    return out


def page(described: dict[str, Any]) -> str:
    """The document for people, as HTML."""
    title = html.escape(described["info"]["title"])
    rows = "".join(
        f"<tr><td><b>{method.upper()}</b></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation['summary'])}</td><td>{_takes(operation)}</td>"
        f"<td>{' '.join(operation['responses'])}</td></tr>"
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>"
        "body{font:15px/1.5 sans-serif;margin:2rem;max-width:90rem}td,th{text-align:left;padding:.2rem .8rem "
        ".2rem 0;vertical-align:top;border-bottom:1px solid #ddd}</style>"
        f"<h1>{title}</h1><p>{html.escape(described['info']['description'])} The full description is "
        "<a href='openapi.json'>openapi.json</a>.</p><table><tr><th></th><th>Path</th><th></th><th>Takes</th>"
        f"<th>Statuses</th></tr>{rows}</table></html>"
    )


def _takes(operation: dict[str, Any]) -> str:
    names = [parameter["name"] for parameter in operation["parameters"]]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        found = schema.get("properties") or [schema["$ref"].rsplit("/", 1)[-1]]
        names.append(f"{kind}: {', '.join(found)}")
    return html.escape("; ".join(names))
