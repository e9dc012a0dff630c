"""Files of a command: written whole or not at all, and what has been done already."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from ferrocyte import _core
from ferrocyte._errors import FileFormatError, MissingDataError
from ferrocyte._settings import threads
from ferrocyte.cli._exit import UsageError

__all__ = ["STEPS", "check_output", "check_place", "digest", "fingerprint", "read", "write", "write_whole"]

# uns: fingerprint of every finished step
STEPS = "ferrocyte_steps"


def check_output(path: Path, *, overwrite: bool, source: Path) -> None:
    """Refuse an output that can not or must not be written, before any work.

    Raises
    ------
    UsageError
        If it exists and is not to be replaced.
    OSError
        If the folder can not be written to.
    """
    if path.suffix != ".h5ad":
        raise UsageError(f"Expected --out to end with .h5ad, found {str(path)!r}.")
    check_place(path, overwrite=overwrite, source=source)


def check_place(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """As :func:`check_output`, for files of any kind."""
    if path.exists() and not overwrite and not _same_file(path, source):
        raise UsageError(f"{str(path)!r} exists. Add --overwrite to replace it, or name another file.")
    if path.exists() and _same_file(path, source) and not overwrite:
        raise UsageError("--out is the input itself. Add --overwrite to replace it, or name another file.")
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r} to write to. Make it first.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"Unable to write to the folder {str(folder)!r}.")


def _same_file(a: Path, b: Path | None) -> bool:
    return b is not None and a.exists() and b.exists() and os.path.samefile(a, b)


def read(path: Path, *, backed: bool = False) -> AnnData:
    """Read annotated data.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not annotated data, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        return read_h5ad(path, backed="r" if backed else None)
    except Exception as err:
        raise FileFormatError(
            f"Expected {str(path)!r} to be annotated data (.h5ad), found a file that can not be read: {err}"
        ) from err


def write(adata: AnnData, path: Path) -> None:
    """Write annotated data, whole or not at all."""
    write_whole(path, adata.write_h5ad)


def write_whole(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` write beside `path`, then put it in its place: a reader never sees half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        writer(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(adata: AnnData, cluster_key: str | None) -> str:
    """Fingerprint of everything in the data that a step may read.

    Names, `X`, layers, graphs, embeddings and the columns of `obs` and `var` count; results of earlier runs
    do not.
    """
    out = hashlib.blake2b(digest_size=16)
    for names in (adata.obs_names, adata.var_names):
        out.update("\x1f".join(map(str, names)).encode())
    for where, key, matrix in _matrices(adata):
        value = matrix.to_numpy() if isinstance(matrix, pd.DataFrame) else matrix
        out.update(f"{where}/{key}".encode())
        out.update(str(_fingerprint_of(value)).encode())
    for where, table in (("obs", adata.obs), ("var", adata.var)):
        for key in table.columns:
            if not _is_result(key):
                out.update(f"{where}/{key}".encode())
                out.update(pd.util.hash_pandas_object(table[key], index=False).to_numpy().tobytes())
    if cluster_key is not None:
        if cluster_key not in adata.obs:
            raise MissingDataError(f"Unable to find clusters in `adata.obs[{cluster_key!r}]`.")
        out.update("\x1f".join(adata.obs[cluster_key].astype(str)).encode())
    return out.hexdigest()


def _matrices(adata: AnnData) -> Any:
    if adata.X is not None:
        yield "X", "", adata.X
    for where in ("layers", "obsp", "obsm"):
        mapping = getattr(adata, where)
        for key in sorted(key for key in mapping if key is not None):  # anndata 0.13: X
            if not _is_result(key):
                yield where, key, mapping[key]


def _is_result(key: str) -> bool:
    """Names that commands write themselves; they are made of the rest."""
    return any(part in key for part in ("_fwd", "_bwd"))


def _fingerprint_of(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype not in (np.float32, np.float64):
        return hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).hexdigest()
    if hasattr(value, "tocsr"):
        csr = value.tocsr()
        parts = hashlib.blake2b(digest_size=16)
        for array in (csr.indptr, csr.indices, csr.data):
            parts.update(np.ascontiguousarray(array).tobytes())
        return parts.hexdigest()
    return _core.fingerprint(np.ascontiguousarray(value), threads=threads())


def fingerprint(*parts: Any) -> str:
    """Of the options of a step and of the steps before it."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
