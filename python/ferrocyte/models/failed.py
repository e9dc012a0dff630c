"""What takes the place of a model that failed, so that one failure does not stop a thousand fits."""

from __future__ import annotations

from typing import Any, NoReturn

from numpy.typing import ArrayLike

from ferrocyte._errors import FitError, InvalidTypeError
from ferrocyte.models._arguments import same_error
from ferrocyte.models._base import BaseModel

__all__ = ["FailedModel"]


class _UnknownModelError(FitError):
    """Nobody said why."""


class FailedModel(BaseModel):
    """A model that failed; false in a condition.

    Parameters
    ----------
    model : BaseModel
        The model that failed.
    exc : str or BaseException, optional
        Why; a string becomes a `RuntimeError`.

    Raises
    ------
    InvalidTypeError
        If `model` is no model or `exc` neither a string nor an exception.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> failed = fc.models.FailedModel(fc.models.GAM(fc.datasets.dentate_gyrus()), "no cells")
    >>> bool(failed), failed.prepared
    (False, False)
    """

    def __init__(self, model: BaseModel, exc: str | BaseException | None = None) -> None:
        if not isinstance(model, BaseModel):
            raise InvalidTypeError(
                f"Expected `model` to be of type `BaseModel`, found `{type(model).__name__}`."
            )
        if exc is None:
            exc = _UnknownModelError("The reason is not known.")
        elif isinstance(exc, str):
            exc = RuntimeError(exc)
        elif not isinstance(exc, BaseException):
            raise InvalidTypeError(
                f"Expected `exc` to be a string or an exception, found `{type(exc).__name__}`."
            )
        super().__init__(None, model)
        self._adata = model.adata
        self._signal, self._lineage = model._signal, model._lineage
        self._prepared = model._prepared
        self._exc = exc
        self._is_bulk = False

    def reraise(self) -> NoReturn:
        """Raise why it failed, as the same type.

        Raises
        ------
        BaseException
            Says ``Fatal model``; its `__cause__` is the original exception.
        """
        said = str(self._exc)
        raise same_error(
            self._exc, said if "Fatal model" in said else f"Fatal model failure `{self}`. {said}"
        ) from self._exc

    def _fail(self, value: Any) -> Any:
        if not self._is_bulk:
            self.reraise()
        return value

    def prepare(self, *_args: Any, **_kwargs: Any) -> FailedModel:
        """Raise why it failed; in a bulk fit, nothing."""
        return self._fail(self)

    def fit(self, *_args: Any, **_kwargs: Any) -> FailedModel:
        """Raise why it failed; in a bulk fit, nothing."""
        return self._fail(self)

    def predict(
        self, x_test: ArrayLike | None = None, key_added: str | None = "_x_test", **_kwargs: Any
    ) -> Any:
        """Raise why it failed; in a bulk fit, nothing."""
        return self._fail(None)

    def confidence_interval(self, x_test: ArrayLike | None = None, **_kwargs: Any) -> Any:
        """Raise why it failed; in a bulk fit, nothing."""
        return self._fail(None)

    def default_confidence_interval(self, x_test: ArrayLike | None = None, **_kwargs: Any) -> Any:
        """Raise why it failed; in a bulk fit, nothing."""
        return self._fail(None)

    def plot(self, *_args: Any, **_kwargs: Any) -> Any:
        """Raise why it failed; in a bulk fit, nothing."""
        return self._fail(None)

    def copy(self) -> FailedModel:
        """Another one, of a copy of the model."""
        out = type(self)(self._model.copy(), self._exc)
        out._is_bulk = self._is_bulk
        return out

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}[origin={repr(self._model).removeprefix('<').removesuffix('>')}]>"
