"""What figures need to know of an estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferrocyte._results import Results

if TYPE_CHECKING:
    from anndata import AnnData

    from ferrocyte.kernels._algebra import KernelExpression

__all__ = ["Plotted"]


class Plotted:
    """Base of the `plot_*` members."""

    if TYPE_CHECKING:  # of BaseEstimator, which comes later in the order of bases
        _results: Results

        @property
        def backward(self) -> bool | None: ...

        @property
        def kernel(self) -> KernelExpression: ...

        def _require(self, name: str, message: str | None = None) -> Any: ...

    def _plotted_adata(self) -> AnnData:
        return self.kernel._require_adata()
