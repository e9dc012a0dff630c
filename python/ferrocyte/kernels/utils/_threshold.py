"""Schemes that weaken the edges of a graph into the pseudotemporal past."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidTypeError
from ferrocyte._options import check_number, no_effect
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads
from ferrocyte._sparse import canonical_csr
from ferrocyte.kernels._matrix import csr_from_parts
from ferrocyte.kernels.utils._chunks import for_chunks

__all__ = ["CustomThresholdScheme", "HardThresholdScheme", "SoftThresholdScheme", "ThresholdSchemeABC"]


class ThresholdSchemeABC(ABC):
    """Base of all schemes; one of your own defines `__call__`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> class Future(fc.kernels.utils.ThresholdSchemeABC):
    ...     def __call__(self, cell_pseudotime, neigh_pseudotime, neigh_conn):
    ...         return neigh_conn * (neigh_pseudotime > cell_pseudotime - 0.1)
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="dpt_pseudotime")
    >>> kernel.compute_transition_matrix(threshold_scheme=Future(), show_progress_bar=False)
    PseudotimeKernel[n=200, dnorm=False, scheme='<Future>']
    """

    @abstractmethod
    def __call__(
        self,
        cell_pseudotime: float,
        neigh_pseudotime: NDArray[np.float64],
        neigh_conn: NDArray[np.float64],
        **kwargs: Any,
    ) -> NDArray[np.float64]:
        """Compute the biased weights of one cell.

        Parameters
        ----------
        cell_pseudotime : float
            Pseudotime of the cell.
        neigh_pseudotime : ndarray, shape (n_neighbors,)
            Pseudotime of its neighbors.
        neigh_conn : ndarray, shape (n_neighbors,)
            Weights of its neighbors.
        **kwargs
            Of the scheme.

        Returns
        -------
        ndarray, shape (n_neighbors,)
            New weights, at least 0.
        """

    def bias_knn(
        self,
        conn: sp.csr_matrix,
        pseudotime: ArrayLike,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool = True,
        **kwargs: Any,
    ) -> sp.csr_matrix:
        """Bias a whole graph.

        Parameters
        ----------
        conn : sparse matrix, shape (n_cells, n_cells)
            Weights, at least 0. Not changed.
        pseudotime : array-like, shape (n_cells,)
            Finite.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores. The result does not depend on it.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.
        **kwargs
            Of the scheme.

        Returns
        -------
        scipy.sparse.csr_matrix
            Biased weights; zeros are removed. Rows are not normalised.

        Raises
        ------
        InvalidDataError
            If shapes do not match, the pseudotime is not finite, or the scheme returns another number of
            weights (says ``Expected row of shape``), NaN or negative ones.
        """
        no_effect("backend", backend, "loky")
        graph, time = _check(conn, pseudotime)
        return self._bias(graph, time, threads(n_jobs), show_progress_bar, kwargs)

    def _bias(
        self,
        graph: sp.csr_matrix,
        time: NDArray[np.float64],
        n_threads: int,
        show_progress_bar: bool,
        kwargs: dict[str, Any],
    ) -> sp.csr_matrix:
        """One call for each cell."""
        out = np.empty_like(graph.data)
        indptr, indices, data = graph.indptr.tolist(), graph.indices, graph.data

        def work(cells: range, stop: threading.Event) -> None:
            for i in cells:
                if stop.is_set():
                    return
                start, end = indptr[i], indptr[i + 1]
                # Copies: what a scheme does to its arguments stays with the scheme.
                row = np.asarray(
                    self(float(time[i]), time[indices[start:end]], data[start:end].copy(), **kwargs)
                )
                if row.shape != (end - start,):
                    raise InvalidDataError(
                        f"Expected row of shape `{(end - start,)}`, found `{row.shape}` from {self}. "
                        "Return one weight for each neighbor.",
                        cells=[i],
                    )
                if row.dtype.kind not in "buif":
                    raise InvalidDataError(
                        f"Expected numbers from {self}, found type `{row.dtype}`.", cells=[i]
                    )
                out[start:end] = row

        for_chunks(graph.shape[0], work, threads=n_threads, show_progress_bar=show_progress_bar)
        bad = np.flatnonzero(~(np.isfinite(out) & (out >= 0)))
        if len(bad):
            cell = int(np.searchsorted(graph.indptr, bad[0], side="right") - 1)
            raise InvalidDataError(
                f"Expected finite weights >= 0 from {self}, found {out[bad[0]]}.", cells=[cell]
            )
        biased = sp.csr_matrix((out, graph.indices.copy(), graph.indptr.copy()), shape=graph.shape)
        biased.eliminate_zeros()
        return biased

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __str__(self) -> str:
        return repr(self)


class HardThresholdScheme(ThresholdSchemeABC):
    """Removes edges into the past, except to the closest neighbors; inspired by Palantir [1]_.

    With `n` neighbors, the `min(30, floor(frac_to_keep * n))` ones of largest weight are kept whatever their
    time; of the others those that are not earlier than the cell. Kept edges keep their weight.

    References
    ----------
    .. [1] M. Setty et al., Characterization of cell fate probabilities in single-cell data with Palantir,
       Nat. Biotechnol. 37 (2019).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> scheme = fc.kernels.utils.HardThresholdScheme()
    >>> scheme(0.5, np.array([0.1, 0.2, 0.5, 0.9]), np.array([0.3, 0.9, 0.2, 0.1]), frac_to_keep=0.25)
    array([0. , 0.9, 0.2, 0.1])
    """

    def __call__(  # type: ignore[override]
        self,
        cell_pseudotime: float,
        neigh_pseudotime: NDArray[np.float64],
        neigh_conn: NDArray[np.float64],
        frac_to_keep: float = 0.3,
    ) -> NDArray[np.float64]:
        """Compute the weights of one cell.

        Parameters
        ----------
        cell_pseudotime : float
            Pseudotime of the cell.
        neigh_pseudotime, neigh_conn : ndarray, shape (n_neighbors,)
            Pseudotime and weights of its neighbors.
        frac_to_keep : float, default 0.3
            In [0, 1].

        Returns
        -------
        ndarray, shape (n_neighbors,)
        """
        frac = check_number(frac_to_keep, "frac_to_keep", low=0.0, high=1.0)
        return _core.hard_threshold(
            float(cell_pseudotime), _vector(neigh_pseudotime), _vector(neigh_conn), frac_to_keep=frac
        )

    def _bias(
        self,
        graph: sp.csr_matrix,
        time: NDArray[np.float64],
        n_threads: int,
        show_progress_bar: bool,
        kwargs: dict[str, Any],
    ) -> sp.csr_matrix:
        if type(self).__call__ is not HardThresholdScheme.__call__:
            return super()._bias(graph, time, n_threads, show_progress_bar, kwargs)
        frac = check_number(
            _only(kwargs, frac_to_keep=0.3)["frac_to_keep"], "frac_to_keep", low=0.0, high=1.0
        )
        with progress_bar(show_progress_bar) as progress:
            parts = _core.bias_knn_hard(graph, time, frac_to_keep=frac, threads=n_threads, progress=progress)
        return csr_from_parts(parts, graph.shape)


class SoftThresholdScheme(ThresholdSchemeABC):
    """Weighs edges into the past down, the more the further they lead back; inspired by VIA [1]_.

    Neighbors with :math:`t_j < t_i` are multiplied by :math:`2 / (1 + e^{b (t_i - t_j)})^{1 / \\nu}`, the
    others keep their weight.

    References
    ----------
    .. [1] S. V. Stassen et al., Generalized and scalable trajectory inference in single-cell omics data with
       VIA, Nat. Commun. 12 (2021).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> fc.kernels.utils.SoftThresholdScheme()(0.5, np.array([0.4, 0.6]), np.array([1.0, 1.0])).round(3)
    array([0.145, 1.   ])
    """

    def __call__(  # type: ignore[override]
        self,
        cell_pseudotime: float,
        neigh_pseudotime: NDArray[np.float64],
        neigh_conn: NDArray[np.float64],
        b: float = 10.0,
        nu: float = 0.5,
    ) -> NDArray[np.float64]:
        """Compute the weights of one cell.

        Parameters
        ----------
        cell_pseudotime : float
            Pseudotime of the cell.
        neigh_pseudotime, neigh_conn : ndarray, shape (n_neighbors,)
            Pseudotime and weights of its neighbors.
        b : float, default 10.0
            Growth rate of the logistic function, per unit of pseudotime.
        nu : float, default 0.5
            Asymmetry of the logistic function, above 0.

        Returns
        -------
        ndarray, shape (n_neighbors,)
        """
        return _core.soft_threshold(
            float(cell_pseudotime),
            _vector(neigh_pseudotime),
            _vector(neigh_conn),
            b=check_number(b, "b", low=0.0),
            nu=check_number(nu, "nu", above=0.0),
        )

    def _bias(
        self,
        graph: sp.csr_matrix,
        time: NDArray[np.float64],
        n_threads: int,
        show_progress_bar: bool,
        kwargs: dict[str, Any],
    ) -> sp.csr_matrix:
        if type(self).__call__ is not SoftThresholdScheme.__call__:
            return super()._bias(graph, time, n_threads, show_progress_bar, kwargs)
        options = _only(kwargs, b=10.0, nu=0.5)
        b, nu = check_number(options["b"], "b", low=0.0), check_number(options["nu"], "nu", above=0.0)
        with progress_bar(show_progress_bar) as progress:
            parts = _core.bias_knn_soft(graph, time, b=b, nu=nu, threads=n_threads, progress=progress)
        return csr_from_parts(parts, graph.shape)


class CustomThresholdScheme(ThresholdSchemeABC):
    """A function as a scheme.

    Parameters
    ----------
    callback : callable
        Called as `f(cell_pseudotime, neigh_pseudotime, neigh_conn, **kwargs)`; returns the new weights.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> scheme = fc.kernels.utils.CustomThresholdScheme(lambda t, times, weights: weights * (times >= t))
    >>> scheme(0.5, np.array([0.4, 0.6]), np.array([1.0, 1.0]))
    array([0., 1.])
    """

    def __init__(self, callback: Callable[..., NDArray[np.float64]]) -> None:
        if not callable(callback):
            raise InvalidTypeError(
                f"Expected `callback` to be a function, found `{type(callback).__name__}`."
            )
        self._callback = callback

    def __call__(
        self,
        cell_pseudotime: float,
        neigh_pseudotime: NDArray[np.float64],
        neigh_conn: NDArray[np.float64],
        **kwargs: Any,
    ) -> NDArray[np.float64]:
        """Call the function; see :class:`ThresholdSchemeABC`."""
        return self._callback(cell_pseudotime, neigh_pseudotime, neigh_conn, **kwargs)


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, dtype=np.float64)


def _only(kwargs: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    unknown = sorted(set(kwargs) - set(defaults))
    if unknown:
        raise InvalidTypeError(f"Unexpected keywords {unknown}. This scheme takes {sorted(defaults)}.")
    return {**defaults, **kwargs}


def _check(conn: Any, pseudotime: ArrayLike) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
    graph = canonical_csr(conn, "`conn`")
    time = np.ascontiguousarray(pseudotime, dtype=np.float64)
    n = graph.shape[0]
    if graph.shape != (n, n) or time.shape != (n,):
        raise InvalidDataError(
            f"Expected a square graph and as many times, found shapes {graph.shape} and {time.shape}."
        )
    if not np.isfinite(time).all():
        raise InvalidDataError(
            f"Expected a finite pseudotime, found NaN or infinity for cell "
            f"{int(np.argmax(~np.isfinite(time)))}."
        )
    return graph, time
