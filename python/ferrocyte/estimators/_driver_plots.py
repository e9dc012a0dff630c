"""Figures of driver genes as members of estimators."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ferrocyte._errors import MissingDataError
from ferrocyte.estimators._plotted import Plotted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["DriverPlotMembers"]


class DriverPlotMembers(Plotted):
    """The `plot_*` members for driver genes."""

    def plot_lineage_drivers(
        self,
        lineage: str,
        n_genes: int = 8,
        use_raw: bool = False,
        ascending: bool = False,
        ncols: int | None = None,
        title_fmt: str = "{gene} qval={qval:.4e}",
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | list[Axes] | None:
        """Plot the expression of the genes that correlate most with a lineage.

        Parameters
        ----------
        lineage : str
            Which lineage.
        n_genes : int, default 8
            How many genes.
        use_raw : bool, default False
            Expression in `adata.raw`.
        ascending : bool, default False
            Take the genes with the lowest correlations instead.
        ncols : int, optional
            Panels per row.
        title_fmt : str, default "{gene} qval={qval:.4e}"
            Title of a panel; fields are `gene`, `pval`, `qval` and `corr`.
        figsize, dpi, save, show, ax
            Size in inches, resolution, path to save at, whether to show, axes to draw in.
        **kwargs
            To :func:`ferrocyte.pl.plot_lineage_drivers`: `basis`, `layer`, `size`, `cmap`, `perc`, ...

        Returns
        -------
        matplotlib.axes.Axes, list of them or None
            The Axes if ``show=False``; a list if there are several genes.

        Raises
        ------
        NotComputedError
            If there are no drivers; names ``lineage_drivers``.
        MissingDataError
            If there is no such lineage, says ``Lineage ... not found``; or no such embedding or gene.
        InvalidOptionError
            If `n_genes` is not positive, says ``to be positive``; if `title_fmt` has other fields.

        See Also
        --------
        ferrocyte.pl.drivers_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> _ = g.compute_lineage_drivers()
        >>> g.plot_lineage_drivers("Astrocytes", n_genes=4, save="drivers.png")
        """
        drivers = self._require("lineage_drivers")
        from ferrocyte.pl.lineage_drivers import drivers_frame, plot_lineage_drivers

        table = drivers_frame(drivers, lineage, n_genes, ascending=ascending)
        out = plot_lineage_drivers(
            self._plotted_adata(), table, use_raw=use_raw, ncols=ncols, title_fmt=title_fmt, figsize=figsize,
            dpi=dpi, save=save, show=show, ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None

    def plot_lineage_drivers_correlation(
        self,
        lineage_x: str,
        lineage_y: str,
        color: str | None = None,
        gene_sets: Mapping[str, str | Sequence[str]] | None = None,
        gene_sets_colors: Sequence[str] | None = None,
        use_raw: bool = False,
        cmap: str | Colormap = "RdYlBu_r",
        fontsize: float = 12,
        adjust_text: bool = False,
        legend_loc: str | int | None = "best",
        figsize: tuple[float, float] | None = (4, 4),
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = True,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Plot the correlation of genes with one lineage against that with another.

        Parameters
        ----------
        lineage_x, lineage_y : str
            Lineages of the two axes.
        color : str, optional
            What to colour genes by: a column of `lineage_drivers` or of `adata.var`.
        gene_sets : dict, optional
            Genes to mark and name, by name of their set.
        gene_sets_colors : sequence, optional
            Colour of each gene set. Default: that of the lineage of the same name, if all sets have one, else
            the default colours.
        use_raw : bool, default False
            Look for `color` in `adata.raw.var`.
        cmap : str or Colormap, default "RdYlBu_r"
            Colours of a numeric `color`.
        fontsize : float, default 12
            Of the names of genes, in points.
        adjust_text : bool, default False
            Move names apart where they would overlap.
        legend_loc : str or None, default "best"
            Where to put the legend.
        figsize, dpi, save, show, ax
            Size in inches (default 4 x 4), resolution, path to save at, whether to show, axes to draw in.
        **kwargs
            To :func:`ferrocyte.pl.plot_lineage_drivers_correlation`: `size`, `alpha`, `title`, ...

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        NotComputedError
            If there are no drivers; names ``lineage_drivers``.
        MissingDataError
            If there is no such lineage, says ``Lineage ... not found``; if there is no such column or gene.
        InvalidOptionError
            If there are fewer colours than gene sets, or the legend position is unknown.

        See Also
        --------
        ferrocyte.pl.drivers_correlation_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> _ = g.compute_lineage_drivers()
        >>> ax = g.plot_lineage_drivers_correlation(
        ...     "Astrocytes", "Granule immature", show=False, save="correlation.png"
        ... )
        """
        drivers = self._require("lineage_drivers")
        from ferrocyte.pl.drivers_correlation import (
            drivers_correlation_frame,
            plot_lineage_drivers_correlation,
        )

        var = self._annotated_genes(use_raw)
        table = drivers_correlation_frame(
            drivers, lineage_x, lineage_y, var=var, color=color, gene_sets=gene_sets
        )
        if gene_sets_colors is None and gene_sets:
            gene_sets_colors = self._lineage_colors(gene_sets)
        out = plot_lineage_drivers_correlation(
            table, color=color, gene_sets_colors=gene_sets_colors, cmap=cmap, fontsize=fontsize,
            adjust_text=adjust_text, legend_loc=legend_loc, figsize=figsize, dpi=dpi, save=save, show=show,
            ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None

    def _annotated_genes(self, use_raw: bool) -> pd.DataFrame:
        adata = self._plotted_adata()
        if not use_raw:
            return adata.var
        if adata.raw is None:
            raise MissingDataError("Unable to find `adata.raw`. Set it or pass `use_raw=False`.")
        return adata.raw.var

    def _lineage_colors(self, names: Mapping[str, Any]) -> list[str] | None:
        fates = self._results.get("fate_probabilities")
        if fates is None:
            return None
        colors = dict(zip(fates.names.tolist(), fates.colors.tolist(), strict=True))
        return [colors[n] for n in names] if all(n in colors for n in names) else None
