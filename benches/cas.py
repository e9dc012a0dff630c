"""The annotation client against the official one, before the same service.

    python benches/cas.py --peer .venv-peer-cas/bin/python [--cells 10000,50000] [--record NAME]

Each client runs in a process and an environment of its own, three times unless told otherwise; their answers
must agree, cell by cell, before anything is reported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from machine import describe

HERE = Path(__file__).parent
N_GENES, COUNTS = 20_000, 1_500


def cells(n: int, conforming: bool, schema: list[str], path: Path) -> None:
    """Counts as a droplet assay gives them: few genes in most cells, most counts 1, about 1,500 genes a cell.

    The genes are those of the schema, or, for not conforming ones, a tenth of them others and all of them in
    another order.
    """
    rng = np.random.default_rng(n)
    genes = list(schema)
    if not conforming:
        extra = [f"ENSG9{i:010d}" for i in range(N_GENES // 10)]
        genes = list(rng.permutation(genes[: -(N_GENES // 10)] + extra))
    share = rng.lognormal(sigma=2.0, size=N_GENES)
    share *= COUNTS / share.sum()
    for _ in range(20):  # no gene can be in more than every cell
        share = np.minimum(share, 1.0)
        share *= COUNTS / share.sum()
    share = np.minimum(share, 1.0)
    blocks = []
    for start in range(0, n, 1000):
        m = min(1000, n - start)
        present = sp.csr_matrix(rng.random((m, N_GENES), dtype=np.float32) < share)
        depth = 1.0 + 4.0 * share[present.indices]
        data = 1.0 + rng.poisson(0.5 * rng.exponential(depth))
        blocks.append(
            sp.csr_matrix((data.astype(np.float32), present.indices, present.indptr), present.shape)
        )
    obs = pd.DataFrame(index=[f"cell-{i}" for i in range(n)])
    adata = anndata.AnnData(sp.vstack(blocks, format="csr"), obs=obs, var=pd.DataFrame(index=genes))
    adata.write_h5ad(path)


def run(python: str, which: str, url: str, data: Path, folder: Path) -> dict[str, Any]:
    """One client, once."""
    urllib.request.urlopen(f"{url}/bench/stats").read()  # forget what was before
    answers, report = folder / f"{which}.npz", folder / f"{which}.json"
    command = [python, str(HERE / "cas_worker.py"), which, url, str(data), str(answers), str(report)]
    subprocess.run(command, check=True, capture_output=True, cwd=HERE)
    out: dict[str, Any] = json.loads(report.read_text())
    stats = json.loads(urllib.request.urlopen(f"{url}/bench/stats").read())
    out["first_request_seconds"] = stats["first_upload"] - out.pop("begin")
    out["bytes"], out["uploads"] = stats["bytes"], stats["uploads"]
    return out


def same(folder: Path) -> bool:
    """Whether both clients brought the same answers home, in the same order."""
    ours, theirs = (np.load(folder / f"{which}.npz") for which in ("ours", "official"))
    return all(np.array_equal(ours[k], theirs[k]) for k in ("names", "scores", "totals"))


def compare(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Minima of both, and ratios official / ours."""
    keys = ("cpu_seconds", "seconds", "first_request_seconds", "extra_bytes", "bytes")
    least = {w: {k: min(r[k] for r in rs) for k in keys} for w, rs in runs.items()}
    median = {w: {k: float(np.median([r[k] for r in rs])) for k in keys} for w, rs in runs.items()}
    ratio = {k: least["official"][k] / max(least["ours"][k], 1e-9) for k in keys}
    matrix = runs["ours"][0]["matrix_bytes"]
    return {
        "min": least,
        "median": median,
        "ratio": ratio,
        "matrix_bytes": matrix,
        "extra_of_matrix": least["ours"]["extra_bytes"] / matrix,
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--peer", required=True, help="python of the environment with cellarium-cas 1.8.0")
    p.add_argument("--cells", default="10000,50000")
    p.add_argument("--matches", default="5,60", help="matches a cell in the answers")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--record", help="write benches/record/NAME.json")
    args = p.parse_args()
    schema = [f"ENSG{i:011d}" for i in range(N_GENES)]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "schema.json").write_text(json.dumps(schema))
        for n in map(int, args.cells.split(",")):
            for conforming in (True, False):
                data = folder / "cells.h5ad"
                cells(n, conforming, schema, data)
                for matches in map(int, args.matches.split(",")):
                    row = case(args, folder, data, matches)
                    row |= {"n_cells": n, "conforming": conforming, "matches": matches}
                    rows.append(row)
                    shown = {k: row[k] for k in ("n_cells", "conforming", "matches", "ratio", "min")}
                    shown = {k: row[k] for k in ("n_cells", "conforming", "matches", "ratio", "min")}
                    print(json.dumps(shown), flush=True)
    if args.record:
        record = {"machine": describe(), "cases": rows}
        (HERE / "record" / f"{args.record}.json").write_text(json.dumps(record, indent=1) + "\n")


def case(args: argparse.Namespace, folder: Path, data: Path, matches: int) -> dict[str, Any]:
    """Both clients on the same cells, in turn."""
    command = [sys.executable, str(HERE / "cas_service.py"), str(folder / "schema.json"), str(matches)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            url = f"http://127.0.0.1:{int(service.stdout.readline())}"
            runs: dict[str, list[dict[str, Any]]] = {"ours": [], "official": []}
            for _ in range(args.repeats):
                runs["official"].append(run(args.peer, "official", url, data, folder))
                runs["ours"].append(run(sys.executable, "ours", url, data, folder))
                if not same(folder):
                    sys.exit("The answers of the two clients differ.")
        finally:
            service.terminate()
    return compare(runs)


if __name__ == "__main__":
    main()
