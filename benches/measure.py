"""Clock and memory of one worker process. Needs only the standard library, numpy, scipy and anndata."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp

VERSIONS = ("ferrocyte", "cellrank", "numpy", "scipy", "anndata", "numba", "jax", "scvelo", "pygpcca")


def arguments() -> argparse.Namespace:
    """What the driver tells a worker."""
    p = argparse.ArgumentParser()
    p.add_argument("--case", required=True, help="name of a case in cases.toml")
    p.add_argument("--data", required=True, type=Path, help="h5ad file")
    p.add_argument("--answer", required=True, type=Path, help="npz file to write")
    p.add_argument("--report", required=True, type=Path, help="json file to write")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--repeats", type=int, default=5, help="warm repeats")
    p.add_argument("--budget", type=float, default=120.0, help="seconds after which no repeat is started")
    return p.parse_args()


def pin(threads: int) -> list[int]:
    """Bind this process to the first `threads` processors that it may use."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, cores)
    return cores


def _status(field: str) -> int:
    """Bytes from `/proc/self/status`, or 0 where there is no such file."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


class PeakMemory:
    """Highest resident memory while the block runs, above what was resident when it began, in bytes."""

    extra = 0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        with contextlib.suppress(OSError):  # memory freed but kept by the allocator would hide new use
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        try:
            Path("/proc/self/clear_refs").write_text("5")  # restart the high-water mark
            self.resettable = True
        except OSError:
            self.resettable = False
        self.before = _status("VmRSS")
        return self

    def __exit__(self, *exc: object) -> None:
        self.extra = _status("VmHWM") - self.before if self.resettable else -1


def nbytes(value: Any) -> int:
    """Bytes of an array or a CSR matrix."""
    if sp.issparse(value):
        return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes
    return np.asarray(value).nbytes


def save_answer(path: Path, answer: dict[str, Any]) -> None:
    """Write arrays and CSR matrices to an npz file."""
    out: dict[str, Any] = {}
    for key, value in answer.items():
        if sp.issparse(value):
            m = sp.csr_matrix(value)
            m.sort_indices()
            out |= {f"{key}.data": m.data, f"{key}.indices": m.indices, f"{key}.indptr": m.indptr}
        else:
            out[key] = np.asarray(value)
    np.savez(path, **out)


def _input_bytes(adata: Any) -> int:
    """What the case reads: the layers of a velocity set; the chain and the expression of another."""
    layers = [adata.layers[key] for key in ("Ms", "velocity") if key in adata.layers]
    return sum(nbytes(m) for m in layers or [adata.X, adata.obsp["T_fwd"]])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def work(lib: ModuleType, import_seconds: float, opts: argparse.Namespace) -> None:
    """Run one case: first call, memory, warm repeats, answer, report."""
    import anndata as ad
    from config import find_case
    from jobs import JOBS

    warnings.simplefilter("ignore")
    case = find_case(opts.case)
    adata = ad.read_h5ad(opts.data)
    job = JOBS[case["job"]](lib, adata, case["args"], opts.threads)
    clock = time.perf_counter

    def once() -> tuple[tuple[float, float, float], Any, Any]:
        t0 = clock()
        obj = job.construct()
        t1, c1 = clock(), time.process_time()
        result = job.run(obj)
        t2, c2 = clock(), time.process_time()
        return (t1 - t0, t2 - t1, c2 - c1), obj, result

    with PeakMemory() as memory:
        (first_construct, first, first_cpu), obj, result = once()
    answer = job.answer(obj, result)
    save_answer(opts.answer, answer)
    result_bytes = sum(nbytes(v) for v in answer.values())
    report: dict[str, Any] = {
        "first_construct": first_construct,
        "first": first,
        "import": import_seconds,
        "result_bytes": result_bytes,
        "input_bytes": _input_bytes(adata),
        "n_cells": adata.n_obs,
    }

    del answer
    times: list[tuple[float, float, float]] = []
    begin = clock()
    if opts.repeats == 0:  # for work of minutes, of which there is only the first call
        times = [(first_construct, first, first_cpu)]
        report["peak_extra_bytes"] = memory.extra
    while len(times) < opts.repeats and (not times or clock() - begin < opts.budget):
        del obj, result
        gc.collect()
        seconds, obj, result = once()
        times.append(seconds)
    construct, run, cpu = (list(x) for x in zip(*times, strict=True))

    if opts.repeats and clock() - begin + run[-1] < opts.budget:  # once more for memory, not timed
        del obj, result
        with PeakMemory() as memory:
            _, obj, result = once()
        report["peak_extra_bytes"] = memory.extra
    report |= {
        "construct": construct,
        "run": run,
        "cpu": cpu,
        "threads": opts.threads,
        "rss_bytes": _status("VmRSS"),
        "versions": _versions(),
    }
    opts.report.write_text(json.dumps(report, indent=1))
    sys.stdout.write(f"{opts.case}: first {first:.4g} s, best of {len(run)} warm {min(run):.4g} s\n")
