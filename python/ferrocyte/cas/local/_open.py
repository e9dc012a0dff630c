"""From what a user has (a reference, several, or cells with types) to references that can be asked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from anndata import AnnData

from ferrocyte._errors import InvalidOptionError, InvalidTypeError
from ferrocyte.cas.constants import CellMetadataFeatures
from ferrocyte.cas.local import _pca
from ferrocyte.cas.local._build import build_reference
from ferrocyte.cas.local._reference import VERSION, Reference

__all__ = ["LOCAL_LIMITS", "References", "open_references"]

_One: TypeAlias = Reference | AnnData | str | os.PathLike[str]
References: TypeAlias = _One | Sequence[_One] | Mapping[str, _One]
# As the protocol, and CELLxGENE, name it.
TYPE_COLUMN = CellMetadataFeatures.CELL_TYPE.value
# For a client whose service is a thread of its own: nothing is gained by asking again, and no answer is late.
LOCAL_LIMITS: dict[str, Any] = {
    "num_attempts_per_chunk": 1,
    "max_concurrent_requests": 2,
    "request_timeout": 7 * 86_400.0,
    "total_timeout": 7 * 86_400.0,
    "lookup_timeout": 7 * 86_400.0,
}


def open_references(
    what: References, cell_type_column: str | None = None, **options: Any
) -> dict[str, Reference]:
    """Open references, or build them first.

    Parameters
    ----------
    what : Reference, path-like, AnnData, or a sequence or mapping of these
        Folders are opened. Cells, in memory or as ``.h5ad``, are made into references: those of a file into
        the cache (``FERROCYTE_CACHE``, or ``ferrocyte`` below the user's cache folder), to be found there the
        next time while the file stays as it is; those in memory into a temporary folder.
    cell_type_column : str, optional
        For cells: column of `obs` with their types; default: ``"cell_type"``.
    **options
        For cells: of :func:`build_reference`.

    Returns
    -------
    dict of str to Reference
        By model name, in order.

    Raises
    ------
    InvalidOptionError, InvalidTypeError, MissingDataError, FileFormatError, FileNotFoundError

    Examples
    --------
    With `known` of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> from ferrocyte.cas.local import open_references
    >>> {name: reference.n_cells for name, reference in open_references({"marrow": known}).items()}
    {'marrow': 104}
    """
    if isinstance(what, Mapping):
        named = [(str(name), _open(one, cell_type_column, options)) for name, one in what.items()]
    elif isinstance(what, list | tuple):
        named = [(r.name, r) for r in (_open(one, cell_type_column, options) for one in what)]
    else:
        one = _open(what, cell_type_column, options)
        named = [(one.name, one)]
    if not named:
        raise InvalidOptionError("Expected at least one reference, found none.")
    out = dict(named)
    if len(out) < len(named):
        raise InvalidOptionError(
            f"Two references have the same name, of {[name for name, _ in named]}. Pass a mapping of "
            "names to references."
        )
    return out


def _open(one: _One, column: str | None, options: dict[str, Any]) -> Reference:
    if isinstance(one, Reference):
        return one
    if isinstance(one, AnnData):
        folder = Path(tempfile.mkdtemp(prefix="ferrocyte-"))
        try:
            out = build_reference(one, folder / "local", column or TYPE_COLUMN, **options)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(out, shutil.rmtree, folder, ignore_errors=True)
        return out
    if not isinstance(one, str | os.PathLike):
        raise InvalidTypeError(
            "Expected a reference, its folder, an AnnData object or the path of an .h5ad file, found "
            f"`{type(one).__name__}`."
        )
    path = Path(one)
    if path.suffix != ".h5ad" or path.is_dir():
        given = [f"`{name}`" for name in ("cell_type_column",) if column is not None]
        given += [f"`{name}`" for name in options if name != "n_jobs"]
        if given:
            raise InvalidOptionError(
                f"{', '.join(given)}: for cells that become a reference, and {str(path)!r} is no .h5ad file."
            )
        return Reference(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    return _cached(path, column or TYPE_COLUMN, options)


def _cached(path: Path, column: str, options: dict[str, Any]) -> Reference:
    found = path.stat()
    # The number of threads changes nothing in a reference.
    told = {k: str(v) for k, v in sorted(options.items()) if k != "n_jobs"}
    versions = [VERSION, _pca.RECIPE]
    key = json.dumps([str(path.resolve()), found.st_size, found.st_mtime_ns, column, told, *versions])
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    root = os.environ.get("FERROCYTE_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ferrocyte"
    )
    folder = Path(root, "references", f"{path.stem}-{digest}")
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = f"{error.strerror}: references are kept there; set FERROCYTE_CACHE to another folder"
            raise OSError(error.errno, why, str(folder.parent)) from error
        try:
            build_reference(path, folder, column, **{"name": path.stem, **options})
        except OSError:
            # Somebody else may have been faster.
            if not folder.exists():
                raise
    return Reference(folder)
