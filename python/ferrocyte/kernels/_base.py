"""Base classes of kernels."""

from __future__ import annotations

import copy as copylib
import weakref
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from anndata import AnnData

from ferrocyte import _adata, _keys
from ferrocyte._errors import InvalidDataError, InvalidIndexError, InvalidTypeError, MissingDataError, suggest
from ferrocyte._options import plain
from ferrocyte.kernels._algebra import KernelExpression
from ferrocyte.kernels._matrix import Matrix, to_transition_matrix

__all__ = ["BidirectionalKernel", "Kernel", "UnidirectionalKernel", "equal_params", "stored_under"]


class Kernel(KernelExpression):
    """Base of all kernels: cells in, transition matrix out.

    A kernel of your own derives from :class:`UnidirectionalKernel` or :class:`BidirectionalKernel` and
    defines :meth:`compute_transition_matrix`, which assigns :attr:`transition_matrix` and returns `self`.

    Parameters
    ----------
    adata : AnnData
        Annotated data, shape `(n_cells, n_genes)`. Not copied.
    parent : KernelExpression, optional
        The expression this kernel belongs to. Nothing depends on it.
    **kwargs
        Kept in :attr:`init`, and handed to `_read_from_adata`, where a subclass may read what it needs.

    Raises
    ------
    InvalidTypeError, InvalidDataError
        If `adata` is not an AnnData object, or has no cells.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import scipy.sparse as sp
    >>> class Lazy(fc.kernels.UnidirectionalKernel):
    ...     def compute_transition_matrix(self):
    ...         self.transition_matrix = sp.identity(self.adata.n_obs, format="csr")
    ...         return self
    >>> lazy = Lazy(fc.datasets.dentate_gyrus()).compute_transition_matrix()
    >>> 0.9 * lazy + 0.1 * lazy
    (0.9 * Lazy[n=200] + 0.1 * Lazy[n=200])
    """

    # Attributes that do not go into a file: annotated data, and what belongs to this process only.
    _not_written: ClassVar[frozenset[str]] = frozenset(
        {"_adata", "_parent_ref", "_pending_params", "_request"}
    )
    # What the matrix was computed from, where `params` do not say it all.
    _request: dict[str, Any]

    def __init__(self, adata: AnnData, parent: KernelExpression | None = None, **kwargs: Any) -> None:
        self._request = {}
        self._adata: AnnData | None = _adata.check_adata(adata)
        self._n_cells = adata.n_obs
        self._init: dict[str, Any] = kwargs
        self._params: dict[str, Any] = {}
        self._pending_params: dict[str, Any] | None = None
        self._transition_matrix: Matrix | None = None
        if parent is not None:
            self._parent_ref = weakref.ref(parent)
        self._read_from_adata(**kwargs)

    def _read_from_adata(self, **kwargs: Any) -> None:
        """Read and check data when the kernel is made; for subclasses."""

    # What it is ---------------------------------------------------------------------------------------

    @property
    def adata(self) -> AnnData | None:
        """Annotated data; None after reading a file written without. Can be set to one over as many cells."""
        return self._adata

    @adata.setter
    def adata(self, adata: AnnData | None) -> None:
        self._check_new_adata(adata)
        self._adata = adata

    def _check_new_adata(self, adata: AnnData | None) -> None:
        if adata is None:
            return
        if not isinstance(adata, AnnData):
            raise InvalidTypeError(
                f"Expected `adata` to be an `AnnData` object, found `{type(adata).__name__}`."
            )
        if adata.n_obs != self._n_cells:
            raise InvalidDataError(
                f"Expected new `AnnData` object to have same shape: {self._n_cells} cells, "
                f"found {adata.n_obs}."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """`(n_cells, n_cells)`."""
        return self._n_cells, self._n_cells

    @property
    def backward(self) -> bool | None:
        """Direction of the process; None if it has none."""
        return None

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the last :meth:`compute_transition_matrix`; plain values."""
        return self._params

    @property
    def init(self) -> dict[str, Any]:
        """Keyword arguments of construction, from which :meth:`from_adata` makes the kernel again."""
        return self._init

    @property
    def transition_matrix(self) -> Matrix | None:
        """Row-stochastic matrix of shape `(n_cells, n_cells)`, CSR or dense; None before it is computed.

        Assigning one checks it and scales its rows to sum to 1 (within 1e-12).

        Raises
        ------
        InvalidDataError
            When assigned: for another shape (says ``Expected matrix to be of shape``), negative values (says
            ``Unable to normalize matrix with negative values.``), NaN, or rows of zeros.
        """
        return self._transition_matrix

    @transition_matrix.setter
    def transition_matrix(self, matrix: Any) -> None:
        if matrix is None:
            checked = None
        else:
            names = self._adata.obs_names if self._adata is not None else None
            checked = to_transition_matrix(matrix, self.shape, names)
        pending = {} if self._pending_params is None else {"_params": self._pending_params}
        # One call, so that Ctrl-C finds either all of the old state or all of the new.
        self.__dict__.update(_transition_matrix=checked, _pending_params=None, **pending)

    @abstractmethod
    def compute_transition_matrix(self, *args: Any, **kwargs: Any) -> KernelExpression:
        """Compute :attr:`transition_matrix` and return the kernel itself."""

    def _reuse_cache(self, expected_params: dict[str, Any]) -> bool:
        """Tell whether the matrix was computed with these parameters already.

        If not, they become :attr:`params` when a matrix is assigned: an error in between leaves the kernel as
        it was.
        """
        reuse = self._is_computed_with(expected_params)
        if reuse:
            self._params = dict(expected_params)
        self._pending_params = None if reuse else dict(expected_params)
        return reuse

    def _is_computed_with(self, params: dict[str, Any]) -> bool:
        return self._transition_matrix is not None and equal_params(self._params, params)

    def _store(
        self, matrix: Any, params: dict[str, Any], *, normalised: bool = False, **attributes: Any
    ) -> None:
        """Set the matrix, the parameters and what else was computed, after everything has succeeded.

        `normalised` says that the matrix is canonical and its rows sum to 1, as models of the core make them.
        """
        if not normalised:
            names = self._adata.obs_names if self._adata is not None else None
            matrix = to_transition_matrix(matrix, self.shape, names)
        self.__dict__.update(attributes, _transition_matrix=matrix, _params=params, _pending_params=None)

    # An expression of one term ------------------------------------------------------------------------

    def _leaves(self) -> tuple[Any, ...]:
        return (self,)

    def _matrix(self) -> Matrix:
        return self._require_matrix()

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Kernel:
        if index != 0:
            raise InvalidIndexError(f"tuple index out of range: a kernel has one term, found index {index}.")
        return self

    def __iter__(self) -> Iterator[Kernel]:
        yield self

    def _text(self, *, short: bool = False) -> str:
        values = {} if short else self._params
        inside = [f"n={self._n_cells}", *(f"{k}={_rounded(v)!r}" for k, v in values.items())]
        return f"{type(self).__name__}[{', '.join(inside)}]"

    # Copies -------------------------------------------------------------------------------------------

    def copy(self, *, deep: bool = False) -> Self:
        """Return a copy.

        Parameters
        ----------
        deep : bool, default False
            Copy the annotated data, too; otherwise it is shared. Everything else is always copied.

        Returns
        -------
        Kernel
            Of the same class, with equal parameters and matrix.
        """
        return self._copy(deep, {})

    def _copy(self, deep: bool, memo: dict[int, Any]) -> Self:
        if self._adata is not None and id(self._adata) not in memo:
            memo[id(self._adata)] = self._adata.copy() if deep else self._adata
        out = type(self).__new__(type(self))
        for name, value in self.__dict__.items():
            if name == "_request":  # may hold a user's function, which is not ours to copy
                out.__dict__[name] = dict(value)
            elif name != "_parent_ref":
                out.__dict__[name] = copylib.deepcopy(value, memo)
        return out

    def __copy__(self) -> Self:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_request": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._copy(True, memo)

    def _uncomputed(self) -> Self:
        """A shallow copy without matrix and parameters; what was read at construction is shared."""
        out = type(self).__new__(type(self))
        out.__dict__.update({k: v for k, v in self.__dict__.items() if k != "_parent_ref"})
        out._init = dict(self._init)
        out._params, out._pending_params, out._transition_matrix = {}, None, None
        return out

    @classmethod
    def from_adata(cls, adata: AnnData, key: str, copy: bool = False) -> Self:
        """Make a kernel again from what :meth:`write_to_adata` has stored.

        Parameters
        ----------
        adata : AnnData
        key : str
            Key of `obsp` with the transition matrix; `uns["<key>_params"]` has the parameters.
        copy : bool, default False
            Copy the matrix.

        Returns
        -------
        Kernel
            Of this class, with the matrix and its parameters.

        Raises
        ------
        MissingDataError
            If the matrix or its parameters are not there.
        InvalidTypeError
            If the kernel that was stored is of another class.
        """
        matrix, stored = stored_under(adata, key)
        try:
            kernel = cls(adata, **plain(dict(stored[_keys.INIT])))
        except TypeError as err:  # of ours, for another class's keywords, or Python's, for an abstract class
            raise InvalidTypeError(
                f"Unable to make a `{cls.__name__}` from `adata.obsp[{key!r}]`: {err} Call `from_adata` of "
                "the class whose kernel was stored, or `PrecomputedKernel.from_adata`, which takes any."
            ) from err
        kernel._restore(matrix.copy() if copy else matrix, plain(dict(stored[_keys.PARAMS])))
        return kernel

    def _restore(self, matrix: Any, params: dict[str, Any]) -> None:
        self.transition_matrix = matrix
        self._params = params


class UnidirectionalKernel(Kernel):
    """Base of kernels without a direction; :attr:`backward` is always None.

    Parameters
    ----------
    adata : AnnData
        Annotated data, shape `(n_cells, n_genes)`.
    parent : KernelExpression, optional
    **kwargs
        See :class:`Kernel`.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import scipy.sparse as sp
    >>> class Lazy(fc.kernels.UnidirectionalKernel):
    ...     def compute_transition_matrix(self, stay=0.5):
    ...         n = self.shape[0]
    ...         self.transition_matrix = stay * sp.eye(n) + (1 - stay) * self.adata.obsp["connectivities"]
    ...         return self
    >>> kernel = Lazy(fc.datasets.dentate_gyrus()).compute_transition_matrix()
    >>> print(0.8 * kernel)
    0.8 * Lazy[n=200]
    """

    _has_inverse = False

    @property
    def backward(self) -> None:
        """Always None."""
        return

    def __invert__(self) -> KernelExpression:
        raise InvalidTypeError(f"`{self}` has no direction, so it can not be inverted.")


class BidirectionalKernel(Kernel):
    """Base of kernels with a direction.

    Parameters
    ----------
    *args
        See :class:`Kernel`.
    backward : bool, default False
        Direction of the process.
    **kwargs
        See :class:`Kernel`.

    Raises
    ------
    InvalidTypeError
        If `backward` is not a bool.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> (~fc.kernels.VelocityKernel(adata)).backward
    True
    """

    def __init__(self, *args: Any, backward: bool = False, **kwargs: Any) -> None:
        if not isinstance(backward, bool | np.bool_):
            raise InvalidTypeError(f"Expected `backward` to be a bool, found `{type(backward).__name__}`.")
        self._backward: bool = bool(backward)
        super().__init__(*args, **kwargs)
        self._init = {**self._init, "backward": self._backward}

    @property
    def backward(self) -> bool | None:
        """Direction of the process."""
        return self._backward

    def __invert__(self) -> KernelExpression:
        """Return a kernel over the same data in the other direction, without matrix and parameters."""
        out = self._uncomputed()
        out._backward = not self._backward
        out._init["backward"] = out._backward
        return out


def stored_under(adata: AnnData, key: str) -> tuple[Any, dict[str, Any]]:
    """Matrix and parameters under a key of :meth:`Kernel.write_to_adata`."""
    matrix = _adata.pairwise(adata, key, "the transition matrix")
    name = _keys.params(key)
    if name not in adata.uns:
        raise MissingDataError(
            f"Unable to find parameters in `adata.uns[{name!r}]`.{suggest(name, adata.uns.keys())} "
            "Store a kernel with `.write_to_adata()` first."
        )
    stored = adata.uns[name]
    for entry in (_keys.PARAMS, _keys.INIT):
        if entry not in stored:
            raise MissingDataError(
                f"Unable to find `adata.uns[{name!r}][{entry!r}]`. "
                "Store the kernel with `.write_to_adata()` first."
            )
    return matrix, stored


def _rounded(value: Any) -> Any:
    return round(float(value), 3) if isinstance(value, float | np.floating) else plain(value)


def equal_params(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two dicts of parameters are equal; values may be arrays."""
    if a.keys() != b.keys():
        return False
    for name, x in a.items():
        y = b[name]
        if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
            if type(x) is not type(y) or not np.array_equal(x, y):
                return False
        elif type(x) is not type(y) or x != y:
            return False
    return True
