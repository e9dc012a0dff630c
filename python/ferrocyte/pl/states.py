"""Cells of states, memberships and fate probabilities: on an embedding or along time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ferrocyte import _adata, _keys
from ferrocyte._colors import default_colors
from ferrocyte._errors import InvalidDataError, InvalidOptionError, MissingDataError, suggest
from ferrocyte._options import check_option
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["merge_states", "plot_states", "states_frame"]

Mode = Literal["embedding", "time"]
NONE_CHOSEN = "Expected at least 1 state in `states`, found none. Pass `None` for all."


def states_frame(
    adata: AnnData,
    states: pd.Series | Lineage,
    *,
    subset: str | Sequence[str] | None = None,
    basis: str = "umap",
    components: str | Sequence[int] = (1, 2),
    time_key: str | None = None,
) -> pd.DataFrame:
    """Place of each cell and its state, or how much it belongs to each.

    Parameters
    ----------
    adata : AnnData
        With the embedding in `obsm` or the time in `obs`. Not changed.
    states : pandas.Series or Lineage
        Of `n_cells`: a categorical, missing for cells that are in no state; or memberships or probabilities.
    subset : str or sequence of str, optional
        States to keep, in this order. Of a `Lineage` also mixtures such as ``"a, b"``. Default: all.
    basis : str, default "umap"
        `obsm["X_<basis>"]` or `obsm["<basis>"]`.
    components : str or sequence of int, default (1, 2)
        Which two columns of it, counted from 1.
    time_key : str, optional
        Column of `obs` with a time, to use instead of the embedding.

    Returns
    -------
    pandas.DataFrame
        One row per cell, indexed by name: the coordinates (`<basis>1` and `<basis>2`) or the time
        (`<time_key>`), then `state` (categorical) or one column of numbers per state.

    Raises
    ------
    MissingDataError
        If the embedding, the time or a lineage is not there.
    InvalidOptionError
        If a state is not there.
    InvalidDataError
        If `states` are of another length, or the time is not finite.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    >>> fc.pl.states_frame(adata, g.macrostates).columns.tolist()
    ['umap1', 'umap2', 'state']
    """
    if len(states) != adata.n_obs:
        raise InvalidDataError(f"Expected states of {adata.n_obs} cells, found {len(states)}.")
    if time_key is not None:
        time = _adata.numeric_column(adata, time_key, "time", "time_key")
        table = pd.DataFrame({time_key: time}, index=adata.obs_names)
    else:
        from ferrocyte.pl._common import component_indices, embedding_coordinates

        xy = embedding_coordinates(adata, basis, components)
        numbers = component_indices(components, _n_columns(adata, basis))
        name = basis.removeprefix("X_")
        table = pd.DataFrame(xy, index=adata.obs_names, columns=[f"{name}{i + 1}" for i in numbers])
    if isinstance(states, Lineage):
        chosen = _some_lineages(states, subset)
        values = pd.DataFrame(chosen.X, index=adata.obs_names, columns=chosen.names.tolist())
        return pd.concat([table, values], axis=1)
    kept = _some_states(states, subset)
    return table.assign(state=pd.Categorical(kept, kept.categories))


def _n_columns(adata: AnnData, basis: str) -> int:
    key = next(k for k in _keys.basis_candidates(basis) if k in adata.obsm)
    return int(adata.obsm[key].shape[1])


def _some_lineages(values: Lineage, subset: str | Sequence[str] | None) -> Lineage:
    if subset is None:
        return values
    wanted = [subset] if isinstance(subset, str) else list(subset)
    if not wanted:
        raise InvalidOptionError(NONE_CHOSEN)
    chosen: Lineage = values[wanted]
    return chosen


def _some_states(states: pd.Series, subset: str | Sequence[str] | None) -> pd.Categorical:
    values = pd.Categorical(states)
    values = values.rename_categories([str(c) for c in values.categories])
    if subset is None:
        return values
    wanted = list(dict.fromkeys([subset] if isinstance(subset, str) else [str(s) for s in subset]))
    for name in wanted:
        if name not in values.categories:
            raise InvalidOptionError(f"Invalid state {name!r}.{suggest(name, values.categories)}")
    if not wanted:
        raise InvalidOptionError(NONE_CHOSEN)
    return values.set_categories(wanted)


def merge_states(
    initial: tuple[pd.Series, Mapping[str, str]], terminal: tuple[pd.Series, Mapping[str, str]]
) -> tuple[pd.Series, dict[str, str]]:
    """Initial and terminal states as one set, called ``"initial: <name>"`` and ``"terminal: <name>"``.

    Parameters
    ----------
    initial, terminal : (pandas.Series, mapping)
        Categorical over the same cells, and the colour of each state.

    Returns
    -------
    pandas.Series
        Categorical; a cell that is both counts as terminal.
    dict
        Colours by the new names.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import pandas as pd
    >>> initial = pd.Series(["a", None, None], dtype="category")
    >>> terminal = pd.Series([None, "b", "b"], dtype="category")
    >>> states, colors = fc.pl.merge_states((initial, {"a": "red"}), (terminal, {"b": "blue"}))
    >>> states.tolist()
    ['initial: a', 'terminal: b', 'terminal: b']
    """
    colors: dict[str, str] = {}
    merged = np.full(len(terminal[0]), None, dtype=object)
    for prefix, (states, shades) in (("initial", initial), ("terminal", terminal)):
        values = _some_states(states, None)
        names = [f"{prefix}: {c}" for c in values.categories]
        colors.update(zip(names, [shades[c] for c in values.categories], strict=True))
        inside = values.codes >= 0
        merged[inside] = np.asarray(names, dtype=object)[values.codes[inside]]
    return pd.Series(pd.Categorical(merged, list(colors)), index=terminal[0].index), colors


def plot_states(
    adata: AnnData,
    states: pd.Series | Lineage,
    *,
    subset: str | Sequence[str] | None = None,
    colors: Mapping[str, str] | None = None,
    color: str | Sequence[str] | None = None,
    mode: Mode = "embedding",
    time_key: str | None = None,
    basis: str = "umap",
    same_plot: bool = True,
    title: str | Sequence[str] | None = None,
    name: str | None = None,
    cmap: Any = "viridis",
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Draw states, memberships or fate probabilities over the cells.

    Parameters
    ----------
    adata : AnnData
        With the embedding or the time. Not changed.
    states : pandas.Series or Lineage
        Of `n_cells`. A categorical is drawn as cells in the colours of their states over the others in grey;
        a `Lineage` as a colour scale.
    subset : str or sequence of str, optional
        States to draw. Default: all.
    colors : mapping, optional
        Colour of each state of a categorical. Default: the first of 62 fixed ones. A `Lineage` has its own.
    color : str or sequence of str, optional
        On an embedding: keys of `obs` or genes, each with a panel before those of the states; has no effect
        for a `Lineage` in one panel. Along time: what the points are coloured by; default: the clustering, if
        it has a usual name, and the colour of its state for a categorical.
    mode : {"embedding", "time"}, default "embedding"
        Along time a `Lineage` is drawn with one panel per state, values against time; a categorical with one
        row of cells per state.
    time_key : str, optional
        Column of `obs` with the time, for ``mode="time"``.
    basis : str, default "umap"
        `obsm["X_<basis>"]` or `obsm["<basis>"]`.
    same_plot : bool, default True
        On an embedding: one panel for all states; else one for each. In one panel, a cell of a `Lineage` has
        the colour of the state it belongs to most, the stronger the more it does: grey at `vmin`, by default
        one over the number of states, full at `vmax`, by default the largest value.
    title : str or sequence of str, optional
        A string is the title of the figure, a sequence has one for each panel of states.
    name : str, optional
        What is shown, for the default title.
    cmap : str or Colormap, default "viridis"
        Of a `Lineage` with one panel for each state.
    ncols : int, optional
        Panels per row.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session, unless the figure is saved.
    ax : matplotlib.axes.Axes, optional
        Draw here, where there is one panel; a new figure by default.
    **kwargs
        `components`, `layer`, `use_raw`, `size` or `s` (square points), `alpha`, `palette`, `groups`, `vmin`,
        `vmax`, `perc` (colour limits as percentiles), `sort_order`, `na_color`, `marker`, `colorbar`,
        `legend_loc` (`"on data"`, `"right"`, `"none"`, or a place such as `"upper right out"`),
        `legend_fontsize`, `legend_fontweight`, `legend_fontoutline`, `frameon`, `xlabel`, `ylabel`,
        `fontsize`, `xlim`, `ylim`; see :func:`plot_projection`.

    Returns
    -------
    matplotlib.axes.Axes
        Or a list of them if there are several panels.

    Raises
    ------
    MissingDataError
        If the embedding, the time, `color` or a lineage is not there.
    InvalidOptionError
        If a state is not there, or an option is out of range.
    InvalidDataError
        If `states` are of another length, or the time is not finite.
    InvalidTypeError
        For an unknown keyword; the message lists close ones.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
    >>> ax = fc.pl.plot_states(adata, g.macrostates_memberships, show=False)
    """
    from ferrocyte.pl._common import category_colors, finish, root_figure
    from ferrocyte.pl._heatmap import as_colormap
    from ferrocyte.pl._keywords import CELL_KEYWORDS, FRAME_KEYWORDS, sort_keywords
    from ferrocyte.pl._panels import panels, spread_titles
    from ferrocyte.pl._state_panels import StatePanels

    options = sort_keywords(kwargs, (*CELL_KEYWORDS, *FRAME_KEYWORDS, "components"), "plot_states")
    check_option(mode, "mode", ("embedding", "time"))
    components = options.pop("components", None) or (1, 2)
    frame = {key: options.pop(key, None) for key in FRAME_KEYWORDS}
    options.setdefault("cmap", cmap)
    as_colormap(options["cmap"])
    along_time = mode == "time"
    if along_time and time_key is None:
        raise MissingDataError("Expected `time_key` to name a time in `adata.obs` for `mode='time'`.")
    chosen: Any = _some_lineages(states, subset) if isinstance(states, Lineage) else states
    gradual = isinstance(chosen, Lineage)
    table = states_frame(
        adata, chosen, subset=None if gradual else subset, basis=basis, components=components,
        time_key=time_key if along_time else None,
    )  # fmt: skip
    if isinstance(chosen, Lineage):
        shades = dict(zip(chosen.names.tolist(), chosen.colors.tolist(), strict=True))
    else:
        shades = _shades(states, list(table["state"].cat.categories), colors)
    if options.get("palette") is not None:
        shades = category_colors(None, None, list(shades), options["palette"])
    picture = StatePanels(adata, table, shades, frame, options)

    extra = [] if color is None or along_time else [color] if isinstance(color, str) else list(color)
    if gradual and same_plot:
        extra = []
    one = not gradual if along_time else same_plot
    names = [""] if one else list(shades)
    whole, titles = spread_titles(title, [name or ""] if one else names)
    if title is None and not one:
        whole = name
    with panels(len(extra) + len(names), ax, ncols=ncols, figsize=figsize, dpi=dpi) as (axes, ours):
        for panel, key in zip(axes, extra, strict=False):
            picture.cells(panel, key)
        if along_time and gradual:
            picture.values_in_time(axes, titles, color)
        elif along_time:
            picture.states_in_time(axes[0], titles[0], color)
        for panel, text, state in () if along_time else zip(axes[len(extra) :], titles, names, strict=True):
            if gradual and same_plot:
                picture.blended(panel, text)
            elif gradual:
                picture.values(panel, text, state)
            else:
                picture.states(panel, text, list(shades) if same_plot else [state])
        if whole:
            root_figure(axes[0]).suptitle(whole)
        finish(axes[0], save=save, show=show, dpi=dpi, ours=ours)
    return axes[0] if len(axes) == 1 else axes


def _shades(states: pd.Series, names: Sequence[str], colors: Mapping[str, str] | None) -> dict[str, str]:
    """Colours of the chosen states: those given, else the default ones of all states."""
    if colors is None:
        everyone = [str(c) for c in pd.Categorical(states).categories]
        colors = dict(zip(everyone, default_colors(len(everyone)), strict=True))
    missing = [n for n in names if n not in colors]
    if missing:
        raise InvalidOptionError(f"Expected `colors` to have one for each state, found none for {missing!r}.")
    return {n: colors[n] for n in names}
