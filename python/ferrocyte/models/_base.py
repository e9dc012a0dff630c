"""What all models of trends share: preparing data, checking arrays, the default interval."""

from __future__ import annotations

import abc
import re
from typing import Any, Self

import numpy as np
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError, InvalidTypeError, NotComputedError
from ferrocyte.models._arguments import UNSET, column, fatal, resolve_signal
from ferrocyte.models._arrays import ARRAYS
from ferrocyte.models._cells import above, select_cells
from ferrocyte.models._members import ModelMembers
from ferrocyte.models.signals import Signal

__all__ = ["BaseModel"]

Array = NDArray[np.float64]


class BaseModel(ModelMembers, abc.ABC):
    """Base of all models of trends along pseudotime.

    Parameters
    ----------
    adata : AnnData or None
        Annotated data; shared between copies of a model.
    model : object
        What does the fitting.

    Notes
    -----
    A model of your own derives from this class and has `fit`, `predict`, `confidence_interval` and `copy`;
    `fit` calls ``super().fit(x, y, w)`` first, which checks the arrays and stores them.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> names = adata.uns["fate_names"].tolist()
    >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
    >>> import numpy as np
    >>> class Mean(fc.models.BaseModel):
    ...     def fit(self, x=None, y=None, w=None, **kwargs):
    ...         super().fit(x, y, w)
    ...         self.level = np.average(self.y[:, 0], weights=self.w)
    ...         return self
    ...
    ...     def predict(self, x_test=None, key_added="_x_test", **kwargs):
    ...         points = self.x_test if x_test is None else np.reshape(x_test, (-1, 1))
    ...         self._y_test = np.full(len(points), self.level)
    ...         return self._y_test
    ...
    ...     def confidence_interval(self, x_test=None, **kwargs):
    ...         return self.default_confidence_interval(x_test, **kwargs)
    ...
    ...     def copy(self):
    ...         return Mean(self.adata, None)
    >>> mean = Mean(adata, None).prepare("gene00005", "A", "pseudotime").fit()
    >>> mean.predict().shape, mean.confidence_interval().shape
    ((200,), (200, 2))
    """

    def __init__(self, adata: AnnData | None, model: Any) -> None:
        if adata is not None and not isinstance(adata, AnnData):
            raise InvalidTypeError(
                f"Expected `adata` to be an `AnnData` object, found `{type(adata).__name__}`."
            )
        self._adata = adata
        self._model = model
        self._lineage: str | None = None
        self._prepared = False
        super().__init__()

    # What it knows ------------------------------------------------------------------------------------

    @property
    def adata(self) -> Any:
        """Annotated data; None for models that have none."""
        return self._adata

    @property
    def model(self) -> Any:
        """What does the fitting."""
        return self._model

    @property
    def shape(self) -> tuple[int]:
        """``(n_cells,)``"""
        if self._adata is not None:
            return (self._adata.n_obs,)
        return (0 if self._x_all is None else len(self._x_all),)

    @property
    def prepared(self) -> bool:
        """Whether the model is prepared for fitting."""
        return self._prepared

    @property
    def lineage(self) -> str | None:
        """Name of the lineage; None before preparing, or if all cells count the same."""
        return self._lineage

    # What it does -------------------------------------------------------------------------------------

    def prepare(
        self,
        signal: str | Signal | None = None,
        lineage: str | None = UNSET,
        time_key: str = UNSET,
        backward: bool = False,
        time_range: float | tuple[float | None, float | None] | None = None,
        data_key: str | None = UNSET,
        use_raw: bool = UNSET,
        threshold: float | None = None,
        weight_threshold: float | tuple[float, float] = (0.01, 0.01),
        filter_cells: float | None = None,
        n_test_points: int | None = 200,
        *,
        gene: str | None = None,
    ) -> Self:
        """Choose the cells and the numbers to fit.

        Parameters
        ----------
        signal : str or Signal
            Name of a gene, or a :class:`Gene`, :class:`Obs` or :class:`Obsm`.
        lineage : str or None
            Name of the lineage whose fate probabilities are the weights; None: all weights are 1, and no
            fate probabilities are needed.
        time_key : str
            Key of `adata.obs` where pseudotime is stored, finite for every cell.
        backward : bool, default False
            Whether the fate probabilities are those of a backward process.
        time_range : float or (float or None, float or None), optional
            Window of pseudotime; a number is its end. By default it begins at the smallest value and ends
            where the smoothed weights, of cells with a weight of at least `threshold`, are largest (at the
            largest value if all weights are equal). Bounds in the wrong order are swapped.
        data_key : str, optional
            Deprecated, pass a `Signal`. Key of `adata.layers`, `"X"`, or `"obs"`.
        use_raw : bool, optional
            Deprecated, pass a `Signal`. Take the gene from `adata.raw`.
        threshold : float, optional
            Default: the median weight.
        weight_threshold : float or (float, float), default (0.01, 0.01)
            Weights below the first number become the second.
        filter_cells : float, optional
            Leave out cells whose value is not above this.
        n_test_points : int or None, default 200
            Number of points at which the trend is predicted, evenly spaced over the window; None: at the
            cells in it.
        gene : str, optional
            Deprecated name of `signal`.

        Returns
        -------
        BaseModel
            Itself, with `x_all`, `y_all`, `w_all`, `x`, `y`, `w`, `x_test` and `prepared` set, and
            predictions of an earlier fit removed. Of cells with the same pseudotime the first is used.

        Raises
        ------
        KeyError, ValueError, TypeError, IndexError, AttributeError
            For a signal, lineage, pseudotime or window that does not exist; says ``Fatal model``. The model
            is left as it was.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> model = fc.models.GAM(adata).prepare("gene00005", "A", "pseudotime")
        >>> model.x.shape == model.y.shape
        True
        """
        with fatal(self):
            if lineage is UNSET or time_key is UNSET:
                raise InvalidTypeError(
                    "Expected `lineage` and `time_key`. Pass `lineage=None` to have all cells count the same."
                )
            if lineage is not None and not isinstance(lineage, str):
                raise InvalidTypeError(
                    f"Expected `lineage` to be a string or None, found `{type(lineage).__name__}`."
                )
            resolved = resolve_signal(signal, gene, data_key, use_raw)
            y_all = resolved.fetch(self._data())
            cells = select_cells(
                self._data(),
                lineage,
                time_key,
                backward,
                time_range,
                threshold,
                weight_threshold,
                n_test_points,
            )
            rows = above(y_all, cells.rows, filter_cells, resolved.name)
            arrays = {
                "_x_all": cells.x_all[:, None], "_y_all": y_all[:, None], "_w_all": cells.w_all,
                "_x": cells.x_all[rows][:, None], "_y": y_all[rows][:, None], "_w": cells.w_all[rows],
                "_x_test": cells.x_test[:, None],
            }  # fmt: skip
        for name in ARRAYS:
            setattr(self, name, arrays.get(name))
        self._signal, self._lineage, self._prepared, self._rows = resolved, lineage, True, None
        return self

    def _data(self) -> AnnData:
        if self._adata is None:
            raise NotComputedError(f"`{type(self).__name__}` has no annotated data to prepare from.")
        return self._adata

    @abc.abstractmethod
    def fit(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        w: ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        x : array-like, shape (n_samples, 1), optional
            Default: `x`.
        y : array-like, shape (n_samples, 1), optional
            Default: `y`.
        w : array-like, shape (n_samples,), optional
            Default: `w`.
        **kwargs
            For the fit of `model`.

        Returns
        -------
        BaseModel
            Itself.

        Raises
        ------
        RuntimeError, ValueError
            Before :meth:`prepare`; for arrays that do not fit together; if there is no fit. Says
            ``Fatal model``.
        """
        if not self._prepared:
            raise NotComputedError("The model has not been prepared yet. Call `.prepare()` first.")
        self._read_values()
        new = {
            "_x": self._x if x is None else column(x, "x"),
            "_y": self._y if y is None else column(y, "y"),
            "_w": self._w if w is None else column(w, "w")[:, 0],
        }
        sizes = {len(value) for value in new.values()}
        if len(sizes) != 1:
            found = ", ".join(f"{len(new[f'_{n}'])} in `{n}`" for n in "xyw")
            raise InvalidDataError(f"Expected as many values in `x`, `y` and `w`, found {found}.")
        self.__dict__.update(new)
        return self

    @abc.abstractmethod
    def predict(
        self, x_test: ArrayLike | None = None, key_added: str | None = "_x_test", **kwargs: Any
    ) -> Array:
        """Predict the trend.

        Parameters
        ----------
        x_test : array-like, shape (n_samples,) or (n_samples, 1), optional
            Default: `x_test`.
        key_added : str or None, default "_x_test"
            Attribute that keeps a given `x_test`; None: it is not kept.
        **kwargs
            For the prediction of `model`.

        Returns
        -------
        ndarray, shape (n_samples,)
            The trend, which also becomes `y_test`.
        """

    @abc.abstractmethod
    def confidence_interval(self, x_test: ArrayLike | None = None, **kwargs: Any) -> Array:
        """Compute the confidence interval.

        Parameters
        ----------
        x_test : array-like, shape (n_samples,) or (n_samples, 1), optional
            Default: `x_test`.
        **kwargs
            For the interval of `model`, or for :meth:`default_confidence_interval`.

        Returns
        -------
        ndarray, shape (n_samples, 2)
            Lower and upper bound, which also become `conf_int`.
        """

    def default_confidence_interval(self, x_test: ArrayLike | None = None, **kwargs: Any) -> Array:
        """Compute an interval from the residuals alone, for models that have none of their own.

        Parameters
        ----------
        x_test : array-like, shape (n_samples,) or (n_samples, 1), optional
            Default: `x_test`.
        **kwargs
            For :meth:`predict`.

        Returns
        -------
        ndarray, shape (n_samples, 2)
            Lower and upper bound, which also become `conf_int`; `x_hat`, `y_hat` and `y_test` are set, too.

        Raises
        ------
        NotComputedError
            Before :meth:`prepare`.
        InvalidDataError
            If fewer than 3 cells have weight, or all have the same pseudotime.

        Notes
        -----
        Over the cells with positive weight, with ``s = sqrt(sum (y_hat - y)^2 / (n - 2))``, the bounds are
        ``y_test -/+ s / 2 sqrt(1 + 1 / n + (x_test - mean x)^2 / sum (x - mean x)^2)`` (DeSalvo, *Am.
        Stat.* 24 (1970), equation 5).
        """
        if self._x is None:
            raise NotComputedError("The model has not been prepared yet. Call `.prepare()` first.")
        self._read_values()
        used = self._w > 0
        x, y = self._x[used], self._y[used][:, 0]
        n = len(x)
        spread = float(((x - x.mean()) ** 2).sum()) if n else 0.0
        if n < 3 or spread == 0:
            raise InvalidDataError(
                f"Expected at least 3 cells with weight and different pseudotimes for a confidence interval, "
                f"found {n}. Widen `time_range`."
            )
        test = self._x_test if x_test is None else column(x_test, "x_test")
        before = self.__dict__.copy()
        try:
            y_hat = np.array(self.predict(x, key_added="_x_hat", **kwargs))
            y_test = self.predict(test, key_added="_x_test", **kwargs)
        except BaseException:
            self.__dict__.update(before)
            raise
        s = np.sqrt(((y_hat - y) ** 2).sum() / (n - 2))
        half = 0.5 * s * np.sqrt(1 + 1 / n + (test[:, 0] - x.mean()) ** 2 / spread)
        self._y_hat = y_hat
        self._conf_int = np.column_stack([y_test - half, y_test + half])
        return self._conf_int

    def _points(self, x_test: ArrayLike | None) -> Array:
        """Where to predict, shape (n, 1)."""
        if x_test is not None:
            return column(x_test, "x_test")
        if self._x_test is None:
            raise NotComputedError("There is no `x_test`. Call `.prepare()` first, or pass `x_test=...`.")
        return self._x_test

    def _keep_points(self, points: Array, given: bool, key_added: str | None) -> None:
        if given and key_added is not None:
            setattr(self, key_added, points)

    @abc.abstractmethod
    def copy(self) -> BaseModel:
        """A copy that is not prepared: settings are kept, `model` is copied, `adata` is shared."""

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        inner = None if self._model is None else re.sub(r"\s+", " ", str(self._model)).strip()
        name = None if self._signal is None else self._signal.name
        return f"<{type(self).__name__}[gene={name!r}, lineage={self._lineage!r}, model={inner}]>"
