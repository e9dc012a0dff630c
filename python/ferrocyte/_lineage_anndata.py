"""Where a Lineage is in an AnnData object, what its lineages are called, and how anndata writes one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _keys
from ferrocyte._adata import check_adata
from ferrocyte._colors import default_colors, to_hex
from ferrocyte._errors import FerrocyteWarning, InvalidDataError, MissingDataError, suggest
from ferrocyte._options import check_option

__all__ = ["Kind", "annotate", "register_writers", "stored", "values_of"]

Kind: TypeAlias = Literal["fate_probs", "macrostates", "term_states"]
KINDS = ("fate_probs", "macrostates", "term_states")


def stored(
    adata: AnnData, kind: str, backward: bool, estimator_backward: bool | None
) -> tuple[Any, str, list[str]]:
    """What is stored for a kind of lineages.

    Returns
    -------
    value : object
        `adata.obsm[key]` as it is.
    key : str
    named_in : list of str
        Columns of `obs` whose categories may be its names, most likely first.

    Raises
    ------
    MissingDataError
        If it is not there.
    """
    check_adata(adata)
    kind = check_option(kind, "kind", KINDS)
    # The prefix says terminal or initial, the suffix is the direction of the kernel.
    named = _keys.states(estimator_backward, initial=backward)
    if kind == "macrostates":
        columns = [_keys.macrostates(backward)]
        keys = [_keys.memberships(columns[0])]
    elif kind == "term_states":
        columns = [named]
        if estimator_backward is None:
            columns.append(_keys.states(True, initial=backward))
        keys = [_keys.memberships(c) for c in columns]
    else:
        # Fates are those of the terminal states of an estimator, whatever its direction; other writers
        # look for the names of a backward one among the initial states.
        columns = [_keys.states(backward), named] if backward else [named, _keys.states(backward)]
        keys = [_keys.lineages(backward)]
    for i, key in enumerate(keys):
        if key in adata.obsm:
            unique = list(dict.fromkeys(columns if len(keys) == 1 else columns[i : i + 1]))
            return adata.obsm[key], key, unique
    raise MissingDataError(
        f"Unable to find lineage data in `adata.obsm[{keys[0]!r}]`.{suggest(keys[0], adata.obsm.keys())} "
        "Compute it first, or set `backward` and `kind`."
    )


def values_of(value: Any, key: str) -> NDArray[Any]:
    """Stored numbers as a matrix, not copied if they are one.

    Raises
    ------
    InvalidDataError
        If they are not two-dimensional numbers.
    """
    matrix: Any = value
    if isinstance(value, pd.DataFrame):
        matrix = value.to_numpy()
    elif sp.issparse(value):
        matrix = matrix.toarray()
    array = np.asarray(matrix)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise InvalidDataError(
            f"Expected `adata.obsm[{key!r}]` to be a matrix of numbers, cells x lineages; found "
            f"{array.ndim} dimensions of type {array.dtype}."
        )
    return array


def annotate(
    adata: AnnData, value: Any, n: int, key: str, named_in: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Names and colours of `n` stored lineages; defaults, with a warning, for what is not known."""
    columns, known = list(named_in), True
    if isinstance(value, pd.DataFrame):
        names = [str(c) for c in value.columns]
        column = next((c for c in columns if _categories(adata, c) == names), columns[0])
    else:
        found = next((c for c in columns if len(_categories(adata, c)) == n), None)
        column = columns[0] if found is None else found
        names = _categories(adata, column) if found is not None else [str(i) for i in range(n)]
        if found is None:
            places = " or ".join(f"`adata.obs[{c!r}]`" for c in columns)
            known = False
            _warn(
                f"Unable to find {n} lineage names for `adata.obsm[{key!r}]` in {places}. They are called "
                f"'0' to '{n - 1}'; set `.names` and `.colors` to change that."
            )
    place = _keys.colors(column)
    try:
        given = [str(c) for c in np.atleast_1d(np.asarray(adata.uns[place], dtype=object))]
        colors = [to_hex(c) for c in given] if len(given) == n else None
    except (KeyError, InvalidDataError):
        colors = None
    if colors is None:
        if known:
            _warn(f"Unable to find {n} colors in `adata.uns[{place!r}]`. Default colors are used.")
        colors = default_colors(n)
    return names, colors


def _categories(adata: AnnData, column: str) -> list[str]:
    values = adata.obs.get(column)
    if values is None or not isinstance(values.dtype, pd.CategoricalDtype):
        return []
    return [str(c) for c in values.cat.categories]


def _warn(message: str) -> None:
    warnings.warn(message, FerrocyteWarning, stacklevel=4)


def register_writers(classes: Iterable[type]) -> None:
    """Have anndata write subclasses of ndarray as what they are on disk: plain arrays.

    anndata chooses a writer by the exact class and has no public way to add one, so its table is extended by
    entries that hand a plain view to those for ndarray: zarr indexes what it writes in ways that a class with
    an indexing of its own need not know. Should the table move, everything but writing still works.
    """
    try:
        from anndata._io.specs.registry import _REGISTRY

        writers, specs = dict(_REGISTRY.write), dict(_REGISTRY.write_specs)
    except (ImportError, AttributeError):  # pragma: no cover
        return
    for cls in classes:
        for (target, source, modifiers), write in writers.items():
            if source is np.ndarray or (isinstance(source, tuple) and source[0] is np.ndarray):
                own = (cls, *source[1:]) if isinstance(source, tuple) else cls
                _REGISTRY.write.setdefault((target, own, modifiers), _of_plain(write))
                _REGISTRY.write_specs.setdefault(own, specs[source])


def _of_plain(write: Callable[..., Any]) -> Callable[..., Any]:
    """The writer `write(group, key, value, ...)`, given the plain array under `value`."""

    @wraps(write)
    def plain(group: Any, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return write(group, key, np.asarray(value), *args, **kwargs)

    return plain
