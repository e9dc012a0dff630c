"""What all estimators share: a kernel, a table of results, copies and files."""

from __future__ import annotations

import copy as copylib
from abc import ABC, abstractmethod
from typing import Any, Literal, Self, TypeAlias

from anndata import AnnData

from ferrocyte._errors import NotComputedError
from ferrocyte._results import STEPS, Results, step_of
from ferrocyte.kernels._algebra import Constant, KernelExpression
from ferrocyte.kernels._matrix import Matrix
from ferrocyte.kernels.precomputed import PrecomputedKernel

__all__ = ["BaseEstimator"]

Attr: TypeAlias = Literal["X", "raw", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns"]


class BaseEstimator(ABC):
    """Base of all estimators: a transition matrix in, annotations of cells and genes out.

    Parameters
    ----------
    object : Kernel, KernelExpression, AnnData, array, sparse matrix, str, bool or None
        A kernel or an expression with a transition matrix, which is used as it is; or anything that
        :class:`~ferrocyte.kernels.PrecomputedKernel` takes.
    **kwargs
        To :class:`~ferrocyte.kernels.PrecomputedKernel`: `adata`, `obsp_key`, `backward`, `copy`.

    Raises
    ------
    NotComputedError
        If a kernel has no matrix yet; says ``Compute transition matrix first``.
    InvalidTypeError, InvalidDataError, MissingDataError
        For an object that has no transition matrix.
    """

    def __init__(self, object: Any, **kwargs: Any) -> None:
        if isinstance(object, KernelExpression) and not isinstance(object, Constant) and not kwargs:
            _check_computed(object)
            kernel = object
        else:
            kernel = PrecomputedKernel(object, **kwargs)
        self._kernel: KernelExpression = kernel
        self._results = Results(kernel)

    # What it is ---------------------------------------------------------------------------------------

    @property
    def kernel(self) -> KernelExpression:
        """The kernel or expression."""
        return self._kernel

    @property
    def adata(self) -> AnnData:
        """Annotated data of the kernel. Can be set to one over as many cells."""
        return self._kernel.adata

    @adata.setter
    def adata(self, adata: AnnData | None) -> None:
        self._kernel.adata = adata

    @property
    def transition_matrix(self) -> Matrix:
        """Row-stochastic matrix of shape `(n_cells, n_cells)`."""
        return self._kernel._require_matrix()

    @property
    def shape(self) -> tuple[int, int]:
        """`(n_cells, n_cells)`."""
        return self._kernel.shape  # type: ignore[attr-defined]

    @property
    def backward(self) -> bool | None:
        """Direction of the process; None if the kernel has none."""
        return self._kernel.backward

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """Arguments of the steps taken, by name of the step."""
        return self._results.params

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        inside = [f"kernel={self._kernel}", *self._described()]
        return f"{type(self).__name__}[{', '.join(inside)}]"

    __str__ = __repr__

    def _described(self) -> list[str]:
        """Entries of the repr after the kernel."""
        return []

    def _require(self, name: str, message: str | None = None) -> Any:
        """A result, or an error that says how to get it.

        Parameters
        ----------
        name : str
            Of the result.
        message : str, optional
            Instead of the remedy of the results table.

        Raises
        ------
        NotComputedError
        """
        value = self._results.get(name)
        if value is None:
            raise NotComputedError(STEPS[step_of(name)].remedy if message is None else message)
        return value

    # To be defined ------------------------------------------------------------------------------------

    @abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        """Compute what :meth:`predict` needs."""

    @abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> Self:
        """Choose states from what :meth:`fit` has computed."""

    # Copies -------------------------------------------------------------------------------------------

    def copy(self, *, deep: bool = False) -> Self:
        """Return a copy.

        Parameters
        ----------
        deep : bool, default False
            Copy the annotated data, too; otherwise it is shared. Kernel, parameters and results are always
            copied.

        Returns
        -------
        BaseEstimator
            Of the same class, with equal results.
        """
        out = type(self).__new__(type(self))
        state = {k: v for k, v in self.__dict__.items() if k not in ("_kernel", "_results")}
        out.__dict__.update(copylib.deepcopy(state))
        out._kernel = self._kernel.copy(deep=deep)
        out._results = Results(out._kernel)
        out._results.load(*copylib.deepcopy((self._results._values, self._results._params)))
        return out

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy(deep=True)


def _check_computed(kernel: KernelExpression) -> None:
    try:
        kernel._require_matrix()
    except NotComputedError as err:
        raise NotComputedError(f"Compute transition matrix first: {err}") from err
