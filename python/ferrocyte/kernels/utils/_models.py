"""Velocity models: from a graph, expression and velocity to transition probabilities."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._adata import as_features
from ferrocyte._errors import InvalidDataError, InvalidTypeError
from ferrocyte._options import check_count, check_number, check_option, check_seed, draw_seed, no_effect
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads
from ferrocyte._sparse import canonical_csr
from ferrocyte.kernels._matrix import csr_from_parts
from ferrocyte.kernels.utils._callable import callable_transitions
from ferrocyte.kernels.utils._similarity import BUILT_IN, SimilarityABC

__all__ = ["MODELS", "Deterministic", "MonteCarlo", "Stochastic", "core_name", "resolve_similarity"]


def resolve_similarity(similarity: Any) -> Any:
    """A similarity given by name, class, instance or function, as something to call.

    Raises
    ------
    InvalidOptionError
        For an unknown name; says ``Invalid option``.
    InvalidTypeError
        If it can not be called; says ``Expected `scheme` to be a function, found``.
    """
    if isinstance(similarity, str):
        return BUILT_IN[check_option(similarity, "similarity", BUILT_IN)]()
    if isinstance(similarity, type) and issubclass(similarity, SimilarityABC):
        return similarity()
    if not callable(similarity):
        raise InvalidTypeError(
            f"Expected `scheme` to be a function, found `{type(similarity).__name__}`. Pass one of "
            f"{list(BUILT_IN)} or a function of (v, D, softmax_scale)."
        )
    return similarity


def core_name(similarity: Any, model: str) -> Any:
    """Name of a similarity in the core; None for the user's, or a built-in one with parts replaced."""
    for name, cls in BUILT_IN.items():
        if not isinstance(similarity, cls):
            continue
        own = type(similarity)
        if own.__call__ is cls.__call__ and (model != "stochastic" or own.hessian is cls.hessian):
            return name
    return None


class Deterministic:
    """Transition probabilities from each cell's own velocity [1]_.

    Parameters
    ----------
    conn : sparse matrix, shape (n_cells, n_cells)
        Nearest-neighbor graph; its weights do not matter.
    x, v : ndarray or CSR matrix, shape (n_cells, n_genes)
        Expression and velocity; float32 or float64 in C order or CSR are read where they lie. Finite.
    genes : ndarray of bool, shape (n_genes,), optional
        Genes to use; default: all.
    similarity : str, SimilarityABC or callable, default "correlation"
        `f(v, D, softmax_scale) -> (probabilities, logits)`.
    direction : {"forward", "transpose", "negate"}, default "forward"
        Forward; backward with the neighbors' velocities; backward with the negative velocity.
    softmax_scale : float, optional
        Default: 1 / median of the absolute nonzero logits, estimated by a first pass.

    Attributes
    ----------
    softmax_scale : float or None
        The one used, after a call.

    References
    ----------
    .. [1] Lange et al., CellRank for directed single-cell fate mapping, Nat. Methods 19 (2022).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> graph = np.array([[0, 1], [1, 0]])
    >>> x, v = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> model = fc.kernels.utils.Deterministic(graph, x, v, similarity="dot_product", softmax_scale=1.0)
    >>> probabilities, logits = model(show_progress_bar=False)
    >>> logits.toarray()
    array([[ 0.,  1.],
           [-1.,  0.]])
    """

    name: ClassVar[Literal["deterministic", "stochastic", "monte_carlo"]] = "deterministic"
    seed: int = 0
    n_samples: int = 1

    def __init__(
        self,
        conn: Any,
        x: Any,
        v: Any,
        *,
        genes: NDArray[np.bool_] | None = None,
        similarity: Any = "correlation",
        direction: Literal["forward", "transpose", "negate"] = "forward",
        softmax_scale: float | None = None,
    ) -> None:
        self._graph = canonical_csr(conn, "`conn`")
        self._x, self._v = as_features(x, "`x`"), as_features(v, "`v`")
        n = self._graph.shape[0]
        if self._x.shape != self._v.shape or self._graph.shape != (n, n) or self._x.shape[0] != n:
            raise InvalidDataError(
                "Expected `conn` of shape (n_cells, n_cells) and `x` and `v` of shape (n_cells, n_genes), "
                "found "
                f"{self._graph.shape}, {self._x.shape} and {self._v.shape}."
            )
        self._genes = genes
        self._similarity = resolve_similarity(similarity)
        self._direction = check_option(direction, "direction", ("forward", "transpose", "negate"))
        if self.name != "deterministic" and direction != "forward":
            raise InvalidDataError(f"The {self.name} model is defined for the forward direction only.")
        if softmax_scale is not None:
            check_number(softmax_scale, "softmax_scale")
        self.softmax_scale = softmax_scale

    def __call__(
        self, n_jobs: int | None = None, backend: str = "loky", show_progress_bar: bool = True
    ) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Compute probabilities and logits.

        Parameters
        ----------
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores. Results do not depend on it.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.

        Returns
        -------
        tuple of scipy.sparse.csr_matrix, both of shape (n_cells, n_cells)
            Probabilities and unscaled logits, without stored zeros.

        Raises
        ------
        InvalidDataError
            If the data, or what a user's similarity returns, can not be used.
        """
        no_effect("backend", backend, "loky")
        name = core_name(self._similarity, self.name)
        scale = None if self.softmax_scale is None else float(self.softmax_scale)
        shared: dict[str, Any] = {
            "model": self.name,
            "direction": self._direction,
            "softmax_scale": scale,
            "n_samples": self.n_samples,
            "seed": self.seed,
            "threads": threads(n_jobs),
        }
        if name is None:
            p, logits, scale = callable_transitions(
                self._graph,
                self._x,
                self._v,
                self._genes,
                self._similarity,
                show_progress_bar=show_progress_bar,
                **shared,
            )
        else:
            with progress_bar(show_progress_bar) as progress:
                p_parts, l_parts, scale = _core.velocity_transitions(
                    self._graph,
                    self._x,
                    self._v,
                    self._genes,
                    similarity=name,
                    progress=progress,
                    **shared,
                )
            p, logits = (csr_from_parts(parts, self._graph.shape) for parts in (p_parts, l_parts))
        if self.softmax_scale is None:
            self.softmax_scale = scale
        return p, logits

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Stochastic(Deterministic):
    """Expected transition probabilities, to second order in the variance of the velocity over neighbors [1]_.

    Parameters are those of :class:`Deterministic`, forward only; the similarity needs a `hessian`.

    Notes
    -----
    With mean `m` and variance `s` of the velocity over a cell and its neighbors and the Hessian `H` of the
    probability in the velocity: :math:`p + \\frac{1}{2} \\mathrm{diag}(H) \\cdot s`, clipped to [0, 1] and
    scaled to sum to 1.

    References
    ----------
    .. [1] Lange et al., CellRank for directed single-cell fate mapping, Nat. Methods 19 (2022).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> model = fc.kernels.utils.Stochastic(
    ...     adata.obsp["connectivities"], adata.layers["Ms"], adata.layers["Ms"], softmax_scale=4.0
    ... )
    >>> model(show_progress_bar=False)[0].shape
    (200, 200)
    """

    name = "stochastic"


class MonteCarlo(Deterministic):
    """Average transition probabilities over velocities drawn from the neighborhood [1]_.

    Parameters are those of :class:`Deterministic`, forward only, and:

    Parameters
    ----------
    n_samples : int, default 1000
        Velocities drawn for each cell, gene by gene from a normal distribution with the mean and variance
        over the cell and its neighbors.
    seed : int, optional
        Same seed, same result, for any number of threads; drawn from the operating system by default and kept
        in the attribute `seed`.

    References
    ----------
    .. [1] Lange et al., CellRank for directed single-cell fate mapping, Nat. Methods 19 (2022).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> model = fc.kernels.utils.MonteCarlo(
    ...     adata.obsp["connectivities"], adata.layers["Ms"], adata.layers["Ms"], softmax_scale=4.0,
    ...     n_samples=5, seed=0,
    ... )
    >>> model(show_progress_bar=False)[0].shape
    (200, 200)
    """

    name = "monte_carlo"

    def __init__(self, *args: Any, n_samples: int = 1000, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_samples = check_count(n_samples, "n_samples")
        checked = check_seed(seed)
        self.seed = draw_seed() if checked is None else checked


MODELS: dict[str, type[Deterministic]] = {m.name: m for m in (Deterministic, Stochastic, MonteCarlo)}
