"""Kernel around a matrix that exists already."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from ferrocyte import _adata, _keys
from ferrocyte._errors import InvalidDataError, InvalidTypeError, NotComputedError, suggest
from ferrocyte._options import plain
from ferrocyte._sparse import is_sparse
from ferrocyte.kernels._algebra import Constant, KernelExpression
from ferrocyte.kernels._base import UnidirectionalKernel, stored_under
from ferrocyte.kernels._matrix import Matrix

__all__ = ["PrecomputedKernel"]

_FORWARD, _BACKWARD = _keys.transition_matrix(False), _keys.transition_matrix(True)


class PrecomputedKernel(UnidirectionalKernel):
    """A transition matrix from elsewhere as a kernel.

    Parameters
    ----------
    object : array, sparse matrix, Kernel, KernelExpression, AnnData, str, bool or None
        The matrix, of shape `(n_cells, n_cells)`; a kernel with a matrix, which is shared; annotated data
        with the matrix in `obsp`; or, with `adata`, the key of `obsp` or the direction, whose key is
        ``"T_fwd"`` or ``"T_bwd"``.
    adata : AnnData, optional
        Annotated data; by default an empty one with as many cells. Ignored if `object` has one.
    obsp_key : str, optional
        Key of `obsp`; by default ``"T_fwd"`` or, if there is none, ``"T_bwd"``.
    backward : bool or None, optional
        Direction; by default that of the kernel, or what the key says, or None.
    copy : bool, default False
        Copy the matrix.
    **kwargs
        None is known; there so that a misspelt one can be named.

    Raises
    ------
    InvalidTypeError
        For any other object, and for an unknown keyword.
    NotComputedError
        For a kernel without a matrix.
    MissingDataError
        If the key is not in `obsp`.
    InvalidDataError
        If the matrix can not be a transition matrix, or no matrix is found.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> import numpy as np
    >>> fc.kernels.PrecomputedKernel(np.array([[0.0, 2.0], [1.0, 1.0]])).transition_matrix
    array([[0. , 1. ],
           [0.5, 0.5]])
    """

    def __init__(
        self,
        object: Any,
        adata: AnnData | None = None,
        obsp_key: str | None = None,
        backward: bool | Literal["infer"] | None = "infer",
        copy: bool = False,
        **kwargs: Any,
    ) -> None:
        if not (backward is None or backward == "infer" or isinstance(backward, bool | np.bool_)):
            raise InvalidTypeError(
                f"Expected `backward` to be a bool or None, found `{type(backward).__name__}`."
            )
        if kwargs:
            options = ("adata", "obsp_key", "backward", "copy")
            raise InvalidTypeError(
                f"PrecomputedKernel got an unexpected keyword {next(iter(kwargs))!r}."
                f"{suggest(next(iter(kwargs)), options)}"
            )
        init: dict[str, Any] = {}
        if isinstance(object, Constant):
            raise InvalidTypeError("Expected `object` to be a kernel or a matrix, found a constant.")
        if isinstance(object, KernelExpression):
            matrix, adata, params, direction = _from_kernel(object)
        elif isinstance(object, np.ndarray | pd.DataFrame) or is_sparse(object):
            matrix, params, direction = _square(object), {"origin": "array"}, None
        elif isinstance(object, AnnData) or isinstance(adata, AnnData):
            if isinstance(object, AnnData):
                adata = object
            elif isinstance(object, str):
                obsp_key = object
            elif object is None or isinstance(object, bool | np.bool_):
                told = None if object is None else bool(object)
                obsp_key = _keys.transition_matrix(told) if obsp_key is None else obsp_key
                backward = told if backward == "infer" else backward
            else:
                raise _wrong_object(object)
            obsp_key = _find_key(adata) if obsp_key is None else obsp_key
            matrix = _adata.pairwise(adata, obsp_key, "the transition matrix")
            direction, params = _direction_of(obsp_key), {"origin": f"adata.obsp[{obsp_key!r}]"}
            init["obsp_key"] = obsp_key
        else:
            raise _wrong_object(object)
        if adata is None:
            adata = AnnData(np.zeros((matrix.shape[0], 1), dtype=np.float32))
        chosen = direction if backward == "infer" else backward
        self._direction: bool | None = None if chosen is None else bool(chosen)
        if "obsp_key" in init:
            init["backward"] = self._direction
        super().__init__(adata)
        self._init = init
        self._store(matrix.copy() if copy else matrix, params)

    @property
    def backward(self) -> bool | None:  # type: ignore[override]
        """Direction of the process; None if unknown."""
        return self._direction

    def compute_transition_matrix(self, *args: Any, **kwargs: Any) -> Self:
        """Do nothing: the matrix is there.

        Returns
        -------
        PrecomputedKernel
            Itself.
        """
        return self

    def _init_for(self, key: str) -> dict[str, Any]:
        # The key tells the direction where it can; elsewhere it would be lost.
        if self._init or _direction_of(key) is self._direction:
            return dict(self._init)
        return {"backward": self._direction}

    @classmethod
    def from_adata(cls, adata: AnnData, key: str, copy: bool = False) -> Self:
        """Make a kernel from what ``write_to_adata`` of any kernel has stored.

        Parameters
        ----------
        adata : AnnData
        key : str
            Key of `obsp` with the transition matrix; `uns["<key>_params"]` has the parameters.
        copy : bool, default False
            Copy the matrix.

        Returns
        -------
        PrecomputedKernel

        Raises
        ------
        MissingDataError
            If the matrix or its parameters are not there.
        """
        _, stored = stored_under(adata, key)
        init = plain(dict(stored[_keys.INIT]))
        told, backward = _direction_of(key), init.get("backward", "infer")
        if told is not None and "origin" not in stored[_keys.PARAMS]:
            # Combinations of kernels are stored as if they went forward, whichever way they go.
            backward = told
        kernel = cls(adata, obsp_key=key, backward=backward, copy=copy)
        kernel._init = init
        kernel._params = plain(dict(stored[_keys.PARAMS]))
        return kernel


def _wrong_object(found: Any) -> InvalidTypeError:
    return InvalidTypeError(
        "Expected `object` to be a matrix, a kernel, an `AnnData` object, or with `adata=...` a key of "
        "`obsp` or a "
        f"direction, found `{type(found).__name__}`."
    )


def _square(matrix: Any) -> Matrix:
    out = matrix.to_numpy() if isinstance(matrix, pd.DataFrame) else matrix
    if out.ndim != 2 or out.shape[0] != out.shape[1]:
        n = out.shape[0] if out.ndim else 0
        raise InvalidDataError(
            f"Expected matrix to be of shape `({n}, {n})`, found `{tuple(out.shape)}`. "
            "It needs a row and a column for each cell."
        )
    return out


def _from_kernel(kernel: KernelExpression) -> tuple[Matrix, AnnData | None, dict[str, Any], bool | None]:
    try:
        matrix = kernel._require_matrix()
    except NotComputedError as err:
        text = str(err)
        prefix = "" if text.startswith("Compute transition matrix") else "Compute transition matrix first: "
        raise NotComputedError(prefix + text) from err
    return matrix, kernel.adata, {**deepcopy(kernel.params), "origin": repr(kernel)}, kernel.backward


def _find_key(adata: AnnData) -> str:
    for key in (_FORWARD, _BACKWARD):
        if key in adata.obsp:
            return key
    raise InvalidDataError(
        f"Unable to find a transition matrix in `adata.obsp[{_FORWARD!r}]` or `adata.obsp[{_BACKWARD!r}]`."
        f"{suggest(_FORWARD, adata.obsp.keys())} Pass `obsp_key=...`."
    )


def _direction_of(key: str) -> bool | None:
    return {_FORWARD: False, _BACKWARD: True}.get(key)
