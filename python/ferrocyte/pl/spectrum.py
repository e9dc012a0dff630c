"""Eigenvalues of a transition matrix."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrocyte._options import check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_spectrum", "spectrum_frame"]

_REAL, _COMPLEX = "#0072b2", "#d55e00"


def spectrum_frame(eigendecomposition: Mapping[str, Any], n: int | None = None) -> pd.DataFrame:
    """Eigenvalues as a table.

    Parameters
    ----------
    eigendecomposition : mapping
        With the eigenvalues `D`, complex, shape `(n_eigenvalues,)`, and `eigengap`, int.
    n : int, optional
        Take the first `n`. Default: all; so it is when there are fewer.

    Returns
    -------
    pandas.DataFrame
        Indexed by rank, from 1: `real`, `imag`, `modulus` (float), `complex` and `above_gap` (bool).

    Raises
    ------
    InvalidOptionError
        If `n` is not positive.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> fc.pl.spectrum_frame(g.eigendecomposition, n=3).columns.tolist()
    ['real', 'imag', 'modulus', 'complex', 'above_gap']
    """
    values = np.asarray(eigendecomposition["D"], dtype=np.complex128)
    if n is not None:
        values = values[: check_count(n, "n")]
    ranks = pd.RangeIndex(1, len(values) + 1, name="index")
    gap = int(eigendecomposition["eigengap"])
    return pd.DataFrame(
        {
            "real": values.real,
            "imag": values.imag,
            "modulus": np.abs(values),
            "complex": values.imag != 0,
            "above_gap": np.arange(len(values)) <= gap,
        },
        index=ranks,
    )


def plot_spectrum(
    table: pd.DataFrame,
    *,
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
) -> Axes:
    """Draw eigenvalues by rank, or in the complex plane.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`spectrum_frame`.
    real_only : bool, optional
        Real parts against the rank (True, the default), or the complex plane with the unit circle (False).
    show_eigengap : bool, default True
        Draw a line in the gap.
    show_all_xticks : bool, default True
        A tick for each rank; else as many as matplotlib finds fit.
    legend_loc : str, optional
        Such as `"upper right"`; `None`: no legend.
    title : str, optional
        Default: says what is shown.
    marker : str, default "."
        Of matplotlib's.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving. Default: 5 x 5 at 100.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        For :meth:`matplotlib.axes.Axes.scatter`, such as `s`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidOptionError
        If the legend position is unknown.
    InvalidTypeError
        For an unknown keyword.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> ax = fc.pl.plot_spectrum(fc.pl.spectrum_frame(g.eigendecomposition), show=False)
    """
    from ferrocyte.pl._common import drawing, finish, ink, known_keywords, legend_place, place_legend

    legend_place(legend_loc)
    flat = real_only is None or real_only
    n = len(table)
    style: dict[str, Any] = {"marker": marker, "s": 60, "zorder": 3, **kwargs}
    with drawing(ax, figsize, dpi) as (axes, ours):
        handles: list[Any] = []
        for kind, color in (("real", _REAL), ("complex", _COMPLEX)):
            rows = table[table["complex"] == (kind == "complex")]
            if rows.empty:
                continue
            x, y = (rows.index, rows["real"]) if flat else (rows["real"], rows["imag"])
            look = {"color": color, "label": f"{kind} eigenvalue", **style}
            with known_keywords("plot_spectrum"):
                handles.append(axes.scatter(x, y, **look))
        line = _gap(table, flat)
        if show_eigengap and line is not None:
            handles.append(
                axes.axvline(line, color=ink(), linestyle="--", lw=1.2, label="eigengap", zorder=2)
            )
        if flat:
            if show_all_xticks:
                axes.set_xticks(table.index)
                if n > 20:
                    axes.tick_params(
                        axis="x", labelsize=max(4.0, 10 - 0.12 * n), rotation=90 if n > 30 else 0
                    )
            axes.set_xlabel("index")
            axes.set_ylabel(r"$\mathrm{Re}(\lambda_i)$")
        else:
            angle = np.linspace(0, 2 * np.pi, 400)
            axes.plot(np.cos(angle), np.sin(angle), color=ink(), lw=0.8, zorder=1, label="_circle")
            axes.set_aspect("equal")
            axes.set_xlabel(r"$\mathrm{Re}(\lambda)$")
            axes.set_ylabel(r"$\mathrm{Im}(\lambda)$")
        axes.set_title(
            f"{'real parts of the ' if flat else ''}top {n} eigenvalues" if title is None else title
        )
        place_legend(axes, legend_loc, handles, frameon=False)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes


def _gap(table: pd.DataFrame, flat: bool) -> float | None:
    """Where the line goes: midway between the last eigenvalue above the gap and the first one below."""
    n_above = int(table["above_gap"].sum())
    if flat:
        return n_above + 0.5
    if n_above == len(table):
        return None
    falling = np.sort(table["real"].to_numpy())[::-1]
    return float(falling[n_above - 1] + falling[n_above]) / 2
