"""What can go wrong between this machine and the annotation service, in one tree under `CASError`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferrocyte._errors import FerrocyteError, FerrocyteWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AnnotationIncompleteError",
    "AnnotationInterrupt",
    "AuthenticationError",
    "CASConnectionError",
    "CASError",
    "CASHTTPError",
    "CASTimeoutError",
    "CASWarning",
    "CheckpointError",
    "ChunkFailure",
    "ClientTooOldError",
    "InvalidResponseError",
    "NotFoundError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "ServerError",
    "UnreachableError",
]


class CASError(FerrocyteError):
    """Base of all errors of the annotation service.

    Examples
    --------
    With `client` of the example of :meth:`ferrocyte.cas.CASClient.local`; whatever goes wrong between client
    and service is caught like this:

    >>> from ferrocyte.cas.errors import CASError
    >>> try:
    ...     print(client.allowed_models_list)
    ... except CASError as error:
    ...     print(error)
    ['marrow']
    """


class CASWarning(FerrocyteWarning):
    """Something about the data or the answers that the user should know."""


class CASHTTPError(CASError):
    """The service answered with a status that is no success.

    Attributes
    ----------
    status : int or None
        HTTP status code; None where no answer came at all.
    detail : str
        What the service said, without the token.
    """

    def __init__(self, message: str, *, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class AuthenticationError(CASHTTPError):
    """The token is missing, malformed, unknown or expired (401)."""


class PermissionDeniedError(CASHTTPError):
    """The token is valid but may not do this (403)."""


class NotFoundError(CASHTTPError):
    """The service has no such route, schema or ontology (404)."""


class ServerError(CASHTTPError):
    """The service failed inside, or is overloaded, after all attempts (5xx, or 429 without a quota)."""


class QuotaExceededError(CASHTTPError):
    """More cells than the remaining allowance of the account."""


class CASConnectionError(CASHTTPError, ConnectionError):
    """No connection, or it broke before the answer was complete."""


class UnreachableError(CASConnectionError):
    """There is no service at the address: its host is unknown, or nobody listens on this machine.

    Examples
    --------
    >>> from ferrocyte.cas import CASClient
    >>> CASClient("some.token", "http://127.0.0.1:9").validate_version()
    Traceback (most recent call last):
        ...
    ferrocyte.cas.errors.UnreachableError: Nobody listens at http://127.0.0.1:9. Check the address...
    """


class CASTimeoutError(CASHTTPError, TimeoutError):
    """No complete answer within the time that is allowed."""


class InvalidResponseError(CASHTTPError):
    """An answer that is no JSON, or does not hold exactly the cells that were asked for."""


class ClientTooOldError(CASError):
    """The service no longer speaks the version of the protocol that this package implements."""


class CheckpointError(CASError):
    """A checkpoint file that is not ours, is of an unknown version, or is in use by another process."""


@dataclass(frozen=True)
class ChunkFailure:
    """A group of cells without an answer, and why.

    Attributes
    ----------
    chunk : int
        Number of the chunk, from 0; parts of a chunk that was split share it.
    cell_names : tuple of str
        Names of the cells, in input order.
    positions : tuple of int
        Their positions in the input.
    status : int or None
        HTTP status of the last answer; None if there was none.
    attempts : int
        How often the cells were sent; 0 if sending had stopped before.
    error : Exception
        The last error.

    Examples
    --------
    >>> from ferrocyte.cas.errors import ChunkFailure, ServerError
    >>> error = ServerError("Status 500: the service failed.", status=500)
    >>> print(ChunkFailure(2, ("cell-8", "cell-9"), (8, 9), 500, 7, error))
    chunk 2, 2 cell(s), 7 attempt(s): Status 500: the service failed.
    """

    chunk: int
    cell_names: tuple[str, ...]
    positions: tuple[int, ...]
    status: int | None
    attempts: int
    error: Exception

    def __str__(self) -> str:
        tries = "not sent" if self.attempts == 0 else f"{self.attempts} attempt(s)"
        return f"chunk {self.chunk}, {len(self.cell_names)} cell(s), {tries}: {self.error}"


def describe(failures: Sequence[ChunkFailure], n_cells: int, checkpoint: str | None) -> str:
    """What failed, how much is there all the same, and how to go on."""
    lost = sum(len(f.cell_names) for f in failures)
    shown = "\n".join(f"  {f}" for f in failures[:5])
    more = f"\n  … and {len(failures) - 5} more" if len(failures) > 5 else ""
    again = (
        f"The checkpoint {checkpoint!r} holds the answers: the same call sends only what is missing."
        if checkpoint is not None
        else "`.partial` holds the answers, `.failures` the cells without one; pass `checkpoint=PATH` to be "
        "able to go on from where a call stopped, or `on_error='partial'` to get what there is."
    )
    return f"{lost} of {n_cells} cells have no answer:\n{shown}{more}\n{again}"


class AnnotationIncompleteError(CASError):
    """Some cells have no answer; the others are kept.

    Attributes
    ----------
    partial : model or None
        The answers there are, in input order, as the model the method returns.
    failures : list of ChunkFailure
        The cells without an answer and why.

    Examples
    --------
    >>> from ferrocyte.cas.errors import AnnotationIncompleteError
    >>> try:  # doctest: +SKIP
    ...     results = client.search_matrix(adata)
    ... except AnnotationIncompleteError as error:
    ...     results = error.partial
    ...     for failure in error.failures:
    ...         print(failure.cell_names, failure.status, failure.error)
    """

    def __init__(
        self, message: str = "", *, partial: Any = None, failures: Sequence[ChunkFailure] = ()
    ) -> None:
        super().__init__(message)
        self.partial = partial
        self.failures = list(failures)


class AnnotationInterrupt(KeyboardInterrupt):
    """Ctrl-C during an annotation; stops a program as `KeyboardInterrupt` does, and keeps the answers.

    Attributes
    ----------
    partial, failures
        As in :class:`AnnotationIncompleteError`.
    """

    def __init__(
        self, message: str = "", *, partial: Any = None, failures: Sequence[ChunkFailure] = ()
    ) -> None:
        super().__init__(message)
        self.partial = partial
        self.failures = list(failures)
