"""Uploads that are broken, wrong or meant to harm: a 4xx with a reason, never a crash, never a hang."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import zlib
from dataclasses import replace
from urllib.parse import urlsplit

import h5py
import numpy as np
import pytest
from cas_cells import SCHEMA
from ferrocyte.cas._upload import GeneList
from ferrocyte.cas.server._limits import Limits, Refusal
from ferrocyte.cas.server._uploads import Readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.patience import LONG, until
from served import FakeRoutes, Running
from starlette.datastructures import UploadFile
from uploads import HTTP, OPERATIONS, h5ad, on_schema, post

SEARCH = "nearest-neighbor-search"
N = len(SCHEMA)


# A service with little room.
ROOM = Limits(
    max_upload_bytes=2**20,
    max_question_bytes=2**16,
    max_cells=50,
    max_values=900,
    max_reader_bytes=2**28,
    read_seconds=120.0,
)


@pytest.fixture(scope="module")
def small():
    with Running(lambda: FakeRoutes(SCHEMA), limits=ROOM) as server:
        yield server


@pytest.fixture(scope="module")
def hurried():
    """It gives up soon: HDF5 never ends with one in a hundred files whose bits were flipped."""
    with Running(lambda: FakeRoutes(SCHEMA), limits=replace(ROOM, read_seconds=3.0)) as server:
        yield server


def edited(change, **how):
    """A good file after `change(file)`."""
    buffer = io.BytesIO(h5ad(on_schema(**how)))
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def rewrite(file, path, data=None, **how):
    attrs = dict(file[path].attrs)
    del file[path]
    new = file.create_dataset(path, data=data, **how)
    new.attrs.update(attrs)


def cast(path, dtype):
    return lambda file: rewrite(file, path, file[path][...].astype(dtype))


def put(path, at, value):
    def change(file):
        file[path][at] = value

    return change


def link(path, to):
    def change(file):
        del file[path]
        file[path] = to

    return change


def drop(path):
    def change(file):
        del file[path]

    return change


def attr(path, name, value):
    def change(file):
        file[path].attrs[name] = value

    return change


def virtual(file):
    layout = h5py.VirtualLayout(shape=file["X/data"].shape, dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=file["X/data"].shape)
    del file["X/data"]
    file.create_virtual_dataset("X/data", layout)


def external(file):
    n = file["X/data"].shape[0]
    rewrite(file, "X/data", shape=(n,), dtype="f4", external=[("/etc/passwd", 0, 4 * n)])


def bomb(file):
    """A petabyte, declared; nothing of it is there."""
    rewrite(file, "X/data", shape=(2**48,), dtype="f4", chunks=(2**20,), compression="gzip")


def dense_bomb(file):
    del file["X"]
    file.create_dataset("X", shape=(4, 2**50), dtype="f4", chunks=(1, 2**20))


def names_bomb(file):
    rewrite(file, "obs/_index", shape=(2**40,), dtype=h5py.string_dtype(), chunks=(2**16,))


def same_text_many_times(file):
    """Short pointers to one long piece of text."""
    rewrite(file, "obs/_index", data=["x" * 10_000] * 4, dtype=h5py.string_dtype())


def itself(file):
    del file["obs"]
    file["obs"] = file["/"]


def number_names(file):
    rewrite(file, "obs/_index", data=np.arange(4))


def plugin(file):
    """A filter that would have to be loaded."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    del file["obs/total_mrna_umis"]
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["obs"].id, b"total_mrna_umis", h5py.h5t.NATIVE_FLOAT, space, plist)


def twice(file):
    indices = file["X/indices"][...]
    indices[1] = indices[0]
    file["X/indices"][...] = indices


def inflating(file, size=2**28):
    """A chunk that says it is small, and grows to 256 MB when it is unpacked."""
    n = file["X/data"].shape[0]
    rewrite(file, "X/data", shape=(n,), dtype="f4", chunks=(n,), compression="gzip")
    file["X/data"].id.write_direct_chunk((0,), zlib.compress(bytes(size), 9))


BAD = {
    "float64": (cast("X/data", "f8"), 400, "float32"),
    "integers": (cast("X/data", "i4"), 400, "float32"),
    "big endian": (cast("X/data", ">f4"), 400, "float32"),
    "totals float64": (cast("obs/total_mrna_umis", "f8"), 400, "total_mrna_umis"),
    "no totals": (drop("obs/total_mrna_umis"), 400, "total_mrna_umis"),
    "no X": (drop("X"), 400, "'X'"),
    "no obs": (drop("obs"), 400, "'obs'"),
    "no var": (drop("var"), 400, "'var'"),
    "no index": (drop("obs/_index"), 400, "_index"),
    "no indptr": (drop("X/indptr"), 400, "indptr"),
    "float indices": (cast("X/indices", "f4"), 400, "integers"),
    "negative index": (put("X/indices", 0, -1), 400, "range"),
    "large index": (put("X/indices", 0, N), 400, "range"),
    "indptr starts late": (put("X/indptr", 0, 1), 400, "indptr"),
    "indptr falls": (put("X/indptr", 2, 0), 400, "indptr"),
    "indptr beyond": (put("X/indptr", 4, 10**6), 400, "X/data"),
    "a gene twice": (twice, 400, "twice"),
    "other shape": (attr("X", "shape", [4, N + 1]), 400, "shape"),
    "shape of words": (attr("X", "shape", "4 by 30"), 400, "shape"),
    "other kind": (attr("X", "encoding-type", "coo_matrix"), 400, "coo_matrix"),
    "kind is a list": (attr("X", "encoding-type", ["csr_matrix"] * 3), 400, "encoding-type"),
    "index elsewhere": (attr("obs", "_index", "../var/_index"), 400, "obs"),
    "index is the folder": (attr("obs", "_index", "."), 400, "obs"),
    "index is a number": (attr("obs", "_index", 3), 400, "_index"),
    "soft link": (link("X/data", h5py.SoftLink("/obs/total_mrna_umis")), 400, "SoftLink"),
    "dangling link": (link("X", h5py.SoftLink("/nowhere")), 400, "SoftLink"),
    "external link": (link("X", h5py.ExternalLink("/etc/passwd", "/")), 400, "ExternalLink"),
    "virtual": (virtual, 400, "other files"),
    "external data": (external, 400, "other files"),
    "filter": (plugin, 400, "32015"),
    "bomb": (bomb, 400, "X/data"),
    "dense bomb": (dense_bomb, 400, "shape"),
    "inflating": (inflating, 400, "damaged"),
    "names bomb": (names_bomb, 413, "obs"),
    "same text": (same_text_many_times, 400, "4096"),
    "itself": (itself, 400, "obs"),
    "names are numbers": (number_names, 400, "strings"),
    "group for X/data": (lambda f: (drop("X/data")(f), f.create_group("X/data")), 400, "dataset"),
    "two dimensions": (lambda f: rewrite(f, "X/data", data=np.zeros((3, 3), "f4")), 400, "dimension"),
    "scalar": (lambda f: rewrite(f, "X/data", data=np.float32(1)), 400, "dimension"),
    "empty space": (lambda f: rewrite(f, "X/data", data=h5py.Empty("f4")), 400, "dimension"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(small, name):
    change, status, says = BAD[name]
    found = post(small, SEARCH, edited(change), model_name="first")
    assert (found.status_code, says in found.json()["detail"]) == (status, True), found.text
    assert post(small, SEARCH, h5ad(on_schema()), model_name="first").is_success


def test_what_grows_is_stopped_long_before_memory_ends():
    """A file is allowed what it declares, not all that a process may take; the next one is as before."""

    async def read(readers, content):
        return await readers.read(UploadFile(io.BytesIO(content)), GeneList(SCHEMA))

    async def main():
        readers = Readers(Limits(readers=1))
        try:
            with pytest.raises(Refusal) as caught:
                await read(readers, edited(lambda file: inflating(file, 2**29)))
            assert (caught.value.status, "damaged" in caught.value.detail) == (400, True)
            for kind in ("csr", "csc", "dense"):
                cells = await read(readers, h5ad(on_schema(kind=kind)))
                assert (cells.counts.toarray() == on_schema(kind="dense").X).all()
            assert readers.deaths == 0
        finally:
            await readers.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("file", "status", "says"),
    [
        (b"", 400, "HDF5"),
        (b"\x89HDF\r\n\x1a\n", 400, "HDF5"),
        (b"PK\x03\x04" + bytes(100), 400, "HDF5"),
        (h5ad(on_schema(n=51)), 413, "50"),
        (h5ad(on_schema(n=50)), 413, "900"),
        (h5ad(on_schema(n=50, kind="dense")), 413, "900"),
        (h5ad(on_schema(schema=SCHEMA[::-1])), 400, "another order"),
        (h5ad(on_schema(schema=SCHEMA[:-1])), 400, "1 are missing"),
        (h5ad(on_schema(schema=[*SCHEMA[:-1], "TP53"])), 400, "TP53"),
        (bytes(2**20 + 1), 413, "1048576"),
    ],
)
def test_wrong_genes_and_sizes(small, file, status, says):
    found = post(small, SEARCH, file, model_name="first")
    assert found.status_code == status
    assert says in found.json()["detail"]


def test_no_cells(small):
    found = post(
        small,
        SEARCH,
        edited(lambda f: rewrite(f, "obs/_index", data=[], dtype=h5py.string_dtype())),
        model_name="first",
    )
    assert (found.status_code, "one cell" in found.text) == (400, True)


def test_a_large_body_without_a_length(small):
    """Chunked: the limit holds for what comes, not for what is said."""

    def body():
        for _ in range(40):
            yield bytes(2**16)

    found = HTTP.post(f"{small.url}{OPERATIONS}/query-cells-by-ids", content=body())
    assert found.status_code == 413


def test_a_body_that_does_not_come(start):
    """It is waited for as long as the limits say, not for ever."""
    url = urlsplit(start(limits=Limits(upload_seconds=0.2)).url)
    with socket.create_connection((url.hostname, url.port), timeout=LONG) as connection:
        connection.sendall(
            f"POST {OPERATIONS}/{SEARCH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode()
        )
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 408")


def test_too_large_is_sent_in_parts(small, make_client):
    """Our client takes a 413 as a request for smaller chunks."""
    from cas_cells import cells, right
    from cas_server import search_answer

    adata = cells(n=120)
    client = make_client(small)
    results = client.search_matrix(adata, chunk_size=120)
    assert right(results, adata, search_answer)


@pytest.mark.parametrize("kind", ["dies", "hangs"])
def test_readers_are_replaced(start, tmp_path, monkeypatch, kind):
    """A reader that dies, or never ends, takes nothing with it."""
    from ferrocyte.cas.server import _uploads

    how = "os.kill(os.getpid(), 11)" if kind == "dies" else "time.sleep(600)"
    script = tmp_path / "reader.py"
    script.write_text(
        "import os, sys, time, runpy\n"
        f"sys.path.insert(0, {str(_uploads._SCRIPT.parent)!r})\n"
        "import _reader\n"
        "right = _reader.answer\n"
        "def answer(content, asked):\n"
        f"    if len(content) < 1000: {how}\n"
        "    return right(content, asked)\n"
        "_reader.serve(sys.stdin.buffer, sys.stdout.buffer, answer)\n"
    )
    monkeypatch.setattr(_uploads, "_SCRIPT", script)
    patient = Limits(readers=1, read_seconds=LONG)
    server = start(limits=patient)
    readers, good = server.service.readers, h5ad(on_schema())
    assert post(server, SEARCH, good, model_name="first").is_success
    if kind == "hangs":  # what hangs is given up soon, what does not may take its time
        monkeypatch.setattr(readers, "_limits", replace(patient, read_seconds=0.2))
    found = post(server, SEARCH, b"short", model_name="first")
    assert found.status_code == 400
    assert ("damaged" if kind == "dies" else "0.2 seconds") in found.json()["detail"]
    monkeypatch.setattr(readers, "_limits", patient)
    assert post(server, SEARCH, good, model_name="first").is_success
    assert readers.deaths == (2 if kind == "dies" else 0)


def test_readers_end_with_the_service(start):
    server = start()
    assert post(server, SEARCH, h5ad(on_schema()), model_name="first").is_success
    reader = server.service.readers._idle.get_nowait() or server.service.readers._idle.get_nowait()
    server.service.readers._idle.put_nowait(reader)
    assert server.stop()
    assert not reader.alive


# Fuzz -------------------------------------------------------------------------------------------------

GOOD = {kind: h5ad(on_schema(kind=kind)) for kind in ("csr", "csc", "dense")}
FUZZ = settings(
    max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def quiet(found):
    """Refused with a reason, or answered for four cells."""
    assert found.status_code in (200, 400, 413, 422), found.text
    assert isinstance(found.json() if found.is_success else found.json()["detail"], str | list)


@FUZZ
@given(
    kind=st.sampled_from(sorted(GOOD)),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=30),
    head=st.booleans(),
)
def test_flipped_bytes(hurried, kind, flips, head):
    """Most of what steers HDF5 is near the start of these files."""
    content = bytearray(GOOD[kind])
    for at, change in flips:
        content[at % (4096 if head else len(content))] ^= change
    quiet(post(hurried, SEARCH, bytes(content), model_name="first"))


@FUZZ
@given(kind=st.sampled_from(sorted(GOOD)), cut=st.floats(0, 1), junk=st.binary(max_size=200))
def test_files_cut_short(hurried, kind, cut, junk):
    content = GOOD[kind]
    quiet(post(hurried, SEARCH, content[: int(cut * len(content))] + junk, model_name="first"))


@FUZZ
@given(
    body=st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.sampled_from(
                [
                    b"--x",
                    b"--x--",
                    b"\r\n",
                    b"\n",
                    b"Content-Disposition: form-data; ",
                    b'name="file"',
                    b";",
                    b'filename="adata.h5ad"',
                    b'name="model_name"',
                    b"\r\n\r\n",
                    b"first",
                    b":",
                    b"\x00",
                    b'"',
                ]
            ),
            max_size=30,
        ).map(b"".join),
    ),
    kind=st.sampled_from(
        [
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=x; charset=utf-99",
            "text/plain",
            "",
        ]
    ),
)
def test_broken_forms(hurried, body, kind):
    quiet(HTTP.post(f"{hurried.url}{OPERATIONS}/{SEARCH}", content=body, headers={"content-type": kind}))


@FUZZ
@given(
    fields=st.dictionaries(
        st.sampled_from(["model_name", "prune_threshold", "weighting_prefactor", "ontology_column_name"]),
        st.text(max_size=30),
    )
)
def test_any_fields(hurried, fields):
    path = "annotate-cell-type-ontology-aware-strategy"
    quiet(post(hurried, path, GOOD["csr"], **fields))


@FUZZ
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: (
            st.lists(x) | st.dictionaries(st.sampled_from(["cas_cell_ids", "metadata_feature_names", "x"]), x)
        ),
        max_leaves=10,
    )
)
def test_any_json(hurried, body):
    content = json.dumps(body).encode()
    quiet(HTTP.post(f"{hurried.url}{OPERATIONS}/query-cells-by-ids", content=content))


def test_after_all_that(hurried):
    """It still answers, and its readers were not worn out."""
    until(lambda: post(hurried, SEARCH, h5ad(on_schema()), model_name="first").is_success)
    assert HTTP.get(f"{hurried.url}/healthz").is_success


def test_gene_lists_are_told_apart():
    """What the reader computes is what the service compares with."""
    import hashlib

    digest = hashlib.blake2b("\n".join(SCHEMA).encode(), digest_size=16).digest()
    assert GeneList(SCHEMA).digest == digest != GeneList(SCHEMA[::-1]).digest
