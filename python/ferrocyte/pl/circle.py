"""Fate probabilities on a circle: each lineage pulls cells towards its place on the rim."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ferrocyte import _adata, _keys
from ferrocyte._errors import InvalidDataError, InvalidOptionError, MissingDataError, suggest
from ferrocyte._options import check_number, check_option
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["circular_projection", "simplex_frame"]

LineageOrder = Literal["optimal", "default"]
MEASURES: tuple[Literal["kl_divergence", "entropy"], ...] = ("kl_divergence", "entropy")


def simplex_frame(
    fates: Lineage,
    *,
    lineage_order: LineageOrder | None = None,
    metric: str | Callable[..., Any] = "correlation",
    normalize_by_mean: bool = True,
    index: pd.Index | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute where cells lie in a circle on whose rim the lineages stand [1]_ [2]_.

    Parameters
    ----------
    fates : Lineage
        Fate probabilities of at least 3 lineages.
    lineage_order : {"optimal", "default"}, optional
        On the rim: such that neighbours are as near as can be (the exact shortest tour, for at most 20), or
        as in `fates`. Default: optimal for 4 to 20 lineages.
    metric : str or callable, default "correlation"
        Distance of two lineages, of ``scipy.spatial.distance.pdist``.
    normalize_by_mean : bool, default True
        Divide each lineage by its mean over the cells first, so that frequent ones do not pull all cells.
    index : pandas.Index, optional
        Names of the cells.

    Returns
    -------
    cells : pandas.DataFrame
        `x` and `y` of each cell: :math:`\\sum_l p_l (\\cos a_l, \\sin a_l)`.
    rim : pandas.DataFrame
        `angle`, `x` and `y` of each lineage, in order; the first is at angle 0.

    Raises
    ------
    InvalidDataError
        For fewer than 3 lineages; says ``Expected at least `3` lineages``.

    References
    ----------
    .. [1] L. Velten et al., Nat. Cell Biol. 19 (2017).
    .. [2] M. Lange et al., Nat. Methods 19 (2022).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> cells, rim = fc.pl.simplex_frame(adata.obsm["lineages_fwd"])
    >>> cells.shape, rim.index.tolist()
    ((300, 2), ['A', 'B', 'C'])
    """
    from ferrocyte.pl._circle_order import MOST, shortest_tour, tour_distances

    m = fates.shape[1]
    if m < 3:
        raise InvalidDataError(
            f"Expected at least `3` lineages, found `{m}`. For two, see `log_odds` or "
            "`aggregate_fate_probabilities`."
        )
    if lineage_order is None:
        lineage_order = "optimal" if 4 <= m <= MOST else "default"
    check_option(lineage_order, "lineage_order", ("optimal", "default"))
    values = np.asarray(fates.X, dtype=np.float64)
    order = list(range(m))
    if lineage_order == "optimal":
        order = shortest_tour(tour_distances(values, metric))
    weights = values[:, order]
    if normalize_by_mean:
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = weights / weights.mean(axis=0)
            weights = weights / weights.sum(axis=1, keepdims=True)
        weights[~np.isfinite(weights).all(axis=1)] = 1.0 / m
    angles = 2 * np.pi * np.arange(m) / m
    corners = np.column_stack([np.cos(angles), np.sin(angles)])
    cells = pd.DataFrame(weights @ corners, columns=["x", "y"], index=index)
    rim = pd.DataFrame(
        {"angle": angles, "x": corners[:, 0], "y": corners[:, 1]},
        index=[str(fates.names[i]) for i in order],
    )
    return cells, rim


def circular_projection(
    adata: AnnData,
    keys: str | Sequence[str],
    backward: bool = False,
    lineages: str | Sequence[str] | None = None,
    early_cells: Mapping[str, Sequence[str]] | Sequence[Any] | NDArray[np.bool_] | None = None,
    lineage_order: LineageOrder | None = None,
    metric: str | Callable[..., Any] = "correlation",
    normalize_by_mean: bool = True,
    ncols: int = 4,
    space: float = 0.25,
    use_raw: bool = False,
    text_kwargs: Mapping[str, Any] | None = None,
    label_distance: float = 1.25,
    label_rot: Literal["default", "best"] | float = "best",
    show_edges: bool = True,
    key_added: str | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes | list[Axes] | None:
    """Draw cells in a circle by their fate probabilities, coloured by keys, one panel for each.

    Parameters
    ----------
    adata : AnnData
        With fate probabilities. Gets the coordinates in `obsm` (see `key_added`) and, for the keys
        ``"kl_divergence"`` and ``"entropy"``, `obs["lineages_fwd_<key>"]`.
    keys : str or list of str
        Columns of `obs`, genes, ``"kl_divergence"`` or ``"entropy"`` (see `Lineage.priming_degree`).
    backward : bool, default False
        Direction of the process.
    lineages : str or list of str, optional
        Which of them, at least 3; a comma joins several. Default: all.
    early_cells : dict, mask or names, optional
        Cells that ``"kl_divergence"`` compares with; default: all.
    lineage_order, metric, normalize_by_mean
        See :func:`simplex_frame`, which returns the numbers.
    ncols : int, default 4
        Panels per row.
    space : float, default 0.25
        Between panels, as a share of their size.
    use_raw : bool, default False
        Take genes from `adata.raw`.
    text_kwargs : dict, optional
        For ``matplotlib.axes.Axes.text``, names of lineages.
    label_distance : float, default 1.25
        Of the names from the middle, in radii.
    label_rot : {"best", "default"} or float, default "best"
        Turn names along the rim such that none stands on its head, or outwards and in several lines where
        they do not fit beside each other; along the rim; or by so many degrees.
    show_edges : bool, default True
        Draw the lines between neighbours on the rim and the circle.
    key_added : str, optional
        Key of `obsm` for the coordinates. Default: ``"X_fate_simplex_fwd"`` (or ``bwd``).
    figsize, dpi
        Of a new figure, in inches and dots per inch.
    save : path, optional
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    ax : matplotlib.axes.Axes, optional
        Draw here, if there is one panel.
    **kwargs
        How points look: `size` or `s`, `alpha`, `cmap`, `vmin`, `vmax`, `perc`, `palette`, `legend_loc`,
        `colorbar`, `layer` and so on, as for ``plot_projection``.

    Returns
    -------
    matplotlib.axes.Axes, list of them for several keys, or None
        None when the figure is shown.

    Raises
    ------
    MissingDataError
        If there are no fate probabilities or no such lineage.
    InvalidDataError
        For fewer than 3 lineages; says ``Expected at least `3` lineages``.
    InvalidOptionError
        If none of the keys is there, or an option is unknown.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> ax = fc.pl.circular_projection(adata, keys="cell_type", show=False)
    >>> ax.get_title()
    'cell_type'
    """
    from ferrocyte.pl._cells import draw_cells, draw_values
    from ferrocyte.pl._common import finish, is_shown, root_figure
    from ferrocyte.pl._keywords import CELL_KEYWORDS, FRAME_KEYWORDS, cell_style, sort_keywords
    from ferrocyte.pl._panels import panels

    options = sort_keywords(kwargs, (*CELL_KEYWORDS, *FRAME_KEYWORDS, "title"), "circular_projection")
    titles = options.pop("title", None)
    for unused in FRAME_KEYWORDS:
        options.pop(unused, None)
    style = cell_style(options, legend_loc="right margin")
    check_number(label_distance, "label_distance", above=0.0)
    check_number(space, "space", low=0.0)
    if isinstance(label_rot, str):
        check_option(label_rot, "label_rot", ("default", "best"))
    fates = Lineage.from_adata(adata, backward=backward)
    if lineages is not None:
        fates = fates[[lineages] if isinstance(lineages, str) else list(lineages)]
    names = _valid_keys(adata, keys, use_raw)
    cells, rim = simplex_frame(
        fates,
        lineage_order=lineage_order,
        metric=metric,
        normalize_by_mean=normalize_by_mean,
        index=adata.obs_names,
    )
    early = None if early_cells is None else _adata.cells_mask(adata, early_cells, "early_cells")
    measures = {k: fates.priming_degree(k, early) for k in MEASURES if k in names and k not in adata.obs}
    xy = cells.to_numpy()
    shown = [titles] if isinstance(titles, str) else list(titles or names)
    if len(shown) != len(names):
        raise InvalidOptionError(f"Expected `title` to have {len(names)} titles, found {len(shown)}.")
    outwards = label_rot == "best" and _crowded(rim, label_distance)
    more = 0.9 if outwards else 0.0
    if figsize is None and len(names) == 1:
        figsize = (6.4 + more, 4.8 + more)
    inches = (4.2 + more, 4.0 + more)
    with panels(len(names), ax, ncols=ncols, figsize=figsize, dpi=dpi, inches=inches) as (axes, ours):
        if ours and len(axes) > 1:
            root_figure(axes[0]).set_layout_engine("constrained", wspace=0.2 * space, hspace=0.2 * space)
        for panel, key, title in zip(axes, names, shown, strict=True):
            _draw_rim(panel, rim, show_edges=show_edges)
            if outwards:
                pad = _name_outwards(panel, rim, text_kwargs or {})
            else:
                pad = _name_along(panel, rim, label_distance, label_rot, text_kwargs or {})
            if key in measures:
                draw_values(panel, xy, measures[key], **_for_numbers(style))
            else:
                draw_cells(panel, adata, xy, key, use_raw=use_raw, **style)
            panel.set_title(title, pad=pad)
            reach = max(1.0, label_distance) + 0.1
            panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            panel.axis("off")
        finish(axes[0], save=save, show=show, dpi=dpi, ours=ours)
    # Last, so that a figure that fails leaves nothing behind.
    adata.obsm[key_added or _keys.fate_simplex(backward)] = xy
    for key, values in measures.items():
        adata.obs[f"{_keys.lineages(backward)}_{key}"] = values
    if is_shown(save, show, ours=ours):
        return None
    return axes[0] if len(axes) == 1 else axes


def _valid_keys(adata: AnnData, keys: str | Sequence[str], use_raw: bool) -> list[str]:
    given = list(dict.fromkeys([keys] if isinstance(keys, str) else list(keys)))
    if use_raw and adata.raw is None:
        raise MissingDataError("Unable to find `adata.raw`. Set it or pass `use_raw=False`.")
    genes = adata.raw.var_names if use_raw else adata.var_names
    known = [key for key in given if key in adata.obs or key in MEASURES or key in genes]
    if not known:
        everything = [*adata.obs.columns, *MEASURES, *genes]
        wrong = given[0] if given else ""
        raise InvalidOptionError(
            f"Expected columns of `adata.obs` or genes, found none of {given}.{suggest(wrong, everything)}"
        )
    return known


def _for_numbers(style: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in style.items() if k not in ("layer", "use_raw", "palette", "groups")}


def _draw_rim(ax: Axes, rim: pd.DataFrame, *, show_edges: bool) -> None:
    from ferrocyte.pl._common import shade

    corners = rim[["x", "y"]].to_numpy()
    if show_edges:
        around = np.linspace(0, 2 * np.pi, 361)
        ax.plot(np.cos(around), np.sin(around), color=shade(0.75), lw=0.8, zorder=0)
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            ax.plot([a[0], b[0]], [a[1], b[1]], color=shade(0.85), lw=0.8, zorder=0)
        for corner in corners:
            ax.plot([0, corner[0]], [0, corner[1]], color=shade(0.92), lw=0.6, zorder=0)
    ax.scatter(corners[:, 0], corners[:, 1], s=16, color=shade(0.25), zorder=2)


def _crowded(rim: pd.DataFrame, distance: float) -> bool:
    """Whether names along the rim of a panel of usual size would run into each other."""
    characters = np.array([len(str(name)) for name in rim.index])
    # of 1.5 inches is the circle, of 0.09 a character
    room = 2 * np.pi * distance * 1.5 / len(rim)
    return bool((0.09 * (characters + np.roll(characters, 1)) / 2 > room).any())


def _name_along(
    ax: Axes, rim: pd.DataFrame, distance: float, rotation: str | float, text_kwargs: Mapping[str, Any]
) -> float:
    """Names across the end of their spokes; the distance of the title above, in points."""
    for name, angle in rim["angle"].items():
        look = {"ha": "center", "va": "center", "rotation": _turn(float(angle), rotation), **text_kwargs}
        ax.text(distance * np.cos(angle), distance * np.sin(angle), str(name), **look)
    return 18.0


def _name_outwards(ax: Axes, rim: pd.DataFrame, text_kwargs: Mapping[str, Any]) -> float:
    """Names that go on where their spokes end; the distance of the title above, in points."""
    wrapped = [textwrap.fill(str(name), 18) for name in rim.index]
    for name, angle in zip(wrapped, rim["angle"], strict=True):
        degrees = float(np.rad2deg(angle)) % 360.0
        left = 90.0 < degrees < 270.0
        look = {
            "rotation": degrees - 180.0 if left else degrees, "rotation_mode": "anchor",
            "ha": "right" if left else "left", "va": "center", "fontsize": 8, **text_kwargs,
        }  # fmt: skip
        ax.text(1.08 * np.cos(angle), 1.08 * np.sin(angle), name, **look)
    return 0.6 * 8 * max(len(line) for name in wrapped for line in name.splitlines())


def _turn(angle: float, rotation: str | float) -> float:
    """Degrees by which a name on the rim is turned."""
    if not isinstance(rotation, str):
        return float(rotation)
    degrees = float(np.rad2deg(angle)) - 90.0
    if rotation == "default":
        return degrees
    return (degrees + 90.0) % 180.0 - 90.0
