"""Expression of the genes that correlate most with a lineage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pandas as pd

from ferrocyte._errors import InvalidOptionError, MissingDataError, suggest
from ferrocyte._options import check_count

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["driver_column", "drivers_frame", "plot_lineage_drivers"]

FIELDS = ("gene", "corr", "pval", "qval")


def driver_column(drivers: pd.DataFrame, lineage: str, what: str = "corr") -> pd.Series:
    """A column of the table of drivers.

    Raises
    ------
    MissingDataError
        Says ``Lineage ... not found``.
    """
    key = f"{lineage}_{what}"
    if key not in drivers:
        lineages = [str(c).removesuffix("_corr") for c in drivers.columns if str(c).endswith("_corr")]
        raise MissingDataError(f"Lineage {lineage!r} not found.{suggest(lineage, lineages)}")
    return drivers[key]


def drivers_frame(
    drivers: pd.DataFrame, lineage: str, n_genes: int = 8, *, ascending: bool = False
) -> pd.DataFrame:
    """The genes that correlate most with a lineage.

    Parameters
    ----------
    drivers : pandas.DataFrame
        As `compute_lineage_drivers` returns it: genes as rows, `<lineage>_corr` and so on as columns.
    lineage : str
        Which lineage.
    n_genes : int, default 8
        How many genes; fewer if there are not so many with a correlation.
    ascending : bool, default False
        Take those with the lowest correlations, lowest first.

    Returns
    -------
    pandas.DataFrame
        One row per gene: `gene`, `corr`, `pval`, `qval`. Ties stay in the order of `drivers`.

    Raises
    ------
    InvalidOptionError
        If `n_genes` is not positive.
    MissingDataError
        If there is no such lineage.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
    >>> g.compute_fate_probabilities()
    >>> drivers = g.compute_lineage_drivers()
    >>> fc.pl.drivers_frame(drivers, "Astrocytes", n_genes=3).index.tolist()
    [0, 1, 2]
    """
    n_genes = check_count(n_genes, "n_genes")
    columns = {what: driver_column(drivers, lineage, what) for what in FIELDS[1:]}
    table = pd.DataFrame({"gene": drivers.index.astype(str), **{k: v.to_numpy() for k, v in columns.items()}})
    table = table.dropna(subset="corr").sort_values("corr", ascending=ascending, kind="stable")
    return table.head(n_genes).reset_index(drop=True)


def plot_lineage_drivers(
    adata: AnnData,
    table: pd.DataFrame,
    *,
    basis: str = "umap",
    use_raw: bool = False,
    ncols: int | None = None,
    title_fmt: str = "{gene} qval={qval:.4e}",
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Draw the expression of driver genes over the cells, one panel per gene.

    Parameters
    ----------
    adata : AnnData
        With the embedding and the expression. Not changed.
    table : pandas.DataFrame
        From :func:`drivers_frame`.
    basis : str, default "umap"
        `obsm["X_<basis>"]` or `obsm["<basis>"]`.
    use_raw : bool, default False
        Expression in `adata.raw`.
    ncols : int, optional
        Panels per row. Default: up to 3, or 4 if there are more than 6.
    title_fmt : str, default "{gene} qval={qval:.4e}"
        Title of a panel; fields are `gene`, `pval`, `qval` and `corr`.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    ax : matplotlib.axes.Axes, optional
        Draw here, if there is one gene; a new figure by default.
    **kwargs
        As for :func:`plot_projection`: `components`, `layer`, `size` or `s`, `alpha`, `cmap`, `vmin`, `vmax`,
        `perc`, `sort_order`, `na_color`, `marker`, `colorbar`, `frameon`, `xlabel`, `ylabel`, `fontsize`,
        `xlim`, `ylim`.

    Returns
    -------
    matplotlib.axes.Axes
        Or a list of them if there are several genes.

    Raises
    ------
    MissingDataError
        If the embedding, a gene, a layer or `adata.raw` is not there.
    InvalidOptionError
        If `title_fmt` has other fields, or there is no gene to draw.
    InvalidTypeError
        For an unknown keyword; the message lists close ones.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
    >>> g.compute_fate_probabilities()
    >>> drivers = g.compute_lineage_drivers()
    >>> table = fc.pl.drivers_frame(drivers, "Astrocytes", n_genes=2)
    >>> axes = fc.pl.plot_lineage_drivers(adata, table, show=False)
    """
    from ferrocyte.pl._cells import draw_values, dress, gene_expression
    from ferrocyte.pl._common import axes_width, embedding_coordinates, finish
    from ferrocyte.pl._keywords import CELL_KEYWORDS, FRAME_KEYWORDS, cell_style, sort_keywords
    from ferrocyte.pl._panels import panels

    options = sort_keywords(kwargs, (*CELL_KEYWORDS, *FRAME_KEYWORDS, "components"), "plot_lineage_drivers")
    titles = [_title(title_fmt, row) for row in table.to_dict("records")]
    if not titles:
        raise InvalidOptionError("Expected at least 1 gene to draw, found none with a correlation.")
    xy = embedding_coordinates(adata, basis, options.pop("components", None) or (1, 2))
    frame = {key: options.pop(key, None) for key in FRAME_KEYWORDS}
    size = frame.pop("fontsize")
    style = cell_style(options)
    layer = style.pop("layer", None)
    for unused in ("use_raw", "palette", "groups", "legend_loc"):
        style.pop(unused, None)
    expression = [gene_expression(adata, gene, layer, use_raw) for gene in table["gene"]]
    with panels(len(titles), ax, ncols=ncols, figsize=figsize, dpi=dpi, inches=(3.8, 3.2)) as (axes, ours):
        for panel, values, title in zip(axes, expression, titles, strict=True):
            draw_values(panel, xy, values, **style)
            # Long titles of neighbours must not run into each other.
            fits = 1.55 * 72 * axes_width(panel) / max(len(title), 1)
            fontsize = min(11.0, max(5.0, fits)) if size is None else size
            dress(panel, basis=basis, title=title, fontsize=fontsize, **frame)
        finish(axes[0], save=save, show=show, dpi=dpi, ours=ours)
    return axes[0] if len(axes) == 1 else axes


def _title(title_fmt: str, row: dict[Any, Any]) -> str:
    try:
        return title_fmt.format(**row)
    except (KeyError, IndexError, ValueError, AttributeError) as err:
        raise InvalidOptionError(
            f"Invalid option `title_fmt={title_fmt!r}`: {err!r}. Its fields are {', '.join(FIELDS)}."
        ) from None
