"""Freeze results of CellRank 2.0.7, to hold ours against without installing it.

Run from the root of the repository, in an environment made from `benches/peer-requirements.txt` (never in
ferrocyte's own)::

    .venv-peer/bin/python tests/reference/freeze_cellrank.py

It reads only files of the repository and writes `tests/data/frozen/*.npz` and `README.md` there.

Matrices of the 200-cell set are stored whole, as the values on the pattern of `obsp["connectivities"]`
(its rows, with sorted columns; a zero where the matrix has no entry). Of the larger sets 300 evenly
spaced rows are stored in the same way, and the product of the whole matrix with two fixed vectors, see
`probe_vectors`.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import anndata as ad
import cellrank as cr
import jax
import numpy as np
import scipy.sparse as sp
from cellrank.kernels import (
    ConnectivityKernel,
    CytoTRACEKernel,
    PseudotimeKernel,
    VelocityKernel,
)
from cellrank.kernels.utils import FlowPlotter, TmatProjection

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "frozen"
DENTATE = ROOT / "python" / "ferrocyte" / "data" / "dentate_gyrus.h5ad"
MARROW = ROOT / "python" / "ferrocyte" / "data" / "bone_marrow.h5ad"
PAUL = ROOT / "tests" / "data" / "paul15.h5ad"
VERSION = "2.0.7"
LIMIT = 6_000_000  # bytes of these files together
N_ROWS = 300
QUIET: dict[str, Any] = {"n_jobs": 1, "show_progress_bar": False}
SIMILARITIES = ("correlation", "cosine", "dot_product")

Arrays = dict[str, np.ndarray]
log = logging.getLogger("freeze")


class Pattern:
    """Stores matrices as their values on the sparsity pattern of a graph."""

    def __init__(self, graph: Any, rows: np.ndarray | None = None) -> None:
        self.graph = sp.csr_matrix(graph, dtype=np.float64)
        self.graph.sort_indices()
        self.rows = np.arange(self.graph.shape[0]) if rows is None else rows

    def values(self, matrix: Any) -> np.ndarray:
        """Values of the chosen rows; raises if the matrix has an entry outside the pattern."""
        m = sp.csr_matrix(matrix).copy()
        m.sort_indices()
        out = []
        for i in self.rows:
            cols = self.graph.indices[self.graph.indptr[i] : self.graph.indptr[i + 1]]
            own = m.indices[m.indptr[i] : m.indptr[i + 1]]
            at = np.searchsorted(cols, own)
            if (at >= cols.size).any() or (cols[at] != own).any():
                raise ValueError(f"Row {i} has an entry outside the graph.")
            row = np.zeros(cols.size)
            row[at] = m.data[m.indptr[i] : m.indptr[i + 1]]
            out.append(row)
        return np.concatenate(out)


def probe_vectors(n: int) -> np.ndarray:
    """Two vectors of shape `(n, 2)` with entries in [0, 1) that are exact in any arithmetic."""
    i = np.arange(n, dtype=np.int64)
    return np.stack([(i * 7919) % 4096, (i * i + 31 * i) % 2048], axis=1) / np.array([4096.0, 2048.0])


def tied_rows(graph: sp.csr_matrix, frac_to_keep: float = 0.3) -> np.ndarray:
    """Rows in which the hard scheme has to choose among equal connectivities at its border.

    Which of them are kept depends on the sorting algorithm, so such rows prove nothing.
    """
    tied = np.zeros(graph.shape[0], dtype=bool)
    for i in range(graph.shape[0]):
        c = np.sort(graph.data[graph.indptr[i] : graph.indptr[i + 1]])[::-1]
        k = min(30, int(np.floor(frac_to_keep * c.size)))
        tied[i] = 0 < k < c.size and c[k - 1] == c[k]
    return tied


def velocity_settings() -> dict[str, tuple[bool, dict[str, Any]]]:
    """Name -> (backward, arguments).

    Backward `negate` with the default scale is left out: CellRank gives the forward matrix there.
    """
    return {
        "fwd_scale4": (False, {"softmax_scale": 4.0}),
        "fwd_default": (False, {}),
        "transpose_scale4": (True, {"backward_mode": "transpose", "softmax_scale": 4.0}),
        "transpose_default": (True, {"backward_mode": "transpose"}),
        "negate_scale4": (True, {"backward_mode": "negate", "softmax_scale": 4.0}),
    }


def velocity(adata: ad.AnnData, backward: bool = False, **kwargs: Any) -> VelocityKernel:
    """A kernel on a copy of the data: `negate` flips the signs of the layer that it was given."""
    kernel = VelocityKernel(adata.copy(), backward=backward, xkey="Ms", vkey="velocity")
    return kernel.compute_transition_matrix(**kwargs, **QUIET)


def dentate_velocity(
    adata: ad.AnnData, keep: Callable[[Any], np.ndarray], prefix: str, every: bool
) -> Arrays:
    """Deterministic model: each similarity in each setting (or forward with scale 4 only)."""
    out: Arrays = {}
    for similarity in SIMILARITIES:
        for name, (backward, kwargs) in velocity_settings().items():
            if not every and name != "fwd_scale4":
                continue
            kernel = velocity(adata, backward, similarity=similarity, **kwargs)
            key = f"{prefix}/{similarity}/{name}"
            out[f"{key}/T"] = keep(kernel.transition_matrix)
            if "softmax_scale" in kwargs:  # logits do not depend on the scale
                out[f"{key}/logits"] = keep(kernel.logits)
            else:
                out[f"{key}/softmax_scale"] = np.float64(kernel.params["softmax_scale"])
    return out


def dentate_stochastic(adata: ad.AnnData, keep: Callable[[Any], np.ndarray]) -> Arrays:
    """Stochastic model as it comes (Hessian in float32) and with the Hessian in float64."""
    out: Arrays = {}
    for name, x64 in (("float32", False), ("float64", True)):
        jax.config.update("jax_enable_x64", x64)
        kernel = velocity(adata, model="stochastic", similarity="correlation", softmax_scale=4.0)
        out[f"stochastic/hessian_{name}/T"] = keep(kernel.transition_matrix)
        out[f"stochastic/hessian_{name}/logits"] = keep(kernel.logits)
    jax.config.update("jax_enable_x64", False)
    return out


def connectivity_and_pseudotime(
    adata: ad.AnnData, time_key: str, keep: Callable[[Any], Any]
) -> dict[str, Any]:
    """Both normalisations of the connectivity kernel; hard and soft pseudotime in both directions."""
    out = {
        f"connectivity/{name}/T": keep(
            ConnectivityKernel(adata).compute_transition_matrix(density_normalize=dnorm).transition_matrix
        )
        for name, dnorm in (("density", True), ("plain", False))
    }
    for scheme in ("hard", "soft"):
        for name, backward in (("fwd", False), ("bwd", True)):
            kernel = PseudotimeKernel(adata, time_key=time_key, backward=backward)
            kernel.compute_transition_matrix(threshold_scheme=scheme, **QUIET)
            out[f"pseudotime/{scheme}/{name}/T"] = keep(kernel.transition_matrix)
    return out


def cytotrace(
    adata: ad.AnnData, layer: str, aggregations: tuple[str, ...], keep: Callable[[Any], Any]
) -> dict[str, Any]:
    """Score, genes and matrix. `gene_corr` is CellRank's: too large by the factor n / (n - 1)."""
    out: dict[str, Any] = {}
    for aggregation in aggregations:
        a = adata.copy()
        kernel = CytoTRACEKernel(a).compute_cytotrace(layer=layer, aggregation=aggregation, n_genes=200)
        score = a.obs["ct_score"].to_numpy()
        if not np.isfinite(score).all():
            log.warning("cytotrace %s is not finite, left out", aggregation)
            continue
        out[f"{aggregation}/score"] = score
        if aggregation == "mean":
            out["num_exp_genes"] = a.obs["ct_num_exp_genes"].to_numpy()
            out["gene_corr"] = a.var["ct_gene_corr"].to_numpy()
            out["correlates"] = a.var["ct_correlates"].to_numpy()
            kernel.compute_transition_matrix(threshold_scheme="soft", **QUIET)
            out["mean/soft/T"] = keep(kernel.transition_matrix)
    return {f"cytotrace/{k}": v for k, v in out.items()}


def in_float64(adata: ad.AnnData) -> ad.AnnData:
    """A copy with `X` and all layers in float64."""
    a = adata.copy()
    a.X = a.X.astype(np.float64)
    for key in list(a.layers):
        a.layers[key] = a.layers[key].astype(np.float64)
    return a


def in_float32(adata: ad.AnnData) -> ad.AnnData:
    """A copy with the velocity in float32, as `Ms` is already."""
    a = adata.copy()
    a.layers["velocity"] = a.layers["velocity"].astype(np.float32)
    return a


def dentate_combinations(adata: ad.AnnData, keep: Callable[[Any], np.ndarray]) -> Arrays:
    """Sums and products; fresh operands each time, because CellRank rescales them in place."""

    def vk() -> VelocityKernel:
        return velocity(adata, softmax_scale=4.0)

    def ck() -> ConnectivityKernel:
        return ConnectivityKernel(adata).compute_transition_matrix()

    def pk() -> PseudotimeKernel:
        return PseudotimeKernel(adata, time_key="dpt_pseudotime").compute_transition_matrix(**QUIET)

    expressions = {
        "0.8*vk+0.2*ck": 0.8 * vk() + 0.2 * ck(),
        "vk*ck": vk() * ck(),
        "vk+pk+ck": vk() + pk() + ck(),
        "9*pk+1*ck": 9 * pk() + 1 * ck(),
        "0.5*(vk*pk)+0.5*ck": 0.5 * (vk() * pk()) + 0.5 * ck(),
    }
    return {f"combination/{k}/T": keep(e.transition_matrix) for k, e in expressions.items()}


def dentate_scores(adata: ad.AnnData) -> dict[str, Any]:
    """Cross-boundary correctness, projection and flow of the forward correlation kernel with scale 4."""
    adata = adata.copy()
    for rep in ("X_pca", "X_umap"):  # in float32 CellRank's own rounding shows at 1e-8
        adata.obsm[rep] = adata.obsm[rep].astype(np.float64)
    kernel = velocity(adata, softmax_scale=4.0)
    ck = ConnectivityKernel(adata.copy()).compute_transition_matrix()
    out: dict[str, Any] = {}
    for source, target in (("Neuroblast", "Granule immature"), ("Granule immature", "Granule mature")):
        for name, k in (("velocity", kernel), ("connectivity", ck)):
            for rep in ("X_pca", "X_umap"):
                score = k.cbc(source=source, target=target, cluster_key="clusters", rep=rep)
                out[f"cbc/{name}/{rep}/{source}/{target}"] = score
    for name, k, key in (("velocity", kernel, "T_fwd_umap"), ("connectivity", ck, "T_fwd_umap")):
        TmatProjection(k, basis="umap").project(recompute=True)
        out[f"projection/{name}/umap"] = np.asarray(k.adata.obsm[key])
    T = kernel.transition_matrix
    for cluster in ("Neuroblast", "Granule immature", "Granule mature"):
        flow = FlowPlotter(kernel.adata.copy(), T, cluster_key="clusters", time_key="age(days)")
        categories = flow.clusters.cat.categories
        table = flow.compute_flow([(12.0, 35.0)], cluster)
        out[f"flow/{cluster}"] = table.loc[:, categories].to_numpy()
        out["flow/contingency"] = flow.compute_contingency_matrix().loc[categories].to_numpy()
        out["flow/clusters"] = categories.to_numpy().astype("U")
    return out


def freeze_dentate() -> dict[str, Any]:
    """Everything on the 200-cell velocity set."""
    adata = ad.read_h5ad(DENTATE)
    pattern = Pattern(adata.obsp["connectivities"])
    keep = pattern.values
    out: dict[str, Any] = {"pseudotime/hard/tied_rows": tied_rows(pattern.graph)}
    out |= dentate_velocity(adata, keep, "velocity", every=True)
    out |= dentate_velocity(in_float32(adata), keep, "velocity_float32", every=False)
    out |= dentate_stochastic(adata, keep)
    out |= connectivity_and_pseudotime(adata, "dpt_pseudotime", keep)
    out |= cytotrace(in_float64(adata), "Ms", ("mean", "median", "gmean", "hmean"), keep)
    out |= dentate_combinations(adata, keep)
    out |= dentate_scores(adata)
    return out


def freeze_large(path: Path, time_key: str) -> dict[str, Any]:
    """Graph kernels on a larger set: sampled rows and products with the probe vectors."""
    adata = ad.read_h5ad(path)
    n = adata.n_obs
    rows = np.linspace(0, n - 1, N_ROWS).astype(np.int64)
    pattern = Pattern(adata.obsp["connectivities"], rows)
    probes = probe_vectors(n)

    def keep(matrix: Any) -> dict[str, np.ndarray]:
        return {"rows": pattern.values(matrix), "probe": sp.csr_matrix(matrix) @ probes}

    pk = PseudotimeKernel(adata, time_key=time_key).compute_transition_matrix(**QUIET)
    ck = ConnectivityKernel(adata).compute_transition_matrix()
    nested: dict[str, Any] = {"pseudotime/hard/tied_rows": tied_rows(pattern.graph), "rows": rows}
    nested |= connectivity_and_pseudotime(adata, time_key, keep)
    nested |= cytotrace(in_float64(adata), "X", ("mean",), keep)
    nested["combination/0.8*pk+0.2*ck/T"] = keep((0.8 * pk + 0.2 * ck).transition_matrix)
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= {f"{key}/{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat


README = """# Results of CellRank {version}, frozen

Made by `tests/reference/freeze_cellrank.py` from files of this repository, in an environment made from
`benches/peer-requirements.txt`:

    .venv-peer/bin/python tests/reference/freeze_cellrank.py

with {versions}.

| file | data | bytes |
| --- | --- | --- |
{table}

`lineage.npz`, `estimators_*.npz` and `gpcca.npz` come from the scripts `freeze_lineage.py`,
`freeze_estimators.py` and `freeze_gpcca.py` next to it, which say what is in them.

Keys read like paths; `.../T` is a transition matrix, `.../logits` the unscaled similarities. Whole
matrices are the values on the pattern of `obsp["connectivities"]` (rows in order, columns sorted, zero
where there is no entry); of the two larger sets `.../rows` holds those values for the rows listed in
`rows`, and `.../probe` is the whole matrix times the fixed vectors of `probe_vectors` in the script.

- `velocity/<similarity>/<setting>`: layers as in the file (`Ms` float32, `velocity` float64; CellRank
  casts both to float64). `velocity_float32`: the velocity rounded to float32 first. `transpose` and
  `negate` are backward. Default-scale runs store the `softmax_scale` that was chosen. Backward `negate`
  with the default scale is not here: CellRank returns the forward matrix for it.
- `stochastic/hessian_float32` is CellRank as it comes, `hessian_float64` the same with jax in double
  precision; the moments of the velocity are float32 in both. The Monte Carlo model is not here: it is
  not reproducible.
- `pseudotime/hard/tied_rows`: rows where the hard scheme chooses among equal connectivities at its
  border; which ones stay depends on the sorting algorithm.
- `cytotrace`: from `X` and layers cast to float64; `gene_corr` is too large by n / (n - 1) in this
  version (fixed later), which changes neither order nor score. `mean/soft/T` is from the `mean` score.
- `cbc/<kernel>/<rep>/<source>/<target>`, with the representation cast to float64;
  `projection/<kernel>/umap`, after the scaling by matplotlib's quiver; `flow/<cluster>`, one row: 12 to 35
  days, columns `flow/clusters`; `flow/contingency`, rows `flow/clusters`.
"""


def main() -> None:
    """Write all files."""
    if cr.__version__ != VERSION:
        raise SystemExit(f"Expected CellRank {VERSION}, found {cr.__version__}.")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cr.settings.logging_level = "ERROR"
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    jobs: dict[str, tuple[Path, Callable[[], dict[str, Any]]]] = {
        "dentate_gyrus": (DENTATE, freeze_dentate),
        "bone_marrow": (MARROW, lambda: freeze_large(MARROW, "palantir_pseudotime")),
        "paul15": (PAUL, lambda: freeze_large(PAUL, "dpt_pseudotime")),
    }
    table = []
    for name, (source, job) in jobs.items():
        file = OUT / f"{name}.npz"
        np.savez_compressed(file, **job())
        table.append(f"| `{file.name}` | `{source.relative_to(ROOT)}` | {file.stat().st_size} |")
        log.info("%s", table[-1])
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (cr, np, ad, jax))
    (OUT / "README.md").write_text(README.format(version=VERSION, versions=versions, table="\n".join(table)))
    total = sum((OUT / f"{name}.npz").stat().st_size for name in jobs)
    if total > LIMIT:
        raise SystemExit(f"The frozen files take {total} bytes, more than {LIMIT}.")


if __name__ == "__main__":
    main()
