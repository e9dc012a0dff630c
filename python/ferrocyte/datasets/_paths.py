"""Paths of cells down the tree, with the probability of each fate at the end of the path.

When a cell passes a split it draws its hidden choice f ~ p. From then on it shows one noisy signal per
child, dX_k = s 1[k = f] dt + dW_k. By Bayes' rule the posterior z_k ~ p_k exp(s X_k) is at every moment
the probability that the choice is k, given all that the cell has shown. z drives transcription, and
with the probabilities of the later splits it gives the fate probabilities: a martingale that starts at
the prior and ends at 0 or 1.

Genes follow u' = a(t) - beta u and s' = beta u - gamma s with a(t) linear in the activity of a few
programs. The activity is constant within a step and the step is integrated exactly, so the velocity s'
is known and not estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ferrocyte.datasets._genes import BETA, GAMMA, N_CLASSES
from ferrocyte.datasets._tree import Tree

__all__ = ["Paths", "walk_paths"]

STEPS = 120


@dataclass(frozen=True, eq=False)
class Paths:
    """State of cells at the end of their paths.

    Attributes
    ----------
    unspliced, spliced : ndarray of float32, (n_cells, n_programs, N_CLASSES)
        Response of each kinetic class to each program of unit weight.
    fate : ndarray of float64, (n_cells, n_fates)
        Probability of each fate given all that the cell has shown.
    branch : ndarray of int, (n_cells,)
        Branch that the cell is in.
    over : ndarray of bool, (n_cells,)
        Whether the branch is over for the cell: in a leaf, its fate is then certain.
    growth_rate, log_growth : ndarray of float64, (n_cells,)
        Net growth rate now, and its integral over the life of the cell.
    """

    unspliced: np.ndarray
    spliced: np.ndarray
    fate: np.ndarray
    branch: np.ndarray
    over: np.ndarray
    growth_rate: np.ndarray
    log_growth: np.ndarray

    def take(self, rows: np.ndarray) -> Paths:
        return Paths(**{name: value[rows] for name, value in vars(self).items()})


def walk_paths(
    tree: Tree, rng: np.random.Generator, age: np.ndarray, leaf: np.ndarray, strength: float
) -> Paths:
    """Let cells live for `age` (pseudotime, (n_cells,)) on the way to `leaf` (index of the fate)."""
    n, n_branches = age.size, len(tree.names)
    rows = np.arange(n)
    path, length = tree.path[leaf], tree.path_length[leaf]
    siblings = tree.parent[:, None] == tree.parent[None, :]
    log_prob = np.log(tree.prob)
    dt = age / STEPS
    root_dt = np.sqrt(dt)[:, None]

    response = _Response(tree, dt)
    level = np.zeros(n, dtype=np.int64)
    branch = path[:, 0].copy()
    signal = np.zeros((n, n_branches))
    z = np.zeros((n, n_branches))
    log_growth = np.zeros(n)
    now = np.zeros(n)
    for step in range(STEPS):
        now = (step + 0.5) * dt
        ahead = level + 1 < length
        go = np.flatnonzero(ahead & (now >= tree.start[branch] + tree.duration[branch]))
        if go.size:
            level[go] += 1
            branch[go] = path[go, level[go]]
            signal[go] = 0.0
        since = now - tree.start[branch]
        s = np.sqrt(strength / tree.decide[branch])
        rivals = siblings[branch]
        # the random numbers are drawn for all cells alike, so that none depends on what another does
        shown = rng.standard_normal((n, n_branches)) * root_dt
        shown[rows, branch] += s * dt
        open_choice = since < tree.decide[branch]
        signal += np.where(rivals & open_choice[:, None], shown, 0.0)
        z = np.where(rivals, log_prob + s[:, None] * signal, -np.inf)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        made = np.flatnonzero(~open_choice)
        if made.size:
            z[made] = 0.0
            z[made, branch[made]] = 1.0
        response.step(z, since)
        log_growth += _mean_over_branches(z, tree.growth) * dt
    fate = _mean_over_branches(z, tree.down)
    fate /= fate.sum(axis=1, keepdims=True)
    return Paths(
        unspliced=response.unspliced,
        spliced=response.spliced,
        fate=fate,
        branch=branch,
        over=now >= tree.start[branch] + tree.duration[branch],
        growth_rate=_mean_over_branches(z, tree.growth),
        log_growth=log_growth,
    )


def _mean_over_branches(z: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``z @ values`` in one fixed order, whatever the threads of the linear algebra library."""
    return np.einsum("ij,j...->i...", z, values)


class _Response:
    """Exact integration of u' = a - beta u, s' = beta u - gamma s over steps of constant a."""

    def __init__(self, tree: Tree, dt: np.ndarray) -> None:
        n, n_branches = dt.size, len(tree.names)
        self.duration = tree.duration
        decay_u, decay_s = np.exp(-np.outer(dt, BETA)), np.exp(-np.outer(dt, GAMMA))
        mixed = (decay_s - decay_u) / (GAMMA - BETA)

        def per_program(x: np.ndarray) -> np.ndarray:
            return x.astype(np.float32)[:, None, :]

        self.decay_u, self.decay_s = per_program(decay_u), per_program(decay_s)
        self.u_from_a = per_program((1 - decay_u) / BETA)
        self.s_from_u = per_program(-BETA * mixed)
        self.s_from_a = per_program((1 - decay_s) / GAMMA + mixed)
        # before its life starts the cell is at rest with the root's program on
        self.activity = np.zeros((n, 1 + 3 * n_branches), dtype=np.float32)
        self.activity[:, [0, 1 + tree.root]] = 1.0
        a = self.activity[:, :, None]
        self.unspliced = (a / BETA).astype(np.float32)
        self.spliced = (a / GAMMA).astype(np.float32)
        self._work = np.empty((n, 1 + 3 * n_branches, N_CLASSES), dtype=np.float32)

    def step(self, z: np.ndarray, since: np.ndarray) -> None:
        """Advance by one step with the branches active as `z` says, `since` after the last split."""
        n_branches = z.shape[1]
        x = since[:, None] / self.duration
        self.activity[:, 1 : 1 + n_branches] = z
        self.activity[:, 1 + n_branches : 1 + 2 * n_branches] = z * np.exp(-0.5 * ((x - 0.3) / 0.13) ** 2)
        self.activity[:, 1 + 2 * n_branches :] = z / (1 + np.exp((0.6 - x) / 0.07))
        a, work = self.activity[:, :, None], self._work
        self.spliced *= self.decay_s
        self.spliced += np.multiply(self.s_from_u, self.unspliced, out=work)
        self.spliced += np.multiply(self.s_from_a, a, out=work)
        self.unspliced *= self.decay_u
        self.unspliced += np.multiply(self.u_from_a, a, out=work)
