"""Freeze fits of R's mgcv to the data of `models.npz`, to hold ours against without R.

Run from the root of the repository, where R and mgcv are installed (no Python package of R is needed)::

    python tests/reference/freeze_mgcv.py

It writes `tests/data/frozen/mgcv.npz`: for each case of `CASES`, `<case>/eta` and `<case>/se`, the linear
predictor and its standard error at `x_test` (see :func:`points`), and `<case>/lam`, `edf`, `scale`. Data are
those of `fit/<data>/...` in `models.npz`. `derivative`: mgcv's own P-splines, `s(x, bs = "ps")`, on our
knots, with the penalty not rescaled; `both`: the basis as a matrix with the sum of both penalties
(`paraPen`). Fits with `lam` are at this smoothing parameter, with weights; others choose it, without.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
FROZEN = HERE.parent / "data" / "frozen"


class Case(NamedTuple):
    """What is fitted, and how mgcv calls it."""

    data: str
    family: str
    penalties: str
    lam: float | None
    method: str

    @property
    def name(self) -> str:
        """For files and keys."""
        how = self.method if self.lam is None else f"lam{self.lam:g}"
        return f"{self.data}-{self.penalties}-{how}"


FAMILIES = {
    "normal-identity": "gaussian()",
    "normal-log": "gaussian(link = 'log')",
    "binomial-logit": "binomial()",
    "poisson-log": "poisson()",
    "gamma-log": "Gamma(link = 'log')",
    "gamma-identity": "Gamma(link = 'identity')",
    "gamma-inverse": "Gamma(link = 'inverse')",
    "inv_gauss-log": "inverse.gaussian(link = 'log')",
}
N_SPLINES = 10
CASES = [
    *(Case(d, f, "derivative", 2.0, "GCV.Cp") for d, f in FAMILIES.items()),
    *(Case(d, f, "both", 3.0, "GCV.Cp") for d, f in FAMILIES.items()),
    *(Case(d, f, "derivative", None, "REML") for d, f in FAMILIES.items()),
    *(Case(d, FAMILIES[d], "both", None, "REML") for d in ("normal-identity", "poisson-log", "gamma-log")),
    *(Case(d, f, "derivative", None, "GCV.Cp") for d, f in FAMILIES.items()),
]


def points(x: np.ndarray) -> np.ndarray:
    """Where curves are compared."""
    return np.linspace(x.min(), x.max(), 50)


def main() -> None:
    models = np.load(FROZEN / "models.npz")
    out: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for case in CASES:
            x, y, w = (models[f"fit/{case.data}/{k}"] for k in "xyw")
            w = w if case.lam is not None else np.ones_like(w)
            pd.DataFrame({"x": x, "y": y, "w": w}).to_csv(folder / f"{case.name}_data.csv", index=False)
            pd.DataFrame({"x": points(x)}).to_csv(folder / f"{case.name}_test.csv", index=False)
            rows.append({**case._asdict(), "case": case.name, "n_splines": N_SPLINES})
        pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False, na_rep="NA")
        subprocess.run(["Rscript", str(HERE / "freeze_mgcv.R"), name], check=True)
        for case in CASES:
            for part in ("out", "numbers"):
                for column, values in pd.read_csv(folder / f"{case.name}_{part}.csv").items():
                    out[f"{case.name}/{column}"] = values.to_numpy()
        print(pd.read_csv(folder / "versions.csv").to_string(index=False), file=sys.stderr)
    np.savez_compressed(FROZEN / "mgcv.npz", **out)


if __name__ == "__main__":
    main()
