"""Generalised additive models: penalised B-splines, fitted in Rust."""

from __future__ import annotations

import copy as copying
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import FerrocyteWarning, FitError, InvalidOptionError, InvalidTypeError
from ferrocyte._options import check_count, check_number, check_option, no_effect
from ferrocyte.models._arguments import fatal
from ferrocyte.models._base import BaseModel
from ferrocyte.models._splines import Settings, spline_class

__all__ = ["GAM"]

Array = NDArray[np.float64]
DISTRIBUTIONS = ("normal", "binomial", "poisson", "gamma", "gaussian", "inv_gauss")
LINKS = ("identity", "logit", "inverse", "log", "inv_squared")
GRID = ("lam", "n_splines", "spline_order")


class GAM(BaseModel):
    """A generalised additive model of one variable: B-splines with difference penalties [1]_.

    Parameters
    ----------
    adata : AnnData
        Annotated data.
    n_knots : int, default 6
        Number of B-splines, at least `spline_order + 1`. Their knots are equally spaced over the cells used.
    spline_order : int, default 3
        Degree of the pieces; 3 is cubic.
    distribution : {"gamma", "normal", "gaussian", "binomial", "poisson", "inv_gauss"}
        How the variance grows with the mean: as ``mu^2``, not at all (twice), ``mu (1 - mu)``, ``mu``,
        ``mu^3``. `"gaussian"` is `"normal"`.
    link : {"log", "identity", "logit", "inverse", "inv_squared"}
        Of which function of the mean the splines are a sum.
    max_iter : int, default 2000
        Steps of the fit before it gives up with a warning.
    expectile : float, optional
        In (0, 1). Fit this expectile, with distribution `"normal"` and link `"identity"` whatever is given.
    grid : dict or "default", optional
        Try several settings and take the one with the smallest generalised cross-validation (unbiased risk
        estimate for `"binomial"` and `"poisson"`): values of `lam`, `n_splines`, `spline_order` by name.
        `"default"`: eleven values of `lam` from 1e-3 to 1e3.
    spline_kwargs : mapping
        `lam` (default 3), `penalties` (default ``["derivative", "l2"]``), `edge_knots` (default: the range of
        the cells used), and `n_splines`, `spline_order`, which go before those above.
        `lam` is a number, one for each of the two penalties, or `"gcv"` or `"reml"`: the best by generalised
        cross-validation or by restricted likelihood. `"derivative"` penalises second differences of the
        coefficients, `"l2"` their squares around the intercept.
    **kwargs
        `lam`, which goes before that of `spline_kwargs`; `tol` (default 1e-8), the relative size of the last
        step; `fit_intercept` (default True). `verbose` and `callbacks` have no effect.

    Raises
    ------
    InvalidOptionError
        For settings outside their range; says ``Invalid option`` for a distribution or link that does not
        exist, and ``to be in`` for the expectile.
    InvalidTypeError
        For keywords that do not exist.

    Notes
    -----
    A fit uses mean and variance only (quasi-likelihood), so zeros need no logarithm. Negative values, which
    imputation leaves, count as 0 for `"gamma"` and `"poisson"`; for `"inv_gauss"`, values below 1 % of the
    mean of the positive ones are raised to that. A response without any positive value has no logarithm:
    that is an error. Where smoothing is chosen among gamma fits, such values count as 1 % of that mean, too:
    a run of zeros would be followed ever lower else.

    Intervals are Bayesian credible intervals with close to nominal coverage across the function [2]_. The
    scale is estimated from Pearson residuals over the effective number of cells ``(sum w)^2 / sum w^2`` less
    the effective degrees of freedom: weights say how much a cell belongs to the lineage.

    References
    ----------
    .. [1] Eilers & Marx, Flexible smoothing with B-splines and penalties, *Statist. Sci.* 11 (1996).
    .. [2] Wood, *Generalized Additive Models*, 2nd edition (2017), section 6.10.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.bone_marrow()
    >>> model = fc.models.GAM(adata, n_knots=6)
    >>> model = model.prepare(adata.var_names[0], None, "palantir_pseudotime").fit()
    >>> model.predict().shape, model.confidence_interval().shape
    ((200,), (200, 2))
    """

    def __init__(
        self,
        adata: AnnData,
        n_knots: int | None = 6,
        spline_order: int = 3,
        distribution: Literal["normal", "binomial", "poisson", "gamma", "gaussian", "inv_gauss"] = "gamma",
        link: Literal["identity", "logit", "inverse", "log", "inv_squared"] = "log",
        max_iter: int = 2000,
        expectile: float | None = None,
        grid: Mapping[str, Any] | Literal["default"] | None = None,
        spline_kwargs: Mapping[str, Any] = MappingProxyType({}),
        **kwargs: Any,
    ) -> None:
        distribution = check_option(distribution, "distribution", DISTRIBUTIONS)
        link = check_option(link, "link", LINKS)
        if distribution == "gaussian":
            distribution = "normal"
        if expectile is not None:
            expectile = _expectile(expectile)
            if (distribution, link) not in (("normal", "identity"), ("gamma", "log")):
                warnings.warn(
                    "An expectile is fitted with distribution 'normal' and link 'identity'; those given are "
                    "not used.",
                    FerrocyteWarning,
                    stacklevel=2,
                )
            distribution, link = "normal", "identity"
        options = {"n_splines": 6 if n_knots is None else n_knots, "spline_order": spline_order}
        options.update(_known(spline_kwargs, "spline_kwargs"))
        options.update(_known(kwargs, "GAM"))
        order = check_count(options["spline_order"], "spline_order", least=0)
        settings = Settings(
            n_splines=_n_splines(options["n_splines"], order), spline_order=order, distribution=distribution,
            link=link, lam=_lam(options.get("lam", 3.0)),
            penalties=_penalties(options.get("penalties", ("derivative", "l2"))),
            fit_intercept=bool(options.get("fit_intercept", True)),
            edge_knots=_edge_knots(options.get("edge_knots")), expectile=expectile,
            max_iter=check_count(max_iter, "max_iter"),
            tol=check_number(options.get("tol", 1e-8), "tol", above=0.0),
            grid=_grid(grid, order),
        )  # fmt: skip
        super().__init__(adata, spline_class(settings)(settings))

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
            Weights, at least 0. Default: `w`.
        **kwargs
            None are known.

        Returns
        -------
        GAM
            Itself.

        Raises
        ------
        RuntimeError
            Before :meth:`prepare`, and if there is no fit: NaN, too few cells, no positive value. Says
            ``Fatal model``, and which gene and which cells.
        ValueError
            For arrays that do not fit together.
        """
        with fatal(self):
            if kwargs:
                raise InvalidTypeError(f"`GAM.fit` has no keyword {next(iter(kwargs))!r}.")
            before = self.__dict__.copy()
            try:
                super().fit(x, y, w)
                self._model = copying.deepcopy(self._model).fit(self._x, self._y, self._w)
            except BaseException as err:
                self.__dict__.update(before)
                if isinstance(err, FitError):
                    raise self._explain(err, [self._cell(i, x) for i in err.cells]) from err.__cause__
                raise
        if not self._model.statistics_["converged"]:
            warnings.warn(
                f"The fit of {self} did not converge in {self._model.settings.max_iter} steps; it is used as "
                "it is. Raise `max_iter` or `lam`.",
                FerrocyteWarning,
                stacklevel=2,
            )
        return self

    def _cell(self, at: int, x: ArrayLike | None) -> int | None:
        """Row in `adata` of a cell that was fitted: the first with its pseudotime. None for given arrays."""
        if x is not None:
            return None
        rows = np.flatnonzero(self._x_all[:, 0] == self._x[at, 0])
        return int(rows[0]) if len(rows) else None

    def _explain(self, err: FitError, cells: Sequence[int | None]) -> FitError:
        """The same with the names of gene, lineage and cell, given the rows of the cells in `adata`."""
        text, known = str(err), []
        for position, cell in zip(err.cells, cells, strict=True):
            if cell is not None:
                text = text.replace(f"cell {position} ", f"cell {str(self._data().obs_names[cell])!r} ")
                known.append(cell)
        name = None if self._signal is None else self._signal.name
        where = "" if self._lineage is None else f" in lineage {self._lineage!r}"
        return FitError(f"{name!r}{where}: {text}", cells=known or err.cells)

    def predict(
        self, x_test: ArrayLike | None = None, key_added: str | None = "_x_test", **kwargs: Any
    ) -> Array:
        """Predict the trend.

        Parameters
        ----------
        x_test : array-like, shape (n_samples,) or (n_samples, 1), optional
            Default: `x_test`. Beyond the cells used, the linear predictor is a straight line.
        key_added : str or None, default "_x_test"
            Attribute that keeps a given `x_test`; None: it is not kept.
        **kwargs
            None are known.

        Returns
        -------
        ndarray, shape (n_samples,)
            The mean, which also becomes `y_test`.
        """
        points = self._points(x_test)
        y_test = self._model.predict(points, **kwargs)
        self._keep_points(points, x_test is not None, key_added)
        self._y_test = y_test
        return y_test

    def confidence_interval(self, x_test: ArrayLike | None = None, **kwargs: Any) -> Array:
        """Compute the pointwise credible interval of the mean.

        Parameters
        ----------
        x_test : array-like, shape (n_samples,) or (n_samples, 1), optional
            Default: `x_test`.
        **kwargs
            `level` (or `width`), default 0.95: probability of the interval, in (0, 1).

        Returns
        -------
        ndarray, shape (n_samples, 2)
            Lower and upper bound, which also become `conf_int`.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> model = fc.models.GAM(adata).prepare("gene00005", "A", "pseudotime").fit()
        >>> _ = model.predict()
        >>> model.confidence_interval(level=0.9).shape
        (200, 2)
        """
        points = self._points(x_test)
        if "level" in kwargs:
            kwargs["width"] = kwargs.pop("level")
        conf_int = self._model.confidence_intervals(points, **kwargs)
        self._keep_points(points, x_test is not None, "_x_test")
        self._conf_int = conf_int
        return conf_int

    def copy(self) -> GAM:
        """A copy that is not prepared: settings are kept, `model` is copied, `adata` is shared."""
        out = self._blank()
        self._copy_settings(out)
        return out


def _expectile(value: Any) -> float:
    number = check_number(value, "expectile")
    if not 0 < number < 1:
        raise InvalidOptionError(f"Expected `expectile` to be in (0, 1), found {number:g}.")
    return number


def _known(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Keywords that steer something; those that can not, at their defaults, are dropped."""
    quiet = {
        "verbose": False,
        "callbacks": None,
        "dtype": "auto",
        "basis": "ps",
        "by": None,
        "constraints": None,
    }
    known = ("lam", "penalties", "n_splines", "spline_order", "edge_knots", "fit_intercept", "tol")
    out = {}
    for name, value in given.items():
        if name in known:
            out[name] = value
        elif name in ("basis", "by", "constraints"):
            if value != quiet[name]:
                raise InvalidOptionError(
                    f"Invalid option `{name}={value!r}`: only {quiet[name]!r} is supported."
                )
        elif name in quiet:
            no_effect(name, value, quiet[name])
        else:
            raise InvalidTypeError(f"`{where}` has no keyword {name!r}. It has: {', '.join(known)}.")
    return out


def _n_splines(value: Any, order: int) -> int:
    number = check_count(value, "n_knots")
    if number <= order:
        raise InvalidOptionError(
            f"Expected `n_knots` to be at least `spline_order` + 1 = {order + 1}, found {number}."
        )
    return number


def _lam(value: Any) -> Any:
    if isinstance(value, str):
        return check_option(value, "lam", ("gcv", "reml"))
    if isinstance(value, list | tuple | np.ndarray):
        if len(value) == 1:
            return _lam(value[0])
        if len(value) != 2:
            raise InvalidOptionError(f"Expected `lam` to be one number or two, found {len(value)}.")
        return tuple(check_number(v, "lam", low=0.0) for v in value)
    return check_number(value, "lam", low=0.0)


def _penalties(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) or value is None else list(value)
    meant = {"auto": "derivative", None: "none"}
    checked = [check_option(meant.get(n, n), "penalties", ("derivative", "l2", "none")) for n in names]
    return tuple(dict.fromkeys(n for n in checked if n != "none"))


def _edge_knots(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = sorted(check_number(v, "edge_knots") for v in np.ravel(value)[[0, -1]])
    if not low < high:
        raise InvalidOptionError(f"Expected `edge_knots` to be two different numbers, found {low:g} twice.")
    return low, high


def _grid(grid: Any, order: int) -> dict[str, Any] | None:
    if grid is None:
        return None
    if isinstance(grid, str):
        check_option(grid, "grid", ("default",))
        return {}
    if not isinstance(grid, Mapping):
        raise InvalidTypeError(
            f"Expected `grid` to be a dict, 'default' or None, found `{type(grid).__name__}`."
        )
    out: dict[str, list[Any]] = {}
    for name, values in grid.items():
        if name not in GRID:
            raise InvalidOptionError(f"Invalid option {name!r} for `grid`. Valid options: {', '.join(GRID)}.")
        values = list(np.ravel(values))
        if not values:
            raise InvalidOptionError(f"Expected `grid[{name!r}]` to have values, found none.")
        if name == "lam":
            out[name] = [check_number(v, "lam", above=0.0) for v in values]
        else:
            out[name] = [check_count(v, name, least=0) for v in values]
    orders = out.get("spline_order", [order])
    for n in out.get("n_splines", []):
        _n_splines(n, max(orders))
    return out
