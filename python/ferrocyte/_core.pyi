"""Types of the compiled module.

Arguments named `graph`, `matrix` or `T` are `scipy.sparse` CSR matrices with float64 values, sorted,
unique columns and int32 or int64 indices. `_Features` may also be float32 and dense in C order; they are
read where they lie. `threads` is a positive number; results do not depend on it. `progress` is called
now and then as `progress(done, total)`; what it raises stops the job.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Progress = Callable[[int, int], object] | None
_Features = Any
_Sparse = Any
_CsrParts = tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32] | NDArray[np.int64]]

__version__: str

# Matrices ---------------------------------------------------------------------------------------------

def nan_columns(matrix: _Features, *, threads: int) -> NDArray[np.bool_]:
    """Which columns hold a NaN; shape (n_cols,)."""

def first_not_finite(
    matrix: _Features, mask: NDArray[np.bool_] | None, *, threads: int
) -> tuple[int, int] | None:
    """First (row, column) with NaN or infinity among the columns of `mask`, or None."""

def fingerprint(matrix: _Features, *, threads: int) -> int:
    """A number that changes when a value does."""

def count_positive(matrix: _Features, *, threads: int) -> NDArray[np.int64]:
    """Number of values > 0 in each row; shape (n_rows,)."""

def column_correlations(
    matrix: _Features, y: NDArray[np.float64], *, threads: int, progress: _Progress = None
) -> NDArray[np.float64]:
    """Pearson correlation of each column with `y`; NaN for constant columns; shape (n_cols,)."""

# Connectivity and algebra -----------------------------------------------------------------------------

def connectivity_transitions(graph: _Sparse, *, density_normalize: bool = True) -> NDArray[np.float64]:
    """Transition probability for each stored weight of `graph`; shape (nnz,)."""

def row_normalize(matrix: _Sparse) -> NDArray[np.float64]:
    """Stored values divided by their row sums; shape (nnz,)."""

def weighted_sum(matrices: Sequence[_Sparse], weights: Sequence[float], *, threads: int) -> _CsrParts:
    """sum_k weights[k] * matrices[k], in one pass over the rows."""

def elementwise_product(matrices: Sequence[_Sparse], *, threads: int) -> _CsrParts:
    """Element-wise product, rows divided by their sum."""

# Velocity ---------------------------------------------------------------------------------------------

def velocity_transitions(
    graph: _Sparse,
    x: _Features,
    v: _Features,
    genes: NDArray[np.bool_] | None,
    *,
    model: Literal["deterministic", "stochastic", "monte_carlo"],
    similarity: Literal["cosine", "correlation", "dot_product"],
    direction: Literal["forward", "transpose", "negate"],
    softmax_scale: float | None,
    n_samples: int = 1000,
    seed: int = 0,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[_CsrParts, _CsrParts, float]:
    """(probabilities, logits, softmax scale used); exact zeros are dropped from both matrices."""

def velocity_moments(
    graph: _Sparse, v: _Features, genes: NDArray[np.bool_] | None, *, threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of the velocity over each cell and its neighbors; two (n_cells, n_genes)."""

def similarity(
    name: Literal["cosine", "correlation", "dot_product"],
    v: NDArray[np.float64],
    D: NDArray[np.float64],
    softmax_scale: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(probabilities, logits) of one cell; `v` is (1, n_genes) or (n_neighbors, n_genes)."""

def similarity_hessian(
    name: Literal["cosine", "correlation", "dot_product"],
    v: NDArray[np.float64],
    D: NDArray[np.float64],
    softmax_scale: float,
) -> NDArray[np.float64]:
    """Second derivatives of the probabilities in `v`; shape (n_neighbors, n_genes, n_genes)."""

# Pseudotime -------------------------------------------------------------------------------------------

def bias_knn_hard(
    graph: _Sparse,
    pseudotime: NDArray[np.float64],
    *,
    frac_to_keep: float,
    threads: int = 1,
    progress: _Progress = None,
) -> _CsrParts:
    """The graph with edges into the past removed, except to the closest neighbors."""

def bias_knn_soft(
    graph: _Sparse,
    pseudotime: NDArray[np.float64],
    *,
    b: float,
    nu: float,
    threads: int = 1,
    progress: _Progress = None,
) -> _CsrParts:
    """The graph with edges into the past weighted down by a generalised logistic function."""

def hard_threshold(
    t: float, t_neighbors: NDArray[np.float64], weights: NDArray[np.float64], *, frac_to_keep: float
) -> NDArray[np.float64]:
    """The hard scheme for one cell; shape (n_neighbors,)."""

def soft_threshold(
    t: float, t_neighbors: NDArray[np.float64], weights: NDArray[np.float64], *, b: float, nu: float
) -> NDArray[np.float64]:
    """The soft scheme for one cell; shape (n_neighbors,)."""

# Using a transition matrix ----------------------------------------------------------------------------

def random_walks(
    T: _Sparse,
    starts: NDArray[np.int64],
    stops: NDArray[np.bool_] | None,
    *,
    n_sims: int,
    max_steps: int,
    successive_hits: int,
    seed: int,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All walks one after another, and where each begins; shapes (total,) and (n_sims + 1,)."""

def boundary_correctness(
    T: _Sparse,
    graph: _Sparse,
    source: NDArray[np.bool_],
    target: NDArray[np.bool_],
    rep: NDArray[np.float64],
    *,
    threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Boundary cells in increasing order and their cross-boundary correctness."""

def project(
    T: _Sparse, graph: _Sparse, embedding: NDArray[np.float64], *, threads: int = 1
) -> NDArray[np.float64]:
    """Expected direction of each cell in an embedding; shape of `embedding`."""
