"""Kernel along a pseudotime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ferrocyte import _adata, _core
from ferrocyte._errors import InvalidDataError, InvalidTypeError, warn_user
from ferrocyte._options import check_option, no_effect, plain
from ferrocyte._sparse import name_cells
from ferrocyte.kernels._base import BidirectionalKernel, equal_params
from ferrocyte.kernels._graph import GraphMembers, name_core_cells
from ferrocyte.kernels.utils._threshold import (
    CustomThresholdScheme,
    HardThresholdScheme,
    SoftThresholdScheme,
    ThresholdSchemeABC,
)

__all__ = ["PseudotimeKernel"]

# For cells that a scheme leaves without neighbors.
_REMEDIES = {
    "hard": "Increase `frac_to_keep` or use `threshold_scheme='soft'`.",
    "soft": "Decrease `b` or increase `nu`.",
}


class PseudotimeKernel(GraphMembers, BidirectionalKernel):
    """Transitions along a nearest-neighbor graph, towards larger pseudotime.

    Parameters
    ----------
    adata : AnnData
        With a nearest-neighbor graph in `obsp`.
    time_key : str
        Column of `obs` with the pseudotime: finite numbers.
    backward : bool, default False
        Go towards smaller pseudotime.
    **kwargs
        `conn_key`, `check_connectivity`, `check_symmetric`: see :class:`ConnectivityKernel`.

    Raises
    ------
    MissingDataError, InvalidDataError, InvalidTypeError
        If the graph or the pseudotime can not be used; messages name cells.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="dpt_pseudotime")
    >>> kernel.compute_transition_matrix(show_progress_bar=False)
    PseudotimeKernel[n=200, dnorm=False, scheme='hard', frac_to_keep=0.3]
    """

    def __init__(self, adata: AnnData, time_key: str, backward: bool = False, **kwargs: Any) -> None:
        self._time: NDArray[np.float64] | None = None
        super().__init__(adata, backward=backward, time_key=time_key, **kwargs)

    def _read_from_adata(self, **kwargs: Any) -> None:
        time_key = kwargs.pop("time_key")
        self._read_graph(self.adata, **kwargs)
        self._time_key = time_key
        self._time = _adata.numeric_column(self._require_adata(), time_key, "pseudotime", "time_key")

    @property
    def pseudotime(self) -> NDArray[np.float64] | None:
        """Pseudotime as it is used, shape `(n_cells,)`: `max - value` for a backward kernel."""
        if self._time is None or not self.backward:
            return self._time
        return self._time.max() - self._time

    def compute_transition_matrix(
        self,
        threshold_scheme: Literal["hard", "soft"] | Callable[..., NDArray[np.float64]] = "hard",
        frac_to_keep: float = 0.3,
        b: float = 10.0,
        nu: float = 0.5,
        check_irreducibility: bool = False,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Compute the transition matrix by weakening edges into the past.

        Parameters
        ----------
        threshold_scheme : {"hard", "soft"} or callable, default "hard"
            ``"hard"`` removes edges into the past, except to the closest neighbors; ``"soft"`` weighs them
            down. A callable, or a :class:`~ferrocyte.kernels.utils.ThresholdSchemeABC`, is called for each
            cell as `f(time, times_of_neighbors, weights_of_neighbors, **kwargs)` and returns the new weights.
        frac_to_keep : float, default 0.3
            Hard scheme: share of neighbors kept whatever their time, in [0, 1].
        b : float, default 10.0
            Soft scheme: growth rate of the logistic function, per unit of pseudotime.
        nu : float, default 0.5
            Soft scheme: asymmetry of the logistic function, above 0.
        check_irreducibility : bool, default False
            Warn if not every cell can reach every other one.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.
        **kwargs
            To a callable scheme.

        Returns
        -------
        PseudotimeKernel
            Itself, with :attr:`transition_matrix` and :attr:`params`.

        Raises
        ------
        InvalidOptionError
            For an unknown scheme, or a number out of its range.
        InvalidDataError
            If a callable returns another number of weights (says ``Expected row of shape``), or cells are
            left without neighbors.

        See Also
        --------
        ferrocyte.kernels.utils.HardThresholdScheme, ferrocyte.kernels.utils.SoftThresholdScheme

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> kernel.compute_transition_matrix("soft", b=20.0, nu=0.5)
        PseudotimeKernel[n=200, dnorm=False, scheme='soft', b=20.0, nu=0.5]
        """
        no_effect("backend", backend, "loky")
        time = self._require_time()
        scheme, options, params = self._scheme(threshold_scheme, frac_to_keep, b, nu, kwargs)
        request = {**params, "callable": None if isinstance(threshold_scheme, str) else threshold_scheme}
        if equal_params(request, self._request) and self._is_computed_with(params):
            return self
        try:
            biased = scheme.bias_knn(
                self._connectivities,
                time,
                n_jobs=n_jobs,
                show_progress_bar=show_progress_bar,
                **options,
            )
        except InvalidDataError as err:
            raise name_core_cells(err, self.adata, "Check the scheme.") from err
        empty = np.flatnonzero(np.diff(biased.indptr) == 0)
        if len(empty):
            names = self.adata.obs_names if self.adata is not None else None
            raise InvalidDataError(
                f"The scheme leaves {len(empty)} cells without any neighbor: {name_cells(names, empty)}. "
                + _REMEDIES.get(params["scheme"], "Keep at least one in your scheme.")
            )
        parts = _count_parts(biased)
        if parts > 1 and parts > _count_parts(self._connectivities):
            warn_user(
                f"The graph falls into {parts} parts when edges into the past are removed. Increase "
                "`frac_to_keep` or use `threshold_scheme='soft'`."
            )
        if check_irreducibility:
            classes = _count_parts(biased, strong=True)
            if classes > 1:
                warn_user(
                    f"The transition matrix is not irreducible: it has {classes} communicating classes."
                )
        matrix = sp.csr_matrix(
            (_core.row_normalize(biased), biased.indices, biased.indptr), shape=self.shape, copy=False
        )
        self._store(matrix, params, _request=request)
        return self

    def _require_time(self) -> NDArray[np.float64]:
        time = self.pseudotime
        if time is None:
            raise InvalidDataError(
                f"Compute pseudotime first; there is none in `adata.obs[{self._time_key!r}]`."
            )
        return time

    @staticmethod
    def _scheme(
        scheme: Any, frac_to_keep: float, b: float, nu: float, kwargs: dict[str, Any]
    ) -> tuple[ThresholdSchemeABC, dict[str, Any], dict[str, Any]]:
        """(scheme, its options, parameters to store)."""
        if isinstance(scheme, str) or not callable(scheme):
            if not isinstance(scheme, str):
                raise InvalidTypeError(
                    f"Expected `threshold_scheme` to be a string or a function, found "
                    f"`{type(scheme).__name__}`."
                )
            scheme = check_option(scheme, "threshold_scheme", ("hard", "soft"))
            if kwargs:
                raise InvalidTypeError(
                    f"Unexpected keywords {sorted(kwargs)}; only a function as `threshold_scheme` takes "
                    f"others."
                )
            if scheme == "hard":
                options: dict[str, Any] = {"frac_to_keep": plain(frac_to_keep)}
                return HardThresholdScheme(), options, {"dnorm": False, "scheme": "hard", **options}
            options = {"b": plain(b), "nu": plain(nu)}
            return SoftThresholdScheme(), options, {"dnorm": False, "scheme": "soft", **options}
        params = {"dnorm": False, "scheme": str(scheme), **{k: plain(v) for k, v in kwargs.items()}}
        wrapped = scheme if isinstance(scheme, ThresholdSchemeABC) else CustomThresholdScheme(scheme)
        return wrapped, kwargs, params


def _count_parts(graph: sp.csr_matrix, *, strong: bool = False) -> int:
    """Number of connected components; `strong`: of sets of cells that reach each other."""
    if strong:
        return int(connected_components(graph, directed=True, connection="strong")[0])
    return _core.count_components(graph)
