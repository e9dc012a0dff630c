#!/usr/bin/env python3
"""Make the real data sets of the package and of the tests from the published files.

    python tests/data/make_data.py --dentate-gyrus IN.h5ad --bone-marrow IN.h5ad --paul15 IN.h5ad

Each option names one source file (see python/ferrocyte/data/PROVENANCE.md) and may be left out; the
outputs go to their places in the repository, or below ``--out``. Needs numpy, scipy, anndata, scanpy
and h5py. The outputs are in the repository; run this only to change them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import scanpy as sc
import scipy.sparse as sp

ROOT = Path(__file__).resolve().parents[2]
N_NEIGHBORS = 30
N_PCS = 30

# fmt: off
MARROW_MARKERS = [
    "CD34", "AVP", "CRHBP", "HLF", "MECOM", "MLLT3", "SPINK2", "MPO", "ELANE", "AZU1", "CEBPA", "CEBPE",
    "SPI1", "CSF1R", "CSF3R", "LYZ", "CD14", "IRF8", "IL3RA", "ITGAX", "TCF4", "CLEC4C", "GATA1",
    "GATA2", "KLF1", "CA1", "HBB", "HBA1", "PF4", "ITGA2B", "GP9", "CD79A", "CD79B", "EBF1", "PAX5",
    "DNTT", "VPREB1", "JCHAIN",
]
# fmt: on
# fmt: off
PAUL15_MARKERS = [
    "Gata1", "Gata2", "Klf1", "Epor", "Gfi1b", "Hba-a2", "Hbb-b1", "Car1", "Car2", "Pf4", "Itga2b",
    "Mpl", "Elane", "Mpo", "Prtn3", "Ctsg", "Cebpa", "Cebpe", "Gfi1", "Sfpi1", "Irf8", "Csf1r", "Ly86",
    "Prss34", "Mcpt8", "Prg2", "Cd74", "Flt3", "Apoe",
]
# fmt: on

# Okabe & Ito's colours without the pale yellow, then darker ones for more groups.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3D9A", "#7F7F7F")


def dentate_gyrus(source: Path, out: Path) -> None:
    """Keep what velocity, pseudotime, CytoTRACE, projection and fate analyses read."""
    a = ad.read_h5ad(source)
    del a.raw  # 50 genes only: plots and gene counts that prefer raw would miss the others
    keep = {"spliced", "unspliced", "Ms", "Mu", "velocity"}
    for key in set(a.layers) - keep:
        del a.layers[key]
    for key in set(a.obsp) - {"connectivities", "distances"}:
        del a.obsp[key]
    for key in list(a.varm):
        del a.varm[key]
    a.uns = {
        key: a.uns[key]
        for key in ("clusters_colors", "diffmap_evals", "iroot", "neighbors", "velocity_params")
    }
    write(a, out)


def bone_marrow(source: Path, out: Path) -> None:
    """Counts of the variable genes and of markers; an exact neighbour graph on 30 components."""
    a = ad.read_h5ad(source)
    library_size(a)
    markers = [g for g in MARROW_MARKERS if g in a.var_names]
    a.var["marker"] = a.var_names.isin(markers)
    a = a[:, (a.var["highly_variable"] | a.var["marker"]).to_numpy()].copy()
    a.obsm["X_pca"] = np.ascontiguousarray(a.obsm["X_pca"][:, :N_PCS], dtype=np.float32)
    a.obsm["X_palantir_diffmap"] = a.obsm["X_diffmap"]
    a.uns["iroot"] = int(a.obs_names.get_loc(a.uns["start_cell"]))
    for key in ("leiden", "marker_group"):
        a.uns[f"{key}_colors"] = np.array(PALETTE[: a.obs[key].cat.categories.size], dtype=object)
    neighbors(a)
    write(a, out)


def paul15(source: Path, out: Path, n_genes: int = 800) -> None:
    """Counts of the variable genes and of markers; an exact neighbour graph on 30 components."""
    a = ad.read_h5ad(source)
    library_size(a)
    log = a.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    sc.pp.highly_variable_genes(log, n_top_genes=n_genes, flavor="seurat")
    a.var["highly_variable"] = log.var["highly_variable"].to_numpy()
    markers = [g for g in PAUL15_MARKERS if g in a.var_names]
    a.var["marker"] = a.var_names.isin(markers)
    a = a[:, (a.var["highly_variable"] | a.var["marker"]).to_numpy()].copy()
    a.obsm["X_pca"] = np.ascontiguousarray(a.obsm["X_pca"][:, :N_PCS], dtype=np.float32)
    neighbors(a)
    write(a, out)


def library_size(a: ad.AnnData) -> None:
    """Note depth and detected genes over all genes: neither can be had from the trimmed matrix."""
    a.X.eliminate_zeros()
    a.obs["n_counts"] = np.asarray(a.X.sum(1, dtype=np.float64)).ravel().astype(np.float32)
    a.obs["n_genes"] = np.diff(a.X.indptr).astype(np.int32)


def neighbors(a: ad.AnnData, n_diffmap: int = 10) -> None:
    """Set a neighbour graph on ``X_pca`` and a diffusion map with its eigenvalues.

    The neighbours are exact: scanpy's default search is approximate above a few thousand cells. The
    sources' diffusion maps came without eigenvalues, and scanpy refuses to work with such data.
    """
    b = ad.AnnData(obs=a.obs[[]], obsm={"X_pca": a.obsm["X_pca"]})
    sc.pp.neighbors(b, n_neighbors=N_NEIGHBORS, use_rep="X_pca", random_state=0, transformer="sklearn")
    sc.tl.diffmap(b, n_comps=n_diffmap, random_state=0)
    for key in ("connectivities", "distances"):
        graph = sp.csr_matrix(b.obsp[key]).astype(np.float32)
        graph.sort_indices()
        a.obsp[key] = graph
    params = {
        "n_neighbors": N_NEIGHBORS,
        "method": "umap",
        "metric": "euclidean",
        "random_state": 0,
        "use_rep": "X_pca",
    }
    a.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": params,
    }
    a.obsm["X_diffmap"] = b.obsm["X_diffmap"].astype(np.float32)
    a.uns["diffmap_evals"] = np.asarray(b.uns["diffmap_evals"], dtype=np.float32)


def write(a: ad.AnnData, out: Path) -> None:
    """Write with gzip, then repack with the shuffle filter (a standard part of HDF5), a fifth smaller."""
    out.parent.mkdir(parents=True, exist_ok=True)
    loose = out.with_suffix(".loose.h5ad")
    a.write_h5ad(loose, compression="gzip")
    with h5py.File(loose) as src, h5py.File(out, "w") as dst:
        repack(src, dst)
    loose.unlink()
    print(f"{out}: {a.n_obs} x {a.n_vars}, {out.stat().st_size / 1e6:.2f} MB")


def repack(src: h5py.Group, dst: h5py.Group) -> None:
    for key, value in src.attrs.items():
        dst.attrs[key] = value
    for key, item in src.items():
        if isinstance(item, h5py.Group):
            repack(item, dst.create_group(key))
        elif item.shape == () or item.dtype.hasobject or item.size < 64:
            src.copy(item, dst, key)
        else:
            new = dst.create_dataset(
                key, data=item[()], chunks=item.shape, compression="gzip", compression_opts=9, shuffle=True
            )
            for name, value in item.attrs.items():
                new.attrs[name] = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("dentate-gyrus", "bone-marrow", "paul15"):
        parser.add_argument(f"--{name}", type=Path, metavar="H5AD")
    parser.add_argument("--out", type=Path, default=ROOT, help="root of the repository to write into")
    args = parser.parse_args()
    package = args.out / "python" / "ferrocyte" / "data"
    if args.dentate_gyrus:
        dentate_gyrus(args.dentate_gyrus, package / "dentate_gyrus.h5ad")
    if args.bone_marrow:
        bone_marrow(args.bone_marrow, package / "bone_marrow.h5ad")
    if args.paul15:
        paul15(args.paul15, args.out / "tests" / "data" / "paul15.h5ad")


if __name__ == "__main__":
    main()
