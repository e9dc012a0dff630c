"""Probabilities of cells to belong to lineages, with the names and colours of these."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ferrocyte import _lineage_anndata, _lineage_index, _lineage_numpy, _lineage_reduce, _lineage_repr
from ferrocyte._colors import GREY, MIXTURE, mean_color
from ferrocyte._errors import InvalidDataError, InvalidTypeError
from ferrocyte._lineage_anndata import Kind
from ferrocyte._lineage_labels import Labels, check_colors, check_names, frozen
from ferrocyte._lineage_reduce import DistanceMeasure, PrimingMethod
from ferrocyte._options import check_option

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["Lineage", "LineageView"]


def _named(func: Callable[..., Any]) -> Any:
    """A method that does what numpy's function does, and says so in the names."""

    def method(self: Lineage, *args: Any, **kwargs: Any) -> Any:
        return func(self, *args, **kwargs)

    method.__name__ = func.__name__
    method.__doc__ = f"As :func:`numpy.{func.__name__}`; the result keeps two dimensions and has names."
    return method


def _plain(name: str) -> Any:
    """A method of the plain array: its result has no place for the names of lineages."""

    def method(self: Lineage, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.X, name)(*args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"As :meth:`numpy.ndarray.{name}`; the result is a plain array."
    return method


class Lineage(np.ndarray):
    """An array of cells x lineages whose columns have names and colours.

    Parameters
    ----------
    input_array : ndarray, shape (n_cells, n_lineages) or (n_cells,)
        Values, usually probabilities; copied. One dimension becomes one column.
    names : iterable of str
        Names of the lineages, all different.
    colors : iterable of matplotlib colours, optional
        Colours of the lineages. Default: the first of 62 fixed ones.

    Raises
    ------
    InvalidTypeError
        If `input_array` is not an array, or `names` or `colors` are not iterable.
    InvalidDataError
        If there are no cells or no lineages, or more than two dimensions; for a wrong number of names or
        colours, names that are not unique and colours that matplotlib does not know.

    Notes
    -----
    Indexing never drops a dimension: ``x["a"]`` is a column, ``x[["b", "a"]]`` and ``x["b", "a"]`` are two,
    ``x[cells, lineages]`` is their outer product, and ``x[["a, b", "c"]]`` sums `a` and `b`; ``"rest"`` is
    the sum of all lineages that are not named beside it. With as many lineages listed as there are cells, and
    all cells listed too, one value per cell is picked. After ``.T`` lineages come first.

    Arithmetic and comparisons keep names and colours of the first operand. Functions such as `np.sum` keep
    two dimensions and name what they reduced. Every other numpy function gives a plain array. For a column of
    a table, which has one dimension, take ``x["a"].X[:, 0]``.

    Examples
    --------
    >>> import numpy as np
    >>> from ferrocyte import Lineage
    >>> x = Lineage(np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]), names=["a", "b", "c"])
    >>> x[0, ["c, b", "a"]]
    Lineage([[0.5, 0.5]],
      names([b, c, a]))
    >>> x.mean(axis=0).names.tolist()
    ['mean of a', 'mean of b', 'mean of c']
    """

    # `None` in a plain array that was viewed as a Lineage, until somebody asks
    _names: NDArray[np.str_] | None = None
    _colors: NDArray[np.str_] | None = None
    _transposed: bool = False

    def __new__(
        cls, input_array: NDArray[Any], *, names: Iterable[str], colors: Iterable[Any] | None = None
    ) -> Self:
        if not isinstance(input_array, np.ndarray):
            found = type(input_array).__name__
            raise InvalidTypeError(
                f"Expected a `numpy.ndarray`, found `{found}`. Convert it with `numpy.asarray`."
            )
        values = np.array(input_array, copy=True, subok=False)
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2:
            raise InvalidDataError(
                f"Input array must be 2-dimensional (cells x lineages), found {values.ndim} dimensions."
            )
        for what, n in zip(("cells", "lineages"), values.shape, strict=True):
            if n == 0:
                raise InvalidDataError(f"Expected number of {what} to be at least 1, found 0.")
        n_lineages = values.shape[1]
        return cls._make(values, check_names(names, n_lineages), check_colors(colors, n_lineages))

    @classmethod
    def _make(
        cls, values: NDArray[Any], names: Iterable[str], colors: Iterable[str], transposed: bool = False
    ) -> Self:
        """Label values that are known to fit, without a copy."""
        self = np.ndarray.view(values, cls)
        self._names, self._colors, self._transposed = frozen(names), frozen(colors), transposed
        return self

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Lineage):
            self._names, self._colors, self._transposed = obj._names, obj._colors, obj._transposed

    # Names, colours, orientation ------------------------------------------------------------------------

    @property
    def names(self) -> NDArray[np.str_]:
        """Names of the lineages, read-only; assign to rename all of them."""
        if self._names is None:
            self._names = frozen(str(i) for i in range(self.shape[1]))
        return self._names

    @names.setter
    def names(self, value: Iterable[str]) -> None:
        self._names = frozen(check_names(value, len(self.names)))

    @property
    def colors(self) -> NDArray[np.str_]:
        """Hex colours of the lineages, read-only; assign to change all of them, `None` for the defaults."""
        if self._colors is None:
            self._colors = frozen([GREY] * len(self.names))
        return self._colors

    @colors.setter
    def colors(self, value: Iterable[Any] | None) -> None:
        self._colors = frozen(check_colors(value, len(self.names)))

    @property
    def X(self) -> NDArray[Any]:  # noqa: N802
        """The values as a plain array that shares their memory."""
        return np.ndarray.view(self, np.ndarray)

    @property
    def nlin(self) -> int:
        """Number of columns, which are the lineages unless transposed."""
        return int(self.shape[1])

    @property
    def T(self) -> Self:  # noqa: N802
        """Lineages x cells, sharing memory; names are still those of the lineages."""
        turned = np.ndarray.transpose(self)
        turned._transposed = not self._transposed
        return turned

    mT = T  # noqa: N815

    @property
    def flat(self) -> Any:
        """Iterator over the values."""
        return self.X.flat

    def _labels(self) -> Labels:
        return Labels(self.names.tolist(), self.colors.tolist(), int(not self._transposed))

    def _upright(self) -> NDArray[Any]:
        """Plain values as cells x lineages."""
        return self.X.T if self._transposed else self.X

    # Copies ---------------------------------------------------------------------------------------------

    def view(self, dtype: Any = None, type: Any = None) -> Any:
        """A :class:`LineageView`; with arguments, as :meth:`numpy.ndarray.view` of the plain array."""
        kind = dtype if type is None else type
        if kind is None:
            return LineageView._of(self)
        if isinstance(kind, builtins.type) and kind.__module__.partition(".")[0] == "anndata":
            # anndata casts what it took out of `obsm` for a view of an AnnData object. That is mostly a copy:
            # writing to it would be lost.
            taken = LineageView._of(self)
            taken.flags.writeable = False
            return taken
        if isinstance(kind, builtins.type) and issubclass(kind, Lineage):
            return self if kind is Lineage else LineageView._of(self)
        given = {k: v for k, v in (("dtype", dtype), ("type", type)) if v is not None}
        return self.X.view(**given)

    def copy(self, order: Literal["K", "A", "C", "F"] | None = "C") -> Lineage:
        """A deep copy."""
        return Lineage._make(self.X.copy(order), self.names, self.colors, self._transposed)

    def __copy__(self) -> Lineage:
        return self.copy("K")

    def __deepcopy__(self, memo: Any) -> Lineage:
        return self.copy("K")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (self.X, self.names.tolist(), self.colors.tolist(), self._transposed)

    def astype(self, dtype: DTypeLike, *args: Any, **kwargs: Any) -> Lineage:  # type: ignore[override]
        """The same with another type of numbers."""
        return Lineage._make(self.X.astype(dtype, *args, **kwargs), self.names, self.colors, self._transposed)

    def transpose(self, *axes: Any) -> Any:
        """As `.T`, or the same when the axes stay in their order."""
        order = axes[0] if len(axes) == 1 and axes[0] is not None else axes
        turned = self.X.transpose(*axes)  # numpy's errors
        if not order or order == (None,) or [int(a) % 2 for a in order] == [1, 0]:
            return self.T
        return Lineage._make(turned, self.names, self.colors, self._transposed)

    # Indexing -------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        names = self.names.tolist()
        kind = getattr(getattr(key, "dtype", None), "kind", None)
        if kind == "b" and np.shape(key) == self.shape and self.shape[1] > 1:
            return self.X[np.asarray(key)]  # values one by one belong to no column
        values = self._upright()
        rows, columns, pairs = _lineage_index.parse(key, len(values), names, transposed=self._transposed)
        if pairs is not None:
            picked = Lineage._make(values[rows, pairs][:, None], ["mixture"], [MIXTURE])
            return picked.T if self._transposed else picked
        groups = columns.groups
        flat = [i for group in groups for i in group]
        if isinstance(rows, slice) and flat == list(range(len(names))) and not columns.mixed:
            chosen = values[rows]
        elif isinstance(rows, slice):
            chosen = values[rows][:, flat]
        else:
            chosen = values[rows[:, None], flat]
        if columns.mixed:
            chosen = np.add.reduceat(chosen, np.cumsum([0, *(len(g) for g in groups[:-1])]), axis=1)
        result = Lineage._make(
            chosen,
            [
                _lineage_index.REST if k == columns.rest else ", ".join(names[i] for i in g)
                for k, g in enumerate(groups)
            ],
            [self.colors[g[0]] if len(g) == 1 else mean_color(self.colors[g]) for g in groups],
        )
        return result.T if self._transposed else result

    def __iter__(self) -> Iterator[Any]:
        """Cells, each a Lineage; transposed, the values of each lineage in one dimension.

        The latter is how others make a table of an array, column by column.
        """
        if self._transposed:
            return (np.ndarray.view(row, _Values) for row in self.X)
        return (self[i] for i in range(len(self)))

    # A single value has two dimensions here and is a number all the same; else numpy's own errors.

    def __float__(self) -> float:
        return float(self.item() if self.size == 1 else self.X)

    def __int__(self) -> int:
        return int(self.item() if self.size == 1 else self.X)

    def __complex__(self) -> complex:
        return complex(self.item() if self.size == 1 else self.X)

    # numpy ----------------------------------------------------------------------------------------------

    def __array_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any, kwargs: Any
    ) -> Any:
        if func is np.expand_dims:
            return NotImplemented  # a Lineage has two dimensions
        if func is np.squeeze and args and isinstance(args[0], Lineage):
            return args[0]
        if func is np.array_repr and args and isinstance(args[0], Lineage):
            return repr(args[0])
        result, source, labels = _lineage_numpy.call(func, args, kwargs, Lineage)
        if labels is None:
            return result
        return Lineage._make(result, labels.names, labels.colors, source._transposed)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operands = [x for x in inputs if isinstance(x, Lineage)]
        result = getattr(ufunc, method)(
            *_lineage_numpy.unwrap(inputs, Lineage), **_lineage_numpy.unwrap(kwargs, Lineage)
        )
        elementwise = method == "__call__" and ufunc.signature is None
        results = result if isinstance(result, tuple) else (result,)
        outputs = kwargs.get("out") or (None,) * len(results)
        final = tuple(
            o if o is not None else (_like(operands, r) if elementwise else r)
            for r, o in zip(results, outputs, strict=True)
        )
        return final if isinstance(result, tuple) else final[0]

    sum = _named(np.sum)
    mean = _named(np.mean)
    min = _named(np.min)
    max = _named(np.max)
    argmin = _named(np.argmin)
    argmax = _named(np.argmax)
    std = _named(np.std)
    var = _named(np.var)
    prod = _named(np.prod)
    any = _named(np.any)
    all = _named(np.all)
    cumsum = _named(np.cumsum)
    cumprod = _named(np.cumprod)
    argsort = _named(np.argsort)
    sort = _named(np.sort)

    choose = _plain("choose")
    compress = _plain("compress")
    diagonal = _plain("diagonal")
    dot = _plain("dot")
    flatten = _plain("flatten")
    ravel = _plain("ravel")
    repeat = _plain("repeat")
    reshape = _plain("reshape")
    swapaxes = _plain("swapaxes")
    take = _plain("take")
    trace = _plain("trace")

    def squeeze(self, axis: Any = None) -> Self:
        """Nothing: a Lineage keeps its two dimensions."""
        return self

    def entropy(
        self, qk: ArrayLike | None = None, base: float | None = None, axis: int | None = 0
    ) -> Lineage:
        """As :func:`scipy.stats.entropy`, with names.

        Parameters
        ----------
        qk : array-like, optional
            Relative to this distribution (Kullback-Leibler divergence).
        base : float, optional
            Of the logarithm; default e.
        axis : int or None, default 0
            0: one value per lineage; 1: one per cell.

        Returns
        -------
        Lineage
            Of shape `(1, n_lineages)`, `(n_cells, 1)` or `(1, 1)`.
        """
        from scipy.stats import entropy

        other = None if qk is None else np.asarray(qk)
        values = np.asarray(entropy(self.X, other, base=base, axis=axis))
        axes = frozenset(range(2) if axis is None else [axis % 2])
        shape, labels = _lineage_numpy.reduced(self._labels(), self.shape, axes, "entropy")
        return Lineage._make(values.reshape(shape), labels.names, labels.colors, self._transposed)

    # Showing --------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return _lineage_repr.text(type(self).__name__, self.X, self.names.tolist())

    def __str__(self) -> str:
        return f"{self.X}\n names=[{', '.join(self.names)}]"

    def __format__(self, spec: str) -> str:
        return _lineage_repr.format_value(self.X, spec) if spec else str(self)

    def _repr_html_(self) -> str:
        return _lineage_repr.html_table(
            self.X, self.names.tolist(), self.colors.tolist(), transposed=self._transposed
        )

    def plot_pie(
        self,
        reduction: Callable[..., Any],
        title: str | None = None,
        legend_loc: str | None = "on data",
        legend_kwargs: Mapping[str, Any] = MappingProxyType({}),
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
        save: str | os.PathLike[str] | None = None,
        *,
        show: bool | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Draw the share of each lineage in all cells.

        Parameters
        ----------
        reduction : callable
            Makes one value per lineage, as `numpy.mean` or `numpy.max` do; called with `axis=`.
        title : str, optional
            Default: the name of `reduction`.
        legend_loc : str or None, default "on data"
            `"on data"` writes the names beside the slices, those of more than 8 lineages in a legend; else a
            place such as `"best"` or `"upper right out"`; `None`: no names.
        legend_kwargs : mapping
            For :meth:`matplotlib.axes.Axes.legend`.
        figsize, dpi
            Of a new figure, in inches and dots per inch; `dpi` also when saving.
        save : path, optional
            Save here; `.png` is added without a suffix.
        show : bool, optional
            Default: show in an interactive session.
        ax : matplotlib.axes.Axes, optional
            Draw here; a new figure by default.
        **kwargs
            For :meth:`matplotlib.axes.Axes.pie`. By default slices carry the reduced values with four digits;
            `autopct=None` leaves them out.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InvalidDataError
            With one lineage only, or if the reduced values are negative, not finite or all zero.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> import numpy as np
        >>> ax = adata.obsm["lineages_fwd"].plot_pie(np.mean, save="pie.png")
        """
        from ferrocyte.pl.pie import pie_values, plot_pie

        if title is None:
            title = getattr(reduction, "__name__", "")
        return plot_pie(
            pie_values(self, reduction),
            title=title,
            legend_loc=legend_loc,
            legend_kwargs=legend_kwargs,
            figsize=figsize,
            dpi=dpi,
            save=save,
            show=show,
            ax=ax,
            **kwargs,
        )

    # AnnData --------------------------------------------------------------------------------------------

    @classmethod
    def from_adata(
        cls,
        adata: AnnData,
        backward: bool = False,
        estimator_backward: bool | None = None,
        kind: Kind = "fate_probs",
        copy: bool = False,
    ) -> Lineage:
        """Rebuild from an AnnData object, also after reading it from a file.

        Parameters
        ----------
        adata : AnnData
            With the matrix in `obsm`. Plain arrays get the categories of the matching `obs` column as names
            and the colours in `uns`.
        backward : bool, default False
            Direction of the process. For ``kind="term_states"``: initial instead of terminal states.
        estimator_backward : bool, optional
            Direction of the estimator that made the states. Default: forward; for ``kind="term_states"``
            backward, where only that is there.
        kind : {"fate_probs", "macrostates", "term_states"}, default "fate_probs"
            Fate probabilities, memberships of macrostates, or memberships of terminal (initial) states.
        copy : bool, default False
            Copy the values. Without it they share memory with `adata` wherever that is possible.

        Returns
        -------
        Lineage
            Shape `(n_cells, n_lineages)`.

        Raises
        ------
        MissingDataError
            If it is not there.
        InvalidDataError
            If it is not a matrix of numbers.

        Warns
        -----
        FerrocyteWarning
            If names or colours can not be found; they are then ``"0", "1", ...`` and the default ones.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> fc.Lineage.from_adata(adata).names.tolist()
        ['A', 'B', 'C']
        """
        value, key, named_in = _lineage_anndata.stored(adata, kind, backward, estimator_backward)
        if isinstance(value, Lineage):
            return value.copy() if copy else value
        values = _lineage_anndata.values_of(value, key)
        if 0 in values.shape:
            raise InvalidDataError(f"Expected `adata.obsm[{key!r}]` to have at least one column, found none.")
        names, colors = _lineage_anndata.annotate(adata, value, values.shape[1], key, named_in)
        return cls._make(values.copy() if copy else values, names, colors)

    # Results --------------------------------------------------------------------------------------------

    def priming_degree(
        self, method: PrimingMethod = "kl_divergence", early_cells: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Degree of lineage priming: 0 stands for naive cells, 1 for committed ones.

        Parameters
        ----------
        method : {"kl_divergence", "entropy"}, default "kl_divergence"
            ``"kl_divergence"``: Kullback-Leibler divergence, in bits, of the probabilities of a cell from
            their mean over early cells [1]_. ``"entropy"``: how far the entropy of the probabilities of a
            cell is below the largest one [2]_.
        early_cells : array-like of bool or int, optional
            Mask or positions of early cells. Default: all. Only used for ``"kl_divergence"``.

        Returns
        -------
        ndarray of float64, shape (n_cells,)
            Scaled linearly so that the smallest is 0 and the largest 1; all 0 if all cells are alike.

        Raises
        ------
        InvalidOptionError
            For another method.
        InvalidDataError
            If no cell is early, or a cell has a fate that no early cell has: it is infinitely far from them;
            if probabilities are negative or not finite.

        Notes
        -----
        A cell with a probability of exactly 0, as those of terminal states have, counts as 1 bit before
        scaling, as in CellRank. With three fates or more, cells shortly before the end may have more; with
        ``"entropy"`` cells at the end always have the most.

        References
        ----------
        .. [1] Velten et al., Nature Cell Biology 19, 271 (2017).
        .. [2] Setty et al., Nature Biotechnology 37, 451 (2019).

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
        >>> names = adata.uns["fate_names"].tolist()
        >>> adata.obsm["lineages_fwd"] = fc.Lineage(adata.obsm["true_fate"], names=names)
        >>> adata.obsm["lineages_fwd"].priming_degree("entropy").shape
        (300,)
        """
        values = np.asarray(self._upright(), dtype=np.float64)
        return _lineage_reduce.priming_degree(values, method, early_cells, self.names.tolist())

    def reduce(
        self,
        *keys: str,
        mode: Literal["dist", "scale"] = "dist",
        dist_measure: DistanceMeasure = "mutual_info",
        normalize_weights: Literal["scale", "softmax"] = "softmax",
        softmax_scale: float = 1.0,
        return_weights: bool = False,
    ) -> Lineage | tuple[Lineage, pd.DataFrame | None]:
        """Keep some lineages and share the probabilities of the rest among them.

        Parameters
        ----------
        *keys : str
            Lineages to keep; ``"a, b"`` merges two.
        mode : {"dist", "scale"}, default "dist"
            ``"dist"``: a left-out lineage gives most to those that resemble it; ``"scale"``: the kept ones
            are divided by their sum.
        dist_measure : str, default "mutual_info"
            Resemblance of two lineages, for ``"dist"``: ``"cosine_sim"`` of their columns; the inverse of
            ``"wasserstein_dist"`` (between the values), ``"kl_div"`` (Kullback-Leibler divergence) or
            ``"js_div"`` (Jensen-Shannon distance) of columns that sum to 1, over cells without zeros;
            ``"mutual_info"`` as scikit-learn estimates it; ``"equal"``.
        normalize_weights : {"softmax", "scale"}, default "softmax"
            Weights `w` are divided by their sum; ``"softmax"`` then takes ``exp(s w) / sum exp(s w)``.
        softmax_scale : float, default 1.0
            `s` above, dimensionless; the larger, the more goes to the most similar lineage.
        return_weights : bool, default False
            Also return the weights.

        Returns
        -------
        Lineage
            Shape `(n_cells, n_keys)`, rows sum to 1. One key: a column of ones. All lineages: as they are,
            merged where asked for.
        pandas.DataFrame or None
            With `return_weights`: shape `(n_left_out, n_keys)`; None for ``"scale"`` and when nothing was
            left out.

        Raises
        ------
        InvalidDataError
            If rows do not sum to 1, no key is given, or what is asked for can not be computed: a cell without
            any probability for the kept lineages (``"scale"``), weights that are all zero (``"dist"``).
        MissingDataError
            If there is no lineage of that name.
        InvalidOptionError
            For unknown options.
        RuntimeError
            If transposed.
        """
        if self._transposed:
            raise RuntimeError(
                "`reduce` works on cells x lineages, found a transposed Lineage. Undo it with `.T`."
            )
        mode = check_option(mode, "mode", _lineage_reduce.MODES)
        measure = check_option(dist_measure, "dist_measure", _lineage_reduce.DISTANCES)
        normalize = check_option(normalize_weights, "normalize_weights", _lineage_reduce.NORMS)
        if not keys:
            raise InvalidDataError(
                f"Unable to reduce, no keys specified. Name one or more of {self.names.tolist()}."
            )
        _lineage_reduce.check_probabilities(self.X)
        groups = _lineage_index.parse((None, list(keys)), len(self), self.names.tolist()).columns.groups
        kept = {i for group in groups for i in group}
        rest = [i for i in range(len(self.names)) if i not in kept]
        reference: Lineage = self[:, list(keys)]
        weights: pd.DataFrame | None = None
        values = np.asarray(reference.X, dtype=np.float64)
        if len(groups) == 1:  # everything goes to the only one there is
            values = np.ones_like(values)
            if rest and mode == "dist":
                weights = pd.DataFrame(1.0, index=self.names[rest], columns=reference.names)
        elif rest and mode == "scale":
            values = _lineage_reduce.rescaled(values)
        elif rest:
            query = np.asarray(self.X[:, rest], dtype=np.float64)
            w = _lineage_reduce.projection_weights(values, query, measure, normalize, softmax_scale)
            weights = pd.DataFrame(w, index=self.names[rest], columns=reference.names)
            values = values + query @ w
        as_it_is = not rest and len(groups) > 1
        result = reference if as_it_is else Lineage._make(values, reference.names, reference.colors)
        return (result, weights) if return_weights else result


class _Values(np.ndarray):
    """The values of one lineage.

    An array like any other; but numpy asks what is in a sequence whose call it is to handle, and in a
    transposed Lineage it finds these.
    """

    def __array_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any, kwargs: Any
    ) -> Any:
        plain = (Lineage, _Values)
        return func(*_lineage_numpy.unwrap(args, plain), **_lineage_numpy.unwrap(kwargs, plain))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(
            *_lineage_numpy.unwrap(inputs, _Values), **_lineage_numpy.unwrap(kwargs, _Values)
        )


class LineageView(Lineage):
    """A Lineage that shares values, names and colours with its :attr:`owner`."""

    _owner: Lineage

    def __new__(cls, lineage: Lineage) -> Self:
        """Look at another Lineage; of a view, at its owner."""
        if not isinstance(lineage, Lineage):
            raise InvalidTypeError(
                f"Expected a `Lineage`, found `{type(lineage).__name__}`. Views are made by `.view()`."
            )
        return cls._of(lineage)

    @classmethod
    def _of(cls, lineage: Lineage) -> Self:
        self = cls._make(lineage.X, lineage.names, lineage.colors, lineage._transposed)
        self._owner = lineage._owner if isinstance(lineage, LineageView) else lineage
        return self

    def __array_finalize__(self, obj: Any) -> None:
        super().__array_finalize__(obj)
        if isinstance(obj, LineageView):
            self._owner = obj._owner

    @property
    def owner(self) -> Lineage:
        """The Lineage this looks at."""
        return self._owner

    @property
    def names(self) -> NDArray[np.str_]:
        """Names of the owner."""
        return self._owner.names

    @names.setter
    def names(self, value: Any) -> None:
        raise RuntimeError("Unable to set names of a view. Set those of its `.owner`, or `.copy()` it first.")

    @property
    def colors(self) -> NDArray[np.str_]:
        """Colours of the owner."""
        return self._owner.colors

    @colors.setter
    def colors(self, value: Any) -> None:
        raise RuntimeError(
            "Unable to set colors of a view. Set those of its `.owner`, or `.copy()` it first."
        )


def _rebuild(values: NDArray[Any], names: Sequence[str], colors: Sequence[str], transposed: bool) -> Lineage:
    """What a copy in another process is made from."""
    return Lineage._make(values, names, colors, transposed)


def _like(operands: Sequence[Lineage], result: Any) -> Any:
    """The result of arithmetic with the labels of the first operand that has as many lineages."""
    if not isinstance(result, np.ndarray) or result.ndim != 2:
        return result
    for x in operands:
        if result.shape[int(not x._transposed)] == len(x.names):
            return Lineage._make(result, x.names, x.colors, x._transposed)
    return result


_lineage_anndata.register_writers([Lineage, LineageView])
