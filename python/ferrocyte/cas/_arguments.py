"""Numbers and tokens as users give them."""

from __future__ import annotations

import math
import numbers
import operator
import os
from typing import Any

from ferrocyte._errors import InvalidOptionError, InvalidTypeError
from ferrocyte.cas._http import Secret

__all__ = ["finite", "positive", "token"]


def positive(value: Any, name: str, kind: type = int) -> Any:
    """A positive whole number, or with ``kind=float`` a positive number of seconds.

    Raises
    ------
    InvalidOptionError
    """
    if kind is int:
        try:
            number: Any = operator.index(value) if not isinstance(value, bool) else 0
        except TypeError:
            number = 0
    else:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if not 0 < number < float("inf"):
        what = "a positive whole number" if kind is int else "a positive number of seconds"
        raise InvalidOptionError(f"Expected `{name}` to be {what}, found {value!r}.")
    return number


def finite(value: Any, name: str) -> float:
    """A finite number.

    Raises
    ------
    InvalidOptionError
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InvalidOptionError(f"Expected `{name}` to be a finite number, found {value!r}.")
    return float(value)


def token(value: Any) -> Secret:
    """A token, from the environment if none is given.

    Raises
    ------
    InvalidTypeError, InvalidOptionError
    """
    if value is None:
        value = os.environ.get("CAS_API_TOKEN", "")
    if not isinstance(value, str):
        raise InvalidTypeError(f"Expected `api_token` to be a string, found `{type(value).__name__}`.")
    value = value.strip()
    if not value:
        raise InvalidOptionError(
            "No token for the annotation service. Pass `api_token=...` or set the environment variable "
            "CAS_API_TOKEN."
        )
    if not value.isascii() or not value.isprintable():
        # The value itself must not be shown, and httpx would show it.
        raise InvalidOptionError("Expected `api_token` to be printable ASCII characters; found others in it.")
    return Secret(value)
