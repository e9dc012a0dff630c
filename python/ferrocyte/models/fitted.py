"""A trend that was computed elsewhere."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError, InvalidTypeError, NotComputedError
from ferrocyte.models._base import BaseModel

__all__ = ["FittedModel"]

Array = NDArray[np.float64]


class FittedModel(BaseModel):
    """The numbers of a trend, without a model or data behind them.

    Parameters
    ----------
    x_test : array-like, shape (k, 1) or (k,)
        Pseudotime.
    y_test : array-like, shape (k,) or (k, 1)
        The trend there.
    conf_int : array-like, shape (k, 2), optional
        Lower and upper bound of its confidence interval.
    x_all, y_all : array-like, shape (n, 1) or (n,), optional
        Pseudotime and values of the cells; kept only if both are given.
    w_all : array-like, shape (n,), optional
        Their weights; default 1.

    Raises
    ------
    InvalidDataError
        For shapes that do not fit together; says ``of shape``.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> fitted = fc.models.FittedModel(x_test=[0.0, 0.5, 1.0], y_test=[1.0, 2.0, 4.0])
    >>> fitted.predict()
    array([1., 2., 4.])
    """

    def __init__(
        self,
        x_test: ArrayLike,
        y_test: ArrayLike,
        conf_int: ArrayLike | None = None,
        x_all: ArrayLike | None = None,
        y_all: ArrayLike | None = None,
        w_all: ArrayLike | None = None,
    ) -> None:
        super().__init__(None, None)
        self._x_test = _column(x_test, "x_test")
        self._y_test = _column(y_test, "y_test")[:, 0]
        _same(len(self._y_test), len(self._x_test), "y_test")
        if conf_int is not None:
            interval = np.array(conf_int, dtype=np.float64)
            if interval.shape != (len(self._x_test), 2):
                raise InvalidDataError(
                    f"Expected `conf_int` to be of shape `({len(self._x_test)}, 2)`, found "
                    f"`{interval.shape}`."
                )
            self._conf_int = interval
        if x_all is not None and y_all is not None:
            self._x_all, self._y_all = _column(x_all, "x_all"), _column(y_all, "y_all")
            _same(len(self._y_all), len(self._x_all), "y_all", ", 1")
            self._w_all = np.ones(len(self._x_all)) if w_all is None else _column(w_all, "w_all")[:, 0]
            _same(len(self._w_all), len(self._x_all), "w_all")
        self._prepared = True

    def prepare(self, *_args: Any, **_kwargs: Any) -> Self:
        """Nothing; returns itself."""
        return self

    def fit(self, *_args: Any, **_kwargs: Any) -> Self:
        """Nothing; returns itself."""
        return self

    def predict(self, *_args: Any, **_kwargs: Any) -> Array:
        """`y_test`."""
        return self._y_test

    def confidence_interval(self, *_args: Any, **_kwargs: Any) -> Array:
        """`conf_int`.

        Raises
        ------
        NotComputedError
            If there is none; says ``No confidence``.
        """
        if self._conf_int is None:
            raise NotComputedError(
                "No confidence interval was given. Pass `conf_int=...` when making the model."
            )
        return self._conf_int

    def default_confidence_interval(self, *_args: Any, **_kwargs: Any) -> Array:
        """As :meth:`confidence_interval`."""
        return self.confidence_interval()

    def copy(self) -> FittedModel:
        """Another one with copied arrays."""
        out = type(self)(self._x_test, self._y_test, self._conf_int, self._x_all, self._y_all, self._w_all)
        out._signal, out._lineage = self._signal, self._lineage
        return out

    @staticmethod
    def from_model(model: BaseModel) -> FittedModel:
        """The numbers of a model.

        Parameters
        ----------
        model : BaseModel
            After `predict`.

        Returns
        -------
        FittedModel
            With copied arrays and the same names of gene and lineage.

        Raises
        ------
        InvalidTypeError
            If it is no model; says ``to be of type``.
        InvalidDataError
            If it has no prediction.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> model = fc.models.GAM(adata).prepare("gene00005", "A", "pseudotime").fit()
        >>> _ = model.predict()
        >>> fc.models.FittedModel.from_model(model).y_test.shape
        (200,)
        """
        if not isinstance(model, BaseModel):
            raise InvalidTypeError(
                f"Expected `model` to be of type `BaseModel`, found `{type(model).__name__}`."
            )
        if model.x_test is None or model.y_test is None:
            raise InvalidDataError(f"Expected `{model}` to have a prediction. Call `.predict()` first.")
        out = FittedModel(model.x_test, model.y_test, model.conf_int, model.x_all, model.y_all, model.w_all)
        out._signal, out._lineage = model._signal, model._lineage
        return out


def _column(values: ArrayLike, name: str) -> Array:
    array = np.array(values, dtype=np.float64)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        raise InvalidDataError(f"Expected `{name}` to be of shape `(n, 1)` or `(n,)`, found `{array.shape}`.")
    return array.reshape(-1, 1)


def _same(found: int, expected: int, name: str, more: str = ",") -> None:
    if found != expected:
        raise InvalidDataError(
            f"Expected `{name}` to be of shape `({expected}{more})`, found `({found}{more})`."
        )
