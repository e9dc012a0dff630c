"""An embedding learned from counts that are read block by block: nothing of the size of the matrix is kept.

Counts are normalised to 10,000 molecules a cell, logarithms are taken, genes are standardised (by a
standard deviation that is damped, see :func:`damping`), and the result is projected on its principal
components. The components come from a randomised block Krylov space (Musco & Musco, NeurIPS 2015, algorithm
2): the covariance is applied to a block of random directions again and again, once in each pass over the
cells, and the components are the best in the space of all that came out.

Sums are formed block by block in a fixed order, and dense factorisations on one thread, so that the same
cells and the same seed give the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from ferrocyte.cas._upload import Counts

__all__ = [
    "EPS",
    "RECIPE",
    "SCALE",
    "Blocks",
    "Components",
    "Moments",
    "damping",
    "fit",
    "moments",
    "variable_genes",
]

Blocks = Callable[[], Iterator[Counts]]
SCALE, EPS = 1e4, 1e-6
# Grows when other components come out of the same cells, so that what was kept is made again.
RECIPE = 2
# Directions that are followed beside those that are wanted.
_OVERSAMPLE = 10
_BINS = 20


@dataclass(frozen=True)
class Moments:
    """What is known of each gene after one pass.

    Attributes
    ----------
    n_cells : int
    detected : array of int64
        Cells that have the gene.
    mean, std : array of float64
        Of the logarithms, over all cells (no correction of degrees of freedom).
    dispersion, level : array of float64
        Variance over mean, and mean, of the normalised counts.
    """

    n_cells: int
    detected: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    dispersion: NDArray[np.float64]
    level: NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """Principal components.

    Attributes
    ----------
    weights : array of float32, (n_genes, n_components)
        Loadings over the damped standard deviation of each gene.
    offset : array of float64, (n_components,)
        What the mean cell is projected to.
    variance_ratio : array of float64, (n_components,)
        Share of the variance of the standardised genes.
    """

    weights: NDArray[np.float32]
    offset: NDArray[np.float64]
    variance_ratio: NDArray[np.float64]


def _normalized(counts: Any, totals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Stored counts of a CSR matrix, per 10,000 molecules."""
    factors = SCALE / (totals.astype(np.float64) + EPS)
    return counts.data * np.repeat(factors, np.diff(counts.indptr))


def moments(blocks: Blocks, n_genes: int) -> Moments:
    """One pass over the cells."""
    sums = np.zeros((4, n_genes))
    detected = np.zeros(n_genes, dtype=np.int64)
    n = 0
    for counts in blocks():
        x = _normalized(counts, counts.totals)
        logs = np.log1p(x)
        for k, values in enumerate((logs, logs**2, x, x**2)):
            sums[k] += np.bincount(counts.indices, weights=values, minlength=n_genes)
        detected += np.bincount(counts.indices, minlength=n_genes)
        n += len(counts)
    mean, square, level, level_square = sums / max(n, 1)
    variance = np.maximum(level_square - level**2, 0.0)
    dispersion = np.divide(variance, level, out=np.zeros(n_genes), where=level > 0)
    return Moments(n, detected, mean, np.sqrt(np.maximum(square - mean**2, 0.0)), dispersion, level)


def variable_genes(found: Moments, n_top: int | None, min_cells: int | None = None) -> NDArray[np.bool_]:
    """Genes that the components are made of.

    Genes of similar mean are compared by their dispersion: its logarithm is standardised in 20 bins of equal
    width over ln(1 + mean) (Satija et al., Nature Biotechnology 33, 495, 2015). Bins that hold equally many
    genes instead would fill most places with genes that hardly any cell has.

    Parameters
    ----------
    found : Moments
    n_top : int or None
        How many genes; None for all that are detected often enough.
    min_cells : int, optional
        Genes in fewer cells are not used; by default one in a hundred cells, at least 3 and at most 10.

    Returns
    -------
    array of bool
    """
    if min_cells is None:
        min_cells = min(10, max(3, found.n_cells // 100))
    use = (found.detected >= min(min_cells, found.n_cells)) & (found.std > 0)
    if n_top is None or use.sum() <= n_top:
        return use
    at = np.flatnonzero(use)
    level, dispersion = np.log1p(found.level[at]), np.log(np.maximum(found.dispersion[at], 1e-300))
    width = max(float(np.ptp(level)), 1e-12) / _BINS
    bins = np.minimum(((level - level.min()) / width).astype(np.intp), _BINS - 1)
    # A gene that is alone at its level has nothing to be compared with, and counts as one above the mean.
    score = np.ones(len(at))
    for b in np.unique(bins):
        own = dispersion[bins == b]
        spread = float(own.std())
        if spread > 1e-9:
            score[bins == b] = (own - own.mean()) / spread
    out = np.zeros(len(use), dtype=bool)
    out[at[np.lexsort((at, -score))[:n_top]]] = True
    return out


def damping(std: NDArray[np.float64]) -> float:
    """What is added to the standard deviation of each gene before its logarithms are divided by it.

    A gene that few cells have varies little, and a plain z-score makes these few its loudest: one molecule of
    a gene in 3 of 1,000 cells is 18 standard deviations. With the median of all genes added (as Tusher et
    al., PNAS 98, 5116, 2001, do for statistics of genes) it speaks less loudly than a common one. Unlike
    clipping, this leaves the embedding linear.
    """
    return float(np.median(std))


def fit(
    blocks: Blocks,
    found: Moments,
    use: NDArray[np.bool_],
    n_components: int,
    *,
    seed: int = 0,
    n_iter: int = 6,
    threads: int = 1,
) -> Components:
    """Principal components of the genes `use`, in at most `n_iter` passes over the cells.

    Raises
    ------
    InvalidDataError
        If there are fewer cells or genes than components.
    """
    most = min(int(use.sum()), found.n_cells - 1)
    if n_components > most:
        raise InvalidDataError(
            f"Expected at least {n_components} variable genes and {n_components + 1} cells for "
            f"{n_components} components, found {int(use.sum())} genes and {found.n_cells} cells. Pass a "
            "smaller `n_components`."
        )
    from threadpoolctl import threadpool_limits

    at = np.flatnonzero(use)
    mean, std = found.mean[at], found.std[at]
    inverse = 1.0 / (std + damping(std))
    width = min(n_components + _OVERSAMPLE, most)
    basis = np.random.Generator(np.random.Philox(seed)).standard_normal((len(at), width))
    with threadpool_limits(1, "blas"):
        block = np.linalg.qr(basis)[0]
        basis, images = block, []
        while True:
            images.append(_covariance_times(block, blocks, at, mean, inverse, threads))
            if len(images) == n_iter or basis.shape[1] + width > len(at):
                break
            # The next block is what is new in the image; twice, so that it is orthogonal to the last bit.
            block = images[-1]
            for _ in range(2):
                block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
            basis = np.hstack([basis, block])
        ritz = basis.T @ np.hstack(images)
        values, vectors = np.linalg.eigh(0.5 * (ritz + ritz.T))
        order = np.argsort(-values, kind="stable")[:n_components]
        loadings = basis @ vectors[:, order]
    # The sign of a component is free: its largest loading is positive.
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(n_components)]
    loadings *= np.where(largest < 0, -1.0, 1.0)
    all_weights = np.zeros((len(use), n_components), dtype=np.float32)
    all_weights[at] = loadings * inverse[:, None]
    total = found.n_cells * float(((std * inverse) ** 2).sum())
    return Components(all_weights, _offset(mean, all_weights[at].astype(np.float64)), values[order] / total)


def _offset(mean: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the mean cell is projected to; a sum in a fixed order, which a product of BLAS is not."""
    return np.add.reduce(mean[:, None] * weights, axis=0)


def _covariance_times(
    block: NDArray[np.float64],
    blocks: Blocks,
    at: NDArray[np.intp],
    mean: NDArray[np.float64],
    inverse: NDArray[np.float64],
    threads: int,
) -> NDArray[np.float64]:
    """``Z.T @ (Z @ block)`` for standardised logarithms Z, in one pass over the cells."""
    out = np.zeros_like(block)
    weights = np.ascontiguousarray(block * inverse[:, None])
    offset = _offset(mean, weights)
    for counts in blocks():
        shape = (len(counts), len(counts.genes))
        matrix = sp.csr_matrix((counts.data, counts.indices, counts.indptr), shape=shape)[:, at]
        projected = _core.embed_counts(
            matrix, counts.totals, weights, offset, scale=SCALE, eps=EPS, threads=threads
        )
        # Z^T Y without Z: the mean of each gene comes off afterwards.
        matrix.data = np.log1p(_normalized(matrix, counts.totals))
        out += inverse[:, None] * np.asarray(matrix.T @ projected)
        out -= (inverse * mean)[:, None] * projected.sum(axis=0)
    return out
