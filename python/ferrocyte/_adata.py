"""The only room that looks inside an AnnData object for arrays.

Everything is checked here once, in the user's words. What can be used where it lies is handed on without a
copy: float32 or float64, dense in C order or CSR. Anything else is copied once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _keys
from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
)
from ferrocyte._sparse import SHOWN, canonical_csr, check_csr, is_sparse, name_cells, to_memory

__all__ = [
    "as_features",
    "cells_mask",
    "check_adata",
    "clusters_mask",
    "column",
    "embedding",
    "features",
    "gene_mask",
    "graph",
    "locate",
    "numeric_column",
    "pairwise",
    "select_columns",
    "shape_of",
    "stored",
]

Features: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | sp.csr_matrix


def check_adata(adata: Any) -> AnnData:
    """Return `adata` if it is an AnnData object with cells.

    Raises
    ------
    InvalidTypeError, InvalidDataError
    """
    if not isinstance(adata, AnnData):
        raise InvalidTypeError(f"Expected `adata` to be an `AnnData` object, found `{type(adata).__name__}`.")
    if adata.n_obs == 0:
        raise InvalidDataError("Expected `adata` to have at least one cell, found none.")
    return adata


# Graphs ---------------------------------------------------------------------------------------------


def pairwise(adata: AnnData, key: str, what: str = "the matrix") -> Any:
    """`adata.obsp[key]` as it is.

    Raises
    ------
    MissingDataError
        With the names of what is there.
    """
    if key not in adata.obsp:
        raise MissingDataError(
            f"Unable to find {what} in `adata.obsp[{key!r}]`.{suggest(key, adata.obsp.keys())}"
        )
    return adata.obsp[key]


def graph(adata: AnnData, conn_key: str | None = _keys.CONNECTIVITIES) -> sp.csr_matrix:
    """The nearest-neighbor graph, checked.

    Parameters
    ----------
    adata : AnnData
    conn_key : str or None, default "connectivities"
        A key of `obsp`, or the `key_added` of ``scanpy.pp.neighbors``.

    Returns
    -------
    scipy.sparse.csr_matrix
        As :func:`canonical_csr`; finite, non-negative, and every row has a positive sum.

    Raises
    ------
    MissingDataError
        If there is no such graph.
    InvalidDataError
        For NaN, infinite or negative weights and for cells without neighbors; the message names cells.
    """
    if conn_key is not None and not isinstance(conn_key, str):
        raise InvalidTypeError(
            f"Expected `conn_key` to be a string or None, found `{type(conn_key).__name__}`."
        )
    candidates = _keys.graph_candidates(conn_key)
    key = next((k for k in candidates if k in adata.obsp), None)
    if key is None:
        places = " or ".join(f"`adata.obsp[{k!r}]`" for k in candidates)
        raise MissingDataError(
            f"Unable to find a nearest-neighbor graph in "
            f"{places}.{suggest(candidates[0], adata.obsp.keys())} "
            "Pass `conn_key=...` or compute one with `scanpy.pp.neighbors`."
        )
    where = f"the graph `adata.obsp[{key!r}]`"
    out = canonical_csr(adata.obsp[key], where)
    rows = np.repeat(np.arange(out.shape[0]), np.diff(out.indptr)) if _any_bad(out.data) else None
    if rows is not None:
        for bad, found, remedy in (
            (~np.isfinite(out.data), "NaN or infinite weights", "Compute the graph anew"),
            (
                out.data < 0,
                "negative weights",
                "Use connectivities, not correlations or distances with a sign",
            ),
        ):
            if bad.any():
                cells = name_cells(adata.obs_names, np.unique(rows[bad]))
                raise InvalidDataError(
                    f"Expected {where} to hold weights >= 0, found {found} for {cells}. {remedy}."
                )
    isolated = np.flatnonzero(np.diff(out.indptr) == 0)
    if len(isolated):
        raise InvalidDataError(
            f"Expected every cell to have a neighbor in {where}, found {len(isolated)} without: "
            f"{name_cells(adata.obs_names, isolated)}. Remove these cells or compute a graph with more "
            f"neighbors."
        )
    # Another object over the same arrays: what is assigned to the user's matrix later does not come here.
    return sp.csr_matrix((out.data, out.indices, out.indptr), shape=out.shape, copy=False)


def _any_bad(data: NDArray[np.float64]) -> bool:
    return bool(len(data)) and not (np.isfinite(data.sum()) and data.min() >= 0)


# Cell-by-gene matrices --------------------------------------------------------------------------------


def as_features(matrix: Any, what: str) -> Features:
    """Give a cell-by-gene matrix in a form the core reads in place; the same memory where possible.

    Parameters
    ----------
    matrix
        Dense or sparse, DataFrame, masked (masked values become NaN), on disk.
    what : str
        Its name in messages.

    Returns
    -------
    ndarray or scipy.sparse.csr_matrix
        float32 or float64, in C order or CSR.

    Raises
    ------
    InvalidDataError
        If it is not a two-dimensional matrix of real numbers.
    """
    matrix = to_memory(matrix)
    if isinstance(matrix, pd.DataFrame):
        wrong = [c for c, t in matrix.dtypes.items() if not pd.api.types.is_numeric_dtype(t)]
        if wrong:
            raise InvalidDataError(f"Expected {what} to have numeric columns only, found {wrong[:SHOWN]}.")
        matrix = matrix.to_numpy(dtype=np.float64) if len(set(matrix.dtypes)) > 1 else matrix.to_numpy()
    if isinstance(matrix, np.ma.MaskedArray):
        kind = matrix.dtype if matrix.dtype.kind == "f" else np.float64
        matrix = np.ma.filled(matrix.astype(kind), np.nan)
    if not is_sparse(matrix) and not isinstance(matrix, np.ndarray):
        raise InvalidTypeError(
            f"Expected {what} to be a numpy array or a scipy sparse matrix, found "
            f"`{type(matrix).__name__}`. Convert it."
        )
    if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
        raise InvalidDataError(
            f"Expected {what} to be a matrix of real numbers, found {matrix.ndim} dimensions of type "
            f"`{matrix.dtype}`."
        )
    kind = matrix.dtype.newbyteorder("=")
    dtype = np.dtype(np.float32) if kind in (np.float32, np.float16) else np.dtype(np.float64)
    if not is_sparse(matrix):
        return np.require(np.asarray(matrix), dtype=dtype, requirements=["C", "A"])
    out = matrix if matrix.format == "csr" else matrix.tocsr()
    check_csr(out, what)
    parts = (out.data, out.indices, out.indptr)
    same = isinstance(out, sp.csr_matrix) and out.dtype == dtype and out.dtype.isnative
    if (
        same
        and all(a.flags.c_contiguous and a.flags.aligned for a in parts)
        and len(out.data) == out.indptr[-1]
    ):
        return out
    nnz = out.indptr[-1]
    data = np.ascontiguousarray(out.data[:nnz], dtype=dtype)
    indices = np.ascontiguousarray(out.indices[:nnz])
    return sp.csr_matrix((data, indices, np.ascontiguousarray(out.indptr)), shape=out.shape, copy=False)


def features(adata: AnnData, key: str | None, *, attr: str = "layers", use_raw: bool = False) -> Features:
    """A cell-by-gene matrix of `adata`, by name.

    Parameters
    ----------
    adata : AnnData
        May be a view or backed; what is needed of it is then copied into memory.
    key : str or None
        Key of `layers` or `obsm`; None or ``"X"`` is `.X` (unless there is a layer of that name).
    attr : {"layers", "obsm"}, default "layers"
    use_raw : bool, default False
        Take `raw.X` instead.

    Returns
    -------
    ndarray or scipy.sparse.csr_matrix
        As :func:`as_features`.

    Raises
    ------
    MissingDataError
        If there is no such matrix.
    """
    return as_features(*_find(adata, key, attr, use_raw))


def stored(
    adata: AnnData, key: str | None, *, attr: str = "layers", use_raw: bool = False
) -> tuple[Any, str]:
    """What `features` reads, as it is stored, and its name in messages; raises as it does."""
    return _find(adata, key, attr, use_raw)


def locate(adata: AnnData, key: str | None, *, attr: str = "layers", use_raw: bool = False) -> str:
    """Say where `features` looks, for messages; raises as it does."""
    return _find(adata, key, attr, use_raw)[1]


def shape_of(adata: AnnData, key: str | None, *, attr: str = "layers") -> tuple[int, int]:
    """Shape of what `features` gives, without reading it."""
    return tuple(_find(adata, key, attr, False)[0].shape)


def _find(adata: AnnData, key: str | None, attr: str, use_raw: bool) -> tuple[Any, str]:
    """A matrix as it is stored, and its name in messages."""
    if use_raw:
        if adata.raw is None:
            raise MissingDataError("Unable to find `adata.raw`. Set it or pass `use_raw=False`.")
        return adata.raw.X, "`adata.raw.X`"
    store = getattr(adata, attr)
    if key is None or (key == "X" and key not in store):
        if adata.X is None:
            raise MissingDataError("Unable to find `adata.X`: it is empty. Name a layer instead.")
        return adata.X, "`adata.X`"
    if key not in store:
        raise MissingDataError(f"Unable to find `adata.{attr}[{key!r}]`.{suggest(key, store.keys())}")
    return store[key], f"`adata.{attr}[{key!r}]`"


def gene_mask(adata: AnnData, subset: Any) -> NDArray[np.bool_]:
    """Which genes are meant.

    Parameters
    ----------
    adata : AnnData
    subset : str, sequence of str or of bool, or None
        Name of a boolean `var` column, names of genes, a mask over genes, or None for all.

    Returns
    -------
    ndarray of bool, shape (n_genes,)
        At least one is True.

    Raises
    ------
    MissingDataError, InvalidDataError
        If the column or a gene does not exist, or no gene is left.
    """
    if subset is None:
        return np.ones(adata.n_vars, dtype=bool)
    if isinstance(subset, str):
        if subset not in adata.var:
            raise MissingDataError(
                f"Unable to find `adata.var[{subset!r}]`.{suggest(subset, adata.var.columns)}"
            )
        values, what = adata.var[subset].to_numpy(), f"`adata.var[{subset!r}]`"
    else:
        values, what = np.asarray(subset), "`gene_subset`"
        if not values.size:
            raise InvalidDataError("Expected `gene_subset` to select at least one gene, found none.")
    if values.ndim == 1 and not isinstance(subset, str) and values.dtype.kind in "OUST" and len(values):
        unknown = [g for g in values if g not in adata.var_names]
        if unknown:
            raise MissingDataError(
                f"Unable to find {len(unknown)} of {len(values)} genes of `gene_subset` in "
                f"`adata.var_names`, "
                f"first {unknown[0]!r}.{suggest(unknown[0], adata.var_names)}"
            )
        mask = np.asarray(adata.var_names.isin(values))
    else:
        kinds = {type(v) for v in values.tolist()} if values.dtype == object else {bool}
        if values.ndim != 1 or (values.dtype != bool and not (values.dtype == object and kinds <= {bool})):
            raise InvalidTypeError(
                f"Expected {what} to hold booleans or gene names, found type `{values.dtype}`."
            )
        if len(values) != adata.n_vars:
            raise InvalidDataError(
                f"Expected {what} to have {adata.n_vars} entries, one per gene, found {len(values)}."
            )
        mask = values.astype(bool)
    if not mask.any():
        raise InvalidDataError(f"Expected {what} to select at least one gene, found none.")
    return mask


def select_columns(matrix: Features, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Some columns as a dense float64 array."""
    block: Any = matrix[:, columns]
    return np.asarray(block.toarray() if is_sparse(block) else block, dtype=np.float64)


# Columns and embeddings -------------------------------------------------------------------------------


def column(adata: AnnData, key: str) -> pd.Series:
    """`adata.obs[key]`.

    Raises
    ------
    MissingDataError
    """
    if key not in adata.obs:
        raise MissingDataError(f"Unable to find `adata.obs[{key!r}]`.{suggest(key, adata.obs.columns)}")
    return adata.obs[key]


def numeric_column(adata: AnnData, key: str, what: str, argument: str) -> NDArray[np.float64]:
    """A column of finite numbers as float64.

    Raises
    ------
    MissingDataError
        Lists the numeric columns there are.
    InvalidDataError
        For text, NaN or infinite values; the message names cells.
    """
    if key not in adata.obs:
        numeric = [c for c in adata.obs if pd.api.types.is_numeric_dtype(adata.obs[c].dtype)]
        raise MissingDataError(
            f"No {what} in `adata.obs[{key!r}]`, or not of numbers.{suggest(key, numeric)} "
            f"Pass `{argument}=...` or compute one first."
        )
    try:
        values = np.array(adata.obs[key].to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        raise InvalidDataError(
            f"Expected `adata.obs[{key!r}]` to be numbers, found type `{adata.obs[key].dtype}`."
        ) from None
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InvalidDataError(
            f"Expected the {what} in `adata.obs[{key!r}]` to be finite, found NaN or infinite values for "
            f"{len(bad)} cells: {name_cells(adata.obs_names, bad)}. Remove these cells or compute it anew."
        )
    return values


def clusters_mask(adata: AnnData, key: str, clusters: Any, name: str) -> NDArray[np.bool_]:
    """Cells of one or more clusters.

    Parameters
    ----------
    adata : AnnData
    key : str
        A categorical (or text) column of `obs`.
    clusters : scalar or sequence
        One or more of its categories.
    name : str
        What the parameter is called in messages.

    Returns
    -------
    ndarray of bool, shape (n_cells,)

    Raises
    ------
    MissingDataError, InvalidTypeError, InvalidOptionError, InvalidDataError
        If the column does not exist, is not categorical, has no such category, or no cell is selected.
    """
    values = column(adata, key)
    if not isinstance(values.dtype, pd.CategoricalDtype):
        if not (values.dtype == object or pd.api.types.is_string_dtype(values) or values.dtype == bool):
            raise InvalidTypeError(
                f"Expected `adata.obs[{key!r}]` to be categorical, found type `{values.dtype}`. "
                f"Convert it with `adata.obs[{key!r}].astype('category')`."
            )
        values = values.astype("category")
    scalar = isinstance(clusters, str) or not np.iterable(clusters)
    wanted = [clusters] if scalar else list(clusters)
    if not wanted:
        raise InvalidDataError(
            f"Expected `{name}` to name at least one cluster of `adata.obs[{key!r}]`, found none."
        )
    for cluster in wanted:
        if cluster not in values.cat.categories:
            raise InvalidOptionError(
                f"Unable to find `{name}` {cluster!r} in "
                f"`adata.obs[{key!r}]`.{suggest(cluster, values.cat.categories)}"
            )
    mask = np.asarray(values.isin(wanted))
    if not mask.any():
        raise InvalidDataError(
            f"No cell has `{name}` {wanted!r} in `adata.obs[{key!r}]`. Choose another cluster."
        )
    return mask


def cells_mask(adata: AnnData, cells: Any, name: str) -> NDArray[np.bool_]:
    """Some cells: those of clusters, of a mask, or by name.

    Parameters
    ----------
    adata : AnnData
    cells : dict, sequence or array
        ``{obs_key: clusters}`` with one categorical column, a mask over cells, or names of cells.
    name : str
        What the parameter is called in messages.

    Returns
    -------
    ndarray of bool, shape (n_cells,)

    Raises
    ------
    InvalidTypeError, InvalidDataError, InvalidOptionError, MissingDataError
        If it is none of these, of another length, or names what is not there.
    """
    if isinstance(cells, Mapping):
        if len(cells) != 1:
            raise InvalidDataError(f"Expected `{name}` to have one key of `adata.obs`, found {len(cells)}.")
        ((key, clusters),) = cells.items()
        values = column(adata, key)
        if not isinstance(values.dtype, pd.CategoricalDtype):
            raise InvalidTypeError(
                f"Expected `adata.obs[{key!r}]` to be categorical, found type `{values.dtype}`. "
                f"Convert it with `adata.obs[{key!r}].astype('category')`."
            )
        return clusters_mask(adata, key, clusters, name)
    given = np.atleast_1d(np.asarray(cells))
    if not given.size:
        raise InvalidDataError(f"Expected `{name}` to select at least one cell, found none.")
    if given.ndim != 1 or given.dtype.kind not in "bOUT":
        raise InvalidTypeError(
            f"Expected `{name}` to be a dict, a mask or names of cells, found {given.ndim} dimensions of "
            f"type `{given.dtype}`."
        )
    if given.dtype == bool:
        if isinstance(cells, pd.Series) and not cells.index.equals(adata.obs_names):
            given = _in_order_of(adata, cells)
        if len(given) != adata.n_obs:
            raise InvalidDataError(
                f"Expected the mask `{name}` to have {adata.n_obs} entries, one per cell, found {len(given)}."
            )
        return given
    unknown = [cell for cell in given if cell not in adata.obs_names]
    if unknown:
        raise MissingDataError(
            f"Unable to find {len(unknown)} of {len(given)} `{name}` in `adata.obs_names`, first "
            f"{str(unknown[0])!r}.{suggest(unknown[0], adata.obs_names)}"
        )
    return np.asarray(adata.obs_names.isin(given))


def _in_order_of(adata: AnnData, mask: pd.Series) -> NDArray[np.bool_]:
    """A mask by names of cells in the order of `adata`; one that has other labels goes by position."""
    names = adata.obs_names
    same = len(mask) == len(names) and names.is_unique and names.isin(mask.index).all()
    return np.asarray(mask.loc[names] if same else mask, dtype=bool)


def embedding(adata: AnnData, basis: str) -> NDArray[np.float64]:
    """Coordinates of the cells, from `obsm["X_<basis>"]` or `obsm["<basis>"]`, as float64 in C order.

    Raises
    ------
    MissingDataError
        Says ``Unable to find a basis in`` and lists what is there.
    InvalidDataError
        If it is not a matrix of numbers.
    """
    candidates = _keys.basis_candidates(basis)
    key = next((k for k in candidates if k in adata.obsm), None)
    if key is None:
        places = " or ".join(f"`adata.obsm[{k!r}]`" for k in candidates)
        raise MissingDataError(
            f"Unable to find a basis in {places}.{suggest(candidates[0], adata.obsm.keys())}"
        )
    coordinates: Any = as_features(adata.obsm[key], f"`adata.obsm[{key!r}]`")
    if is_sparse(coordinates):
        coordinates = coordinates.toarray()
    return np.ascontiguousarray(coordinates, dtype=np.float64)
