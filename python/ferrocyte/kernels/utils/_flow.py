"""Flow between clusters over experimental time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from anndata import AnnData

from ferrocyte._errors import NotComputedError
from ferrocyte.kernels._matrix import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ferrocyte.pl.flow import FlowTables

__all__ = ["FlowPlotter"]


class FlowPlotter:
    """Flow out of one cluster over experimental time [1]_: its numbers and its figure.

    Parameters
    ----------
    adata : AnnData
        Annotated data of the cells.
    tmat : ndarray or sparse matrix, shape (n_cells, n_cells)
        Transition matrix.
    cluster_key : str
        Categorical column of `obs` with the clusters.
    time_key : str
        Column of `obs` with the experimental time.

    References
    ----------
    .. [1] M. Mittnenzweig et al., A single-embryo, single-cell time-resolved model for mouse gastrulation,
       Cell 184 (2021).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> flow = fc.kernels.utils.FlowPlotter(adata, kernel.transition_matrix, "clusters", "age(days)")
    >>> float(flow.prepare("Granule mature").tables.flow.sum(axis=1).round(6).iloc[0])
    1.0
    """

    def __init__(self, adata: AnnData, tmat: Matrix, cluster_key: str, time_key: str) -> None:
        self._adata = adata
        self._matrix = tmat
        self._cluster_key = cluster_key
        self._time_key = time_key
        self._tables: FlowTables | None = None

    @property
    def tables(self) -> FlowTables:
        """The numbers behind the figure.

        Raises
        ------
        NotComputedError
            Before :meth:`prepare`.
        """
        if self._tables is None:
            raise NotComputedError("Compute the flow first as `.prepare(cluster)`.")
        return self._tables

    def prepare(
        self,
        cluster: Any,
        clusters: Sequence[Any] | None = None,
        time_points: Sequence[float] | None = None,
    ) -> Self:
        """Compute the flow out of one cluster.

        Parameters
        ----------
        cluster : str
            Source cluster.
        clusters : sequence, optional
            Look only at these; default: all.
        time_points : sequence of float, optional
            Look only at these; default: all.

        Returns
        -------
        FlowPlotter
            Itself, with :attr:`tables`.

        Raises
        ------
        MissingDataError, InvalidDataError, InvalidOptionError, InvalidTypeError
            If clusters or times can not be used.
        """
        from ferrocyte.pl.flow import compute_flow

        self._tables = compute_flow(
            self._matrix, self._adata.obs, cluster, self._cluster_key, self._time_key, clusters, time_points
        )
        return self

    def plot(
        self,
        min_flow: float = 0,
        remove_empty_clusters: bool = True,
        ascending: bool | None = False,
        alpha: float | None = 0.8,
        xticks_step_size: int | None = 1,
        legend_loc: str | None = "upper right out",
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Draw the flow.

        Parameters
        ----------
        min_flow : float, default 0
            Show flow above this share, in [0, 1].
        remove_empty_clusters : bool, default True
            Leave out clusters into which nothing flows.
        ascending : bool or None, default False
            Order by incoming flow; None keeps the order of the clusters.
        alpha : float, default 0.8
            Opacity.
        xticks_step_size : int or None, default 1
            A tick at every n-th time; None: none.
        legend_loc : str or None, default "upper right out"
            Where to put the legend.
        figsize, dpi
            Size in inches, resolution.
        **kwargs
            To :func:`ferrocyte.pl.flow.plot_single_flow`: `save`, `show`, `ax`, `colors`.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``. Turns the time column of `obs` into an ordered categorical.

        Raises
        ------
        NotComputedError
            Before :meth:`prepare`.
        InvalidOptionError
            If nothing flows above `min_flow`, or an option is out of its range.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
        >>> flow = fc.kernels.utils.FlowPlotter(adata, kernel.transition_matrix, "clusters", "age(days)")
        >>> ax = flow.prepare("Granule immature").plot(show=False)
        """
        from ferrocyte.pl.flow import plot_single_flow

        tables = self.tables
        out = plot_single_flow(
            tables,
            self._adata,
            min_flow=min_flow,
            remove_empty_clusters=remove_empty_clusters,
            ascending=ascending,
            alpha=alpha,
            xticks_step_size=xticks_step_size,
            legend_loc=legend_loc,
            figsize=figsize,
            dpi=dpi,
            **kwargs,
        )
        self._adata.obs[self._time_key] = tables.times
        return out if kwargs.get("show") is False else None
