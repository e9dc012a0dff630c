"""The client without a service: real cells of one study named by a reference of another."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.cas import AsyncCASClient, CASClient, CellMetadataFeatures
from ferrocyte.cas.errors import AnnotationIncompleteError, CASError
from ferrocyte.cas.local import Reference, RouteError, Routes, _pca, build_reference
from ferrocyte.cas.local._routes import STOP
from numpy.testing import assert_allclose
from reference import naive_annotation as naive
from reference.patience import until

DATA = Path(__file__).parents[1] / "data"
LUNG, QUERY = DATA / "lung_reference.h5ad", DATA / "lung_query.h5ad"
TERM = "cell_type_ontology_term_id"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("references") / "lung"
    cells = ad.read_h5ad(LUNG)
    cells.obs["dataset_id"] = cells.obs["assay"]
    return build_reference(cells, out, "cell_type", description="Human lung").path


@pytest.fixture(scope="module")
def query():
    return ad.read_h5ad(QUERY)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No token of the machine, and no way out."""
    monkeypatch.delenv("CAS_API_TOKEN", raising=False)

    def refuse(*args, **kwargs):
        raise AssertionError("a local client opens no connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def client(folder):
    with CASClient.local(folder) as client:
        yield client


def test_most_cells_of_another_study_are_named_right(client, folder, query):
    cells = query.copy()
    client.annotate_into(cells, show_progress=False)
    client.compute_most_granular_top_k_calls_single(cells, 0.2, top_k=1, use_shortest_path=False)
    known = set(ad.read_h5ad(LUNG, backed="r").obs[TERM])
    shared = cells.obs[TERM].isin(known)
    right = cells.obs["cas_cell_type_name_1"].astype(str) == cells.obs[TERM].astype(str)
    assert shared.sum() == 752
    assert right[shared].mean() > 0.85
    # Types that the reference lacks are often named by a term above them.
    above = Reference(folder).ontology.document()["ancestors_dictionary"]
    unseen = cells.obs.loc[~shared]
    near = [a in above[t] for a, t in zip(unseen["cas_cell_type_name_1"], unseen[TERM], strict=True)]
    assert np.mean(near) > 0.3


def test_answers_are_those_of_the_slow_version(client, folder, query):
    reference = Reference(folder)
    parents = {name: term.parents for name, term in reference.ontology.terms.items()}
    cells = query[:40]
    scored = client.annotate_matrix_cell_type_ontology_aware_strategy(cells, prune_threshold=0.1)
    summed = client.annotate_matrix_cell_type_summary_statistics_strategy(cells)
    found = client.search_matrix(cells)
    codes, types = reference.cells.cell_types
    names = np.array(reference.ontology.cl_names)
    for i in range(0, 40, 7):
        counts = cells.X[i].toarray().ravel()
        vector = np.array(naive.embed(counts, counts.sum(), reference.weights, reference.offset))
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        rows, distances = naive.nearest(unit, reference.vectors, 10, "cosine")
        neighbors = found.data[i].neighbors
        assert [n.cas_cell_index for n in neighbors] == rows
        assert_allclose([n.distance for n in neighbors], distances, atol=2e-7)
        given = [n.distance for n in neighbors]
        terms = [names[reference.cells.terms[row]] for row in rows]
        expected, total, unknown = naive.ontology_scores(terms, given, parents, 0.1, 1.0)
        answer = scored.data[i]
        assert [m.cell_type_ontology_term_id for m in answer.matches] == list(expected)
        assert_allclose([m.score for m in answer.matches], list(expected.values()), atol=1e-12)
        assert answer.total_weight == pytest.approx(total)
        assert (answer.total_neighbors, answer.total_neighbors_unrecognized) == (10, unknown)
        labels = reference.ontology.document()["cell_ontology_term_id_to_cell_type"]
        assert all(m.cell_type == labels[m.cell_type_ontology_term_id] for m in answer.matches)
        groups = naive.summary([types[codes[row]] for row in rows], given)
        matches = summed.data[i].matches
        assert [(m.cell_type, m.cell_count) for m in matches] == [g[:2] for g in groups]
        assert [m.median_distance for m in matches] == [g[4] for g in groups]
        for match in matches:
            parts = match.dataset_ids_with_counts
            assert sum(p.count_per_dataset for p in parts) == match.cell_count
            assert min(p.min_distance for p in parts) == match.min_distance


def test_chunks_threads_and_loops_change_nothing(client, folder, query):
    whole = client.annotate_matrix_cell_type_ontology_aware_strategy(query)

    async def ask():
        async with AsyncCASClient.local(folder, n_jobs=3) as other:
            return await other.annotate_matrix_cell_type_ontology_aware_strategy(query, chunk_size=77)

    assert asyncio.run(ask()) == whole
    assert client.annotate_matrix_cell_type_ontology_aware_strategy(str(QUERY), chunk_size=1) == whole


def test_cells_are_looked_up(client, query):
    found = client.search_matrix(query[:3])
    ids = [n.cas_cell_index for n in found.data[0].neighbors]
    cells = client.query_cells_by_ids(ids, [CellMetadataFeatures.CELL_TYPE, "total_mrna_umis"])
    assert [c.cas_cell_index for c in cells.data] == ids
    source = ad.read_h5ad(LUNG)
    assert [c.cell_type for c in cells.data] == source.obs["cell_type"].iloc[[int(i) for i in ids]].tolist()
    assert all(c.total_mrna_umis > 0 and c.donor_id is None for c in cells.data)
    assert all(c.donor_id and c.assay for c in client.query_cells_by_ids(ids).data)
    with pytest.warns(UserWarning, match="knows nothing of 1 cells: 1000"):
        assert len(client.query_cells_by_ids([0, 1000]).data) == 1


def test_several_references_are_several_models(folder, query, tmp_path):
    half = ad.read_h5ad(LUNG)[::2].copy()
    build_reference(half, tmp_path / "half", "cell_type", metric="l2", n_neighbors=5)
    with CASClient.local({"all": folder, "half": tmp_path / "half"}) as client:
        assert client.allowed_models_list == ["all", "half"]
        found = client.search_matrix(query[:5], cas_model_name="half")
        assert all(len(answer.neighbors) == 5 for answer in found.data)
        ids = [n.cas_cell_index for n in found.data[0].neighbors]
        assert min(ids) >= 1_000_000_000
        rows = [int(i) - 1_000_000_000 for i in ids]
        types = [c.cell_type for c in client.query_cells_by_ids(ids).data]
        assert types == half.obs["cell_type"].iloc[rows].tolist()
        scored = client.annotate_matrix_cell_type_ontology_aware_strategy(query[:5], cas_model_name="half")
        assert scored.model_name == "half"
        with pytest.raises(InvalidOptionError, match="no model 'third'"):
            client.search_matrix(query[:5], cas_model_name="third")
    with pytest.raises(InvalidOptionError, match="same name"):
        CASClient.local([folder, folder])


def test_cells_become_a_reference(query, tmp_path, monkeypatch):
    monkeypatch.setenv("FERROCYTE_CACHE", str(tmp_path / "cache"))
    quick = {"n_components": 10, "n_top_genes": 200}
    with CASClient.local(LUNG, "cell_type", **quick) as client:
        assert client.allowed_models_list == ["lung_reference"]
        first = client.search_matrix(query[:5])
    (made,) = (tmp_path / "cache" / "references").iterdir()
    stamp = (made / "vectors.npy").stat().st_mtime_ns
    with CASClient.local(str(LUNG), "cell_type", n_jobs=2, **quick) as client:
        assert client.search_matrix(query[:5]) == first
    assert (made / "vectors.npy").stat().st_mtime_ns == stamp
    with CASClient.local(ad.read_h5ad(LUNG), "cell_type", **quick) as client:
        assert client.search_matrix(query[:5]) == first
    with CASClient.local(LUNG, **quick) as client:  # the column has the usual name
        assert client.search_matrix(query[:5]) == first
    # What an older version learned otherwise is made again.
    with monkeypatch.context() as newer:
        newer.setattr(_pca, "RECIPE", _pca.RECIPE + 1)
        CASClient.local(LUNG, **quick).close()
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 2
    with pytest.raises(MissingDataError, match="'cell_types' in `obs` for `cell_type_column`"):
        CASClient.local(LUNG, "cell_types")
    for wrong in ({"cell_type_column": "cell_type"}, {"n_components": 3}):
        with pytest.raises(InvalidOptionError, match=rf"`{next(iter(wrong))}`: .*no \.h5ad file"):
            CASClient.local(made, **wrong)
    with pytest.raises(InvalidTypeError, match="found `int`"):
        CASClient.local(3)
    with pytest.raises(FileNotFoundError):
        CASClient.local(tmp_path / "none.h5ad", "cell_type")


def test_a_cache_that_can_not_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FERROCYTE_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"set FERROCYTE_CACHE to another folder: .*references"):
        CASClient.local(LUNG, "cell_type")


def test_about_the_service(client, folder):
    client.validate_version()
    client.validate_model_name()
    assert client.quota().is_unlimited
    assert repr(client) == "CASClient('local: lung')"
    with CASClient.local(folder) as other:
        other.close()
        assert other.allowed_models_list == ["lung"]


def test_wrong_input_is_refused(client, query):
    wrong = query.copy()
    wrong.var_names = [f"gene{i}" for i in range(wrong.n_vars)]
    with pytest.raises(InvalidDataError, match="None of the 1000 genes"):
        client.search_matrix(wrong)
    with pytest.raises(InvalidOptionError, match="finite"):
        client.annotate_matrix_cell_type_ontology_aware_strategy(query, weighting_prefactor=np.inf)


def test_a_failure_inside_is_an_error_not_an_answer(folder, query, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("inside")

    with CASClient.local(folder) as client:
        client.validate_version()
        monkeypatch.setattr(Reference, "embed", fail)
        with pytest.raises(CASError, match="Error processing request"):
            client.search_matrix(query[:5])


def test_routes_say_what_is_wrong(folder):
    routes = Routes({"lung": Reference(folder)})
    n = 1000
    good = sp.csr_matrix((2, n), dtype=np.float32)
    totals, names = np.zeros(2, dtype=np.float32), ["a", "b"]
    assert [a["query_cell_id"] for a in routes.nearest_neighbors(good, totals, names, "lung")] == names
    assert routes.nearest_neighbors(good[:0], totals[:0], [], "lung") == []
    everything = routes.annotate_ontology(good, totals, names, "lung", prune_threshold=0.0)
    assert [len(a["matches"]) for a in everything] == [3324, 3324]
    bad = sp.csr_matrix(([np.nan], ([0], [0])), shape=(2, n), dtype=np.float32)
    cases = [
        (400, lambda: routes.nearest_neighbors(good, totals, names, "other")),
        (400, lambda: routes.nearest_neighbors(good[:, :9], totals, names, "lung")),
        (400, lambda: routes.nearest_neighbors(good.astype(np.float64), totals, names, "lung")),
        (400, lambda: routes.nearest_neighbors(good, totals.astype(np.float64), names, "lung")),
        (400, lambda: routes.nearest_neighbors(good, totals - 1, names, "lung")),
        (400, lambda: routes.nearest_neighbors(bad, totals, names, "lung")),
        (400, lambda: routes.nearest_neighbors(good, totals, ["a"], "lung")),
        (400, lambda: routes.annotate_ontology(good, totals, names, "lung", np.nan)),
        (400, lambda: routes.annotate_ontology(good, totals, names, "lung", 0.1, 1.0, "tissue")),
        (400, lambda: routes.query_cells([], ["tissue"])),
        (400, lambda: routes.query_cells([1], ["tissues"])),
        (400, lambda: routes.validate_client_version("one")),
        (400, lambda: routes.validate_client_version(None)),
        (404, lambda: routes.feature_schema("none")),
        (404, lambda: routes.cell_ontology_resource("none")),
    ]
    for status, ask in cases:
        with pytest.raises(RouteError) as found:
            ask()
        assert found.value.status == status
        assert found.value.detail
    assert routes.validate_client_version("1.7.5") == {"is_valid": False, "min_version": "1.8.0"}
    (model,) = routes.list_models()
    assert routes.feature_schemas() == [{"schema_name": model["schema_name"]}]
    assert len(routes.feature_schema(model["schema_name"])) == n
    assert routes.application_info()["default_feature_schema"] == model["schema_name"]
    assert routes.query_cells([-1, 5, 10**12], ["cell_type"])[0]["cas_cell_index"] == 5


def test_who_gives_up_leaves_nothing_running(folder, query, monkeypatch):
    calls = []
    search = Reference.neighbors

    def slow(self, vectors, k=None, *, threads=1):
        calls.append(len(vectors))
        if len(calls) == 1:
            until(STOP.get().is_set)
        return search(self, vectors, k, threads=threads)

    monkeypatch.setattr(Reference, "neighbors", slow)

    async def ask():
        async with AsyncCASClient.local(folder) as client:
            task = asyncio.ensure_future(client.search_matrix(query, chunk_size=500))
            while not calls:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.1)
            assert len(calls) == 1
            # The client is as good as new.
            assert len((await client.search_matrix(query[:3])).data) == 3

    asyncio.run(ask())


def test_counts_that_can_not_be_read_are_named(client, query):
    """As over HTTP: what the user has to repair is said, and nothing is logged as a defect."""
    cells = query[:3].copy()
    cells.X = cells.X.toarray()
    cells.X[1, 1] = np.nan
    with pytest.raises(AnnotationIncompleteError) as caught:
        client.search_matrix(cells, check_counts=False, show_progress=False)
    failure = caught.value.failures[0]
    assert isinstance(failure.error, InvalidDataError)
    assert failure.attempts == 0
