"""Uploads that are broken on purpose, at a service with a real reference, for a while.

    python benches/cas_fuzz.py [--seconds 120] [--seed 0] [--record NAME]

Each upload is a good h5ad file that something was done to: bytes flipped or cut, types, shapes, links and
filters of HDF5 that should not be there, sizes that are only declared, counts that are none, genes of
others, or a form that is none. A service process reads them, under the limits that users get.

What must hold of every answer: it comes within a minute, it is a 200 for all cells of the file or a 4xx with
a reason, and nothing of /etc/passwd is in it. And of the service: it is the same process all along, and
answers a good file with the same bytes. Prints how often each kind of file got which status, and the memory
of the service with its readers; ends with 1 if something did not hold.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import httpx
import numpy as np
import scipy.sparse as sp
from cas_load import Service, sample, simulated
from ferrocyte.cas.local import Reference, build_reference
from machine import describe

HERE = Path(__file__).parent
OPERATIONS = "/api/cellarium-cell-operations"
ROUTES = {
    "annotate-cell-type-ontology-aware-strategy": {"prune_threshold": "0.05", "weighting_prefactor": "1.0"},
    "annotate-cell-type-summary-statistics-strategy": {"include_extended_output": "True"},
    "nearest-neighbor-search": {},
}
SECRET = Path("/etc/passwd")
Change = Callable[[h5py.File, np.random.Generator], None]

# What is done to a file ---------------------------------------------------------------------------------


def arrays(file: h5py.File) -> list[str]:
    """Paths of all datasets."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def groups(file: h5py.File) -> list[str]:
    """Paths of all groups."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Group) else None)
    return found


def put(file: h5py.File, path: str, data: Any = None, **how: Any) -> None:
    """Another dataset in the place of one, with its attributes."""
    attributes = dict(file[path].attrs)
    del file[path]
    file.create_dataset(path, data=data, **how).attrs.update(attributes)


def other_dtype(file: h5py.File, rng: np.random.Generator) -> None:
    numbers = [p for p in arrays(file) if file[p].dtype.kind in "fiu"]
    path = rng.choice(numbers)
    kinds = ["f2", "f8", ">f4", "i1", "i4", "u8", ">i8", "S3", "bool", "c8", [("a", "f4"), ("b", "i2")]]
    kind = kinds[rng.integers(len(kinds))]
    put(
        file,
        path,
        np.zeros(file[path].shape, kind) if isinstance(kind, list) else file[path][...].astype(kind),
    )


def other_shape(file: h5py.File, rng: np.random.Generator) -> None:
    path = rng.choice(arrays(file))
    shapes = [(), (0,), (1,), (3, 3), (2, 2, 2), (7,), (10**6,)]
    put(file, path, np.zeros(shapes[rng.integers(len(shapes))], "f4" if rng.random() < 0.7 else "i8"))


def missing(file: h5py.File, rng: np.random.Generator) -> None:
    del file[rng.choice(arrays(file) + groups(file))]


def huge(file: h5py.File, rng: np.random.Generator) -> None:
    """Up to exabytes, declared; nothing of it is there."""
    path = rng.choice(arrays(file))
    n = 2 ** int(rng.integers(30, 60))
    text = file[path].dtype.kind == "O"
    put(
        file,
        path,
        shape=(n,) if rng.random() < 0.8 else (4, n // 4),
        dtype=h5py.string_dtype() if text else file[path].dtype,
        chunks=True,
        compression="gzip" if rng.random() < 0.5 else None,
        fillvalue=None if text else 1,
    )


def inflating(file: h5py.File, rng: np.random.Generator) -> None:
    """A chunk that says it is small, and grows to gigabytes when it is unpacked."""
    path = rng.choice([p for p in arrays(file) if file[p].dtype.kind == "f" and file[p].ndim == 1])
    n = file[path].shape[0]
    put(file, path, shape=(n,), dtype="f4", chunks=(n,), compression="gzip")
    unpacker = zlib.compressobj(9)
    content = b"".join(unpacker.compress(bytes(2**24)) for _ in range(int(rng.integers(1, 100))))
    file[path].id.write_direct_chunk((0,), content + unpacker.flush())


def bomb(file: h5py.File, rng: np.random.Generator) -> None:
    """A file of kilobytes with honest gigabytes of zeros in it."""
    n = 2 ** int(rng.integers(26, 32))
    put(file, rng.choice(arrays(file)), shape=(n,), dtype="f4", chunks=(2**20,), compression="gzip")


def soft(file: h5py.File, rng: np.random.Generator) -> None:
    path = rng.choice(arrays(file) + groups(file))
    del file[path]
    file[path] = h5py.SoftLink(rng.choice(["/X", "/", "/nowhere", "/obs/total_mrna_umis", f"/{path}"]))


def external(file: h5py.File, rng: np.random.Generator) -> None:
    path = rng.choice(arrays(file) + groups(file))
    del file[path]
    file[path] = h5py.ExternalLink(rng.choice([str(SECRET), "/dev/zero", "/proc/self/mem"]), "/")


def external_data(file: h5py.File, rng: np.random.Generator) -> None:
    path = rng.choice([p for p in arrays(file) if file[p].dtype.kind in "fiu"])
    n = file[path].size
    where = rng.choice([str(SECRET), "/dev/zero", "/proc/self/environ"])
    put(file, path, shape=(n,), dtype=file[path].dtype, external=[(where, 0, n * 8)])


def virtual(file: h5py.File, rng: np.random.Generator) -> None:
    path = rng.choice([p for p in arrays(file) if file[p].dtype.kind in "fiu"])
    shape, dtype, attributes = file[path].shape, file[path].dtype, dict(file[path].attrs)
    layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
    layout[...] = h5py.VirtualSource(rng.choice([str(SECRET), "."]), "X/data", shape=shape)
    del file[path]
    file.create_virtual_dataset(path, layout).attrs.update(attributes)


def deep(file: h5py.File, rng: np.random.Generator) -> None:
    """Groups in groups in groups, or one that holds itself, in the place of something."""
    path = rng.choice(arrays(file) + groups(file))
    del file[path]
    if rng.random() < 0.5:
        file[path] = file["/"]
        return
    inner = file.create_group(path)
    for _ in range(int(rng.integers(10, 2000))):
        inner = inner.create_group("g")


def many(file: h5py.File, rng: np.random.Generator) -> None:
    """Thousands of things that nobody asked for."""
    where = file[rng.choice(groups(file))]
    for i in range(int(rng.integers(100, 3000))):
        where.attrs[f"a{i}"] = i if i < 100 else 0
        where.create_dataset(f"d{i}", data=i)


def attribute(file: h5py.File, rng: np.random.Generator) -> None:
    names = [(p, a) for p in ["X", "obs", "var"] if p in file for a in file[p].attrs]
    path, name = names[rng.integers(len(names))]
    values = ["", ".", "..", "/", "X", "../X/data", -1, 1.5, [2**62, 2**62], np.zeros(4000), b"\xff\xfe"]
    del file[path].attrs[name]
    if rng.random() < 0.9:
        file[path].attrs[name] = values[rng.integers(len(values))]


def pointers(file: h5py.File, rng: np.random.Generator) -> None:
    """Row pointers and indices of the sparse matrix, somewhere else."""
    path = rng.choice(["X/indptr", "X/indices"])
    if path in file:
        x = file[path][...]
        limits = np.iinfo(x.dtype)
        values = np.array([-1, 0, 1, 10**6, limits.max, limits.min], dtype=x.dtype)
        x[rng.integers(len(x), size=3)] = rng.choice(values, 3)
        file[path][...] = x


def no_counts(file: h5py.File, rng: np.random.Generator) -> None:
    """NaN, infinite, negative or fractional counts and totals."""
    path = rng.choice([p for p in arrays(file) if file[p].dtype.kind == "f"])
    x = file[path][...]
    x.flat[rng.integers(x.size, size=3)] = rng.choice([np.nan, np.inf, -np.inf, -1, 1e38, 0.5], 3)
    file[path][...] = x


def names(file: h5py.File, rng: np.random.Generator) -> None:
    """Names that are long, empty, the same, strange or no text."""
    path = rng.choice(["obs/_index", "var/_index"])
    n = file[path].shape[0]
    kinds: list[Any] = [
        ["x" * 100_000] * n,
        [""] * n,
        ["same"] * n,
        ["\U0001f9ec\u202e<script>"] * n,
        np.array([b"\xff\xfe\x00\x01"] * n, dtype="S4"),
        np.arange(n),
    ]
    kind = kinds[rng.integers(len(kinds))]
    put(file, path, kind, dtype=h5py.string_dtype() if isinstance(kind, list) else None)


def wrong_genes(file: h5py.File, rng: np.random.Generator) -> None:
    found = file["var/_index"].asstr()[...].tolist()
    if rng.random() < 0.5:
        rng.shuffle(found)
    else:
        found[int(rng.integers(len(found)))] = "TP53"
    put(file, "var/_index", found, dtype=h5py.string_dtype())


def plugin(file: h5py.File, rng: np.random.Generator) -> None:
    """A filter that would have to be loaded: code from somewhere."""
    path = rng.choice([p for p in arrays(file) if file[p].dtype.kind == "f" and file[p].ndim == 1])
    parent, _, name = path.rpartition("/")
    n = file[path].shape[0]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((n,))
    plist.set_filter(int(rng.integers(256, 65_535)), h5py.h5z.FLAG_OPTIONAL, ())
    del file[path]
    h5py.h5d.create(
        file[parent].id, name.encode(), h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((n,)), plist
    )


CHANGES: tuple[Change, ...] = (
    other_dtype,
    other_shape,
    missing,
    huge,
    inflating,
    bomb,
    soft,
    external,
    external_data,
    virtual,
    deep,
    many,
    attribute,
    pointers,
    no_counts,
    names,
    wrong_genes,
    plugin,
)


def edited(content: bytes, change: Change, rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        change(file, rng)
    return buffer.getvalue()


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bits; more often than not where HDF5 keeps its structures."""
    out = np.frombuffer(content, np.uint8).copy()
    within = min(len(out), 4096) if rng.random() < 0.6 else len(out)
    at = rng.integers(within, size=int(rng.integers(1, 40)))
    out[at] ^= (1 << rng.integers(0, 8, size=len(at))).astype(np.uint8)
    return out.tobytes()


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))] + rng.bytes(int(rng.integers(0, 300)))


# Forms --------------------------------------------------------------------------------------------------


def form(content: bytes, fields: dict[str, str]) -> tuple[bytes, str]:
    """As the official client writes it."""
    request = httpx.Request(
        "POST",
        "http://localhost",
        files={"file": ("adata.h5ad", content, "application/octet-stream")},
        data=fields,
    )
    return request.read(), request.headers["content-type"]


def broken(content: bytes, fields: dict[str, str], rng: np.random.Generator) -> tuple[bytes, str]:
    """A form with something wrong about it."""
    body, kind = form(content, fields)
    boundary = kind.partition("boundary=")[2].encode()
    begin = body.index(b"\r\n\r\n")
    ways: list[Callable[[], tuple[bytes, str]]] = [
        lambda: (body[: int(rng.integers(len(body)))], kind),
        lambda: (body, "multipart/form-data"),
        lambda: (body, f"multipart/form-data; boundary={'y' * int(rng.integers(1, 300))}"),
        lambda: (body.replace(boundary, b"--" + boundary), kind),
        lambda: (body.replace(b"\r\n", b"\n"), kind),
        lambda: (body.replace(b'name="file"', rng.choice([b'name=""', b"name", b'name="model_name"'])), kind),
        lambda: (body.replace(b"filename=", b"filename*="), kind),
        lambda: (body[:begin] + b"\r\nX-A: " + b"a" * int(rng.integers(1, 10**6)) + body[begin:], kind),
        lambda: (body[:begin] + rng.bytes(50) + body[begin:], kind),
        lambda: ((b"--" + boundary + b"\r\n") * int(rng.integers(1, 10**5)) + body, kind),
        lambda: (body * 2, kind),
        lambda: (form(content, dict.fromkeys(map(str, range(100)), "x"))[0], kind),
        lambda: form(content, {**fields, "prune_threshold": "nan"}),
        lambda: form(content, {**fields, "weighting_prefactor": "9" * 5000}),
        lambda: form(content, {**fields, "model_name": "\x00" * 10}),
        lambda: (rng.bytes(int(rng.integers(0, 5000))), kind),
    ]
    return ways[rng.integers(len(ways))]()


# The run ------------------------------------------------------------------------------------------------


def written(adata: ad.AnnData, folder: Path) -> bytes:
    adata.write_h5ad(folder / "cells.h5ad", compression="gzip")
    return (folder / "cells.h5ad").read_bytes()


def good_files(reference: Reference, folder: Path) -> list[bytes]:
    """As clients have to send them, in each layout."""
    out = []
    for i, kind in enumerate((sp.csr_matrix, sp.csc_matrix, np.asarray)):
        adata = sample(reference, 12, i + 1)
        adata.obs["total_mrna_umis"] = np.asarray(adata.X.sum(axis=1)).ravel().astype(np.float32)
        adata.X = kind(adata.X.toarray())
        out.append(written(adata, folder))
    return out


class Judge:
    """Sends uploads and keeps what did not hold."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        self._secret = SECRET.read_bytes().splitlines()[0]
        self.counts: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        self.wrong: list[str] = []
        self.slowest: dict[str, float] = {}

    def send(self, what: str, seed: list[int], route: str, body: bytes, kind: str) -> httpx.Response | None:
        begin = time.monotonic()
        try:
            found = self._http.post(f"{OPERATIONS}/{route}", content=body, headers={"content-type": kind})
        except httpx.HTTPError as err:
            self.wrong.append(f"{what}, seed {seed}: {err!r}")
            return None
        self.slowest[what] = max(self.slowest.get(what, 0.0), time.monotonic() - begin)
        self.counts[what][found.status_code] += 1
        fits = found.status_code in (200, 400, 413, 422)
        answer = found.json() if fits else {}
        reason = len(answer) == 12 if found.status_code == 200 else answer.get("detail")
        if not fits or not reason or self._secret in found.content:
            self.wrong.append(f"{what}, seed {seed}: {found.status_code} {found.text[:300]}")
        return found


def listens(url: str) -> None:
    """Wait for a service that was just started."""
    for _ in range(600):
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise TimeoutError("the service does not start")


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    made = build_reference(
        simulated(1000, 300, 0), folder / "simulated", "cell_type", n_components=20, n_top_genes=None
    )
    service = Service(made.path)
    listens(service.url)
    files = good_files(made, folder)
    judge = Judge(service.url, "any.token")
    first: dict[int, bytes] = {}
    pid, n, until = service.process.pid, 0, time.monotonic() + args.seconds
    kinds = [change.__name__ for change in CHANGES] + ["flipped"] * 4 + ["cut", "broken form", "good"]
    by_name = {change.__name__: change for change in CHANGES}
    while time.monotonic() < until:
        seed = [args.seed, n]
        rng = np.random.default_rng(seed)
        what, which = kinds[n % len(kinds)], int(rng.integers(len(files)))
        route = list(ROUTES)[n % len(ROUTES)]
        content, fields = files[which], {"model_name": "simulated", **ROUTES[route]}
        if what in by_name:
            content = edited(content, by_name[what], rng)
        elif what == "flipped":
            content = flipped(content, rng)
        elif what == "cut":
            content = cut(content, rng)
        if what == "broken form":
            judge.send(what, seed, route, *broken(content, fields, rng))
        elif what == "good":
            found = judge.send(what, seed, next(iter(ROUTES)), *form(content, fields))
            if found is None or first.setdefault(which, found.content) != found.content:
                judge.wrong.append(f"good, seed {seed}: another answer than before")
            service.look()
        else:
            judge.send(what, seed, route, *form(content, fields))
        n += 1
    alive = service.process.poll() is None and service.process.pid == pid
    metrics = httpx.get(f"{service.url}/metrics", trust_env=False).text if alive else ""
    service.end(15)
    return {
        "machine": describe(),
        "seed": args.seed,
        "seconds": args.seconds,
        "uploads": n,
        "statuses": {what: dict(sorted(found.items())) for what, found in sorted(judge.counts.items())},
        "slowest_s": {what: round(s, 2) for what, s in sorted(judge.slowest.items())},
        "alive": alive,
        "readers_replaced": [
            line for line in metrics.splitlines() if line.startswith("ferrocyte_cas_reader")
        ],
        "memory_of_quarters_mb, service and readers": service.grown(),
        "wrong": judge.wrong,
    }


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=120.0)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--record", help="write benches/record/NAME.json")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    text = json.dumps(found, indent=1)
    print(text)
    if args.record:
        (HERE / "record" / f"{args.record}.json").write_text(text + "\n")
    return 0 if found["alive"] and not found["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
