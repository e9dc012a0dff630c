"""Arguments of models: arrays, signals, and errors that say which model they happened to."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import FitError, InvalidDataError, InvalidTypeError
from ferrocyte.models.signals import Gene, Obs, Signal

__all__ = ["UNSET", "column", "fatal", "resolve_signal", "same_error"]

Array = NDArray[np.float64]
UNSET: Any = type("_Unset", (), {"__repr__": lambda self: "<default>"})()
"""Default of arguments whose None means something."""


@contextmanager
def fatal(model: object) -> Iterator[None]:
    """Raise what happens inside once more as the same type, saying to which model it happened."""
    try:
        yield
    except Exception as err:
        if "Fatal model" in str(err):
            raise
        raise same_error(err, f"Fatal model failure `{model}`. {err}") from err


def same_error(err: BaseException, message: str) -> BaseException:
    """An exception of the same type with another message."""
    try:
        out = type(err)(message)
    except Exception:  # a constructor that wants more than a message
        return FitError(message)
    out.__dict__.update(err.__dict__)
    return out


def column(values: ArrayLike, name: str) -> Array:
    """Values as float64 of shape (n, 1)."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidDataError(f"Expected `{name}` to hold numbers, found others.") from None
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        raise InvalidDataError(f"Expected `{name}` to be of shape `(n, 1)` or `(n,)`, found `{array.shape}`.")
    return array.reshape(-1, 1)


def resolve_signal(signal: Any, gene: Any, data_key: Any = UNSET, use_raw: Any = UNSET) -> Signal:
    """The signal meant by the arguments of `prepare`; those of the past warn."""
    past = [n for n, v in (("data_key", data_key), ("use_raw", use_raw)) if v is not UNSET]
    if gene is not None:
        if signal is not None:
            raise InvalidTypeError("Expected either `signal` or `gene`, found both. Leave `gene` out.")
        signal, past = gene, ["gene", *past]
    if isinstance(signal, Signal):
        if past:
            raise InvalidTypeError(
                f"A `Signal` says where it is: {', '.join(f'`{n}`' for n in past)} can not be combined with "
                "one. Leave that out."
            )
        return signal
    if not isinstance(signal, str):
        raise InvalidTypeError(
            f"Expected `signal` to be the name of a gene or a `Signal`, found `{type(signal).__name__}`."
        )
    if past:
        warnings.warn(
            f"{', '.join(f'`{n}`' for n in past)} is deprecated. Pass a signal, such as "
            "`ferrocyte.models.Gene('name', layer='layer')` or `Obs('key')`.",
            DeprecationWarning,
            stacklevel=5,
        )
    raw = bool(use_raw) if use_raw is not UNSET else False
    key = None if data_key is UNSET or raw else data_key
    if key == "obs":
        return Obs(signal)
    return Gene(signal, layer=None if key == "X" else key, use_raw=raw)
