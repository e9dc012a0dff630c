"""How many macrostates: what speaks for each number, and which is recommended."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, InvalidOptionError
from ferrocyte.estimators._eigen import Schur
from ferrocyte.estimators._macrostates import coarse_matrix, min_chi, rotate
from ferrocyte.estimators._states import Reference, assign_cells, composition
from ferrocyte.kernels._matrix import Matrix

__all__ = ["candidates", "recommend"]

# Criteria to rank by, and how many digits make a difference; larger is better in each.
CRITERIA = {"eigengap": 3, "min_chi": 3, "crispness": 3, "min_stability": 3, "purity": 2}


def candidates(
    matrix: Matrix,
    schur: Schur,
    numbers: range,
    *,
    n_cells: int,
    ref: Reference | None,
    initial: NDArray[np.float64] | None,
) -> pd.DataFrame:
    """Criteria for each number of macrostates.

    Returns
    -------
    DataFrame
        Indexed by `n_states`; see :meth:`GPCCA.suggest_n_states`. Without `why`.
    """
    rows = {n: _row(matrix, schur, n, n_cells=n_cells, ref=ref, initial=initial) for n in numbers}
    out = pd.DataFrame.from_dict(rows, orient="index")
    out.index.name = "n_states"
    return out.astype({"smallest_state": "Int64"})


def _row(
    matrix: Matrix,
    schur: Schur,
    n: int,
    *,
    n_cells: int,
    ref: Reference | None,
    initial: NDArray[np.float64] | None,
) -> dict[str, object]:
    values = np.sort(schur.eigenvalues.real)[::-1]
    row: dict[str, object] = {
        "eigengap": float(values[n - 1] - values[n]) if n < len(values) else np.nan,
        "min_chi": np.nan,
        "crispness": np.nan,
        "min_stability": np.nan,
        "purity": np.nan,
        "smallest_state": pd.NA,
        "problem": "",
    }
    if schur.splits_pair(n):
        return {**row, "problem": "would split a pair of complex conjugate eigenvalues"}
    found = rotate(schur, n)
    whole = np.bincount(np.argmax(found.chi, axis=1), minlength=n)
    row.update(
        min_chi=min_chi(schur, n),
        crispness=found.crispness,
        min_stability=float(np.diag(coarse_matrix(matrix, found.chi, initial)).min()),
        smallest_state=int(whole.min()),
    )
    try:
        codes = assign_cells(found.chi, n_cells, warn=False)
    except (InvalidDataError, InvalidOptionError):
        return {**row, "problem": f"has a state without {n_cells} cells of its own"}
    if ref is not None:
        table = composition(codes, n, ref)
        total = table.sum(axis=1)
        shares = np.divide(table.max(axis=1), total, out=np.zeros(n), where=total > 0)
        row["purity"] = float(shares.mean())
    return row


def recommend(table: pd.DataFrame) -> tuple[int, str]:
    """The number with the best mean rank over the criteria, and why; the smaller one on a tie.

    Numbers with a problem are no choice, unless all have one.

    Raises
    ------
    InvalidDataError
        If every number would split a pair of complex eigenvalues.
    """
    possible = table[table["crispness"].notna()]
    if possible.empty:
        raise InvalidDataError(
            "No number of macrostates in this range leaves pairs of complex eigenvalues together. Widen it."
        )
    sound = possible[possible["problem"] == ""]
    rows = sound if len(sound) else possible
    used = [c for c in CRITERIA if rows[c].notna().all()]
    rounded = pd.DataFrame({c: rows[c].astype(float).round(CRITERIA[c]) for c in used})
    ranks = rounded.rank(ascending=False, method="min")
    best = int(ranks.mean(axis=1).sort_index().idxmin())
    firsts = [c for c in used if ranks.loc[best, c] == 1]
    text = f"best mean rank of {len(rows)} candidates"
    if firsts:
        text += f"; first in {', '.join(firsts)}"
    others = [f"{c} {_ordinal(int(ranks.loc[best, c]))}" for c in used if c not in firsts]
    if firsts and others:
        text += f" ({', '.join(others)})"
    elif others:
        text += f": {', '.join(others)}"
    if not len(sound):
        text += f"; it {possible.loc[best, 'problem']}"
    return best, text


def _ordinal(rank: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{rank}{'th' if 10 <= rank % 100 <= 20 else endings.get(rank % 10, 'th')}"
