"""Cells a second from end to end: our client, HTTP, our service, a large reference.

    python benches/cas_throughput.py FOLDER make --cells 100000
    python benches/cas_throughput.py FOLDER make --cells 1000000 --model FOLDER/reference-100000
    python benches/cas_throughput.py FOLDER time --cells 100000 --chunks 20
    python benches/cas_throughput.py FOLDER report [--record NAME]

Step by step, because a million cells take a while to be made into a reference and timing wants a machine for
itself. Cells are simulated: 20,000 genes, 300 types with terms of the Cell Ontology, 128 components, 100
neighbors by cosine; those that ask have some 1,300 genes each. The service is a process of its own with its
defaults, the client has one thread. Everything counts: counts are brought to the schema, written as h5ad and
sent; the service reads the file, embeds, searches, scores and answers; the client checks and keeps answers.

A chunk has 1,000 cells (500 for a search, the most that the protocol takes). Chunks are sent one at a time
for the time of each, then as many at a time as the client does by default for cells per second. Processor
time of client and service is told as well: it holds on a busy machine, too.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata as ad
import httpx
import numpy as np
import scipy.sparse as sp
from ferrocyte.cas import CASClient
from ferrocyte.cas._arguments import token
from ferrocyte.cas._http import HttpTransport, Request, Response
from ferrocyte.cas.local import build_reference
from ferrocyte.cas.local._ontology import packaged_ontology
from machine import describe

HERE = Path(__file__).parent
GENES, TYPES, DIM, NEIGHBORS = 20_000, 300, 128, 100
BLOCK = 10_000
SECONDS_PER_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
CALLS = {
    "ontology": ("annotate_matrix_cell_type_ontology_aware_strategy", 1000),
    "summary": ("annotate_matrix_cell_type_summary_statistics_strategy", 1000),
    "search": ("search_matrix", 500),
}

# Cells --------------------------------------------------------------------------------------------------


def profiles() -> np.ndarray:
    """Cumulative shares of all genes, for each type: 40 programs in mixtures of their own."""
    rng = np.random.default_rng(0)
    programs = rng.standard_normal((40, GENES)) * 0.5
    logs = rng.normal(0.0, 1.5, GENES) + rng.standard_normal((TYPES, 40)) @ programs * 0.5
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)


def cells(n: int, molecules: int, seed: int) -> ad.AnnData:
    """Counts of molecules that are drawn one by one from the genes of a type."""
    cumulative = profiles()
    terms = [t for t in packaged_ontology().terms if t != "CL:0000000"][
        :: len(packaged_ontology().terms) // TYPES
    ]
    kinds, blocks = [], []
    for start in range(0, n, BLOCK):
        rng = np.random.default_rng([seed, start])
        kind = np.sort(rng.integers(0, TYPES, min(BLOCK, n - start)))
        total = rng.poisson(molecules * rng.lognormal(0.0, 0.3, len(kind)))
        genes = np.concatenate(
            [np.searchsorted(cumulative[k], rng.random(m)) for k, m in _by_type(kind, total)]
        )
        genes = np.minimum(genes, GENES - 1)
        rows = np.repeat(np.arange(len(kind)), total)
        ones = np.ones(len(rows), dtype=np.float32)
        block = sp.coo_matrix((ones, (rows, genes)), shape=(len(kind), GENES)).tocsr()
        mixed = rng.permutation(len(kind))
        blocks.append(block[mixed])
        kinds.append(kind[mixed])
    adata = ad.AnnData(X=sp.vstack(blocks, format="csr"))
    adata.obs_names = [f"cell-{seed}-{i}" for i in range(n)]
    adata.var_names = [f"ENSG{i:011d}" for i in range(GENES)]
    kind = np.concatenate(kinds)
    adata.obs["cell_type"] = np.array([packaged_ontology().terms[t].label for t in terms], dtype=object)[kind]
    adata.obs["cell_type_ontology_term_id"] = np.array(terms, dtype=object)[kind]
    return adata


def _by_type(kind: np.ndarray, total: np.ndarray) -> list[tuple[int, int]]:
    molecules = np.bincount(kind, weights=total, minlength=TYPES).astype(int)
    return [(k, m) for k, m in enumerate(molecules) if m]


# Service and client -------------------------------------------------------------------------------------


class Service:
    """The service as a process, and the processor time that it and its readers have used."""

    def __init__(self, reference: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "ferrocyte", "cas", "serve", "--port", str(port)]
        self.process = subprocess.Popen([*command, "--reference", str(reference)], stderr=subprocess.DEVNULL)
        for _ in range(1200):
            try:
                httpx.get(f"{self.url}/healthz", trust_env=False)
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise TimeoutError("the service does not start")

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.wait(120)

    def _processes(self) -> list[str]:
        pid = self.process.pid
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [str(pid), *(c for task in tasks for c in (task / "children").read_text().split())]

    def cpu(self) -> float:
        """Seconds."""
        fields = [Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split() for p in self._processes()]
        return sum(int(f[11]) + int(f[12]) for f in fields) * SECONDS_PER_TICK

    def peak_mb(self) -> int:
        """Resident memory of all of them, at most; what is mapped from files counts."""
        lines = [
            line for p in self._processes() for line in Path(f"/proc/{p}/status").read_text().splitlines()
        ]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


class Timed(HttpTransport):
    """Notes how long each question with counts took, from counts to the last byte of its answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url, token("any.token"), connect_timeout=10.0, max_connections=20)
        self.seconds: list[float] = []
        self.bytes = [0, 0]

    async def request(self, request: Request) -> Response:
        begin = time.perf_counter()
        response = await super().request(request)
        if request.upload is not None:
            self.seconds.append(time.perf_counter() - begin)
            self.bytes[1] += len(response.body)
        return response


def ask(service: Service, adata: ad.AnnData, call: str, at_a_time: int) -> dict[str, Any]:
    """All cells once; the first chunk is asked for beforehand, and does not count."""
    method, chunk = CALLS[call]
    transport = Timed(service.url)
    with CASClient(transport=transport, max_concurrent_requests=at_a_time, n_jobs=1) as client:
        getattr(client, method)(adata[:chunk], chunk_size=chunk, show_progress=False)
        transport.seconds.clear()
        transport.bytes[1] = 0
        cpu, theirs, begin = time.process_time(), service.cpu(), time.perf_counter()
        results = getattr(client, method)(adata, chunk_size=chunk, show_progress=False)
        seconds = time.perf_counter() - begin
    assert len(results.data) == len(adata)
    assert [cell.query_cell_id for cell in results.data] == list(adata.obs_names)
    n = len(adata)
    return {
        "at_a_time": at_a_time,
        "chunk": chunk,
        "cells": n,
        "seconds": round(seconds, 2),
        "cells_per_s": round(n / seconds),
        "client_cpu_s_per_1000_cells": round((time.process_time() - cpu) / n * 1000, 3),
        "service_cpu_s_per_1000_cells": round((service.cpu() - theirs) / n * 1000, 3),
        "answer_kb_per_cell": round(transport.bytes[1] / n / 1000, 2),
        "chunk_s": [round(s, 3) for s in transport.seconds],
        "p50_s": round(float(np.percentile(transport.seconds, 50)), 3),
        "p95_s": round(float(np.percentile(transport.seconds, 95)), 3),
    }


# Steps --------------------------------------------------------------------------------------------------


def keep(folder: Path, what: str, found: dict[str, Any]) -> None:
    results = folder / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    known[what] = {**known.get(what, {}), **found}
    results.write_text(json.dumps(known, indent=1))
    print(what, json.dumps(found), flush=True)


def make(args: argparse.Namespace) -> None:
    reference = args.folder / f"reference-{args.cells}"
    cpu, begin = time.process_time(), time.perf_counter()
    adata = cells(args.cells, 350, 1)
    print(
        f"simulated: {time.perf_counter() - begin:.0f} s, {adata.X.nnz / len(adata):.0f} genes a cell",
        flush=True,
    )
    cpu, begin = time.process_time(), time.perf_counter()
    made = build_reference(
        adata,
        reference,
        "cell_type",
        model=args.model or "pca",
        n_components=DIM,
        n_neighbors=NEIGHBORS,
        n_jobs=args.threads,
        overwrite=True,
    )
    size = sum(f.stat().st_size for f in reference.rglob("*") if f.is_file())
    found = {
        "search": made.manifest["search"],
        "recall": made.manifest.get("recall"),
        "embedding": "taken from another reference" if args.model else "learned",
        "made_s": round(time.perf_counter() - begin, 1),
        "made_cpu_s": round(time.process_time() - cpu, 1),
        "mb": round(size / 1e6),
    }
    keep(args.folder, f"{args.cells} cells", found)


def measure(args: argparse.Namespace) -> None:
    file = args.folder / "queries.h5ad"
    if not file.exists():
        cells(40_000, 2000, 2).write_h5ad(file)
    adata = ad.read_h5ad(file)[: args.chunks * 1000].to_memory()
    with Service(args.folder / f"reference-{args.cells}") as service:
        for call in args.calls:
            for at_a_time in (1, 15):
                found = ask(service, adata, call, at_a_time) | {"load": round(os.getloadavg()[0], 2)}
                found["service_peak_mb"] = service.peak_mb()
                keep(args.folder, f"{args.cells} cells, {call}, {at_a_time} at a time", found)


def report(args: argparse.Namespace) -> None:
    known = json.loads((args.folder / "results.json").read_text())
    head = ["reference", "question", "at a time", "cells/s", "p50 of a chunk, s", "p95, s"]
    head += ["service, CPU s per 1,000 cells", "client", "service, MB"]
    print(f"| {' | '.join(head)} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, r in known.items():
        if "p50_s" in r:
            where, call, _ = name.split(", ")
            cpu = f"{r['service_cpu_s_per_1000_cells']} | {r['client_cpu_s_per_1000_cells']}"
            times = f"{r['cells_per_s']:,} | {r['p50_s']} | {r['p95_s']}"
            print(f"| {where} | {call} | {r['at_a_time']} | {times} | {cpu} | {r['service_peak_mb']} |")
    if args.record:
        versions = {name: version(name) for name in ("ferrocyte", "numpy", "anndata", "h5py", "usearch")}
        content = {"machine": describe(), "versions": versions, **known}
        (HERE / "record" / f"{args.record}.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    steps = p.add_subparsers(dest="step", required=True)
    made = steps.add_parser("make")
    made.add_argument("--cells", type=int, default=100_000)
    made.add_argument("--model", type=Path, help="another reference, whose embedding is used")
    made.add_argument("--threads", type=int, default=2)
    timed = steps.add_parser("time")
    timed.add_argument("--cells", type=int, default=100_000, help="of the reference")
    timed.add_argument("--chunks", type=int, default=20, help="thousands of cells that are asked about")
    timed.add_argument("--calls", nargs="+", choices=list(CALLS), default=list(CALLS))
    steps.add_parser("report").add_argument("--record", help="write benches/record/NAME.json")
    args = p.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    {"make": make, "time": measure, "report": report}[args.step](args)


if __name__ == "__main__":
    sys.exit(main())
