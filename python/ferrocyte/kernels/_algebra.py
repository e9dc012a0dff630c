"""Kernels combined by `+` and `*`, as values.

An expression never changes what it is made of. Its matrix is evaluated when it is asked for, from the raw
constants, once over the flattened sum:

    T = sum_i (c_i / c) T_i,   c = sum_i c_i,

so it makes no difference whether an inner sum was looked at before. The matrix is kept for as long as the
matrices of all leaves are the same objects.
"""

from __future__ import annotations

import copy as copylib
import math
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ferrocyte._errors import (
    InvalidDataError,
    InvalidIndexError,
    InvalidOptionError,
    InvalidTypeError,
    NotComputedError,
)
from ferrocyte.kernels._combine import product, weighted_sum
from ferrocyte.kernels._matrix import Matrix
from ferrocyte.kernels._members import TransitionMembers

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Constant", "KernelExpression", "KernelProduct", "KernelSum"]


class KernelExpression(TransitionMembers):
    """A kernel, a constant, or kernels combined: anything that `+` and `*` take and give.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> other = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
    >>> _ = other.compute_transition_matrix()
    >>> both = 0.8 * kernel + 0.2 * other
    >>> isinstance(both, fc.kernels.KernelExpression), len(both.kernels)
    (True, 2)
    """

    # numpy must not take a kernel for a sequence: np.float64(2) * kernel is our product.
    __array_ufunc__ = None

    # Whether `~` gives the other direction.
    _has_inverse: bool = True
    _parent_ref: weakref.ref[KernelExpression] | None = None

    @property
    def parent(self) -> KernelExpression | None:
        """The expression this one was last combined into, if it is still alive. Nothing depends on it."""
        return self._parent_ref() if self._parent_ref is not None else None

    _parent = parent

    @property
    @abstractmethod
    def backward(self) -> bool | None:
        """Direction of the process; None if it has none."""

    @abstractmethod
    def __invert__(self) -> KernelExpression: ...

    @abstractmethod
    def copy(self, *, deep: bool = False) -> KernelExpression:
        """A copy; `deep` also copies annotated data. See :meth:`Kernel.copy`."""

    @abstractmethod
    def compute_transition_matrix(self, *args: Any, **kwargs: Any) -> KernelExpression:
        """Compute what is missing, and return itself; what arguments there are is up to the kernel."""

    @abstractmethod
    def _leaves(self) -> tuple[Any, ...]:
        """Distinct kernels in the order in which they are written."""

    @abstractmethod
    def _text(self, *, short: bool = False) -> str:
        """As `repr` (or `str`), without the mark of direction."""

    @abstractmethod
    def _matrix(self) -> Matrix:
        """The transition matrix, evaluated; raises if a leaf has none."""

    @property
    def kernels(self) -> tuple[KernelExpression, ...]:
        """The distinct kernels in this expression, without constants."""
        return self._leaves()

    def __add__(self, other: object) -> KernelExpression:
        return _add(self, other) if isinstance(other, KernelExpression) else NotImplemented

    def __mul__(self, other: object) -> KernelExpression:
        return _multiply(self, other)

    def __rmul__(self, other: object) -> KernelExpression:
        return _multiply(other, self)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_parent_ref"}

    def __repr__(self) -> str:
        return ("~" if self.backward else "") + self._text()

    def __str__(self) -> str:
        return ("~" if self.backward else "") + self._text(short=True)


class Constant(KernelExpression):
    """A positive weight.

    Parameters
    ----------
    value : float
        Above 0 and finite.

    Raises
    ------
    InvalidOptionError
        Says ``to be positive``.
    """

    def __init__(self, value: float) -> None:
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            raise InvalidTypeError(f"Expected a weight to be a number, found `{type(value).__name__}`.")
        if not (value > 0 and math.isfinite(value)):
            raise InvalidOptionError(f"Expected the constant to be positive and finite, found {value}.")
        self._value = float(value)

    @property
    def transition_matrix(self) -> float:
        """The number."""
        return self._value

    @property
    def backward(self) -> None:
        """None: a number has no direction."""
        return

    @property
    def params(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def copy(self, *, deep: bool = False) -> Constant:
        """Another object with the same value."""
        return Constant(self._value)

    def compute_transition_matrix(self, *args: Any, **kwargs: Any) -> Constant:
        """Do nothing; a number is what it is."""
        return self

    def _leaves(self) -> tuple[Any, ...]:
        return ()

    def _matrix(self) -> Matrix:
        raise InvalidTypeError("A constant has no transition matrix. Multiply it with a kernel.")

    def _text(self, *, short: bool = False) -> str:
        return str(round(self._value, 3))

    def __invert__(self) -> Constant:
        return Constant(self._value)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Constant:
        if index != 0:
            raise InvalidIndexError("tuple index out of range: a constant has one term.")
        return self


class _Composite(KernelExpression):
    """What sums and products share: terms in order, and a matrix kept while the leaves keep theirs."""

    def __init__(self, terms: tuple[KernelExpression, ...]) -> None:
        self._terms = terms
        self._result: Matrix | None = None
        self._inputs: tuple[Any, ...] = ()
        self._backward = _common_direction(terms)
        shapes = {leaf.shape for leaf in self._leaves()}
        if len(shapes) > 1:
            sizes = ", ".join(str(n) for n, _ in sorted(shapes))
            raise InvalidDataError(
                f"Expected all kernels to be over the same cells, found kernels over {sizes} cells. "
                "Build them from the same `adata`."
            )
        for term in terms:
            term._parent_ref = weakref.ref(self)

    @property
    def backward(self) -> bool | None:
        """Direction of the process; None if no kernel in it has one."""
        return self._backward

    @property
    def shape(self) -> tuple[int, int]:
        """`(n_cells, n_cells)`."""
        return self._leaves()[0].shape

    @property
    def adata(self) -> AnnData | None:
        """The annotated data of the first kernel; setting it sets that of all kernels."""
        return self._leaves()[0].adata

    @adata.setter
    def adata(self, adata: AnnData | None) -> None:
        for leaf in self._leaves():
            leaf._check_new_adata(adata)
        for leaf in self._leaves():
            leaf.adata = adata

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the kernels, by their `repr` and position; empty for a single kernel."""
        leaves = self._leaves()
        if len(leaves) == 1:
            return {}
        return {f"{leaf!r}:{i}": leaf.params for i, leaf in enumerate(leaves)}

    @property
    def init(self) -> dict[str, Any]:
        """What `write_to_adata` keeps of the construction."""
        return {"backward": False}

    @property
    def transition_matrix(self) -> Matrix:
        """Row-stochastic matrix of shape `(n_cells, n_cells)`; evaluated on first use.

        Raises
        ------
        NotComputedError
            If a kernel in it has no matrix yet; says ``is uninitialized``.
        """
        return self._matrix()

    def compute_transition_matrix(self, *args: Any, **kwargs: Any) -> KernelExpression:
        """Evaluate the expression from the matrices of its kernels.

        Parameters
        ----------
        *args, **kwargs
            None are expected: each kernel takes its own.

        Returns
        -------
        KernelExpression
            Itself, with :attr:`transition_matrix`.

        Raises
        ------
        NotComputedError
            If a kernel in it has no matrix yet; says ``is uninitialized``.
        InvalidTypeError
            For any parameter.
        """
        if args or kwargs:
            raise InvalidTypeError(
                "A combination of kernels takes no parameters. Pass them to "
                "`compute_transition_matrix` of each kernel."
            )
        self._matrix()
        return self

    def _leaves(self) -> tuple[Any, ...]:
        return tuple({id(leaf): leaf for term in self._terms for leaf in term._leaves()}.values())

    def _current_inputs(self) -> tuple[Any, ...]:
        for leaf in self._leaves():
            if leaf.transition_matrix is None:
                raise NotComputedError(
                    f"`{leaf!r}` is uninitialized. Call its `.compute_transition_matrix(...)` first."
                )
        return tuple(leaf.transition_matrix for leaf in self._leaves())

    def _matrix(self) -> Matrix:
        inputs = self._current_inputs()
        same = len(inputs) == len(self._inputs) and all(
            a is b for a, b in zip(inputs, self._inputs, strict=True)
        )
        if self._result is None or not same:
            self._result, self._inputs = self._evaluate(), inputs
        return self._result

    @abstractmethod
    def _evaluate(self) -> Matrix: ...

    def _show_evaluated(self) -> None:
        """Show terms as they are after evaluation, where that differs."""

    @abstractmethod
    def _rebuild(self, leaf: Callable[[Any], KernelExpression]) -> KernelExpression:
        """The same expression over other leaves, with its raw constants."""

    def __invert__(self) -> KernelExpression:
        done: dict[int, Any] = {}
        for leaf in self._leaves():
            done[id(leaf)] = ~leaf if leaf._has_inverse else leaf.copy()
        return self._rebuild(lambda leaf: done[id(leaf)])

    def copy(self, *, deep: bool = False) -> KernelExpression:
        """Return a copy with kernels of its own.

        Parameters
        ----------
        deep : bool, default False
            Copy the annotated data, too; kernels that share one share its copy.

        Returns
        -------
        KernelExpression
            With :attr:`transition_matrix` if this one has been evaluated.
        """
        memo: dict[int, Any] = {}
        done = {id(leaf): leaf._copy(deep, memo) for leaf in self._leaves()}
        out = self._rebuild(lambda leaf: done[id(leaf)])
        if isinstance(out, _Composite) and self._result is not None:
            out._show_evaluated()
            if all(a is b.transition_matrix for a, b in zip(self._inputs, self._leaves(), strict=True)):
                out._result = copylib.copy(self._result)
                out._inputs = tuple(leaf.transition_matrix for leaf in out._leaves())
        return out

    def __copy__(self) -> KernelExpression:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> KernelExpression:
        return self.copy(deep=True)

    def __len__(self) -> int:
        return len(self._shown())

    def __iter__(self) -> Iterator[KernelExpression]:
        return iter(self._shown())

    def __getitem__(self, index: int) -> KernelExpression:
        try:
            return self._shown()[index]
        except IndexError:
            raise InvalidIndexError(
                f"tuple index out of range: there are {len(self)} terms, found index {index}."
            ) from None

    def _shown(self) -> tuple[KernelExpression, ...]:
        """The terms as the user sees them."""
        return self._terms


class KernelProduct(_Composite):
    """A constant times a kernel, or the element-wise product of kernels with rows scaled to sum to 1."""

    _terms: tuple[KernelExpression, ...]

    def _weight(self) -> float | None:
        first = self._terms[0]
        return first.transition_matrix if isinstance(first, Constant) else None

    def _evaluate(self) -> Matrix:
        if self._weight() is not None:
            return self._terms[1]._matrix()
        names = self.adata.obs_names if self.adata is not None else None
        return product([term._matrix() for term in self._terms], names)

    def _rebuild(self, leaf: Callable[[Any], KernelExpression]) -> KernelExpression:
        return KernelProduct(tuple(_rebuild(term, leaf) for term in self._terms))

    def _text(self, *, short: bool = False) -> str:
        text = " * ".join(term._text(short=short) for term in self._terms)
        return text if self._weight() is not None else f"({text})"


class KernelSum(_Composite):
    """A weighted sum of kernels."""

    _terms: tuple[KernelProduct, ...]
    _normalized: tuple[KernelExpression, ...] | None = None

    def _weights(self) -> list[float]:
        """Raw constants divided by their total; a product of kernels without a constant counts as 1."""
        raw = [_weight(term) for term in self._terms]
        total = math.fsum(raw)
        return [w / total for w in raw]

    def _flatten(self, scale: float, into: dict[int, list[Any]]) -> None:
        """Collect the weight of every matrix below this sum."""
        for weight, term in zip(self._weights(), self._terms, strict=True):
            inner: KernelExpression = term
            while isinstance(inner, KernelProduct) and inner._weight() is not None:
                inner = inner._terms[1]
            if isinstance(inner, KernelSum):
                inner._flatten(scale * weight, into)
            else:
                matrix = inner._matrix()
                into.setdefault(id(matrix), [matrix, 0.0])[1] += scale * weight

    def _evaluate(self) -> Matrix:
        found: dict[int, list[Any]] = {}
        self._flatten(1.0, found)
        out = weighted_sum([m for m, _ in found.values()], [w for _, w in found.values()])
        self._show_evaluated()
        return out

    def _show_evaluated(self) -> None:
        if self._normalized is not None:
            return
        self._normalized = tuple(
            KernelProduct((Constant(weight), term._terms[1] if _has_constant(term) else term))
            for weight, term in zip(self._weights(), self._terms, strict=True)
        )
        for term in self._normalized:
            term._parent_ref = weakref.ref(self)

    def _shown(self) -> tuple[KernelExpression, ...]:
        return self._terms if self._normalized is None else self._normalized

    def _rebuild(self, leaf: Callable[[Any], KernelExpression]) -> KernelExpression:
        return KernelSum(tuple(_rebuild(term, leaf) for term in self._terms))

    def _text(self, *, short: bool = False) -> str:
        return "(" + " + ".join(term._text(short=short) for term in self._shown()) + ")"


def _has_constant(term: KernelExpression) -> bool:
    return isinstance(term, KernelProduct) and term._weight() is not None


def _weight(term: KernelExpression) -> float:
    weight = term._weight() if isinstance(term, KernelProduct) else None
    return 1.0 if weight is None else weight


def _rebuild(term: KernelExpression, leaf: Callable[[Any], KernelExpression]) -> KernelExpression:
    if isinstance(term, Constant):
        return term.copy()
    return term._rebuild(leaf) if isinstance(term, _Composite) else leaf(term)


def _scaled(term: KernelExpression) -> KernelProduct:
    """`term` as a product: itself if it is one, else 1 times it."""
    return term if isinstance(term, KernelProduct) else KernelProduct((Constant(1.0), term))


def _add(left: KernelExpression, right: KernelExpression) -> KernelExpression:
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Constant(left.transition_matrix + right.transition_matrix)
    if isinstance(left, Constant) or isinstance(right, Constant):
        raise InvalidTypeError(
            "Expected a kernel on both sides of `+`, found a number. Multiply with it instead."
        )
    terms: list[KernelExpression] = []
    for operand in (left, right):
        if isinstance(operand, KernelSum) and all(_has_constant(term) for term in operand._terms):
            terms.extend(operand._terms)
        else:
            terms.append(operand)
    # A term of this sum is a new object, so that the operand keeps its own parent and constants.
    return KernelSum(
        tuple(
            KernelProduct(t._terms) if isinstance(t, KernelProduct) else KernelProduct((Constant(1.0), t))
            for t in terms
        )
    )


def _multiply(left: object, right: object) -> KernelExpression:
    operands: list[KernelExpression] = []
    for operand in (left, right):
        if isinstance(operand, KernelExpression):
            operands.append(operand)
        elif isinstance(operand, int | float | np.integer | np.floating) and not isinstance(operand, bool):
            operands.append(Constant(float(operand)))
        else:
            return NotImplemented
    a, b = operands
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.transition_matrix * b.transition_matrix)
    if isinstance(b, Constant):
        a, b = b, a
    if isinstance(a, Constant):
        if isinstance(b, KernelProduct) and b._weight() is not None:
            return KernelProduct((Constant(a.transition_matrix * _weight(b)), b._terms[1]))
        return KernelProduct((Constant(a.transition_matrix), b))
    return KernelProduct((_scaled(a), _scaled(b)))


def _common_direction(terms: tuple[KernelExpression, ...]) -> bool | None:
    directions = {term.backward for term in terms} - {None}
    if len(directions) > 1:
        raise InvalidDataError(
            "Unable to combine both forward and backward kernels. Invert one of them with `~kernel`, or "
            "build all "
            "with the same `backward`."
        )
    return directions.pop() if directions else None
