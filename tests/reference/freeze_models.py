"""Freeze what pyGAM 0.12 fits and which cells CellRank 2.0.7 prepares, to hold ours against without either.

Run from the root of the repository, in an environment made from `benches/peer-requirements.txt` (never in
ferrocyte's own)::

    .venv-peer/bin/python tests/reference/freeze_models.py

It writes `tests/data/frozen/models.npz`. `fit/<distribution>-<link>/...` are data (`x`, `y`, `w`) and, at
`x_test`, the predictions of pyGAM with CellRank's settings (6 splines, `lam` 3, both penalties), `edof`,
`scale`, and `converged`: pyGAM stops when the coefficients change by less than 1e-4 of their norm, and prints
"did not converge" else. `fit/expectile-<tau>/...` likewise. `prepare/x`, `y`, `w` are cells,
`prepare/<case>/x`, `y`, `w`, `x_test` what CellRank makes of them; cases are in `CASES` below.
`default_ci/...` is CellRank's default interval
around its normal GAM.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import anndata as ad
import cellrank as cr
import numpy as np
import pygam

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "frozen" / "models.npz"
N = 400
CURVES = {
    ("normal", "identity"): lambda x: np.sin(5 * x),
    ("normal", "log"): lambda x: 2 + np.sin(5 * x),
    ("binomial", "logit"): lambda x: 0.5 + 0.4 * np.sin(5 * x),
    ("poisson", "log"): lambda x: 3 + 2.5 * np.sin(5 * x),
    ("gamma", "log"): lambda x: 3 + 2.5 * np.sin(5 * x),
    ("gamma", "identity"): lambda x: 4 + np.sin(5 * x),
    ("gamma", "inverse"): lambda x: 2 + np.sin(5 * x),
    ("inv_gauss", "log"): lambda x: 1 + 0.5 * np.sin(5 * x),
    ("inv_gauss", "inv_squared"): lambda x: 1 + 0.3 * np.sin(5 * x),
    ("zeros", "log"): lambda x: 3 + 2.5 * np.sin(5 * x),  # gamma with zeros among the responses
}
CASES = {
    "default": {},
    "end": {"time_range": 0.6},
    "window": {"time_range": (0.2, 0.7)},
    "swapped": {"time_range": (0.7, 0.2)},
    "beyond": {"time_range": (-3.0, 9.0)},
    "threshold": {"threshold": 0.5},
    "weights": {"weight_threshold": (0.3, 0.05)},
    "one_weight": {"weight_threshold": 0.2},
    "filter": {"filter_cells": 0.4},
    "points": {"n_test_points": 51},
    "cells": {"n_test_points": 60, "time_range": (0.1, None)},
    "no_lineage": {"lineage": None},
}


def draw(distribution: str, mu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if distribution == "normal":
        return rng.normal(mu, 0.3)
    if distribution == "binomial":
        return rng.binomial(1, mu).astype(float)
    if distribution == "poisson":
        return rng.poisson(mu).astype(float)
    if distribution == "inv_gauss":
        return rng.wald(mu, 6.0)
    y = rng.gamma(3, mu / 3)
    return y * (rng.uniform(size=len(y)) > 0.4) if distribution == "zeros" else y


def fits() -> dict[str, np.ndarray]:
    out = {}
    for (name, link), curve in CURVES.items():
        rng = np.random.default_rng(11)
        x = np.sort(rng.uniform(0, 1, N))
        y = draw(name, curve(x), rng)
        w = rng.uniform(0.05, 1, N).astype(np.float32).astype(float)  # pyGAM has float32 weights
        distribution = "gamma" if name == "zeros" else name
        adata = ad.AnnData(np.zeros((N, 1), dtype=np.float32))
        model = cr.models.GAM(adata, distribution=distribution, link=link).model
        out.update(record(f"fit/{name}-{link}", model, x, y, w))
    for positive in (40, 12, 4):  # a gene that few cells express
        rng = np.random.default_rng(13)
        x = np.sort(rng.uniform(0, 1, N))
        y, w = np.zeros(N), np.ones(N)
        y[rng.choice(np.flatnonzero(x > 0.7), positive, replace=False)] = rng.gamma(3, 1, positive)
        adata = ad.AnnData(np.zeros((N, 1), dtype=np.float32))
        out.update(record(f"fit/rare-{positive}", cr.models.GAM(adata).model, x, y, w))
    for tau in (0.1, 0.8):
        rng = np.random.default_rng(12)
        x = np.sort(rng.uniform(0, 1, N))
        y = draw("normal", np.sin(5 * x), rng)
        w = rng.uniform(0.05, 1, N).astype(np.float32).astype(float)
        adata = ad.AnnData(np.zeros((N, 1), dtype=np.float32))
        model = cr.models.GAM(adata, distribution="normal", link="identity", expectile=tau).model
        out.update(record(f"fit/expectile-{tau}", model, x, y, w))
    return out


def record(key: str, model: pygam.GAM, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[:, None], y, weights=w)
    x_test = np.linspace(x.min(), x.max(), 50)
    converged = "did not converge" not in said.getvalue()
    print(key, "converged" if converged else "DID NOT CONVERGE")
    numbers = {
        "x": x, "y": y, "w": w, "x_test": x_test, "mean": model.predict_mu(x_test[:, None]),
        "edof": np.array(model.statistics_["edof"]), "scale": np.array(model.statistics_["scale"]),
        "converged": np.array(converged),
    }  # fmt: skip
    return {f"{key}/{name}": value for name, value in numbers.items()}


def prepared() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    x = np.round(rng.uniform(0, 1, 250), 2)  # many cells share a pseudotime
    w = np.clip(x + rng.normal(0, 0.25, 250), 0, 1)
    y = np.round(rng.gamma(2, 0.5, 250), 1)
    adata = ad.AnnData(y[:, None])
    adata.var_names = ["g"]
    adata.obs["t"] = x
    adata.obsm["lineages_fwd"] = cr.Lineage(np.c_[w, 1 - w], names=["a", "b"])
    adata.obs["term_states_fwd"] = np.array(["a", "b"] * 125)
    adata.obs["term_states_fwd"] = adata.obs["term_states_fwd"].astype("category")
    out = {"prepare/x": x, "prepare/y": y, "prepare/w": w}
    for case, options in CASES.items():
        model = cr.models.GAM(adata, distribution="normal", link="identity")
        model.prepare("g", **{"lineage": "a", "time_key": "t", **options})
        for name in ("x", "y", "w", "x_test"):
            out[f"prepare/{case}/{name}"] = getattr(model, name)
        if case == "default":
            model.fit().predict()
            out["default_ci/y_test"] = model.y_test
            out["default_ci/conf_int"] = model.default_confidence_interval()
    return out


def main() -> None:
    if cr.__version__ != "2.0.7" or not pygam.__version__.startswith("0.12"):
        raise SystemExit(
            f"Expected CellRank 2.0.7 and pyGAM 0.12, found {cr.__version__}, {pygam.__version__}."
        )
    np.savez_compressed(OUT, **fits(), **prepared())


if __name__ == "__main__":
    main()
