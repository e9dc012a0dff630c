"""Reading and writing of kernels and estimators. Files are described in `ferrocyte._container`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ferrocyte._container import Container, read_container, write_container
from ferrocyte._errors import FileFormatError, InvalidDataError, InvalidTypeError, suggest, warn_user
from ferrocyte._options import plain
from ferrocyte._results import Results, step_of
from ferrocyte.kernels._algebra import Constant, KernelExpression, KernelProduct, KernelSum
from ferrocyte.kernels._base import Kernel
from ferrocyte.kernels._matrix import to_transition_matrix
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from ferrocyte.estimators import BaseEstimator

__all__ = ["read_estimator", "read_kernel", "write_estimator", "write_kernel"]

KIND, ESTIMATOR = "kernel", "estimator"


def write_kernel(
    kernel: KernelExpression, fname: str | os.PathLike[str], *, write_adata: bool = True
) -> None:
    """Write a kernel or an expression to a file.

    Parameters
    ----------
    kernel : Kernel or KernelExpression
    fname : path
        Replaced once everything has been written.
    write_adata : bool, default True
        Write the annotated data, too.

    Raises
    ------
    InvalidTypeError
        If an attribute of a user's kernel has no place in a file.
    """
    content, adatas = _describe(kernel, write_adata)
    write_container(fname, Container(KIND, content, adatas))


def _describe(kernel: KernelExpression, write_adata: bool) -> tuple[dict[str, Any], list[AnnData]]:
    """A kernel as a document, and the annotated data of its leaves."""
    leaves = kernel._leaves()
    adatas: dict[int, AnnData] = {}
    if write_adata:
        adatas = {id(leaf.adata): leaf.adata for leaf in leaves if leaf.adata is not None}
    index = {key: i for i, key in enumerate(adatas)}
    written = [
        {
            "class": type(leaf).__name__,
            "module": type(leaf).__module__,
            "n_cells": leaf.shape[0],
            "adata": index.get(id(leaf.adata)),
            "state": {k: v for k, v in leaf.__dict__.items() if k not in Kernel._not_written},
        }
        for leaf in leaves
    ]
    position = {id(leaf): i for i, leaf in enumerate(leaves)}
    return {"tree": _tree(kernel, position), "leaves": written}, list(adatas.values())


def read_kernel(
    fname: str | os.PathLike[str], *, adata: AnnData | None = None, copy: bool = False
) -> KernelExpression:
    """Read a kernel or an expression from a file.

    Parameters
    ----------
    fname : path
    adata : AnnData, optional
        The annotated data, if the file has none; ignored with a warning if it has.
    copy : bool, default False
        Copy `adata` before using it; a view is always copied.

    Returns
    -------
    Kernel or KernelExpression

    Raises
    ------
    FileFormatError
        If the file is not ours, of another kind or version, or of a class that is not known here.
    InvalidTypeError
        If the file has no annotated data and none is given; says ``This object was saved without``.
    InvalidDataError
        If `adata` has another number of cells; says ``Expected `adata` to be of length``.
    """
    file = read_container(fname, KIND)
    with _damage_named(fname):
        tree, leaves = _restore(file.content)
    _attach(file, file.content, leaves, adata, copy)
    return tree


def write_estimator(
    estimator: BaseEstimator, fname: str | os.PathLike[str], *, write_adata: bool = True
) -> None:
    """Write an estimator to a file: kernel, results and parameters.

    Parameters
    ----------
    estimator : BaseEstimator
    fname : path
        Replaced once everything has been written.
    write_adata : bool, default True
        Write the annotated data, too.

    Raises
    ------
    InvalidTypeError
        If an attribute of a user's kernel has no place in a file.
    """
    from ferrocyte.estimators._base import OF_THE_KERNEL

    kernel, adatas = _describe(estimator.kernel, write_adata)
    content = {
        "class": type(estimator).__name__,
        "module": type(estimator).__module__,
        "kernel": kernel,
        "results": {name: _packed(value) for name, value in estimator._results.values.items()},
        "params": estimator._results._params,
        "state": {
            name: _packed(value) for name, value in estimator.__dict__.items() if name not in OF_THE_KERNEL
        },
    }
    write_container(fname, Container(ESTIMATOR, content, adatas))


def read_estimator(
    fname: str | os.PathLike[str], *, adata: AnnData | None = None, copy: bool = False
) -> BaseEstimator:
    """Read an estimator from a file.

    Parameters
    ----------
    fname : path
    adata : AnnData, optional
        The annotated data, if the file has none; ignored with a warning if it has.
    copy : bool, default False
        Copy `adata` before using it; a view is always copied.

    Returns
    -------
    BaseEstimator

    Raises
    ------
    FileFormatError
        If the file is not ours, of another kind or version, or of a class that is not known here.
    InvalidTypeError
        If the file has no annotated data and none is given; says ``This object was saved without``.
    InvalidDataError
        If `adata` has another number of cells; says ``Expected `adata` to be of length``.
    """
    # Its classes are among those that a file may name; who reads kernels does not need them.
    from ferrocyte.estimators import BaseEstimator

    file = read_container(fname, ESTIMATOR)
    with _damage_named(fname):
        content = file.content
        tree, leaves = _restore(content["kernel"])
        cls = _find_class(content["class"], content["module"], BaseEstimator, "an estimator")
        values = {name: _unpacked(value) for name, value in content["results"].items()}
        params = {step: plain(dict(content["params"][step])) for step in content["params"]}
        for name in values:
            step_of(name)
        state = {name: _unpacked(value) for name, value in content["state"].items()}
    _attach(file, content["kernel"], leaves, adata, copy)
    estimator = cls.__new__(cls)
    estimator.__dict__.update(state, _kernel=tree, _results=Results(tree))
    estimator._results.load(values, params)
    return estimator


def _packed(value: Any) -> Any:
    """A result as what a file can hold; names of states may not be names in a file."""
    if isinstance(value, Lineage):
        return {
            "as": "lineage",
            "values": value.X,
            "names": [str(n) for n in value.names],
            "colors": [str(c) for c in value.colors],
        }
    if isinstance(value, pd.DataFrame):
        return {
            "as": "frame",
            "columns": [str(c) for c in value.columns],
            "index": _packed_index(value.index),
            "values": [value.iloc[:, i].to_numpy() for i in range(value.shape[1])],
            "attrs": value.attrs,
        }
    if isinstance(value, pd.Series):
        categorical = isinstance(value.dtype, pd.CategoricalDtype)
        return {
            "as": "series",
            "index": _packed_index(value.index),
            "values": np.asarray(value.cat.codes) if categorical else value.to_numpy(),
            "categories": [str(c) for c in value.cat.categories] if categorical else None,
        }
    return {"as": "plain", "values": value}


def _packed_index(index: pd.Index) -> Any:
    return index.to_numpy().astype(object) if len(index) and isinstance(index[0], str) else index.to_numpy()


def _unpacked(stored: dict[str, Any]) -> Any:
    kind, values = stored["as"], stored["values"]
    if kind == "lineage":
        return Lineage(values, names=stored["names"], colors=stored["colors"])
    if kind == "frame":
        index = pd.Index(stored["index"])
        columns = [pd.Series(v, index=index) for v in values]
        frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)
        frame.columns = pd.Index(stored["columns"])
        frame.attrs.update(stored["attrs"])
        return frame
    if kind == "series":
        if stored["categories"] is not None:
            values = pd.Categorical.from_codes(values, categories=stored["categories"])
        return pd.Series(values, index=pd.Index(stored["index"]))
    if kind == "plain":
        return plain(values)
    raise ValueError(f"unknown result {kind!r}")


@contextmanager
def _damage_named(fname: Any) -> Iterator[None]:
    """What can go wrong with a document that is not what we wrote."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as err:
        if isinstance(err, FileFormatError):
            raise
        raise FileFormatError(f"Unable to read {str(fname)!r}, it is damaged: {err}. Write it anew.") from err


def _restore(content: dict[str, Any]) -> tuple[KernelExpression, list[Any]]:
    leaves = [_leaf(entry) for entry in content["leaves"]]
    return _grow(content["tree"], leaves), leaves


def _attach(file: Container, kernel: dict[str, Any], leaves: list[Any], adata: Any, copy: bool) -> None:
    """Give the leaves their annotated data: that of the file, or the given one."""
    if file.adatas:
        if adata is not None:
            warn_user("`adata` is ignored: the file has annotated data of its own.")
        for leaf, entry in zip(leaves, kernel["leaves"], strict=True):
            if entry["adata"] is not None:
                leaf.adata = file.adatas[entry["adata"]]
    else:
        adata = _given(adata, leaves[0].shape[0], copy)
        for leaf in leaves:
            leaf.adata = adata


def _given(adata: Any, n_cells: int, copy: bool) -> AnnData:
    if not isinstance(adata, AnnData):
        found = "" if adata is None else f", found `{type(adata).__name__}`"
        raise InvalidTypeError(
            f"This object was saved without `adata`. Pass the annotated data as `adata=...`{found}."
        )
    if adata.n_obs != n_cells:
        raise InvalidDataError(
            f"Expected `adata` to be of length `{n_cells}`, found `{adata.n_obs}`. Pass the annotated data "
            f"that the "
            "kernel was computed from."
        )
    return adata.copy() if copy or adata.is_view else adata


def _tree(expression: KernelExpression, position: dict[int, int]) -> dict[str, Any]:
    if isinstance(expression, Constant):
        return {"constant": expression.transition_matrix}
    if isinstance(expression, KernelSum | KernelProduct):
        return {
            "sum" if isinstance(expression, KernelSum) else "product": [
                _tree(term, position) for term in expression._terms
            ],
            "evaluated": expression._result is not None,
        }
    return {"leaf": position[id(expression)]}


def _grow(tree: dict[str, Any], leaves: list[Any]) -> KernelExpression:
    if "leaf" in tree:
        return leaves[tree["leaf"]]
    if "constant" in tree:
        return Constant(tree["constant"])
    terms = tuple(_grow(term, leaves) for term in tree["sum" if "sum" in tree else "product"])
    out = KernelSum(terms) if "sum" in tree else KernelProduct(terms)
    if tree["evaluated"]:
        out.compute_transition_matrix()
    return out


def _known_classes(base: type) -> list[type]:
    found: list[type] = []
    waiting: list[type] = list(base.__subclasses__())
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting.extend(cls.__subclasses__())
    return found


def _find_class(name: str, module: str, base: type, what: str) -> Any:
    """A class that this process knows already; a file can not make us import anything."""
    known = _known_classes(base)
    same = [cls for cls in known if cls.__name__ == name]
    # The last definition wins: in a notebook, a class is defined again and again.
    exact = [cls for cls in same if cls.__module__ == module] or same
    if not exact:
        names = {cls.__name__ for cls in known}
        raise FileFormatError(
            f"Unable to find {what} class {name!r}, of module {module!r}. Import or define it before "
            f"reading.{suggest(name, sorted(names))}"
        )
    return exact[-1]


def _leaf(entry: dict[str, Any]) -> Kernel:
    cls = _find_class(entry["class"], entry["module"], Kernel, "a kernel")
    kernel = cls.__new__(cls)
    kernel.__dict__.update({name: plain(value) for name, value in entry["state"].items()})
    kernel._adata, kernel._pending_params, kernel._request = None, None, {}
    kernel._n_cells = int(entry["n_cells"])
    matrix = kernel._transition_matrix
    if matrix is not None:
        kernel._transition_matrix = to_transition_matrix(matrix, kernel.shape)
    return kernel
