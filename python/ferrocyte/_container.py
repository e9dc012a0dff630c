"""The file format: an open, versioned HDF5 container. Holds data only; nothing in a file is ever executed.

Root attributes say what a file is: `format`, `version`, `kind`. The dataset `content` is a JSON document;
arrays in it are references into the group `arrays`, where each is an element in anndata's on-disk format. The
group `adata` has annotated data.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem, write_elem

from ferrocyte._errors import FileFormatError, InvalidDataError, InvalidTypeError
from ferrocyte._sparse import check_csr, is_sparse

__all__ = ["Container", "read_container", "write_container"]

FORMAT = "ferrocyte"
VERSION = 1
# Marks a JSON object that stands for something else than itself.
TAG = "!"


class Container:
    """What is in a file: a JSON-like document with arrays in it, and annotated data.

    Parameters
    ----------
    kind : str
        What the document describes.
    content : dict
        Plain values, lists, tuples, dicts, arrays, sparse matrices, data frames.
    adatas : list of AnnData, optional
    """

    def __init__(self, kind: str, content: dict[str, Any], adatas: list[AnnData] | None = None) -> None:
        self.kind = kind
        self.content = content
        self.adatas = adatas or []


def write_container(fname: str | os.PathLike[str], container: Container) -> None:
    """Write a file; what was there is replaced once everything has been written.

    Raises
    ------
    InvalidTypeError
        If a value has no place in a file; names where it is.
    FileNotFoundError, IsADirectoryError, PermissionError
        If there is no such folder, or no file can be made in it.
    """
    path = Path(fname)
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to write in. Make it first.")
    arrays: dict[int, tuple[str, Any]] = {}
    document = _encode(container.content, arrays, container.kind)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs.update({"format": FORMAT, "version": VERSION, "kind": container.kind})
            file["content"] = json.dumps(document)
            group = file.create_group("arrays")
            for name, value in arrays.values():
                write_elem(group, name, value)
            if container.adatas:
                group = file.create_group("adata")
                for i, adata in enumerate(container.adatas):
                    write_elem(group, str(i), adata.to_memory() if adata.isbacked else adata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_container(fname: str | os.PathLike[str], kind: str) -> Container:
    """Read a file of this kind.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not ours, of another kind or version, or damaged.
    """
    path = Path(fname)
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Name a file in it.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if not h5py.is_hdf5(path):
        raise FileFormatError(
            f"Expected {str(path)!r} to be written by ferrocyte, found a file that is not HDF5. "
            "Pickles of other packages are not read; store their results in `.h5ad` and start from there."
        )
    try:
        opened = h5py.File(path, "r")
    except PermissionError:
        raise
    except OSError as err:
        raise FileFormatError(
            f"Unable to open {str(path)!r}, it is damaged or incomplete: {err}. Write it anew."
        ) from err
    with opened as file:
        attributes = {k: _text(v) for k, v in file.attrs.items()}
        if attributes.get("format") != FORMAT:
            what = attributes.get("encoding-type", "other")
            hint = " Read it with `anndata.read_h5ad`." if what == "anndata" else ""
            raise FileFormatError(
                f"Expected {str(path)!r} to be written by ferrocyte, found HDF5 of {what} content.{hint}"
            )
        if attributes.get("version") != VERSION:
            raise FileFormatError(
                f"Expected {str(path)!r} to be of format version {VERSION}, found version "
                f"{attributes.get('version')}. Read it with the version of ferrocyte that wrote it."
            )
        if attributes.get("kind") != kind:
            raise FileFormatError(
                f"Expected {str(path)!r} to hold a {kind}, found a {attributes.get('kind')}. Read it with "
                f"the "
                "`read` of that class."
            )
        try:
            document = json.loads(file["content"][()])
            arrays = {name: _read_array(file["arrays"], name) for name in file["arrays"]}
            content = _decode(document, arrays)
            group = file.get("adata", {})
            adatas = [read_elem(group[str(i)]) for i in range(len(group))]
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError, RecursionError) as err:
            raise FileFormatError(
                f"Unable to read {str(path)!r}, it is damaged: {err}. Write it anew."
            ) from err
    return Container(kind, content, adatas)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _encode(value: Any, arrays: dict[int, tuple[str, Any]], where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
    if isinstance(value, list):
        return [_encode(v, arrays, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, tuple):
        return {TAG: "tuple", "items": _encode(list(value), arrays, where)}
    if isinstance(value, Mapping):
        items = [[_encode(k, arrays, where), _encode(v, arrays, f"{where}[{k!r}]")] for k, v in value.items()]
        return {TAG: "dict", "items": items}
    stored = _as_element(value)
    if stored is None:
        raise InvalidTypeError(
            f"Unable to write `{where}` of type `{type(value).__name__}` to a file. Plain values, lists, "
            f"dicts, "
            "arrays, sparse matrices and data frames can be written; nothing is pickled."
        )
    tag, element = stored
    # One array that is used in two places is written once.
    name, _ = arrays.setdefault(id(value), (f"{len(arrays)}", element))
    return {TAG: tag, "name": name}


def _as_element(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
        return "array", np.asarray(value)
    if (
        isinstance(value, np.ndarray)
        and value.dtype == object
        and all(isinstance(v, str) for v in value.flat)
    ):
        return "array", value
    if is_sparse(value):
        return "sparse", value if value.format in ("csr", "csc") else value.tocsr()
    if isinstance(value, pd.DataFrame):
        return "frame", value
    if isinstance(value, pd.Series):
        return "series", value.to_frame(name="0" if value.name is None else str(value.name))
    if isinstance(value, pd.Categorical):
        return "categorical", value
    return None


def _read_array(group: h5py.Group, name: str) -> Any:
    value = read_elem(group[name])
    if is_sparse(value):
        matrix = sp.csc_matrix(value) if value.format == "csc" else sp.csr_matrix(value)
        try:
            check_csr(matrix.T if matrix.format == "csc" else matrix, "a stored matrix")
        except InvalidDataError as err:
            raise ValueError(str(err)) from err
        return matrix
    return value


def _decode(value: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_decode(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    tag = value[TAG]
    if tag == "float":
        return float(value["value"])
    if tag == "tuple":
        return tuple(_decode(value["items"], arrays))
    if tag == "dict":
        return {_decode(k, arrays): _decode(v, arrays) for k, v in value["items"]}
    if tag == "series":
        return arrays[value["name"]].iloc[:, 0]
    if tag in ("array", "sparse", "frame", "categorical"):
        return arrays[value["name"]]
    raise ValueError(f"unknown entry {tag!r}")
