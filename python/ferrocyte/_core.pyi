"""Types of the compiled module.

Arguments named `graph`, `matrix` or `T` are `scipy.sparse` CSR matrices with float64 values, sorted,
unique columns and int32 or int64 indices. `_Features` may also be float32 and dense in C order; they are
read where they lie. `threads` is a positive number; results do not depend on it. `progress` is called
now and then as `progress(done, total)`; what it raises stops the job.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

_Progress = Callable[[int, int], object] | None
_Features = Any
_Sparse = Any
_CsrParts = tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32] | NDArray[np.int64]]

__all__ = [
    "ColumnCorrelations",
    "__version__",
    "absorption_probabilities",
    "absorption_times",
    "bias_knn_hard",
    "bias_knn_soft",
    "boundary_correctness",
    "coarse_transition_matrix",
    "column_correlations",
    "connectivity_transitions",
    "count_components",
    "count_positive",
    "coupling_entry_counts",
    "coupling_keep_at_least",
    "coupling_next_above",
    "coupling_row_maxima",
    "eigenvectors",
    "elementwise_product",
    "embed_counts",
    "exact_neighbors",
    "fingerprint",
    "first_not_finite",
    "fit_trends",
    "gpcca_improve",
    "gpcca_macrostates",
    "gpcca_min_chi",
    "hard_threshold",
    "map_to_schema",
    "nan_columns",
    "ontology_scores",
    "permutation_test",
    "project",
    "random_walks",
    "refine_neighbors",
    "row_normalize",
    "rows_of_columns",
    "schur_decomposition",
    "shuffle_deflate",
    "similarity",
    "similarity_hessian",
    "soft_threshold",
    "stationary_distribution",
    "strong_components",
    "summary_statistics",
    "time_course_matrix",
    "transport_plan",
    "transport_potentials",
    "trend_basis",
    "trend_penalty",
    "value_report",
    "velocity_moments",
    "velocity_transitions",
    "weighted_sum",
]

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

def count_components(graph: _Sparse) -> int:
    """Into how many parts the cells fall when edges are followed either way."""

def count_positive(matrix: _Features, *, threads: int) -> NDArray[np.int64]:
    """Number of values > 0 in each row; shape (n_rows,)."""

def column_correlations(
    matrix: _Features, y: NDArray[np.float64], *, threads: int, progress: _Progress = None
) -> NDArray[np.float64]:
    """Pearson correlation of each column with `y`; NaN for constant columns; shape (n_cols,)."""

# Drivers ----------------------------------------------------------------------------------------------

@final
class ColumnCorrelations:
    """Pearson correlation of columns with targets, from rows that come piece by piece.

    `targets` has shape (n_rows, n_targets) and is float64 in C order.
    """

    def __new__(cls, n_cols: int, targets: NDArray[np.float64]) -> ColumnCorrelations: ...
    def add(self, matrix: _Features, *, threads: int = 1, progress: _Progress = None) -> None:
        """Read the next rows. If it raises, nothing was added."""

    def finish(self) -> NDArray[np.float64]:
        """The correlations, shape (n_cols, n_targets); NaN where a column or target is constant."""

def permutation_test(
    matrix: _Features,
    targets: NDArray[np.float64],
    *,
    n_perms: int,
    quantiles: tuple[float, float],
    seed: int,
    threads: int = 1,
    progress: _Progress = None,
) -> list[NDArray[np.float64]]:
    """[correlations, p-values, lower, upper ends of intervals] of all columns and targets.

    Shapes (n_cols, n_targets). Rows are permuted, or drawn with replacement, for all targets alike; each draw
    has a random stream of its own. Memory: 9 bytes for each value that is not zero, and
    8 * n_cols * n_targets * n_perms.
    """

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

# Couplings over experimental time -----------------------------------------------------------------------

def coupling_row_maxima(rows: _Features, *, threads: int) -> NDArray[np.float64]:
    """Largest entry of each row, shape (n_rows,); refuses NaN and negative entries."""

def coupling_keep_at_least(rows: _Features, threshold: float, *, threads: int) -> _CsrParts:
    """The entries of at least `threshold`, without zeros."""

def coupling_entry_counts(rows: _Features, prefix: int, level: int, *, threads: int) -> NDArray[np.int64]:
    """How often each value of the 16 bits of `level` follows the bits of `prefix`; shape (65536,)."""

def coupling_next_above(rows: _Features, value: float, *, threads: int) -> float:
    """The smallest entry above `value`, or infinity."""

def time_course_matrix(
    n_cells: int,
    blocks: Sequence[tuple[_Sparse, NDArray[np.int64], NDArray[np.int64], float, bool]],
    *,
    threads: int,
) -> _CsrParts:
    """The matrix of all cells from `(coupling, rows, columns, weight, normalize rows first?)`."""

def transport_potentials(
    cost: NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64], float],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    epsilon: float,
    lambda_source: float,
    lambda_target: float,
    tol: float,
    max_iter: int,
    max_stored: int,
    threads: int,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, float]:
    """Potentials of source and target cells, iterations, residual.

    `cost` is a matrix, or coordinates `(n, d)` and `(d, m)` and the scale that divides squared distances.
    """

def transport_plan(
    cost: NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64], float],
    f: NDArray[np.float64],
    g: NDArray[np.float64],
    *,
    epsilon: float,
    start: int,
    stop: int,
    threads: int,
) -> NDArray[np.float64]:
    """Rows `start` to `stop` of the plan, shape (stop - start, n_target)."""

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

# Spectra ----------------------------------------------------------------------------------------------

def schur_decomposition(
    T: _Sparse,
    initial: NDArray[np.float64] | None,
    *,
    n_components: int,
    which: Literal["LR", "LM"] = "LR",
    tol: float = 1e-10,
    max_restarts: int = 3000,
    seed: int = 0,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int, int]:
    """Dominant real Schur basis `T X = X R` with `X^T diag(initial) X = I` and a first column of 1.

    Returns (X, R, eigenvalues, residuals, products, restarts); shapes (n_cells, m), (m, m), (m, 2) with
    real and imaginary part, (m,). `m` is `n_components`, or one more where a complex pair would be cut.
    """

def eigenvectors(
    T: _Sparse,
    *,
    k: int,
    side: Literal["left", "right"],
    which: Literal["LR", "LM"] = "LR",
    tol: float = 1e-10,
    max_restarts: int = 3000,
    seed: int = 0,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(eigenvalues, vectors, residuals), dominant first; shapes (m, 2), (n_cells, m, 2), (m,), the last
    axis real and imaginary part. Vectors have norm 1, their largest entry is real and positive. `m` is
    `k`, or one more where a complex pair would be cut.
    """

def stationary_distribution(
    T: _Sparse,
    *,
    tol: float = 1e-12,
    max_cycles: int = 1000,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], int]:
    """(distribution, class of each cell, residual of each class, cycles).

    The distribution sums to 1 in each recurrent class; transient cells have class -1 and 0.
    """

# Macrostates ------------------------------------------------------------------------------------------

def gpcca_min_chi(X: NDArray[np.float64], n_states: int, *, threads: int = 1) -> float:
    """Smallest membership in the inner simplex of the first `n_states` Schur vectors; at most 0."""

def gpcca_macrostates(
    X: NDArray[np.float64],
    n_states: int,
    *,
    n_starts: int = 8,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float, int]:
    """(memberships, rotation, crispness, minChi, steps) of the crispest memberships found from the first
    `n_states` Schur vectors; shapes (n_cells, n_states), (n_states, n_states).
    """

def gpcca_improve(
    X: NDArray[np.float64],
    rotation: NDArray[np.float64],
    *,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float, int]:
    """As `gpcca_macrostates`, but searched from `rotation`, shape (n_states, n_states), alone."""

def coarse_transition_matrix(
    T: _Sparse,
    chi: NDArray[np.float64],
    initial: NDArray[np.float64] | None,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Transitions between macrostates with memberships `chi`; shape (n_states, n_states)."""

# Fate -------------------------------------------------------------------------------------------------

def strong_components(T: _Sparse) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Strongly connected component of each state, numbered by first state, and which of them are closed.

    A stored zero is no edge. Shapes (n,) and (n_components,).
    """

def absorption_probabilities(
    T: _Sparse,
    target: NDArray[np.int64],
    *,
    solver: Literal["gmres", "bicgstab", "direct"] = "gmres",
    tol: float = 1e-8,
    preconditioner: Literal["jacobi", "ilu", "multilevel", "direct"] | None = None,
    max_iter: int | None = None,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Probability of ending in each target set, shape (n, n_targets), and how it was found.

    `target` holds the set of each state from 0, -1 for none. Values are accurate to 1e-11 whatever `tol`,
    the largest relative residual. `max_iter` (1000) is what a method is given before the next stronger one
    takes over. The report has `solver` and `preconditioner` (those that succeeded), `iterations`,
    `residual` and `error` (an estimate of the largest error).
    """

def absorption_times(
    T: _Sparse,
    target: NDArray[np.int64],
    *,
    variance: bool = False,
    solver: Literal["gmres", "bicgstab", "direct"] = "gmres",
    tol: float = 1e-8,
    preconditioner: Literal["jacobi", "ilu", "multilevel", "direct"] | None = None,
    max_iter: int | None = None,
    threads: int = 1,
    progress: _Progress = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
    """Mean and variance of the steps to each target set, for walks that end there; shape (n, n_targets).

    0 in the set; infinite and NaN in other sets and where the set is reached with probability below 1e-14.
    """

# Annotation -------------------------------------------------------------------------------------------

def embed_counts(
    counts: _Features,
    totals: NDArray[np.float32],
    weights: NDArray[np.float32] | NDArray[np.float64],
    offset: NDArray[np.float64],
    *,
    scale: float = ...,
    eps: float = ...,
    threads: int = ...,
) -> NDArray[np.float64]:
    """``log1p(counts * scale / (totals + eps)) @ weights - offset``; a row does not depend on other rows."""

def exact_neighbors(
    reference: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    *,
    metric: str,
    threads: int = ...,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows and distances of the `k` nearest rows of `reference`, nearest first, of equal ones the first.

    `metric` is ``"cosine"``, ``"l2"`` or ``"dot"`` (minus the product). Distances are formed in float64 and
    rounded to 9 decimals.
    """

def refine_neighbors(
    reference: NDArray[np.float32],
    queries: NDArray[np.float32],
    candidates: NDArray[np.int64],
    k: int,
    *,
    metric: str,
    threads: int = ...,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `exact_neighbors`, among the rows `candidates` of each query; negative ones are none."""

def ontology_scores(
    terms: NDArray[np.int32],
    distances: NDArray[np.float64],
    indptr: NDArray[np.int64],
    upward: NDArray[np.int32],
    *,
    prune: float,
    prefactor: float,
    threads: int = ...,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Shares of weight that terms collect: pointers, terms, scores; weight and unknown terms of each query.

    `terms` and `distances` are of the neighbors, query by neighbor, negative terms for none;
    ``upward[indptr[t]:indptr[t + 1]]`` are term t and all above it.
    """

def summary_statistics(
    groups: NDArray[np.int32], distances: NDArray[np.float64], *, threads: int = ...
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """Groups of neighbors of each query: pointers, groups, counts, statistics.

    Statistics are minimum, quartiles, maximum and mean; groups come by size, then by their first neighbor.
    """

# Counts -----------------------------------------------------------------------------------------------

def map_to_schema(
    counts: _Features,
    targets: NDArray[np.int32],
    width: int,
    *,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
    """Rows brought to a schema of `width` genes: `data`, `indices`, `indptr`, and the total of each row.

    `targets` says where each gene goes: a column of the schema, where genes add up; -1 for nowhere; -2 for
    nowhere and not into the totals either. Columns come out sorted, unique and without zeros.
    """

def shuffle_deflate(numbers: NDArray[np.uint32]) -> bytes:
    """A zlib stream of all lowest bytes of `numbers`, and so on to the highest: HDF5's shuffle and gzip."""

def rows_of_columns(
    data: NDArray[np.float32] | NDArray[np.float64],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int64],
    rows: tuple[int, int],
    *,
    sorted: bool,
) -> tuple[NDArray[np.float32] | NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]:
    """Rows `rows[0]` to `rows[1]` of a CSC matrix as the three arrays of a CSR matrix.

    `sorted` tells that rows increase within each column, which makes this fast.
    """

def value_report(
    data: NDArray[np.float32] | NDArray[np.float64], *, threads: int
) -> tuple[int, int, int | None, int | None]:
    """How many values are not zero, how many are fractional; where the first negative one is, and the first
    that is not finite, or None.
    """

# Trends -----------------------------------------------------------------------------------------------

def trend_basis(
    x: NDArray[np.float64], *, n_splines: int, order: int, edges: tuple[float, float]
) -> NDArray[np.float64]:
    """B-splines on equally spaced knots at `x`, shape (len(x), n_splines); straight beyond the edges."""

def trend_penalty(
    n_splines: int, *, derivative: float = 1.0, ridge: float = 1.0, intercept: bool = True
) -> NDArray[np.float64]:
    """The matrix S of the penalty c^T S c, shape (n_splines, n_splines)."""

def fit_trends(
    matrix: _Features,
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    x: NDArray[np.float64],
    w: NDArray[np.float64],
    *,
    n_splines: int,
    order: int,
    edges: tuple[float, float],
    distribution: Literal["normal", "binomial", "poisson", "gamma", "inv_gauss"],
    link: Literal["identity", "log", "logit", "inverse", "inv_squared"],
    lams: Sequence[float],
    criterion: Literal["gcv", "reml"] | None = None,
    expectile: float | None = None,
    derivative: float = 1.0,
    ridge: float = 1.0,
    intercept: bool = True,
    max_iter: int = 2000,
    tol: float = 1e-8,
    threads: int = 1,
    progress: _Progress = None,
) -> dict[str, Any]:
    """A penalised B-spline fit for each of `columns`, over the cells `rows` at `x` with weights `w`.

    `lams` is one number without `criterion`, a grid with one, or empty: then all are searched. Returns, one
    entry per column, `coefficients` (n, n_splines), their `covariance` (n, n_splines, n_splines), `lam`,
    `edf`, `scale`, `criterion`, `iterations`, `converged`; `failed` says why there is no fit (None if there
    is): "not_finite", "out_of_range" (both at the row `failed_row`), "no_mean", "diverged",
    "too_few_cells"; numbers are NaN there.
    """
