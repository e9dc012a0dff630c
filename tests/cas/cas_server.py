"""A small annotation service over real sockets, written from the description of the protocol.

It reads what is uploaded with anndata, as the service does, and computes answers that depend on every count,
the order of the genes and the name of the cell: whatever gets lost or mixed up on the way changes them.
`server.fault` may spoil any upload.
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anndata
import h5py
import numpy as np

TOKEN = "0f6c1d2e-locator-part.7a9b8c3d-secret-part"
GENERAL, CELLS = "/api/cellarium-general/", "/api/cellarium-cell-operations/"
_SECONDS = 300.0  # for a thread to start or end, on the busiest machine
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}

# A small ontology: 0 -> 1 -> 3 -> 4, 0 -> 2 -> 4; term 5 can not be reached.
TERMS = [f"CL:000000{i}" for i in range(6)]
ONTOLOGY = {
    "cl_names": TERMS,
    "cell_ontology_term_id_to_cell_type": {t: f"label {t[-1]}" for t in TERMS} | {TERMS[0]: "cell"},
    "children_dictionary": {
        TERMS[0]: TERMS[1:3],
        TERMS[1]: [TERMS[3]],
        TERMS[2]: [TERMS[4]],
        TERMS[3]: [TERMS[4]],
        TERMS[4]: [],
        TERMS[5]: [],
    },
    "shortest_path_lengths_from_cell_root": dict(zip(TERMS[:5], [0, 1, 1, 2, 2], strict=True)),
    "longest_path_lengths_from_cell_root": dict(zip(TERMS[:5], [0, 1, 1, 2, 3], strict=True)),
}


@dataclass
class Say:
    """An answer of another kind."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Reset(str):
    """When to reset the connection: "before", "during" or "after" the upload, or "answering"."""


class Hang:
    """Say nothing, ever."""


@dataclass
class Hold:
    """Say nothing until something has happened, then the right answer."""

    until: Callable[[], object]


@dataclass
class Drip:
    """Answer one byte at a time, with a pause after each."""

    every: float = 0.05


@dataclass
class Spoil:
    """Answer with what `change` makes of the right answers."""

    change: Any


@dataclass
class Upload:
    """What came."""

    number: int
    attempt: int
    path: str
    fields: dict[str, str]
    headers: dict[str, str]
    size: int
    names: list[str]
    genes: list[str]
    x: Any
    totals: np.ndarray
    keys: set[str]
    dtypes: dict[str, str]


def fingerprint(row: np.ndarray) -> float:
    """A number that depends on every count and its place."""
    places = np.flatnonzero(row)
    # Counts are whole numbers: the sum is exact in any order.
    return float((row[places].astype(np.float64) * (places + 1)).sum() % 9973) / 10


def summary_answer(name: str, row: np.ndarray, total: float, k: int = 2) -> dict[str, Any]:
    base = fingerprint(row)
    matches = [
        {
            "cell_type": f"type {int(base) % 7 + i}",
            "cell_count": 5 - i if i < 4 else 1,
            "min_distance": base + i,
            "p25_distance": base + i + 0.25,
            "median_distance": base + i + 0.5,
            "p75_distance": base + i + 0.75,
            "max_distance": float(total),
        }
        for i in range(k)
    ]
    return {"query_cell_id": name, "matches": matches}


def ontology_answer(name: str, row: np.ndarray, total: float, prune: float = 0.05) -> dict[str, Any]:
    share = (fingerprint(row) % 100) / 100
    scores = [1.0, share, 1 - share, share / 2, share / 4]
    labels = ONTOLOGY["cell_ontology_term_id_to_cell_type"]
    matches = [
        {"score": s, "cell_type_ontology_term_id": t, "cell_type": labels[t]}
        for s, t in zip(scores, TERMS, strict=False)
        if s >= prune
    ]
    return {
        "query_cell_id": name,
        "matches": matches,
        "total_weight": float(total),
        "total_neighbors": 10,
        "total_neighbors_unrecognized": 1,
    }


def search_answer(name: str, row: np.ndarray, total: float) -> dict[str, Any]:
    base = fingerprint(row)
    neighbors = [{"cas_cell_index": int(base * 10) + i, "distance": base + i} for i in range(3)]
    return {"query_cell_id": name, "neighbors": neighbors}


class Server:
    """The service, in a thread.

    Attributes
    ----------
    fault : callable or None
        ``fault(upload)`` gives Say, Reset, Hang, Drip, Spoil or None for the right answer.
    early : callable or None
        ``early(n)`` gives a Reset before upload number n has been read.
    route : callable or None
        ``route(path, n)`` gives Say, Hang, Hold or None for questions without counts.
    limit : int or None
        How many uploads are worked on at a time; others are refused with 429.
    hanging : set of str
        Paths of questions, and first cells of uploads, whose answers hang or drip.
    connections, open : int
        Connections until now, and those that are still there.
    """

    def __init__(self, schema: list[str], *, quota: int = 1_000_000, lifetime: int | None = None) -> None:
        self.schema = schema
        self.weekly, self.remaining, self.lifetime = quota, quota, lifetime
        self.token = TOKEN
        self.min_version = "1.8.0"
        self.ontological = True
        self.fault: Any = None
        self.early: Any = None
        self.route: Any = None
        self.limit: int | None = None
        self.work = 0.0
        self.uploads: list[Upload] = []
        self.answered: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.queries: list[dict[str, Any]] = []
        self.matches = 2
        self.busy = self.most_busy = self.connections = self.open = 0
        self.hanging: set[str] = set()
        self._n_early = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(_SECONDS)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    # HTTP -------------------------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        path, length = urlsplit(target).path, int(headers.get("content-length", 0))
        is_upload = headers.get("content-type", "").startswith("multipart/")
        if is_upload and self.early is not None:
            self._n_early += 1
            early = self.early(self._n_early - 1)
            if early is not None:
                if early == "during":
                    await reader.readexactly(length // 2)
                self._reset(writer)
                return False
        body = await reader.readexactly(length)
        if is_upload:
            outcome, asked = await self._upload(path, headers, body)
        else:
            self.asked.append((path, headers))
            outcome, asked = await self._question(method, path, headers, body), path
        if isinstance(outcome, Hang):
            self.hanging.add(asked)
            await asyncio.Event().wait()
        if isinstance(outcome, Reset) and outcome == "after":
            self._reset(writer)
            return False
        say, how = outcome if isinstance(outcome, tuple) else (outcome, None)
        raw = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
        told = {"content-type": "application/json", **say.headers, "content-length": len(raw)}
        lines = [
            f"HTTP/1.1 {say.status} {REASONS.get(say.status, 'Status')}",
            *(f"{k}: {v}" for k, v in told.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if isinstance(how, Drip):
            for i in range(len(raw)):
                writer.write(raw[i : i + 1])
                await writer.drain()
                if i == 0:
                    self.hanging.add(asked)
                await asyncio.sleep(how.every)
        elif isinstance(how, Reset):
            writer.write(raw[: len(raw) // 2])
            await writer.drain()
            return False  # closed in the middle of the answer
        else:
            writer.write(raw)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    # Questions without counts -----------------------------------------------------------------------

    async def _question(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        spoiled = None
        if self.route is not None:
            spoiled = self.route(path, sum(p == path for p, _ in self.asked) - 1)
        if isinstance(spoiled, Hold):
            while not spoiled.until():
                await asyncio.sleep(0.005)
            spoiled = None
        return self._general(method, path, headers, body) if spoiled is None else spoiled

    def _general(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        name = path.removeprefix(GENERAL)
        if name == "validate-client-version" and method == "POST":
            version = json.loads(body)["client_version"]
            ok = tuple(map(int, version.split("."))) >= tuple(map(int, self.min_version.split(".")))
            return Say(body={"is_valid": ok, "min_version": self.min_version})
        if name == "application-info":
            return Say(body={"application_version": "1.8.5", "default_feature_schema": "schema-1"})
        if headers.get("authorization") != f"Bearer {self.token}":
            return Say(401, {"detail": f"Bad token {headers.get('authorization')}"})
        if path == f"{CELLS}query-cells-by-ids":
            return self._query(json.loads(body))
        if name == "validate-token":
            return Say(body={"username": "u", "email": "u@x.org", "should_ask_for_feedback": False})
        if name == "list-models":
            return Say(body=self._models())
        if name == "feature-schemas":
            return Say(body=[{"schema_name": "schema-1"}])
        if name == "feature-schema/schema-1":
            return Say(body=self.schema)
        if name == "quota":
            return Say(body=self._quota())
        if name == "cell-ontology-resource/cl-1":
            return Say(body=ONTOLOGY)
        return Say(404, {"detail": "Not Found"})

    def _models(self) -> list[dict[str, Any]]:
        column = {"ontology_resource_name": "cl-1", "column_name": "cell_type", "description": None}
        model = {
            "description": "",
            "schema_name": "schema-1",
            "embedding_dimension": 512,
            "ontological_columns": [column] if self.ontological else [],
        }
        names = ("first", "second")
        return [{**model, "model_name": n, "is_default_model": n == "second"} for n in names]

    def _quota(self) -> dict[str, Any]:
        lifetime = None if self.lifetime is None else max(0, self.lifetime - (self.weekly - self.remaining))
        return {
            "user_id": 1,
            "weekly_quota": self.weekly,
            "remaining_weekly_quota": self.remaining,
            "quota_reset_date": "2030-01-07T00:00:00",
            "lifetime_quota": self.lifetime,
            "remaining_lifetime_quota": lifetime,
            "quota_increased": False,
        }

    def _query(self, asked: dict[str, Any]) -> Say:
        self.queries.append(asked)
        if not isinstance(asked.get("metadata_feature_names"), list):
            return Say(422, {"detail": [{"type": "list_type", "loc": ["body"], "msg": "no list"}]})
        known = [i for i in asked["cas_cell_ids"] if i < 1000]
        all_names = ["cell_type", "tissue", "is_primary_data", "total_mrna_umis"]
        values = {"cell_type": "B cell", "tissue": None, "is_primary_data": True, "total_mrna_umis": 7}
        return Say(
            body=[
                {"cas_cell_index": i}
                | {n: values[n] if n in asked["metadata_feature_names"] else None for n in all_names}
                for i in known
            ]
        )

    # Questions with counts --------------------------------------------------------------------------

    async def _upload(self, path: str, headers: dict[str, str], body: bytes) -> tuple[Any, str]:
        """What to say, and the name of the first cell."""
        if headers.get("authorization") != f"Bearer {self.token}":
            return Say(401, {"detail": "Invalid token"}), ""
        if self.limit is not None and self.busy >= self.limit:
            return Say(429, {"detail": "Too many requests"}), ""
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            upload = self._read(path, headers, body)
            self.uploads.append(upload)
            if self.work:
                await asyncio.sleep(self.work)
            return self._answer(upload), upload.names[0]
        finally:
            self.busy -= 1

    def _read(self, path: str, headers: dict[str, str], body: bytes) -> Upload:
        boundary = b"--" + headers["content-type"].split("boundary=")[1].encode()
        fields, file = {}, b""
        for part in body.split(boundary)[1:-1]:
            head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            data = data[:-2]
            name = head.split(b'name="')[1].split(b'"')[0].decode()
            if name == "file":
                assert b'filename="adata.h5ad"' in head
                assert b"application/octet-stream" in head
                file = data
            else:
                assert b"text/plain; charset=utf-8" in head
                fields[name] = data.decode()
        keys: set[str] = set()
        with h5py.File(io.BytesIO(file)) as h5:
            h5.visit(keys.add)
            adata = anndata.io.read_elem(h5)
        self.attempts[adata.obs_names[0]] += 1
        return Upload(
            len(self.uploads),
            self.attempts[adata.obs_names[0]],
            path.removeprefix(CELLS),
            fields,
            headers,
            len(body),
            list(adata.obs_names),
            list(adata.var_names),
            adata.X.tocsr(),
            adata.obs["total_mrna_umis"].to_numpy(),
            keys,
            {"X": str(adata.X.dtype), **{c: str(t) for c, t in adata.obs.dtypes.items()}},
        )

    def _answer(self, upload: Upload) -> Any:
        spoiled = self.fault(upload) if self.fault is not None else None
        if isinstance(spoiled, Hang | Say) or (isinstance(spoiled, Reset) and spoiled == "after"):
            return spoiled
        if upload.fields.get("model_name") not in ("first", "second"):
            return Say(400, {"detail": "Unknown model"})
        if (upload.dtypes["X"], upload.dtypes["total_mrna_umis"]) != ("float32", "float32"):
            return Say(400, {"detail": f"Wrong types {upload.dtypes}"})
        if upload.genes != self.schema:
            return Say(500, {"detail": "Error processing request"})
        if upload.path.startswith("annotate") and len(upload.names) > self._quota_left():
            return Say(429, {"detail": "User quota exceeded"})
        makers = {
            "annotate-cell-type-summary-statistics-strategy": lambda *a: summary_answer(*a, k=self.matches),
            "annotate-cell-type-ontology-aware-strategy": lambda *a: ontology_answer(
                *a, prune=float(upload.fields["prune_threshold"])
            ),
            "nearest-neighbor-search": search_answer,
        }
        dense = upload.x.toarray()
        make = makers[upload.path]
        answers = [make(n, dense[i], upload.totals[i]) for i, n in enumerate(upload.names)]
        if isinstance(spoiled, Spoil):
            return Say(body=spoiled.change(answers))
        if spoiled is None:
            self.answered.update(upload.names)
            if upload.path.startswith("annotate"):
                self.remaining -= len(upload.names)
        return Say(body=answers), spoiled

    def _quota_left(self) -> int:
        quota = self._quota()
        lifetime = quota["remaining_lifetime_quota"]
        return quota["remaining_weekly_quota"] if lifetime is None else min(lifetime, self.remaining)


def main(path: str) -> None:
    """Serve the genes of a file, one id a line, until the input ends; each line of input asks how it went.

    For benches: the client under test runs in a process of its own.
    """
    with open(path) as file:
        genes = file.read().split()
    with Server(genes) as server:
        print(server.url, flush=True)
        for _ in sys.stdin:
            sizes = [upload.size for upload in server.uploads]
            print(json.dumps({"uploads": len(sizes), "bytes": sum(sizes)}), flush=True)
            server.uploads.clear()


if __name__ == "__main__":
    main(sys.argv[1])
