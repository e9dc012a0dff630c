"""Figures of macrostates and of the chain between them, as members of GPCCA."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ferrocyte._errors import InvalidTypeError, NotComputedError
from ferrocyte.estimators._plots import PlotMembers
from ferrocyte.estimators._states import ClusterKey, reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["GPCCAPlotMembers"]


class GPCCAPlotMembers(PlotMembers):
    """The `plot_*` members that only GPCCA has."""

    # Set by `tsi`.
    _tsi: pd.DataFrame | None = None

    def plot_schur_matrix(
        self,
        title: str | None = "schur matrix",
        cmap: str | Colormap = "viridis",
        figsize: tuple[float, float] | None = None,
        dpi: float | None = 80,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Plot the Schur matrix.

        Parameters
        ----------
        title : str, optional
            Default: ``"schur matrix"``.
        cmap : str or Colormap, default "viridis"
            Colours of the values.
        figsize, dpi, save, show, ax
            Size in inches (default: what the number of values asks for), resolution (default 80), path to
            save at, whether to show, axes to draw in.
        **kwargs
            To :func:`ferrocyte.pl.plot_schur_matrix`: `annotate`, `fmt`, `cbar`, `vmin`, `vmax`, and what
            :meth:`matplotlib.axes.Axes.imshow` takes.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there is no Schur decomposition.
        InvalidOptionError, InvalidTypeError
            If the colour map or a keyword is unknown.

        See Also
        --------
        ferrocyte.pl.schur_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> g.plot_schur_matrix(save="schur.png")
        """
        matrix = self._require("schur_matrix")
        from ferrocyte.pl.schur_matrix import plot_schur_matrix, schur_frame

        out = plot_schur_matrix(
            schur_frame(matrix), title=title, cmap=cmap, figsize=figsize, dpi=dpi, save=save, show=show,
            ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None

    def plot_coarse_T(  # noqa: N802
        self,
        show_stationary_dist: bool = True,
        show_initial_dist: bool = False,
        order: Literal["stability", "incoming", "outgoing", "stat_dist"] | None = "stability",
        cmap: str | Colormap = "viridis",
        xtick_rotation: float = 45,
        annotate: bool = True,
        show_cbar: bool = True,
        title: str | None = None,
        figsize: tuple[float, float] = (8, 8),
        dpi: float | None = 80,
        save: str | os.PathLike[str] | None = None,
        text_kwargs: Mapping[str, Any] = MappingProxyType({}),
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Plot the transition matrix between macrostates.

        Parameters
        ----------
        show_stationary_dist : bool, default True
            Draw the stationary distribution below, if there is one.
        show_initial_dist : bool, default False
            Draw the initial distribution below.
        order : {"stability", "incoming", "outgoing", "stat_dist"} or None, default "stability"
            States from low to high by probability to stay, sum of transitions from other states, sum of
            transitions to other states, or stationary probability. None: as they come.
        cmap : str or Colormap, default "viridis"
            Colours of the values; one scale for all that is drawn.
        xtick_rotation : float, default 45
            Degrees by which names below are turned.
        annotate : bool, default True
            Write the values.
        show_cbar : bool, default True
            Draw a colour bar, in axes of its own.
        title : str, optional
            Default: ``"coarse-grained transition matrix"``.
        figsize, dpi, save, show, ax
            Size in inches (default 8 x 8), resolution (default 80), path to save at, whether to show, axes to
            draw in.
        text_kwargs : mapping
            To :meth:`matplotlib.axes.Axes.text`, for the values.
        **kwargs
            To :meth:`matplotlib.axes.Axes.imshow`; also `vmin` and `vmax`.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there are no macrostates, or only one; if `order` needs a distribution that is not there.
        InvalidOptionError
            If `order` or the colour map is unknown.

        See Also
        --------
        ferrocyte.pl.coarse_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> g.plot_coarse_T(order="stability", save="coarse.png")
        """
        self._require("macrostates")
        matrix = self._require(
            "coarse_T",
            "There is no coarse transition matrix for a single macrostate. "
            "Compute more as `.compute_macrostates(n_states=...)`.",
        )
        from ferrocyte.pl.coarse import coarse_frame, plot_coarse_T

        stationary = self._results.get("coarse_stationary_distribution")
        initial = self._results.get("coarse_initial_distribution")
        table = coarse_frame(matrix, stationary, initial, order=order)
        shown = {"transitions": True, "stationary": show_stationary_dist, "initial": show_initial_dist}
        out = plot_coarse_T(
            table[[shown[part] for part, _ in table.index]], cmap=cmap, xtick_rotation=xtick_rotation,
            annotate=annotate, show_cbar=show_cbar, title=title, figsize=figsize, dpi=dpi, save=save,
            show=show, text_kwargs=text_kwargs, ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None

    def plot_macrostate_composition(
        self,
        key: ClusterKey,
        weight_key: str | None = None,
        width: float = 0.8,
        title: str | None = None,
        labelrot: float = 45,
        legend_loc: str | int | None = "upper right out",
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = True,
        ax: Axes | None = None,
    ) -> Axes | None:
        """Plot which clusters the cells of each macrostate come from.

        Parameters
        ----------
        key : str or dict
            A categorical column of `obs`, as ``"key"`` or ``{"obs": "key"}``, or ``{"obsm": "key"}`` for a
            DataFrame of proportions.
        weight_key : str, optional
            Column of `obs` with a weight for each cell; only for proportions.
        width : float, default 0.8
            Of the bars, in (0, 1].
        title : str, optional
            Default: ``"distribution over <key>"``.
        labelrot : float, default 45
            Degrees by which names below are turned.
        legend_loc : str or None, default "upper right out"
            Where to put the legend; None: no legend.
        figsize, dpi, save, show, ax
            Size in inches, resolution, path to save at, whether to show, axes to draw in.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there are no macrostates.
        MissingDataError, InvalidTypeError, InvalidDataError, InvalidOptionError
            If clusters or weights are not there or can not be used, or an option is out of range.

        See Also
        --------
        ferrocyte.pl.composition_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> ax = g.plot_macrostate_composition("clusters", show=False, save="composition.png")
        """
        states = self._require("macrostates")
        clusters = reference(self._plotted_adata(), key, weight_key)
        if clusters is None:
            raise InvalidTypeError("Expected `key` to name clusters, found None.")
        from ferrocyte.pl.composition import composition_frame, plot_composition

        table = composition_frame(states, clusters.weights)
        name = key if isinstance(key, str) else next(iter((key or {}).values()))
        out = plot_composition(
            table, colors=dict(zip(table.columns, clusters.colors, strict=True)), width=width,
            title=f"distribution over {name}" if title is None else title, labelrot=labelrot,
            legend_loc=legend_loc, figsize=figsize, dpi=dpi, save=save, show=show, ax=ax,
        )  # fmt: skip
        return out if show is False else None

    def plot_tsi(
        self,
        n_macrostates: int | None = None,
        x_offset: tuple[float, float] = (0.2, 0.2),
        y_offset: tuple[float, float] = (0.1, 0.1),
        figsize: tuple[float, float] = (6, 4),
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot how many terminal states are found with how many macrostates.

        Parameters
        ----------
        n_macrostates : int, optional
            Up to this many. Default: as many as :meth:`tsi` looked at.
        x_offset, y_offset : (float, float), default (0.2, 0.2) and (0.1, 0.1)
            Room before the first and after the last value.
        figsize, dpi, save, show, ax
            Size in inches (default 6 x 4), resolution, path to save at, whether to show, axes to draw in.
        **kwargs
            To :meth:`matplotlib.axes.Axes.step`.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        NotComputedError
            Before :meth:`tsi`.
        InvalidOptionError
            If `n_macrostates` is not positive, or more than :meth:`tsi` looked at.

        See Also
        --------
        ferrocyte.pl.tsi_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.tsi(
        ...     4, terminal_states=["Granule immature", "Astrocytes"], cluster_key="clusters", n_cells=10
        ... )
        >>> ax = g.plot_tsi(save="tsi.png")
        """
        if self._tsi is None:
            raise NotComputedError("Compute the terminal state identification first as `.tsi()`.")
        from ferrocyte.pl.tsi import plot_tsi, tsi_frame

        return plot_tsi(
            tsi_frame(self._tsi, n_macrostates), label=type(self.kernel).__name__, x_offset=x_offset,
            y_offset=y_offset, figsize=figsize, dpi=dpi, save=save, show=show, ax=ax, **kwargs,
        )  # fmt: skip
