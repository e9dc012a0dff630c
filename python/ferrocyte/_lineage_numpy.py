"""What numpy's functions return when they are given a Lineage.

A reduction of a Lineage keeps two dimensions and says in its names what was reduced; a function that keeps
the shape and does not move lineages keeps names and colours. Everything else gives what it would give for the
plain array. Which functions are of the first two kinds is said here by name: what an unknown function did to
the columns can not be seen from the shape of its result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte._colors import GREY
from ferrocyte._lineage_labels import Labels

__all__ = ["call", "reduced", "unwrap"]

_REDUCE = frozenset({
    "all", "any", "amax", "amin", "argmax", "argmin", "average", "count_nonzero", "max", "mean", "median",
    "min", "percentile", "prod", "ptp", "quantile", "std", "sum", "trapezoid", "var",
    "nanargmax", "nanargmin", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod",
    "nanquantile", "nanstd", "nansum", "nanvar",
    "norm", "vector_norm",
})  # fmt: skip
# Each lineage, or each cell, by itself: the columns stay where they are.
_KEEP = frozenset({
    "argpartition", "argsort", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "nancumprod",
    "nancumsum", "partition", "sort",
})  # fmt: skip
# These move whole rows or columns: the columns stay only if rows are moved.
_MOVE = frozenset({"flip", "roll"})
_SHORT = {"amax": "max", "amin": "min"}


def unwrap(value: Any, cls: type | tuple[type, ...]) -> Any:
    """The same, with each `cls` in it, also in lists, tuples and dicts, as the plain array it is."""
    if isinstance(value, cls):
        return np.asarray(value)
    if isinstance(value, list | tuple) and any(isinstance(v, (list, tuple, dict, cls)) for v in value):
        inner = [unwrap(v, cls) for v in value]
        if isinstance(value, list):
            return inner
        return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
    if isinstance(value, dict):
        return {k: unwrap(v, cls) for k, v in value.items()}
    return value


def call(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], cls: type
) -> tuple[Any, Any, Labels | None]:
    """Call a function on plain arrays.

    Returns
    -------
    result
        Of the function; two-dimensional if there are labels.
    source : Lineage or None
        The Lineage to which the labels belong.
    labels : Labels or None
        What to call the lineages of the result; None if it is a plain array.
    """
    out = kwargs.get("out")
    result = func(*unwrap(tuple(args), cls), **unwrap(dict(kwargs), cls))
    if out is not None:
        return out, None, None
    source, axis = _operand(func, args, kwargs)
    if not isinstance(source, cls) or not isinstance(result, np.ndarray | np.generic):
        return result, None, None
    return _label(func.__name__, np.asarray(result), result, source, axis)


def _operand(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """First argument and axis of a call."""
    if func.__name__ not in _REDUCE | _KEEP | _MOVE:
        return None, None
    try:
        bound = inspect.signature(func).bind(*args, **kwargs)
    except (TypeError, ValueError):  # functions in C without a signature
        return None, None
    bound.apply_defaults()
    first = next(iter(bound.arguments.values()), None)
    return first, bound.arguments.get("axis")


def _label(name: str, values: NDArray[Any], result: Any, source: Any, axis: Any) -> Any:
    nothing = result, None, None
    axes = _axes(axis, source.ndim)
    if axes is None:
        return nothing
    labels: Labels = source._labels()
    if name in _REDUCE:
        target, named = reduced(labels, source.shape, axes, _SHORT.get(name, name))
        if values.size != target[0] * target[1]:
            return nothing  # several quantiles at once
        return values.reshape(target), source, named
    moved = name in _MOVE and labels.axis in axes
    if moved or values.shape != source.shape:
        return nothing
    return values, source, labels


def _axes(axis: Any, ndim: int) -> frozenset[int] | None:
    """The axes meant, counted from the front; None if it is not an axis."""
    if axis is None:
        return frozenset(range(ndim))
    try:
        given = [int(a) for a in axis] if isinstance(axis, tuple | list) else [int(axis)]
    except TypeError:
        return None
    return frozenset(a % ndim for a in given)


def reduced(
    labels: Labels, shape: tuple[int, ...], axes: frozenset[int], name: str
) -> tuple[tuple[int, int], Labels]:
    """Shape and labels of a Lineage of `shape` after the function `name` went over `axes`."""
    rows, columns = (1 if i in axes else n for i, n in enumerate(shape))
    if len(axes) == 2:
        return (rows, columns), Labels([name], [GREY], labels.axis)
    if labels.axis in axes:
        return (rows, columns), Labels([f"{name} of {', '.join(labels.names)}"], [GREY], labels.axis)
    return (rows, columns), Labels([f"{name} of {n}" for n in labels.names], labels.colors, labels.axis)
