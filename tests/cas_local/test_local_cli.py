"""`ferrocyte cas build-reference`, and the other commands with `--local`."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
from ferrocyte.cas import CASClient
from ferrocyte.cas.local import Reference
from ferrocyte.cli import main

DATA = Path(__file__).parents[1] / "data"
LUNG, QUERY = DATA / "lung_reference.h5ad", DATA / "lung_query.h5ad"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "lung"
    call = ["cas", "build-reference", str(LUNG), "--cell-type-column", "cell_type", "--out", str(out)]
    more = ["--n-components", "20", "--n-neighbors", "7", "--seed", "3", "--description", "Human lung"]
    assert main([*call, *more, "--json-log"]) == 0
    return out


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    for name in ("CAS_API_TOKEN", "CAS_API_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_reference_is_what_the_function_makes(folder):
    reference = Reference(folder)
    assert (reference.n_cells, reference.embedding_dimension, reference.n_neighbors) == (1000, 20, 7)
    assert (reference.name, reference.description) == ("lung", "Human lung")
    assert reference.manifest["embedding"]["seed"] == 3


def test_annotate_search_and_query(folder, tmp_path):
    table, cells = tmp_path / "result.csv", tmp_path / "result.h5ad"
    local = ["--local", str(folder), "--json-log"]
    assert main(["cas", "annotate", str(QUERY), "--out", str(table), "--out", str(cells), *local]) == 0
    with CASClient.local(folder) as client:
        adata = ad.read_h5ad(QUERY)
        results = client.annotate_into(adata, show_progress=False)
    pd.testing.assert_frame_equal(pd.read_csv(table), results.to_frame(), check_dtype=False)
    assert list(ad.read_h5ad(cells).obs["cas_cell_type"]) == list(adata.obs["cas_cell_type"])
    found, known = tmp_path / "found.csv", tmp_path / "known.json"
    assert main(["cas", "search", str(QUERY), "--out", str(found), *local]) == 0
    assert len(pd.read_csv(found)) == 7 * 1000
    assert main(["cas", "query", "5,1", "--features", "cell_type", "--out", str(known), *local]) == 0
    assert [c["cas_cell_index"] for c in json.loads(known.read_text())["data"]] == [5, 1]


def test_models(folder, capsys):
    assert main(["cas", "models", "--local", str(folder)]) == 0
    assert capsys.readouterr().out == "lung\n"


def test_what_can_not_be_done_has_its_code(folder, tmp_path, capsys):
    build = ["cas", "build-reference", str(LUNG), "--out", str(tmp_path / "r"), "--cell-type-column"]
    assert main([*build, "celltype"]) == 3
    assert "Did you mean 'cell_type'" in capsys.readouterr().err
    assert main([*build, "cell_type", "--n-components", "0"]) == 2
    assert main([*build, "cell_type", "--model", str(tmp_path)]) == 5
    assert list(tmp_path.iterdir()) == []
    call = ["cas", "models", "--local"]
    assert main([*call, str(tmp_path / "none")]) == 5
    assert main([*call, str(folder), "--url", "http://localhost"]) == 2
    assert main(["cas", "models"]) == 2
