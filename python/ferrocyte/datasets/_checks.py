"""Checks of numbers given by the user to `simulate`."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ferrocyte._errors import InvalidOptionError, InvalidTypeError

__all__ = ["check_count", "check_number", "check_times"]


def check_count(name: str, value: Any, least: int, most: int | None = None, hint: str = "") -> int:
    """Take a whole number in [least, most]; bool is not one."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise InvalidTypeError(
            f"Expected `{name}` to be a whole number, found {value!r} of type {type(value).__name__}. "
            f"Pass an int of at least {least}."
        )
    number = operator.index(value)
    if number < least or (most is not None and number > most):
        range_ = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidOptionError(
            f"Expected `{name}` to be {range_}, found {number}." + (f" It must be {hint}." if hint else "")
        )
    return number


def check_number(name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """Take a finite real number above or at least a bound."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidTypeError(
            f"Expected `{name}` to be a number, found {value!r} of type {type(value).__name__}."
        )
    if not math.isfinite(value) or value <= above or value < least:
        bound = f"above {above:g}" if math.isfinite(above) else f"of at least {least:g}"
        raise InvalidOptionError(f"Expected `{name}` to be a finite number {bound}, found {value}.")
    return float(value)


def check_times(times: Sequence[float]) -> np.ndarray:
    """Take increasing, finite, non-negative collection times."""
    try:
        out = np.asarray(times, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(f"Expected `times` to be a sequence of numbers, found {times!r}.") from None
    if out.ndim != 1 or out.size == 0:
        raise InvalidOptionError(f"Expected `times` to be a non-empty sequence of numbers, found {times!r}.")
    if not np.isfinite(out).all() or (out < 0).any() or (np.diff(out) <= 0).any():
        raise InvalidOptionError(
            f"Expected `times` to be finite, not negative and increasing, found {times!r}. "
            "Sort them and drop repeats."
        )
    return out
