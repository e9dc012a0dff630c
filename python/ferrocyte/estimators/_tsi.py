"""Terminal state identification: how soon known terminal states show up as macrostates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from ferrocyte._errors import ConvergenceError, InvalidDataError, InvalidOptionError

__all__ = ["COLUMNS", "score", "table", "usable"]

COLUMNS = ("number_of_macrostates", "identified_terminal_states", "optimal_identification")


def table(
    n_macrostates: int,
    terminal_states: Sequence[str],
    cluster_key: str,
    clusters_of: Callable[[int], set[str]],
) -> pd.DataFrame:
    """Count, for each number of macrostates, the terminal states among them.

    Parameters
    ----------
    n_macrostates : int
        The largest number.
    terminal_states : sequence of str
        Known terminal states, categories of `cluster_key`.
    cluster_key : str
        Kept in `attrs`.
    clusters_of : callable
        Clusters of the macrostates by their number; a number for which it raises takes the count of the next
        smaller one.

    Returns
    -------
    DataFrame
        Columns :data:`COLUMNS`, from many to few; `attrs` has `terminal_states` and `cluster_key`.
    """
    wanted = list(dict.fromkeys(terminal_states))
    counts: list[int] = []
    for number in range(1, n_macrostates + 1):
        try:
            count = len(clusters_of(number) & set(wanted))
        except (InvalidDataError, InvalidOptionError, ConvergenceError):
            count = counts[-1] if counts else 0
        counts.append(count)
    numbers = range(n_macrostates, 0, -1)
    out = pd.DataFrame(
        {
            COLUMNS[0]: list(numbers),
            COLUMNS[1]: counts[::-1],
            COLUMNS[2]: [min(number, len(wanted)) for number in numbers],
        }
    )
    out.attrs.update(terminal_states=wanted, cluster_key=cluster_key)
    return out


def usable(found: pd.DataFrame | None, n: int, terminal_states: Any, cluster_key: Any, options: Any) -> bool:
    """Whether a table answers for at most `n` macrostates of the same question; None asks nothing."""
    if found is None or int(found[COLUMNS[0]].max()) < n:
        return False
    same_states = terminal_states is None or set(found.attrs["terminal_states"]) == set(terminal_states)
    same_key = cluster_key is None or found.attrs["cluster_key"] == cluster_key
    same_options = terminal_states is None or found.attrs.get("options") == options
    return same_states and same_key and same_options


def score(found: pd.DataFrame, n: int) -> float:
    """Identified terminal states over what is possible, with at most `n` macrostates; in [0, 1]."""
    rows = found[found[COLUMNS[0]] <= n]
    return float(rows[COLUMNS[1]].sum() / rows[COLUMNS[2]].sum())
