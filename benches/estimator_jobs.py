"""What is timed of estimators; see `jobs.py` for the parts of a job.

The two libraries agree in their public names, and where a step is public both are called the same. The search
for macrostates and the component check are timed alone, on the functions that the libraries call.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from job import QUIET, Job


def chain(adata: AnnData, key: str = "T_fwd") -> sp.csr_matrix:
    """The chain of the file as it is on both sides: CSR, sorted."""
    T = sp.csr_matrix(adata.obsp[key])
    T.sort_indices()
    return T


def _estimator(lib: ModuleType, adata: AnnData, T: sp.csr_matrix) -> Any:
    return lib.estimators.GPCCA(lib.kernels.PrecomputedKernel(T, adata=adata))


def _with_targets(lib: ModuleType, adata: AnnData, T: sp.csr_matrix) -> Any:
    g = _estimator(lib, adata, T)
    return g.set_terminal_states(adata.obs["target"].copy())


def schur(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Dominant Schur vectors of a sparse chain; `key` names the chain, the rest goes to `compute_schur`."""
    args = dict(args)
    T = chain(adata, args.pop("key", "T_fwd"))
    return Job(
        construct=lambda: _estimator(lib, adata, T),
        run=lambda g: g.compute_schur(**args, method="krylov"),
        answer=lambda g, _: {
            "X": g.schur_vectors,
            "R": g.schur_matrix,
            "eigenvalues": np.asarray(g.eigendecomposition["D"]),
        },
    )


def macrostates(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """The rotation of given Schur vectors that gives the crispest memberships."""
    X = np.ascontiguousarray(adata.obsm["schur"][:, : args["n_states"]])

    def ours(x: np.ndarray) -> np.ndarray:
        from ferrocyte import _core

        return _core.gpcca_macrostates(x, x.shape[1], threads=n_jobs)[0]

    def peer(x: np.ndarray) -> np.ndarray:
        from pygpcca import _gpcca

        return _gpcca._gpcca_core(x)[0]

    search = ours if lib.__name__ == "ferrocyte" else peer
    return Job(construct=X.copy, run=search, answer=lambda _, chi: {"memberships": chi})


def fates(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Fate probabilities of the terminal cells of the file; `args` go to `compute_fate_probabilities`."""
    T = chain(adata)
    return Job(
        construct=lambda: _with_targets(lib, adata, T),
        run=lambda g: g.compute_fate_probabilities(**args, n_jobs=n_jobs, **QUIET),
        answer=lambda g, _: {"fates": np.asarray(g.fate_probabilities.X)},
    )


def components(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Strongly connected components of the chain, on the peer's side by networkx as it does."""
    T = chain(adata)

    def ours(t: sp.csr_matrix) -> np.ndarray:
        from ferrocyte import _core

        return _core.strong_components(t)[0]

    def peer(t: sp.csr_matrix) -> np.ndarray:
        import networkx as nx

        found = np.empty(t.shape[0], dtype=np.int64)
        graph = nx.from_scipy_sparse_array(t, create_using=nx.DiGraph)
        for k, cells in enumerate(nx.strongly_connected_components(graph)):
            found[list(cells)] = k
        return found

    search = ours if lib.__name__ == "ferrocyte" else peer
    return Job(construct=lambda: T, run=search, answer=lambda _, label: {"component": label})


def drivers(lib: ModuleType, adata: AnnData, args: dict[str, Any], n_jobs: int) -> Job:
    """Correlation of all genes with fates, random ones: CellRank refuses its own of this chain."""
    g = _with_targets(lib, adata, chain(adata))
    values = np.random.default_rng(0).dirichlet(np.ones(3), adata.n_obs)
    fates = lib.Lineage(values, names=[str(n) for n in adata.obs["target"].cat.categories])
    if lib.__name__ == "ferrocyte":
        g._results.set(fate_probabilities=fates, params={})
    else:
        g._fate_probabilities = fates
    names = [str(n) for n in g.fate_probabilities.names]
    columns = [f"{n}_corr" for n in names]
    return Job(
        construct=lambda: g,
        run=lambda e: e.compute_lineage_drivers(**args),
        answer=lambda _, table: {
            "corr": table.loc[adata.var_names, columns].to_numpy(),
            "fates": np.asarray(g.fate_probabilities.X),
        },
    )


JOBS = {
    "schur": schur,
    "macrostates": macrostates,
    "fates": fates,
    "components": components,
    "drivers": drivers,
}
