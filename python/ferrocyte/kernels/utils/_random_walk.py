"""Random walks on a transition matrix."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _adata, _core
from ferrocyte._errors import (
    InvalidDataError,
    InvalidIndexError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
)
from ferrocyte._options import check_count, check_seed, draw_seed, no_effect
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads
from ferrocyte.kernels._matrix import as_csr, to_transition_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RandomWalk"]

# Row sums may be off by this much; those of matrices in single precision are.
TOLERANCE = 1e-5


class RandomWalk:
    """Simulates walks of cells: the next cell is drawn from the current one's row of the transition matrix.

    Parameters
    ----------
    adata : AnnData
        Annotated data of the cells.
    transition_matrix : ndarray or sparse matrix, shape (n_cells, n_cells)
        Rows sum to 1.
    start_ixs : dict, str or sequence, optional
        Cells where walks start, all by default: ``{obs_key: clusters}`` for a categorical column,
        ``{obs_key: [low, high]}``, both included, for a numeric one; a cell name; or a list of names, of
        positions, or of bools for all cells.
    stop_ixs : dict, str or sequence, optional
        Cells where walks stop, none by default.

    Raises
    ------
    InvalidDataError
        If the matrix is not square, is of another size than `adata`, or its rows do not sum to 1 (says
        ``Transition matrix is not row-stochastic.``); or if no cell is selected.
    InvalidTypeError, MissingDataError, InvalidOptionError, InvalidIndexError
        If cells can not be selected.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> young = {"dpt_pseudotime": [0, 0.1]}
    >>> walk = fc.kernels.utils.RandomWalk(adata, kernel.transition_matrix, start_ixs=young)
    >>> len(walk.simulate_many(10, max_iter=50, seed=0, show_progress_bar=False)[0])
    51
    """

    def __init__(
        self,
        adata: AnnData,
        transition_matrix: Any,
        start_ixs: Any = None,
        stop_ixs: Any = None,
    ) -> None:
        shape = tuple(np.shape(transition_matrix))
        n = adata.n_obs
        if shape != (n, n):
            raise InvalidDataError(
                f"Expected the transition matrix to be of shape `({n}, {n})`, a row and a column for each "
                f"cell "
                f"of `adata`, found `{shape}`."
            )
        matrix = as_csr(transition_matrix)
        sums = np.asarray(matrix.sum(axis=1)).ravel()
        if not (np.abs(sums - 1) <= TOLERANCE).all() or (matrix.nnz and matrix.data.min() < 0):
            raise InvalidDataError(
                "Transition matrix is not row-stochastic. Divide each row by its sum; entries must be at "
                "least 0."
            )
        self._adata = adata
        # What rounding to single precision has left is scaled away; a normalised matrix is used as it is.
        self._matrix = as_csr(to_transition_matrix(matrix, shape, adata.obs_names))
        self._starts = self._cells(start_ixs, "start_ixs")
        self._stops = self._cells(stop_ixs, "stop_ixs")

    @property
    def start_ixs(self) -> NDArray[np.int64]:
        """Positions of the cells where walks start."""
        return np.arange(self._adata.n_obs) if self._starts is None else self._starts

    @property
    def stop_ixs(self) -> NDArray[np.int64]:
        """Positions of the cells where walks stop."""
        return np.empty(0, dtype=np.int64) if self._stops is None else self._stops

    def simulate_one(
        self, max_iter: int | float = 0.25, seed: int | None = None, successive_hits: int = 0
    ) -> NDArray[np.int64]:
        """Simulate one walk.

        Parameters
        ----------
        max_iter : int or float, default 0.25
            Longest walk in steps, at least 2; a float is a fraction of the number of cells, rounded up.
        seed : int, optional
            Same seed, same walk.
        successive_hits : int, default 0
            The walk ends once `successive_hits + 1` steps in a row have led to `stop_ixs`; its start does not
            count.

        Returns
        -------
        ndarray of int64, shape (n_steps + 1,)
            Positions of the cells, from the start; `max_iter + 1` long unless stopped.

        Raises
        ------
        InvalidOptionError
            If a number is out of its range.
        """
        return self._simulate(1, max_iter, seed, successive_hits, 1, False)[0]

    def simulate_many(
        self,
        n_sims: int,
        max_iter: int | float = 0.25,
        seed: int | None = None,
        successive_hits: int = 0,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool = True,
    ) -> list[NDArray[np.int64]]:
        """Simulate many walks.

        Parameters
        ----------
        n_sims : int
            Number of walks.
        max_iter, seed, successive_hits
            See :meth:`simulate_one`.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores. Each walk has a random stream of
            its own, so the result does not depend on it.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.

        Returns
        -------
        list of ndarray of int64
            The walks; views of one array.

        Raises
        ------
        InvalidOptionError
            If a number is out of its range.
        """
        no_effect("backend", backend, "loky")
        n_sims = check_count(n_sims, "n_sims", what="simulations")
        return self._simulate(n_sims, max_iter, seed, successive_hits, threads(n_jobs), show_progress_bar)

    def plot(
        self,
        sims: Sequence[Any],
        basis: str = "umap",
        cmap: Any = "gnuplot",
        linewidth: float = 1.0,
        linealpha: float = 0.3,
        ixs_legend_loc: str | None = None,
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Axes | None:
        """Draw walks over the cells of an embedding.

        Parameters
        ----------
        sims : sequence of array of int
            Walks, as from :meth:`simulate_many`.
        basis : str, default "umap"
            `obsm["X_<basis>"]` or `obsm["<basis>"]`.
        cmap : str or Colormap, default "gnuplot"
            Colours of a walk, from its first to its last step.
        linewidth, linealpha : float, default 1.0 and 0.3
            Width in points and opacity of the lines.
        ixs_legend_loc : str, optional
            Where to put a legend for first and last cells.
        figsize, dpi, save
            Size in inches, resolution, path to save at.
        **kwargs
            To :func:`ferrocyte.pl.random_walks.plot_random_walks`: `show`, `ax`, and for the cells `color`,
            `size`, ...

        Returns
        -------
        matplotlib.axes.Axes or None
            The Axes if ``show=False``.

        Raises
        ------
        MissingDataError, InvalidDataError, InvalidIndexError, InvalidOptionError, InvalidTypeError
            If the embedding is not there, a walk leaves the cells, or an option is unknown.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
        >>> walk = fc.kernels.utils.RandomWalk(adata, kernel.transition_matrix)
        >>> sims = walk.simulate_many(5, max_iter=20, seed=0, show_progress_bar=False)
        >>> ax = walk.plot(sims, basis="umap", show=False)
        """
        from ferrocyte.pl.random_walks import plot_random_walks

        out = plot_random_walks(
            self._adata,
            sims,
            basis,
            cmap=cmap,
            linewidth=linewidth,
            linealpha=linealpha,
            ixs_legend_loc=ixs_legend_loc,
            start_ixs=self._starts,
            stop_ixs=self._stops,
            figsize=figsize,
            dpi=dpi,
            save=save,
            **kwargs,
        )
        return out if kwargs.get("show") is False else None

    def _simulate(
        self,
        n_sims: int,
        max_iter: int | float,
        seed: int | None,
        successive_hits: int,
        n_threads: int,
        show_progress_bar: bool,
    ) -> list[NDArray[np.int64]]:
        steps = self._steps(max_iter)
        # More hits than steps can not happen; the core counts in 64 bits.
        hits = min(
            check_count(successive_hits, "successive_hits", least=0, what="successive hits"), steps + 1
        )
        stops = None
        if self._stops is not None:
            stops = np.zeros(self._adata.n_obs, dtype=bool)
            stops[self._stops] = True
        checked = check_seed(seed)
        with progress_bar(show_progress_bar, unit="walk") as progress:
            cells, starts = _core.random_walks(
                self._matrix,
                np.ascontiguousarray(self.start_ixs, dtype=np.int64),
                stops,
                n_sims=n_sims,
                max_steps=steps,
                successive_hits=hits,
                seed=draw_seed() if checked is None else checked,
                threads=n_threads,
                progress=progress,
            )
        return np.split(cells, starts[1:-1])

    def _steps(self, max_iter: int | float) -> int:
        if isinstance(max_iter, bool) or not isinstance(max_iter, int | float | np.integer | np.floating):
            raise InvalidTypeError(f"Expected `max_iter` to be a number, found `{type(max_iter).__name__}`.")
        whole = isinstance(max_iter, int | np.integer)
        if not math.isfinite(max_iter):
            raise InvalidOptionError(f"Expected number of iterations to be finite, found {max_iter}.")
        steps = int(max_iter) if whole else math.ceil(max_iter * self._adata.n_obs)
        if steps <= 1:
            raise InvalidOptionError(f"Expected number of iterations to be above 1, found {steps}.")
        return steps

    def _cells(self, ixs: Any, name: str) -> NDArray[np.int64] | None:
        if ixs is None:
            return None
        if isinstance(ixs, Mapping):
            selected = np.flatnonzero(self._by_column(ixs, name))
        else:
            selected = self._by_list(ixs, name)
        if not len(selected):
            raise InvalidDataError(f"No cells have been selected by `{name}`. Choose others.")
        return selected.astype(np.int64)

    def _by_column(self, ixs: Mapping[str, Any], name: str) -> NDArray[np.bool_]:
        if len(ixs) != 1:
            raise InvalidOptionError(
                f"Expected `{name}` to have one key, a column of `obs`, found {len(ixs)}."
            )
        key, wanted = next(iter(ixs.items()))
        values = _adata.column(self._adata, key)
        if isinstance(values.dtype, pd.CategoricalDtype):
            return _adata.clusters_mask(self._adata, key, wanted, name)
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            if isinstance(wanted, str) or not isinstance(wanted, Sequence | np.ndarray) or len(wanted) != 2:
                raise InvalidOptionError(
                    f"Expected `{name}[{key!r}]` to be an interval [low, high], found {wanted!r}."
                )
            low, high = wanted
            if not all(isinstance(end, int | float | np.integer | np.floating) for end in (low, high)):
                raise InvalidTypeError(
                    f"Expected `{name}[{key!r}]` to be an interval of numbers, found {wanted!r}."
                )
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            inside = (numbers >= low) & (numbers <= high)
            if not inside.any():
                raise InvalidDataError(
                    f"No cells have been selected by `{name}`: none lies in [{low:g}, {high:g}]; "
                    f"`adata.obs[{key!r}]` goes from {np.nanmin(numbers):g} to {np.nanmax(numbers):g}."
                )
            return inside
        raise InvalidTypeError(
            f"Expected `adata.obs[{key!r}]` to be categorical or numeric, found type `{values.dtype}`. "
            f"Convert it with `adata.obs[{key!r}].astype('category')`."
        )

    def _by_list(self, ixs: Any, name: str) -> NDArray[np.int64]:
        n, names = self._adata.n_obs, self._adata.obs_names
        if isinstance(ixs, str) or not np.iterable(ixs):
            ixs = [ixs]
        wanted = np.asarray(ixs if hasattr(ixs, "__array__") else list(ixs))
        if wanted.ndim != 1:
            raise InvalidTypeError(
                f"Expected `{name}` to be a flat list of cells, found {wanted.ndim} dimensions."
            )
        if not len(wanted):
            return np.empty(0, dtype=np.int64)
        if wanted.dtype == bool:
            if len(wanted) != n:
                raise InvalidDataError(
                    f"Expected `{name}` to have {n} bools, one per cell, found {len(wanted)}."
                )
            return np.flatnonzero(wanted)
        if wanted.dtype.kind in "iu":
            for i in wanted:
                if i >= n or i < -n:
                    raise InvalidIndexError(f"Expected positions in `{name}` below {n} cells, found {i}.")
            return np.unique(wanted % n)
        if wanted.dtype.kind not in "OUST":
            raise InvalidTypeError(
                f"Expected `{name}` to hold names, positions or bools of cells, found type `{wanted.dtype}`."
            )
        at = names.get_indexer([str(w) for w in wanted]) if names.is_unique else None
        if at is None:
            raise InvalidDataError(
                f"Expected unique cell names to select `{name}` by name. Call "
                f"`adata.obs_names_make_unique()`."
            )
        if (at < 0).any():
            missing = str(wanted[int(np.argmax(at < 0))])
            raise MissingDataError(
                f"Unable to find cell {missing!r} of `{name}` in `adata.obs_names`.{suggest(missing, names)}"
            )
        return np.unique(at)
