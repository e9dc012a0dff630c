"""Penalised B-splines of one or many responses. The numbers are computed in Rust; see `_core.fit_trends`.

Classes are named after the distribution and link they are for; they differ in nothing else.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from ferrocyte import _core
from ferrocyte._errors import FitError, InvalidDataError, InvalidOptionError, NotComputedError
from ferrocyte._options import check_number

__all__ = [
    "GAM",
    "ExpectileGAM",
    "GammaGAM",
    "InvGaussGAM",
    "LinearGAM",
    "LogisticGAM",
    "PoissonGAM",
    "Settings",
    "curves",
    "spline_class",
]

Array = NDArray[np.float64]
Criterion = Literal["gcv", "reml"]


@dataclass(frozen=True)
class Settings:
    """Everything about a fit but the data; parameters of :class:`ferrocyte.models.GAM`."""

    n_splines: int = 6
    spline_order: int = 3
    distribution: str = "gamma"
    link: str = "log"
    lam: float | tuple[float, float] | Criterion = 3.0
    penalties: tuple[str, ...] = ("derivative", "l2")
    fit_intercept: bool = True
    edge_knots: tuple[float, float] | None = None
    expectile: float | None = None
    max_iter: int = 2000
    tol: float = 1e-8
    grid: dict[str, Any] | None = field(default=None, hash=False)

    def weights(self) -> tuple[float, float]:
        """Weight of the squared differences, and of the squares, for a smoothing parameter of 1."""
        both = self.lam if isinstance(self.lam, tuple) else (1.0, 1.0)
        chosen = [w if p in self.penalties else 0.0 for w, p in zip(both, ("derivative", "l2"), strict=True)]
        return chosen[0], chosen[1]

    def lams(self) -> tuple[list[float], Criterion | None]:
        """Smoothing parameters to try and what chooses among them."""
        if isinstance(self.lam, str):
            return [], self.lam
        return [1.0 if isinstance(self.lam, tuple) else float(self.lam)], None

    def candidates(self) -> list[tuple[Settings, list[float], Criterion | None]]:
        """Settings with the smoothing parameters to try for each."""
        if self.grid is None:
            return [(self, *self.lams())]
        plain = replace(self, grid=None)
        grid = self.grid or {"lam": np.logspace(-3, 3, 11)}
        lams = [float(v) for v in grid["lam"]] if "lam" in grid else None
        out: list[tuple[Settings, list[float], Criterion | None]] = []
        for n in grid.get("n_splines", [self.n_splines]):
            for order in grid.get("spline_order", [self.spline_order]):
                one = replace(plain, n_splines=int(n), spline_order=int(order))
                if lams is not None:
                    out.append((one, lams, "gcv"))
                elif isinstance(self.lam, str):
                    out.append((one, [], self.lam))
                else:  # a criterion, so that settings can be compared
                    out.append((one, one.lams()[0], "gcv"))
        return out


class GAM:
    """A smooth function of one variable: B-splines with penalties, any distribution, any link.

    Attributes
    ----------
    settings : Settings
    coef_ : ndarray, shape (n_splines,)
        Coefficients; the intercept is part of each.
    cov_ : ndarray, shape (n_splines, n_splines)
        Their posterior covariance.
    edge_knots_ : (float, float)
        Between them lies the data; beyond, the linear predictor is a straight line.
    statistics_ : dict
        `lam`, `edof`, `scale`, `n_effective`, `criterion`, `iterations`, `converged`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.coef_: Any = None
        self.cov_: Any = None
        self.edge_knots_: tuple[float, float] | None = None
        self.statistics_: dict[str, Any] = {}

    def fit(self, X: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> GAM:
        """Fit to one response.

        Raises
        ------
        FitError
            Says which values are why.
        """
        x, values = (np.ascontiguousarray(np.ravel(a), dtype=np.float64) for a in (X, y))
        w = np.ones_like(x) if weights is None else np.ascontiguousarray(np.ravel(weights), dtype=np.float64)
        if len(x) != len(values) or len(x) != len(w):
            raise InvalidDataError(
                f"Expected as many values in `X`, `y` and `weights`, found {len(x)}, {len(values)}, {len(w)}."
            )
        rows = np.arange(len(x))
        (found,) = self.fit_columns(values[:, None], np.array([0]), rows, x, w)
        if isinstance(found, FitError):
            raise found
        self.__dict__.update(found.__dict__)
        return self

    def fit_columns(
        self,
        matrix: Any,
        columns: NDArray[np.int64],
        rows: NDArray[np.int64],
        x: Array,
        w: Array,
        *,
        threads: int = 1,
        progress: Any = None,
    ) -> list[GAM | FitError]:
        """A fitted copy for each of `columns`, or why there is none."""
        edges = self.settings.edge_knots or _edges(x, w)
        best: list[GAM | FitError] = []
        try:
            candidates = self.settings.candidates()
            many = [
                self._one(s, lams, criterion, (matrix, columns, rows, x, w), edges, threads, progress)
                for s, lams, criterion in candidates
            ]
        except FitError:
            if self.settings.grid is None:
                raise
            plain = GAM(replace(self.settings, grid=None))
            s, lams, criterion = plain.settings.candidates()[0]
            many = [self._one(s, lams, criterion, (matrix, columns, rows, x, w), edges, threads, progress)]
        for fits in zip(*many, strict=True):
            good = [f for f in fits if isinstance(f, GAM)]
            best.append(min(good, key=lambda f: f.statistics_["criterion"]) if good else fits[0])
        return best

    def _one(
        self,
        settings: Settings,
        lams: list[float],
        criterion: Criterion | None,
        data: tuple[Any, ...],
        edges: tuple[float, float],
        threads: int,
        progress: Any,
    ) -> list[GAM | FitError]:
        w = data[4]
        derivative, ridge = settings.weights()
        n_weighted = int(np.count_nonzero(w > 0))
        if n_weighted < settings.n_splines:
            raise FitError(
                f"Expected at least as many cells with weight as basis functions, {settings.n_splines}, "
                f"found {n_weighted}. Lower `n_knots` or widen `time_range`."
            )
        out = _core.fit_trends(
            *data,
            n_splines=settings.n_splines, order=settings.spline_order, edges=edges,
            distribution=settings.distribution, link=settings.link, lams=lams,  # type: ignore[arg-type]
            criterion=criterion, expectile=settings.expectile, derivative=derivative, ridge=ridge,
            intercept=settings.fit_intercept, max_iter=settings.max_iter, tol=settings.tol, threads=threads,
            progress=progress,
        )  # fmt: skip
        effective = float(w.sum() ** 2 / (w**2).sum())
        fits: list[GAM | FitError] = []
        for k, failed in enumerate(out["failed"]):
            if failed is not None:
                fits.append(_failure(failed, int(out["failed_row"][k]), settings))
                continue
            fit = copy.copy(self)
            fit.settings = replace(settings, grid=self.settings.grid)
            fit.coef_, fit.cov_, fit.edge_knots_ = out["coefficients"][k], out["covariance"][k], edges
            fit.statistics_ = {
                "lam": float(out["lam"][k]), "edof": float(out["edf"][k]), "scale": float(out["scale"][k]),
                "n_effective": effective, "criterion": float(out["criterion"][k]),
                "iterations": int(out["iterations"][k]), "converged": bool(out["converged"][k]),
            }  # fmt: skip
            fits.append(fit)
        return fits

    def predict(self, X: ArrayLike) -> Array:
        """The mean at `X`, shape (n,)."""
        return curves([self], np.ravel(np.asarray(X, dtype=np.float64)))[0][0]

    def confidence_intervals(self, X: ArrayLike, width: float = 0.95) -> Array:
        """Pointwise interval for the mean at `X`, shape (n, 2)."""
        return curves([self], np.ravel(np.asarray(X, dtype=np.float64)), width)[1][0]

    def __deepcopy__(self, memo: dict[int, Any]) -> GAM:
        out = copy.copy(self)
        for name in ("coef_", "cov_"):
            value = getattr(self, name)
            setattr(out, name, None if value is None else value.copy())
        out.statistics_ = dict(self.statistics_)
        memo[id(self)] = out
        return out

    def __repr__(self) -> str:
        s = self.settings
        shown = {
            "n_splines": s.n_splines, "spline_order": s.spline_order, "distribution": s.distribution,
            "link": s.link, "lam": s.lam, "penalties": list(s.penalties), "expectile": s.expectile,
            "grid": s.grid,
        }  # fmt: skip
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items() if v is not None)})"


class LinearGAM(GAM):
    """Normal distribution, identity link."""


class LogisticGAM(GAM):
    """Binomial distribution, logit link."""


class PoissonGAM(GAM):
    """Poisson distribution, log link."""


class GammaGAM(GAM):
    """Gamma distribution, log link."""


class InvGaussGAM(GAM):
    """Inverse Gaussian distribution, log link."""


class ExpectileGAM(GAM):
    """Asymmetric least squares."""


_CLASSES: dict[tuple[str, str], type[GAM]] = {
    ("normal", "identity"): LinearGAM,
    ("binomial", "logit"): LogisticGAM,
    ("poisson", "log"): PoissonGAM,
    ("gamma", "log"): GammaGAM,
    ("inv_gauss", "log"): InvGaussGAM,
}


def spline_class(settings: Settings) -> type[GAM]:
    """The class for a distribution and a link."""
    if settings.expectile is not None:
        return ExpectileGAM
    return _CLASSES.get((settings.distribution, settings.link), GAM)


def curves(models: list[GAM], x: Array, width: float | None = None) -> tuple[Array, Array]:
    """Means of models with the same basis, shape (n_models, n), and their intervals, (n_models, n, 2).

    Intervals are those of the linear predictor, `eta +/- q se`, taken through the link: `se` from the
    posterior covariance (Wood, *Generalized Additive Models*, 2017, section 6.10), `q` of Student's t
    distribution, or of the normal one where the scale is known.
    """
    first = models[0]
    if first.coef_ is None or first.edge_knots_ is None:
        raise NotComputedError("The model has not been fitted yet. Call `.fit()` first.")
    s = first.settings
    basis = _core.trend_basis(
        np.ascontiguousarray(x), n_splines=s.n_splines, order=s.spline_order, edges=first.edge_knots_
    )
    eta = np.stack([m.coef_ for m in models]) @ basis.T
    mean = _inverse_link(s.link, eta)
    if width is None:
        return mean, np.empty((len(models), len(x), 0))
    width = check_number(width, "level", above=0.0)
    if width >= 1:
        raise InvalidOptionError(f"Expected `level` to be in (0, 1), found {width:g}.")
    covariance = np.stack([m.cov_ for m in models])
    variance = np.einsum("gti,ti->gt", np.matmul(basis, covariance), basis)
    free = np.array([m.statistics_["n_effective"] - m.statistics_["edof"] for m in models])
    upper = 0.5 + width / 2
    normal = s.expectile is not None or s.distribution in ("binomial", "poisson")
    q = np.full(len(models), ndtri(upper)) if normal else stdtrit(free, upper)
    half = q[:, None] * np.sqrt(np.maximum(variance, 0.0))
    ends = np.stack([_inverse_link(s.link, eta - half), _inverse_link(s.link, eta + half)], axis=-1)
    return mean, np.sort(ends, axis=-1)


def _inverse_link(link: str, eta: Array) -> Array:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if link == "log":
            return np.exp(eta)
        if link == "logit":
            return 1 / (1 + np.exp(-eta))
        if link == "inverse":
            return 1 / eta
        if link == "inv_squared":
            return 1 / np.sqrt(np.maximum(eta, 0.0))
        return eta


def _edges(x: Array, w: Array) -> tuple[float, float]:
    if not np.isfinite(w).all() or (len(w) and w.min() < 0):
        raise FitError("Expected finite weights of at least 0, found others. Remove these cells.")
    used = x[w > 0]
    if not len(used):
        raise FitError("All weights are 0, so that no cell counts. Choose another lineage or time range.")
    if not np.isfinite(used).all():
        raise FitError("Expected finite pseudotimes, found NaN or infinite values. Remove these cells.")
    low, high = float(used.min()), float(used.max())
    if not low < high:
        raise FitError(
            f"All {len(used)} cells have the same pseudotime, {low:g}: there is no trend. Widen `time_range`."
        )
    return low, high


def _failure(reason: str, row: int, settings: Settings) -> FitError:
    family = f"distribution {settings.distribution!r} with link {settings.link!r}"
    text = {
        "not_finite": f"the value of cell {row} is NaN or infinite. Remove the cell or impute its value.",
        "out_of_range": f"the value of cell {row} is outside of [0, 1], where {family} needs it.",
        "no_mean": f"the mean has no finite value under {family}; are all values 0 (or, binomial, 1)? Leave "
        "it out, or take distribution='normal', link='identity'.",
        "diverged": f"no fit of {family} was found. Try another link, or a larger `lam`.",
        "too_few_cells": "there are no more cells, by weight, than degrees of freedom. Lower `n_knots` or "
        "widen `time_range`.",
    }[reason]
    return FitError(f"Unable to fit: {text}", cells=[row] if row >= 0 else [])
