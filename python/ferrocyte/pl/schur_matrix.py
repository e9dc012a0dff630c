"""The projection of a transition matrix on its Schur vectors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ferrocyte._errors import InvalidDataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["plot_schur_matrix", "schur_frame"]


def schur_frame(schur_matrix: ArrayLike) -> pd.DataFrame:
    """Entries of a real Schur matrix that are not zero by its shape.

    Parameters
    ----------
    schur_matrix : array-like of float, shape (n_components, n_components)
        Quasi-triangular: blocks of one real or two complex conjugate eigenvalues on the diagonal.

    Returns
    -------
    pandas.DataFrame
        Shape `(n_components, n_components)`, rows and columns counted from 1; NaN below the blocks.

    Raises
    ------
    InvalidDataError
        If it is not a square matrix of finite numbers.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> fc.pl.schur_frame(g.schur_matrix).shape
    (10, 10)
    """
    values = np.array(schur_matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise InvalidDataError(f"Expected a square Schur matrix, found shape {values.shape}.")
    if not np.isfinite(values).all():
        raise InvalidDataError("Expected a Schur matrix of finite numbers, found NaN or infinite ones.")
    below = np.tril(np.ones(values.shape, dtype=bool), -1)
    for i in range(len(values) - 1):
        if values[i + 1, i] != 0:
            below[i + 1, i] = False
    values[below] = np.nan
    ranks = pd.RangeIndex(1, len(values) + 1)
    return pd.DataFrame(values, index=ranks, columns=ranks)


def plot_schur_matrix(
    table: pd.DataFrame,
    *,
    title: str | None = "schur matrix",
    cmap: str | Colormap = "viridis",
    annotate: bool = True,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = 80,
    save: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw a Schur matrix as squares; blocks of two complex eigenvalues are framed.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`schur_frame`.
    title : str, optional
        Default: ``"schur matrix"``.
    cmap : str or Colormap, default "viridis"
        Colours of the values.
    annotate : bool, default True
        Write the values.
    figsize, dpi
        Of a new figure, in inches and dots per inch; `dpi` also when saving. Default: as large as the
        number of values asks for, at 80 dots.
    save : path, optional
        Save here; `.png` is added without a suffix.
    show : bool, optional
        Default: show in an interactive session.
    ax : matplotlib.axes.Axes, optional
        Draw here; a new figure by default.
    **kwargs
        For :meth:`matplotlib.axes.Axes.imshow`, and `vmin`, `vmax`, `cbar` (True) and `fmt` (``".2f"``).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidOptionError
        If the colour map is unknown.
    InvalidTypeError
        For an unknown keyword.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
    >>> ax = fc.pl.plot_schur_matrix(fc.pl.schur_frame(g.schur_matrix), show=False)
    """
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    from ferrocyte.pl._common import drawing, finish, ink, known_keywords
    from ferrocyte.pl._heatmap import add_bar, as_colormap, draw_squares, write_numbers

    colors = as_colormap(cmap)
    values = table.to_numpy(dtype=np.float64)
    n = len(values)
    vmin, vmax, bar = kwargs.pop("vmin", None), kwargs.pop("vmax", None), kwargs.pop("cbar", True)
    fmt = kwargs.pop("fmt", ".2f")
    norm = Normalize(np.nanmin(values) if vmin is None else vmin, np.nanmax(values) if vmax is None else vmax)
    if figsize is None:
        side = float(np.clip(0.55 * n + 1.0, 3.5, 10.0))
        figsize = (side + 0.8, side)
    with drawing(ax, figsize, dpi) as (axes, ours):
        with known_keywords("plot_schur_matrix"):
            image = draw_squares(axes, values, norm, colors, **kwargs)
        for i in range(n - 1):
            if np.isfinite(values[i + 1, i]):
                frame = Rectangle((i - 0.5, i - 0.5), 2, 2, fill=False, edgecolor=ink(), linewidth=1.5)
                axes.add_patch(frame)
        every = max(1, -(-n // 25))
        axes.set_xticks(range(0, n, every), [str(c) for c in table.columns[::every]])
        axes.set_yticks(range(0, n, every), [str(r) for r in table.index[::every]])
        axes.xaxis.tick_top()  # the squares of a triangle touch the upper edge
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(title or "")
        if bar:
            add_bar(axes, image)
        if annotate:
            write_numbers(axes, image, {}, fmt=fmt)
        finish(axes, save=save, show=show, dpi=dpi, ours=ours)
    return axes
