"""Small matrices for tests: from nested lists, at random, and as hypothesis strategies."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st


def csr(rows: object) -> sp.csr_matrix:
    """CSR matrix of float64 from anything numpy takes; zeros are not stored."""
    return sp.csr_matrix(np.asarray(rows, dtype=np.float64))


def from_parts(parts: tuple, shape: tuple[int, int]) -> sp.csr_matrix:
    """CSR matrix from the (data, indices, indptr) that the core returns; structure checked in full."""
    out = sp.csr_matrix(parts, shape=shape)
    out.check_format(full_check=True)
    assert out.has_canonical_format
    return out


def random_graph(n: int, n_neighbors: int, seed: int, *, ties: bool = False) -> sp.csr_matrix:
    """Directed graph with `n_neighbors` distinct others per cell, weights in (0, 1]."""
    rng = np.random.default_rng(seed)
    others = np.array([rng.choice(n - 1, n_neighbors, replace=False) for _ in range(n)])
    others += others >= np.arange(n)[:, None]
    weights = rng.integers(1, 5, others.shape) / 4 if ties else 1 - rng.random(others.shape)
    rows = np.repeat(np.arange(n), n_neighbors)
    out = sp.csr_matrix((weights.ravel(), (rows, others.ravel())), shape=(n, n))
    out.sort_indices()
    return out


def row_normalized(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Each row divided by its sum."""
    out = graph.copy()
    out.data /= np.repeat(np.asarray(graph.sum(axis=1)).ravel(), np.diff(graph.indptr))
    return out


@st.composite
def graphs(draw: st.DrawFn, min_cells: int = 1, max_cells: int = 12) -> sp.csr_matrix:
    """Graphs with many zeros and many equal weights; every cell has an edge to itself."""
    n = draw(st.integers(min_cells, max_cells))
    weight = st.one_of(st.just(0.0), st.integers(1, 4).map(float), st.floats(0.01, 1.0))
    rows = draw(st.lists(st.lists(weight, min_size=n, max_size=n), min_size=n, max_size=n))
    dense = np.array(rows)
    np.fill_diagonal(dense, 1.0)
    return csr(dense)
