"""Figures as members of estimators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ferrocyte.estimators._driver_plots import DriverPlotMembers
from ferrocyte.estimators._state_plots import StatePlotMembers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PlotMembers"]


class PlotMembers(StatePlotMembers, DriverPlotMembers):
    """The `plot_*` members of all estimators."""

    def plot_spectrum(
        self,
        n: int | None = None,
        real_only: bool | None = None,
        show_eigengap: bool = True,
        show_all_xticks: bool = True,
        legend_loc: str | int | None = None,
        title: str | None = None,
        marker: str = ".",
        figsize: tuple[float, float] | None = (5, 5),
        dpi: float | None = 100,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Plot the top eigenvalues.

        Parameters
        ----------
        n : int, optional
            How many. Default: all that were computed.
        real_only : bool, optional
            Real parts by rank (True, the default), or the complex plane with the unit circle (False).
        show_eigengap : bool, default True
            Draw a line in the eigengap.
        show_all_xticks : bool, default True
            A tick for each rank; else as many as fit.
        legend_loc : str, optional
            Where to put a legend, such as ``"upper right"``; None: none.
        title : str, optional
            Default: says what is shown.
        marker : str, default "."
            Of matplotlib's.
        figsize, dpi, save, show, ax
            Size in inches (default 5 x 5), resolution (default 100), path to save at, whether to show, axes
            to draw in.
        **kwargs
            To :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there is no eigendecomposition; says ``Compute eigendecomposition``.
        InvalidOptionError
            If `n` is not positive, or the legend position is unknown.

        See Also
        --------
        ferrocyte.pl.spectrum_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> g.plot_spectrum(real_only=True, save="spectrum.png")
        """
        found = self._require("eigendecomposition")
        from ferrocyte.pl.spectrum import plot_spectrum, spectrum_frame

        out = plot_spectrum(
            spectrum_frame(found, n), real_only=real_only, show_eigengap=show_eigengap,
            show_all_xticks=show_all_xticks, legend_loc=legend_loc, title=title, marker=marker,
            figsize=figsize, dpi=dpi, save=save, show=show, ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None
