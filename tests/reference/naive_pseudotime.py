"""The threshold schemes, one cell after another and one neighbor after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp


def hard(t: float, times: Sequence[float], weights: Sequence[float], frac_to_keep: float) -> list[float]:
    """Keep the closest neighbors, of equal ones those stored later, and all that are not in the past."""
    k = min(30, math.floor(frac_to_keep * len(weights)))
    closest_first = sorted(range(len(weights)), key=lambda j: (weights[j], j), reverse=True)
    kept = set(closest_first[:k])
    return [w if j in kept or t <= times[j] else 0.0 for j, w in enumerate(weights)]


def soft(t: float, times: Sequence[float], weights: Sequence[float], b: float, nu: float) -> list[float]:
    """Multiply what lies in the past by 2 / (1 + exp(b d))^(1 / nu)."""
    out = []
    for tj, w in zip(times, weights, strict=True):
        factor = 2.0 / (1.0 + math.exp(min(b * (t - tj), 300.0))) ** (1.0 / nu) if tj < t else 1.0
        out.append(w * factor)
    return out


def bias_knn(graph: sp.csr_matrix, times: np.ndarray, scheme: Callable[..., list[float]]) -> np.ndarray:
    """Dense matrix of the biased graph; `scheme(t, times, weights)`."""
    out = np.zeros(graph.shape)
    for i in range(graph.shape[0]):
        row = slice(graph.indptr[i], graph.indptr[i + 1])
        cols = graph.indices[row]
        out[i, cols] = scheme(times[i], list(times[cols]), list(graph.data[row]))
    return out
