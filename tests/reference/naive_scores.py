"""Cross-boundary correctness and projection with dense loops."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two vectors; NaN when one does not vary or is not finite."""
    a, b = a - np.mean(a), b - np.mean(b)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms > 0 else float("nan")


def boundary_correctness(
    T: np.ndarray, graph: np.ndarray, source: np.ndarray, target: np.ndarray, x: np.ndarray
) -> tuple[list[int], list[float]]:
    """Boundary cells and their scores, from dense matrices."""
    cells, scores = [], []
    for i in range(len(T)):
        across = [j for j in range(len(T)) if target[j] and graph[i, j] != 0]
        if source[i] and across:
            empirical = sum(graph[i, j] * (x[j] - x[i]) for j in across)
            cells.append(i)
            scores.append(pearson(empirical, T[i] @ x - x[i]))
    return cells, scores


def project(T: np.ndarray, graph: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum of T_ij u_j less the mean of u_j, over the neighbors of each cell."""
    out = np.zeros_like(x)
    for i in range(len(T)):
        neighbors = np.flatnonzero(graph[i])
        units = []
        for j in neighbors:
            step = x[j] - x[i]
            length = np.linalg.norm(step)
            units.append(step / length if length > 0 else np.zeros_like(step))
        if len(neighbors):
            out[i] = T[i, neighbors] @ np.array(units) - np.mean(units, axis=0)
    return out
