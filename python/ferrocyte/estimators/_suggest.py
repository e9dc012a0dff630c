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


ROUND_OFF = 1e-12


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
        "eigenvalue": float(values[n - 1]),
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
    least = min_chi(schur, n)
    row.update(
        min_chi=least if least < -ROUND_OFF else 0.0,
        crispness=found.crispness,
        min_stability=float(np.diag(coarse_matrix(matrix, found.chi, initial)).min()),
        smallest_state=int(whole.min()),
    )
    try:
        codes = assign_cells(found.chi, n_cells)
    except (InvalidDataError, InvalidOptionError):
        return {**row, "problem": f"has a state without {n_cells} cells of its own"}
    if not whole.all():
        row["problem"] = "has a state that is the most likely one of no cell"
    if ref is not None:
        table = composition(codes, n, ref)
        total = table.sum(axis=1)
        shares = np.divide(table.max(axis=1), total, out=np.zeros(n), where=total > 0)
        row["purity"] = float(shares.mean())
    return row


def recommend(table: pd.DataFrame, alpha: float) -> tuple[int, str]:
    """The number with the largest `eigengap - alpha (1 - eigenvalue)`, and what is to be known about it.

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
    scores = (rows["eigengap"].fillna(-np.inf) - alpha * (1 - rows["eigenvalue"])).sort_index()
    ranked = scores.sort_values(ascending=False, kind="stable").index
    best = int(ranked[0])
    row = rows.loc[best]
    gap = f"{row['eigengap']:.3f}" if pd.notna(row["eigengap"]) else "none is known"
    text = [
        f"largest eigengap next to eigenvalues near 1: {gap} after {row['eigenvalue']:.3f}",
        f"minChi {round(row['min_chi'], 2) + 0.0:.2f}",
        f"least stable state {row['min_stability']:.2f}",
    ]
    if pd.notna(row["purity"]):
        text.append(f"purity {row['purity']:.2f}")
    if row["problem"]:
        text.append(f"but it {row['problem']}")
    if len(ranked) > 1:
        text.append(f"next best is {int(ranked[1])}")
    return best, "; ".join(text)
