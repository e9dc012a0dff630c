"""An annotation service for benches: reads what it must, answers at once, counts bytes and times.

    python benches/cas_service.py SCHEMA.json MATCHES

Prints its port. Runs in a process of its own, so that its work is not counted as a client's. An answer
depends on every count of its cell and on the order of the genes, so that clients can be compared by their
results.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SCHEMA_NAME = "bench-schema"
GENERAL, CELLS = "/api/cellarium-general/", "/api/cellarium-cell-operations/"
MODEL = {
    "model_name": "bench",
    "description": "",
    "schema_name": SCHEMA_NAME,
    "is_default_model": True,
    "embedding_dimension": 2,
    "ontological_columns": [],
}
QUOTA = {
    "user_id": 1,
    "weekly_quota": 10**9,
    "remaining_weekly_quota": 10**9,
    "quota_reset_date": "2030-01-01T00:00:00",
    "lifetime_quota": None,
    "remaining_lifetime_quota": None,
    "quota_increased": True,
}


class State:
    """What has been seen."""

    def __init__(self, schema: list[str], matches: int) -> None:
        self.schema, self.matches = schema, matches
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.first_upload: float | None = None
        self.uploads = self.bytes = 0


def strings(group: Any) -> list[str]:
    """Names in an h5ad index, in either of the ways in which they are stored."""
    values = group[group.attrs.get("_index", "_index")][()]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def answers(upload: bytes, state: State) -> list[dict[str, Any]]:
    """One answer a cell: scores made from its counts."""
    with h5py.File(io.BytesIO(upload), "r") as file:
        names = strings(file["obs"])
        genes = strings(file["var"])
        x = file["X"]
        data, indices, indptr = (x[k][()] for k in ("data", "indices", "indptr"))
        totals = np.asarray(file["obs"]["total_mrna_umis"][()], dtype=np.float64)
    if genes != state.schema:
        raise ValueError("features are not those of the schema")
    weighted = np.concatenate([[0.0], np.cumsum(data.astype(np.float64) * (indices + 1.0))])
    prints = (weighted[indptr[1:]] - weighted[indptr[:-1]]) % 9973
    out = []
    for name, number, total in zip(names, prints, totals, strict=True):
        matches = [
            {
                "score": round((float(number) + k) % 1000 / 1000, 6),
                "cell_type_ontology_term_id": f"CL:{k:07d}",
                "cell_type": f"type {k}",
            }
            for k in range(state.matches)
        ]
        out.append(
            {
                "query_cell_id": name,
                "matches": matches,
                "total_weight": float(total),
                "total_neighbors": 100,
                "total_neighbors_unrecognized": 0,
            }
        )
    return out


def handler(state: State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0].removeprefix(GENERAL)
            if path == "/bench/stats":
                with state.lock:
                    stats = {k: getattr(state, k) for k in ("first_upload", "uploads", "bytes")}
                    state.reset()
                return self.say(stats)
            known: dict[str, Any] = {
                "validate-token": {"username": "bench", "email": "", "should_ask_for_feedback": False},
                "application-info": {"application_version": "0", "default_feature_schema": SCHEMA_NAME},
                "list-models": [MODEL],
                "feature-schemas": [{"schema_name": SCHEMA_NAME}],
                f"feature-schema/{SCHEMA_NAME}": state.schema,
                "quota": QUOTA,
            }
            return self.say(known[path]) if path in known else self.say({"detail": "Not Found"}, 404)

        def do_POST(self) -> None:
            begin = time.time()
            body = self.body()
            if self.path.endswith("validate-client-version"):
                return self.say({"is_valid": True, "min_version": "1.8.0"})
            with state.lock:
                state.first_upload = min(begin, state.first_upload or begin)
                state.uploads += 1
                state.bytes += len(body)
            try:
                return self.say(answers(self.file(body), state))
            except Exception as err:
                return self.say({"detail": str(err)}, 500)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def file(self, body: bytes) -> bytes:
            head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
            for part in BytesParser().parsebytes(head + body).walk():
                if part.get_param("name", header="content-disposition") == "file":
                    return part.get_payload(decode=True)  # type: ignore[return-value]
            raise ValueError("there is no file")

        def say(self, content: Any, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    return Handler


if __name__ == "__main__":
    shared = State(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(shared))
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
