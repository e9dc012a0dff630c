"""What is timed: one function per kind of case, the same for both libraries.

A job is built from the library (`ferrocyte` or `cellrank`, whose public names agree), the data and the
arguments of the case. It has three parts, called in this order for every repeat:

- `construct()`: makes a fresh object, so that no cached result is measured; timed on its own;
- `run(obj)`: the work of the case;
- `answer(obj)`: the result as arrays, not timed, so that the two sides can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import estimator_jobs
import numpy as np
import scipy.sparse as sp
import time_jobs
from anndata import AnnData
from job import QUIET, Job


def velocity(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Transition matrix from velocity; `args` go to `compute_transition_matrix`, except `backward`."""
    args = dict(args)
    backward = args.pop("backward", False)
    return Job(
        construct=lambda: lib.kernels.VelocityKernel(adata, backward=backward, xkey="Ms", vkey="velocity"),
        run=lambda k: k.compute_transition_matrix(**args, n_jobs=n_jobs, **QUIET),
        answer=lambda k, _: {
            "T": k.transition_matrix,
            "logits": k.logits,
            "softmax_scale": np.float64(k.params["softmax_scale"]),
        },
    )


def pseudotime(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Transition matrix from the simulated pseudotime."""
    return Job(
        construct=lambda: lib.kernels.PseudotimeKernel(adata, time_key="pseudotime"),
        run=lambda k: k.compute_transition_matrix(**args, n_jobs=n_jobs, **QUIET),
        answer=lambda k, _: {"T": k.transition_matrix},
    )


def connectivity(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Transition matrix from the graph alone."""
    return Job(
        construct=lambda: lib.kernels.ConnectivityKernel(adata),
        run=lambda k: k.compute_transition_matrix(**args),
        answer=lambda k, _: {"T": k.transition_matrix},
    )


def random_walks(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Walks on the chain stored with the data, so that both sides walk on the same one."""
    args = dict(args)
    T = sp.csr_matrix(adata.obsp["T_walk"])
    return Job(
        construct=lambda: lib.kernels.utils.RandomWalk(adata, T),
        run=lambda w: w.simulate_many(**args, n_jobs=n_jobs, **QUIET),
        answer=lambda _, walks: {"walks": np.asarray(walks, dtype=np.int32)},
    )


def _velocity_kernel(lib: ModuleType, adata: AnnData) -> Any:
    kernel = lib.kernels.VelocityKernel(adata, xkey="Ms", vkey="velocity")
    return kernel.compute_transition_matrix(softmax_scale=4.0, n_jobs=1, **QUIET)


def cbc(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Cross-boundary correctness of a velocity kernel that is computed before the clock starts."""
    kernel = _velocity_kernel(lib, adata)
    return Job(
        construct=lambda: kernel,
        run=lambda k: k.cbc(cluster_key="cell_type", rep="X_low", **args),
        answer=lambda _, score: {"cbc": np.asarray(score)},
    )


def projection(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Vectors on the layout from a velocity kernel that is computed before the clock starts."""
    kernel = _velocity_kernel(lib, adata)
    return Job(
        construct=lambda: lib.kernels.utils.TmatProjection(kernel, basis=args["basis"]),
        run=lambda p: p.project(recompute=True),
        answer=lambda _p, _r: {"vectors": np.asarray(adata.obsm[f"T_fwd_{args['basis']}"])},
    )


JOBS: dict[str, Callable[[ModuleType, AnnData, dict[str, Any], int], Job]] = {
    "velocity": velocity,
    "pseudotime": pseudotime,
    "connectivity": connectivity,
    "random_walks": random_walks,
    "cbc": cbc,
    "projection": projection,
    **estimator_jobs.JOBS,
    **time_jobs.JOBS,
}
