"""Kernel of undirected similarity."""

from __future__ import annotations

from typing import Any, Self

import scipy.sparse as sp
from anndata import AnnData

from ferrocyte import _core, _keys
from ferrocyte.kernels._base import UnidirectionalKernel
from ferrocyte.kernels._graph import GraphMembers

__all__ = ["ConnectivityKernel"]


class ConnectivityKernel(GraphMembers, UnidirectionalKernel):
    """Transitions by similarity of cells, without a direction.

    Parameters
    ----------
    adata : AnnData
        With a nearest-neighbor graph in `obsp`.
    conn_key : str or None, default "connectivities"
        Key of `obsp`, or the `key_added` of ``scanpy.pp.neighbors``.
    check_connectivity : bool, default False
        Warn if the graph falls into parts.
    check_symmetric : bool, default True
        Warn if the graph is not symmetric.
    **kwargs
        See :class:`Kernel`.

    Raises
    ------
    MissingDataError
        If there is no such graph.
    InvalidDataError
        If it has NaN or negative weights, or cells without neighbors.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    ConnectivityKernel[n=200, dnorm=True, key='connectivities']
    """

    def __init__(
        self,
        adata: AnnData,
        conn_key: str | None = _keys.CONNECTIVITIES,
        check_connectivity: bool = False,
        check_symmetric: bool = True,
        **kwargs: Any,
    ) -> None:
        self._check_symmetric = bool(check_symmetric)
        super().__init__(
            adata,
            conn_key=_keys.CONNECTIVITIES if conn_key is None else conn_key,
            check_connectivity=check_connectivity,
            **kwargs,
        )

    def _read_from_adata(self, **kwargs: Any) -> None:
        self._read_graph(self.adata, check_symmetric=self._check_symmetric, **kwargs)

    def compute_transition_matrix(self, density_normalize: bool = True) -> Self:
        """Compute the transition matrix from the graph.

        Parameters
        ----------
        density_normalize : bool, default True
            Correct for the density of cells first [1]_.

        Returns
        -------
        ConnectivityKernel
            Itself, with :attr:`transition_matrix` and :attr:`params`.

        Notes
        -----
        With graph `C` and :math:`q_j = \\sum_i C_{ij}`, the rows of :math:`Q C Q`, `Q = diag(1/q)`, are
        divided by their sums.

        References
        ----------
        .. [1] R. R. Coifman and S. Lafon, Diffusion maps, Appl. Comput. Harmon. Anal. 21 (2006).

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> fc.kernels.ConnectivityKernel(adata).compute_transition_matrix(density_normalize=False)
        ConnectivityKernel[n=200, dnorm=False, key='connectivities']
        """
        params = {"dnorm": bool(density_normalize), "key": self._conn_key}
        if self._is_computed_with(params):
            return self
        graph = self._connectivities
        data = _core.connectivity_transitions(graph, density_normalize=bool(density_normalize))
        # A matrix of its own: two matrices over one index array would change together.
        self._store(
            sp.csr_matrix((data, graph.indices.copy(), graph.indptr.copy()), shape=self.shape), params
        )
        return self
