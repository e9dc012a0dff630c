"""Checks of parameters that are not data: choices, numbers, and parameters that steer nothing here."""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from ferrocyte._errors import InvalidOptionError, InvalidTypeError, nearest, warn_user

__all__ = ["check_count", "check_number", "check_option", "check_seed", "draw_seed", "no_effect", "plain"]

_told: set[tuple[str, str]] = set()


def check_option(value: Any, name: str, choices: Iterable[Any]) -> Any:
    """Return `value` if it is one of `choices`, which are strings or None.

    Raises
    ------
    InvalidOptionError
        Says ``Invalid option``, lists the choices and suggests the nearest.
    """
    choices = list(choices)
    # numpy strings and string enumerations count as the string they hold
    found = str(value) if isinstance(value, str) and not isinstance(value, enum.Enum) else value
    if isinstance(found, enum.Enum):
        found = found.value
    if any(found is c or (isinstance(found, str) and found == c) for c in choices):
        return found
    close = nearest(value, [str(c) for c in choices]) if isinstance(value, str) else None
    hint = f" Did you mean {close!r}?" if close is not None else ""
    listed = ", ".join(repr(c) for c in choices)
    raise InvalidOptionError(f"Invalid option {value!r} for `{name}`.{hint} Valid options: {listed}.")


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
) -> float:
    """Return `value` as a finite float in [low, high] and above `above`.

    Raises
    ------
    InvalidTypeError
        If it is not a number.
    InvalidOptionError
        If it is outside its range.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidTypeError(f"Expected `{name}` to be a number, found `{type(value).__name__}`.")
    number = float(value)
    if math.isfinite(number) and low <= number <= high and number > above:
        return number
    if math.isfinite(above):
        expected = "to be positive" if above == 0 else f"to be above {above:g}"
    elif math.isfinite(low) and math.isfinite(high):
        expected = f"to be in [{low:g}, {high:g}]"
    else:
        expected = "to be finite" if not math.isfinite(low) else f"to be at least {low:g}"
    raise InvalidOptionError(f"Expected `{name}` {expected}, found {value!r}.")


def check_count(value: Any, name: str, *, least: int = 1, what: str | None = None) -> int:
    """Return `value` as an int of at least `least`; `what` says in messages of what it is the number.

    Raises
    ------
    InvalidTypeError
        If it is not a whole number.
    InvalidOptionError
        If it is too small.
    """
    if not isinstance(value, bool | np.bool_):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if number >= least:
                return number
            expected = "to be positive" if least == 1 else f"to be at least {least}"
            subject = f"`{name}`" if what is None else f"number of {what}"
            raise InvalidOptionError(f"Expected {subject} {expected}, found {number}.")
    raise InvalidTypeError(f"Expected `{name}` to be a whole number, found `{type(value).__name__}`.")


def check_seed(seed: Any) -> int | None:
    """Return a seed in [0, 2**63) or None.

    Raises
    ------
    InvalidOptionError, InvalidTypeError
        For anything else.
    """
    if seed is None:
        return None
    number = check_count(seed, "seed", least=0)
    if number >= 2**63:
        raise InvalidOptionError(f"Expected `seed` to be below 2**63, found {number}.")
    return number


def draw_seed() -> int:
    """Draw a seed from the operating system; 32 bits, so that it is easy to write down."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def no_effect(
    name: str, value: Any, default: Any, why: str = "work is done by threads of this process"
) -> None:
    """Warn, once per value, that a parameter kept for compatibility has nothing to steer."""
    if value == default or (name, repr(value)) in _told:
        return
    _told.add((name, repr(value)))
    warn_user(f"`{name}={value!r}` has no effect: {why}. Leave it out.")


def plain(value: Any) -> Any:
    """Turn numpy scalars, also inside dicts and lists, into the Python values they stand for."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value
