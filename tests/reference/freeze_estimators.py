"""Freeze the whole GPCCA flow of CellRank 2.0.7, to hold ours against without installing it.

Run from the root of the repository, in an environment made from `benches/peer-requirements.txt` (never in
ferrocyte's own)::

    .venv-peer/bin/python tests/reference/freeze_estimators.py [dentate_gyrus] [bone_marrow]

It reads the two data sets of the package and writes `tests/data/frozen/estimators_<set>.npz`. Keys read like
paths:

- `eigenvalues`, `eigengap`, `schur/X`, `schur/R`: 20 Schur vectors by the dense method (21 if that would cut
  a pair); of the larger set `schur/X` are the first 12, in float32. `stationary`, `left_eigenvalues`: ARPACK.
- `macrostates/<asked>/...`: `memberships` (float32), `names` (by `cluster_key`), `cells` (macrostate of each
  cell, -1 for none), `coarse_T`, `coarse_initial`, `coarse_stationary`, `crispness`. pyGPCCA's search may
  stop before the optimum: `restarted/...` is from the same search, started again from where it stopped, with
  tolerances of rounding, until nothing changes.
- `minChi` for 2 to 8 states.
- `terminal/<method>`, `initial`: names of the states that `predict_terminal_states` and
  `predict_initial_states` choose from `macrostates/<states/n>`, their cells and probabilities.
- `given/<name>`: positions of the terminal cells from which the following were computed, in the order of
  `given/names`; `fates/direct`, and `fates/gmres_off`, how far GMRES is from it; `times/mean`, `times/var`;
  `priming/<method>`; `drivers/corr`, and of the smaller set `pval`, `qval`, `ci_low`, `ci_high`, on float64
  values of `X`, genes in the order of the file, columns in the order of `given/names`. Correlations are too
  large by n / (n - 1) in this version, and so is what follows from them.
- `tsi/table`: number of macrostates, identified terminal states, most that could be; `tsi/score`.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import anndata as ad
import cellrank as cr
import numpy as np
import pygpcca._gpcca as gp
from cellrank.estimators import GPCCA
from cellrank.kernels import ConnectivityKernel, PseudotimeKernel, VelocityKernel
from scipy.optimize import fmin

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "frozen"
DATA = ROOT / "python" / "ferrocyte" / "data"
VERSION = "2.0.7"
LIMIT = 1_000_000  # bytes of a file
N_SCHUR = 20
QUIET: dict[str, Any] = {"n_jobs": 1, "show_progress_bar": False}
SOLVE: dict[str, Any] = {**QUIET, "use_petsc": False, "preconditioner": None}
log = logging.getLogger("freeze")

Arrays = dict[str, Any]


def restarted(loss: Any, start: np.ndarray, args: tuple[Any, ...], **_: Any) -> tuple[Any, ...]:
    """Nelder-Mead, started again from where it stopped until the gain is of the size of rounding."""
    x, value = start, float(loss(start, *args))
    for _round in range(60):
        x, new, *_rest = fmin(
            loss, x, args, xtol=1e-10, ftol=1e-14, maxiter=20_000, maxfun=20_000, full_output=True, disp=False
        )
        gain, value = value - new, new
        if gain < 1e-12:
            break
    return x, value, 0, 0, 0


class Setting:
    """A data set, its kernel and what is asked of it."""

    def __init__(
        self, adata: ad.AnnData, kernel: Any, clusters: str, n_cells: int, states: list[int], choose: int
    ) -> None:
        self.adata, self.kernel, self.clusters, self.n_cells = adata, kernel, clusters, n_cells
        self.states, self.choose = states, choose
        self.small = adata.n_obs < 1000


def float64(adata: ad.AnnData) -> ad.AnnData:
    adata.X = adata.X.astype(np.float64)
    return adata


def dentate() -> tuple[Setting, dict[str, np.ndarray], list[str]]:
    """0.8 velocity + 0.2 connectivity; three clusters are the terminal cells."""
    adata = float64(ad.read_h5ad(DATA / "dentate_gyrus.h5ad"))
    vk = VelocityKernel(adata, xkey="Ms", vkey="velocity")
    vk.compute_transition_matrix(softmax_scale=4.0, **QUIET)
    kernel = 0.8 * vk + 0.2 * ConnectivityKernel(adata).compute_transition_matrix()
    kernel.compute_transition_matrix()
    labels = adata.obs["clusters"].astype(str).to_numpy()
    given = {name: np.flatnonzero(labels == name) for name in ("Astrocytes", "GABA", "OL")}
    given["Granule mature"] = np.flatnonzero(labels == "Granule mature")[:20]
    return (
        Setting(adata, kernel, "clusters", 10, [2, 4, 5, 6], 2),
        given,
        ["Astrocytes", "Granule mature", "OL"],
    )


def marrow() -> tuple[Setting, dict[str, np.ndarray], list[str]]:
    """Palantir's pseudotime with the soft scheme; the 30 latest cells of each fate are the terminal cells."""
    adata = float64(ad.read_h5ad(DATA / "bone_marrow.h5ad"))
    kernel = PseudotimeKernel(adata, time_key="palantir_pseudotime")
    kernel.compute_transition_matrix(threshold_scheme="soft", **QUIET)
    fate = np.asarray(adata.obsm["palantir_fate_probabilities"])
    time = adata.obs["palantir_pseudotime"].to_numpy()
    given = {}
    for j, name in enumerate(adata.uns["palantir_fate_names"]):
        own = np.flatnonzero(fate.argmax(axis=1) == j)
        given[str(name)] = np.sort(own[np.argsort(time[own], kind="stable")[-30:]])
    return Setting(adata, kernel, "leiden", 30, [2, 3, 4], 4), given, ["0", "4", "5"]


def of_states(g: GPCCA, s: Setting, asked: int) -> Arrays:
    """What `compute_macrostates` leaves."""
    g.compute_macrostates(n_states=asked, n_cells=s.n_cells, cluster_key=s.clusters)
    names = np.array(g.macrostates.cat.categories, dtype="U")
    out = {
        "memberships": g.macrostates_memberships.X.astype(np.float32),
        "names": names,
        "cells": g.macrostates.cat.codes.to_numpy().astype(np.int8),
        "coarse_T": g.coarse_T.to_numpy(),
        "coarse_initial": g.coarse_initial_distribution.to_numpy(),
        "crispness": np.float64(g._gpcca.optimal_crispness),
    }
    if g.coarse_stationary_distribution is not None:
        out["coarse_stationary"] = g.coarse_stationary_distribution.to_numpy()
    return out


def spectrum(s: Setting) -> tuple[GPCCA, Arrays]:
    g = GPCCA(s.kernel)
    g.compute_eigendecomposition(k=N_SCHUR)
    out = {
        "stationary": np.asarray(g.eigendecomposition["stationary_dist"]),
        "left_eigenvalues": g.eigendecomposition["D"],
    }
    g.compute_schur(n_components=N_SCHUR, method="brandts")
    X = g.schur_vectors if s.small else g.schur_vectors[:, :12].astype(np.float32)
    out |= {
        "eigenvalues": g.eigendecomposition["D"],
        "eigengap": np.int64(g.eigendecomposition["eigengap"]),
        "schur/X": X,
        "schur/R": g.schur_matrix,
        "minChi": np.asarray(g._gpcca.minChi(2, 8)),
    }
    return g, out


def macrostates(g: GPCCA, s: Setting) -> Arrays:
    out: Arrays = {}
    for asked in s.states:
        found = of_states(g, s, asked)
        out |= {f"macrostates/{asked}/{key}": value for key, value in found.items()}
        gp.fmin = restarted
        try:  # without CellRank, which refuses memberships that leave a state without cells
            again = g._gpcca.optimize(m=len(found["names"]))
        finally:
            gp.fmin = fmin
        path = f"macrostates/{asked}/restarted"
        out[f"{path}/memberships"] = again.memberships.astype(np.float32)
        out[f"{path}/coarse_T"] = again.coarse_grained_transition_matrix
        out[f"{path}/crispness"] = np.float64(again.optimal_crispness)
        log.info("%s: crispness %.10f, restarted %.10f", asked, found["crispness"], again.optimal_crispness)
    g.compute_macrostates(n_states=s.choose, n_cells=s.n_cells, cluster_key=s.clusters)
    n = s.n_cells
    out["states/n"] = np.int64(s.choose)
    for method, kwargs in {
        "stability": {"stability_threshold": 0.7},
        "top_n": {"n_states": s.choose // 2},
        "eigengap": {},
        "eigengap_coarse": {},
    }.items():
        g.predict_terminal_states(method=method, n_cells=n, allow_overlap=True, **kwargs)
        out[f"terminal/{method}"] = np.array(g.terminal_states.cat.categories, dtype="U")
        out[f"terminal/{method}/cells"] = g.terminal_states.cat.codes.to_numpy().astype(np.int8)
        out[f"terminal/{method}/probabilities"] = g.terminal_states_probabilities.to_numpy().astype(
            np.float32
        )
    g.predict_initial_states(n_states=1, n_cells=n, allow_overlap=True)
    out["initial"] = np.array(g.initial_states.cat.categories, dtype="U")
    out["initial/cells"] = g.initial_states.cat.codes.to_numpy().astype(np.int8)
    return out


def fates(s: Setting, given: dict[str, np.ndarray]) -> Arrays:
    """Everything that follows from terminal cells, which are given so that nothing else enters."""
    g = GPCCA(s.kernel)
    cells = s.adata.obs_names
    g.set_terminal_states({name: list(cells[where]) for name, where in given.items()})
    out: Arrays = {f"given/{name}": where for name, where in given.items()}
    g.compute_fate_probabilities(solver="gmres", tol=1e-13, **SOLVE)
    by_gmres = g.fate_probabilities.X
    g.compute_fate_probabilities(solver="direct", **SOLVE)
    out["fates/direct"] = g.fate_probabilities.X
    names = list(g.fate_probabilities.names)
    out["given/names"] = np.array(names, dtype="U")
    out["fates/gmres_off"] = np.abs(by_gmres - out["fates/direct"]).max()
    g.compute_absorption_times(calculate_variance=True, solver="direct", **SOLVE)
    for kind in ("mean", "var"):
        out[f"times/{kind}"] = g.absorption_times[[f"{n}_{kind}" for n in names]].to_numpy()
    for method in ("kl_divergence", "entropy"):
        out[f"priming/{method}"] = g.compute_lineage_priming(method=method).to_numpy()
    table = g.compute_lineage_drivers(method="fisher").loc[s.adata.var_names]
    for kind in ("corr", "pval", "qval", "ci_low", "ci_high") if s.small else ("corr",):
        columns = [f"{n}_{kind.replace('_', ' ')}" for n in names]
        columns = columns if columns[0] in table else [f"{n}_{kind}" for n in names]
        out[f"drivers/{kind}"] = table[columns].to_numpy()
    return out


def freeze(setting: tuple[Setting, dict[str, np.ndarray], list[str]]) -> Arrays:
    s, given, terminal = setting
    g, out = spectrum(s)
    out |= macrostates(g, s)
    out |= fates(s, given)
    score = g.tsi(n_macrostates=6, terminal_states=terminal, cluster_key=s.clusters, n_cells=s.n_cells)
    out["tsi/terminal_states"] = np.array(terminal, dtype="U")
    out["tsi/table"] = np.asarray(g._tsi.X)
    out["tsi/score"] = np.float64(score)
    return out


def main() -> None:
    """Write both files."""
    if cr.__version__ != VERSION:
        raise SystemExit(f"Expected CellRank {VERSION}, found {cr.__version__}.")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cr.settings.logging_level = "ERROR"
    warnings.simplefilter("ignore")
    jobs = {"dentate_gyrus": dentate, "bone_marrow": marrow}
    for name in sys.argv[1:] or jobs:
        setting = jobs[name]
        file = OUT / f"estimators_{name}.npz"
        np.savez_compressed(file, **freeze(setting()))
        size = file.stat().st_size
        log.info("%s: %d bytes", file.name, size)
        if size > LIMIT:
            raise SystemExit(f"{file} takes {size} bytes, more than {LIMIT}.")


if __name__ == "__main__":
    main()
