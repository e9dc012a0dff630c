"""Fates of simulated cells by one library, whose public names agree. Started by `truth.py`.

python benches/truth_worker.py ferrocyte cells.h5ad velocity answer.npz
"""

from __future__ import annotations

import importlib
import logging
import sys
import time
import warnings
from types import ModuleType
from typing import Any

import anndata as ad
import numpy as np

N_CELLS = 30  # of a macrostate
QUIET: dict[str, Any] = {"n_jobs": 1, "show_progress_bar": False}


def kernel_of(lib: ModuleType, adata: ad.AnnData, name: str) -> Any:
    """0.8 of the kernel + 0.2 connectivity, as the tutorials have it."""
    kernels = lib.kernels
    if name == "velocity":
        first = kernels.VelocityKernel(adata, xkey="Ms", vkey="velocity")
    else:
        first = kernels.PseudotimeKernel(adata, time_key="pseudotime")
    first.compute_transition_matrix(**QUIET)
    kernel = 0.8 * first + 0.2 * kernels.ConnectivityKernel(adata).compute_transition_matrix()
    kernel.compute_transition_matrix()
    return kernel


def with_given_states(lib: ModuleType, adata: ad.AnnData, kernel: Any) -> dict[str, Any]:
    """Fates when the terminal cells are given: those whose last branch is over."""
    done, leaf = adata.obs["terminal"].to_numpy(bool), adata.obs["leaf"].astype(str).to_numpy()
    names = [str(name) for name in adata.uns["fate_names"]]
    g = lib.estimators.GPCCA(kernel)
    g.set_terminal_states({name: list(adata.obs_names[done & (leaf == name)]) for name in names})
    g.compute_fate_probabilities(**QUIET)
    return {"given/fate": np.asarray(g.fate_probabilities.X), "given/names": list(g.fate_probabilities.names)}


def with_found_states(lib: ModuleType, adata: ad.AnnData, kernel: Any) -> dict[str, Any]:
    """Terminal state identification, and fates towards the macrostates that are named after a fate.

    Identification is the library's `tsi` from 2 states on, up to three more than there are fates, done here
    because CellRank's fails where the largest number of states does; a number that fails counts as the one
    below. Fates are computed for the smallest number of states at which each fate has one.
    """
    names = [str(name) for name in adata.uns["fate_names"]]
    most = len(names) + 3
    g = lib.estimators.GPCCA(kernel)
    g.compute_schur(n_components=most + 1)
    out: dict[str, Any] = {}
    counts = [0]
    for m in range(2, most + 1):
        try:
            g.compute_macrostates(n_states=m, n_cells=N_CELLS, cluster_key="cell_type")
        except ValueError:  # a state with too few cells of its own
            counts.append(counts[-1])
            continue
        states = [str(s) for s in g.macrostates.cat.categories]
        of_fate = {name: [s for s in states if s.split("_")[0] == name] for name in names}
        counts.append(sum(bool(found) for found in of_fate.values()))
        if all(of_fate.values()) and m >= len(names) and not out:
            g.set_terminal_states([", ".join(of_fate[name]) for name in names], n_cells=N_CELLS)
            g.compute_fate_probabilities(**QUIET)
            columns = [str(n).split(",")[0].split("_")[0] for n in g.fate_probabilities.names]
            out |= {"found/fate": np.asarray(g.fate_probabilities.X), "found/names": columns, "found/n": m}
    possible = sum(min(m, len(names)) for m in range(2, most + 1))
    return out | {"tsi": sum(counts) / possible}


def main(library: str, source: str, kernel_name: str, target: str) -> None:
    """Write everything that `truth.py` judges."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    lib = importlib.import_module(library)
    adata = ad.read_h5ad(source)
    begin = time.perf_counter()
    kernel = kernel_of(lib, adata, kernel_name)
    out = with_given_states(lib, adata, kernel) | with_found_states(lib, adata, kernel)
    np.savez(target, seconds=time.perf_counter() - begin, **out)


if __name__ == "__main__":
    main(*sys.argv[1:])
