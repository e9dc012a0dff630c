"""Many clients at a service that is killed and started again: no answer wrong, none lost, no cell miscounted.

    python benches/cas_load.py [--seconds 60] [--clients 32] [--kill-every 10] [--reference FOLDER]

Clients annotate cells of their own, over and over, chunk by chunk. Each answer is compared with that of the
same engine in this process. In the end the quota that was counted must be the cells that were answered, to
the cell: a chunk that is sent again after its answer was lost is counted once. Without `--reference`, one of
simulated cells is made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from ferrocyte.cas import AsyncCASClient, CASClient
from ferrocyte.cas.local import LocalTransport, Reference, build_reference
from ferrocyte.cas.server._database import Database
from ferrocyte.cas.server._quota import UNLIMITED, Quotas
from ferrocyte.cas.server._tokens import Tokens

TERMS = {"T cell": "CL:0000084", "B cell": "CL:0000236", "natural killer cell": "CL:0000623"}


def simulated(n: int, n_genes: int, seed: int) -> ad.AnnData:
    """Cells of three types, each with genes of its own."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    mean = np.full((3, n_genes), 0.15)
    for k in range(3):
        mean[k, k * n_genes // 3 : (k + 1) * n_genes // 3] = 0.5
    blocks = [
        sp.csr_matrix(rng.poisson(mean[kind[i : i + 1000]]).astype(np.float32)) for i in range(0, n, 1000)
    ]
    adata = ad.AnnData(X=sp.vstack(blocks).tocsr())
    adata.obs_names = [f"cell-{seed}-{i}" for i in range(n)]
    adata.var_names = [f"ENSG{i:011d}" for i in range(n_genes)]
    adata.obs["cell_type"] = np.array(list(TERMS))[kind]
    return adata


def sample(reference: Reference, n: int, seed: int) -> ad.AnnData:
    """Counts on the genes of a reference."""
    adata = simulated(n, len(reference.genes), seed)
    adata.var_names = reference.genes
    del adata.obs["cell_type"]
    return adata


class Service:
    """The service as a process that is killed and started again."""

    def __init__(self, reference: Path, tokens: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "ferrocyte", "cas", "serve", "--port", str(self.port)]
        self._command += ["--reference", str(reference), "--tokens", str(tokens)]
        self._lock = threading.Lock()
        self.memory: list[tuple[float, int]] = []
        self.starts = 0
        self.statuses: dict[int, int] = {}
        self.start()

    def start(self) -> None:
        with self._lock:
            self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
            self.starts += 1
            self._begin = time.monotonic()
            threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                status = json.loads(line).get("status")
            except ValueError:  # cut short by a kill, or not ours
                print(line, file=sys.stderr, end="")
                continue
            if status is not None:
                self.statuses[status] = self.statuses.get(status, 0) + 1

    def look(self) -> None:
        """Note the memory of the process, in MB."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        found = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")]
        if found:
            self.memory.append((time.monotonic() - self._begin, int(found[0]) // 1024))

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(120)


async def client(
    service: Service, token: str, adata: ad.AnnData, right: list[object], until: float, chunk: int
) -> tuple[int, int, list[float]]:
    """Annotate the same cells until the time is up; cells answered, wrong answers, seconds of each call."""
    answered = wrong = 0
    seconds = []
    async with AsyncCASClient(
        token,
        service.url,
        1000,
        retry_delay=0.1,
        max_retry_delay=1.0,
        request_timeout=60.0,
        total_timeout=600.0,
        max_concurrent_requests=4,
    ) as annotator:
        while time.monotonic() < until:
            begin = time.monotonic()
            results = await annotator.annotate_matrix_cell_type_ontology_aware_strategy(
                adata, chunk_size=chunk, show_progress=False
            )
            seconds.append(time.monotonic() - begin)
            found = [cell.model_dump() for cell in results.data]
            answered += len(found)
            wrong += sum(a != b for a, b in zip(found, right, strict=True))
    return answered, wrong, seconds


async def run(args: argparse.Namespace, folder: Path) -> dict[str, object]:
    path = args.reference
    if path is None:
        path = folder / "simulated"
        build_reference(
            simulated(20_000, 2000, 0), path, "cell_type", n_components=50, n_top_genes=None, n_neighbors=100
        )
    reference = Reference(path)
    database = Database(folder / "tokens.db")
    users = [database.add_user(f"user-{i}", weekly_quota=UNLIMITED) for i in range(4)]
    tokens = [Tokens(database).create(user) for user in users]
    data = [sample(reference, args.cells, i + 1) for i in range(args.clients)]
    with CASClient(transport=LocalTransport({reference.name: reference})) as local:
        right = [
            [
                cell.model_dump()
                for cell in local.annotate_matrix_cell_type_ontology_aware_strategy(
                    adata, show_progress=False
                ).data
            ]
            for adata in data
        ]
    service = Service(path, folder / "tokens.db")
    until = time.monotonic() + args.seconds
    stop = threading.Event()

    def torment() -> None:
        """Kill it with and without notice, in turn; a kill without notice comes at any moment."""
        rng = np.random.default_rng(0)
        last = time.monotonic()
        while not stop.wait(0.5):
            service.look()
            if time.monotonic() - last > args.kill_every * rng.uniform(0.7, 1.3) and time.monotonic() < until:
                service.end(signal.SIGKILL if service.starts % 3 else signal.SIGTERM)
                service.start()
                last = time.monotonic()

    torturer = threading.Thread(target=torment)
    torturer.start()
    jobs = [client(service, tokens[i % 4], data[i], right[i], until, args.chunk) for i in range(args.clients)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    stop.set()
    torturer.join()
    service.end(signal.SIGTERM)
    failed = [repr(o)[:300] for o in outcomes if isinstance(o, BaseException)]
    done = [o for o in outcomes if not isinstance(o, BaseException)]
    counted = [Quotas(database).counted(user) for user in users]
    expected = [0] * 4
    for i, outcome in enumerate(outcomes):
        if not isinstance(outcome, BaseException):
            expected[i % 4] += outcome[0]
    seconds = np.concatenate([o[2] for o in done]) if done else np.zeros(1)
    database.close()
    late = [mb for age, mb in service.memory if age > 5]
    return {
        "clients": args.clients,
        "starts": service.starts,
        "cells_answered": sum(o[0] for o in done),
        "wrong": sum(o[1] for o in done),
        "failed": failed,
        "counted": counted,
        "expected": expected,
        "statuses": dict(sorted(service.statuses.items())),
        "call_p50_s": round(float(np.percentile(seconds, 50)), 3),
        "call_p95_s": round(float(np.percentile(seconds, 95)), 3),
        "memory_mb": [min(late), max(late)] if late else [],
        "memory_by_age": [(round(age), mb) for age, mb in service.memory[-12:]],
    }


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--clients", type=int, default=32)
    p.add_argument("--kill-every", type=float, default=10.0, help="seconds, on average; 0 for never")
    p.add_argument("--cells", type=int, default=60, help="of each client")
    p.add_argument("--chunk", type=int, default=15)
    p.add_argument("--reference", type=Path)
    args = p.parse_args()
    if args.kill_every <= 0:
        args.kill_every = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(args, Path(folder)))
    print(json.dumps(found, indent=1))
    right = found["counted"] == found["expected"] and not found["wrong"] and not found["failed"]
    print("right" if right else "WRONG")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
