"""Make the small time courses of the tests from the published sets.

    python tests/reference/trim_time_courses.py FOLDER

FOLDER holds `celegans_amphid_1805.h5ad` (Packer et al. 2019, GSE126954; monocle3, MIT) and
`mef_250_wot_reference.h5ad` (Schiebinger et al. 2019, GSE122662; moscot's tests, BSD-3), with transport maps
computed by Waddington-OT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc

OUT = Path(__file__).parent.parent / "data"


def worm(folder: Path) -> None:
    """Cells with a known time; 30 principal components of 2,000 variable genes, and what the cells are."""
    adata = ad.read_h5ad(folder / "celegans_amphid_1805.h5ad")
    adata = adata[adata.obs["time_point"] != "mixed"].copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=30)
    obs = pd.DataFrame(
        {
            "minutes": pd.Categorical(adata.obs["minutes"].astype(int).astype(str)),
            "cell_type": adata.obs["cell_type"],
            "lineage": adata.obs["lineage"],
        }
    )
    small = ad.AnnData(obs=obs, obsm={"X_pca": adata.obsm["X_pca"].astype(np.float32)})
    small.write_h5ad(OUT / "celegans_amphid.h5ad", compression="gzip")


def maps(folder: Path) -> None:
    """Costs between days, and the maps that Waddington-OT found with them."""
    adata = ad.read_h5ad(folder / "mef_250_wot_reference.h5ad")
    day = adata.obs["day"].astype(float).to_numpy()
    cost = np.asarray(adata.obsp["cost_matrices"])
    out = {name: np.float64(adata.uns[name]) for name in ("eps", "lam1", "lam2")}
    for a, b, name in ((10, 10.5, "tmap_10_105"), (10.5, 11, "tmap_105_11"), (10, 11, "tmap_10_11")):
        out[name] = np.asarray(adata.uns[name])
        out[name.replace("tmap", "cost")] = cost[np.ix_(day == a, day == b)]
    np.savez_compressed(OUT / "frozen" / "wot.npz", **out)


if __name__ == "__main__":
    worm(Path(sys.argv[1]))
    maps(Path(sys.argv[1]))
