"""Gene parameters of the simulation: which program drives each gene, and how fast it is made and lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ferrocyte.datasets._tree import Tree

__all__ = ["N_CLASSES", "GeneModel", "draw_genes"]

# Kinetic classes: four decay rates, each with splicing 2.5 or 5 times as fast. Genes share the classes so
# that a cell needs one trajectory per (program, class) and not one per gene.
GAMMA = np.repeat([1.5, 2.5, 4.0, 7.0], 2)
BETA = GAMMA * np.tile([2.5, 5.0], 4)
N_CLASSES = GAMMA.size

KINDS = ("house", "pan", "main", "down", "early", "late")
SHARES = (0.22, 0.14, 0.30, 0.06, 0.14, 0.14)
HOUSE, PAN, MAIN, DOWN, EARLY, LATE = range(6)


@dataclass(frozen=True, eq=False)
class GeneModel:
    """Parameters of the genes.

    Attributes
    ----------
    kind, branch, kinetics : ndarray of int, (n_genes,)
        Kind of gene, branch that it follows, kinetic class.
    weight : ndarray of float, (n_genes, n_programs)
        Transcription rate per unit of activity of each program: 0 constant, then per branch ``main``,
        ``early`` and ``late``.
    mixing : csr_matrix of float32, (n_genes, n_programs * N_CLASSES)
        `weight` at the kinetic class of each gene: maps the responses of a cell to its genes.
    """

    kind: np.ndarray
    branch: np.ndarray
    kinetics: np.ndarray
    weight: np.ndarray
    mixing: sp.csr_matrix

    @property
    def n_programs(self) -> int:
        return self.weight.shape[1]

    @property
    def beta(self) -> np.ndarray:
        return BETA[self.kinetics]

    @property
    def gamma(self) -> np.ndarray:
        return GAMMA[self.kinetics]

    def abundances(self, responses: np.ndarray) -> np.ndarray:
        """Expected counts (n_cells, n_genes), float32, from responses (n_cells, n_programs, N_CLASSES).

        A sparse product in one fixed order: unlike a dense one it gives the same bits for any number of
        threads of the linear algebra library.
        """
        flat = np.ascontiguousarray(responses.reshape(len(responses), -1).T)
        return np.ascontiguousarray((self.mixing @ flat).T)

    def var(self, tree: Tree) -> pd.DataFrame:
        """Describe the genes for ``AnnData.var``."""
        names = np.array(tree.names, dtype=object)
        follows = np.where(self.kind == HOUSE, "", names[self.branch])
        rises = np.isin(self.kind, [PAN, MAIN, EARLY, LATE])
        drives = np.where(rises & np.isin(self.branch, tree.leaves), follows, "")
        return pd.DataFrame(
            {
                "kind": pd.Categorical.from_codes(self.kind, categories=list(KINDS)),
                "branch": pd.Categorical(follows),
                "driver_of": pd.Categorical(drives),
                "beta": self.beta.astype(np.float32),
                "gamma": self.gamma.astype(np.float32),
                "alpha_base": self.weight[:, 0].astype(np.float32),
                "alpha_max": self.weight.max(axis=1).astype(np.float32),
            },
            index=pd.Index([f"gene{i:05d}" for i in range(self.kind.size)], dtype=object),
        )


def draw_genes(tree: Tree, n_genes: int, seed: int, depth: float) -> GeneModel:
    """Draw the genes; they depend on the tree, `n_genes`, `seed` and `depth` only."""
    rng = np.random.default_rng([seed, 1])
    n = len(tree.names)
    kind = rng.choice(len(KINDS), size=n_genes, p=SHARES)
    branch = _assign_branches(rng, kind, n)
    # everywhere on, or off everywhere outside of everything: neither would ever change
    constant = np.isin(kind, [PAN, DOWN]) & (branch == tree.root)
    branch[constant] = rng.choice(tree.leaves, constant.sum())
    kinetics = rng.integers(N_CLASSES, size=n_genes)
    level = depth * np.exp(rng.normal(0.0, 1.0, n_genes))
    base = level * rng.uniform(0.0, 0.15, n_genes)
    peak = level * rng.uniform(0.7, 1.3, n_genes)

    weight = np.zeros((n_genes, 1 + 3 * n))
    weight[:, 0] = np.where(kind == HOUSE, level, base)
    main, early, late = weight[:, 1 : 1 + n], weight[:, 1 + n : 1 + 2 * n], weight[:, 1 + 2 * n :]
    inside = tree.below.T[branch]  # (n_genes, n_branches): the branch of the gene and what comes after
    here = np.arange(n) == branch[:, None]
    for k, target, where, height in (
        (PAN, main, inside, 1.0),
        (MAIN, main, here, 1.6),
        (DOWN, main, ~inside, 1.0),
        (EARLY, early, here, 3.0),
        (LATE, late, here, 2.0),
    ):
        genes = kind == k
        target[genes] = np.where(where[genes], (height * peak[genes])[:, None], 0.0)
    weight *= GAMMA[kinetics][:, None]  # so that the steady spliced level does not depend on the class

    gene, program = np.nonzero(weight)
    mixing = sp.csr_matrix(
        (weight[gene, program].astype(np.float32), (gene, program * N_CLASSES + kinetics[gene])),
        shape=(n_genes, weight.shape[1] * N_CLASSES),
    )
    return GeneModel(kind=kind, branch=branch, kinetics=kinetics, weight=weight, mixing=mixing)


def _assign_branches(rng: np.random.Generator, kind: np.ndarray, n_branches: int) -> np.ndarray:
    """Deal the branches out in shuffled rounds within each kind: every branch gets its share of each."""
    branch = np.zeros(kind.size, dtype=np.int64)
    for k in range(1, len(KINDS)):
        genes = np.flatnonzero(kind == k)
        rounds = -(-genes.size // n_branches)
        deal = [rng.permutation(n_branches) for _ in range(rounds)]
        if deal:
            branch[genes] = np.concatenate(deal)[: genes.size]
    return branch
