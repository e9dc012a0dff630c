"""Estimators as annotated data and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import pandas as pd
from anndata import AnnData

from ferrocyte import _keys
from ferrocyte._errors import InvalidTypeError, MissingDataError, suggest
from ferrocyte._options import check_option

__all__ = ["ATTRS", "copied_attrs", "kept_adata", "kernel_to_adata"]

ATTRS = ("X", "raw", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns")
# Those without keys.
_WHOLE = ("X", "raw")


def kept_adata(adata: AnnData, keep: Any, copy: Any) -> AnnData:
    """A new AnnData object over the same cells and genes with some of the content.

    Parameters
    ----------
    adata : AnnData
    keep : "all", str, sequence of str, or dict
        Attributes, or which keys of them: ``{attr: True | "all" | key | sequence of keys}``.
    copy : bool, str or sequence of str
        Copy everything, nothing, or these attributes.

    Raises
    ------
    InvalidOptionError, InvalidTypeError
        For what is no attribute.
    MissingDataError
        For a key that is not there.
    """
    wanted = _wanted(keep)
    copied = copied_attrs(copy)
    content: dict[str, Any] = {}
    for attr, keys in wanted.items():
        value = getattr(adata, attr)
        if attr in _WHOLE:
            if keys is not True:
                raise InvalidTypeError(f"Expected `True` for {attr!r}: it has no keys, found {keys!r}.")
            if value is not None:
                content[attr] = _raw(value, attr in copied) if attr == "raw" else _item(value, attr in copied)
            continue
        # anndata 0.13 has X among the layers, as None.
        names = [name for name in value if name is not None] if keys is True else keys
        for name in names:
            if name not in value:
                raise MissingDataError(
                    f"Unable to find {name!r} in `adata.{attr}`.{suggest(name, value.keys())}"
                )
        if attr in ("obs", "var"):
            content[attr] = value[names].copy()
        else:
            content[attr] = {name: _item(value[name], attr in copied) for name in names}
    content.setdefault("obs", pd.DataFrame(index=adata.obs_names.copy()))
    content.setdefault("var", pd.DataFrame(index=adata.var_names.copy()))
    return AnnData(**content)


def copied_attrs(copy: Any) -> set[str]:
    """Attributes that `copy` names."""
    if isinstance(copy, bool):
        return set(ATTRS) if copy else set()
    names = [copy] if isinstance(copy, str) else list(copy)
    return {check_option(name, "copy", ATTRS) for name in names}


def _wanted(keep: Any) -> dict[str, Any]:
    if isinstance(keep, str):
        keep = ATTRS if keep == "all" else [keep]
    if isinstance(keep, Mapping):
        out: dict[str, Any] = {}
        for attr, keys in keep.items():
            attr = check_option(attr, "keep", ATTRS)
            if keys is True or (isinstance(keys, str) and keys == "all"):
                out[attr] = True
            elif keys is not False and keys is not None:
                out[attr] = [keys] if isinstance(keys, str) else list(keys)
        return out
    if not isinstance(keep, Sequence | set | frozenset):
        raise InvalidTypeError(
            f"Expected `keep` to be 'all', names of attributes or a dict, found `{type(keep).__name__}`."
        )
    return {check_option(attr, "keep", ATTRS): True for attr in keep}


def _item(value: Any, copy: bool) -> Any:
    if not copy:
        return value
    return value.copy() if hasattr(value, "copy") else deepcopy(value)


def _raw(raw: Any, copy: bool) -> dict[str, Any]:
    return {
        "X": _item(raw.X, copy),
        "var": raw.var.copy() if copy else raw.var,
        "varm": {k: _item(v, copy) for k, v in raw.varm.items()},
    }


def kernel_to_adata(kernel: Any, adata: AnnData, *, copy: bool) -> None:
    """Store the matrix of a kernel and its parameters in another AnnData object."""
    key = _keys.transition_matrix(kernel.backward)
    matrix = kernel._require_matrix()
    adata.obsp[key] = matrix.copy() if copy else matrix
    adata.uns[_keys.params(key)] = {
        _keys.PARAMS: deepcopy(kernel.params),
        _keys.INIT: deepcopy(kernel._init_for(key)),
    }
