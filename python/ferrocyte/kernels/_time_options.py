"""What may be asked of a kernel over experimental time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, suggest
from ferrocyte._options import check_number, check_option
from ferrocyte.kernels._couplings import Key

__all__ = ["check_couplings", "check_self_transitions", "check_threshold", "check_ways"]


def check_couplings(couplings: Mapping[Key, Any], times: Sequence[Any], time_key: str) -> dict[Key, Any]:
    """The couplings given, which go from a time point to a later one; a dict is not copied."""
    if not isinstance(couplings, Mapping):
        raise InvalidTypeError(
            f"Expected `couplings` to be a dict by `(source, target)` time, found "
            f"`{type(couplings).__name__}`."
        )
    for key in couplings:
        if not (isinstance(key, tuple) and len(key) == 2):
            raise InvalidOptionError(f"Expected couplings by `(source, target)` time, found the key {key!r}.")
        for part in key:
            if part not in times:
                raise InvalidOptionError(
                    f"Expected times of `adata.obs[{time_key!r}]` in the coupling {key!r}, found "
                    f"{part!r}.{_same_text(part, times) or suggest(part, times)}"
                )
        if times.index(key[0]) >= times.index(key[1]):
            raise InvalidOptionError(
                f"Expected the coupling {key!r} to go to a later time. Order of times: {list(times)}."
            )
    if not couplings:
        raise InvalidOptionError("Expected at least one coupling, found none.")
    return couplings if isinstance(couplings, dict) else dict(couplings)


def _same_text(time: Any, times: Sequence[Any]) -> str:
    """A hint where a time is written as one that is there, but is of another type."""
    for known in times:
        if str(known) == str(time):
            return f" The times there are of type `{type(known).__name__}`: pass {known!r}."
    return ""


def check_ways(pairs: Sequence[Key], times: Sequence[Any], time_key: str) -> Any:
    """The last time point that is coupled; each of the others must lead somewhere."""
    last = max((time for pair in pairs for time in pair), key=list(times).index)
    sources = {source for source, _ in pairs}
    lost = [time for time in times if time not in sources and time != last]
    if lost:
        raise InvalidDataError(
            f"Expected a coupling from each time point but the last, found none from {lost}. Add them, or "
            f"remove the cells of these times: `adata[~adata.obs[{time_key!r}].isin({lost})]`."
        )
    return last


def check_threshold(threshold: Any) -> Any:
    """The name of a rule, a percentile, or None."""
    if threshold is None or isinstance(threshold, str):
        return check_option(threshold, "threshold", ("auto", "auto_local", None))
    return check_number(threshold, "threshold", low=0.0, high=100.0)


def check_self_transitions(given: Any, conn_weight: Any, pairs: Mapping[Key, Any]) -> tuple[list[Any], str]:
    """Times whose cells also go to cells of their own time; and the name of the mode."""
    if not isinstance(given, str) and isinstance(given, list | tuple | np.ndarray | pd.Index):
        inner = list(given)
        known = {source for source, _ in pairs}
        for time in inner:
            if time not in known:
                raise InvalidOptionError(
                    f"Expected source times in `self_transitions`, found {time!r}.{suggest(time, known)}"
                )
    else:
        check_option(given, "self_transitions", ("uniform", "diagonal", "connectivities", "all"))
        inner = list(dict.fromkeys(source for source, _ in pairs)) if given == "all" else []
    if inner:
        if conn_weight is not None:
            conn_weight = check_number(conn_weight, "conn_weight")
        if conn_weight is None or not 0 < conn_weight < 1:
            raise InvalidOptionError(
                f"Expected `conn_weight` to be above 0 and below 1 with `self_transitions={given!r}`, found "
                f"{conn_weight}. Pass for instance `conn_weight=0.1`."
            )
    elif conn_weight is not None:
        check_number(conn_weight, "conn_weight")
    return inner, str(given)
