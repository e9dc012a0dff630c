"""CellRank writes an AnnData file after its whole GPCCA flow, for ours to go on with.

Run in an environment made from `benches/peer-requirements.txt`, from the root of the repository::

    .venv-peer/bin/python tests/interop/peer_writes.py tests/data/cellrank_2.0.7_dentate_gyrus.h5ad

The kernel sees all genes; the file keeps the 60 that vary most, and only what later steps read. It is the
object that CellRank worked on: what `to_adata()` returns cannot be written by this version after the drivers
(there is an enumeration among its parameters).
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import anndata as ad
import cellrank as cr
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
N_GENES = 60
OBS = ["clusters", "dpt_pseudotime", "latent_time"]


def kernel_of(adata: ad.AnnData) -> cr.kernels.Kernel:
    vk = cr.kernels.VelocityKernel(adata).compute_transition_matrix(
        softmax_scale=4.0, n_jobs=1, show_progress_bar=False
    )
    ck = cr.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    kernel = 0.8 * vk + 0.2 * ck
    kernel.compute_transition_matrix()
    return kernel


def trimmed(adata: ad.AnnData) -> ad.AnnData:
    X = adata.X.toarray()
    genes = np.sort(np.argsort(X.var(axis=0))[-N_GENES:])
    small = adata[:, genes].copy()
    return ad.AnnData(
        X=small.X,
        obs=small.obs[OBS],
        var=small.var[[]],
        obsm={key: small.obsm[key] for key in ("X_umap", "X_pca")},
        obsp={key: small.obsp[key] for key in ("connectivities", "distances")},
        uns={key: small.uns[key] for key in ("clusters_colors", "neighbors") if key in small.uns},
    )


def main(path: str) -> None:
    warnings.simplefilter("ignore")
    cr.settings.logging_level = "ERROR"
    full = ad.read_h5ad(ROOT / "python" / "ferrocyte" / "data" / "dentate_gyrus.h5ad")
    kernel = kernel_of(full)
    adata = trimmed(full)
    kernel.adata = adata
    g = cr.estimators.GPCCA(kernel)
    g.compute_schur(n_components=20, method="brandts")
    g.compute_macrostates(n_states=4, n_cells=10, cluster_key="clusters")
    g.set_terminal_states(["Neuroblast", "GABA", "Granule immature"], n_cells=10)
    g.set_initial_states("Astrocytes", n_cells=10)
    g.compute_fate_probabilities(solver="direct", use_petsc=False, show_progress_bar=False)
    g.compute_absorption_times(
        calculate_variance=True, solver="direct", use_petsc=False, show_progress_bar=False
    )
    g.compute_lineage_priming()
    g.compute_lineage_drivers()
    kernel.write_to_adata()
    adata.write_h5ad(path, compression="gzip")


if __name__ == "__main__":
    main(sys.argv[1])
