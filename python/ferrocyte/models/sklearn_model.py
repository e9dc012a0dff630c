"""Any estimator of scikit-learn as a model of trends."""

from __future__ import annotations

import copy as copying
import inspect
from typing import Any, Self

import numpy as np
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidOptionError, InvalidTypeError
from ferrocyte.models._arguments import fatal
from ferrocyte.models._base import BaseModel

__all__ = ["SKLearnModel"]

Array = NDArray[np.float64]
WEIGHTS = ("w", "weights", "sample_weight", "sample_weights")
INTERVALS = ("conf_int", "confidence_intervals")


class SKLearnModel(BaseModel):
    """A regressor of scikit-learn.

    Parameters
    ----------
    adata : AnnData
        Annotated data.
    model : sklearn.base.BaseEstimator
        With `fit` and `predict`; copied.
    weight_name : str, optional
        Argument of `model.fit` for the weights of the cells. Default: the first of `w`, `weights`,
        `sample_weight`, `sample_weights` that it has; ``""``: fit without weights. A pipeline passes them
        to a step by ``"<step>__sample_weight"``.
    ignore_raise : bool, default False
        Do not raise if `model.fit` has no argument `weight_name`; the fit then raises.

    Raises
    ------
    InvalidTypeError
        If `model` is no estimator; says ``Expected model to be of type``.
    InvalidOptionError
        If there is no such argument; says ``Unable to detect``.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> from sklearn.svm import SVR
    >>> adata = fc.datasets.bone_marrow()
    >>> model = fc.models.SKLearnModel(adata, SVR())
    >>> model = model.prepare(adata.var_names[0], None, "palantir_pseudotime").fit()
    >>> model.predict().shape
    (200,)
    """

    def __init__(
        self, adata: AnnData, model: Any, weight_name: str | None = None, ignore_raise: bool = False
    ) -> None:
        from sklearn.base import BaseEstimator

        if not isinstance(model, BaseEstimator):
            raise InvalidTypeError(
                f"Expected model to be of type `sklearn.base.BaseEstimator`, found `{type(model).__name__}`."
            )
        for name in ("fit", "predict"):
            if not callable(getattr(model, name, None)):
                raise InvalidTypeError(f"Expected model to have a method `{name}`, found none.")
        super().__init__(adata, copying.deepcopy(model))
        self._weight_name = _weight_argument(model.fit, weight_name, ignore_raise)
        self._interval_name = next((n for n in INTERVALS if callable(getattr(model, n, None))), None)

    def fit(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        w: ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Fit the estimator; as :meth:`BaseModel.fit`."""
        with fatal(self):
            before = self.__dict__.copy()
            try:
                super().fit(x, y, w)
                if self._weight_name:
                    kwargs[self._weight_name] = self._w
                fresh = copying.deepcopy(self._model)
                self._model = fresh.fit(self._x, self._y[:, 0], **kwargs)
            except BaseException:
                self.__dict__.update(before)
                raise
        return self

    def predict(
        self, x_test: ArrayLike | None = None, key_added: str | None = "_x_test", **kwargs: Any
    ) -> Array:
        """Predict the trend; as :meth:`BaseModel.predict`."""
        points = self._points(x_test)
        y_test = np.asarray(self._model.predict(points, **kwargs), dtype=np.float64).reshape(-1)
        self._keep_points(points, x_test is not None, key_added)
        self._y_test = y_test
        return y_test

    def confidence_interval(self, x_test: ArrayLike | None = None, **kwargs: Any) -> Array:
        """The estimator's own interval, if it has one; as :meth:`BaseModel.confidence_interval`."""
        if self._interval_name is None:
            return self.default_confidence_interval(x_test, **kwargs)
        points = self._points(x_test)
        conf_int = np.asarray(getattr(self._model, self._interval_name)(points, **kwargs), dtype=np.float64)
        self._keep_points(points, x_test is not None, "_x_test")
        self._conf_int = conf_int
        return conf_int

    def copy(self) -> SKLearnModel:
        """A copy that is not prepared: settings are kept, `model` is copied, `adata` is shared."""
        out = self._blank()
        self._copy_settings(out)
        return out


def _weight_argument(fit: Any, wanted: str | None, ignore_raise: bool) -> str:
    if wanted == "":
        return ""
    parameters = inspect.signature(fit).parameters
    # A pipeline, or a search over settings, passes on what it is given.
    passes_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if wanted is None:
        found = next((n for n in WEIGHTS if n in parameters), None)
        if found is not None:
            return found
        named = ", ".join(f"`{n}`" for n in WEIGHTS)
        raise InvalidOptionError(
            f"Unable to detect the argument for weights in `{list(parameters)}`: none of {named}. Pass "
            '`weight_name=...` (for a step of a pipeline, `"<step>__sample_weight"`), or `weight_name=""` to '
            "fit without weights."
        )
    if wanted not in parameters and not passes_on and not ignore_raise:
        raise InvalidOptionError(
            f"Unable to detect the argument {wanted!r} for weights in `{list(parameters)}`. Pass another "
            "`weight_name`."
        )
    return wanted
