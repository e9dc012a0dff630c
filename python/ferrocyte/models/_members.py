"""What a model of trends does beside fitting: figures, copies, files."""

from __future__ import annotations

import copy as copying
import os
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from anndata import AnnData

from ferrocyte.models._arrays import ARRAYS, ModelArrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ferrocyte.models._base import BaseModel

__all__ = ["ModelMembers"]


class ModelMembers(ModelArrays):
    """The members of all models that need no fit."""

    if TYPE_CHECKING:  # of BaseModel, which derives from this
        _lineage: str | None
        _model: Any
        _prepared: bool

        def copy(self) -> BaseModel: ...

    def plot(
        self,
        figsize: tuple[float, float] = (8, 5),
        same_plot: bool = False,
        hide_cells: bool = False,
        perc: tuple[float, float] | None = None,
        fate_prob_cmap: Any = "viridis",
        cell_color: str | None = None,
        lineage_color: str = "black",
        alpha: float = 0.8,
        lineage_alpha: float = 0.2,
        title: str | None = None,
        size: float = 15,
        lw: float = 2,
        cbar: bool = True,
        margins: float = 0.015,
        xlabel: str | None = "pseudotime",
        ylabel: str | None = "expression",
        conf_int: bool = True,
        lineage_probability: bool = False,
        lineage_probability_conf_int: bool | float = False,
        lineage_probability_color: str | None = None,
        obs_legend_loc: str | None = "best",
        dpi: float | None = None,
        fig: Figure | None = None,
        ax: Any = None,
        return_fig: bool = False,
        save: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Figure | None:
        """Draw the trend over the cells.

        Parameters
        ----------
        figsize : (float, float), default (8, 5)
            Size of a new figure in inches.
        same_plot : bool, default False
            Whether other trends share the axes: cells are then not coloured by fate probability.
        hide_cells : bool, default False
            Leave out the cells.
        perc : (float, float), optional
            Percentiles at which the colours of the cells are cut.
        fate_prob_cmap : str or Colormap, default "viridis"
            For continuous colours of cells.
        cell_color : str, optional
            A colour, a key of `adata.obs`, or a gene. Default: the fate probability.
        lineage_color : str, default "black"
            Colour of the trend.
        alpha, lineage_alpha : float, default 0.8, 0.2
            Opacity of cells and of intervals, in [0, 1].
        title : str, optional
            Default: gene and lineage.
        size : float, default 15
            Of the points, in square points.
        lw : float, default 2
            Width of the line in points.
        cbar : bool, default True
            Whether continuous colours get a colour bar.
        margins : float, default 0.015
            Around the data, as a part of their range.
        xlabel, ylabel : str or None
            Labels of the axes.
        conf_int : bool, default True
            Draw the confidence interval, if there is one.
        lineage_probability : bool, default False
            Draw a trend of the weights, too, which takes another fit; the rest is scaled to [0, 1]. Nothing
            happens if all weights are 1, and for fitted models.
        lineage_probability_conf_int : bool or float, default False
            Draw its confidence interval; a number is the level, 0.95 by default.
        lineage_probability_color : str, optional
            Default: `lineage_color`.
        obs_legend_loc : str or None, default "best"
            Place of the legend when cells are coloured by a categorical column.
        dpi : float, optional
            Dots per inch.
        fig, ax : Figure, Axes, optional
            Draw here; a new figure by default.
        return_fig : bool, default False
            Return the figure.
        save : path, optional
            Save here; `.png` is added without a suffix.
        **kwargs
            For :meth:`matplotlib.axes.Axes.legend`; `loc=None` leaves the legend of the lineage probability
            out.

        Returns
        -------
        matplotlib.figure.Figure or None
            The figure if `return_fig`.

        Raises
        ------
        RuntimeError
            Before :meth:`predict`.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> model = fc.models.GAM(adata).prepare("gene00005", "A", "pseudotime").fit()
        >>> _ = model.predict()
        >>> figure = model.plot(return_fig=True)
        """
        from ferrocyte.pl.model import plot_model

        options = {
            k: v for k, v in locals().items() if k not in ("self", "kwargs", "plot_model", "return_fig")
        }
        figure = plot_model(cast("BaseModel", self), **options, **kwargs)
        return figure if return_fig else None

    # Copies and files ---------------------------------------------------------------------------------

    def _copy_settings(self, to: BaseModel) -> None:
        """Give `to` our names and a copy of `model`."""
        to._signal, to._lineage = self._signal, self._lineage
        to._model = copying.deepcopy(self._model)

    def _blank(self) -> Self:
        """Another model of the same class and attributes, not prepared and without arrays."""
        out = type(self).__new__(type(self))
        out.__dict__.update(self.__dict__)
        for name in ARRAYS:
            setattr(out, name, None)
        out._prepared, out._rows = False, None
        return out

    def __copy__(self) -> BaseModel:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> BaseModel:
        self._read_values()
        out = self.copy()
        for name in ARRAYS:
            value = getattr(self, name)
            setattr(out, name, None if value is None else np.array(value))
        out._prepared = self._prepared
        memo[id(self)] = out
        return out

    def write(self, fname: str | os.PathLike[str], write_adata: bool = True) -> None:
        """Write the model to a file, to be read by :meth:`read`.

        Parameters
        ----------
        fname : path
            Replaced once everything has been written.
        write_adata : bool, default True
            Write the annotated data, too.

        Raises
        ------
        InvalidTypeError
            If `model` has no place in a file, as a scikit-learn estimator: nothing is pickled. Write
            ``FittedModel.from_model(model)``.
        """
        from ferrocyte.models._files import write_model

        write_model(cast("BaseModel", self), fname, write_adata=write_adata)

    @staticmethod
    def read(fname: str | os.PathLike[str], adata: AnnData | None = None, copy: bool = False) -> BaseModel:
        """Read a model from a file.

        Parameters
        ----------
        fname : path
        adata : AnnData, optional
            The annotated data, if the file has none.
        copy : bool, default False
            Copy `adata` before using it.

        Returns
        -------
        BaseModel

        Raises
        ------
        FileFormatError
            If the file is not ours, of another kind or version.
        InvalidTypeError
            If `adata` is needed; says ``This object was saved without``.
        InvalidDataError
            If `adata` has another number of cells; says ``Expected `adata` to be of length``.
        """
        from ferrocyte.models._files import read_model

        return read_model(fname, adata=adata, copy=copy)
