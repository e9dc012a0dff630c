"""Which macrostates are initial and which terminal. Pure functions on the coarse-grained chain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError, InvalidOptionError
from ferrocyte._options import check_count, check_number, check_option
from ferrocyte.estimators._eigen import eigengap

__all__ = ["METHODS", "least_visited", "most_stable", "only_one"]

METHODS = ("stability", "top_n", "eigengap", "eigengap_coarse")


def most_stable(
    coarse: pd.DataFrame,
    method: str,
    *,
    threshold: float,
    n_states: Any,
    alpha: float,
    gap: Callable[[], int],
) -> list[str]:
    """Names of the macrostates that are terminal.

    Parameters
    ----------
    coarse : DataFrame, shape (n_macrostates, n_macrostates)
        Transitions between macrostates; the diagonal is their stability.
    method : str
        One of :data:`METHODS`.
    threshold : float
        Least stability, for ``"stability"``.
    n_states : int or None
        How many, for ``"top_n"``.
    alpha : float
        Of the gap between stabilities, for ``"eigengap_coarse"``.
    gap : callable
        Gives the eigengap, for ``"eigengap"``.

    Returns
    -------
    list of str
        For ``"stability"`` in the order of the macrostates, else the most stable last.

    Raises
    ------
    InvalidDataError
        If none is stable enough; says ``No macrostate has a stability`` and which threshold would select one.
    InvalidOptionError
        For an unknown method and numbers out of range.
    """
    check_option(method, "method", METHODS)
    names = [str(n) for n in coarse.index]
    stability = np.diag(coarse.to_numpy())
    if method == "stability":
        threshold = check_number(threshold, "stability_threshold")
        found = [name for name, value in zip(names, stability, strict=True) if value >= threshold]
        if not found:
            best = float(stability.max())
            raise InvalidDataError(
                f"No macrostate has a stability of at least {threshold:g}. The most stable is "
                f"{names[int(stability.argmax())]!r} with {best:.4g}: `stability_threshold="
                f"{_just_below(best):g}` would select it, `method='top_n', n_states=...` the most stable "
                "ones."
            )
        return found
    if method == "top_n":
        if n_states is None:
            raise InvalidOptionError("Expected `n_states` to be a number for `method='top_n'`, found None.")
        number = check_count(n_states, "n_states")
        if number > len(names):
            raise InvalidOptionError(
                f"Expected `n_states` to be at most {len(names)}, the number of macrostates, found {number}."
            )
    elif method == "eigengap":
        number = min(gap() + 1, len(names))
    else:
        number = eigengap(stability, check_number(alpha, "alpha", low=0)) + 1
    order = np.argsort(-stability, kind="stable")[:number]
    return [names[i] for i in order[::-1]]


def _just_below(stability: float) -> float:
    return math.floor(stability * 100) / 100


def only_one(name: str, coarse: pd.DataFrame | None) -> str:
    """What to do where one state is left; without `coarse` it is the only macrostate."""
    certain = "every cell will end there with probability 1"
    if coarse is None:
        return f"There is one macrostate, {name!r}: {certain}. Compute more macrostates."
    others = pd.Series(np.diag(coarse.to_numpy()), index=coarse.index.astype(str)).drop(name)
    following, stability = str(others.idxmax()), float(others.max())
    return (
        f"Only one macrostate is selected, {name!r}: {certain}. The next most stable one is {following!r} "
        f"with {stability:.4g}: if it is a fate, too, take it with `stability_threshold="
        f"{_just_below(stability):g}` or `method='top_n', n_states=2`. Else compute another number of "
        "macrostates, or choose with `.set_terminal_states()`."
    )


def least_visited(stationary: pd.Series, n_states: Any) -> list[str]:
    """Names of the macrostates with the smallest stationary probability, the smallest first.

    Raises
    ------
    InvalidOptionError
        If there are not so many.
    """
    number = check_count(n_states, "n_states")
    if number > len(stationary):
        raise InvalidOptionError(
            f"Requested `n_states={number}` initial states, but only {len(stationary)} macrostates have been "
            "computed."
        )
    order = np.argsort(stationary.to_numpy(), kind="stable")[:number]
    return [str(stationary.index[i]) for i in order]
