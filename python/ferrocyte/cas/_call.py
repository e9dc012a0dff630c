"""One call about cells: from what the user gives to the results, over everything between."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from anndata import AnnData

from ferrocyte._progress import progress_bar
from ferrocyte.cas._arguments import positive
from ferrocyte.cas._chunks import JOBS, Job, OnError, check_on_error
from ferrocyte.cas._notices import notify
from ferrocyte.cas._operations import Operation
from ferrocyte.cas._prepare import Prepared, prepare
from ferrocyte.cas._retry import Asker, Policy, Told
from ferrocyte.cas._service import Service
from ferrocyte.cas._source import matrix_input, open_source
from ferrocyte.cas.constants import CountMatrixInput
from ferrocyte.cas.errors import CASError, CASWarning, QuotaExceededError

__all__ = ["AnnotateOptions", "CallOptions", "Caller", "Cells"]

_logger = logging.getLogger(__name__)
_LOW_QUOTA = 25_000
# Seconds between lines about chunks that are sent again, where no bar counts them; one glitch is not told.
_TELL_EVERY, _TELL_FROM = 10.0, 2


class CallOptions(TypedDict, total=False):
    """Options that all calls about cells share; see `CASClient`."""

    on_error: OnError
    checkpoint: str | os.PathLike[str] | None
    show_progress: bool
    check_counts: bool


class AnnotateOptions(CallOptions, total=False):
    """Options of the two methods that annotate; each takes those that it has."""

    chunk_size: int
    count_matrix_input: CountMatrixInput | str
    feature_ids_column_name: str
    feature_names_column_name: str | None
    cas_model_name: str | None
    include_extended_statistics: bool
    prune_threshold: float
    weighting_prefactor: float


@dataclass(frozen=True)
class Cells:
    """What a call is about, as the user says it."""

    matrix: AnnData | str | os.PathLike[str]
    chunk_size: int
    count_matrix_input: CountMatrixInput | str
    feature_ids_column_name: str
    feature_names_column_name: str | None
    cas_model_name: str | None


class Caller:
    """Makes calls about cells.

    Parameters
    ----------
    service : Service
    policy : Policy
    max_concurrent : int
        Requests at a time, at most.
    threads : int
        That prepare chunks.
    """

    def __init__(self, service: Service, policy: Policy, max_concurrent: int, threads: int) -> None:
        self._service = service
        self._policy = policy
        self._max_concurrent = max_concurrent
        self._threads = threads

    async def __call__(
        self,
        cells: Cells,
        make: Callable[[str], Operation],
        action: str,
        *,
        counted: bool,
        on_error: OnError = "raise",
        checkpoint: str | os.PathLike[str] | None = None,
        show_progress: bool = True,
        check_counts: bool = True,
    ) -> Any:
        """Ask about cells; the results are those of the operation that `make` makes for a model.

        Parameters
        ----------
        cells : Cells
        make : callable
            From the name of a model to an operation.
        action : str
            Number of the call.
        counted : bool
            Whether the service counts the cells.
        on_error, checkpoint, show_progress, check_counts
            As the methods of the clients.
        """
        chunk_size = positive(cells.chunk_size, "chunk_size")
        check_on_error(on_error)
        count_matrix = matrix_input(cells.count_matrix_input)
        with await asyncio.to_thread(open_source, cells.matrix, count_matrix) as source:
            model, genes = await self._service.model_and_genes(cells.cas_model_name, action)
            prepared: Prepared = await asyncio.to_thread(
                prepare,
                source,
                genes,
                ids_column=cells.feature_ids_column_name,
                names_column=cells.feature_names_column_name,
                threads=self._threads,
                check_counts=check_counts,
            )
            with progress_bar(show_progress) as report:
                told = Told(_logger, self._policy.attempts, from_attempt=_TELL_FROM, every=_TELL_EVERY)

                def on_retry(error: CASError, attempt: int, pause: float) -> None:
                    job.retried()
                    if report is None:
                        told(error, attempt, pause)

                asker = Asker(
                    self._service.transport,
                    self._policy,
                    self._service.secret,
                    quota_left=self._service.recent_quota_left,
                    on_retry=on_retry,
                )
                job = Job(
                    prepared,
                    make(model.model_name),
                    asker,
                    headers=self._service.headers(action),
                    chunk_size=chunk_size,
                    max_concurrent=self._max_concurrent,
                    threads=self._threads,
                    checkpoint=checkpoint,
                    report=report,
                )
                try:
                    await asyncio.to_thread(job.open_checkpoint)
                    if counted:
                        await self._check_quota(job, action)
                    if (jobs := JOBS.get()) is not None:
                        jobs.append(job)
                    await job.run()
                finally:
                    job.close()
        lost = sum(len(f.cell_names) for f in job.failures)
        _logger.info(
            "%d of %d cells answered by model %r in %d requests, %d retries",
            len(prepared) - lost,
            len(prepared),
            model.model_name,
            job.n_sent,
            job.retries,
        )
        _tell_of_empty_cells(prepared)
        return job.results(on_error)

    async def _check_quota(self, job: Job, action: str) -> None:
        """Refuse before anything is sent what the service would refuse midway."""
        quota = await self._service.quota(action)
        needed = len(job.prepared)
        if quota.left < max(needed, _LOW_QUOTA):
            # Other calls may share the journal: only answers to this one make it cheaper. To look them all
            # up takes time, so a quota that is enough for every cell is not compared that closely.
            needed -= await job.count_known()
        if quota.is_unlimited:
            _logger.info("%d cells to annotate, without a quota", needed)
        else:
            _logger.info("%d cells to annotate, %d left in the quota", needed, quota.left)
        if needed > quota.left:
            raise QuotaExceededError(
                f"{needed} cells are to be annotated, {quota.left} are left in the quota (renewed on "
                f"{quota.quota_reset_date}). Nothing was sent. Annotate fewer cells, as in "
                f"`adata[:{quota.left}]`, or wait for more."
            )
        if quota.left < _LOW_QUOTA:
            notify(f"{quota.left - needed} cells will be left in the quota after these {needed}.")


def _tell_of_empty_cells(prepared: Prepared) -> None:
    """A service compares them all the same, and answers."""
    if not prepared.empty:
        return
    some = ", ".join(repr(prepared.cells[row]) for row in sorted(prepared.empty)[:3])
    message = (
        f"{len(prepared.empty)} of {len(prepared)} cells have no counts on the genes of the model, so that "
        f"what is said about them means nothing: {some}{', …' if len(prepared.empty) > 3 else ''}."
    )
    try:
        notify(message)
    except CASWarning:  # where warnings are errors: no reason to lose answers
        _logger.warning(message)
