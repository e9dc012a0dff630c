"""Projection of a transition matrix on an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferrocyte import _adata, _core, _keys
from ferrocyte._errors import InvalidDataError, NotComputedError, warn_user
from ferrocyte._settings import threads
from ferrocyte._sparse import canonical_csr
from ferrocyte.kernels._matrix import as_csr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TmatProjection"]


class _Found(NamedTuple):
    """Vectors, the names under which they are stored, and whether they are still to be."""

    name: str
    key: str
    vectors: NDArray[np.float64]
    is_new: bool


class TmatProjection:
    """Where each cell is expected to go, as vectors in an embedding.

    Parameters
    ----------
    kexpr : Kernel or KernelExpression
        With a transition matrix and annotated data.
    basis : str, default "umap"
        `obsm["X_<basis>"]` or `obsm["<basis>"]`.

    Raises
    ------
    MissingDataError
        If there is no such basis; says ``Unable to find a basis in``.

    Notes
    -----
    For a cell with graph neighbors `j` and unit vectors :math:`u_j = (e_j - e_i) / |e_j - e_i|` in the
    embedding the vector is :math:`\\sum_j T_{ij} u_j - \\frac{1}{k} \\sum_j u_j` [1]_. All vectors are
    divided by 3 times the scale that matplotlib's `quiver` would choose for them.

    References
    ----------
    .. [1] G. La Manno et al., RNA velocity of single cells, Nature 560 (2018).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> fc.kernels.utils.TmatProjection(kernel).project().shape
    (200, 2)
    """

    def __init__(self, kexpr: Any, basis: str = "umap") -> None:
        self._kernel = kexpr
        self._adata = kexpr._require_adata()
        self._basis = basis
        self._embedding = _adata.embedding(self._adata, basis)
        self._key: str | None = None

    @property
    def vectors(self) -> NDArray[np.float64]:
        """The vectors of the last :meth:`project`, shape `(n_cells, n_components)`.

        Raises
        ------
        NotComputedError
            Before that.
        """
        if self._key is None:
            raise NotComputedError("Compute the projection first as `.project()`.")
        return np.asarray(self._adata.obsm[self._key])

    def project(
        self, key_added: str | None = None, recompute: bool = False, connectivities: Any = None
    ) -> NDArray[np.float64]:
        """Compute the vectors, or take those that are there.

        Parameters
        ----------
        key_added : str, optional
            They are stored in `obsm["<key_added>_<basis>"]`; default ``T_fwd`` or ``T_bwd``.
        recompute : bool, default False
            Compute them even if they are there. Otherwise a warning says if they are not those of this
            kernel.
        connectivities : sparse matrix, shape (n_cells, n_cells), optional
            Graph over whose edges to project; default: that of the first kernel that has one.

        Returns
        -------
        ndarray, shape (n_cells, n_components)
            In units of the embedding. Also adds the basis to `uns["<key>_params"]["embeddings"]`.

        Raises
        ------
        NotComputedError
            If there is no transition matrix, or no graph.
        InvalidDataError
            If the graph is of another shape.
        """
        self._store(self._find(key_added, recompute, connectivities))
        return self.vectors

    def _project_and_plot(
        self, key_added: str | None, recompute: bool, connectivities: Any, **kwargs: Any
    ) -> Axes | list[Axes] | None:
        """As :meth:`project` and :meth:`plot`; what can not be drawn is not stored, either."""
        found = self._find(key_added, recompute, connectivities)
        out = self._draw(found.vectors, **kwargs)
        self._store(found)
        return out

    def _find(self, key_added: str | None, recompute: bool, connectivities: Any) -> _Found:
        name = _keys.transition_matrix(self._kernel.backward) if key_added is None else key_added
        key = _keys.projection(name, self._basis)
        if recompute or key not in self._adata.obsm:
            return _Found(name, key, self._compute(connectivities), True)
        stored = np.asarray(self._adata.obsm[key])
        self._warn_of_another(stored, key, connectivities)
        return _Found(name, key, stored, False)

    def _warn_of_another(self, stored: NDArray[Any], key: str, connectivities: Any) -> None:
        """Say so if vectors that are there are not those of this kernel: the figure would not tell."""
        try:
            own = self._compute(connectivities, quiet=True)
        except (NotComputedError, InvalidDataError):  # what is there can be drawn nevertheless
            return
        near = 1e-3 * float(np.abs(own).max(initial=0.0))
        if own.shape == stored.shape and np.allclose(own, stored, rtol=1e-3, atol=near, equal_nan=True):
            return
        warn_user(
            f"`adata.obsm[{key!r}]` has vectors that are not those of this kernel, and they are taken as "
            "they are. Pass `recompute=True` to replace them, or another `key_added`."
        )

    def _store(self, found: _Found) -> None:
        adata, basis = self._adata, self._basis
        if found.is_new:
            stored = dict(adata.uns.get(_keys.params(found.name), {}))
            bases = [str(b) for b in stored.get(_keys.EMBEDDINGS, [])]
            stored[_keys.EMBEDDINGS] = bases if basis in bases else [*bases, basis]
            adata.obsm[found.key] = found.vectors
            adata.uns[_keys.params(found.name)] = stored
        self._key = found.key

    def _compute(self, connectivities: Any, *, quiet: bool = False) -> NDArray[np.float64]:
        from ferrocyte.pl.projection import quiver_scale

        matrix = as_csr(self._kernel._require_matrix())
        with_graph = [k for k in self._kernel.kernels if getattr(k, "connectivities", None) is not None]
        if len(with_graph) < len(self._kernel.kernels) and not quiet:
            warn_user(
                "Not all kernels are over a nearest-neighbor graph; transitions off the graph do not show "
                "in the "
                "projection."
            )
        if connectivities is None:
            if not with_graph:
                raise NotComputedError(
                    "Unable to find connectivities in the kernel. Pass `connectivities=...`, for instance "
                    "`adata.obsp['connectivities']`."
                )
            connectivities = with_graph[0].connectivities
        graph = canonical_csr(connectivities, "`connectivities`")
        if graph.shape != matrix.shape:
            raise InvalidDataError(
                f"Expected `connectivities` to be of shape `{matrix.shape}`, found `{graph.shape}`."
            )
        vectors = _core.project(matrix, graph, self._embedding, threads=threads())
        plane = slice(0, 2)
        if self._embedding.shape[1] < 2:
            return vectors
        return vectors / (3 * quiver_scale(self._embedding[:, plane], vectors[:, plane]))

    def plot(self, *args: Any, stream: bool = True, **kwargs: Any) -> Axes | list[Axes] | None:
        """Draw the vectors; computes them if need be.

        Parameters
        ----------
        stream : bool, default True
            Streamlines; else arrows on a grid.
        *args, **kwargs
            To :func:`ferrocyte.pl.projection.plot_projection`.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
        >>> projection = fc.kernels.utils.TmatProjection(kernel, basis="umap")
        >>> vectors = projection.project()
        >>> ax = projection.plot(color="clusters", show=False)
        """
        if self._key is None:
            self.project()
        return self._draw(self.vectors, *args, stream=stream, **kwargs)

    def _draw(self, vectors: NDArray[np.float64], *args: Any, **kwargs: Any) -> Axes | list[Axes] | None:
        from ferrocyte.pl.projection import plot_projection

        out = plot_projection(self._adata, vectors, self._basis, *args, **kwargs)
        return out if kwargs.get("show") is False else None
