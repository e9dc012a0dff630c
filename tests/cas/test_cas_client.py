"""Every method, as documented and as newer clients have it; from where it is called; what stays secret."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import pickle
import threading
import time
import traceback
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cas_cells import SCHEMA, cells, on_schema, right
from cas_server import (
    CELLS,
    GENERAL,
    ONTOLOGY,
    TERMS,
    TOKEN,
    Hang,
    Hold,
    Say,
    ontology_answer,
    search_answer,
    summary_answer,
)
from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.cas import AsyncCASClient, CASClient, CellMetadataFeatures, CountMatrixInput, _http
from ferrocyte.cas._http import DEFAULT_URL, Response, clean_url
from ferrocyte.cas.errors import (
    AnnotationIncompleteError,
    AuthenticationError,
    CASError,
    CASWarning,
    ClientTooOldError,
    InvalidResponseError,
    NotFoundError,
    QuotaExceededError,
)
from ferrocyte.cas.models import (
    CellQueryResults,
    CellTypeOntologyAwareResults,
    CellTypeSummaryStatisticsResults,
)
from reference.patience import LONG, QUICK

# Documented parameters and defaults, in order.
COMMON = {
    "chunk_size": 1000,
    "count_matrix_input": CountMatrixInput.X,
    "feature_ids_column_name": "index",
}
OLD = {
    "chunk_size": 1000,
    "cas_model_name": "default",
    "count_matrix_input": CountMatrixInput.X,
    "feature_ids_column_name": "index",
    "feature_names_column_name": None,
}
REQUIRED = inspect.Parameter.empty
SIGNATURES = {
    "annotate_10x_h5_file": {"filepath": REQUIRED, **OLD, "include_dev_metadata": False},
    "annotate_anndata": {"adata": REQUIRED, **OLD, "include_dev_metadata": False},
    "annotate_anndata_file": {"filepath": REQUIRED, **OLD, "include_dev_metadata": False},
    "annotate_matrix_cell_type_ontology_aware_strategy": {
        "matrix": REQUIRED,
        **COMMON,
        "cas_model_name": None,
        "feature_names_column_name": None,
        "prune_threshold": 0.05,
        "weighting_prefactor": 1.0,
    },
    "annotate_matrix_cell_type_summary_statistics_strategy": {
        "matrix": REQUIRED,
        **COMMON,
        "include_extended_statistics": True,
        "cas_model_name": None,
        "feature_names_column_name": None,
    },
    "print_user_quota": {},
    "query_cells_by_ids": {"cell_ids": REQUIRED, "metadata_feature_names": None},
    "search_10x_h5_file": {"filepath": REQUIRED, **OLD, "chunk_size": 500},
    "search_anndata": {"adata": REQUIRED, **OLD, "chunk_size": 500},
    "search_matrix": {
        "matrix": REQUIRED,
        **COMMON,
        "chunk_size": 500,
        "cas_model_name": None,
        "feature_names_column_name": None,
    },
    "validate_and_sanitize_input_data": {
        "adata": REQUIRED,
        "cas_model_name": REQUIRED,
        "count_matrix_name": REQUIRED,
        "feature_ids_column_name": REQUIRED,
        "feature_names_column_name": None,
    },
    "validate_model_name": {"model_name": None},
    "validate_version": {},
    "insert_ontology_aware_response": {"cas_ontology_aware_response": REQUIRED, "adata": REQUIRED},
    "compute_most_granular_top_k_calls_single": {
        "adata": REQUIRED,
        "min_acceptable_score": REQUIRED,
        "top_k": 3,
        "obs_prefix": "cas_cell_type",
        "use_shortest_path": True,
    },
    "compute_most_granular_top_k_calls_cluster": {
        "adata": REQUIRED,
        "min_acceptable_score": REQUIRED,
        "cluster_label_obs_column": REQUIRED,
        "top_k": 3,
        "obs_prefix": "cas_cell_type",
        "use_shortest_path": True,
    },
}


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize("kind", [CASClient, AsyncCASClient])
def test_documented_parameters(kind, name):
    parameters = [
        p
        for p in inspect.signature(getattr(kind, name)).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"
    ]
    assert {p.name: p.default for p in parameters} == SIGNATURES[name]
    assert [p.name for p in parameters] == list(SIGNATURES[name])


def test_documented_constructor():
    parameters = list(inspect.signature(CASClient).parameters.values())
    assert [p.name for p in parameters[:3]] == ["api_token", "api_url", "num_attempts_per_chunk"]
    assert [p.default for p in parameters[1:3]] == ["", 7]
    assert isinstance(CASClient.allowed_models_list, property)


# Making a client -------------------------------------------------------------------------------------


def test_making_a_client_asks_nothing(server, client):
    repr(client)
    time.sleep(0.05)
    assert not server.asked
    assert server.connections == 0


def test_the_start_is_one_round(server, client):
    """Token, version and models side by side, once: none of them is answered before all have been asked."""
    server.route = lambda path, n: Hold(lambda: len(server.asked) == 3)
    assert client.allowed_models_list == ["first", "second"]
    asked = {"validate-token", "validate-client-version", "list-models"}
    assert {path.removeprefix(GENERAL) for path, _ in server.asked} == asked
    assert client.allowed_models_list == ["first", "second"]
    assert len(server.asked) == 3


def test_addresses():
    assert clean_url(None) == clean_url("") == clean_url("  ") == DEFAULT_URL
    assert clean_url("http://host:1/base//") == "http://host:1/base"
    for wrong in ("host:80", "ftp://host", "http://", "http://host?a=1"):
        with pytest.raises(InvalidOptionError, match="http or https address"):
            clean_url(wrong)


def test_token_and_address_from_the_environment(server, monkeypatch):
    with pytest.raises(InvalidOptionError, match="CAS_API_TOKEN"):
        CASClient()
    monkeypatch.setenv("CAS_API_TOKEN", f" {TOKEN}\n")
    monkeypatch.setenv("CAS_API_URL", server.url + "//")
    with CASClient() as client:
        assert client.allowed_models_list == ["first", "second"]
    with CASClient(api_url=None) as client:
        client.validate_version()


@pytest.mark.parametrize(
    "options",
    [
        {"num_attempts_per_chunk": 0},
        {"num_attempts_per_chunk": 2.5},
        {"max_concurrent_requests": -1},
        {"max_concurrent_requests": True},
        {"request_timeout": 0},
        {"total_timeout": float("inf")},
        {"retry_delay": "soon"},
        {"n_jobs": 0},
    ],
    ids=str,
)
def test_options_that_can_not_be_used(options):
    with pytest.raises(InvalidOptionError, match="positive"):
        CASClient("a.b", **options)


def test_tokens_that_can_not_be_used():
    with pytest.raises(InvalidTypeError, match="found `int`"):
        CASClient(5)
    with pytest.raises(InvalidOptionError) as caught:
        CASClient("secret-täken")
    assert "täken" not in str(caught.value)


def test_version(server, client):
    client.validate_version()
    server.min_version = "1.9.0"
    with pytest.raises(ClientTooOldError, match=r"1\.9\.0 .*Upgrade ferrocyte"):
        client.validate_version()
    with pytest.raises(ClientTooOldError):
        client.search_matrix(cells(2))


def test_models(client):
    for name in (None, "default", "first", "second"):
        client.validate_model_name(name)
    with pytest.raises(ValueError, match=r"no model 'secnd'\. Did you mean 'second'"):
        client.validate_model_name("secnd")
    with pytest.raises(InvalidTypeError, match="found `int`"):
        client.validate_model_name(3)


def test_default_model_in_both_spellings(server, client):
    for name in (None, "default", "first"):
        client.search_matrix(cells(2), cas_model_name=name)
    assert [u.fields["model_name"] for u in server.uploads] == ["second", "second", "first"]


# Quota -----------------------------------------------------------------------------------------------


def test_print_user_quota(server, client, capsys):
    client.print_user_quota()
    server.lifetime = 1_000_000
    server.remaining = 0
    client.print_user_quota()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Weekly quota: 1,000,000 of 1,000,000 cells left; renewed on 2030-01-07 00:00:00"
    assert lines[1] == "Lifetime quota: unlimited"
    assert lines[3] == "Lifetime quota: 0 of 1,000,000 cells left"


@pytest.mark.parametrize("which", ["weekly", "lifetime"])
def test_quota_is_checked_before_anything_is_sent(server, client, which):
    if which == "weekly":
        server.remaining = 4
    else:
        server.lifetime = 4
    with pytest.raises(QuotaExceededError, match=r"5 cells are to be annotated, 4 are left.*adata\[:4\]"):
        client.annotate_matrix_cell_type_ontology_aware_strategy(cells(5))
    assert not server.uploads
    with pytest.warns(CASWarning, match="0 cells will be left"):
        client.annotate_matrix_cell_type_ontology_aware_strategy(cells(5)[:4])
    client.search_matrix(cells(5))  # is not counted


# Questions about cells -------------------------------------------------------------------------------


def test_fields_and_headers(server, client):
    adata = cells(5)
    client.annotate_matrix_cell_type_summary_statistics_strategy(adata, chunk_size=2)
    client.annotate_matrix_cell_type_ontology_aware_strategy(adata, prune_threshold=0, weighting_prefactor=2)
    client.search_matrix(adata)
    summary, ontology, search = server.uploads[0], server.uploads[-2], server.uploads[-1]
    assert summary.fields == {"model_name": "second", "include_extended_output": "True"}
    assert ontology.fields == {"model_name": "second", "prune_threshold": "0.0", "weighting_prefactor": "2.0"}
    assert search.fields == {"model_name": "second"}
    assert len({u.headers["x-client-session-id"] for u in server.uploads}) == 1
    actions = [u.headers["x-client-action-id"] for u in server.uploads]
    assert len(set(actions[:3])) == 1
    assert len(set(actions)) == 3


def test_options_of_questions_that_can_not_be_used(server, client):
    adata = cells(3)
    for wrong in ({"chunk_size": 0}, {"chunk_size": 501}, {"chunk_size": "many"}, {"on_error": "ignore"}):
        with pytest.raises(InvalidOptionError):
            client.search_matrix(adata, **wrong)
    for value in (float("nan"), "much", None, [1], True):
        for name in ("prune_threshold", "weighting_prefactor"):
            with pytest.raises(InvalidOptionError, match=f"`{name}` to be a finite number"):
                client.annotate_matrix_cell_type_ontology_aware_strategy(adata, **{name: value})
        with pytest.raises(InvalidOptionError, match="`min_acceptable_score` to be a finite number"):
            client.annotate_into(adata, min_acceptable_score=value)
    with pytest.raises(InvalidOptionError, match="`prune_threshold` to be at most 1"):
        client.annotate_matrix_cell_type_ontology_aware_strategy(adata, prune_threshold=1.01)
    with pytest.raises(InvalidOptionError, match="`key_added` to be a name"):
        client.annotate_into(adata, key_added=3)
    assert not server.uploads


def test_deprecated_methods_warn_and_work(server, client, tmp_path):
    from test_cas_pipeline import write_10x

    adata = cells(12)
    h5ad, h5 = tmp_path / "a.h5ad", write_10x(tmp_path / "a.h5", adata, 3)
    adata.write_h5ad(h5ad)
    for call, matrix, answer in (
        (client.annotate_anndata, adata, summary_answer),
        (client.annotate_anndata_file, str(h5ad), summary_answer),
        (client.annotate_10x_h5_file, h5, summary_answer),
        (client.search_anndata, adata, search_answer),
        (client.search_10x_h5_file, str(h5), search_answer),
    ):
        with pytest.warns(DeprecationWarning, match=f"`{call.__name__}` is deprecated; use `") as caught:
            assert right(call(matrix, 5), adata, answer)
        assert caught[0].filename == __file__
    assert {u.fields.get("include_extended_output") for u in server.uploads} == {"False", None}


def test_query_cells_by_ids(server, client):
    out = client.query_cells_by_ids([7, np.int64(3), 5.0, 7])
    assert [c.cas_cell_index for c in out.data] == [7, 3, 5, 7]
    assert out.data[0].cell_type == "B cell"
    assert out.data[0].tissue is None
    assert server.queries[-1]["cas_cell_ids"] == [7, 3, 5]
    assert len(server.queries[-1]["metadata_feature_names"]) == 21
    out = client.query_cells_by_ids([1], [CellMetadataFeatures.CELL_TYPE, "tissue"])
    assert server.queries[-1]["metadata_feature_names"] == ["cas_cell_index", "cell_type", "tissue"]
    assert out.data[0].is_primary_data is None
    with pytest.warns(CASWarning, match="knows nothing of 1 cells: 5000"):
        assert len(client.query_cells_by_ids([5000, 2]).data) == 1


def test_columns_that_were_asked_for(server, client):
    """Also those without any value, and without any cell; whole numbers stay whole."""
    asked = ["tissue", "total_mrna_umis", "cell_type"]
    results = client.query_cells_by_ids([1, 2], asked)
    frame = results.to_frame()
    assert list(frame.columns) == ["cas_cell_index", *asked]
    assert list(frame["cas_cell_index"]) == [1, 2]
    assert frame["tissue"].isna().all()
    assert frame["total_mrna_umis"].dtype == np.int64
    assert list(client.query_cells_by_ids([1]).to_frame().columns) == [f.value for f in CellMetadataFeatures]
    with pytest.warns(CASWarning, match="knows nothing of 1 cells"):
        assert list(client.query_cells_by_ids([5000], asked).to_frame().columns) == list(frame.columns)
    # Read again: what was asked for is not in the file.
    again = CellQueryResults.model_validate_json(results.model_dump_json()).to_frame()
    assert list(again.columns) == ["cas_cell_index", "cell_type", "total_mrna_umis"]
    results.data[0].total_mrna_umis = None
    umis = results.to_frame()["total_mrna_umis"]
    assert (umis.dtype, list(umis.isna()), umis[1]) == ("Int64", [True, False], 7)


@pytest.mark.parametrize(
    ("ids", "names", "error"),
    [
        ([], None, InvalidOptionError),
        (5, None, InvalidTypeError),
        ([1.5], None, InvalidTypeError),
        (["1"], None, InvalidTypeError),
        ([True], None, InvalidTypeError),
        ([1], "cell_type", InvalidTypeError),
        ([1], ["cel_type"], InvalidOptionError),
    ],
    ids=str,
)
def test_queries_that_can_not_be_asked(server, client, ids, names, error):
    with pytest.raises(error):
        client.query_cells_by_ids(ids, names)
    assert not server.queries


def test_a_service_without_queries(server, client):
    server.route = lambda path, n: Say(404, {"detail": "Not Found"}) if path.startswith(CELLS) else None
    with pytest.raises(NotFoundError, match="does not offer this"):
        client.query_cells_by_ids([1])
    server.route = lambda path, n: Say(body=[{"cas_cell_index": 77}]) if path.startswith(CELLS) else None
    with pytest.raises(InvalidResponseError, match="not asked for: 77"):
        client.query_cells_by_ids([1])


# Answers in AnnData ----------------------------------------------------------------------------------


def shuffled(adata, seed=0):
    return adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()


def test_insert_ontology_aware_response(client):
    adata = cells(9)
    results = client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=4)
    for target in (adata, shuffled(adata), adata[4:].copy()):
        client.insert_ontology_aware_response(results, target)
        scores = target.obsm["cas_cl_scores"]
        assert scores.shape == (target.n_obs, len(TERMS))
        expected = np.zeros(scores.shape)
        for i, cell in enumerate(on_schema(target)):
            for match in ontology_answer(*cell)["matches"]:
                expected[i, TERMS.index(match["cell_type_ontology_term_id"])] = match["score"]
        np.testing.assert_array_equal(scores.toarray(), expected)
        assert target.uns["cas_metadata"]["cl_names"] == TERMS
        assert target.uns["cas_metadata"]["cl_labels"][0] == "cell"
        assert target.uns["cas_metadata"]["ontology_resource_name"] == "cl-1"
    more = cells(12, seed=0)
    more.obs_names = [f"other-{i}" for i in range(12)]
    with pytest.raises(InvalidDataError, match="12 of the 12 cells of `adata` have no answer"):
        client.insert_ontology_aware_response(results, more)
    assert not more.obsm
    with pytest.raises(InvalidTypeError, match="ontology-aware"):
        client.insert_ontology_aware_response(client.search_matrix(adata), adata)


def results_with(scores, names=None):
    """Scores, cells by terms."""
    data = [
        {
            "query_cell_id": f"c{i}" if names is None else names[i],
            "matches": [
                {"score": s, "cell_type_ontology_term_id": t, "cell_type": "x"}
                for s, t in zip(row, TERMS, strict=True)
                if s > 0
            ],
            "total_weight": 1.0,
            "total_neighbors": 3,
            "total_neighbors_unrecognized": 0,
        }
        for i, row in enumerate(scores)
    ]
    return CellTypeOntologyAwareResults(data=data)


def some_adata(n):
    adata = cells(n)
    adata.obs_names = [f"c{i}" for i in range(n)]
    return adata


def test_most_granular_calls_of_cells(client):
    """Terms 3 and 4 are two steps from the root; term 4 is three steps on the longest path."""
    adata = some_adata(4)
    scores = [
        [1, 0.9, 0.8, 0.7, 0.6, 0.95],  # 3 before 4 by score; term 5 has no depth
        [1, 0.3, 0.9, 0.1, 0.1, 0],  # 2 alone above 0.5, then the root
        [1, 0.1, 0.1, 0.1, 0.1, 0],  # the root alone
        [1, 0.5, 0.5, 0.5, 0.5, 0],  # at the threshold, ties by order of terms
    ]
    client.insert_ontology_aware_response(results_with(scores), adata)
    client.compute_most_granular_top_k_calls_single(adata, min_acceptable_score=0.5)
    assert [list(adata.obs[f"cas_cell_type_name_{i}"]) for i in (1, 2, 3)] == [
        [TERMS[3], TERMS[2], TERMS[0], TERMS[3]],
        [TERMS[4], TERMS[0], TERMS[0], TERMS[4]],
        [TERMS[1], TERMS[0], TERMS[0], TERMS[1]],
    ]
    assert list(adata.obs["cas_cell_type_score_1"]) == [0.7, 0.9, 1.0, 0.5]
    assert list(adata.obs["cas_cell_type_label_1"]) == ["label 3", "label 2", "cell", "label 3"]
    assert list(adata.obs["cas_cell_type_score_3"]) == [0.9, 1.0, 1.0, 0.5]
    client.compute_most_granular_top_k_calls_single(
        adata, 0.5, top_k=1, obs_prefix="deep", use_shortest_path=False
    )
    assert list(adata.obs["deep_name_1"]) == [TERMS[4], TERMS[2], TERMS[0], TERMS[4]]
    assert "deep_name_2" not in adata.obs


def test_most_granular_calls_of_clusters(client):
    adata = some_adata(5)
    scores = [
        [1, 0, 0, 0.9, 0.2, 0],
        [1, 0, 0, 0.1, 0.9, 0],
        [1, 0.4, 0.2, 0, 0, 0],
        [1, 0.4, 0.9, 0, 0, 0],
        [1, 0, 0, 1, 1, 0],
    ]
    client.insert_ontology_aware_response(results_with(scores), adata)
    adata.obs["leiden"] = ["a", "a", "b", "b", None]
    client.compute_most_granular_top_k_calls_cluster(adata, 0.5, "leiden", top_k=2)
    # Means: a has 3 at 0.5 and 4 at 0.55, both deep; b has 1 at 0.4 and 2 at 0.55.
    assert list(adata.obs["cas_cell_type_name_1"]) == [TERMS[4]] * 2 + [TERMS[2]] * 2 + [TERMS[0]]
    np.testing.assert_allclose(adata.obs["cas_cell_type_score_1"], [0.55, 0.55, 0.55, 0.55, 1.0])
    assert list(adata.obs["cas_cell_type_name_2"]) == [TERMS[3]] * 2 + [TERMS[0]] * 3
    with pytest.raises(MissingDataError, match="Did you mean 'leiden'"):
        client.compute_most_granular_top_k_calls_cluster(adata, 0.5, "liden")
    with pytest.raises(MissingDataError, match="insert_ontology_aware_response"):
        client.compute_most_granular_top_k_calls_single(cells(2), 0.5)
    with pytest.raises(InvalidOptionError, match="top_k"):
        client.compute_most_granular_top_k_calls_single(adata, 0.5, top_k=0)


def test_annotate_into(client, tmp_path):
    adata = cells(9)
    adata.obs_names = ["a", "b", "a", "c", "d", "e", "f", "g", "h"]
    results = client.annotate_into(adata, strategy="summary", chunk_size=2)
    expected = [summary_answer(*cell)["matches"][0] for cell in on_schema(adata)]
    assert list(adata.obs["cas_cell_type"]) == [m["cell_type"] for m in expected]
    np.testing.assert_allclose(adata.obs["cas_cell_type_score"], 5 / 9)
    assert list(adata.obs["cas_cell_type_min_distance"]) == [m["min_distance"] for m in expected]
    assert len(adata.uns["cas_matches"]) == 18
    other = adata[::-1].copy()
    client.annotate_into(other, results, key_added="again")
    assert list(other.obs["again_cell_type"])[:6] == list(adata.obs["cas_cell_type"])[:2:-1]
    client.annotate_into(adata, key_added="onto", min_acceptable_score=0.0)
    assert set(adata.obs["onto_cell_type_ontology_term_id"]) <= set(TERMS[3:5])
    assert "cas_cl_scores" in adata.obsm
    adata.obs_names_make_unique()
    adata.write_h5ad(tmp_path / "out.h5ad")


def test_annotate_into_is_all_or_nothing(server, client):
    adata = cells(9)
    before = adata.copy()
    server.fault = lambda u: Say(400, {"detail": "bad"}) if "cell-4" in u.names else None
    with pytest.raises(AnnotationIncompleteError):
        client.annotate_into(adata, chunk_size=2)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert not adata.uns
    assert not adata.obsm
    with pytest.warns(CASWarning, match="2 of 9 cells have no answer"):
        client.annotate_into(adata, chunk_size=2, on_error="partial")
    lost = adata.obs["cas_cell_type"].isna()
    assert list(adata.obs_names[lost]) == ["cell-4", "cell-5"]
    assert adata.obs["cas_cell_type_score"].isna().equals(lost)
    assert (np.diff(adata.obsm["cas_cl_scores"].indptr) == 0).tolist() == lost.tolist()


def test_annotate_into_does_not_pay_in_vain(server, client):
    """Without an ontology, or without an answer about it, nothing is sent."""
    server.route = lambda path, k: Say(404, {"detail": "gone"}) if "cell-ontology-resource" in path else None
    with pytest.raises(NotFoundError):
        client.annotate_into(cells(5))
    server.route, server.ontological = None, False
    other = CASClient(TOKEN, server.url, **QUICK)
    with pytest.raises(InvalidDataError, match="has no ontology"):
        other.annotate_into(cells(5))
    other.close()
    assert not server.uploads


def test_results_are_short_on_a_screen(server, client):
    results = client.search_matrix(cells(7))
    assert repr(results) == str(results) == "MatrixQueryResults(7 cells)"
    server.fault = lambda u: Say(400, {"detail": "bad"}) if "cell-4" in u.names else None
    with pytest.warns(CASWarning):
        results = client.search_matrix(cells(7), chunk_size=3, on_error="partial")
    assert repr(results) == "MatrixQueryResults(4 cells, 3 without an answer)"


def test_frames(client):
    adata = cells(5)
    summary = client.annotate_matrix_cell_type_summary_statistics_strategy(adata).to_frame()
    assert list(summary.columns[:3]) == ["query_cell_id", "cell_type", "cell_count"]
    assert list(summary["query_cell_id"]) == [n for n in adata.obs_names for _ in range(2)]
    expected = [m["p75_distance"] for c in on_schema(adata) for m in summary_answer(*c)["matches"]]
    assert list(summary["p75_distance"]) == expected
    search = client.search_matrix(adata).to_frame()
    assert search["cas_cell_index"].dtype == np.int64
    assert len(search) == 15
    ontology = client.annotate_matrix_cell_type_ontology_aware_strategy(adata).to_frame()
    assert list(ontology.columns) == ["query_cell_id", "cell_type_ontology_term_id", "cell_type", "score"]
    empty = CellTypeSummaryStatisticsResults(data=[]).to_frame()
    assert empty.shape == (0, 8)


def test_results_can_be_written_and_read(client):
    results = client.annotate_matrix_cell_type_ontology_aware_strategy(cells(5))
    again = CellTypeOntologyAwareResults.model_validate_json(results.model_dump_json())
    assert again == results


# From where it is called -----------------------------------------------------------------------------


def test_inside_a_running_loop(server, client):
    """As in a notebook: a loop runs in this thread, and the call is not asynchronous."""
    adata = cells(5)

    async def cell_of_a_notebook():
        return client.search_matrix(adata, chunk_size=2)

    assert right(asyncio.run(cell_of_a_notebook()), adata, search_answer)


def test_cells_without_counts_are_told(server, client, tmp_path):
    """Of the genes of the model, that is; no answer is lost where warnings are errors."""
    adata = cells(7, shuffle=False)
    counts = adata.X.toarray()
    counts[2] = 0
    counts[5, adata.var_names.isin(SCHEMA)] = 0  # has counts of other genes
    adata.X = sp.csr_matrix(counts)
    says = r"^2 of 7 cells have no counts on the genes of the model, .*: 'cell-2', 'cell-5'\.$"
    for checkpoint in (None, tmp_path / "journal", tmp_path / "journal"):
        with pytest.warns(CASWarning, match=says):
            client.search_matrix(adata, chunk_size=2, checkpoint=checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(client.search_matrix(adata).data) == 7
        client.search_matrix(adata[:2].copy())


def loops():
    """The threads of clients."""
    return {thread for thread in threading.enumerate() if thread.name == "ferrocyte-cas-loop"}


def test_a_client_that_nobody_closes(server):
    """Its thread ends and its connections are closed, without a word, when nobody knows it any more."""
    before = set(threading.enumerate())
    client = CASClient(TOKEN, server.url, **QUICK)
    client.search_matrix(cells(5), chunk_size=1)
    (thread,) = (t for t in loops() if t not in before)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del client
        gc.collect()
        thread.join(LONG)
        gc.collect()
    assert not thread.is_alive()


def test_closing_is_idempotent(server):
    before = loops()
    CASClient(TOKEN, server.url, **QUICK).close()
    assert loops() <= before
    with CASClient(TOKEN, server.url, **QUICK) as client:
        client.search_matrix(cells(3))
        client.close()
        client.close()
        assert len(client.search_matrix(cells(3)).data) == 3


def test_from_many_threads(server, client):
    adatas = [cells(5, seed) for seed in range(4)]
    out = [None] * 4

    def call(k):
        out[k] = client.search_matrix(adatas[k], chunk_size=2)

    threads = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(right(out[k], adatas[k], search_answer) for k in range(4))
    assert sum(path.endswith("list-models") for path, _ in server.asked) == 1


def test_connections_are_kept(server, make_client, monkeypatch):
    monkeypatch.setattr(_http, "IDLE_SECONDS", LONG)
    client, adata = make_client(), cells(30)
    client.search_matrix(adata, chunk_size=1)
    client.search_matrix(adata, chunk_size=1)
    assert server.connections <= 15 + 5
    client.close()
    client.search_matrix(adata)  # a closed client opens again


def test_async_client(server):
    adata = cells(9)

    async def main():
        async with AsyncCASClient(TOKEN, server.url, **QUICK) as client:
            assert await client.allowed_models_list == ["first", "second"]
            await client.validate_version()
            await client.validate_model_name("first")
            summary, ontology, search = await asyncio.gather(
                client.annotate_matrix_cell_type_summary_statistics_strategy(adata, chunk_size=2),
                client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=2),
                client.search_matrix(adata, chunk_size=2),
            )
            assert right(summary, adata, summary_answer)
            assert right(ontology, adata, ontology_answer)
            assert right(search, adata, search_answer)
            with pytest.warns(DeprecationWarning, match="annotate_anndata"):
                assert right(await client.annotate_anndata(adata), adata, summary_answer)
            await client.insert_ontology_aware_response(ontology, adata)
            await client.compute_most_granular_top_k_calls_single(adata, 0.1)
            adata.obs["all"] = pd.Categorical(["a"] * 9)
            await client.compute_most_granular_top_k_calls_cluster(adata, 0.1, "all")
            await client.annotate_into(adata)
            await client.print_user_quota()
            assert len((await client.query_cells_by_ids([1])).data) == 1
            clean = await client.validate_and_sanitize_input_data(adata, None, "X", "index")
            assert clean.n_vars == 30
            return client

    client = asyncio.run(main())
    assert asyncio.run(client.quota()).left == server.remaining  # another loop, the same client
    assert set(SIGNATURES) <= set(dir(client))


def test_an_async_call_can_be_cancelled(server):
    server.fault = lambda u: Hang() if u.number >= 2 else None

    async def main():
        async with AsyncCASClient(TOKEN, server.url, **QUICK, max_concurrent_requests=1) as client:
            call = asyncio.create_task(client.search_matrix(cells(20), chunk_size=1))
            while not server.hanging:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            server.fault = None
            assert len((await client.search_matrix(cells(1))).data) == 1
            assert len(server.uploads) == 4  # three of the call that was cancelled, and the one afterwards

    asyncio.run(main())


def test_a_forked_process_gets_a_thread_of_its_own(server, client):
    import multiprocessing

    client.search_matrix(cells(3))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=lambda: queue.put(len(client.search_matrix(cells(4)).data)))
    process.start()
    assert queue.get(timeout=LONG) == 4
    process.join(LONG)


def test_an_engine_without_http():
    """The seam for what answers in the same process: rows of the schema in, Python objects out."""

    class Engine:
        def __init__(self):
            self.closed = False

        async def request(self, request):
            answers = {
                "validate-token": {"username": "local"},
                "validate-client-version": {"is_valid": True, "min_version": "1.0.0"},
                "list-models": [{"model_name": "local", "schema_name": "s", "is_default_model": True}],
                "feature-schema/s": [c for c in cells(1).var_names if c < "ENSG9"],
            }
            if request.upload is None:
                return Response(200, parsed=answers[request.path.removeprefix("api/cellarium-general/")])
            counts = request.upload.counts
            assert len(counts.genes) == 26
            return Response(
                200,
                parsed=[
                    {"query_cell_id": n, "neighbors": [{"cas_cell_index": i, "distance": float(t)}]}
                    for i, (n, t) in enumerate(zip(counts.names, counts.totals, strict=True))
                ],
            )

        async def aclose(self):
            self.closed = True

    adata, engine = cells(7), Engine()
    with CASClient(transport=engine) as client:
        out = client.search_matrix(adata, chunk_size=3)
    assert [a.neighbors[0].distance for a in out.data] == [total for *_, total in on_schema(adata)]
    assert engine.closed


# Quiet and secret ------------------------------------------------------------------------------------


def test_the_token_is_nowhere(server, client, caplog, monkeypatch, tmp_path):
    """Not in reprs, logs of any level, exceptions with all that hangs on them, or the checkpoint."""
    caplog.set_level(logging.DEBUG)
    said = [repr(client), str(client), repr(client._client._service.secret), repr(vars(client._client))]
    server.fault = lambda u: Say(400, {"detail": f"You sent {u.headers['authorization']}"})
    path = tmp_path / "journal"
    for call in (
        lambda: client.search_matrix(cells(3), checkpoint=path),
        lambda: CASClient("x" + TOKEN[1:], server.url, **QUICK).allowed_models_list,
        lambda: CASClient(TOKEN, "http://127.0.0.1:9", **QUICK, num_attempts_per_chunk=1).quota(),
    ):
        with pytest.raises(CASError) as caught:
            call()
        said += traceback.format_exception(caught.value)
        said.append(repr(getattr(caught.value, "failures", "")))
    said += [record.getMessage() for record in caplog.records]
    said.append(path.read_text())
    text = "\n".join(said)
    for part in (TOKEN, *TOKEN.split(".")):
        assert part not in text
    assert "You sent Bearer ***" in text
    with pytest.raises(TypeError):
        pickle.dumps(client._client._service.secret)


def test_the_password_of_a_proxy_address_is_hidden():
    client = CASClient("a.b", "https://user:hunter22@host.example/cas")
    assert repr(client) == "CASClient('https://host.example/cas')"


def test_quiet_at_level_info(server, client, caplog, capsys):
    caplog.set_level(logging.INFO)
    server.fault = lambda u: Say(500, {}) if u.attempt == 1 else None
    client.annotate_matrix_cell_type_summary_statistics_strategy(cells(9), chunk_size=1)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("ferrocyte", "httpx", "httpcore"))]
    assert ours == [
        "9 cells to annotate, 1000000 left in the quota",
        "9 of 9 cells answered by model 'second' in 9 requests, 9 retries",
    ]
    assert capsys.readouterr() == ("", "")
    import httpx

    httpx.get(server.url + GENERAL + "application-info")
    assert "httpx" in {r.name for r in caplog.records}  # others' requests are told as ever


def test_progress(server, client, monkeypatch):
    from ferrocyte import _progress

    monkeypatch.setattr(_progress, "_wanted", lambda show: show)
    told = []
    from tqdm.auto import tqdm

    monkeypatch.setattr(
        tqdm, "set_postfix", lambda self, counts, refresh: told.append((self.n, dict(counts)))
    )
    server.fault = lambda u: Say(500, {}) if u.number == 0 else None
    client.search_matrix(cells(6), chunk_size=2)
    assert told[-1][1] == {"retries": 1}
    n = len(told)
    client.search_matrix(cells(6), show_progress=False)
    assert len(told) == n


def test_errors_are_one_tree():
    from ferrocyte.cas import errors

    classes = [getattr(errors, n) for n in errors.__all__ if n.endswith("Error")]
    assert all(issubclass(c, CASError) for c in classes)
    assert issubclass(AuthenticationError, errors.CASHTTPError)
    error = errors.CASTimeoutError("slow", status=408, detail="x")
    assert (str(error), error.status, error.detail) == ("slow", 408, "x")
    assert isinstance(error, TimeoutError)


def test_the_ontology_document_fits_the_model():
    from ferrocyte.cas.models import CellOntologyResource

    assert CellOntologyResource.model_validate(ONTOLOGY).cl_names == TERMS
