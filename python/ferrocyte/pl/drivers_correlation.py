"""Correlation of genes with one lineage against that with another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte._colors import default_colors, to_hex
from ferrocyte._errors import InvalidOptionError, MissingDataError, suggest
from ferrocyte.pl.lineage_drivers import driver_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["drivers_correlation_frame", "plot_lineage_drivers_correlation"]

_KEYWORDS = (
    "size", "s", "alpha", "marker", "palette", "groups", "color_map", "vmin", "vmax", "perc", "sort_order",
    "na_color", "colorbar", "legend_fontsize", "legend_fontweight", "legend_fontoutline", "title", "xlabel",
    "ylabel", "frameon", "xlim", "ylim",
)  # fmt: skip


def drivers_correlation_frame(
    drivers: pd.DataFrame,
    lineage_x: str,
    lineage_y: str,
    *,
    var: pd.DataFrame | None = None,
    color: str | None = None,
    gene_sets: Mapping[str, str | Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Correlations of all genes with two lineages.

    Parameters
    ----------
    drivers : pandas.DataFrame
        As `compute_lineage_drivers` returns it.
    lineage_x, lineage_y : str
        Lineages of the two axes.
    var : pandas.DataFrame, optional
        Annotation of the genes, indexed by name.
    color : str, optional
        A column of `drivers` or of `var`.
    gene_sets : mapping, optional
        Genes by name of their set; a gene belongs to the first set that has it.

    Returns
    -------
    pandas.DataFrame
        One row per gene with both correlations, indexed by name: `<lineage_x>_corr`, `<lineage_y>_corr`, then
        `color` under its name, if asked for, and `gene_set` (categorical, missing for most genes).

    Raises
    ------
    MissingDataError
        If a lineage, the column or a gene is not there.

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
    >>> table = fc.pl.drivers_correlation_frame(drivers, "Astrocytes", "Granule immature")
    >>> table.columns.tolist()
    ['Astrocytes_corr', 'Granule immature_corr']
    """
    x, y = driver_column(drivers, lineage_x), driver_column(drivers, lineage_y)
    parts = [x.to_numpy(), y.to_numpy()]
    names = [f"{lineage_x}_corr", f"{lineage_y}_corr"]
    table = pd.DataFrame(np.column_stack(parts), index=drivers.index.astype(str), columns=names)
    if color is not None:
        if color in drivers:
            values = drivers[color]
        elif var is not None and color in var:
            values = var[color].reindex(drivers.index)
        else:
            known = [*drivers.columns, *([] if var is None else var.columns)]
            raise MissingDataError(
                f"Unable to find `color={color!r}` among driver statistics or in `adata.var`."
                f"{suggest(color, known)}"
            )
        values = values.set_axis(table.index)
        table = table.assign(**{color: values}) if color not in table else table
    if gene_sets is not None:
        of = pd.Series(np.nan, index=table.index, dtype=object)
        for name, genes in gene_sets.items():
            wanted = [genes] if isinstance(genes, str) else list(genes)
            lost = [g for g in wanted if g not in table.index]
            if lost:
                raise MissingDataError(
                    f"Unable to find gene {lost[0]!r} of gene set {name!r} among the drivers."
                    f"{suggest(lost[0], table.index)}"
                )
            free = of[wanted].isna()
            of[free.index[free]] = str(name)
        table["gene_set"] = pd.Categorical(of, [str(n) for n in gene_sets])
    return table.dropna(subset=list(dict.fromkeys(names)))


def plot_lineage_drivers_correlation(
    table: pd.DataFrame,
    *,
    color: str | None = None,
    gene_sets_colors: Sequence[str] | Mapping[str, str] | None = None,
    cmap: Any = "RdYlBu_r",
    fontsize: float = 12,
    adjust_text: bool = False,
    legend_loc: str | int | None = "best",
    figsize: tuple[float, float] | None = (4, 4),
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw one point per gene; genes of sets carry their names.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`drivers_correlation_frame`.
    color : str, optional
        Column of the table to colour the points by. Default: grey.
    gene_sets_colors : sequence or mapping, optional
        Colour of each gene set. Default: the first of 62 fixed ones.
    cmap : str or Colormap, default "RdYlBu_r"
        Colours of a numeric `color`.
    fontsize : float, default 12
        Of the names of genes, in points.
    adjust_text : bool, default False
        Move names apart where they would overlap, with a line to their point.
    legend_loc : str or None, default "best"
        Where to put the legend of the gene sets, or of a categorical `color`; `"right"` is outside; `None`:
        no legend.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving. Default: 4 x 4.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        As `scanpy.pl.scatter` calls them: `size` or `s` (square points), `alpha`, `marker`, `palette`,
        `groups`, `color_map`, `vmin`, `vmax`, `perc`, `sort_order`, `na_color`, `colorbar`,
        `legend_fontsize`, `title`, `xlabel`, `ylabel`, `frameon`, `xlim`, `ylim`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidOptionError
        If there are fewer colours than gene sets, or the legend position is unknown.
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
    >>> sets = {"glia": ["Cst3", "Clu"]}
    >>> table = fc.pl.drivers_correlation_frame(drivers, "Astrocytes", "Granule immature", gene_sets=sets)
    >>> ax = fc.pl.plot_lineage_drivers_correlation(table, show=False)
    """
    from ferrocyte.pl._cells import draw_values, legend_of_categories, spread_labels
    from ferrocyte.pl._common import as_categorical, category_colors, drawing, finish, legend_place, shade
    from ferrocyte.pl._keywords import cell_style, sort_keywords

    options = sort_keywords(kwargs, _KEYWORDS, "plot_lineage_drivers_correlation")
    beside = "center right out" if legend_loc in ("right", "right margin") else legend_loc
    legend_place(beside)
    sets = table["gene_set"].cat.categories if "gene_set" in table else []
    shades = _set_colors(list(sets), gene_sets_colors)
    xy = table.iloc[:, :2].to_numpy(dtype=np.float64)
    frame = {key: options.pop(key, None) for key in ("title", "xlabel", "ylabel", "frameon", "xlim", "ylim")}
    style = cell_style({"cmap": cmap, **options}, size=30)
    palette = style.pop("palette", None)
    values: Any = None if color is None else as_categorical(table[color])
    colors: Any = "#808080"
    if isinstance(values, pd.Categorical):
        colors = category_colors(None, None, list(values.categories), palette)
    elif color is not None:
        values = table[color].to_numpy(dtype=np.float64)
    with drawing(ax, figsize, dpi) as (axes, ours):
        for line in (axes.axhline, axes.axvline):
            line(0, color=shade(0.78), linewidth=1.2, zorder=0)
        of_points = None if len(sets) else beside
        draw_values(axes, xy, values, colors, what=f"{color!r}", **{**style, "legend_loc": of_points})
        axes.margins(0.08, 0.14 if len(sets) else 0.08)  # names stand above their points
        axes.set_xlabel(table.columns[0] if frame["xlabel"] is None else frame["xlabel"])
        axes.set_ylabel(table.columns[1] if frame["ylabel"] is None else frame["ylabel"])
        axes.set_title(frame["title"] or "")
        if frame["xlim"] is not None:
            axes.set_xlim(frame["xlim"])
        if frame["ylim"] is not None:
            axes.set_ylim(frame["ylim"])
        if frame["frameon"] is False:
            axes.set_axis_off()
        if len(sets):
            _mark(axes, table, shades, fontsize, style, adjust_text, spread_labels)
            size = style.get("legend_fontsize")
            legend_of_categories(axes, shades, beside, size, style.get("marker", "o"))
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes


def _set_colors(sets: Sequence[str], given: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return dict(zip(sets, default_colors(len(sets)), strict=True))
    if isinstance(given, Mapping):
        given = [given[s] for s in sets if s in given]
    if len(given) < len(sets):
        raise InvalidOptionError(
            f"Expected `gene_sets_colors` to have {len(sets)} colours, one for each set, found {len(given)}."
        )
    return {s: to_hex(c) for s, c in zip(sets, given, strict=False)}


def _mark(
    ax: Axes,
    table: pd.DataFrame,
    shades: Mapping[str, str],
    fontsize: float,
    style: Mapping[str, Any],
    apart: bool,
    spread: Any,
) -> None:
    """Points of gene sets in the colour of their set, with names."""
    import matplotlib.patheffects as patheffects

    from ferrocyte.pl._common import ink, paper, shade

    marked = table[table["gene_set"].notna()]
    if marked.empty:
        return
    colors = [shades[s] for s in marked["gene_set"]]
    x, y = marked.iloc[:, 0].to_numpy(dtype=np.float64), marked.iloc[:, 1].to_numpy(dtype=np.float64)
    size = 1.4 * float(np.mean(style["size"]))
    marker = style.get("marker", "o")
    ax.scatter(x, y, s=size, c=colors, edgecolors=ink(), linewidths=0.5, zorder=3, marker=marker)
    # Fixed before names are placed: they are moved in units of the data.
    ax.autoscale_view()
    ax.set_xlim(ax.get_xlim())
    ax.set_ylim(ax.get_ylim())
    halo = [patheffects.withStroke(linewidth=2, foreground=paper())]
    rise = 0.035 * np.ptp(ax.get_ylim())
    texts: list[Annotation] = []
    for gene, color, px, py in zip(marked.index, colors, x, y, strict=True):
        line = (
            {"arrowstyle": "-", "color": shade(0.38), "lw": 0.6, "shrinkA": 0, "shrinkB": 2}
            if apart
            else None
        )
        texts.append(
            ax.annotate(
                gene, (px, py), (px, py + rise), ha="center", va="bottom", fontsize=fontsize, color=color,
                zorder=5, path_effects=halo, arrowprops=line,
            )
        )  # fmt: skip
    if apart:
        spread(ax, texts)
