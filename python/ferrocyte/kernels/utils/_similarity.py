"""Similarities of a velocity with the displacements to neighbors, as transition probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from ferrocyte._options import check_number

__all__ = ["BUILT_IN", "Correlation", "Cosine", "DotProduct", "SimilarityABC"]

Array = NDArray[np.float64]


class SimilarityABC(ABC):
    """Base of all similarities; one of your own defines `__call__`, and `hessian` for the stochastic model.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> class Sign(fc.kernels.utils.SimilarityABC):
    ...     def __call__(self, v, D, softmax_scale=1.0):
    ...         logits = np.sign((D * v).sum(axis=1))
    ...         p = np.exp(softmax_scale * logits)
    ...         return p / p.sum(), logits
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata)
    >>> kernel.compute_transition_matrix(similarity=Sign(), softmax_scale=4, show_progress_bar=False)
    VelocityKernel[n=200, model='deterministic', similarity='<Sign>', softmax_scale=4]
    """

    @abstractmethod
    def __call__(self, v: Array, D: Array, softmax_scale: float = 1.0) -> tuple[Array, Array]:
        """Compute the transition probabilities of one cell.

        Parameters
        ----------
        v : ndarray, shape (n_genes,), (1, n_genes) or (n_neighbors, n_genes)
            Velocity of the cell, or of each neighbor (for the backward process).
        D : ndarray, shape (n_neighbors, n_genes)
            Displacement to each neighbor.
        softmax_scale : float, default 1.0
            Factor before the softmax.

        Returns
        -------
        tuple of ndarray, both of shape (n_neighbors,)
            Probabilities and unscaled logits.
        """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __str__(self) -> str:
        return repr(self)


class _BuiltIn(SimilarityABC):
    """A similarity computed in the core."""

    name: ClassVar[Literal["cosine", "correlation", "dot_product"]]

    def __call__(self, v: ArrayLike, D: ArrayLike, softmax_scale: float = 1.0) -> tuple[Array, Array]:
        """Compute the transition probabilities of one cell.

        Parameters
        ----------
        v : array-like, shape (n_genes,), (1, n_genes) or (n_neighbors, n_genes)
            Velocity of the cell, or of each neighbor (for the backward process).
        D : array-like, shape (n_neighbors, n_genes)
            Displacement to each neighbor.
        softmax_scale : float, default 1.0
            Factor before the softmax.

        Returns
        -------
        tuple of ndarray, both of shape (n_neighbors,)
            Probabilities and unscaled logits.

        Raises
        ------
        InvalidDataError
            If the shapes do not fit.
        """
        v, D = _arrays(v, D)
        return _core.similarity(self.name, v, D, check_number(softmax_scale, "softmax_scale"))

    def hessian(self, v: ArrayLike, D: ArrayLike, softmax_scale: float = 1.0) -> Array:
        """Compute second derivatives of the probabilities in the velocity, analytically.

        Parameters
        ----------
        v : array-like, shape (n_genes,)
            Velocity of the cell.
        D : array-like, shape (n_neighbors, n_genes)
            Displacement to each neighbor.
        softmax_scale : float, default 1.0
            Factor before the softmax.

        Returns
        -------
        ndarray, shape (n_neighbors, n_genes, n_genes)
            :math:`\\partial^2 p_k / \\partial v_a \\partial v_b`.

        Raises
        ------
        InvalidDataError
            If the shapes do not fit.
        """
        velocity, D = _arrays(v, D)
        if len(velocity) != 1:
            raise InvalidDataError(
                f"Expected `v` of shape (n_genes,) for the Hessian, found {np.shape(v)}. Pass one velocity."
            )
        return _core.similarity_hessian(
            self.name, velocity[0], D, check_number(softmax_scale, "softmax_scale")
        )


class Cosine(_BuiltIn):
    """Cosine similarity, eq. (4.7) of [1]_: the softmax over neighbors of :math:`\\cos(\\delta_{ij}, v_i)`.

    References
    ----------
    .. [1] T. Li et al., On the mathematics of RNA velocity I: theoretical analysis, CSIAM Trans. Appl. Math.
       2 (2021).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> p, logits = fc.kernels.utils.Cosine()(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0]]))
    >>> logits
    array([1., 0.])
    """

    name = "cosine"


class Correlation(_BuiltIn):
    """Pearson correlation, eq. (4.8) of [1]_: the softmax over neighbors of
    :math:`\\mathrm{corr}(\\delta_{ij}, v_i)`.

    References
    ----------
    .. [1] T. Li et al., On the mathematics of RNA velocity I: theoretical analysis, CSIAM Trans. Appl. Math.
       2 (2021).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> p, logits = fc.kernels.utils.Correlation()(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0]]))
    >>> logits.round(6)
    array([1.])
    """

    name = "correlation"


class DotProduct(_BuiltIn):
    """Dot product, eq. (4.9) of [1]_: the softmax over neighbors of :math:`\\delta_{ij}^T v_i`.

    References
    ----------
    .. [1] T. Li et al., On the mathematics of RNA velocity I: theoretical analysis, CSIAM Trans. Appl. Math.
       2 (2021).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> p, logits = fc.kernels.utils.DotProduct()(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0]]))
    >>> logits
    array([3., 6.])
    """

    name = "dot_product"


BUILT_IN: dict[str, type[_BuiltIn]] = {c.name: c for c in (Cosine, Correlation, DotProduct)}


def _arrays(v: ArrayLike, D: ArrayLike) -> tuple[Array, Array]:
    velocity = np.ascontiguousarray(v, dtype=np.float64)
    velocity = velocity[None, :] if velocity.ndim == 1 else velocity
    displacement = np.ascontiguousarray(D, dtype=np.float64)
    fits = (
        displacement.ndim == 2
        and velocity.ndim == 2
        and velocity.shape[1] == displacement.shape[1]
        and velocity.shape[0] in (1, displacement.shape[0])
    )
    if not fits:
        raise InvalidDataError(
            "Expected `D` of shape (n_neighbors, n_genes) and `v` of shape (n_genes,), (1, n_genes) or that "
            "of `D`, "
            f"found shapes {displacement.shape} and {np.shape(v)}."
        )
    return velocity, displacement
