"""Nearest neighbors among many cells: ours, beside scikit-learn and libraries for approximate search.

    python benches/cas_search.py FOLDER make --cells 1000000
    python benches/cas_search.py FOLDER build usearch
    python benches/cas_search.py FOLDER time "ours, exact" "scikit-learn, brute force" --chunks 5
    python benches/cas_search.py FOLDER report [--record NAME]

Step by step, because building an index takes minutes and timing wants a machine for itself. Cells lie as
principal components put them: around centers of types, with less and less variance from axis to axis. Chunks
of 1,000 cells of their own ask for 100 neighbors by cosine. Every answer is compared with that of the exact
search of ours: the same neighbors where the search is exact, a share of them (recall) where it is not.
usearch comes with the extra `local`; hnswlib and faiss (`faiss-cpu`) have to be installed by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ferrocyte import _core
from ferrocyte.cas.local import _approximate
from machine import describe
from numpy.typing import NDArray

HERE = Path(__file__).parent
DIM, K, CHUNK, QUERIES = 128, 100, 1000, 20_000
Vectors = NDArray[np.float32]
Search = Callable[[Vectors], NDArray[Any]]


class Bench:
    """Vectors, indices and results in a folder."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.results = folder / "results.json"

    def keep(self, what: str, **found: Any) -> None:
        known = json.loads(self.results.read_text()) if self.results.exists() else {}
        known[what] = {**known.get(what, {}), **found}
        self.results.write_text(json.dumps(known, indent=1))
        print(what, json.dumps(found), flush=True)

    def load(self, name: str) -> Vectors:
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r"))

    # Steps ----------------------------------------------------------------------------------------------

    def make(self, n: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        scale = np.arange(1, DIM + 1) ** -0.5
        centers = rng.standard_normal((300, DIM)) * scale
        for name, count in (("vectors", n), ("queries", QUERIES)):
            out = np.lib.format.open_memmap(
                self.folder / f"{name}.npy", "w+", dtype=np.float32, shape=(count, DIM)
            )
            for start in range(0, count, 100_000):
                part = out[start : start + 100_000]
                x = centers[rng.integers(0, len(centers), len(part))]
                x = x + 0.6 * rng.standard_normal(part.shape) * scale
                part[:] = x / np.linalg.norm(x, axis=1, keepdims=True)
        self.keep("cells", n=n, dim=DIM, k=K)

    def build(self, library: str) -> None:
        vectors = self.load("vectors")
        cpu, wall = time.process_time(), time.perf_counter()
        BUILD[library](vectors, self.folder / f"index.{library}")
        size = (self.folder / f"index.{library}").stat().st_size
        self.keep(
            library,
            build_cpu_s=round(time.process_time() - cpu, 1),
            build_s=round(time.perf_counter() - wall, 1),
            index_mb=round(size / 1e6),
        )

    def time(self, engine: str, chunks: int, after: int) -> None:
        search = ENGINES[engine](self)
        queries = self.load("queries")
        search(queries[:10])
        seconds, cpu = [], time.process_time()
        found = []
        for i in range(after, after + chunks):
            part = np.ascontiguousarray(queries[i * CHUNK : (i + 1) * CHUNK])
            begin = time.perf_counter()
            found.append(search(part))
            seconds.append(time.perf_counter() - begin)
        cpu = time.process_time() - cpu
        known = json.loads(self.results.read_text()).get(engine, {})
        seconds = known.get("chunk_s", []) + [round(s, 4) for s in seconds]
        self.keep(
            engine,
            threads=self.threads,
            chunk_s=seconds,
            cells_per_s=round(CHUNK * len(seconds) / sum(seconds)),
            cells_per_cpu_s=round(CHUNK * chunks / cpu),
            p50_s=round(float(np.percentile(seconds, 50)), 3),
            p95_s=round(float(np.percentile(seconds, 95)), 3),
            **self.compared(engine, np.vstack(found)[:CHUNK], after),
        )

    def compared(self, engine: str, rows: NDArray[Any], after: int) -> dict[str, float]:
        """Share of the true neighbors of the first chunk."""
        part = np.ascontiguousarray(self.load("queries")[after * CHUNK :][: len(rows)])
        file = self.folder / f"truth-{after}.npy"
        if engine == "ours, exact":
            np.save(file, rows)
        if not file.exists():
            return {}
        truth = np.load(file)
        assert len(truth) == len(part)
        hits = [len(np.intersect1d(a, b)) for a, b in zip(truth, rows, strict=True)]
        return {"recall": round(float(np.mean(hits)) / K, 5)}

    def report(self, record: str | None) -> None:
        found = json.loads(self.results.read_text())
        print("| search | recall | cells/s | cells/s of one core | p50, s | p95, s | chunks |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, r in found.items():
            if "p50_s" in r:
                recall = r.get("recall", "-")
                cells = f"{r['cells_per_s']:,} | {r['cells_per_cpu_s']:,}"
                print(f"| {name} | {recall} | {cells} | {r['p50_s']} | {r['p95_s']} | {len(r['chunk_s'])} |")
        for name, r in found.items():
            if "build_cpu_s" in r:
                print(f"{name}: built in {r['build_cpu_s']} s of processor time, {r['index_mb']} MB")
        if record:
            content = {"machine": describe(), "versions": versions(), **found}
            (HERE / "record" / f"{record}.json").write_text(json.dumps(content, indent=1) + "\n")


def versions() -> dict[str, str]:
    out = {}
    for name in ("ferrocyte", "numpy", "scikit-learn", "usearch", "hnswlib", "faiss-cpu"):
        try:
            out[name] = version(name)
        except ImportError:
            continue
    return out


# Libraries: 16 links a cell, 128 candidates while building, 512 while searching; one thread to build -----

LINKS, WHILE_BUILDING, WHILE_SEARCHING = 16, 128, 512


def build_hnswlib(vectors: Vectors, path: Path) -> None:
    import hnswlib

    index = hnswlib.Index("ip", DIM)
    index.init_index(len(vectors), M=LINKS, ef_construction=WHILE_BUILDING)
    index.add_items(vectors, num_threads=1)
    index.save_index(str(path))


def build_faiss(vectors: Vectors, path: Path) -> None:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(DIM, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = WHILE_BUILDING
    for start in range(0, len(vectors), 10_000):
        index.add(vectors[start : start + 10_000])
    faiss.write_index(index, str(path))


BUILD: dict[str, Callable[[Vectors, Path], Any]] = {
    "usearch": lambda vectors, path: _approximate.build_index(vectors, "cosine", path),
    "hnswlib": build_hnswlib,
    "faiss": build_faiss,
}


def ours_exact(bench: Bench) -> Search:
    vectors = bench.load("vectors")
    return lambda q: _core.exact_neighbors(vectors, q, K, metric="cosine", threads=bench.threads)[0]


def opened(bench: Bench) -> tuple[Any, Vectors]:
    index = _approximate._empty(DIM, "cosine")
    index.view(str(bench.folder / "index.usearch"))
    return index, bench.load("vectors")


def ours_approximate(bench: Bench) -> Search:
    index = _approximate.Index(*opened(bench), "cosine")
    return lambda q: index.neighbors(q, K, threads=bench.threads)[0]


def usearch_alone(bench: Bench) -> Search:
    index, _ = opened(bench)
    return lambda q: index.search(q, K, threads=bench.threads).keys.astype(np.int64)


def usearch_exact(bench: Bench) -> Search:
    import usearch.index as library

    vectors, how = bench.load("vectors"), library.MetricKind.Cos
    return lambda q: library.search(vectors, q, K, how, exact=True, threads=bench.threads).keys.astype(
        np.int64
    )


def hnswlib_alone(bench: Bench) -> Search:
    import hnswlib

    index = hnswlib.Index("ip", DIM)
    index.load_index(str(bench.folder / "index.hnswlib"))
    index.set_ef(WHILE_SEARCHING)
    return lambda q: index.knn_query(q, K, num_threads=bench.threads)[0].astype(np.int64)


def faiss_alone(bench: Bench) -> Search:
    import faiss

    faiss.omp_set_num_threads(bench.threads)
    index = faiss.read_index(str(bench.folder / "index.faiss"))
    index.hnsw.efSearch = WHILE_SEARCHING
    return lambda q: index.search(q, K)[1]


def faiss_exact(bench: Bench) -> Search:
    import faiss

    faiss.omp_set_num_threads(bench.threads)
    index = faiss.IndexFlatIP(DIM)
    index.add(bench.load("vectors"))
    return lambda q: index.search(q, K)[1]


def scikit_learn(bench: Bench) -> Search:
    """By Euclidean distance, its fastest loop: vectors have length 1, and the order is the same."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    threadpool_limits(bench.threads)
    index = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="euclidean", n_jobs=bench.threads)
    index.fit(bench.load("vectors"))
    return lambda q: index.kneighbors(q, return_distance=True)[1]


ENGINES: dict[str, Callable[[Bench], Search]] = {
    "ours, exact": ours_exact,
    "ours, approximate": ours_approximate,
    "scikit-learn, brute force": scikit_learn,
    "usearch, exact": usearch_exact,
    "faiss, exact": faiss_exact,
    "usearch": usearch_alone,
    "hnswlib": hnswlib_alone,
    "faiss": faiss_alone,
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    p.add_argument("--threads", type=int, default=2)
    steps = p.add_subparsers(dest="step", required=True)
    steps.add_parser("make").add_argument("--cells", type=int, default=100_000)
    steps.add_parser("build").add_argument("libraries", nargs="+", choices=list(BUILD))
    timed = steps.add_parser("time")
    timed.add_argument("engines", nargs="+", choices=list(ENGINES))
    timed.add_argument("--chunks", type=int, default=10)
    timed.add_argument("--after", type=int, default=0, help="chunks that were asked before")
    steps.add_parser("report").add_argument("--record", help="write benches/record/NAME.json")
    args = p.parse_args()
    bench = Bench(args.folder, args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.step == "make":
        bench.make(args.cells)
    elif args.step == "build":
        for library in args.libraries:
            bench.build(library)
    elif args.step == "time":
        for engine in args.engines:
            bench.time(engine, args.chunks, args.after)
    else:
        bench.report(args.record)


if __name__ == "__main__":
    sys.exit(main())
