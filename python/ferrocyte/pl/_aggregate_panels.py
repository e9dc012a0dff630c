"""Bars, distributions and tables of the fate probabilities of clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ferrocyte._errors import InvalidOptionError, InvalidTypeError, suggest
from ferrocyte.lineage import Lineage
from ferrocyte.pl._common import category_colors, finish, known_keywords, paper, shade, turn_labels
from ferrocyte.pl._heatmap import add_bar, as_colormap, draw_squares, write_numbers
from ferrocyte.pl._panels import panels, spread_titles
from ferrocyte.pl._trees import draw_tree, grow_tree

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["bars", "clustered_means", "table_of_means", "violins"]

YLABEL = "fate probability"


def bars(
    table: pd.DataFrame,
    fates: Lineage,
    *,
    ncols: int | None,
    sharey: bool,
    xrot: float,
    frame: Mapping[str, Any],
    title: str | Sequence[str] | None = None,
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Means with their standard errors, a panel for each cluster; `kwargs` are for the bars."""
    names, colors = _names_and_colors(fates)
    clusters = list(dict.fromkeys(table["cluster"]))
    whole, titles = spread_titles(title, clusters)
    look = {"color": colors, "ecolor": shade(0.2), "capsize": 4, "width": 0.8, **kwargs}
    inches = _panel_inches(names, xrot)
    with _figure(len(clusters), ncols, frame, inches) as (axes, ours):
        for panel, cluster, text in zip(axes, clusters, titles, strict=True):
            part = table[table["cluster"] == cluster].set_index("lineage").loc[names]
            # nothing is known of the spread of what has no value
            with known_keywords("aggregate_fate_probabilities"):
                panel.bar(range(len(names)), part["mean"], yerr=part["sem"], **look)
            _dress(panel, names, text, xrot)
            panel.set_ylim(bottom=0.0)
        _finish(axes, whole, sharey, frame, ours)
    return axes[0] if len(axes) == 1 else axes


def violins(
    adata: AnnData,
    cluster_key: str | None,
    fates: Lineage,
    groups: Mapping[str, NDArray[np.bool_]],
    *,
    ncols: int | None,
    sharey: bool,
    xrot: float,
    frame: Mapping[str, Any],
    title: str | Sequence[str] | None = None,
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Distributions: a panel for each lineage with its clusters; without clusters, one with all lineages."""
    names, colors = _names_and_colors(fates)
    if cluster_key is None:
        cells = next(iter(groups.values()))
        tables = {"": {name: fates.X[cells, k] for k, name in enumerate(names)}}
        palette = dict(zip(names, colors, strict=True))
    else:
        tables = {n: {g: fates.X[c, k] for g, c in groups.items()} for k, n in enumerate(names)}
        column = adata.obs[cluster_key].astype("category")
        stored = category_colors(adata, cluster_key, list(column.cat.categories))
        palette = {str(c): color for c, color in stored.items()}
    whole, titles = spread_titles(title, list(tables))
    inches = _panel_inches(list(palette if cluster_key is None else groups), xrot)
    with _figure(len(tables), ncols, frame, inches) as (axes, ours):
        for panel, values, text in zip(axes, tables.values(), titles, strict=True):
            with known_keywords("aggregate_fate_probabilities"):
                _draw_violins(panel, values, palette, kwargs)
            _dress(panel, list(values), text, xrot)
        _finish(axes, whole, sharey, frame, ours)
    return axes[0] if len(axes) == 1 else axes


def _draw_violins(
    ax: Axes,
    values: Mapping[str, NDArray[np.float64]],
    palette: Mapping[str, str],
    kwargs: Mapping[str, Any],
) -> None:
    for at, (name, numbers) in enumerate(values.items()):
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            continue
        low, middle, high = np.percentile(numbers, (25, 50, 75))
        # a violin of one value has no width: only its point is drawn
        if np.ptp(numbers) > 1e-12:
            look: dict[str, Any] = {"widths": 0.85, "showextrema": False, **kwargs}
            for body in ax.violinplot([numbers], positions=[at], **look)["bodies"]:  # type: ignore[attr-defined]
                body.set(facecolor=palette[name], edgecolor=shade(0.2), alpha=0.85, linewidth=0.6)
        ax.vlines(at, low, high, color=shade(0.15), lw=2.5, zorder=3)
        ax.plot(at, middle, "o", ms=3.5, color=paper(), mec=shade(0.15), mew=0.8, zorder=4)


def table_of_means(
    means: pd.DataFrame,
    *,
    fmt: str,
    xrot: float,
    cbar: bool,
    frame: Mapping[str, Any],
    **kwargs: Any,
) -> Axes:
    """A square for each mean; lineages are rows, clusters columns."""
    look = _table_options(kwargs, ())
    size = frame["figsize"] or _table_inches(means)
    with panels(1, frame["ax"], figsize=size, dpi=frame["dpi"]) as (axes, ours):
        _draw_table(axes[0], means, fmt, xrot, cbar=cbar, **look)
        axes[0].set_title(look["title"] or "")
        finish(axes[0], save=frame["save"], show=frame["show"], dpi=frame["dpi"], ours=ours)
    return axes[0]


def clustered_means(
    means: pd.DataFrame,
    *,
    fmt: str,
    xrot: float,
    cbar: bool,
    frame: Mapping[str, Any],
    **kwargs: Any,
) -> list[Axes]:
    """The same with rows and columns ordered by similarity, and the trees of that; three axes."""
    if frame["ax"] is not None:
        raise InvalidOptionError("`mode='clustermap'` takes three axes. Leave out `ax`.")
    look = _table_options(kwargs, ("method", "metric"))
    grown = [grow_tree(m, look["method"], look["metric"]) for m in (means.to_numpy(), means.to_numpy().T)]
    (row_tree, rows), (column_tree, columns) = grown
    width, height = _table_inches(means)
    figure, grid = plt.subplots(
        2, 2, figsize=frame["figsize"] or (width + 0.7, height + 0.6), dpi=frame["dpi"], layout="constrained",
        gridspec_kw={"width_ratios": (0.7, width), "height_ratios": (0.6, height), "wspace": 0, "hspace": 0},
    )  # fmt: skip
    try:
        (corner, top), (left, main) = grid
        corner.remove()
        _draw_table(main, means.iloc[rows, columns], fmt, xrot, cbar=cbar, aspect="auto", **look)
        main.yaxis.tick_right()
        for ax, tree, side in ((left, row_tree, "left"), (top, column_tree, "top")):
            ax.axis("off")
            if tree is not None:
                draw_tree(ax, tree, side=side)
        figure.suptitle(look["title"] or "")
        finish(main, save=frame["save"], show=frame["show"], dpi=frame["dpi"])
    except BaseException:
        plt.close(figure)
        raise
    return [main, left, top]


def _table_options(given: Mapping[str, Any], more: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "cmap": "viridis",
        "annot": True,
        "title": None,
        "method": "average",
        "metric": "euclidean",
    }
    known = ["cmap", "annot", "title", *more]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InvalidTypeError(
            f"`aggregate_fate_probabilities` has no keyword {unknown[0]!r} for tables."
            f"{suggest(unknown[0], known)}"
        )
    options.update(given)
    options["cmap"] = as_colormap(options["cmap"])
    return options


def _table_inches(means: pd.DataFrame) -> tuple[float, float]:
    longest = max(len(str(n)) for n in means.columns)
    return 2.2 + 0.62 * means.shape[1], 0.9 + 0.07 * longest + 0.55 * means.shape[0]


def _draw_table(
    ax: Axes, means: pd.DataFrame, fmt: str, xrot: float, *, cbar: bool, aspect: str = "equal", **look: Any
) -> None:
    values = means.to_numpy(dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1e-9)
    image = draw_squares(ax, values, norm, look["cmap"], aspect=aspect)
    ax.set_xticks(range(means.shape[1]), means.columns.astype(str))
    ax.set_yticks(range(means.shape[0]), means.index.astype(str))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    turn_labels(ax, xrot)
    if cbar:
        bar = add_bar(ax, image)
        bar.set_label(YLABEL)
    if look["annot"]:
        try:
            format(0.5, fmt)
        except ValueError:
            raise InvalidOptionError(f"Invalid option `fmt={fmt!r}`: expected such as '0.2f'.") from None
        write_numbers(ax, image, {"fontsize": 9}, fmt=fmt)


def _names_and_colors(fates: Lineage) -> tuple[list[str], list[str]]:
    return [str(n) for n in fates.names], [str(c) for c in fates.colors]


def _figure(n: int, ncols: int | None, frame: Mapping[str, Any], inches: tuple[float, float]) -> Any:
    size = frame["figsize"] or (inches if n == 1 else None)
    return panels(n, frame["ax"], ncols=ncols, figsize=size, dpi=frame["dpi"], inches=inches)


def _panel_inches(names: Sequence[str], xrot: float) -> tuple[float, float]:
    """A panel as wide as its names are many, and higher if they are long and turned."""
    longest = 0.08 * max(len(name) for name in names)
    return 0.9 + 0.45 * max(4, len(names)), 3.0 + longest * abs(np.sin(np.deg2rad(xrot)))


def _dress(ax: Axes, names: Sequence[str], title: str, xrot: float) -> None:
    ax.set_xticks(range(len(names)), names)
    turn_labels(ax, xrot)
    ax.set_title(title)
    ax.set_ylabel(YLABEL)
    ax.spines[["top", "right"]].set_visible(False)


def _finish(
    axes: Sequence[Axes], whole: str | None, sharey: bool, frame: Mapping[str, Any], ours: bool
) -> None:
    if sharey:
        limits = [ax.get_ylim() for ax in axes]
        for ax in axes:
            ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    if whole is not None:
        axes[0].figure.suptitle(whole)
    finish(axes[0], save=frame["save"], show=frame["show"], dpi=frame["dpi"], ours=ours)
