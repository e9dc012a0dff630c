"""Generalised additive models of R's mgcv, for those who have it."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import (
    FitError,
    InvalidOptionError,
    InvalidTypeError,
    MissingPackageError,
    NotComputedError,
)
from ferrocyte._options import check_count, check_number, check_option
from ferrocyte.models._arguments import fatal
from ferrocyte.models._base import BaseModel

__all__ = ["GAMR"]

Array = NDArray[np.float64]


class GAMR(BaseModel):
    """A generalised additive model ``y ~ s(x)`` of R's mgcv, through rpy2.

    Parameters
    ----------
    adata : AnnData
        Annotated data.
    n_knots : int, default 5
        Dimension of the basis.
    distribution : str, default "gaussian"
        Name of an R family, such as `"gaussian"`, `"nb"`, `"poisson"`.
    basis : str, default "cr"
        Basis of `mgcv::s`, such as `"cr"` or `"tp"`.
    knotlocs : {"auto", "density"}
        `"auto"`: mgcv places the knots; `"density"`: at the quantiles of pseudotime.
    offset : ndarray, "default" or None
        Offset of the linear predictor, one value per cell. `"default"`: the logarithm of library sizes, for
        `"nb"` only, from `adata.obs["cellrank_offset"]` or from the total counts.
    smoothing_penalty : float or None, default 1.0
        Smoothing parameter `sp`; None: mgcv chooses it.
    **kwargs
        For `mgcv::gam`.

    Raises
    ------
    MissingPackageError
        If rpy2, R or mgcv is not installed; :class:`GAM` needs none of them.
    InvalidOptionError
        Says ``Invalid option`` for `knotlocs`.
    """

    def __init__(
        self,
        adata: AnnData,
        n_knots: int = 5,
        distribution: str = "gaussian",
        basis: str = "cr",
        knotlocs: Literal["auto", "density"] = "auto",
        offset: ArrayLike | Literal["default"] | None = "default",
        smoothing_penalty: float | None = 1.0,
        **kwargs: Any,
    ) -> None:
        knotlocs = check_option(knotlocs, "knotlocs", ("auto", "density"))
        n_knots = check_count(n_knots, "n_knots")
        if smoothing_penalty is not None:
            smoothing_penalty = check_number(smoothing_penalty, "smoothing_penalty", low=0.0)
        if not isinstance(distribution, str) or not isinstance(basis, str):
            raise InvalidTypeError("Expected `distribution` and `basis` to be strings.")
        _mgcv()
        super().__init__(adata, None)
        self._n_knots, self._family, self._basis = n_knots, distribution, basis
        self._knotlocs, self._sp, self._kwargs = knotlocs, smoothing_penalty, kwargs
        self._offset = self._offsets(offset)

    def _offsets(self, offset: Any) -> Array | None:
        if offset is None:
            return None
        if isinstance(offset, str):
            check_option(offset, "offset", ("default",))
            if self._family != "nb":
                return None
            from ferrocyte import _adata, _keys

            if _keys.OFFSET in self._data().obs:
                return _adata.numeric_column(self._data(), _keys.OFFSET, "offset", "offset")
            counts: Any = _adata.features(self._data(), None)
            totals = np.asarray(counts.sum(axis=1), dtype=np.float64).reshape(-1)
            if not (totals > 0).all():
                raise InvalidOptionError(
                    "Expected positive library sizes for the default offset. Pass `offset=None`."
                )
            return np.log(totals / totals.mean())
        values = np.asarray(offset, dtype=np.float64).reshape(-1)
        if len(values) != self._data().n_obs:
            raise InvalidOptionError(
                f"Expected `offset` to have {self._data().n_obs} values, one per cell, found {len(values)}."
            )
        return values

    def fit(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        w: ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Fit in R; as :meth:`BaseModel.fit`."""
        with fatal(self):
            before = self.__dict__.copy()
            try:
                super().fit(x, y, w)
                self._model = self._fit_in_r(kwargs)
            except BaseException:
                self.__dict__.update(before)
                raise
        return self

    def _fit_in_r(self, kwargs: dict[str, Any]) -> Any:
        robjects, mgcv = _mgcv()
        x = self._x[:, 0]
        columns = {"x": x, "y": self._y[:, 0]}
        formula = f"y ~ s(x, bs='{self._basis}', k={self._n_knots}"
        formula += ")" if self._sp is None else f", sp={self._sp})"
        if self._offset is not None:
            at = np.searchsorted(self._x_all[:, 0], x, sorter=np.argsort(self._x_all[:, 0], kind="stable"))
            columns["offset"] = self._offset[np.argsort(self._x_all[:, 0], kind="stable")[at]]
            formula += " + offset(offset)"
        data = robjects.DataFrame({k: robjects.FloatVector(v.tolist()) for k, v in columns.items()})
        options = {"weights": robjects.FloatVector(self._w.tolist()), **self._kwargs, **kwargs}
        if self._knotlocs == "density":
            knots = np.quantile(x, np.linspace(0, 1, self._n_knots))
            options["knots"] = robjects.ListVector({"x": robjects.FloatVector(knots.tolist())})
        try:
            return mgcv.gam(robjects.Formula(formula), data=data, family=self._family, **options)
        except Exception as err:
            raise FitError(f"mgcv was unable to fit: {err}") from err

    def _predict_in_r(self, points: Array) -> tuple[Array, Array, Any]:
        """Linear predictor and its standard error, and what takes them to the scale of the values."""
        if self._model is None:
            raise NotComputedError("The model has not been fitted yet. Call `.fit()` first.")
        robjects, _ = _mgcv()
        columns = {"x": robjects.FloatVector(points[:, 0].tolist())}
        if self._offset is not None:
            columns["offset"] = robjects.FloatVector([0.0] * len(points))
        found = robjects.r["predict"](
            self._model, newdata=robjects.DataFrame(columns), type="link", **{"se.fit": True}
        )
        inverse = self._model.rx2("family").rx2("linkinv")

        def values(eta: Array) -> Array:
            return np.asarray(inverse(robjects.FloatVector(eta.tolist())), dtype=np.float64)

        eta, error = (np.asarray(found.rx2(name), dtype=np.float64) for name in ("fit", "se.fit"))
        return eta, error, values

    def predict(
        self,
        x_test: ArrayLike | None = None,
        key_added: str | None = "_x_test",
        level: float | None = None,
        **kwargs: Any,
    ) -> Array:
        """Predict the trend; as :meth:`BaseModel.predict`. With `level`, the interval is computed, too."""
        from scipy.special import ndtri

        points = self._points(x_test)
        eta, error, values = self._predict_in_r(points)
        mean = values(eta)
        if level is not None:
            half = ndtri(0.5 + check_number(level, "level", low=0.0, high=1.0) / 2) * error
            self._conf_int = np.sort(np.column_stack([values(eta - half), values(eta + half)]), axis=1)
        self._keep_points(points, x_test is not None, key_added)
        self._y_test = mean
        return mean

    def confidence_interval(
        self, x_test: ArrayLike | None = None, level: float = 0.95, **kwargs: Any
    ) -> Array:
        """Interval from mgcv's standard errors of the linear predictor, taken through the link; as
        :meth:`BaseModel.confidence_interval`.
        """
        self.predict(x_test, level=level)
        return self._conf_int

    def copy(self) -> GAMR:
        """A copy that is not prepared: settings are kept, `adata` is shared."""
        out = self._blank()
        out._model = None
        return out

    def __deepcopy__(self, memo: dict[int, Any]) -> BaseModel:
        out = super().__deepcopy__(memo)
        out._model = self._model  # objects of R are values
        return out


def _mgcv() -> Any:
    try:
        import rpy2.robjects as robjects  # type: ignore[import-not-found]
        from rpy2.robjects.packages import importr  # type: ignore[import-not-found]

        return robjects, importr("mgcv")
    except Exception as err:  # R itself may be missing, with an error of its own kind
        raise MissingPackageError(
            f"`GAMR` needs R with the package mgcv, and rpy2: {err}. Install them, or use "
            "`ferrocyte.models.GAM`, which needs neither."
        ) from err
