"""Blocks of cells: ages, paths, counts and coordinates, each block from a random stream of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ferrocyte.datasets._genes import GAMMA, GeneModel
from ferrocyte.datasets._paths import Paths, walk_paths
from ferrocyte.datasets._tree import Tree

__all__ = ["BLOCK", "Design", "make_block"]

BLOCK = 2048
OVERSAMPLE = 4
SIZE_SD = 0.35
LOW_NOISE = LAYOUT_NOISE = 0.05
LOW_CLASS = 2
LAYOUT_CLASS = 0
# First word after the seed of each random stream; 1 is taken by the genes.
CELLS, MOMENTS = 2, 3


@dataclass(frozen=True, eq=False)
class Design:
    """What a simulation depends on, checked.

    Attributes
    ----------
    tree, genes : Tree, GeneModel
    seed : int
    strength : float
        Square of the signal-to-noise ratio of a choice over the time in which it is made.
    dispersion, noise : float
        Extra squared coefficient of variation of the counts; deviation of the log of the moments.
    times : ndarray of float or None, (n_times,)
        Collection times; None for cells of all ages.
    spread : float
        Standard deviation of the age at one collection time.
    moments : bool
        Whether to give the dense layers.
    """

    tree: Tree
    genes: GeneModel
    seed: int
    strength: float
    dispersion: float
    noise: float
    times: np.ndarray | None
    spread: float
    moments: bool


def make_block(design: Design, block: int, n_cells: int) -> dict[str, np.ndarray | sp.csr_matrix]:
    """Make the first `n_cells` cells of a block of `BLOCK`.

    Always computes the whole block: the random numbers of a cell must not depend on the total.
    """
    tree, genes = design.tree, design.genes
    rng = np.random.default_rng([design.seed, CELLS, block])
    if design.times is None:
        age = np.maximum(rng.uniform(0.0, tree.end * 1.08, BLOCK), 1e-3)
        leaf = rng.choice(tree.leaves.size, size=BLOCK, p=tree.leaf_prob)
        paths = walk_paths(tree, rng, age, leaf, design.strength)
        extra: dict[str, np.ndarray] = {}
    else:
        paths, age, leaf, extra = _time_course(design, rng)

    unspliced, spliced = genes.abundances(paths.unspliced), genes.abundances(paths.spliced)
    size = np.exp(rng.normal(0.0, SIZE_SD, BLOCK))
    out: dict[str, np.ndarray | sp.csr_matrix] = {
        "unspliced": _counts(rng, unspliced, size, design.dispersion, n_cells),
        "spliced": _counts(rng, spliced, size, design.dispersion, n_cells),
    }
    layout = np.stack([age, _height(tree, paths) + LAYOUT_NOISE * rng.standard_normal(BLOCK)], axis=1)
    low = paths.spliced[:, 1:, LOW_CLASS] * GAMMA[LOW_CLASS]  # without the constant program
    low = low + LOW_NOISE * rng.standard_normal(low.shape)
    if design.moments:
        extra |= _moments(design, block, unspliced, spliced)
    out |= {
        "layout": layout.astype(np.float32),
        "low": low.astype(np.float32),
        "fate": paths.fate,
        "branch": paths.branch,
        "leaf": leaf,
        "terminal": np.isin(paths.branch, tree.leaves) & paths.over,
        "pseudotime": age,
        "growth_rate": paths.growth_rate,
        "log_growth": paths.log_growth,
        "size_factor": size,
        **{key: value for key, value in extra.items() if key != "population"},
    }
    out = {key: value[:n_cells] for key, value in out.items()}
    if "population" in extra:
        out["population"] = extra["population"]
    return out


def _time_course(
    design: Design, rng: np.random.Generator
) -> tuple[Paths, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Cells collected at given times from a growing population.

    Founders live their lives, and the collected cells are drawn among them by how many descendants each
    has by then. A founder drawn more than once gives cells on one path, as siblings are, whose counts
    are their own.
    """
    assert design.times is not None
    tree, n_times = design.tree, design.times.size
    when = np.tile(np.arange(BLOCK) * n_times // BLOCK, OVERSAMPLE)
    age = np.abs(design.times[when] + rng.normal(0.0, design.spread, when.size))
    age = np.maximum(age, 1e-3)
    leaf = rng.choice(tree.leaves.size, size=when.size, p=tree.leaf_prob)
    paths = walk_paths(tree, rng, age, leaf, design.strength)

    picked, population = [], np.zeros(n_times)
    for j in range(n_times):
        founders = np.flatnonzero(when == j)
        top = paths.log_growth[founders].max()
        descendants = np.exp(paths.log_growth[founders] - top)
        population[j] = np.exp(top) * descendants.mean()
        need = founders.size // OVERSAMPLE
        # systematic sampling: one random offset, the least noise that keeps the expectation
        at = (np.arange(need) + rng.uniform()) / need
        share = np.cumsum(descendants) / descendants.sum()
        picked.append(founders[np.minimum(np.searchsorted(share, at), founders.size - 1)])
    rows = rng.permutation(np.concatenate(picked))
    return paths.take(rows), age[rows], leaf[rows], {"time": when[rows], "population": population}


def _height(tree: Tree, paths: Paths) -> np.ndarray:
    """Second axis of the layout: fates side by side, cells where their transcripts say they are.

    The response of the main programs to one class of genes adds up to one over branches, so it is a mean
    over the places of the branches. It lags behind the choice, as expression does: paths have no kinks.
    """
    fates = np.linspace(-1.0, 1.0, tree.leaves.size) if tree.leaves.size > 1 else np.zeros(1)
    main = paths.spliced[:, 1 : 1 + len(tree.names), LAYOUT_CLASS] * GAMMA[LAYOUT_CLASS]
    return np.einsum("ij,j->i", main, (tree.down * fates).sum(axis=1))


def _counts(
    rng: np.random.Generator, mean: np.ndarray, size: np.ndarray, dispersion: float, n_cells: int
) -> sp.csr_matrix:
    """Poisson counts, or negative binomial ones with squared variation `dispersion` on top."""
    rate = mean * size[:, None]
    if dispersion > 0:
        rate *= rng.gamma(1 / dispersion, dispersion, rate.shape)
    # float32 is exact up to 2^24; the sparse matrix is made from the rows that are asked for only
    return sp.csr_matrix(rng.poisson(rate)[:n_cells].astype(np.float32))


def _moments(design: Design, block: int, unspliced: np.ndarray, spliced: np.ndarray) -> dict[str, np.ndarray]:
    """Abundances and the velocity that follows from them, with noise of mean one if asked for."""
    if design.noise > 0:
        rng = np.random.default_rng([design.seed, MOMENTS, block])
        for x in (unspliced, spliced):
            z = rng.standard_normal(x.shape, dtype=np.float32)
            x *= np.exp(np.float32(design.noise) * z - np.float32(design.noise**2 / 2))
    beta, gamma = (rate.astype(np.float32) for rate in (design.genes.beta, design.genes.gamma))
    return {"Mu": unspliced, "Ms": spliced, "velocity": beta * unspliced - gamma * spliced}
