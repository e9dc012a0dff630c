"""The service as a process over a real reference: the same answers by every way, to every client."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from ferrocyte.cas import AsyncCASClient, CASClient
from ferrocyte.cas.errors import CASWarning
from ferrocyte.cas.local import LocalTransport, Reference
from ferrocyte.cli import main
from real import TYPES, Process, cells, make_reference, reference_cells, write_10x
from reference.patience import QUICK, until
from uploads import GENERAL, HTTP, OPERATIONS

PEER = os.environ.get("FERROCYTE_CAS_PEER_PYTHON", "")
SCRIPT = Path(__file__).parents[1] / "interop/cas_peer.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("references")
    make_reference(out)
    return out


@pytest.fixture(scope="module")
def accounts(folder):
    """Database and token of a user."""
    from ferrocyte.cas.server._database import Database
    from ferrocyte.cas.server._tokens import Tokens

    database = Database(folder / "tokens.db")
    token = Tokens(database).create(database.add_user("ann", "ann@x.org"))
    database.close()
    return folder / "tokens.db", token


@pytest.fixture(scope="module")
def service(folder, accounts):
    with Process("--reference", folder / "small", "--tokens", accounts[0]) as process:
        yield process


def children_of(pid, thread):
    """The file that lists them, where Linux has one."""
    return Path(f"/proc/{pid}/task/{thread}/children")


def answers(client, adata):
    """By every method, as plain objects."""
    summary = client.annotate_matrix_cell_type_summary_statistics_strategy(adata, chunk_size=10)
    ontology = client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=10)
    search = client.search_matrix(adata, chunk_size=10)
    ids = [int(n.cas_cell_index) for n in search.data[0].neighbors]
    found = client.query_cells_by_ids(ids, None)
    return [r.model_dump() for r in (summary, ontology, search, found)]


def test_over_http_and_in_process_it_is_the_same(service, folder, accounts):
    adata = cells(35, 1)
    with CASClient(accounts[1], service.url, **QUICK) as client:
        over_http = answers(client, adata)
    with CASClient(transport=LocalTransport({"small": Reference(folder / "small")})) as client:
        in_process = answers(client, adata)
    assert over_http == in_process
    assert over_http[0]["data"][0]["matches"][0]["dataset_ids_with_counts"]

    async def ask():
        async with AsyncCASClient(accounts[1], service.url, **QUICK) as client:
            return await client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=7)

    assert asyncio.run(ask()).model_dump() == over_http[1]


def test_cells_are_what_they_are(service, accounts):
    adata = cells(60, 2)
    with CASClient(accounts[1], service.url, **QUICK) as client:
        client.annotate_into(adata, min_acceptable_score=0.6)
    right = [TYPES[k] for k in adata.obs["kind"]]
    assert np.mean(adata.obs["cas_cell_type_ontology_term_id"] == right) > 0.95


def test_several_references_side_by_side(folder, tmp_path):
    make_reference(tmp_path, "other", n=120)
    options = ("--reference", folder / "small", "--reference", f"renamed={tmp_path / 'other'}")
    with Process(*options) as process, CASClient("any.token", process.url, **QUICK) as client:
        assert client.allowed_models_list == ["small", "renamed"]
        adata = cells(12, 3)
        default = client.search_matrix(adata).model_dump()
        assert client.search_matrix(adata, cas_model_name="small").model_dump() == default
        other = client.search_matrix(adata, cas_model_name="renamed")
        ids = [int(n.cas_cell_index) for n in other.data[0].neighbors]
        assert len(client.query_cells_by_ids(ids, ["cell_type"]).data) == len(ids)
        assert min(ids) > max(n["cas_cell_index"] for c in default["data"] for n in c["neighbors"])


def test_cells_in_a_file_are_served(tmp_path, monkeypatch):
    """Made into a reference first; another file in its place is noticed."""
    monkeypatch.setenv("FERROCYTE_CACHE", str(tmp_path / "cache"))
    for n in (240, 180):
        adata = reference_cells(n)
        adata.obs["cell_type_ontology_term_id"] = [
            "nothing" if i == 0 else term for i, term in enumerate(adata.obs["cell_type_ontology_term_id"])
        ]
        adata.obs["kind"] = adata.obs.pop("cell_type")
        adata.write_h5ad(tmp_path / f"{n}.h5ad")
    shown = tmp_path / "ref.h5ad"
    (tmp_path / "240.h5ad").rename(shown)
    options = ("--reference", shown, "--reference", f"again={shown}", "--cell-type-column", "kind")
    with Process(*options) as process, CASClient("any.token", process.url, **QUICK) as client:
        assert client.allowed_models_list == ["ref", "again"]
        adata = cells(12, 3)
        client.annotate_into(adata, show_progress=False)
        right = [TYPES[k] for k in adata.obs["kind"]]
        assert np.mean(adata.obs["cas_cell_type_ontology_term_id"] == right) > 0.9
        (tmp_path / "180.h5ad").rename(shown)
        until(lambda: process.said("reloaded"))
        with pytest.warns(CASWarning, match="knows nothing of 1 cells: 200"):
            assert len(client.query_cells_by_ids([179, 200], ["cell_type"]).data) == 1
    # What is to be said about the cells is said in the log, which is JSON throughout.
    events = [json.loads(line)["event"] for line in process.log]
    assert events.index("warning") < events.index("listening")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_a_folder_that_is_exchanged_is_served_without_a_dropped_request(folder, tmp_path):
    """Clients ask while the reference is exchanged, by SIGHUP: all are answered."""
    old, new = tmp_path / "ref", make_reference(tmp_path, "next", n=150)
    shutil.copytree(folder / "small", old)
    stop, wrong, answered = threading.Event(), [], []
    adata = cells(6, 4)
    with Process("--reference", f"m={old}") as process:

        def ask():
            with CASClient("any.token", process.url, **{**QUICK, "num_attempts_per_chunk": 1}) as client:
                while not stop.is_set():
                    try:
                        found = client.search_matrix(adata, chunk_size=2, show_progress=False)
                        answered.append(len(found.data))
                    except Exception as err:  # whatever it is, it is kept
                        wrong.append(err)
                        return

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for one in asking:
            one.start()
        try:
            until(lambda: answered or wrong)
            old.rename(tmp_path / "gone")
            new.rename(old)
            process.signal(signal.SIGHUP)
            until(lambda: process.said("reloaded"))
            n = len(answered)
            until(lambda: len(answered) > n + len(asking) or wrong)  # some were asked after the exchange
        finally:
            stop.set()
            for one in asking:
                one.join()
    assert not wrong
    assert set(answered) == {6}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_and_says_so(folder, number):
    with Process("--reference", folder / "small") as process:
        assert HTTP.get(f"{process.url}/healthz").is_success
        broken = {"content": b"secret cells", "headers": {"content-type": "multipart/form-data; boundary=x"}}
        there = f"{process.url}{OPERATIONS}/nearest-neighbor-search"
        assert HTTP.post(there, **broken).status_code == 400
        process.signal(number)
        assert process.wait() == 0
    assert "secret" not in "".join(process.log)
    assert json.loads(process.log[-1])["event"] == "stopped"
    assert all(json.loads(line)["time"] for line in process.log)


@pytest.mark.skipif(not children_of("self", os.getpid()).exists(), reason="no such /proc here")
def test_nothing_is_left_of_a_service_that_is_killed(folder):
    """Its readers end with their input."""
    with Process("--reference", folder / "small") as process:
        with CASClient("any.token", process.url, **QUICK) as client:
            client.search_matrix(cells(4, 7))
        readers = children_of(process.pid, process.pid).read_text().split()
        assert readers
        assert all(reads(pid) for pid in readers)
        process.signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    until(lambda: not any(reads(pid) for pid in readers))


def reads(pid):
    """Whether this is a process that reads uploads; one that has ended has no command any more."""
    try:
        return b"_reader.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


# The command ------------------------------------------------------------------------------------------


def last_event(capsys):
    return json.loads(capsys.readouterr().err.splitlines()[-1])


def test_tokens_by_command(tmp_path, folder, capsys):
    there = ["--tokens", str(tmp_path / "t.db"), "--json-log"]
    assert main(["cas", "token", "create", *there, "--user", "ann", "--weekly-quota", "15"]) == 0
    token = json.loads(capsys.readouterr().out)["token"]
    with Process("--reference", folder / "small", "--tokens", tmp_path / "t.db") as process:
        with CASClient(token, process.url, **QUICK) as client:
            assert client.quota().left == 15
            with pytest.warns(CASWarning, match="0 cells"):
                client.annotate_matrix_cell_type_ontology_aware_strategy(cells(15, 5))
            assert client.quota().left == 0
        assert main(["cas", "token", "revoke", *there, token.partition(".")[0]]) == 0
        headers = {"authorization": f"Bearer {token}"}
        assert HTTP.get(f"{process.url}{GENERAL}/quota", headers=headers).status_code == 401
    capsys.readouterr()
    assert main(["cas", "token", "list", *there]) == 0
    listed = capsys.readouterr().out
    assert json.loads(listed)["revoked"]
    assert token.partition(".")[2] not in listed
    assert token.partition(".")[2] not in "".join(process.log)


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--reference", "{small}", "--host", "0.0.0.0"], 2, "--tokens"),
        (["--reference", "{tmp}/none"], 2, "build-reference"),
        (["--reference", "{tmp}"], 5, "manifest"),
        (["--reference", "{small}", "--reference", "{small}"], 2, "twice"),
        (["--reference", "{lung}", "--cell-type-column", "kinds"], 3, "'kinds' in `obs`"),
        (["--reference", "{small}/genes.json"], 5, "manifest"),
        (["--reference", "{small}", "--tokens", "{tmp}/none.db"], 2, "token create"),
        (["--reference", "{small}", "--tokens", "{small}/manifest.json"], 5, "database"),
        (["--reference", "{small}", "--port", "70000"], 2, "65535"),
        (["--reference", "{small}", "--workers", "0"], 2, "--workers"),
    ],
)
def test_what_is_wrong_is_said(folder, tmp_path, capsys, more, code, says):
    lung = Path(__file__).parents[1] / "data/lung_query.h5ad"
    words = [m.format(small=folder / "small", tmp=tmp_path, lung=lung) for m in more]
    assert main(["cas", "serve", "--json-log", *words]) == code
    assert says in last_event(capsys)["message"]


def test_a_port_that_is_taken(service, folder, capsys):
    port = service.url.rsplit(":", 1)[1]
    assert main(["cas", "serve", "--json-log", "--reference", str(folder / "small"), "--port", port]) == 5
    assert port in last_event(capsys)["message"]


# The official client ----------------------------------------------------------------------------------

# Methods that are asked under a name of their own in cas_peer.py.
TOGETHER = {
    "insert_ontology_aware_response",
    "compute_most_granular_top_k_calls_single",
    "compute_most_granular_top_k_calls_cluster",
}


@pytest.mark.interop
@pytest.mark.skipif(not PEER, reason="FERROCYTE_CAS_PEER_PYTHON names no Python that has cellarium-cas")
def test_the_official_client_gets_what_ours_gets(service, accounts, tmp_path):
    """Every public method of cellarium-cas 1.8.0, in an environment of its own."""
    adata = cells(35, 6)
    files = [tmp_path / name for name in ("cells.h5ad", "cells.h5", "answers.json")]
    # The client pins an old anndata, which reads what new ones write only without nullable strings.
    adata.write_h5ad(files[0])
    write_10x(files[1], adata)
    done = subprocess.run(
        [PEER, str(SCRIPT), service.url, accounts[1], *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    found = json.loads(files[2].read_text())
    assert found["failed"] == {}
    said = found["said"]
    assert set(found["public"]) - TOGETHER <= set(said)
    with CASClient(accounts[1], service.url, **QUICK) as client:
        summary, ontology, search, cells_found = answers(client, adata)
        results = client.annotate_matrix_cell_type_ontology_aware_strategy(adata)
        client.insert_ontology_aware_response(results, adata)
        client.compute_most_granular_top_k_calls_single(adata, min_acceptable_score=0.2, top_k=2)
    plain = lambda value: json.loads(json.dumps(value))  # noqa: E731
    assert said["annotate_matrix_cell_type_summary_statistics_strategy"]["data"] == plain(summary["data"])
    theirs = said["annotate_matrix_cell_type_ontology_aware_strategy"]
    assert (theirs["data"], theirs["model_name"]) == (plain(ontology["data"]), "small")
    assert said["search_matrix"]["data"] == plain(search["data"])
    assert said["query_cells_by_ids"]["data"] == plain(cells_found["data"])
    assert said["search_anndata"] == said["search_10x_h5_file"] == said["search_matrix"]
    for name in ("annotate_anndata", "annotate_anndata_file", "annotate_10x_h5_file"):
        cell_types = [[m["cell_type"] for m in c["matches"]] for c in said[name]["data"]]
        assert cell_types == [[m["cell_type"] for m in c["matches"]] for c in summary["data"]]
    assert said["allowed_models_list"] == ["small"]
    assert said["validate_and_sanitize_input_data"] == list(adata.obs_names)
    calls = said["compute_most_granular_top_k_calls"]
    assert len(calls["of_cluster_name_1"]) == 35
    for column in ("cas_cell_type_name_1", "cas_cell_type_name_2"):
        assert calls[column] == list(adata.obs[column])
