"""What the solvers of absorption problems are given, and what it means when they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import FerrocyteError, InvalidDataError, InvalidOptionError, NoTransientCellsError
from ferrocyte._lineage_index import members
from ferrocyte._options import check_number, check_option, no_effect
from ferrocyte._results import fate_labels
from ferrocyte._sparse import SHOWN, name_cells

__all__ = ["States", "check_solver", "explain_unreachable", "select_states"]

# What we have for what is asked for.
SOLVERS = {
    "gmres": "gmres",
    "bicgstab": "bicgstab",
    "direct": "direct",
    "lgmres": "gmres",
    "gcrotmk": "gmres",
}
PRECONDITIONERS = ("jacobi", "ilu", "multilevel", "direct")


class States(NamedTuple):
    """Selected terminal states.

    Attributes
    ----------
    target : ndarray of int64, shape (n_cells,)
        Position of the state of each cell, -1 for none.
    names, colors : list of str
    """

    target: NDArray[np.int64]
    names: list[str]
    colors: list[str]


def check_solver(solver: Any, tol: Any, preconditioner: Any, use_petsc: Any, backend: Any) -> dict[str, Any]:
    """Arguments of the core's solvers.

    Raises
    ------
    InvalidOptionError, InvalidTypeError
        For an unknown solver, and a tolerance outside of (0, 1).
    """
    no_effect("backend", backend, "loky")
    no_effect("use_petsc", use_petsc, True, "the solvers are part of this package")
    tol = check_number(tol, "tol", above=0)
    if tol >= 1:
        raise InvalidOptionError(f"Expected `tol` to be in (0, 1), found {tol}.")
    if preconditioner is not None and preconditioner not in PRECONDITIONERS:
        no_effect("preconditioner", preconditioner, None, f"there are {', '.join(PRECONDITIONERS)}")
        preconditioner = None
    return {
        "solver": SOLVERS[check_option(solver, "solver", SOLVERS)],
        "tol": tol,
        "preconditioner": preconditioner,
    }


def select_states(series: pd.Series, colors: Sequence[str], keys: Any) -> States:
    """Select and merge terminal states.

    Parameters
    ----------
    series : Series of category
        State of each cell, missing for cells in none.
    colors : sequence of str
        Of the categories.
    keys : str, sequence of str or None
        ``"a, b"`` merges; None for all states as they are.

    Returns
    -------
    States
        Single states in the order of the categories, then merged ones.

    Raises
    ------
    MissingDataError, InvalidDataError
        For unknown and overlapping names, and for states without cells.
    NoTransientCellsError
        If every cell is in a selected state.
    """
    categories = [str(c) for c in series.cat.categories]
    names, shown = categories, list(colors)
    if keys is not None:
        if not len(np.atleast_1d(np.asarray(keys, dtype=object))):
            raise InvalidDataError(f"No states have been selected. Choose from {categories}.")
        names, shown = fate_labels(categories, list(colors), keys)
    position = {}
    for k, parts in enumerate(members(names, categories)):
        position.update(dict.fromkeys(parts, k))
    lookup = np.array([*(position.get(c, -1) for c in categories), -1], dtype=np.int64)
    target = lookup[series.cat.codes.to_numpy()]
    sizes = np.bincount(target[target >= 0], minlength=len(names))
    if (sizes == 0).any():
        raise InvalidDataError(
            f"Expected every terminal state to have cells, found none in {names[int(sizes.argmin())]!r}. Set "
            "the states anew without it, or select others with `keys`."
        )
    if (target >= 0).all():
        raise NoTransientCellsError(
            f"Expected some cells to be in none of the states {names}, found all {len(target)} in them. Use "
            "fewer cells per state, or fewer states."
        )
    return States(target, names, shown)


def explain_unreachable(
    err: InvalidDataError, matrix: sp.csr_matrix, states: States, adata: Any
) -> FerrocyteError:
    """The core's error, with the cells and the parts of the chain named in which they are caught."""
    rows = np.asarray(err.cells, dtype=np.int64)
    if not len(rows) or "reach any target" not in str(err):
        return err
    cell_names = None if adata is None else adata.obs_names
    labels, closed = _core.strong_components(matrix)
    caught = labels[rows]
    sizes = np.bincount(labels)
    parts = np.unique(caught[closed[caught]])
    parts = parts[np.argsort(-sizes[parts], kind="stable")]
    listed = [
        f"{sizes[p]} cells with {name_cells(cell_names, [int(np.argmax(labels == p))])}"
        for p in parts[:SHOWN]
    ]
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return InvalidDataError(
        f"{len(rows)} cell(s) can not reach any of the states {states.names}: "
        f"{name_cells(cell_names, rows)}. They end in {len(parts)} component(s) of the chain without a "
        f"state: {'; '.join(listed)}{more}. Set a terminal state there, remove these cells, or connect them "
        "by combining with another kernel.",
        cells=[int(i) for i in rows],
    )
