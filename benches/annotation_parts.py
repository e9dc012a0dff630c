"""Which step of annotation by neighbors costs accuracy: genes, scaling, or the rule that makes a call.

    python benches/annotation_parts.py REFERENCE.h5ad QUERY        # as benches/annotation_quality.py
    python benches/annotation_parts.py QUERY.h5ad REFERENCE.h5ad   # the other way round
    python benches/annotation_parts.py CELLS.h5ad donor_id=D1,D2 --swap

All choices are made in plain numpy on the same cells, with 50 components of scikit-learn, cosine, and as many
neighbors as a reference asks for by default. Genes that the query lacks are zero.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from annotation_quality import ONTOLOGY, TERM, parts
from ferrocyte.cas.local import _pca
from sklearn.decomposition import PCA

DOCUMENT = ONTOLOGY.document()
DEPTHS = DOCUMENT["longest_path_lengths_from_cell_root"]
ABOVE = DOCUMENT["ancestors_dictionary"]


def logs(cells: ad.AnnData, genes: list[str]) -> sp.csr_matrix:
    x = sp.csr_matrix(cells.X, dtype=np.float64)
    x = sp.csr_matrix(sp.diags(1e4 / (np.asarray(x.sum(axis=1)).ravel() + 1e-6)) @ x)
    at = {gene: i for i, gene in enumerate(cells.var_names)}
    columns = [at.get(gene, x.shape[1]) for gene in genes]
    return sp.hstack([x, sp.csr_matrix((x.shape[0], 1))]).tocsc()[:, columns].tocsr().log1p()


def choices(x: sp.csr_matrix) -> dict[str, np.ndarray]:
    """2,000 genes: by bins of equally many genes, as scanpy does, and as references do."""
    counts = x.expm1()
    mean, square, level, level_square = (
        np.asarray(m.mean(axis=0)).ravel() for m in (x, x.multiply(x), counts, counts.multiply(counts))
    )
    dispersion = np.divide(level_square - level**2, level, out=np.zeros_like(level), where=level > 0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    found = _pca.Moments(
        x.shape[0], np.bincount(x.indices, minlength=x.shape[1]), mean, std, dispersion, level
    )
    cells = ad.AnnData(x.copy())
    sc.pp.highly_variable_genes(cells, n_top_genes=2000)
    return {
        "equally many genes a bin": _by_quantiles(found),
        "scanpy": cells.var["highly_variable"].to_numpy(),
        "equal bins, genes of 3 cells": _pca.variable_genes(found, 2000, min_cells=3),
        "equal bins, genes of 1 % of cells": _pca.variable_genes(found, 2000),
    }


def _by_quantiles(found: _pca.Moments) -> np.ndarray:
    """What references did at first."""
    at = np.flatnonzero((found.detected >= 3) & (found.std > 0))
    level, dispersion = np.log(found.level[at]), np.log(np.maximum(found.dispersion[at], 1e-300))
    bins = np.searchsorted(np.quantile(level, np.linspace(0, 1, 21)[1:-1]), level)
    score = np.zeros(len(at))
    for b in np.unique(bins):
        deviation = dispersion[bins == b] - np.median(dispersion[bins == b])
        score[bins == b] = deviation / max(float(np.median(np.abs(deviation))), 1e-12)
    out = np.zeros(len(found.std), dtype=bool)
    out[at[np.argsort(-score, kind="stable")[:2000]]] = True
    return out


def scalings(x: np.ndarray, y: np.ndarray):
    """Name, reference, query."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    yield "none", x - mean, y - mean
    z, q = (x - mean) / (std + 1e-6), (y - mean) / (std + 1e-6)
    yield "z", z, q
    z, q = np.clip(z, -10, 10), np.clip(q, -10, 10)
    yield "z, clipped at 10", z - z.mean(axis=0), q - z.mean(axis=0)
    damped = std + np.median(std)
    yield "z, damped", (x - mean) / damped, (y - mean) / damped


def calls(x: np.ndarray, y: np.ndarray, labels: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Answers by rule."""
    pca = PCA(50, svd_solver="randomized", iterated_power=6, random_state=0).fit(x)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (pca.transform(x), pca.transform(y)))
    distances = 1 - b @ a.T
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    near = np.maximum(np.take_along_axis(distances, rows, axis=1), 0)
    median = np.median(near, axis=1, keepdims=True)
    weights = np.exp(-near / np.where(median > 0, median, np.inf))
    types, codes = np.unique(labels, return_inverse=True)
    terms = np.array(sorted({t for own in types for t in (own, *ABOVE.get(own, ()))}))
    below = np.array([[t == own or t in ABOVE.get(own, ()) for t in terms] for own in types], dtype=float)
    votes, shares = np.zeros((len(b), len(types))), np.zeros((len(b), len(types)))
    cells = np.arange(len(b))[:, None]
    np.add.at(votes, (cells, codes[rows]), 1)
    np.add.at(shares, (cells, codes[rows]), weights)
    scores = shares / weights.sum(axis=1, keepdims=True) @ below
    depths = np.array([DEPTHS.get(t, 0) for t in terms])
    out = {"most neighbors": types[votes.argmax(axis=1)], "most weight": types[shares.argmax(axis=1)]}
    for least in (0.2, 0.35, 0.5):
        out[f"deepest of {least}"] = terms[
            np.where(scores >= least, depths + 0.999 * scores, -1).argmax(axis=1)
        ]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path)
    parser.add_argument("query", help="file, `half`, or COLUMN=VALUE,VALUE")
    parser.add_argument("--swap", action="store_true", help="the query is the reference")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path, query = parts(args, Path(folder))
        reference = ad.read_h5ad(path)
    if args.swap:
        reference, query = query, reference
        reference = reference[[ONTOLOGY.find(t) >= 0 for t in reference.obs[TERM].astype(str)]].copy()
    labels, truth = (cells.obs[TERM].astype(str).to_numpy() for cells in (reference, query))
    asked = np.isin(truth, labels)
    x, y = (logs(cells, list(reference.var_names)) for cells in (reference, query[asked].copy()))
    k = min(100, max(10, len(labels) // 100))
    print(f"{args.reference.stem}, {Path(args.query).stem}{', swapped' if args.swap else ''}: k = {k}")
    header = None
    for genes, use in choices(x).items():
        for scaling, a, b in scalings(x[:, use].toarray(), y[:, use].toarray()):
            found = calls(a, b, labels, k)
            if header is None:
                header = ["genes", "scaling", *found]
                print(f"| {' | '.join(header)} |", "|" + " --- |" * len(header), sep="\n")
            cells = [f"{(answers == truth[asked]).mean():.3f}" for answers in found.values()]
            print(f"| {genes} | {scaling} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
