"""Arithmetic of transition matrices: weighted sums, element-wise products with rows that sum to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from ferrocyte._settings import threads
from ferrocyte._sparse import is_sparse, name_cells
from ferrocyte.kernels._matrix import Matrix, csr_from_parts

__all__ = ["product", "weighted_sum"]


def weighted_sum(matrices: Sequence[Any], weights: Sequence[float]) -> Matrix:
    """Weighted sum; CSR if all are, else dense.

    Parameters
    ----------
    matrices : sequence of CSR matrix or ndarray, all of one shape
        Not changed; a single one with weight 1 is returned as it is.
    weights : sequence of float
        Positive, with sum 1.
    """
    if len(matrices) == 1 and weights[0] == 1:
        return matrices[0]
    shape = matrices[0].shape
    if all(is_sparse(m) for m in matrices):
        return csr_from_parts(_core.weighted_sum(matrices, weights, threads=threads()), shape)
    out: NDArray[np.float64] = np.zeros(shape)
    for matrix, weight in zip(matrices, weights, strict=True):
        out += weight * (matrix.toarray() if is_sparse(matrix) else matrix)
    return out


def product(matrices: Sequence[Any], names: Sequence[Any] | pd.Index | None) -> Matrix:
    """Element-wise product, rows divided by their sums; CSR if one of them is, else dense.

    Parameters
    ----------
    matrices : sequence of CSR matrix or ndarray, all of one shape
        Not changed.
    names : sequence or None
        Names of the cells, for messages.

    Raises
    ------
    InvalidDataError
        If a row of the product is zero; names the cells.
    """
    sparse = [m for m in matrices if is_sparse(m)]
    if len(sparse) == len(matrices):
        try:
            return csr_from_parts(_core.elementwise_product(matrices, threads=threads()), matrices[0].shape)
        except InvalidDataError as err:
            rows = getattr(err, "cells", None)
            if not rows:
                raise
            raise _no_overlap(rows, names) from err
    if not sparse:
        dense: NDArray[np.float64] = np.prod(matrices, axis=0)
        sums = dense.sum(axis=1, keepdims=True)
        if (sums == 0).any():
            raise _no_overlap(np.flatnonzero(sums == 0), names)
        return dense / sums
    # A zero of a sparse factor is one of the product: of the dense ones only its entries are looked up.
    pattern = sp.coo_matrix(sparse[0])
    values = pattern.data.copy()
    for m in matrices:
        if m is not sparse[0]:
            values *= np.asarray(m[pattern.row, pattern.col]).ravel()
    out = sp.csr_matrix((values, (pattern.row, pattern.col)), shape=pattern.shape)
    out.eliminate_zeros()
    out.sort_indices()
    empty = np.flatnonzero(np.diff(out.indptr) == 0)
    if len(empty):
        raise _no_overlap(empty, names)
    return csr_from_parts((_core.row_normalize(out), out.indices, out.indptr), out.shape)


def _no_overlap(rows: Any, names: Sequence[Any] | pd.Index | None) -> InvalidDataError:
    return InvalidDataError(
        f"The product of kernels leaves {len(rows)} cells without any neighbor: {name_cells(names, rows)}. "
        "Use kernels over the same graph, or add them instead."
    )
