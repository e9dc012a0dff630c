"""What can be done with any transition matrix: score, walk, project, draw, store. Shared by all kernels."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ferrocyte import _adata, _core, _keys
from ferrocyte._errors import FerrocyteError, InvalidDataError, InvalidTypeError, NotComputedError
from ferrocyte._settings import threads
from ferrocyte._sparse import canonical_csr
from ferrocyte.kernels._graph import name_core_cells
from ferrocyte.kernels._matrix import Matrix, as_csr

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from ferrocyte.kernels._algebra import KernelExpression

__all__ = ["TransitionMembers"]


class TransitionMembers(ABC):
    """Members of kernels and expressions that need a transition matrix and the annotated data."""

    @property
    @abstractmethod
    def transition_matrix(self) -> Any: ...

    @property
    @abstractmethod
    def params(self) -> dict[str, Any]: ...

    backward: Any
    adata: Any
    init: Any

    def _require_matrix(self) -> Matrix:
        matrix = self.transition_matrix
        if matrix is None:
            raise NotComputedError("Compute transition matrix first as `.compute_transition_matrix()`.")
        return matrix

    def _require_adata(self) -> AnnData:
        if self.adata is None:
            raise InvalidDataError("This kernel has no annotated data. Set `.adata` first.")
        return self.adata

    # Scores -------------------------------------------------------------------------------------------

    def cbc(
        self,
        source: str | Sequence[str],
        target: str | Sequence[str],
        cluster_key: str,
        rep: str,
        graph_key: str = _keys.DISTANCES,
    ) -> NDArray[np.float64]:
        """Compute the cross-boundary correctness of the transitions from one cluster to another.

        For each cell of `source` with a neighbor in `target`: the Pearson correlation between the
        displacement that the graph suggests, towards its neighbors in `target`, and the displacement that the
        transition matrix expects.

        Parameters
        ----------
        source : str or list of str
            Cluster(s) where cells come from.
        target : str or list of str
            Cluster(s) where they go to.
        cluster_key : str
            Categorical column of `obs` with the clusters.
        rep : str
            Key of `obsm` with coordinates of the cells, such as ``"X_pca"``; at least two columns.
        graph_key : str, default "distances"
            Key of `obsp` with the nearest-neighbor graph.

        Returns
        -------
        ndarray of float64, shape (n_boundary_cells,)
            In [-1, 1], in the order of the cells; empty if no cell lies at the boundary.

        Raises
        ------
        NotComputedError
            If there is no transition matrix.
        MissingDataError, InvalidTypeError, InvalidOptionError, InvalidDataError
            If a key or cluster does not exist, or the data can not be used.

        Notes
        -----
        For boundary cell `i` with graph weights `w` and coordinates `x`: the correlation of
        :math:`\\sum_{j \\in target} w_{ij} (x_j - x_i)` and :math:`(T x - x)_i`.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
        >>> score = kernel.cbc("Neuroblast", "Granule immature", cluster_key="clusters", rep="X_pca")
        >>> score.shape
        (28,)
        """
        matrix, adata = as_csr(self._require_matrix()), self._require_adata()
        graph = canonical_csr(
            _adata.pairwise(adata, graph_key, "the graph"), f"the graph `adata.obsp[{graph_key!r}]`"
        )
        from_mask = _adata.clusters_mask(adata, cluster_key, source, "source")
        to_mask = _adata.clusters_mask(adata, cluster_key, target, "target")
        coordinates = _adata.embedding(adata, rep)
        if coordinates.shape[1] < 2:
            raise InvalidDataError(
                f"Expected `rep` {rep!r} to have at least two columns, found {coordinates.shape[1]}. "
                "One number has no correlation."
            )
        try:
            _, scores = _core.boundary_correctness(
                matrix, graph, from_mask, to_mask, coordinates, threads=threads()
            )
        except FerrocyteError as err:
            raise name_core_cells(err, adata, f"Check `adata.obsp[{graph_key!r}]` and {rep!r}.") from err
        return scores

    # Figures ------------------------------------------------------------------------------------------

    def plot_projection(
        self,
        basis: str = "umap",
        key_added: str | None = None,
        recompute: bool = False,
        stream: bool = True,
        connectivities: Any = None,
        **kwargs: Any,
    ) -> Axes | list[Axes] | None:
        """Plot the transition matrix as streamlines or arrows on an embedding.

        Parameters
        ----------
        basis : str, default "umap"
            `obsm["X_<basis>"]` or `obsm["<basis>"]`.
        key_added : str, optional
            The vectors are stored in `obsm["<key_added>_<basis>"]`; by default `T_fwd_<basis>` or
            `T_bwd_<basis>`.
        recompute : bool, default False
            Compute the vectors even if they are there.
        stream : bool, default True
            Streamlines; else arrows on a grid.
        connectivities : sparse matrix, shape (n_cells, n_cells), optional
            Graph over whose edges to project; default: that of the first kernel that has one.
        **kwargs
            To :func:`ferrocyte.pl.projection.plot_projection`: `color`, `density`, `title`, `ax`, `save`,
            `show` and others.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there is no transition matrix, or no graph.
        MissingDataError
            If there is no such basis.

        See Also
        --------
        ferrocyte.kernels.utils.TmatProjection : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
        >>> kernel.plot_projection(basis="umap", color="clusters", save="stream.png")
        """
        from ferrocyte.kernels.utils._projection import TmatProjection

        self._require_matrix()
        projection = TmatProjection(self, basis)
        return projection._project_and_plot(key_added, recompute, connectivities, stream=stream, **kwargs)

    def plot_random_walks(
        self,
        n_sims: int = 100,
        max_iter: int | float = 0.25,
        seed: int | None = None,
        successive_hits: int = 0,
        start_ixs: Sequence[str] | Mapping[str, Any] | None = None,
        stop_ixs: Sequence[str] | Mapping[str, Any] | None = None,
        basis: str = "umap",
        cmap: Any = "gnuplot",
        linewidth: float = 1.0,
        linealpha: float = 0.3,
        ixs_legend_loc: str | None = None,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool = True,
        figsize: tuple[float, float] | None = None,
        dpi: int | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Simulate random walks and plot them on an embedding.

        Parameters
        ----------
        n_sims : int, default 100
            Number of walks.
        max_iter : int or float, default 0.25
            Longest walk in steps; a float is a fraction of the number of cells.
        seed : int, optional
            Same seed, same walks, for any number of threads.
        successive_hits : int, default 0
            A walk ends after this many further steps in a row among `stop_ixs`.
        start_ixs, stop_ixs : sequence or dict, optional
            Cells where walks start (default: any) and stop (default: none); see
            :class:`ferrocyte.kernels.utils.RandomWalk`.
        basis : str, default "umap"
            `obsm["X_<basis>"]` or `obsm["<basis>"]`.
        cmap : str or Colormap, default "gnuplot"
            Colours of a walk, from its first to its last step.
        linewidth, linealpha : float, default 1.0 and 0.3
            Width in points and opacity of the lines.
        ixs_legend_loc : str, optional
            Where to put a legend for first and last cells.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.
        figsize, dpi, save, show, ax
            Size in inches, resolution, path to save at, whether to show, axes to draw in.
        **kwargs
            To :func:`ferrocyte.pl.random_walks.plot_random_walks`, for the cells: `color`, `size`, ...

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there is no transition matrix.
        MissingDataError, InvalidDataError, InvalidOptionError, InvalidTypeError, InvalidIndexError
            If cells can not be selected or a number is out of range.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
        >>> kernel.plot_random_walks(
        ...     n_sims=10, max_iter=50, start_ixs={"clusters": "Neuroblast"}, seed=0, save="walks.png"
        ... )
        """
        from ferrocyte.kernels.utils._random_walk import RandomWalk

        matrix, adata = self._require_matrix(), self._require_adata()
        _adata.embedding(adata, basis)
        walk = RandomWalk(adata, matrix, start_ixs=start_ixs, stop_ixs=stop_ixs)
        walks = walk.simulate_many(
            n_sims,
            max_iter=max_iter,
            seed=seed,
            successive_hits=successive_hits,
            n_jobs=n_jobs,
            backend=backend,
            show_progress_bar=show_progress_bar,
        )
        return walk.plot(
            walks,
            basis,
            cmap,
            linewidth,
            linealpha,
            ixs_legend_loc,
            figsize,
            dpi,
            save,
            show=show,
            ax=ax,
            **kwargs,
        )

    def plot_single_flow(
        self,
        cluster: str,
        cluster_key: str,
        time_key: str,
        clusters: Sequence[Any] | None = None,
        time_points: Sequence[float] | None = None,
        min_flow: float = 0,
        remove_empty_clusters: bool = True,
        ascending: bool | None = False,
        legend_loc: str | None = "upper right out",
        alpha: float | None = 0.8,
        xticks_step_size: int | None = 1,
        figsize: tuple[float, float] | None = None,
        dpi: int | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = True,
        ax: Axes | None = None,
    ) -> Axes | None:
        """Plot the flow out of one cluster over experimental time.

        Parameters
        ----------
        cluster : str
            Source cluster.
        cluster_key : str
            Categorical column of `obs` with the clusters.
        time_key : str
            Column of `obs` with the experimental time; becomes an ordered categorical there.
        clusters : sequence, optional
            Look only at these; default: all.
        time_points : sequence of float, optional
            Look only at these; default: all.
        min_flow : float, default 0
            Show flow above this share, in [0, 1].
        remove_empty_clusters : bool, default True
            Leave out clusters into which nothing flows.
        ascending : bool or None, default False
            Order by incoming flow; None keeps the order of `clusters`.
        legend_loc : str or None, default "upper right out"
            Where to put the legend.
        alpha : float, default 0.8
            Opacity.
        xticks_step_size : int or None, default 1
            A tick at every n-th time; None: none.
        figsize, dpi, save, show, ax
            Size in inches, resolution, path to save at, whether to show, axes to draw in.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there is no transition matrix.
        MissingDataError, InvalidDataError, InvalidOptionError, InvalidTypeError
            If clusters or times can not be used, or no flow is left.

        See Also
        --------
        ferrocyte.kernels.utils.FlowPlotter : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
        >>> kernel.plot_single_flow("Granule immature", "clusters", "age(days)", save="flow.png")
        """
        from ferrocyte.kernels.utils._flow import FlowPlotter

        plotter = FlowPlotter(self._require_adata(), self._require_matrix(), cluster_key, time_key)
        plotter.prepare(cluster, clusters, time_points)
        return plotter.plot(
            min_flow=min_flow,
            remove_empty_clusters=remove_empty_clusters,
            ascending=ascending,
            legend_loc=legend_loc,
            alpha=alpha,
            xticks_step_size=xticks_step_size,
            figsize=figsize,
            dpi=dpi,
            save=save,
            show=show,
            ax=ax,
        )

    # Storage ------------------------------------------------------------------------------------------

    def write_to_adata(self, key: str | None = None, copy: bool = False) -> None:
        """Store the transition matrix and its parameters in the annotated data.

        Parameters
        ----------
        key : str, optional
            Key of `obsp`; default ``"T_bwd"`` for a backward process, else ``"T_fwd"``.
        copy : bool, default False
            Store a copy of the matrix instead of the matrix itself.

        Returns
        -------
        None; sets `obsp["<key>"]` and `uns["<key>_params"]`, a dict with `params` and `init`.

        Raises
        ------
        InvalidDataError
            If there is no annotated data.
        NotComputedError
            If there is no transition matrix.
        InvalidTypeError
            If `key` is not a string, or empty.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
        >>> kernel.write_to_adata()
        >>> sorted(key for key in adata.obsp if key.startswith("T_"))
        ['T_fwd']
        """
        adata, matrix = self._require_adata(), self._require_matrix()
        key = _keys.transition_matrix(self.backward) if key is None else key
        if not isinstance(key, str) or not key:
            raise InvalidTypeError(f"Expected `key` to be a string that names an entry, found {key!r}.")
        stored = dict(adata.uns.get(_keys.params(key), {}))
        stored[_keys.PARAMS] = deepcopy(self.params)
        stored[_keys.INIT] = deepcopy(self._init_for(key))
        adata.obsp[key] = matrix.copy() if copy else matrix
        adata.uns[_keys.params(key)] = stored

    def _init_for(self, key: str) -> dict[str, Any]:
        return dict(self.init)

    def write(self, fname: str | os.PathLike[str], write_adata: bool = True) -> None:
        """Write to a file, from which :meth:`read` makes the same again.

        Parameters
        ----------
        fname : path
            The file is replaced when it has been written completely.
        write_adata : bool, default True
            Write the annotated data, too.

        Raises
        ------
        InvalidTypeError
            If an attribute of a user's kernel is neither plain nor an array, and so has no place in a file.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
        >>> kernel.write("kernel.h5", write_adata=False)
        >>> fc.kernels.Kernel.read("kernel.h5", adata=adata)
        ConnectivityKernel[n=200, dnorm=True, key='connectivities']
        """
        from ferrocyte.io import write_kernel

        write_kernel(cast("KernelExpression", self), fname, write_adata=write_adata)

    @staticmethod
    def read(fname: str | os.PathLike[str], adata: AnnData | None = None, copy: bool = False) -> Any:
        """Read from a file made by :meth:`write`.

        Parameters
        ----------
        fname : path
        adata : AnnData, optional
            The annotated data, if the file has none.
        copy : bool, default False
            Copy `adata` before using it; a view is always copied.

        Returns
        -------
        Kernel or KernelExpression
            Of the class that was written.

        Raises
        ------
        FileFormatError
            If the file is of another kind or version.
        InvalidTypeError
            If the file has no annotated data and none is given; says ``This object was saved without``.
        InvalidDataError
            If `adata` has another number of cells; says ``Expected `adata` to be of length``.
        """
        from ferrocyte.io import read_kernel

        return read_kernel(fname, adata=adata, copy=copy)
