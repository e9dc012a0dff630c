"""Fits of R's mgcv, recorded by `tests/reference/freeze_mgcv.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ferrocyte import _core
from ferrocyte.models import GAM
from ferrocyte.models._splines import Settings, spline_class
from numpy.testing import assert_allclose
from reference.freeze_mgcv import CASES, N_SPLINES, points

FROZEN = Path(__file__).parent / "data" / "frozen"
DATA, MGCV = np.load(FROZEN / "models.npz"), np.load(FROZEN / "mgcv.npz")
# Where the scale has to be estimated under other distributions, mgcv goes by another likelihood of it.
PROFILED = ("gamma", "inv_gauss")


def fitted(case):
    """Our fit, and the weights."""
    x, y, w = (DATA[f"fit/{case.data}/{k}"] for k in "xyw")
    w = w if case.lam is not None else np.ones_like(w)
    distribution, link = case.data.split("-")
    lam = {"REML": "reml", "GCV.Cp": "gcv"}[case.method] if case.lam is None else case.lam
    penalties = ("derivative", "l2") if case.penalties == "both" else ("derivative",)
    settings = Settings(
        n_splines=N_SPLINES, distribution=distribution, link=link, lam=lam, penalties=penalties
    )
    return spline_class(settings)(settings).fit(x, y, w), w


def ours(case):
    """The linear predictor and its standard error at the points, statistics of our fit, and weights."""
    fit, w = fitted(case)
    at = points(DATA[f"fit/{case.data}/x"])
    basis = _core.trend_basis(at, n_splines=N_SPLINES, order=3, edges=fit.edge_knots_)
    error = np.sqrt(np.einsum("ti,ij,tj->t", basis, fit.cov_, basis))
    return basis @ fit.coef_, error, fit.statistics_, w


@pytest.mark.parametrize("case", [c for c in CASES if c.lam is not None], ids=lambda c: c.name)
def test_with_the_same_smoothing(case):
    """The same curve and degrees of freedom; errors but for the scale, where ours counts effective cells."""
    eta, error, found, w = ours(case)
    theirs = {k: MGCV[f"{case.name}/{k}"] for k in ("eta", "se", "edf", "scale")}
    assert_allclose(eta, theirs["eta"], rtol=1e-6, atol=1e-7)
    assert_allclose(found["edof"], theirs["edf"][0], rtol=1e-6)
    assert_allclose(error / np.sqrt(found["scale"]), theirs["se"] / np.sqrt(theirs["scale"]), rtol=1e-5)
    if case.data.startswith(("binomial", "poisson")):
        assert_allclose(found["scale"], (w**2).sum() / w.sum())
    elif case.data.startswith("normal"):  # mgcv's estimates of other scales are not Pearson's
        n = w.sum() ** 2 / (w**2).sum()
        free = (len(w) - found["edof"]) / (n - found["edof"])
        assert_allclose(found["scale"], theirs["scale"][0] * free, rtol=1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if c.lam is None], ids=lambda c: c.name)
def test_smoothing_found(case):
    """By restricted likelihood, cross-validation or unbiased risk: the same parameter, curve and error."""
    eta, error, found, _ = ours(case)
    theirs = {k: MGCV[f"{case.name}/{k}"] for k in ("eta", "se", "lam", "edf", "scale")}
    if case.data == "gamma-inverse" and case.method == "GCV.Cp":
        # two minima, and ours is the lower one
        nearby = [f * theirs["lam"][0] for f in (0.97, 1.0, 1.03)]
        at = GAM(None, distribution="gamma", link="inverse", n_knots=N_SPLINES, grid={"lam": nearby},
                 spline_kwargs={"penalties": ["derivative"]}).model  # fmt: skip
        at.fit(*(DATA[f"fit/{case.data}/{k}"] for k in "xy"))
        assert at.statistics_["lam"] == nearby[1], "it is a minimum"
        assert found["criterion"] < at.statistics_["criterion"]
        return
    loose = case.method == "REML" and case.data.startswith(PROFILED)
    assert np.abs(np.log(found["lam"] / theirs["lam"][0])) < (0.25 if loose else 0.01)
    assert np.abs(eta - theirs["eta"]).max() < (0.2 if loose else 5e-3) * theirs["se"].mean()
    assert_allclose(error, theirs["se"], rtol=0.03 if loose else 4e-3)
    assert_allclose(found["edof"], theirs["edf"][0], rtol=0.03 if loose else 2e-3)
