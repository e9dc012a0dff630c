"""Freeze what pyGPCCA 1.0.4 makes of three chains, and what becomes of it when its search goes on.

Run from the root of the repository, in an environment made from `benches/peer-requirements.txt`::

    .venv-peer/bin/python tests/reference/freeze_gpcca.py

Writes `tests/data/frozen/gpcca.npz`. For each set and number of states `m`: the rotation
(`{set}_rotation_{m}`) and crispness (`{set}_crispness_{m}`) of pyGPCCA; and for few states those of its own
objective and search, begun again and again at its own end point with tolerances of 1e-10 instead of 1e-4,
until that gains no more than 1e-8 (`{set}_settled_{m}`, with the number of times in `{set}_restarts_{m}`;
negative where it was given up). `{set}_rows` are cells and `{set}_vectors` their Schur vectors, which say in
which basis rotations are.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from cellrank.kernels import ConnectivityKernel, PseudotimeKernel, VelocityKernel
from pygpcca import _gpcca
from scipy.optimize import fmin

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "frozen" / "gpcca.npz"
MOST_STATES = 10
MOST_RESTARTED = 6
RESTARTS = 30
log = logging.getLogger("freeze")


def chains() -> dict[str, Any]:
    """Name and transition matrix of each set."""
    cells = ad.read_h5ad(ROOT / "python/ferrocyte/data/dentate_gyrus.h5ad")
    velocity = VelocityKernel(cells).compute_transition_matrix(
        softmax_scale=4.0, n_jobs=1, show_progress_bar=False
    )
    out = {
        "dentate_gyrus": 0.8 * velocity + 0.2 * ConnectivityKernel(cells).compute_transition_matrix(),
        "bone_marrow": PseudotimeKernel(
            ad.read_h5ad(ROOT / "python/ferrocyte/data/bone_marrow.h5ad"), time_key="palantir_pseudotime"
        ).compute_transition_matrix(n_jobs=1, show_progress_bar=False),
        "paul15": PseudotimeKernel(
            ad.read_h5ad(ROOT / "tests/data/paul15.h5ad"), time_key="dpt_pseudotime"
        ).compute_transition_matrix(n_jobs=1, show_progress_bar=False),
    }
    return {name: kernel.transition_matrix for name, kernel in out.items()}


def go_on(X: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, int]:
    """The rotation that pyGPCCA's search ends at when begun anew at its end, and how often that was done."""
    m = len(A)
    free, value = A[1:, 1:].ravel(), np.inf
    count, settled = 0, False
    while count < RESTARTS and not settled:
        count += 1
        evaluations = 400 * free.size
        free, reached, *_ = fmin(
            _gpcca._objective,
            free,
            args=(X,),
            xtol=1e-10,
            ftol=1e-10,
            maxiter=evaluations,
            maxfun=evaluations,
            full_output=True,
            disp=False,
        )
        settled = value - reached < 1e-8 * m
        value = reached
    A = np.zeros((m, m))
    A[1:, 1:] = free.reshape(m - 1, m - 1)
    return _gpcca._fill_matrix(A, X), count if settled else -count


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.filterwarnings("ignore")
    out: dict[str, Any] = {}
    for name, T in chains().items():
        n = T.shape[0]
        X, _, values = _gpcca._do_schur(
            T.toarray(), np.full(n, 1 / n), MOST_STATES + 2, z="LR", method="brandts"
        )
        rows = np.linspace(0, n - 1, 60).astype(int)
        out[f"{name}_rows"], out[f"{name}_vectors"] = rows, X[rows]
        for m in range(2, MOST_STATES + 1):
            if abs(values[:m].imag.sum()) > 1e-9:
                continue
            Xm = np.ascontiguousarray(X[:, :m])
            _, A, crispness = _gpcca._gpcca_core(Xm)
            out[f"{name}_rotation_{m}"], out[f"{name}_crispness_{m}"] = A, crispness
            line = f"{name} {m} crispness {crispness:.6f}"
            if m <= MOST_RESTARTED:
                B, count = go_on(Xm, A)
                settled = float((B**2).sum(axis=0) @ (1 / B[0])) / m
                out[f"{name}_settled_{m}"], out[f"{name}_restarts_{m}"] = B, count
                line += f", after {abs(count)} restarts {settled:.6f}{' (given up)' if count < 0 else ''}"
            log.info(line)
    np.savez_compressed(OUT, **out)
    log.info("%s: %d bytes", OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
