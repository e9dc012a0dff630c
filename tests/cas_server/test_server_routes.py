"""Every route, through our clients and by hand."""

from __future__ import annotations

import asyncio
import json
import re

import anndata as ad
import numpy as np
import pytest
from cas_cells import SCHEMA, cells, right
from cas_server import ONTOLOGY, ontology_answer, search_answer, summary_answer
from ferrocyte.cas import AsyncCASClient
from ferrocyte.cas.server._database import Database
from reference.patience import QUICK, until
from uploads import GENERAL, HTTP, OPERATIONS, h5ad, post

METHODS = {
    "annotate_matrix_cell_type_summary_statistics_strategy": summary_answer,
    "annotate_matrix_cell_type_ontology_aware_strategy": ontology_answer,
    "search_matrix": search_answer,
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_cells_get_the_answers_to_their_counts(shared, make_client, name, kind):
    adata = cells()
    if kind != "csr":
        adata.X = adata.X.tocsc() if kind == "csc" else adata.X.toarray()
    more = {"include_extended_statistics": False} if "summary" in name else {}
    results = getattr(make_client(shared), name)(adata, chunk_size=5, **more)
    assert right(results, adata, METHODS[name])


def test_the_asynchronous_client_gets_the_same(shared):
    adata = cells()

    async def ask():
        async with AsyncCASClient("any.token", shared.url, **QUICK) as client:
            return await asyncio.gather(
                client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=4),
                client.search_matrix(adata, chunk_size=4),
                client.query_cells_by_ids([3, 1], ["cell_type"]),
            )

    ontology, search, found = asyncio.run(ask())
    assert right(ontology, adata, ontology_answer)
    assert right(search, adata, search_answer)
    assert [c.cas_cell_index for c in found.data] == [3, 1]


def test_questions_without_counts(shared, make_client):
    client = make_client(shared)
    assert client.allowed_models_list == ["first", "second"]
    assert client.quota().weekly_quota == 1_000_000_000
    client.validate_version()
    found = client.query_cells_by_ids([7.0, 2], None)
    assert [c.cas_cell_index for c in found.data] == [7, 2]


@pytest.mark.parametrize("kind", ["csr", "csc", "dense", "old strings"])
def test_files_as_anndata_writes_them(shared, kind):
    """As other clients send them: written by anndata, with everything that the object has."""
    adata = cells(n=6, extra=0, shuffle=False)
    full = ad.AnnData(
        X=np.hstack([adata.X.toarray(), np.zeros((6, 4), np.float32)]),
        obs=adata.obs,
        uns={"junk": {"a": [1, 2]}},
    )
    full.var_names = SCHEMA
    full.obsm["X_umap"] = np.zeros((6, 2))
    full.obs["total_mrna_umis"] = np.asarray(full.X.sum(axis=1), dtype=np.float32)
    if kind in ("csr", "csc"):
        import scipy.sparse as sp

        full.X = getattr(sp, f"{kind}_matrix")(full.X)
    found = post(shared, "nearest-neighbor-search", h5ad(full), model_name="first")
    assert found.status_code == 200, found.text
    dense = np.asarray(full.X.todense()) if kind in ("csr", "csc") else full.X
    assert found.json() == [search_answer(n, r, r.sum()) for n, r in zip(full.obs_names, dense, strict=True)]


def test_answers_by_hand(shared):
    get = lambda path: HTTP.get(shared.url + path)  # noqa: E731
    assert get(f"{GENERAL}/application-info").json()["default_feature_schema"] == "schema-1"
    assert get(f"{GENERAL}/feature-schema/schema-1").json() == SCHEMA
    resource = get(f"{GENERAL}/cell-ontology-resource/cl-1")
    assert resource.json() == ONTOLOGY
    assert resource.headers["cache-control"] == "public, max-age=86400"
    quota = get(f"{GENERAL}/quota").json()
    assert set(quota) == {
        "user_id",
        "weekly_quota",
        "remaining_weekly_quota",
        "quota_reset_date",
        "lifetime_quota",
        "remaining_lifetime_quota",
        "quota_increased",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00", quota["quota_reset_date"])
    assert get("/healthz").json() == {"status": "ok"}
    assert len(get(f"{OPERATIONS}/cache-info").json()[0]) == 4


def test_a_deprecated_route_and_the_word_default(shared):
    file = h5ad(ready(cells(n=3, extra=0)))
    old = post(shared, "annotate", file, model_name="default", include_dev_metadata="True").json()
    new = post(
        shared,
        "annotate-cell-type-summary-statistics-strategy",
        file,
        model_name="first",
        include_extended_output="True",
    ).json()
    assert old == new
    assert new[0]["matches"][0]["dataset_ids_with_counts"] == []


def ready(adata):
    """On the schema, as a client has to send it."""
    dense = np.zeros((adata.n_obs, len(SCHEMA)), np.float32)
    for gene, column in zip(adata.var_names, adata.X.toarray().T, strict=True):
        dense[:, SCHEMA.index(gene)] = column
    out = ad.AnnData(X=dense, obs=adata.obs)
    out.var_names = SCHEMA
    out.obs["total_mrna_umis"] = dense.sum(axis=1)
    return out


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", f"{GENERAL}//list-models", {}, 404),
        ("GET", f"{GENERAL}/feature-schema/none", {}, 404),
        ("GET", f"{GENERAL}/cell-ontology-resource/none", {}, 404),
        ("POST", f"{GENERAL}/list-models", {}, 405),
        ("GET", f"{OPERATIONS}/annotate", {}, 405),
        ("POST", f"{GENERAL}/validate-client-version", {"json": {"client_version": "x"}}, 400),
        ("POST", f"{GENERAL}/validate-client-version", {"json": {}}, 422),
        ("POST", f"{GENERAL}/validate-client-version", {"json": {"client_version": 3}}, 422),
        ("POST", f"{GENERAL}/validate-client-version", {"content": b"{"}, 422),
        ("POST", f"{GENERAL}/validate-client-version", {"content": b"[" * 100_000}, 422),
        ("POST", f"{GENERAL}/increase-quota/nobody@x.org", {}, 404),
        ("GET", f"{GENERAL}/feedback/answer", {}, 422),
        ("GET", f"{GENERAL}/feedback/answer?client_session_id=1&client_action_id=2", {}, 404),
        ("POST", f"{OPERATIONS}/query-cells-by-ids", {"json": {"cas_cell_ids": [1]}}, 422),
        (
            "POST",
            f"{OPERATIONS}/query-cells-by-ids",
            {"json": {"cas_cell_ids": [1.5], "metadata_feature_names": []}},
            422,
        ),
        (
            "POST",
            f"{OPERATIONS}/query-cells-by-ids",
            {"json": {"cas_cell_ids": [True], "metadata_feature_names": []}},
            422,
        ),
        (
            "POST",
            f"{OPERATIONS}/query-cells-by-ids",
            {"json": {"cas_cell_ids": [], "metadata_feature_names": []}},
            400,
        ),
        (
            "POST",
            f"{OPERATIONS}/query-cells-by-ids",
            {"json": {"cas_cell_ids": [1], "metadata_feature_names": ["hair"]}},
            400,
        ),
        ("POST", f"{OPERATIONS}/nearest-neighbor-search", {"json": {}}, 422),
        ("POST", f"{OPERATIONS}/nearest-neighbor-search", {"files": {"x": b""}}, 422),
        ("POST", f"{OPERATIONS}/nearest-neighbor-search", {"data": {"model_name": "first"}}, 422),
        ("POST", f"{OPERATIONS}/nearest-neighbor-search", {"files": {"file": b"abc"}}, 422),
    ],
)
def test_statuses(shared, method, path, more, status):
    found = HTTP.request(method, shared.url + path, **more)
    assert found.status_code == status
    detail = found.json()["detail"]
    if status == 422:
        assert set(detail[0]) >= {"type", "loc", "msg", "input"}
    else:
        assert isinstance(detail, str)


@pytest.mark.parametrize(
    ("path", "fields", "status", "says"),
    [
        ("nearest-neighbor-search", {"model_name": "none"}, 400, "first"),
        ("annotate-cell-type-ontology-aware-strategy", {"prune_threshold": "0.1"}, 422, "model_name"),
        (
            "annotate-cell-type-ontology-aware-strategy",
            {"model_name": "first", "prune_threshold": "much"},
            422,
            "prune_threshold",
        ),
        (
            "annotate-cell-type-ontology-aware-strategy",
            {"model_name": "first", "weighting_prefactor": "inf"},
            422,
            "weighting_prefactor",
        ),
        (
            "annotate-cell-type-ontology-aware-strategy",
            {"model_name": "first", "ontology_column_name": "tissue"},
            400,
            "column",
        ),
        (
            "annotate-cell-type-summary-statistics-strategy",
            {"model_name": "first", "include_extended_output": "perhaps"},
            422,
            "include_extended_output",
        ),
        ("nearest-neighbor-search", {"model_name": "x" * 5000}, 400, "form"),
        ("nearest-neighbor-search", {f"f{i}": "1" for i in range(40)}, 400, "form"),
    ],
)
def test_fields_of_forms(shared, path, fields, status, says):
    found = post(shared, path, h5ad(ready(cells(n=2, extra=0))), **fields)
    assert found.status_code == status
    assert says in found.text


def logged(caplog, answer):
    """What is logged of a request. That may come after its answer, so wait inside of `at_level`."""
    trace = answer.headers["x-trace-id"]

    def found():
        told = [r.fields for r in caplog.records if r.getMessage() == "request"]
        return [fields for fields in told if fields["trace_id"] == trace]

    until(found)
    (fields,) = found()
    return fields


def test_a_defect_tells_nothing(start, routes, caplog):
    server = start()
    routes.breaks = RuntimeError("cell-0 has the secret count 17")
    with caplog.at_level("INFO", logger="ferrocyte.cas.server"):
        found = post(server, "nearest-neighbor-search", h5ad(ready(cells(n=2, extra=0))), model_name="first")
        record = logged(caplog, found)
    assert (found.status_code, found.json()) == (500, {"detail": "Error processing request"})
    assert record["defect"].startswith("RuntimeError at served.py")
    assert "secret" not in json.dumps(record)
    assert "cell-0" not in json.dumps(record)
    routes.breaks = None
    assert post(
        server, "nearest-neighbor-search", h5ad(ready(cells(n=2, extra=0))), model_name="first"
    ).is_success


def test_ids_are_echoed_and_logged(shared, caplog):
    ids = {"x-client-session-id": "a-session", "x-client-action-id": "an-action"}
    with caplog.at_level("INFO", logger="ferrocyte.cas.server"):
        found = HTTP.get(f"{shared.url}{GENERAL}/list-models", headers=ids)
        record = logged(caplog, found)
    assert {name: found.headers[name] for name in ids} == ids
    assert re.fullmatch(r"[0-9a-f]{32}", found.headers["x-trace-id"])
    assert (record["client_session_id"], record["status"]) == ("a-session", 200)
    odd = HTTP.get(f"{shared.url}{GENERAL}/list-models", headers={"x-client-action-id": "a b<script>"})
    assert "x-client-action-id" not in odd.headers


def test_numbers_for_operators(start):
    server = start()
    file = h5ad(ready(cells(n=4, extra=0)))
    for _ in range(3):
        assert post(server, "nearest-neighbor-search", file, model_name="first").is_success
    post(server, "nearest-neighbor-search", file, model_name="none")
    page = HTTP.get(f"{server.url}/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = page.text.splitlines()
    path = f"{OPERATIONS}/nearest-neighbor-search"
    assert f'ferrocyte_cas_requests_total{{route="{path}",status="200"}} 3' in lines
    assert f'ferrocyte_cas_requests_total{{route="{path}",status="400"}} 1' in lines
    assert f'ferrocyte_cas_answered_cells_total{{model="first",route="{path}"}} 12' in lines
    assert f'ferrocyte_cas_request_seconds_count{{route="{path}"}} 4' in lines
    assert "ferrocyte_cas_requests_at_work 0" in lines
    name = r"[a-z_]+(\{([a-z]+=\"[^\"]*\",?)*\})?"
    assert all(re.fullmatch(rf"{name} [0-9.e+-]+|# (HELP|TYPE) .+", line) for line in lines)


def test_every_route_is_described(shared):
    described = HTTP.get(f"{shared.url}/api/openapi.json").json()
    there = {
        (method, re.sub(r"\{\w+\}", "{}", route.path))
        for route in shared.app.routes
        for method in route.methods - {"HEAD"}
    }
    told = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, methods in described["paths"].items()
        for method in methods
    }
    assert there - told == {("GET", f"/api/{p}") for p in ("openapi.json", "docs", "redoc")}
    assert told <= there
    refs = set(re.findall(r"#/components/schemas/([\w.]+)", json.dumps(described)))
    assert refs <= set(described["components"]["schemas"])
    page = HTTP.get(f"{shared.url}/api/docs")
    assert "annotate-cell-type-ontology-aware-strategy" in page.text
    assert "http" not in page.text.replace("http-equiv", "")


def test_other_names_of_this_machine_are_refused_without_tokens(shared, start, tmp_path):
    there = f"{shared.url}/healthz"
    assert HTTP.get(there, headers={"host": "evil.example"}).status_code == 421
    assert HTTP.get(there, headers={"host": "localhost:1"}).is_success
    assert HTTP.get(there, headers={"host": "[::1]:80"}).is_success
    guarded = start(database=Database(tmp_path / "tokens.db"))
    assert HTTP.get(f"{guarded.url}/healthz", headers={"host": "cas.example"}).is_success


def test_feedback_leads_to_the_form(start):
    server = start(feedback_url="https://forms.example/1")
    found = HTTP.get(f"{server.url}{GENERAL}/feedback/answer?client_session_id=1&client_action_id=2")
    assert (found.status_code, found.headers["location"]) == (307, "https://forms.example/1")
