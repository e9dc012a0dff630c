"""The client for programs that run an event loop; `CASClient` is the same for all others."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from anndata import AnnData
from pydantic import TypeAdapter

from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte._settings import threads
from ferrocyte.cas import _ontology, _operations
from ferrocyte.cas._arguments import finite, positive, token
from ferrocyte.cas._call import AnnotateOptions, Caller, Cells
from ferrocyte.cas._chunks import OnError
from ferrocyte.cas._deprecated import DeprecatedMethods
from ferrocyte.cas._http import HttpTransport, Secret, Transport, clean_url, hide_user
from ferrocyte.cas._insert import check_key, put_into
from ferrocyte.cas._query import query_request
from ferrocyte.cas._retry import Policy
from ferrocyte.cas._sanitize import sanitized
from ferrocyte.cas._service import Quota, Service
from ferrocyte.cas._source import matrix_input, open_source
from ferrocyte.cas.constants import CellMetadataFeatures, CountMatrixInput
from ferrocyte.cas.models import (
    CellOntologyResource,
    CellQueryResults,
    CellTypeOntologyAwareResults,
    CellTypeSummaryStatisticsResults,
    MatrixQueryResults,
)

if TYPE_CHECKING:
    from ferrocyte.cas.local import References

__all__ = ["AsyncCASClient"]

Path = str | os.PathLike[str]


class AsyncCASClient(
    DeprecatedMethods[
        Coroutine[object, object, CellTypeSummaryStatisticsResults],
        Coroutine[object, object, MatrixQueryResults],
    ]
):
    """Client of the Cellarium Cell Annotation Service for programs with an event loop of their own.

    The methods are those of :class:`CASClient`, to be awaited, and so is `allowed_models_list`. Cancelling a
    task drops answers that were not journaled: pass `checkpoint` where that matters.

    Parameters
    ----------
    api_token, api_url, num_attempts_per_chunk, max_concurrent_requests, request_timeout, total_timeout, \
connect_timeout, lookup_timeout, retry_delay, max_retry_delay, n_jobs, transport
        As :class:`CASClient`.

    Examples
    --------
    With `known` and `new`, cells whose types are known and others, as in :meth:`CASClient.local`; with a
    service it is ``AsyncCASClient(api_token=...)``.

    >>> import asyncio
    >>> from ferrocyte.cas import AsyncCASClient
    >>> async def main():
    ...     async with AsyncCASClient.local(known, name="marrow") as client:
    ...         return await asyncio.gather(
    ...             client.annotate_matrix_cell_type_ontology_aware_strategy(new, show_progress=False),
    ...             client.search_matrix(new, show_progress=False),
    ...         )
    >>> asyncio.run(main())
    [CellTypeOntologyAwareResults(104 cells), MatrixQueryResults(104 cells)]
    """

    def __init__(
        self,
        api_token: str | None = None,
        api_url: str | None = "",
        num_attempts_per_chunk: int = 7,
        *,
        max_concurrent_requests: int = 15,
        request_timeout: float = 530.0,
        total_timeout: float = 3600.0,
        connect_timeout: float = 10.0,
        lookup_timeout: float = 60.0,
        retry_delay: float = 5.0,
        max_retry_delay: float = 32.0,
        n_jobs: int | None = None,
        transport: Transport | None = None,
    ) -> None:
        policy = Policy(
            attempts=positive(num_attempts_per_chunk, "num_attempts_per_chunk"),
            delay=positive(retry_delay, "retry_delay", float),
            max_delay=positive(max_retry_delay, "max_retry_delay", float),
            request_timeout=positive(request_timeout, "request_timeout", float),
            total_timeout=positive(total_timeout, "total_timeout", float),
        )
        connect = positive(connect_timeout, "connect_timeout", float)
        max_concurrent = positive(max_concurrent_requests, "max_concurrent_requests")
        self._threads = threads(n_jobs)
        self._where = type(transport).__name__
        secret = Secret("")
        if transport is None:
            url = clean_url(api_url or os.environ.get("CAS_API_URL"))
            secret, self._where = token(api_token), hide_user(url)
            transport = HttpTransport(
                url, secret, connect_timeout=connect, max_connections=max_concurrent + 5
            )
        self._service = Service(transport, policy, secret, positive(lookup_timeout, "lookup_timeout", float))
        self._call = Caller(self._service, policy, max_concurrent, self._threads)

    @classmethod
    def local(
        cls,
        reference: References,
        cell_type_column: str | None = None,
        *,
        n_jobs: int | None = None,
        **options: Any,
    ) -> AsyncCASClient:
        """As :meth:`CASClient.local`; a reference that has to be built is built before this returns."""
        from ferrocyte.cas.local import LocalTransport, open_references
        from ferrocyte.cas.local._open import LOCAL_LIMITS

        references = open_references(reference, cell_type_column, n_jobs=n_jobs, **options)
        transport = LocalTransport(references, threads=threads(n_jobs))
        out = cls(transport=transport, n_jobs=n_jobs, **LOCAL_LIMITS)
        out._where = f"local: {', '.join(references)}"
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"

    async def __aenter__(self) -> AsyncCASClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections. The client can be used again."""
        await self._service.transport.aclose()

    # About the service ------------------------------------------------------------------------------

    async def _models(self) -> list[str]:
        await self._service.start(_action())
        return [model.model_name for model in self._service.models]

    @property
    def allowed_models_list(self) -> Coroutine[object, object, list[str]]:
        """Names of the models, to be awaited as in ``await client.allowed_models_list``."""
        return self._models()

    async def validate_model_name(self, model_name: str | None = None) -> None:
        """As :meth:`CASClient.validate_model_name`."""
        await self._service.start(_action())
        self._service.model(model_name)

    async def validate_version(self) -> None:
        """As :meth:`CASClient.validate_version`."""
        await self._service.check_version(_action())

    async def quota(self) -> Quota:
        """As :meth:`CASClient.quota`."""
        return await self._service.quota(_action())

    async def print_user_quota(self) -> None:
        """As :meth:`CASClient.print_user_quota`."""
        print(*(await self.quota()).lines(), sep="\n")

    # Counts -----------------------------------------------------------------------------------------

    async def validate_and_sanitize_input_data(
        self,
        adata: AnnData,
        cas_model_name: str | None,
        count_matrix_name: CountMatrixInput | str,
        feature_ids_column_name: str,
        feature_names_column_name: str | None = None,
    ) -> AnnData:
        """As :meth:`CASClient.validate_and_sanitize_input_data`."""
        count_matrix = matrix_input(count_matrix_name)
        if not isinstance(adata, AnnData):
            raise InvalidTypeError(f"Expected an AnnData object, found `{type(adata).__name__}`.")
        _, genes = await self._service.model_and_genes(cas_model_name, _action())
        with open_source(adata, count_matrix) as source:
            return await asyncio.to_thread(
                sanitized,
                adata,
                source,
                genes,
                ids_column=feature_ids_column_name,
                names_column=feature_names_column_name,
                threads=self._threads,
            )

    async def annotate_matrix_cell_type_summary_statistics_strategy(
        self,
        matrix: AnnData | Path,
        chunk_size: int = 1000,
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        include_extended_statistics: bool = True,
        cas_model_name: str | None = None,
        feature_names_column_name: str | None = None,
        *,
        on_error: OnError = "raise",
        checkpoint: Path | None = None,
        show_progress: bool = True,
        check_counts: bool = True,
    ) -> CellTypeSummaryStatisticsResults:
        """As :meth:`CASClient.annotate_matrix_cell_type_summary_statistics_strategy`."""
        results: CellTypeSummaryStatisticsResults = await self._call(
            Cells(
                matrix,
                chunk_size,
                count_matrix_input,
                feature_ids_column_name,
                feature_names_column_name,
                cas_model_name,
            ),
            lambda model: _operations.summary_statistics(model, include_extended_statistics),
            _action(),
            counted=True,
            on_error=on_error,
            checkpoint=checkpoint,
            show_progress=show_progress,
            check_counts=check_counts,
        )
        return results

    async def annotate_matrix_cell_type_ontology_aware_strategy(
        self,
        matrix: AnnData | Path,
        chunk_size: int = 1000,
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        cas_model_name: str | None = None,
        feature_names_column_name: str | None = None,
        prune_threshold: float = 0.05,
        weighting_prefactor: float = 1.0,
        *,
        on_error: OnError = "raise",
        checkpoint: Path | None = None,
        show_progress: bool = True,
        check_counts: bool = True,
    ) -> CellTypeOntologyAwareResults:
        """As :meth:`CASClient.annotate_matrix_cell_type_ontology_aware_strategy`."""
        prune_threshold = finite(prune_threshold, "prune_threshold")
        if prune_threshold > 1.0:
            raise InvalidOptionError(
                f"Expected `prune_threshold` to be at most 1, the largest score there is, found "
                f"{prune_threshold}."
            )
        weighting_prefactor = finite(weighting_prefactor, "weighting_prefactor")
        results: CellTypeOntologyAwareResults = await self._call(
            Cells(
                matrix,
                chunk_size,
                count_matrix_input,
                feature_ids_column_name,
                feature_names_column_name,
                cas_model_name,
            ),
            lambda model: _operations.ontology_aware(model, prune_threshold, weighting_prefactor),
            _action(),
            counted=True,
            on_error=on_error,
            checkpoint=checkpoint,
            show_progress=show_progress,
            check_counts=check_counts,
        )
        return results

    async def search_matrix(
        self,
        matrix: AnnData | Path,
        chunk_size: int = 500,
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        cas_model_name: str | None = None,
        feature_names_column_name: str | None = None,
        *,
        on_error: OnError = "raise",
        checkpoint: Path | None = None,
        show_progress: bool = True,
        check_counts: bool = True,
    ) -> MatrixQueryResults:
        """As :meth:`CASClient.search_matrix`."""
        if positive(chunk_size, "chunk_size") > 500:
            raise InvalidOptionError(
                f"Expected `chunk_size` of a search to be at most 500, which is what the service takes, "
                f"found {chunk_size}."
            )
        results: MatrixQueryResults = await self._call(
            Cells(
                matrix,
                chunk_size,
                count_matrix_input,
                feature_ids_column_name,
                feature_names_column_name,
                cas_model_name,
            ),
            _operations.search,
            _action(),
            counted=False,
            on_error=on_error,
            checkpoint=checkpoint,
            show_progress=show_progress,
            check_counts=check_counts,
        )
        return results

    async def query_cells_by_ids(
        self,
        cell_ids: Sequence[int],
        metadata_feature_names: Sequence[CellMetadataFeatures | str] | None = None,
    ) -> CellQueryResults:
        """As :meth:`CASClient.query_cells_by_ids`."""
        query = query_request(cell_ids, metadata_feature_names)
        adapter = TypeAdapter(list[CellQueryResults.CellariumCellMetadata])
        action = _action()
        found: list[CellQueryResults.CellariumCellMetadata] = []
        for part in query.parts():
            cells = await self._service.ask("POST", query.path, adapter, action, json=part)
            found.extend(cells)
        return query.results(found)

    # After the answers ------------------------------------------------------------------------------

    async def _ontology(self, model_name: str | None, action: str) -> tuple[CellOntologyResource, str]:
        await self._service.start(action)
        model = self._service.model(model_name)
        if not model.ontological_columns:
            raise InvalidDataError(f"The model {model.model_name!r} has no ontology.")
        name = model.ontological_columns[0].ontology_resource_name
        return await self._service.resource(name, action), name

    async def insert_ontology_aware_response(
        self, cas_ontology_aware_response: CellTypeOntologyAwareResults, adata: AnnData
    ) -> None:
        """As :meth:`CASClient.insert_ontology_aware_response`."""
        model = getattr(cas_ontology_aware_response, "model_name", None)
        resource, name = await self._ontology(model, _action())
        _ontology.insert_scores(cas_ontology_aware_response, adata, resource, name)

    async def _resource_of(self, adata: AnnData) -> CellOntologyResource:
        action = _action()
        name = adata.uns.get(_ontology.METADATA_KEY, {}).get("ontology_resource_name")
        if name:
            return await self._service.resource(str(name), action)
        return (await self._ontology(None, action))[0]

    async def compute_most_granular_top_k_calls_single(
        self,
        adata: AnnData,
        min_acceptable_score: float,
        top_k: int = 3,
        obs_prefix: str = "cas_cell_type",
        use_shortest_path: bool = True,
    ) -> None:
        """As :meth:`CASClient.compute_most_granular_top_k_calls_single`."""
        resource = await self._resource_of(adata)
        _ontology.top_calls_by_cell(
            adata, resource, min_acceptable_score, top_k, obs_prefix, use_shortest_path
        )

    async def compute_most_granular_top_k_calls_cluster(
        self,
        adata: AnnData,
        min_acceptable_score: float,
        cluster_label_obs_column: str,
        top_k: int = 3,
        obs_prefix: str = "cas_cell_type",
        use_shortest_path: bool = True,
    ) -> None:
        """As :meth:`CASClient.compute_most_granular_top_k_calls_cluster`."""
        resource = await self._resource_of(adata)
        _ontology.top_calls_by_cluster(
            adata,
            resource,
            min_acceptable_score,
            cluster_label_obs_column,
            top_k,
            obs_prefix,
            use_shortest_path,
        )

    @overload
    async def annotate_into(
        self,
        adata: AnnData,
        results: CellTypeOntologyAwareResults | None = None,
        *,
        strategy: Literal["ontology"] = "ontology",
        key_added: str = "cas",
        min_acceptable_score: float = 0.2,
        use_shortest_path: bool = False,
        **options: Unpack[AnnotateOptions],
    ) -> CellTypeOntologyAwareResults: ...
    @overload
    async def annotate_into(
        self,
        adata: AnnData,
        results: CellTypeSummaryStatisticsResults | None = None,
        *,
        strategy: Literal["summary"],
        key_added: str = "cas",
        min_acceptable_score: float = 0.2,
        use_shortest_path: bool = False,
        **options: Unpack[AnnotateOptions],
    ) -> CellTypeSummaryStatisticsResults: ...
    @overload
    async def annotate_into(
        self,
        adata: AnnData,
        results: CellTypeOntologyAwareResults | CellTypeSummaryStatisticsResults | None = None,
        *,
        strategy: Literal["ontology", "summary"] = "ontology",
        key_added: str = "cas",
        min_acceptable_score: float = 0.2,
        use_shortest_path: bool = False,
        **options: Unpack[AnnotateOptions],
    ) -> CellTypeOntologyAwareResults | CellTypeSummaryStatisticsResults: ...
    async def annotate_into(
        self,
        adata: AnnData,
        results: CellTypeOntologyAwareResults | CellTypeSummaryStatisticsResults | None = None,
        *,
        strategy: Literal["ontology", "summary"] = "ontology",
        key_added: str = "cas",
        min_acceptable_score: float = 0.2,
        use_shortest_path: bool = False,
        **options: Unpack[AnnotateOptions],
    ) -> CellTypeOntologyAwareResults | CellTypeSummaryStatisticsResults:
        """As :meth:`CASClient.annotate_into`."""
        if not isinstance(adata, AnnData):
            raise InvalidTypeError(f"Expected an AnnData object, found `{type(adata).__name__}`.")
        if strategy not in ("ontology", "summary"):
            raise InvalidOptionError(
                f"Expected `strategy` to be 'ontology' or 'summary', found {strategy!r}."
            )
        check_key(key_added)
        least = finite(min_acceptable_score, "min_acceptable_score")
        if results is None:
            if strategy == "ontology":
                # Before cells are paid for: without an ontology their answers would have no place.
                await self._ontology(options.get("cas_model_name"), _action())
                results = await self.annotate_matrix_cell_type_ontology_aware_strategy(
                    adata, **cast(Any, options)
                )
            else:
                results = await self.annotate_matrix_cell_type_summary_statistics_strategy(
                    adata, **cast(Any, options)
                )
        ontology = None
        if isinstance(results, CellTypeOntologyAwareResults):
            ontology = await self._ontology(results.model_name, _action())
        put_into(
            adata,
            results,
            key_added,
            ontology=ontology,
            least=least,
            use_shortest_path=use_shortest_path,
        )
        return results


def _action() -> str:
    """A number for one call of a user; all its requests carry it."""
    return str(uuid.uuid4())
