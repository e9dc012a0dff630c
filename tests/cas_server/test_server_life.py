"""A service under load, while its references are exchanged, and when it is told to stop."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cas_cells import SCHEMA, cells, right
from cas_server import ontology_answer, search_answer
from ferrocyte._errors import InvalidOptionError
from ferrocyte.cas._http import IDLE_SECONDS
from ferrocyte.cas.server import Limits
from ferrocyte.cas.server._references import References, stamp_of
from ferrocyte.cas.server._serve import name_references
from reference.patience import LONG, until
from served import FakeRoutes
from uploads import GENERAL, HTTP, h5ad, on_schema, post

SEARCH = "nearest-neighbor-search"


# Limits -----------------------------------------------------------------------------------------------


def test_some_work_some_wait_others_come_again(start, routes):
    server = start(limits=Limits(workers=1, readers=1, waiting=1))
    gate, seen = threading.Event(), []
    routes.before = lambda: (seen.append(1), gate.wait(LONG))
    file = h5ad(on_schema())
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(post, server, SEARCH, file, model_name="first") for _ in range(8)]
        until(lambda: sum(a.done() for a in asked) == 5)
        refused = [a.result() for a in asked if a.done()]
        assert {(r.status_code, r.headers["retry-after"]) for r in refused} == {(503, "1")}
        until(lambda: seen)
        assert len(seen) == 1
        gate.set()
        assert sorted(a.result().status_code for a in asked) == [200] * 3 + [503] * 5
    assert server.service.gate.inside == 0


def test_our_client_gets_everything_from_a_busy_service(start, routes, make_client):
    server = start(limits=Limits(workers=1, readers=1, waiting=0))
    refused = lambda: server.service.metrics.value("requests_total", status="503")  # noqa: E731
    routes.before = lambda: until(refused)  # busy until somebody has been sent away
    adata = cells(n=30)
    client = make_client(server, max_concurrent_requests=8, num_attempts_per_chunk=60)
    results = client.search_matrix(adata, chunk_size=2)
    assert right(results, adata, search_answer)


def test_what_takes_too_long_is_given_up(start, routes):
    server = start(limits=Limits(workers=2, answer_seconds=0.2))
    gate = threading.Event()
    routes.before = lambda: gate.wait(LONG)
    found = post(server, SEARCH, h5ad(on_schema()), model_name="first")
    assert (found.status_code, "0.2 seconds" in found.text) == (504, True)
    gate.set()
    # A busy machine may take longer than that, too, but not for ever.
    until(lambda: post(server, SEARCH, h5ad(on_schema()), model_name="first").is_success)


# Reloading --------------------------------------------------------------------------------------------


def test_references_are_exchanged_without_a_dropped_request(start, make_client):
    """Clients ask all the time while versions come and go; every answer is right and of one version."""
    made, stop, statuses, versions = [], threading.Event(), [], []

    def load():
        made.append(FakeRoutes(SCHEMA, version=len(made)))
        return made[-1]

    server = start(load)

    def ask():
        while not stop.is_set():
            models = HTTP.get(f"{server.url}{GENERAL}/list-models")
            statuses.append(models.status_code)
            versions.append({m["description"] for m in models.json()})

    def annotate(adata):
        client, results = make_client(server), []
        while not stop.is_set():
            results.append(client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=2))
        return results

    adata = cells(n=20)
    with ThreadPoolExecutor(4) as pool:
        try:
            asking = [pool.submit(ask) for _ in range(2)]
            annotating = [pool.submit(annotate, adata) for _ in range(2)]
            for version in range(20):
                until(lambda now={f"version {version}"}: now in versions or not_running(asking))
                assert server.service.references.reload()
        finally:
            stop.set()
        for one in asking:
            one.result()
        results = [r for a in annotating for r in a.result()]
    assert results
    assert all(right(r, adata, ontology_answer) for r in results)
    assert set(statuses) == {200}
    assert all(len(found) == 1 for found in versions)
    assert server.service.metrics.value("requests_total", status="500") == 0


def not_running(futures):
    """Whether one of them has come to its end."""
    return any(future.done() for future in futures)


def test_a_question_keeps_the_reference_it_began_with(start, routes):
    """Under way while the model it asked for is taken out of service."""
    gate, begun = threading.Event(), threading.Event()
    routes.before = lambda: (begun.set(), gate.wait(LONG))
    generations = [routes, FakeRoutes(SCHEMA, models=("third",))]
    server = start(lambda: generations.pop(0))
    file = h5ad(on_schema())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, server, SEARCH, file, model_name="first")
        assert begun.wait(LONG)
        assert server.service.references.reload()
        assert post(server, SEARCH, file, model_name="first").status_code == 400
        assert post(server, SEARCH, file, model_name="third").is_success
        gate.set()
        assert asked.result().is_success


def test_what_can_not_be_opened_changes_nothing(start, routes):
    broken = []

    def load():
        if broken:
            raise OSError("no such reference")
        return routes

    server = start(load)
    broken.append(True)
    assert not server.service.references.reload()
    assert post(server, SEARCH, h5ad(on_schema()), model_name="first").is_success


def test_a_reference_that_changes_on_disk_is_reloaded(start, tmp_path):
    folder = tmp_path / "ref"
    folder.mkdir()
    manifest = folder / "manifest"
    manifest.write_text("1")
    server = start(
        lambda: FakeRoutes(SCHEMA, version=manifest.read_text()),
        stamp=lambda: stamp_of([folder]),
        watch_seconds=0.05,
    )
    version = lambda: HTTP.get(f"{server.url}{GENERAL}/application-info").json()["application_version"]  # noqa: E731
    assert version() == "1.8.1"
    (folder / "new").write_text("22")
    (folder / "new").replace(manifest)
    until(lambda: version() == "1.8.22")
    assert "reloads_total" in HTTP.get(f"{server.url}/metrics").text


def test_documents_are_made_once(routes):
    references = References(lambda: routes)
    calls = []
    for _ in range(3):
        references.document(references.current, "a", lambda: calls.append(1) or [1])
    assert (calls, references.cache_info()[:2]) == ([1], (2, 1))
    references.reload()
    assert references.current.documents == {}


def test_names_of_references(tmp_path):
    one, two = tmp_path / "a.ref", tmp_path / "b"
    one.mkdir()
    two.mkdir()
    assert name_references([str(one), f"big={two}"]) == [(None, one), ("big", two)]
    for wrong in ([], [str(tmp_path / "none")], [f"={one}"]):
        with pytest.raises(InvalidOptionError):
            name_references(wrong)


# Stopping ---------------------------------------------------------------------------------------------


def test_running_chunks_are_finished(start, routes):
    """Told to stop while one request is worked on and another waits: both are answered."""
    server = start(limits=Limits(workers=1, readers=1))
    gate, begun = threading.Event(), threading.Event()
    routes.before = lambda: (begun.set(), gate.wait(LONG))
    file = h5ad(on_schema())
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(post, server, SEARCH, file, model_name="first") for _ in range(2)]
        assert begun.wait(LONG)
        until(lambda: server.service.gate.inside == 2)
        server._server.should_exit = True
        until(lambda: refused(server))
        gate.set()
        assert [a.result().status_code for a in asked] == [200, 200]
    assert server.stop()


def refused(server):
    """No new connections."""
    try:
        HTTP.get(f"{server.url}/healthz")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # accepted, and closed again
        return False
    return False


def test_connections_outlive_the_patience_of_clients(shared):
    """Who closes an idle connection first is the client, which knows that it will not use it any more."""
    assert shared._server.config.timeout_keep_alive > IDLE_SECONDS
