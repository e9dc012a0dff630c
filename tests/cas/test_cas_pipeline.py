"""What leaves the machine, from every form that counts come in."""

from __future__ import annotations

import gc
import io
import threading
import weakref
import zlib
from types import SimpleNamespace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from cas_cells import SCHEMA, cells, on_schema, right
from cas_server import TOKEN, Say, Server, ontology_answer, search_answer, summary_answer
from ferrocyte._errors import (
    FileFormatError,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.cas import CASClient, _rows
from ferrocyte.cas._checkpoint import Journal
from ferrocyte.cas._garbage import no_collection
from ferrocyte.cas._genes import map_genes
from ferrocyte.cas._prepare import unique_names
from ferrocyte.cas._symbols import human_symbols, id_of
from ferrocyte.cas._upload import deflated, write_chunk
from ferrocyte.cas.errors import AnnotationIncompleteError, CASWarning
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.patience import LONG, QUICK

pytestmark = pytest.mark.filterwarnings("ignore:Only .* genes of the model:UserWarning")


def annotate(client, matrix, **how):
    how = {"chunk_size": 7, **how}
    return client.annotate_matrix_cell_type_summary_statistics_strategy(matrix, **how)


@pytest.fixture(scope="module")
def shared():
    """One service and client for many examples."""
    with Server(SCHEMA) as server, CASClient(TOKEN, server.url, **QUICK) as client:
        yield server, client


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 40),
    chunk_size=st.integers(1, 45),
    concurrent=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["summary", "ontology", "search"]),
)
def test_every_cell_gets_its_own_answer(shared, n, chunk_size, concurrent, seed, kind):
    """Chunks of any size; answers come back shuffled within and between chunks."""
    from cas_server import Spoil

    server, client = shared
    rng = np.random.default_rng(seed)
    server.fault = lambda upload: Spoil(
        lambda answers: list(rng.permutation(np.array(answers, dtype=object)))
    )
    server.work = 0.002 if seed % 2 else 0.0
    client._client._max_concurrent = concurrent
    adata = cells(n, seed)
    if kind == "summary":
        assert right(annotate(client, adata, chunk_size=chunk_size), adata, summary_answer)
    elif kind == "ontology":
        results = client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=chunk_size)
        assert right(results, adata, ontology_answer)
        assert results.model_name == "second"
    else:
        assert right(client.search_matrix(adata, chunk_size=chunk_size), adata, search_answer)
    server.fault = None


FORMS = {
    "csr": lambda x: x,
    "csr_array": sp.csr_array,
    "csr, unsorted": lambda x: (
        sp.csr_matrix((x.data[::-1], x.indices[::-1], x.indptr), x.shape)
        if len(np.unique(np.diff(x.indptr))) == 1
        else x[:, ::-1][:, ::-1]
    ),
    "csc": sp.csc_matrix,
    "csc, unsorted": lambda x: unsorted_csc(x),
    "csc of int64": lambda x: sp.csc_matrix(x.astype(np.int64)),
    "csr of float64": lambda x: x.astype(np.float64),
    "csr of uint16": lambda x: x.astype(np.uint16),
    "dense": lambda x: x.toarray(),
    "dense in Fortran order": lambda x: np.asfortranarray(x.toarray()),
    "dense of int32": lambda x: x.toarray().astype(np.int32),
}


def unsorted_csc(x):
    out = sp.csc_matrix(x)
    for j in range(out.shape[1]):
        span = slice(out.indptr[j], out.indptr[j + 1])
        out.indices[span], out.data[span] = out.indices[span][::-1].copy(), out.data[span][::-1].copy()
    out.has_sorted_indices = False
    return out


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_matrix(client, form):
    adata = cells()
    expected = on_schema(adata)
    adata.X = FORMS[form](adata.X)
    before = adata.X.copy()
    results = annotate(client, adata)
    assert [a.model_dump(exclude_none=True) for a in results.data] == [summary_answer(*c) for c in expected]
    same = before != adata.X
    assert (same.nnz if sp.issparse(same) else same.sum()) == 0


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("how", ["path", "str", "backed", "backed view"])
def test_files_are_read_a_few_rows_at_a_time(client, tmp_path, monkeypatch, form, how):
    adata = cells()
    expected = adata.copy()
    adata.X = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": lambda x: x.toarray()}[form](adata.X)
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    monkeypatch.setattr(_rows, "_SLAB", 50)  # several slabs, several pieces each
    given_as = {"path": path, "str": str(path)}.get(how)
    if how.startswith("backed"):
        given_as = anndata.read_h5ad(path, backed="r")
        if how == "backed view":
            given_as, expected = given_as[4:19], expected[4:19]
    assert right(annotate(client, given_as), expected, summary_answer)


def test_matrices_that_are_computed_when_asked_for():
    """As dask's arrays are: rows are computed a few at a time."""
    x = cells().X
    computed = []

    class Lazy:
        shape, dtype = x.shape, x.dtype

        def __init__(self, rows):
            self.rows = rows

        def __getitem__(self, rows):
            return Lazy(rows)

        def compute(self):
            computed.append(self.rows)
            return x[self.rows]

    read, values = _rows.reader(Lazy(None))
    assert values is None
    assert (read(3, 9) != x[3:9]).nnz == 0
    assert computed == [slice(3, 9)]


def test_files_of_old_anndata(client, tmp_path):
    """`obs` and `var` as tables in one dataset each, as before anndata 0.7."""
    adata = cells(5)
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as file:
        file["X"] = adata.X.toarray()
        for name, index in (("obs", adata.obs_names), ("var", adata.var_names)):
            file[name] = np.array([(i.encode(),) for i in index], dtype=[("index", "S20")])
    assert right(annotate(client, path), adata, summary_answer)


def test_views(client):
    adata = cells()
    view = adata[np.arange(20, 2, -1), 3:].copy()
    assert right(annotate(client, adata[np.arange(20, 2, -1)][:, 3:]), view, summary_answer)


def test_raw_has_genes_of_its_own(client, tmp_path):
    """`raw` with other genes, in another order, than `var`: the usual subset of variable genes."""
    adata = cells()
    raw = adata.copy()
    adata = adata[:, ::-3].copy()
    adata.X = adata.X * 0.5
    adata.raw = raw
    path = tmp_path / "raw.h5ad"
    adata.write_h5ad(path)
    for matrix in (adata, adata[:], path, anndata.read_h5ad(path, backed="r")):
        assert right(annotate(client, matrix, count_matrix_input="raw.X"), raw, summary_answer)
    del adata.raw
    with pytest.raises(MissingDataError, match=r"No `raw` .*count_matrix_input='X'"):
        annotate(client, adata, count_matrix_input="raw.X")
    with pytest.raises(InvalidOptionError, match=r"'X' or 'raw\.X', found 'layers'"):
        annotate(client, adata, count_matrix_input="layers")


def test_only_what_the_service_reads_leaves_the_machine(client, server):
    adata = cells()
    adata.obs["total_mrna_umis"] = 1.0
    adata.obsm["X_pca"] = np.ones((23, 2))
    adata.layers["spliced"] = adata.X.copy()
    adata.uns["secret"] = "patient name"
    adata.var["note"] = "private"
    adata.raw = adata.copy()
    annotate(client, adata, feature_names_column_name="symbol")
    for upload in server.uploads:
        assert upload.keys == {
            *("X", "X/data", "X/indices", "X/indptr"),
            *("obs", "obs/_index", "obs/total_mrna_umis", "var", "var/_index"),
            *("layers", "obsm", "obsp", "uns", "varm", "varp"),
        }
        assert upload.dtypes == {"X": "float32", "total_mrna_umis": "float32"}
        assert upload.genes == SCHEMA
        assert set(upload.fields) == {"model_name", "include_extended_output"}
        assert upload.x.has_canonical_format
    totals = np.concatenate([u.totals for u in sorted(server.uploads, key=lambda u: int(u.names[0][5:]))])
    np.testing.assert_array_equal(totals, np.asarray(adata.X.sum(axis=1)).ravel())


def test_what_is_on_its_way_takes_no_memory(make_client, server, monkeypatch):
    """Counts are gone while the service works, and are made again for another attempt."""
    from ferrocyte.cas import _prepare

    original, made, alive = _prepare.Prepared.counts, [], []

    def counts(self, start, stop):
        out = original(self, start, stop)
        made.append(weakref.ref(out))
        return out

    def fault(upload):
        alive.append(sum(ref() is not None for ref in made))
        return Say(500, {}) if upload.number == 0 else None

    monkeypatch.setattr(_prepare.Prepared, "counts", counts)
    server.fault = fault
    adata = cells(6)
    assert right(annotate(make_client(max_concurrent_requests=1), adata, chunk_size=2), adata, summary_answer)
    assert alive == [0, 0, 0, 0]
    assert len(made) == 4


def test_the_next_chunk_waits_for_a_place(make_client, server):
    """At most `max_concurrent_requests` chunks are on their way."""
    server.work = 0.02
    client = make_client(max_concurrent_requests=3)
    from ferrocyte.cas import _prepare

    most = 0
    original = _prepare.Prepared.counts

    def counts(self, start, stop):
        nonlocal most
        prepared.append(start)
        most = max(most, len(prepared) - len(server.answered) // 2)
        return original(self, start, stop)

    prepared = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_prepare.Prepared, "counts", counts)
        annotate(client, cells(24), chunk_size=2)
    assert len(prepared) == 12
    assert most <= 3
    assert server.most_busy <= 3


# Gene ids --------------------------------------------------------------------------------------------


def test_ids_in_a_column(client):
    adata = cells()
    adata.var["ensembl"], adata.var_names = adata.var_names, adata.var["symbol"].to_numpy()
    ids = list(adata.var["ensembl"])
    results = annotate(client, adata, feature_ids_column_name="ensembl")
    assert right(results, adata, summary_answer, ids=ids)
    with pytest.raises(MissingDataError, match="Did you mean 'ensembl'"):
        annotate(client, adata, feature_ids_column_name="ensemb")


def test_versions_are_stripped(client):
    adata = cells()
    plain = list(adata.var_names)
    adata.var_names = [f"{g}.{i % 4 + 1}" if i % 3 else g for i, g in enumerate(plain)]
    with pytest.warns(
        CASWarning, match=r"ids of .* were matched without their version suffix, as in 'ENSG"
    ) as told:
        results = annotate(client, adata)
    assert told[0].filename == __file__
    assert right(results, adata, summary_answer, ids=plain)


def test_ids_that_repeat_are_added_up(client):
    adata = cells()
    ids = list(adata.var_names)
    ids[5], ids[7], ids[11] = ids[4], ids[4], ids[9]
    adata.var["id"] = ids
    with pytest.warns(CASWarning, match=r"\d genes share \d ids; their counts are added up"):
        results = annotate(client, adata, feature_ids_column_name="id")
    assert right(results, adata, summary_answer, ids=ids)


def test_ids_and_names_swapped(client):
    adata = cells()
    adata.var["ensembl"], adata.var_names = adata.var_names, adata.var["symbol"].to_numpy()
    with pytest.warns(CASWarning, match="genes were found by 'ensembl' instead of 'index'"):
        results = annotate(client, adata, feature_names_column_name="ensembl")
    assert right(results, adata, summary_answer, ids=list(adata.var["ensembl"]))


# Of the symbols in the wheel, the ids that the small schema of the tests has.
SYMBOLS = {"TSPAN6": "ENSG00000000003", "TNMD": "ENSG00000000005", "DPM1": "ENSG00000000419"}


def test_symbols_alone():
    """Looked up among the genes of the schema; what is found by its id is not found again by a symbol."""
    schema = ["ENSG00000000419", "ENSG00000000003", "ENSG00000141510", "ENSG00000000005"]
    names = ["TNMD", "no such gene", "TSPAN6", "ENSG00000141510", "TP53", "DPM1"]
    var = pd.DataFrame({"n": range(6)}, index=names)
    found = map_genes(var, schema, "index", "index")
    assert list(found.targets) == [3, -1, 1, 2, -1, 0]
    assert found.notices == ["3 of 5 genes without an Ensembl id were found by their symbol in 'index'."]
    with pytest.raises(
        InvalidDataError, match=r"4 are known by their symbols .*feature_names_column_name='index'"
    ):
        map_genes(var.drop(index="ENSG00000141510"), schema)
    for symbol, gene in SYMBOLS.items():
        assert id_of(symbol, schema) == gene
    assert id_of("TP53", []) is None


def test_a_symbol_of_several_genes_is_not_guessed():
    symbol, genes = next((s, g) for s, g in human_symbols().items() if len(g) > 1)
    assert id_of(symbol, genes) is None
    assert id_of(symbol, genes[:1]) == genes[0]


def test_no_gene_of_the_schema(client, server):
    adata = cells()
    adata.var["ensembl"], adata.var_names = adata.var_names, adata.var["symbol"].to_numpy()
    with pytest.raises(
        InvalidDataError, match=r"None of the 31 genes .*pass `feature_ids_column_name='ensembl'`"
    ):
        annotate(client, adata)
    del adata.var["ensembl"]
    with pytest.raises(InvalidDataError, match="Is it the right species"):
        annotate(client, adata)
    assert not server.uploads


def test_few_genes_of_the_schema(client):
    with pytest.warns(CASWarning, match="Only 9 of the 30 genes of the model"):
        annotate(client, cells(extra=0, shuffle=False)[:, :9].copy())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: x.multiply(0.37).tocsr(), "% fractional values"),
        (lambda x: x.toarray() - 1.0, "negative values"),
        (lambda x: x.multiply(np.nan).tocsr(), "NaN or infinite"),
        (lambda x: x.multiply(np.inf).tocsc(), "NaN or infinite"),
        (lambda x: x.toarray().astype(np.int64) - 5, "negative values"),
    ],
    ids=["normalised", "scaled", "nan", "inf", "negative integers"],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_what_is_no_counts_is_refused(client, server, tmp_path, change, says, in_file):
    adata = cells()
    adata.X = change(adata.X)
    matrix = adata
    if in_file:
        matrix = tmp_path / "x.h5ad"
        adata.write_h5ad(matrix)
    with pytest.raises(InvalidDataError, match=says):
        annotate(client, matrix)
    assert not server.uploads


def test_what_float32_can_not_hold_is_refused(client, server):
    """Whether in one value or in the sum of a cell, and for NaN also where odd values are allowed."""
    adata = cells(5)
    adata.X = sp.csr_matrix(adata.X.astype(np.float64) * 1e38)
    with pytest.raises(InvalidDataError, match="beyond what the service takes"):
        annotate(client, adata)
    adata.X = sp.csr_matrix((adata.X > 0).astype(np.float64) * 3e38)
    nan = cells(5)
    nan.X = nan.X * np.nan
    for matrix, options in ((adata, {}), (nan, {"check_counts": False})):
        with pytest.raises(AnnotationIncompleteError, match="NaN, infinite values, or more than") as caught:
            annotate(client, matrix, **options)
        assert {f.attempts for f in caught.value.failures} == {0}
    assert not server.uploads


@pytest.mark.parametrize("name", ["\ud800", "ends\0"])
def test_names_that_can_not_be_sent(client, server, name):
    adata = cells(5)
    adata.obs.index = pd.Index(["a", "b", name, "d", "e"], dtype=object)
    with pytest.raises(InvalidDataError, match="can not be sent"):
        annotate(client, adata)
    assert not server.uploads


def test_fractional_counts_on_request(client):
    adata = cells()
    adata.X = adata.X * np.float32(0.5)
    results = annotate(client, adata, check_counts=False)
    assert right(results, adata, summary_answer)


@pytest.mark.parametrize(
    ("matrix", "error", "says"),
    [
        (None, InvalidTypeError, "found `NoneType`"),
        (cells(3)[:0].copy(), InvalidDataError, "0 cells"),
        (cells(3)[:, :0].copy(), InvalidDataError, "0 genes"),
        (
            AnnData(obs=pd.DataFrame(index=["a"]), var=pd.DataFrame(index=SCHEMA)),
            MissingDataError,
            "found None",
        ),
        ("cells.loom", InvalidOptionError, "ends in .h5ad"),
        ("none.h5ad", FileNotFoundError, "no file"),
    ],
    ids=["none", "no cells", "no genes", "no X", "loom", "no file"],
)
def test_input_that_can_not_be_used(client, server, matrix, error, says):
    with pytest.raises(error, match=says):
        annotate(client, matrix)
    assert not server.uploads


def test_damaged_files(client, tmp_path):
    path = tmp_path / "text.h5ad"
    path.write_text("no HDF5")
    with pytest.raises(FileFormatError, match="no HDF5 file"):
        annotate(client, path)
    adata = cells()
    adata.write_h5ad(tmp_path / "cut.h5ad")
    with h5py.File(tmp_path / "cut.h5ad", "r+") as file:
        values = file["X/data"][:-3]
        del file["X/data"]
        file["X/data"] = values
    with pytest.raises(InvalidDataError, match="arrays do not fit together"):
        annotate(client, tmp_path / "cut.h5ad")


# Names -----------------------------------------------------------------------------------------------


def test_repeated_cell_names(client, server):
    adata = cells(9)
    adata.obs_names = ["a", "b", "a", "a#2", "a", "b", "c", "d", "e"]
    sent = unique_names(list(adata.obs_names))
    assert len(set(sent)) == 9
    results = annotate(client, adata, chunk_size=2)
    assert right(results, adata, summary_answer)
    assert sorted(n for u in server.uploads for n in u.names) == sorted(sent)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "a#2", "a#3", "b", "a#2#2"]), max_size=8))
def test_names_are_made_unique(names):
    sent = unique_names(names)
    assert len(set(sent)) == len(names)
    assert all(s == n or s.startswith(f"{n}#") for s, n in zip(sent, names, strict=True))
    assert all(n in sent for n in names)


def test_names_in_any_script(client):
    adata = cells(4)
    adata.obs_names = ["zell-ä", "細胞", "", "a" * 300]
    assert right(annotate(client, adata, chunk_size=2), adata, summary_answer)


# Files of Cell Ranger --------------------------------------------------------------------------------


def write_10x(path, adata, version, groups=("hg19",), features=()):
    x = sp.csr_matrix(adata.X).astype(np.int32)
    with h5py.File(path, "w") as file:
        for name in ("matrix",) if version == 3 else groups:
            group = file.create_group(name)
            ids = [g if name != "mm10" else g.replace("ENSG", "ENSMUSG") for g in adata.var_names]
            ids = [*ids, *features]
            wide = sp.csr_matrix((x.data, x.indices, x.indptr), (x.shape[0], len(ids))).tolil()
            for k in range(len(features)):
                wide[:, x.shape[1] + k] = 1000 + k
            wide = wide.tocsr()
            group["data"], group["indices"], group["indptr"] = (
                wide.data,
                wide.indices,
                wide.indptr.astype(np.int64),
            )
            group["shape"] = np.array(wide.shape[::-1], dtype=np.int32)
            group["barcodes"] = np.array(list(adata.obs_names), dtype=bytes)
            symbols = np.array([f"S{i}" for i in ids], dtype=bytes)
            if version == 3:
                kinds = ["Gene Expression"] * x.shape[1] + ["Antibody Capture"] * len(features)
                about = group.create_group("features")
                about["id"], about["name"] = np.array(ids, dtype=bytes), symbols
                about["feature_type"] = np.array(kinds, dtype=bytes)
                about["genome"] = np.array(["GRCh38"] * len(ids), dtype=bytes)
            else:
                group["genes"], group["gene_names"] = np.array(ids, dtype=bytes), symbols
    return path


def test_10x_files(client, tmp_path):
    adata = cells()
    for version in (2, 3):
        path = write_10x(tmp_path / f"v{version}.h5", adata, version)
        assert right(annotate(client, path), adata, summary_answer)
    with pytest.raises(InvalidOptionError, match="one matrix"):
        annotate(client, path, count_matrix_input="raw.X")


def test_10x_antibodies_do_not_count(client, tmp_path):
    """Neither as genes, be they named like one, nor in the totals."""
    adata = cells()
    path = write_10x(tmp_path / "v3.h5", adata, 3, features=["CD3", SCHEMA[0]])
    with pytest.warns(CASWarning, match="2 features that are no genes"):
        assert right(annotate(client, path), adata, summary_answer)


def test_10x_two_genomes(client, tmp_path):
    adata = cells()
    path = write_10x(tmp_path / "v2.h5", adata, 2, groups=("hg19", "mm10"))
    with pytest.warns(CASWarning, match="cells of 'hg19' are used"):
        assert right(annotate(client, path), adata, summary_answer)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = 1
    with pytest.raises(FileFormatError, match=r"found \['something'\]"):
        annotate(client, tmp_path / "other.h5")


# The file that is sent -------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(1, 70_000),
    st.sampled_from(["<f4", "<i4", "<i8", "S3", "S20"]),
    st.sampled_from([1, 2, 300, 2**31]),
    st.integers(0, 100),
)
def test_arrays_are_deflated_as_hdf5_does(length, dtype, values, seed):
    """zlib and HDF5 read the stream that is put together from planes."""
    array = np.random.default_rng(seed).integers(0, values, length).astype(dtype)
    packed = deflated(array)
    width = array.dtype.itemsize
    assert zlib.decompress(packed) == array.view(np.uint8).reshape(-1, width).T.tobytes()
    with h5py.File(io.BytesIO(), "w") as file:
        dataset = file.create_dataset(
            "a", shape=(length,), dtype=dtype, chunks=(length,), shuffle=True, compression="gzip"
        )
        write_chunk(dataset, packed)
        np.testing.assert_array_equal(dataset[()], array)


def test_chunks_wait_for_other_threads_that_use_hdf5():
    array = np.arange(7, dtype="<f4")
    with h5py.File(io.BytesIO(), "w") as file:
        dataset = file.create_dataset(
            "a", shape=(7,), dtype="<f4", chunks=(7,), shuffle=True, compression="gzip"
        )
        told = SimpleNamespace(id=dataset.id)  # to ask a dataset for it waits, too
        writer = threading.Thread(target=write_chunk, args=(told, deflated(array)))
        with h5py._objects.phil:
            writer.start()
            writer.join(0.2)
            assert writer.is_alive()
        writer.join()
        np.testing.assert_array_equal(dataset[()], array)


def test_no_search_for_garbage_while_answers_are_read():
    """Threads that overlap: the last one to leave switches it on again, if it was on."""
    inside, leave = threading.Event(), threading.Event()

    def other():
        with no_collection():
            inside.set()
            assert leave.wait(LONG)

    assert gc.isenabled()
    with no_collection():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(LONG)
        assert not gc.isenabled()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ValueError, match="within"), no_collection():
        raise ValueError("within")
    assert gc.isenabled()


def test_models_stay_apart_though_they_share(client):
    """Matches share the set of their fields; a change of one is none of another."""
    data = client.annotate_matrix_cell_type_ontology_aware_strategy(cells(3), show_progress=False).data
    one, other = data[0].matches[0], data[1].matches[0]
    assert one.model_fields_set == {"score", "cell_type", "cell_type_ontology_term_id"}
    one.score = 0.5
    assert (one.score, other.score) == (0.5, 1.0)
    assert other.model_dump(exclude_unset=True) == other.model_dump()
    summary = annotate(client, cells(3)).data[0].matches
    assert "dataset_ids_with_counts" not in summary[0].model_fields_set
    summary[0].dataset_ids_with_counts = []
    assert "dataset_ids_with_counts" not in summary[1].model_fields_set


# Sanitised data --------------------------------------------------------------------------------------


def test_validate_and_sanitize(client):
    adata = cells()
    adata.obsm["X_pca"] = np.ones((23, 2))
    adata.layers["a"] = adata.X.copy()
    before = adata.copy()
    out = client.validate_and_sanitize_input_data(adata, "second", "X", "index", "symbol")
    assert list(out.var_names) == SCHEMA
    assert sp.issparse(out.X)
    assert out.X.format == "csr"
    assert out.X.dtype == np.float32
    expected = on_schema(adata)
    np.testing.assert_array_equal(out.X.toarray(), [row for _, row, _ in expected])
    np.testing.assert_array_equal(out.obs["total_mrna_umis"], [total for *_, total in expected])
    assert list(out.obs["donor"]) == list(adata.obs["donor"])
    assert set(out.obsm) == {"X_pca"}
    assert not out.layers
    symbols = dict(zip(adata.var_names, adata.var["symbol"], strict=True))
    assert list(out.var["feature_name"]) == [symbols.get(g, "N/A") for g in SCHEMA]
    assert "total_mrna_umis" not in adata.obs
    assert (adata.X != before.X).nnz == 0
    same = client.validate_and_sanitize_input_data(out, None, "X", "index")
    assert (same.X != out.X).nnz == 0
    assert "feature_name" not in same.var


def test_a_journal_is_no_input(client, tmp_path):
    from ferrocyte.cas import _operations

    operation = _operations.search("m")
    Journal(tmp_path / "a.h5ad", operation.kind, operation.adapter).close()
    with pytest.raises(FileFormatError):
        annotate(client, tmp_path / "a.h5ad")
