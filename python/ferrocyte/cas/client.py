"""The client of the annotation service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anndata import AnnData

from ferrocyte.cas._chunks import OnError
from ferrocyte.cas._deprecated import DeprecatedMethods
from ferrocyte.cas._labels import OntologyMethods
from ferrocyte.cas._waiting import Waiting
from ferrocyte.cas.async_client import AsyncCASClient
from ferrocyte.cas.constants import CellMetadataFeatures, CountMatrixInput
from ferrocyte.cas.models import (
    CellQueryResults,
    CellTypeOntologyAwareResults,
    CellTypeSummaryStatisticsResults,
    MatrixQueryResults,
)

if TYPE_CHECKING:
    from ferrocyte.cas._http import Transport
    from ferrocyte.cas._service import Quota
    from ferrocyte.cas.local import References

__all__ = ["CASClient"]

Path = str | os.PathLike[str]


class CASClient(OntologyMethods, DeprecatedMethods[CellTypeSummaryStatisticsResults, MatrixQueryResults]):
    """Client of the Cellarium Cell Annotation Service.

    Works in scripts, notebooks and inside running event loops: it has a loop of its own, in a thread that
    starts at the first call. Nothing is asked of the service when the client is made; token, version and
    models are looked up, side by side, when first needed.

    Parameters
    ----------
    api_token : str, optional
        Token of the account; the environment variable ``CAS_API_TOKEN`` by default. It is in no message, log
        line or repr.
    api_url : str, default ""
        Address of the service; empty or None for the environment variable ``CAS_API_URL``, else for the
        public service.
    num_attempts_per_chunk : int, default 7
        How often a chunk is sent at most.
    max_concurrent_requests : int, default 15
        Chunks on their way, and in memory, at a time, at most; fewer while the service pushes back.
    request_timeout : float, default 530
        Seconds for one attempt. The service itself gives up after 500.
    total_timeout : float, default 3600
        Seconds for all attempts at one chunk.
    connect_timeout : float, default 10
        Seconds to wait for a connection.
    lookup_timeout : float, default 60
        Seconds for all attempts at a question without counts, such as those for models and quota at the
        start. An address without a service (unknown host, or nobody listens on this machine) is an error at
        once, unless the service was there before. What is asked again is told in the log ``ferrocyte.cas``
        at level WARNING, which Python shows on stderr unless logging is set up otherwise.
    retry_delay, max_retry_delay : float, default 5 and 32
        Seconds. Before attempt k + 1 a random time of up to
        ``min(max_retry_delay, retry_delay * 2**(k - 1))`` passes, or what the service asks for.
    n_jobs : int, optional
        Threads that prepare chunks; None for `ferrocyte.settings.n_jobs`, -1 for all cores.
    transport : Transport, optional
        What answers instead of a service over HTTP, see `ferrocyte.cas._http`.

    Examples
    --------
    >>> from ferrocyte.cas import CASClient
    >>> CASClient(api_token="token-of-your-account")  # asks nothing yet
    CASClient('https://cellarium-cloud-api.cellarium.ai')
    >>> client = CASClient()  # doctest: +SKIP
    >>> results = client.annotate_into(adata)  # doctest: +SKIP
    >>> adata.obs["cas_cell_type"]  # doctest: +SKIP

    :meth:`local` makes a client that needs no service; its example runs anywhere.
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
        client = AsyncCASClient(
            api_token,
            api_url,
            num_attempts_per_chunk,
            max_concurrent_requests=max_concurrent_requests,
            request_timeout=request_timeout,
            total_timeout=total_timeout,
            connect_timeout=connect_timeout,
            lookup_timeout=lookup_timeout,
            retry_delay=retry_delay,
            max_retry_delay=max_retry_delay,
            n_jobs=n_jobs,
            transport=transport,
        )
        super().__init__(client)

    @classmethod
    def local(
        cls,
        reference: References,
        cell_type_column: str | None = None,
        *,
        n_jobs: int | None = None,
        **options: Any,
    ) -> CASClient:
        """A client that annotates against a reference of your own, on this machine.

        No token, no server, no network: nothing leaves the process. All methods work as with the service,
        and there is no quota.

        Parameters
        ----------
        reference : path-like, Reference or AnnData, or a sequence or mapping of these
            A folder that :func:`ferrocyte.cas.local.build_reference` made; or cells whose types are known,
            in memory or as ``.h5ad`` file, which are made into a reference first (a file only once, while
            it stays as it is: the reference is kept in the user's cache folder). Several are several
            models, of which the first is the default one.
        cell_type_column : str, optional
            For cells: column of `obs` with their types; default: ``"cell_type"``.
        n_jobs : int, optional
            Threads; None for `ferrocyte.settings.n_jobs`, -1 for all cores. Answers are the same for any
            number.
        **options
            For cells: other options of :func:`ferrocyte.cas.local.build_reference`.

        Returns
        -------
        CASClient

        Raises
        ------
        InvalidOptionError, InvalidTypeError, InvalidDataError, MissingDataError
            For what can not be a reference.
        FileFormatError
            For a reference of an unknown version, or a damaged one.
        FileNotFoundError

        Examples
        --------
        >>> import ferrocyte as fc
        >>> from ferrocyte.cas import CASClient
        >>> types = {"Mono": "monocyte", "HSC/MPP": "hematopoietic stem cell"}
        >>> cells = fc.datasets.bone_marrow()[::20].copy()
        >>> cells.obs["cell_type"] = cells.obs["marker_group"].map(types)  # others are unknown
        >>> known, new = cells[::2].copy(), cells[1::2].copy()
        >>> client = CASClient.local(known, name="marrow")
        >>> client.annotate_into(new, show_progress=False)
        CellTypeOntologyAwareResults(104 cells)
        >>> sorted(set(new.obs["cas_cell_type"]))
        ['cell', 'hematopoietic stem cell', 'monocyte', 'progenitor cell']

        A file with types in its column ``cell_type``, or a folder that was made from one:

        >>> client = CASClient.local("reference.h5ad")  # doctest: +SKIP
        """
        out = cls.__new__(cls)
        Waiting.__init__(out, AsyncCASClient.local(reference, cell_type_column, n_jobs=n_jobs, **options))
        return out

    # About the service ------------------------------------------------------------------------------

    @property
    def allowed_models_list(self) -> list[str]:
        """Names of the models that the account may use.

        Examples
        --------
        With `client` of the example of :meth:`local`:

        >>> client.allowed_models_list
        ['marrow']
        """
        return self._run(self._client._models)

    def validate_model_name(self, model_name: str | None = None) -> None:
        """Check the name of a model.

        Parameters
        ----------
        model_name : str, optional
            None or ``"default"`` for the default model, which is always valid.

        Raises
        ------
        InvalidOptionError
            A `ValueError`; lists the models there are.

        Examples
        --------
        With `client` of the example of :meth:`local`:

        >>> client.validate_model_name("marow")
        Traceback (most recent call last):
            ...
        ferrocyte._errors.InvalidOptionError: The service has no model 'marow'. Did you mean 'marrow'? ...
        """
        self._run(lambda: self._client.validate_model_name(model_name))

    def validate_version(self) -> None:
        """Check that the service speaks the version of the protocol that this package implements.

        Raises
        ------
        ClientTooOldError
        """
        self._run(self._client.validate_version)

    def quota(self) -> Quota:
        """How many cells the account may still annotate; `left` is the number that holds now.

        Returns
        -------
        Quota
            `weekly_quota`, `remaining_weekly_quota`, `quota_reset_date`, `lifetime_quota`,
            `remaining_lifetime_quota` (None for unlimited) and `left`.

        Examples
        --------
        With `client` and `new` of the example of :meth:`local`:

        >>> client.quota().left >= new.n_obs
        True
        """
        return self._run(self._client.quota)

    def print_user_quota(self) -> None:
        """Print how many cells the account may still annotate.

        Examples
        --------
        With `client` of the example of :meth:`local`, where nobody counts:

        >>> client.print_user_quota()
        Weekly quota: unlimited
        Lifetime quota: unlimited
        """
        print(*self.quota().lines(), sep="\n")

    # Counts -----------------------------------------------------------------------------------------

    def validate_and_sanitize_input_data(
        self,
        adata: AnnData,
        cas_model_name: str | None,
        count_matrix_name: CountMatrixInput | str,
        feature_ids_column_name: str,
        feature_names_column_name: str | None = None,
    ) -> AnnData:
        """Bring counts to the genes of a model, as they are sent.

        Parameters
        ----------
        adata : AnnData
            Not changed.
        cas_model_name : str or None
            The model whose schema is meant; None or ``"default"`` for the default one.
        count_matrix_name : CountMatrixInput or str
            ``"X"`` or ``"raw.X"``.
        feature_ids_column_name : str
            Column of `var` (of `raw.var`) with Ensembl ids, or ``"index"``.
        feature_names_column_name : str, optional
            Column with symbols, or ``"index"``; becomes `var["feature_name"]`, ``"N/A"`` for genes that the
            data do not have.

        Returns
        -------
        AnnData
            X as CSR float32 on the genes of the schema in order (missing ones zero, others dropped, several
            with one id added up), `obs` with `total_mrna_umis` added, `obsm`.

        Raises
        ------
        InvalidDataError
            If there are no genes of the schema, or the values are no counts.
        MissingDataError
            If there is no such column or no `raw`.

        Examples
        --------
        With `client` and `new` of the example of :meth:`local`:

        >>> sent = client.validate_and_sanitize_input_data(new, None, "X", "index")
        >>> sent.X.dtype, sent.X.format, "total_mrna_umis" in sent.obs
        (dtype('float32'), 'csr', True)
        """
        return self._run(
            lambda: self._client.validate_and_sanitize_input_data(
                adata, cas_model_name, count_matrix_name, feature_ids_column_name, feature_names_column_name
            )
        )

    def annotate_matrix_cell_type_summary_statistics_strategy(
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
        """Annotate cells by the cell types of their nearest neighbors in the reference.

        Cells are sent in chunks, several at a time. Only counts, gene ids and cell names leave the machine.

        Parameters
        ----------
        matrix : AnnData or path-like
            Cells by genes with raw counts, in memory or backed; or the path of an ``.h5ad`` file or of an
            ``.h5`` file of Cell Ranger (version 2 or 3), which is not loaded whole.
        chunk_size : int, default 1000
            Cells in a request.
        count_matrix_input : CountMatrixInput or str, default "X"
            ``"X"``, or ``"raw.X"`` with the genes of `raw`.
        feature_ids_column_name : str, default "index"
            Column of `var` with Ensembl ids, or ``"index"``. Version suffixes are ignored; several genes with
            one id are added up.
        include_extended_statistics : bool, default True
            Whether to ask for a breakdown by dataset. The public service no longer gives one.
        cas_model_name : str, optional
            One of `allowed_models_list`; None or ``"default"`` for the default model.
        feature_names_column_name : str, optional
            Another column of `var` (or ``"index"``), for genes that have no Ensembl id in the first: it may
            hold the id, or a human symbol, whose id is looked up.
        on_error : {"raise", "partial"}, default "raise"
            What to do if chunks fail for good: raise an error that carries the other answers, or return
            those with a warning, and what is missing in their attribute `failures`.
        checkpoint : path-like, optional
            File that keeps each answer as it comes. The same call with the same file sends only what is
            missing in it.
        show_progress : bool, default True
            Show a bar, if stderr is a terminal or in a notebook.
        check_counts : bool, default True
            Refuse values that are no counts.

        Returns
        -------
        CellTypeSummaryStatisticsResults
            One answer a cell, in input order.

        Raises
        ------
        AnnotationIncompleteError
            If cells have no answer in the end; has the other answers.
        QuotaExceededError
            If there are more cells than the quota allows; nothing was sent.
        AuthenticationError, ClientTooOldError, CASError
            If the service can not be used at all.
        InvalidDataError, MissingDataError, InvalidOptionError, InvalidTypeError, FileFormatError
            For input that can not be used; nothing was sent.
        AnnotationInterrupt
            A `KeyboardInterrupt` that carries what was answered.

        Examples
        --------
        With `client` and `new` of the example of :meth:`local`:

        >>> results = client.annotate_matrix_cell_type_summary_statistics_strategy(new, show_progress=False)
        >>> [(match.cell_type, match.cell_count) for match in results.data[4].matches]
        [('monocyte', 9), ('hematopoietic stem cell', 1)]
        >>> results.to_frame().shape
        (189, 8)
        """
        return self._job(
            lambda: self._client.annotate_matrix_cell_type_summary_statistics_strategy(
                matrix,
                chunk_size,
                count_matrix_input,
                feature_ids_column_name,
                include_extended_statistics,
                cas_model_name,
                feature_names_column_name,
                on_error=on_error,
                checkpoint=checkpoint,
                show_progress=show_progress,
                check_counts=check_counts,
            )
        )

    def annotate_matrix_cell_type_ontology_aware_strategy(
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
        """Annotate cells by terms of the Cell Ontology, each with a score.

        Parameters
        ----------
        matrix, chunk_size, count_matrix_input, feature_ids_column_name, cas_model_name, \
feature_names_column_name
            As :meth:`annotate_matrix_cell_type_summary_statistics_strategy`.
        prune_threshold : float, default 0.05
            Terms with a lower score are left out; 0 for all terms of the ontology, at most 1.
        weighting_prefactor : float, default 1.0
            How steeply the weight of a neighbor falls with its distance: it is exp(-a d / m) for distance d
            and the median m of the distances of the cell.
        on_error, checkpoint, show_progress, check_counts
            As :meth:`annotate_matrix_cell_type_summary_statistics_strategy`.

        Returns
        -------
        CellTypeOntologyAwareResults
            One answer a cell, in input order.

        Raises
        ------
        AnnotationIncompleteError, QuotaExceededError, CASError, FerrocyteError
            As :meth:`annotate_matrix_cell_type_summary_statistics_strategy`.

        Examples
        --------
        With `client` and `new` of the example of :meth:`local`:

        >>> results = client.annotate_matrix_cell_type_ontology_aware_strategy(new, show_progress=False)
        >>> {match.cell_type: round(match.score, 2) for match in results.data[4].matches}["monocyte"]
        0.91
        >>> results.to_frame().query("cell_type == 'monocyte' and score > 0.5").shape
        (23, 4)
        """
        return self._job(
            lambda: self._client.annotate_matrix_cell_type_ontology_aware_strategy(
                matrix,
                chunk_size,
                count_matrix_input,
                feature_ids_column_name,
                cas_model_name,
                feature_names_column_name,
                prune_threshold,
                weighting_prefactor,
                on_error=on_error,
                checkpoint=checkpoint,
                show_progress=show_progress,
                check_counts=check_counts,
            )
        )

    def search_matrix(
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
        """Find the nearest neighbors of cells in the reference.

        Searches do not count against the quota.

        Parameters
        ----------
        matrix, count_matrix_input, feature_ids_column_name, cas_model_name, feature_names_column_name
            As :meth:`annotate_matrix_cell_type_summary_statistics_strategy`.
        chunk_size : int, default 500
            Cells in a request, at most 500.
        on_error, checkpoint, show_progress, check_counts
            As :meth:`annotate_matrix_cell_type_summary_statistics_strategy`.

        Returns
        -------
        MatrixQueryResults
            One answer a cell, in input order.

        Raises
        ------
        AnnotationIncompleteError, CASError, FerrocyteError
            As :meth:`annotate_matrix_cell_type_summary_statistics_strategy`.

        Examples
        --------
        With `client` and `new` of the example of :meth:`local`:

        >>> results = client.search_matrix(new, show_progress=False)
        >>> nearest = results.data[4].neighbors[0]
        >>> client.query_cells_by_ids([nearest.cas_cell_index], ["cell_type"]).data[0].cell_type
        'monocyte'
        """
        return self._job(
            lambda: self._client.search_matrix(
                matrix,
                chunk_size,
                count_matrix_input,
                feature_ids_column_name,
                cas_model_name,
                feature_names_column_name,
                on_error=on_error,
                checkpoint=checkpoint,
                show_progress=show_progress,
                check_counts=check_counts,
            )
        )

    def query_cells_by_ids(
        self,
        cell_ids: Sequence[int],
        metadata_feature_names: Sequence[CellMetadataFeatures | str] | None = None,
    ) -> CellQueryResults:
        """Look up what is known about cells of the reference.

        Parameters
        ----------
        cell_ids : sequence of int
            Numbers of cells, as `search_matrix` gives them (whole floats are fine).
        metadata_feature_names : sequence of CellMetadataFeatures or str, optional
            What is wanted; None for everything.

        Returns
        -------
        CellQueryResults
            In the order of the ids; ids that the service does not know are left out, with a warning.

        Raises
        ------
        NotFoundError
            The public service has taken this away in 2026.
        InvalidOptionError, InvalidTypeError, CASError

        Examples
        --------
        With `client` of the example of :meth:`local`; cells of a local reference are numbered by their rows:

        >>> print(client.query_cells_by_ids([4, 2], ["cell_type"]).to_frame())
           cas_cell_index                cell_type
        0               4  hematopoietic stem cell
        1               2                  unknown
        """
        return self._run(lambda: self._client.query_cells_by_ids(cell_ids, metadata_feature_names))
