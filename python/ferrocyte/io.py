"""Reading and writing of kernels. Files are described in `ferrocyte._container`."""

from __future__ import annotations

import os
import warnings
from typing import Any

from anndata import AnnData

from ferrocyte._container import Container, read_container, write_container
from ferrocyte._errors import FerrocyteWarning, FileFormatError, InvalidDataError, InvalidTypeError, suggest
from ferrocyte._options import plain
from ferrocyte.kernels._algebra import Constant, KernelExpression, KernelProduct, KernelSum
from ferrocyte.kernels._base import Kernel
from ferrocyte.kernels._matrix import to_transition_matrix

__all__ = ["read_kernel", "write_kernel"]

KIND = "kernel"


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
    content = {"tree": _tree(kernel, position), "leaves": written}
    write_container(fname, Container(KIND, content, list(adatas.values())))


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
    try:
        leaves = [_leaf(entry) for entry in file.content["leaves"]]
        tree = _grow(file.content["tree"], leaves)
    except (KeyError, TypeError, IndexError, AttributeError, InvalidDataError) as err:
        raise FileFormatError(f"Unable to read {str(fname)!r}, it is damaged: {err}. Write it anew.") from err

    if file.adatas:
        if adata is not None:
            warnings.warn(
                "`adata` is ignored: the file has annotated data of its own.", FerrocyteWarning, stacklevel=3
            )
        for leaf, entry in zip(leaves, file.content["leaves"], strict=True):
            if entry["adata"] is not None:
                leaf.adata = file.adatas[entry["adata"]]
    else:
        adata = _given(adata, leaves[0].shape[0], copy)
        for leaf in leaves:
            leaf.adata = adata
    return tree


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


def _known_classes() -> list[type[Kernel]]:
    found: list[type[Kernel]] = []
    waiting: list[type[Kernel]] = list(Kernel.__subclasses__())
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting.extend(cls.__subclasses__())
    return found


def _find_class(name: str, module: str) -> type[Kernel]:
    """A class that this process knows already; a file can not make us import anything."""
    same = [cls for cls in _known_classes() if cls.__name__ == name]
    # The last definition wins: in a notebook, a class is defined again and again.
    exact = [cls for cls in same if cls.__module__ == module] or same
    if not exact:
        names = {cls.__name__ for cls in _known_classes()}
        raise FileFormatError(
            f"Unable to find a kernel class {name!r}, of module {module!r}. Import or define it before "
            f"reading.{suggest(name, sorted(names))}"
        )
    return exact[-1]


def _leaf(entry: dict[str, Any]) -> Kernel:
    cls = _find_class(entry["class"], entry["module"])
    kernel = cls.__new__(cls)
    kernel.__dict__.update({name: plain(value) for name, value in entry["state"].items()})
    kernel._adata, kernel._pending_params, kernel._request = None, None, {}
    kernel._n_cells = int(entry["n_cells"])
    matrix = kernel._transition_matrix
    if matrix is not None:
        kernel._transition_matrix = to_transition_matrix(matrix, kernel.shape)
    return kernel
