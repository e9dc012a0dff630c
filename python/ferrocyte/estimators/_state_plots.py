"""Figures of states and fates as members of estimators."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ferrocyte import _keys
from ferrocyte._errors import FerrocyteWarning, InvalidOptionError, NotComputedError, nearest
from ferrocyte.estimators._plotted import Plotted
from ferrocyte.estimators._states import category_colors
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["StatePlotMembers"]

Which = Literal["all", "initial", "terminal", "initial_and_terminal"]
WHICH = ("all", "initial", "terminal", "initial_and_terminal")
_RESULT = {"all": "macrostates", "initial": "initial_states", "terminal": "terminal_states"}
_REMEDY = {
    "all": "`.compute_macrostates()`",
    "initial": "`.predict_initial_states()` or `.set_initial_states()`",
    "terminal": "`.predict_terminal_states()` or `.set_terminal_states()`",
}


class StatePlotMembers(Plotted):
    """The `plot_*` members for states and fates."""

    def plot_macrostates(
        self,
        which: Which,
        states: str | Sequence[str] | None = None,
        color: str | Sequence[str] | None = None,
        discrete: bool = True,
        mode: Literal["embedding", "time"] = "embedding",
        time_key: str = "latent_time",
        same_plot: bool = True,
        title: str | Sequence[str] | None = None,
        cmap: str | Colormap = "viridis",
        *,
        basis: str = "umap",
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | list[Axes] | None:
        """Plot macrostates on an embedding or along time.

        Parameters
        ----------
        which : {"all", "initial", "terminal", "initial_and_terminal"}
            All macrostates, those that are initial or terminal states, or both of these, then called
            ``"initial: <name>"`` and ``"terminal: <name>"``.
        states : str or sequence of str, optional
            Plot only these. With ``discrete=False`` also mixtures such as ``"a, b"``. Default: all.
        color : str or sequence of str, optional
            Keys of `obs` or genes. On an embedding each has a panel before those of the states; it has no
            effect with ``discrete=False`` and ``same_plot=True``. Along time the points have its colours.
        discrete : bool, default True
            Plot the cells that were assigned to states; else memberships of all cells. States that were not
            made from macrostates have no memberships, and are plotted as cells with a warning.
        mode : {"embedding", "time"}, default "embedding"
            Along time, memberships are drawn with one panel per state, cells with one row per state.
        time_key : str, default "latent_time"
            Column of `obs` with the time, for ``mode="time"``.
        same_plot : bool, default True
            One panel for all states; else one for each. Along time it has no effect.
        title : str or sequence of str, optional
            Of the figure, or one for each panel of states.
        cmap : str or Colormap, default "viridis"
            Colours of memberships in panels of their own. In one panel, cells have the colour of the state
            they belong to most, the stronger the more they do.
        basis : str, default "umap"
            `obsm["X_<basis>"]` or `obsm["<basis>"]`.
        ncols, figsize, dpi, save, show, ax
            Panels per row, size in inches, resolution, path to save at, whether to show, axes to draw in.
        **kwargs
            To :func:`ferrocyte.pl.plot_states`: `legend_loc`, `size`, `perc`, ...

        Returns
        -------
        matplotlib.axes.Axes, list of them or None
            The Axes if ``show=False``; a list if there are several panels.

        Raises
        ------
        NotComputedError
            If there are no such states; says ``Compute <which> states first``.
        InvalidOptionError
            If `which` is unknown; says ``Unable to plot``. If a state or an option is.
        MissingDataError
            If the embedding, the time, `color` or a lineage is not there.
        InvalidDataError
            If there is no annotated data, or the time is not finite.

        See Also
        --------
        ferrocyte.pl.states_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> g.plot_macrostates("all", discrete=True, legend_loc="right", save="states.png")
        """
        if which not in WHICH:
            close = nearest(which, WHICH)
            hint = f" Did you mean {close!r}?" if close is not None else ""
            listed = ", ".join(repr(w) for w in WHICH)
            raise InvalidOptionError(f"Unable to plot {which!r} states.{hint} Valid options: {listed}.")
        adata = self._plotted_adata()
        values, colors = self._states_to_plot(which, discrete)
        from ferrocyte.pl.states import plot_states

        if mode == "time" and isinstance(values, Lineage):
            kwargs.setdefault("ylabel", "membership")
        out = plot_states(
            adata, values, subset=states, colors=colors, color=color, mode=mode, time_key=time_key,
            basis=basis, same_plot=same_plot, title=title, name=f"{which.replace('_', ' ')} states",
            cmap=cmap, ncols=ncols, figsize=figsize, dpi=dpi, save=save, show=show, ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None

    def _states_to_plot(self, which: str, discrete: bool) -> tuple[Any, dict[str, str] | None]:
        """Memberships, or cells with the colours of their states."""
        kinds = ("initial", "terminal") if which == "initial_and_terminal" else (which,)
        for kind in kinds:
            if self._results.get(_RESULT[kind]) is None:
                remedy = f"as {_REMEDY[kind]}"
                if kind == "all" and not hasattr(self, "compute_macrostates"):
                    remedy = f"with GPCCA: {type(self).__name__} finds no other states than terminal ones"
                raise NotComputedError(f"Compute {kind} states first {remedy}.")
        if not discrete:
            parts = [self._results.get(f"{_RESULT[kind]}_memberships") for kind in kinds]
            if all(part is not None for part in parts):
                return self._join_memberships(kinds, parts), None
            warnings.warn(
                f"There are no memberships of {which.replace('_', ' ')} states, which were not made from "
                "macrostates. Plotting the cells in them.",
                FerrocyteWarning,
                stacklevel=3,
            )
        cells = [(self._results.get(_RESULT[kind]), self._state_colors(kind)) for kind in kinds]
        if len(cells) == 1:
            return cells[0]
        from ferrocyte.pl.states import merge_states

        return merge_states(*cells)

    def _join_memberships(self, kinds: Sequence[str], parts: Sequence[Lineage]) -> Lineage:
        names, colors = [], []
        for kind, part in zip(kinds, parts, strict=True):
            shades = self._state_colors(kind)
            own = zip(part.names.tolist(), part.colors.tolist(), strict=True)
            for name, color in own:
                names.append(name if len(kinds) == 1 else f"{kind}: {name}")
                colors.append(shades.get(name, color))
        return Lineage(np.hstack([part.X for part in parts]), names=names, colors=colors)

    def _state_colors(self, kind: str) -> dict[str, str]:
        """Those in the annotated data, where a user may have changed them, else those of the estimator."""
        name = _RESULT[kind]
        keys = {
            "all": _keys.macrostates(self.backward),
            "initial": _keys.states(self.backward, initial=True),
            "terminal": _keys.states(self.backward),
        }
        names = [str(c) for c in self._results.get(name).cat.categories]
        colors = self._results.get(f"{name}_colors")
        adata = self.kernel._require_adata()
        if colors is None or _keys.colors(keys[kind]) in adata.uns:
            colors = category_colors(adata, keys[kind], len(names))
        return dict(zip(names, colors, strict=True))

    def plot_fate_probabilities(
        self,
        states: str | Sequence[str] | None = None,
        color: str | Sequence[str] | None = None,
        mode: Literal["embedding", "time"] = "embedding",
        time_key: str | None = None,
        same_plot: bool = True,
        title: str | Sequence[str] | None = None,
        cmap: str | Colormap = "viridis",
        *,
        basis: str = "umap",
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes | list[Axes] | None:
        """Plot fate probabilities on an embedding or along time.

        Parameters
        ----------
        states : str or sequence of str, optional
            Plot only these, also mixtures such as ``"a, b"``. Default: all.
        color : str or sequence of str, optional
            Keys of `obs` or genes. On an embedding each has a panel before those of the fates, unless they
            share one. Along time the points have its colours.
        mode : {"embedding", "time"}, default "embedding"
            Along time there is one panel per fate.
        time_key : str, optional
            Column of `obs` with the time; needed for ``mode="time"``.
        same_plot : bool, default True
            One panel for all fates; else one for each. Along time it has no effect.
        title : str or sequence of str, optional
            Of the figure, or one for each panel of fates.
        cmap : str or Colormap, default "viridis"
            Colours of probabilities in panels of their own. In one panel, cells have the colour of their most
            likely fate, the stronger the more likely it is.
        basis : str, default "umap"
            `obsm["X_<basis>"]` or `obsm["<basis>"]`.
        ncols, figsize, dpi, save, show, ax
            Panels per row, size in inches, resolution, path to save at, whether to show, axes to draw in.
        **kwargs
            To :func:`ferrocyte.pl.plot_states`: `legend_loc`, `size`, `perc`, `vmax`, ...

        Returns
        -------
        matplotlib.axes.Axes, list of them or None
            The Axes if ``show=False``; a list if there are several panels.

        Raises
        ------
        NotComputedError
            If there are no fate probabilities.
        MissingDataError
            If the embedding, the time, `color` or a fate is not there.
        InvalidOptionError, InvalidDataError
            If an option is out of range, there is no annotated data, or the time is not finite.

        See Also
        --------
        ferrocyte.pl.states_frame : The numbers behind the figure.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> g.plot_fate_probabilities(same_plot=False, save="fates.png")
        """
        adata = self._plotted_adata()
        fates = self._require("fate_probabilities")
        from ferrocyte.pl.states import plot_states

        out = plot_states(
            adata, fates, subset=states, color=color, mode=mode, time_key=time_key, basis=basis,
            same_plot=same_plot, title=title, name="fate probabilities", cmap=cmap, ncols=ncols,
            figsize=figsize, dpi=dpi, save=save, show=show, ax=ax, **kwargs,
        )  # fmt: skip
        return out if show is False else None
