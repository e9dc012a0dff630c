"""Counts, wherever they lie: rows of an AnnData object or of a file, a few cells at a time.

Nothing is loaded whole: files are read row group by row group, matrices in memory are cut in place.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte._errors import (
    FileFormatError,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.cas._rows import Reader, reader
from ferrocyte.cas.constants import CountMatrixInput

__all__ = ["Source", "matrix_input", "open_source"]


@dataclass
class Source(AbstractContextManager["Source"]):
    """Cells with their counts.

    Attributes
    ----------
    cells : list of str
        Names, in order; may repeat.
    var : pandas.DataFrame
        About the genes of the matrix.
    read : Reader
        ``read(start, stop)`` gives rows as a CSR matrix or a dense array, float32 or float64.
    values : array or None
        All stored values, if they are in memory.
    excluded : array of bool or None
        Features that are no genes.
    where : str
        For messages.
    genomes : dict
        Other matrices of the same file, by name, for files with several.
    """

    cells: list[str]
    var: pd.DataFrame
    read: Reader
    where: str
    values: NDArray[Any] | None = None
    excluded: NDArray[np.bool_] | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    genomes: dict[str, Source] = field(default_factory=dict)

    def __exit__(self, *exc: object) -> None:
        self.stack.close()


def matrix_input(value: Any) -> CountMatrixInput:
    """One of the two matrices, from an enumeration member or a string.

    Raises
    ------
    InvalidOptionError
    """
    try:
        return CountMatrixInput(getattr(value, "value", value))
    except ValueError:
        raise InvalidOptionError(
            f"Expected `count_matrix_input` to be 'X' or 'raw.X', found {value!r}."
        ) from None


def open_source(matrix: Any, count_matrix: CountMatrixInput) -> Source:
    """Open what the user gave.

    Parameters
    ----------
    matrix : AnnData, str or path-like
        Cells by genes, or the path of an ``.h5ad`` file or of an ``.h5`` file as Cell Ranger writes it.
    count_matrix : CountMatrixInput

    Raises
    ------
    InvalidTypeError, InvalidOptionError, MissingDataError, InvalidDataError, FileFormatError
    FileNotFoundError
    """
    if isinstance(matrix, AnnData):
        source = _from_adata(matrix, count_matrix)
    elif isinstance(matrix, str | os.PathLike):
        source = _from_file(Path(matrix), count_matrix)
    else:
        raise InvalidTypeError(
            f"Expected an AnnData object or the path of an .h5ad or .h5 file, found "
            f"`{type(matrix).__name__}`."
        )
    if not source.cells or not len(source.var):
        source.stack.close()
        raise InvalidDataError(
            f"Expected cells and genes in {source.where}, found {len(source.cells)} cells and "
            f"{len(source.var)} genes."
        )
    try:
        _check_names(source.cells)
    except InvalidDataError:
        source.stack.close()
        raise
    return source


def _check_names(cells: list[str]) -> None:
    """Answers come by name: each has to survive the way there and back."""
    text = "\n".join(cells)
    if "\0" not in text and text.isascii():
        return
    for name in cells:
        # Fixed-length strings of HDF5 end at a zero.
        if name.endswith("\0") or any("\ud800" <= c <= "\udfff" for c in name):
            raise InvalidDataError(
                f"The name {name!r} of a cell can not be sent: it is no valid text. Rename it in `obs_names`."
            )


def _no_raw(where: str) -> MissingDataError:
    return MissingDataError(f"No `raw` in {where}. Pass `count_matrix_input='X'`, or set `adata.raw`.")


def _from_adata(adata: AnnData, count_matrix: CountMatrixInput) -> Source:
    where = "`adata.X`"
    cells = [str(name) for name in adata.obs_names]
    if count_matrix is CountMatrixInput.RAW_X:
        if adata.raw is None:
            raise _no_raw("the AnnData object")
        where, var, x = "`adata.raw.X`", adata.raw.var, adata.raw.X
    elif adata.is_view and not adata.isbacked:
        # The matrix of a view is made when asked for: ask for a few rows at a time.
        return Source(cells, adata.var, _rows_of_view(adata), where)
    else:
        var, x = adata.var, adata.X
    if x is None:
        raise MissingDataError(f"Expected counts in {where}, found None.")
    if x.shape != (len(cells), len(var)):
        raise InvalidDataError(f"Expected {where} of shape {(len(cells), len(var))}, found {x.shape}.")
    read, values = reader(x)
    return Source(cells, var, read, where, values)


def _rows_of_view(adata: AnnData) -> Reader:
    def read(start: int, stop: int) -> Any:
        rows, _ = reader(adata[start:stop].X)
        return rows(0, stop - start)

    return read


def _from_file(path: Path, count_matrix: CountMatrixInput) -> Source:
    if path.suffix not in (".h5ad", ".h5"):
        raise InvalidOptionError(
            f"Expected a file that ends in .h5ad (AnnData) or .h5 (Cell Ranger), found {path.name!r}."
        )
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
        except OSError as err:
            raise FileFormatError(f"{str(path)!r} is no HDF5 file ({err}).") from None
        if path.suffix == ".h5ad":
            source = _from_h5ad(file, path, count_matrix)
        else:
            source = _from_10x(file, path, count_matrix)
        source.stack.push(stack.pop_all())
        return source


def _from_h5ad(file: h5py.File, path: Path, count_matrix: CountMatrixInput) -> Source:
    from anndata.io import read_elem

    where, var_key = ("raw/X", "raw/var") if count_matrix is CountMatrixInput.RAW_X else ("X", "var")
    where_said = f"`{where}` of {str(path)!r}"
    if count_matrix is CountMatrixInput.RAW_X and "raw" not in file:
        raise _no_raw(repr(str(path)))
    if "obs" not in file or "var" not in file:
        raise FileFormatError(f"{str(path)!r} is no AnnData file: it has no `obs` and `var`.")
    if where not in file:
        raise MissingDataError(f"Expected counts in {where_said}, found nothing there.")
    if not all(isinstance(file[k], h5py.Group) for k in ("obs", var_key)):
        # A layout of anndata before 0.7: let anndata see to it.
        import anndata

        return _from_adata(anndata.read_h5ad(path), count_matrix)
    obs = file["obs"]
    cells = [str(name) for name in read_elem(obs[obs.attrs["_index"]])]
    read, values = reader(file[where])
    return Source(cells, read_elem(file[var_key]), read, where_said, values)


def _text(dataset: h5py.Dataset) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in dataset[()]]


def _from_10x(file: h5py.File, path: Path, count_matrix: CountMatrixInput) -> Source:
    if count_matrix is CountMatrixInput.RAW_X:
        raise InvalidOptionError("A Cell Ranger file has one matrix: pass `count_matrix_input='X'`.")
    if "matrix" in file:
        return _from_10x_group(file["matrix"], path)
    groups = [g for g in file.values() if isinstance(g, h5py.Group) and {"barcodes", "genes"} <= set(g)]
    if not groups:
        raise FileFormatError(
            f"{str(path)!r} is no file of Cell Ranger: expected a group 'matrix' (version 3) or one for each "
            f"genome (version 2), found {sorted(file)}."
        )
    sources = {g.name.strip("/"): _from_10x_group(g, path) for g in groups}
    first = next(iter(sources.values()))
    if len(sources) > 1:
        first.genomes = sources
    return first


def _from_10x_group(group: h5py.Group, path: Path) -> Source:
    features = group.get("features")
    excluded = None
    if features is not None:
        var = pd.DataFrame({"gene_symbols": _text(features["name"])}, index=_text(features["id"]))
        if "feature_type" in features:
            var["feature_types"] = _text(features["feature_type"])
            excluded = (var["feature_types"] != "Gene Expression").to_numpy()
        if "genome" in features:
            var["genome"] = _text(features["genome"])
    else:
        var = pd.DataFrame({"gene_symbols": _text(group["gene_names"])}, index=_text(group["genes"]))
    cells = _text(group["barcodes"])
    read, values = reader(group, shape=(len(cells), len(var)), kind="csr")
    return Source(cells, var, read, f"{str(path)!r}", values, excluded)
