"""CellRank reads an AnnData file written after our GPCCA flow, says what it found and goes on from there.

    .venv-peer/bin/python tests/interop/peer_reads.py ours.h5ad found.npz

Started by `tests/test_interop.py`; `found.npz` holds what was read (`read/...`) and what CellRank computed
from it (`next/...`).
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import anndata as ad
import cellrank as cr
import matplotlib.pyplot as plt
import numpy as np

QUIET: dict[str, Any] = {"use_petsc": False, "show_progress_bar": False, "solver": "direct"}


def text(values: Any) -> np.ndarray:
    return np.array([str(v) for v in values], dtype="U")


def read(g: Any) -> dict[str, np.ndarray]:
    """What the estimator knows after `from_adata`."""
    out = {
        "eigenvalues": g.eigendecomposition["D"],
        "schur_vectors": g.schur_vectors,
        "schur_matrix": g.schur_matrix,
        "memberships": g.macrostates_memberships.X,
        "memberships_names": text(g.macrostates_memberships.names),
        "memberships_colors": text(g.macrostates_memberships.colors),
        "coarse_T": g.coarse_T.to_numpy(),
        "coarse_T_names": text(g.coarse_T.index),
        "coarse_initial": g.coarse_initial_distribution.to_numpy(),
        "coarse_stationary": g.coarse_stationary_distribution.to_numpy(),
        "fate_probabilities": g.fate_probabilities.X,
        "fate_names": text(g.fate_probabilities.names),
        "times": g.absorption_times.to_numpy(),
        "times_columns": text(g.absorption_times.columns),
        "priming": g.priming_degree.to_numpy(),
        "drivers": g.lineage_drivers.to_numpy(),
        "drivers_columns": text(g.lineage_drivers.columns),
    }
    for name in ("macrostates", "terminal_states", "initial_states"):
        states = getattr(g, name)
        out[name] = states.cat.codes.to_numpy()
        out[f"{name}_names"] = text(states.cat.categories)
    for name in ("terminal_states_probabilities", "initial_states_probabilities"):
        out[name] = getattr(g, name).to_numpy()
    return {f"read/{key}": value for key, value in out.items()}


def go_on(g: Any) -> dict[str, np.ndarray]:
    """What CellRank makes of it: figures of what was read, then fates, times, drivers and states anew."""
    g.plot_coarse_T()
    g.plot_macrostates(which="terminal", basis="umap", show=False)
    lineage = g.fate_probabilities.names[0]
    g.plot_lineage_drivers(lineage, n_genes=2)
    plt.close("all")
    g.compute_fate_probabilities(**QUIET)
    out = {"fate_probabilities": g.fate_probabilities.X, "fate_names": text(g.fate_probabilities.names)}
    g.compute_absorption_times(calculate_variance=True, **QUIET)
    out["times"] = g.absorption_times.to_numpy()
    out["priming"] = g.compute_lineage_priming().to_numpy()
    table = g.compute_lineage_drivers().loc[g.adata.var_names]
    out["drivers_corr"] = table[[f"{n}_corr" for n in out["fate_names"]]].to_numpy()
    g.set_terminal_states(list(g.macrostates.cat.categories[:2]), n_cells=10, allow_overlap=True)
    out["set_states"] = text(g.terminal_states.cat.categories)
    return {f"next/{key}": value for key, value in out.items()}


def main(source: str, target: str) -> None:
    warnings.simplefilter("ignore")
    cr.settings.logging_level = "ERROR"
    adata = ad.read_h5ad(source)
    g = cr.estimators.GPCCA.from_adata(adata, obsp_key="T_fwd")
    out = {"T": np.asarray(g.transition_matrix.sum(axis=1)).ravel()} | read(g) | go_on(g)
    np.savez(target, **out)


if __name__ == "__main__":
    main(*sys.argv[1:])
