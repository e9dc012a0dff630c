"""How near fates come to the truth: simulated cells, ours and CellRank 2.0.7 in one table.

    python benches/truth.py                                  # cells of `ferrocyte.datasets.simulate`
    python benches/truth.py --small --ours-only              # a minute
    python benches/truth.py --sets shallow "twelve fates"    # hard ones: rare fates, few and uneven counts
    python benches/truth.py --files a.h5ad b.h5ad            # more sets that know their fates

Both sides read the same file and do the same, see `truth_worker.py`. Fates are judged on cells that have not
arrived, by `ferrocyte.datasets.fate_error`: mean absolute error of the probabilities, smallest and mean
correlation of a fate with the truth, and the part of the cells with the same most probable fate. `given`:
terminal cells are given; `found`: they are macrostates named after the fate. TSI is the terminal state
identification over numbers of macrostates from 2 to three more than there are fates. A file needs what
`simulate` gives: `obsm["true_fate"]` and `["X_low"]`, `uns["fate_names"]`, `obs` with `leaf`, `terminal`,
`cell_type` and `pseudotime`; velocity is used, too, where there are layers `Ms` and `velocity` or
`true_spliced` and `true_velocity`.

The sets of `HARD` are what a laboratory would see, see `observed`: nothing of the simulation but counts, the
names of cell types, and a pseudotime with errors. There, macrostates miss fates.

The peer needs an environment of its own; its interpreter is given by `--peer` or `FERROCYTE_PEER_PYTHON`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from config import HERE
from machine import environment

SETS: dict[str, dict[str, Any]] = {
    "bifurcation": {"n_cells": 2000, "n_genes": 300, "tree": "bifurcation", "seed": 1},
    "trifurcation": {"n_cells": 2000, "n_genes": 300, "tree": "trifurcation", "seed": 2},
    "nested": {"n_cells": 3000, "n_genes": 500, "tree": "nested", "seed": 3},
    "nested, noisy": {"n_cells": 3000, "n_genes": 500, "tree": "nested", "seed": 3, "noise": 0.3},
    "blood": {"n_cells": 3000, "n_genes": 500, "tree": "blood", "seed": 4},
}
# Fates of 1.5 to 25 % of the cells.
TWELVE = {
    "stem": {"parent": None, "duration": 1.0},
    **{k: {"parent": "stem", "duration": d, "prob": p} for k, d, p in
       (("P", 1.0, 0.45), ("Q", 0.9, 0.35), ("R", 1.1, 0.2))},
    **{k: {"parent": "P", "duration": d, "prob": p} for k, d, p in
       (("A", 1.3, 0.5), ("B", 1.1, 0.25), ("C", 1.4, 0.15), ("D", 0.8, 0.07), ("E", 0.6, 0.03))},
    **{k: {"parent": "Q", "duration": d, "prob": p} for k, d, p in
       (("F", 1.2, 0.55), ("G", 1.0, 0.3), ("H", 0.9, 0.1), ("I", 0.7, 0.05))},
    **{k: {"parent": "R", "duration": d, "prob": p} for k, d, p in
       (("J", 1.3, 0.6), ("K", 0.9, 0.3), ("L", 0.8, 0.1))},
}  # fmt: skip
HARD: dict[str, dict[str, Any]] = {
    "shallow": {
        "n_cells": 2000,
        "n_genes": 300,
        "tree": "nested",
        "seed": 5,
        "depth": 0.3,
        "dispersion": 0.5,
    },
    "twelve fates": {"n_cells": 2000, "n_genes": 300, "tree": TWELVE, "seed": 6, "depth": 0.5},
}
TIME_ERROR = 0.15  # standard deviation, in units of pseudotime
SMALL: dict[str, dict[str, Any]] = {
    "bifurcation": {"n_cells": 800, "n_genes": 150, "tree": "bifurcation", "seed": 1},
    "nested": {"n_cells": 1000, "n_genes": 200, "tree": "nested", "seed": 3},
}
SIDES = {"ours": "ferrocyte", "peer": "cellrank"}
HEAD = (
    "data",
    "kernel",
    "side",
    "terminal cells",
    "MAE",
    "correlation, least",
    "mean",
    "same fate",
    "TSI",
    "states",
)


def options() -> argparse.Namespace:
    """Command line."""
    p = argparse.ArgumentParser(description="Fates against the truth, ours and CellRank 2.0.7.")
    peer = os.environ.get("FERROCYTE_PEER_PYTHON", str(HERE.parent / ".venv-peer" / "bin" / "python"))
    p.add_argument("--peer", default=peer, help="interpreter of the peer's environment (%(default)s)")
    p.add_argument("--files", nargs="*", type=Path, default=[], help="h5ad files with known fates")
    p.add_argument("--small", action="store_true", help="two small simulations only")
    p.add_argument("--sets", nargs="+", choices=[*SETS, *HARD], help="these simulations; default: easy ones")
    p.add_argument("--ours-only", action="store_true", help="do not run the peer")
    p.add_argument("--record", type=Path, default=HERE / "record", help="where the table goes (%(default)s)")
    p.add_argument("--name", default="truth", help="name in the file of the record (%(default)s)")
    return p.parse_args()


def with_graph(adata: Any) -> Any:
    """Layers by one name, and a graph on the true programs where the file brings none."""
    from scanpy.pp import neighbors

    for key, given in (("Ms", "true_spliced"), ("velocity", "true_velocity")):
        if given in adata.layers and key not in adata.layers:
            adata.layers[key] = adata.layers[given]
    if "connectivities" not in adata.obsp:
        neighbors(adata, n_neighbors=30, use_rep="X_low", random_state=0)
    return adata


def observed(adata: Any, seed: int) -> Any:
    """The same cells as a laboratory sees them: everything from counts, pseudotime with errors."""
    import scanpy as sc
    import scipy.sparse as sp

    n = adata.n_obs
    counts = sc.AnnData(adata.X.copy())
    sc.pp.normalize_total(counts)
    sc.pp.log1p(counts)
    sc.pp.pca(counts, n_comps=20, random_state=0)
    sc.pp.neighbors(counts, n_neighbors=30, random_state=0)
    adata.obsp.update(counts.obsp)
    adata.uns["neighbors"] = counts.uns["neighbors"]
    depth = np.asarray((adata.layers["spliced"] + adata.layers["unspliced"]).sum(axis=1)).ravel()
    among = (counts.obsp["connectivities"] > 0).astype(float) + sp.eye(n)
    mean = (
        sp.diags(1 / np.asarray(among.sum(axis=1)).ravel())
        @ among
        @ sp.diags(np.median(depth) / np.maximum(depth, 1))
    )
    for layer, key in (("Ms", "spliced"), ("Mu", "unspliced")):
        adata.layers[layer] = (mean @ adata.layers[key]).toarray().astype(np.float32)
    beta, gamma = adata.var["beta"].to_numpy(), adata.var["gamma"].to_numpy()
    adata.layers["velocity"] = (beta * adata.layers["Mu"] - gamma * adata.layers["Ms"]).astype(np.float32)
    error = TIME_ERROR * np.random.default_rng(seed).normal(size=n)
    adata.obs["pseudotime"] = np.maximum(adata.obs["pseudotime"] + error, 0)
    return adata


def data(opts: argparse.Namespace, scratch: Path) -> dict[str, tuple[Path, list[str]]]:
    """Name -> file and the kernels that it has data for."""
    import anndata as ad
    from ferrocyte.datasets import simulate

    found = {}
    specs = {name: (SETS | HARD)[name] for name in opts.sets} if opts.sets else SMALL if opts.small else SETS
    made = {name: simulate(**spec) for name, spec in specs.items()}
    made |= {name: observed(made[name], HARD[name]["seed"]) for name in specs if name in HARD}
    made |= {path.stem: ad.read_h5ad(path) for path in opts.files}
    for i, (name, adata) in enumerate(made.items()):
        adata = with_graph(adata)
        kernels = ["velocity"] if {"Ms", "velocity"} <= set(adata.layers) else []
        path = scratch / f"{i}.h5ad"
        adata.write_h5ad(path)
        found[name] = (path, [*kernels, "pseudotime"])
    return found


def work(python: str, library: str, path: Path, kernel: str, scratch: Path) -> dict[str, Any]:
    """Run one worker; its answer."""
    answer = scratch / "answer.npz"
    command = [python, str(HERE / "truth_worker.py"), library, str(path), kernel, str(answer)]
    done = subprocess.run(command, env=environment(1), capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise SystemExit(f"{library} failed on {path}:\n{tail}")
    with np.load(answer) as file:
        return dict(file)


def judge(path: Path, answer: dict[str, Any]) -> dict[str, Any]:
    """Errors of one answer against the truth of the file."""
    import anndata as ad
    import pandas as pd
    from ferrocyte.datasets import fate_error

    adata = ad.read_h5ad(path)
    row: dict[str, Any] = {"tsi": float(answer["tsi"]), "seconds": float(answer["seconds"])}
    if "found/n" in answer:
        row["n_states"] = int(answer["found/n"])
    for kind in ("given", "found"):
        if f"{kind}/fate" in answer:
            fate = pd.DataFrame(answer[f"{kind}/fate"], columns=answer[f"{kind}/names"].astype(str))
            table = fate_error(adata, fate)
            row[kind] = {
                "mae": float(table.loc["all", "mae"]),
                "pearson_least": float(table["pearson"].min()),
                "pearson_mean": float(table["pearson"].mean()),
                "agreement": float(table.loc["all", "agreement"]),
            }
    return row


def markdown(rows: list[dict[str, Any]], versions: str) -> str:
    """The table of the record."""
    lines = [list(HEAD), ["---"] * len(HEAD)]
    for row in rows:
        for kind in ("given", "found"):
            head = [row["data"], row["kernel"], row["side"], kind]
            if kind not in row:
                lines.append([*head, "not every fate has a macrostate", *[""] * 3, f"{row['tsi']:.3f}", ""])
                continue
            r = row[kind]
            figures = [f"{r[key]:.4f}" for key in ("mae", "pearson_least", "pearson_mean", "agreement")]
            rest = [f"{row['tsi']:.3f}", str(row["n_states"])] if kind == "found" else ["", ""]
            lines.append([*head, *figures, *rest])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"# Fates of simulated cells against the truth\n\n{versions}\n\n{table}\n"


def main() -> int:
    """Run both sides on all sets, write the table."""
    opts = options()
    sides = {"ours": sys.executable} | ({} if opts.ours_only else {"peer": opts.peer})
    rows = []
    with tempfile.TemporaryDirectory(prefix="ferrocyte-truth-") as name:
        scratch = Path(name)
        for data_name, (path, kernels) in data(opts, scratch).items():
            for kernel in kernels:
                for side, python in sides.items():
                    answer = work(python, SIDES[side], path, kernel, scratch)
                    rows.append({"data": data_name, "kernel": kernel, "side": side, **judge(path, answer)})
                    print(json.dumps(rows[-1]), flush=True)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = f"Made by `benches/truth.py` on {date}: ferrocyte"
    versions += "." if opts.ours_only else ", and CellRank 2.0.7 with pyGPCCA 1.0.4."
    opts.record.mkdir(parents=True, exist_ok=True)
    file = opts.record / f"{date}-{opts.name}.json"
    file.write_text(json.dumps(rows, indent=1) + "\n")
    file.with_suffix(".md").write_text(markdown(rows, versions))
    print(f"\n{markdown(rows, versions)}\nWritten to {file} and {file.with_suffix('.md').name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
