"""Spectra of transition matrices: eigendecomposition, real Schur decomposition, stationary distribution."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import ConvergenceError, InvalidDataError, InvalidOptionError
from ferrocyte._settings import threads
from ferrocyte._sparse import is_sparse
from ferrocyte.kernels._matrix import Matrix, as_csr

__all__ = [
    "Schur",
    "check_distribution",
    "check_which",
    "eigendecomposition",
    "eigengap",
    "eigenvalues_of",
    "schur",
    "stationary",
]

Complex = NDArray[np.complex128]

# Eigenvalues of a chain that is far from reversible can be wrong by a million times the residual. In chains
# of up to so many cells, where products cost little, the residual is brought as low as this if possible.
SMALL, LOW_RESIDUAL, RESTARTS = 5000, 1e-13, 60


class Schur(NamedTuple):
    """Dominant real Schur decomposition `T X = X R`.

    Attributes
    ----------
    X : ndarray of float64, shape (n_cells, m)
        First column 1, `X^T diag(initial) X = I`.
    R : ndarray of float64, shape (m, m)
        Upper triangular but for 2 x 2 blocks of complex pairs.
    eigenvalues : ndarray of complex, shape (m,)
    residual : float
        Largest of `|T x - X r|`.
    products : int
        Multiplications with `T` it took.
    """

    X: NDArray[np.float64]
    R: NDArray[np.float64]
    eigenvalues: Complex
    residual: float
    products: int

    def splits_pair(self, n: int) -> bool:
        """Whether the first `n` columns would cut a complex pair in two."""
        return 0 < n < len(self.R) and self.R[n, n - 1] != 0


def check_which(which: Any) -> Any:
    """`which` if it is a way to sort eigenvalues.

    Raises
    ------
    InvalidOptionError
        Says ``sorting criterion``.
    """
    if which not in ("LR", "LM"):
        raise InvalidOptionError(
            f"Invalid option {which!r} for `which`. Valid options for the sorting criterion: 'LR' (largest "
            "real part), 'LM' (largest magnitude)."
        )
    return str(which)


def check_distribution(initial: Any, n: int) -> NDArray[np.float64] | None:
    """An initial distribution that sums to 1, or None for the uniform one."""
    if initial is None:
        return None
    try:
        values = np.array(initial, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise InvalidDataError("Expected `initial_distribution` to hold numbers.") from None
    if len(values) != n:
        raise InvalidDataError(
            f"Expected `initial_distribution` to have {n} entries, one per cell, found {len(values)}."
        )
    if not np.isfinite(values).all() or values.min() <= 0:
        raise InvalidDataError(
            "Expected `initial_distribution` to be positive in each cell, found "
            f"{values.min():.3g}. Give cells that can not be first a small probability."
        )
    return values / values.sum()


def eigenvalues_of(r: NDArray[np.float64]) -> Complex:
    """Eigenvalues of a real Schur matrix, in the order of its diagonal."""
    out = np.diag(r).astype(np.complex128)
    for i in range(len(r) - 1):
        if r[i + 1, i] != 0:
            middle, half = (r[i, i] + r[i + 1, i + 1]) / 2, (r[i, i] - r[i + 1, i + 1]) / 2
            root = np.emath.sqrt(half**2 + r[i, i + 1] * r[i + 1, i])
            out[i], out[i + 1] = middle + root, middle - root
    return out


def eigengap(eigenvalues: Complex | NDArray[np.float64], alpha: float = 1.0) -> int:
    """Position of the last eigenvalue before the gap.

    The largest of `(l_i - l_(i+1)) - alpha (1 - l_i)` over the real parts `l` in decreasing order.
    """
    values = np.sort(np.real(eigenvalues))[::-1]
    if len(values) < 2:
        return 0
    return int(np.argmax(values[:-1] - values[1:] - alpha * (1 - values[:-1])))


def schur(
    matrix: Matrix, n_components: int, which: Any = "LR", initial: NDArray[np.float64] | None = None
) -> Schur:
    """The dominant real Schur decomposition; one component more where a complex pair would be cut.

    Raises
    ------
    ConvergenceError
        If the residual can not be brought below 1e-10.
    """
    csr, n_threads = as_csr(matrix), threads()

    def found(**limits: Any) -> Any:
        return _core.schur_decomposition(
            csr, initial, n_components=n_components, which=which, threads=n_threads, **limits
        )

    try:
        out = found(tol=LOW_RESIDUAL, max_restarts=RESTARTS) if csr.shape[0] <= SMALL else found()
    except ConvergenceError:
        out = found()
    x, r, values, residuals, products, _ = out
    return Schur(x, r, values[:, 0] + 1j * values[:, 1], float(residuals.max(initial=0.0)), int(products))


def eigendecomposition(
    matrix: Matrix, k: int, which: str, alpha: float, *, only_values: bool
) -> dict[str, Any]:
    """Eigenvalues, their gap and, unless only values are wanted, vectors of both sides."""
    out: dict[str, Any] = {"params": {"which": which, "k": k, "alpha": alpha}}
    if is_sparse(matrix):
        right_values, right = _vectors(matrix, k, "right", which)
        left_values, left = (right_values, right) if only_values else _vectors(matrix, k, "left", which)
        m = min(len(left_values), len(right_values))
        values, left, right = right_values[:m], left[:, :m], right[:, :m]
    else:
        values, left, right = scipy.linalg.eig(np.asarray(matrix), left=True, right=True)
        left = left.conj()
    order = np.argsort(-values.real if which == "LR" else -np.abs(values), kind="stable")
    values, left, right = values[order], left[:, order], right[:, order]
    out.update(D=values, eigengap=eigengap(values, alpha))
    if not only_values:
        out.update(V_l=left, V_r=right)
    return out


def _vectors(matrix: Matrix, k: int, side: Any, which: Any) -> tuple[Complex, Complex]:
    values, vectors, _ = _core.eigenvectors(as_csr(matrix), k=k, side=side, which=which, threads=threads())
    return values[:, 0] + 1j * values[:, 1], vectors[..., 0] + 1j * vectors[..., 1]


def stationary(matrix: Matrix, initial: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Where the chain is in the long run, on average, when it starts from `initial` (default: uniform).

    The stationary distribution, if there is one closed class. Else each class has one of its own, and counts
    with the probability that the chain ends there.

    Returns
    -------
    ndarray of float64, shape (n_cells,)
        Sums to 1; 0 in transient cells.
    """
    csr = as_csr(matrix)
    pi, classes, _, _ = _core.stationary_distribution(csr, threads=threads())
    n_classes = int(classes.max()) + 1
    if n_classes > 1:
        start = np.full(len(pi), 1 / len(pi)) if initial is None else initial
        fate, _ = _core.absorption_probabilities(csr, classes, threads=threads())
        weight = start @ fate
        pi = np.where(classes >= 0, pi * weight[np.maximum(classes, 0)], 0.0)
    return pi / pi.sum()
