"""What is timed of trends and time courses; see `jobs.py` for the parts of a job."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from job import QUIET, Job

LINEAGES = ["a", "b", "c"]


def trends(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Trends of many genes along three lineages; `args` has `n_genes`, the rest goes to `models.GAM`."""
    args = dict(args)
    n_genes = args.pop("n_genes")
    cells = _expressed(lib, adata, n_genes)
    names = list(cells.var_names)

    def ours(model: Any) -> dict[str, dict[str, Any]]:
        from ferrocyte.models._bulk import fit_many

        return fit_many(model, cells, names, LINEAGES, time_key="pseudotime", n_jobs=n_jobs, **QUIET)

    def peer(model: Any) -> dict[str, dict[str, Any]]:
        out: dict[str, dict[str, Any]] = {}
        for gene in names:
            out[gene] = {}
            for lineage in LINEAGES:
                out[gene][lineage] = fitted = model.copy()
                fitted.prepare(gene, lineage, "pseudotime").fit().predict()
        return out

    return Job(
        construct=lambda: lib.models.GAM(cells, **args),
        run=ours if lib.__name__ == "ferrocyte" else peer,
        answer=lambda _, fits: {
            "trends": np.array([[np.ravel(fits[g][k].y_test) for k in LINEAGES] for g in names])
        },
    )


def _expressed(lib: ModuleType, adata: AnnData, n_genes: int) -> AnnData:
    """Positive expression that rises or falls along the pseudotime, and weights that part along it."""
    rng = np.random.default_rng(0)
    time = adata.obs["pseudotime"].to_numpy(dtype=np.float64)
    time = (time - time.min()) / (time.max() - time.min())
    slopes, places = rng.normal(scale=2.0, size=n_genes), rng.random(n_genes)
    mean = np.exp(slopes * np.tanh(3 * (time[:, None] - places)) / 2)
    x = mean * rng.gamma(4.0, 0.25, size=mean.shape)
    score = np.column_stack([4 * time, 2 * np.sin(5 * time), 2 - 4 * time])
    weights = np.exp(score + rng.normal(scale=0.3, size=score.shape))
    weights /= weights.sum(axis=1, keepdims=True)
    obs = pd.DataFrame({"pseudotime": time}, index=adata.obs_names)
    out = AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))
    out.obsm["lineages_fwd"] = lib.Lineage(weights, names=LINEAGES)
    return out


def real_time(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Matrix of three time points from two dense couplings; `args` go to `compute_transition_matrix`."""
    n = adata.n_obs - adata.n_obs % 3
    sizes = [n // 3] * 3
    days = np.repeat(["1", "2", "3"], sizes)
    cells = AnnData(
        np.zeros((n, 1), dtype=np.float32),
        obs=pd.DataFrame({"day": pd.Categorical(days)}, index=adata.obs_names[:n]),
    )
    rng = np.random.default_rng(0)
    couplings = {}
    for k in range(2):
        near = np.linspace(0, 1, sizes[k])[:, None] - np.linspace(0, 1, sizes[k + 1])
        couplings[f"{k + 1}", f"{k + 2}"] = np.exp(-((near * 5) ** 2)) * rng.random(near.shape)
    probe = rng.random((n, 3))

    def answer(kernel: Any, _: Any) -> dict[str, Any]:
        T = kernel.transition_matrix
        return {"probe": np.column_stack([T @ probe, T.T @ probe, np.asarray((T > 0).sum(axis=1)).ravel()])}

    return Job(
        construct=lambda: lib.kernels.RealTimeKernel(cells, time_key="day", couplings=dict(couplings)),
        run=lambda k: k.compute_transition_matrix(**args),
        answer=answer,
    )


JOBS = {"trends": trends, "real_time": real_time}
