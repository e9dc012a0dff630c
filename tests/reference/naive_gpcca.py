"""Dense, slow, obvious versions of the Schur basis, the stationary distribution and GPCCA+."""

from __future__ import annotations

import numpy as np
from scipy.linalg import schur
from scipy.optimize import linprog, minimize


def schur_basis(T: np.ndarray, n: int, which: str = "LR", d: np.ndarray | None = None) -> np.ndarray:
    """Orthonormal basis in the product with `d` of the invariant subspace of the `n` dominant eigenvalues.

    There must be a gap after the `n`-th; no pair may be cut in two.
    """
    d = np.full(len(T), 1 / len(T)) if d is None else d / d.sum()
    root = np.sqrt(d)
    key = {"LR": np.real, "LM": np.abs}[which]
    keys = np.sort(key(np.linalg.eigvals(T)))[::-1]
    cut = (keys[n - 1] + keys[n]) / 2 if n < len(T) else -np.inf
    _, Q, count = schur(
        root[:, None] * T / root, sort=lambda re, im=0.0: key(complex(re, im)) > cut, output="real"
    )
    assert count == n
    return Q[:, :n] / root[:, None]


def stationary(T: np.ndarray) -> np.ndarray:
    """The stationary distribution of an irreducible chain from the linear system."""
    n = len(T)
    system = np.vstack([T.T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(system, np.r_[np.zeros(n), 1.0], rcond=None)[0]


def crispness(A: np.ndarray) -> float:
    """Share of the largest possible sum of scaled squares, from the rotation."""
    return float((A**2).sum(axis=0) @ (1 / A[0])) / len(A)


def crispness_of(chi: np.ndarray, d: np.ndarray | None = None) -> float:
    """The same from memberships: mean over states of <chi, chi> / <chi, 1>."""
    d = np.full(len(chi), 1 / len(chi)) if d is None else d / d.sum()
    return float(np.mean((d @ chi**2) / (d @ chi)))


def feasible(A: np.ndarray, X: np.ndarray) -> np.ndarray:
    """First column from the others, first row from the smallest memberships, then scaled."""
    A = A.copy()
    A[1:, 0] = -A[1:, 1:].sum(axis=1)
    A[0] = -(X[:, 1:] @ A[1:]).min(axis=0)
    return A / A[0].sum()


def corners(X: np.ndarray) -> list[int]:
    """Inner simplex: the farthest cell, then again and again the farthest from the plane so far."""
    found = [int(np.argmax((X**2).sum(axis=1)))]
    rest = X - X[found[0]]
    while len(found) < X.shape[1]:
        found.append(int(np.argmax((rest**2).sum(axis=1))))
        axis = rest[found[-1]] / np.linalg.norm(rest[found[-1]])
        rest = rest - np.outer(rest @ axis, axis)
    return found


def gpcca(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Memberships and crispness: simplex search without gradients, restarted until nothing changes."""
    m = X.shape[1]
    A = feasible(np.linalg.inv(X[corners(X)]), X)

    def loss(free: np.ndarray) -> float:
        A = np.zeros((m, m))
        A[1:, 1:] = free.reshape(m - 1, m - 1)
        A = feasible(A, X)
        return -crispness(A)

    free, value = A[1:, 1:].ravel(), -crispness(A)
    for _ in range(30):
        out = minimize(
            loss, free, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-13, "xatol": 1e-11}
        )
        free, gain, value = out.x, value - out.fun, out.fun
        if gain < 1e-12:
            break
    A = np.zeros((m, m))
    A[1:, 1:] = free.reshape(m - 1, m - 1)
    A = feasible(A, X)
    return X @ A, crispness(A)


def best_by_slope(X: np.ndarray, A: np.ndarray) -> float:
    """How much the linear part of the crispness at `A` can grow within all feasible rotations.

    0 at a corner that the gradient does not lead away from; crispness is convex, so a growth here is one.
    """
    n, m = X.shape
    slope = 2 * A / A[0]
    slope[0] -= (A**2).sum(axis=0) / A[0] ** 2
    positive = np.kron(-X, np.eye(m))  # A is flattened row by row
    sums = np.kron(np.eye(m), np.ones(m))
    out = linprog(
        -slope.ravel(), A_ub=positive, b_ub=np.zeros(n * m), A_eq=sums, b_eq=np.eye(m)[0], bounds=(None, None)
    )
    assert out.status == 0
    return float(-out.fun - slope.ravel() @ A.ravel()) / m
