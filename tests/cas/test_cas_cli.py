"""`ferrocyte cas`: from file to file, over real sockets."""

from __future__ import annotations

import json
import logging

import anndata as ad
import pandas as pd
import pytest
from cas_cells import cells
from cas_server import TOKEN, Say
from ferrocyte.cli import main


@pytest.fixture
def files(tmp_path, server, monkeypatch):
    monkeypatch.setenv("CAS_API_URL", server.url)
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    cells().write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


def call(files, verb, *more):
    return ["cas", verb, *more, "--token-file", str(files / "token"), "--json-log"]


def annotate(files, *more):
    return call(files, "annotate", str(files / "cells.h5ad"), "--chunk-size", "5", *more)


def last_event(capsys):
    return json.loads(capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("strategy", ["ontology", "summary"])
def test_annotate_writes_what_the_client_returns(files, client, strategy, capsys):
    outs = [files / f"result{suffix}" for suffix in (".csv", ".json", ".h5ad")]
    options = [part for out in outs for part in ("--out", str(out))]
    assert main(annotate(files, "--strategy", strategy, *options)) == 0
    assert last_event(capsys)["n_cells"] == 23
    adata = cells()
    results = client.annotate_into(adata, strategy=strategy, chunk_size=5, show_progress=False)
    pd.testing.assert_frame_equal(pd.read_csv(outs[0]), results.to_frame(), check_dtype=False)
    document = json.loads(outs[1].read_text())
    assert [c["query_cell_id"] for c in document["data"]] == list(adata.obs_names)
    written = ad.read_h5ad(outs[2])
    assert list(written.obs["cas_cell_type"]) == list(adata.obs["cas_cell_type"])
    assert sorted(p.name for p in files.iterdir()) == sorted(
        ["cells.h5ad", "token", *(out.name for out in outs)]
    )


def test_search_and_query(files, capsys):
    out = files / "neighbors.csv"
    assert main(call(files, "search", str(files / "cells.h5ad"), "--out", str(out))) == 0
    neighbors = pd.read_csv(out)
    assert set(neighbors["query_cell_id"]) == set(cells().obs_names)
    ids = [3, 1, 2]
    (files / "ids.txt").write_text("\n".join(str(i) for i in ids))
    for given in (",".join(str(i) for i in ids), str(files / "ids.txt")):
        found = files / "found.csv"
        options = ("--features", "cell_type", "--out", str(found), "--overwrite")
        assert main(call(files, "query", given, *options)) == 0
        assert list(pd.read_csv(found)["cas_cell_index"]) == list(ids)


def test_models_and_quota_are_printed(files, capsys):
    assert main(call(files, "models")) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(call(files, "quota")) == 0
    assert "weekly_quota" in json.loads(capsys.readouterr().out)


def events(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_features_that_were_asked_for_are_columns(files):
    """`tissue` has no value for any cell."""
    out = files / "found.csv"
    assert main(call(files, "query", "1,2", "--features", "tissue,cell_type", "--out", str(out))) == 0
    assert list(pd.read_csv(out).columns) == ["cas_cell_index", "tissue", "cell_type"]


def test_what_is_asked_again_is_an_event(files, server, capsys):
    server.route = lambda path, n: Say(503, {"detail": "waking up"}) if n == 0 else None
    assert main(call(files, "quota", "--lookup-timeout", "30")) == 0
    told = [e for e in events(capsys) if e["event"] == "log"]
    assert [(e["level"], e["logger"]) for e in told] == [("warning", "ferrocyte.cas._service")]
    assert "waking up. Asking again in" in told[0]["message"]
    assert not logging.getLogger("ferrocyte.cas").handlers


def test_the_quota_is_told(files, server, capsys):
    assert main(annotate(files, "--out", str(files / "result.csv"))) == 0
    told = [e["message"] for e in events(capsys) if e["event"] == "log"]
    assert told[0] == "23 cells to annotate, 1000000 left in the quota"
    assert told[1].startswith("23 of 23 cells answered by model 'second' in 5 requests")


def test_nobody_listens(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    monkeypatch.setenv("CAS_API_URL", "http://127.0.0.1:9")
    for verb in (["models"], ["quota"], ["annotate", str(files / "cells.h5ad"), "--out", "x.csv"]):
        assert main(call(files, *verb)) == 6
        assert "Nobody listens at http://127.0.0.1:9" in last_event(capsys)["message"]


def test_a_second_call_sends_only_what_is_missing(files, server, capsys):
    journal, out = files / "journal", files / "result.csv"
    spoilt = {"cell-7"}

    def fault(upload):
        return Say(400, {"detail": "no"}) if spoilt & set(upload.names) else None

    server.fault = fault
    options = ("--checkpoint", str(journal), "--out", str(out))
    assert main(annotate(files, *options)) == 7
    event = last_event(capsys)
    assert event["exit_code"] == 7
    assert "cell-7" in event["message"] or "5" in event["message"]
    assert not out.exists()
    before = len(server.uploads)
    server.fault = None
    assert main(annotate(files, *options)) == 0
    assert len(server.uploads) == before + 1
    assert len(pd.read_csv(out)["query_cell_id"].unique()) == 23


def test_partial_results_are_written_on_request(files, server, capsys):
    server.fault = lambda upload: Say(400, {"detail": "no"}) if "cell-7" in upload.names else None
    out, h5ad = files / "result.csv", files / "result.h5ad"
    assert main(annotate(files, "--on-error", "partial", "--out", str(out), "--out", str(h5ad))) == 7
    assert last_event(capsys)["n_lost"] == 5
    assert len(pd.read_csv(out)["query_cell_id"].unique()) == 18
    assert ad.read_h5ad(h5ad).obs["cas_cell_type"].isna().sum() == 5


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--out", "result.xls"], 2, ".csv"),
        (["--out", "nowhere/result.csv"], 5, "no folder"),
        (["--out", "result.csv", "--model", "nothing"], 2, "nothing"),
        (["--out", "result.csv", "--feature-ids", "ensembl"], 3, "ensembl"),
        (["--out", "result.csv", "--counts", "raw.X"], 3, "raw"),
    ],
)
def test_what_is_wrong_is_said(files, server, monkeypatch, capsys, more, code, says):
    monkeypatch.chdir(files)
    assert main(annotate(files, *more)) == code
    event = last_event(capsys)
    assert event["exit_code"] == code
    assert says in event["message"]
    assert not server.uploads
    assert TOKEN not in event["message"]


def test_token_and_service(files, monkeypatch, capsys):
    out = str(files / "result.csv")
    bare = ["cas", "annotate", str(files / "cells.h5ad"), "--out", out, "--json-log"]
    assert main(bare) == 2
    assert "CAS_API_TOKEN" in last_event(capsys)["message"]
    assert main([*bare, "--token-file", str(files / "nothing")]) == 5
    assert "nothing' for --token-file" in last_event(capsys)["message"]
    monkeypatch.setenv("CAS_API_TOKEN", "wrong.token")
    assert main(bare) == 6
    said = capsys.readouterr()
    assert "wrong.token" not in said.err + said.out
