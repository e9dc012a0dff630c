"""Many clients at a service that is killed and started again: no answer wrong, none lost, no cell miscounted.

    python benches/cas_load.py [--seconds 60] [--clients 32] [--kill-every 10] [--reference FOLDER]

Clients annotate cells of their own, over and over, chunk by chunk. Each answer is compared with that of the
same engine in this process. In the end the quota that was counted must be the cells that were answered, to
the cell: a chunk that is sent again after its answer was lost is counted once. Without `--reference`, one of
simulated cells is made. With `--kill-every 0` the service lives all the time, which shows whether it grows.
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
from machine import describe

HERE = Path(__file__).parent
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

    def __init__(self, reference: Path, tokens: Path | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "ferrocyte", "cas", "serve", "--port", str(self.port)]
        self._command += ["--reference", str(reference)]
        self._command += [] if tokens is None else ["--tokens", str(tokens)]
        self._lock = threading.Lock()
        # For each start: seconds since then, MB of the service, MB of the processes that read uploads.
        self.memory: list[list[tuple[float, int, int]]] = []
        self.starts = 0
        self.listens: float | None = None
        self.statuses: dict[int, int] = {}
        self.start()

    def start(self) -> None:
        with self._lock:
            self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
            self.starts += 1
            self.memory.append([])
            self._begin = time.monotonic()
            self.listens = None
            threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                said = json.loads(line)
            except ValueError:  # cut short by a kill, or not ours
                print(line, file=sys.stderr, end="")
                continue
            if said["event"] == "listening":
                self.listens = time.monotonic()
            if (status := said.get("status")) is not None:
                self.statuses[status] = self.statuses.get(status, 0) + 1

    def look(self) -> None:
        """Note the memory of the process and of those that read uploads for it."""
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            own, readers = resident(pid), sum(map(resident, children))
        except OSError:  # one of them has just ended
            return
        self.memory[-1].append((time.monotonic() - self._begin, own // 1024, readers // 1024))

    def grown(self) -> list[list[int]]:
        """Medians, in MB, of service and readers, in four parts of the longest life without its first 5 s."""
        found = [mb for age, *mb in max(self.memory, key=len) if age > 5]
        parts = np.array_split(found, 4) if len(found) >= 4 else []
        return [np.median(part, axis=0).astype(int).tolist() for part in parts]

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(120)


def resident(pid: int | str) -> int:
    """Memory of a process, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


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
        life = args.kill_every * rng.uniform(0.5, 1.5)
        while not stop.wait(0.25):
            service.look()
            now = time.monotonic()
            if service.listens is not None and now - service.listens > life and now < until:
                service.end(signal.SIGKILL if service.starts % 3 else signal.SIGTERM)
                service.start()
                life = args.kill_every * rng.uniform(0.5, 1.5)

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
    late = [own + readers for life in service.memory for age, own, readers in life if age > 5]
    return {
        "machine": describe(),
        "seconds": args.seconds,
        "kill_every": args.kill_every if np.isfinite(args.kill_every) else None,
        "clients": args.clients,
        "calls": len(seconds),
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
        "memory_of_the_longest_life_mb, service and readers": service.grown(),
    }


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--clients", type=int, default=32)
    p.add_argument(
        "--kill-every", type=float, default=10.0, help="seconds that it listens, on average; 0: never"
    )
    p.add_argument("--cells", type=int, default=60, help="of each client")
    p.add_argument("--chunk", type=int, default=15)
    p.add_argument("--reference", type=Path)
    p.add_argument("--record", help="write benches/record/NAME.json")
    args = p.parse_args()
    if args.kill_every <= 0:
        args.kill_every = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(args, Path(folder)))
    print(json.dumps(found, indent=1))
    if args.record:
        (HERE / "record" / f"{args.record}.json").write_text(json.dumps(found, indent=1) + "\n")
    right = found["counted"] == found["expected"] and not found["wrong"] and not found["failed"]
    print("right" if right else "WRONG")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
