"""What is done with answers: scores, calls and labels in AnnData."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from anndata import AnnData

from ferrocyte.cas._call import AnnotateOptions
from ferrocyte.cas._waiting import Waiting
from ferrocyte.cas.models import CellTypeOntologyAwareResults, CellTypeSummaryStatisticsResults

__all__ = ["OntologyMethods"]


class OntologyMethods(Waiting):
    """Part of `CASClient`."""

    def insert_ontology_aware_response(
        self, cas_ontology_aware_response: CellTypeOntologyAwareResults, adata: AnnData
    ) -> None:
        """Put the scores of all terms into AnnData.

        Parameters
        ----------
        cas_ontology_aware_response : CellTypeOntologyAwareResults
        adata : AnnData
            The cells that were annotated, or some of them, in any order.

        Returns
        -------
        None; sets ``obsm["cas_cl_scores"]``, a CSR matrix of cells by terms, and ``uns["cas_metadata"]`` with
        `cl_names`, `cl_labels` and `ontology_resource_name`.

        Raises
        ------
        InvalidDataError
            If cells have no answer, or terms are not in the ontology of the model.

        Examples
        --------
        With `client` and `new` of the example of :meth:`CASClient.local`:

        >>> results = client.annotate_matrix_cell_type_ontology_aware_strategy(new, show_progress=False)
        >>> client.insert_ontology_aware_response(results, new)
        >>> labels = new.uns["cas_metadata"]["cl_labels"]
        >>> new.obsm["cas_cl_scores"].shape == (new.n_obs, len(labels))
        True
        """
        self._run(lambda: self._client.insert_ontology_aware_response(cas_ontology_aware_response, adata))

    def compute_most_granular_top_k_calls_single(
        self,
        adata: AnnData,
        min_acceptable_score: float,
        top_k: int = 3,
        obs_prefix: str = "cas_cell_type",
        use_shortest_path: bool = True,
    ) -> None:
        """For each cell the deepest terms of the ontology that are certain enough.

        Parameters
        ----------
        adata : AnnData
            After :meth:`insert_ontology_aware_response`.
        min_acceptable_score : float
            Terms with a lower score are not looked at.
        top_k : int, default 3
            How many terms; the root with score 1 fills up.
        obs_prefix : str, default "cas_cell_type"
        use_shortest_path : bool, default True
            Depth is the number of steps from the root on the shortest path, else on the longest.

        Returns
        -------
        None; sets ``obs[f"{obs_prefix}_score_{i}"]``, ``_name_{i}`` and ``_label_{i}`` for i from 1.

        Raises
        ------
        MissingDataError
            If there are no scores in `adata`.

        Examples
        --------
        With `client` and `new` of the example of :meth:`CASClient.local`:

        >>> results = client.annotate_matrix_cell_type_ontology_aware_strategy(new, show_progress=False)
        >>> client.insert_ontology_aware_response(results, new)
        >>> client.compute_most_granular_top_k_calls_single(new, 0.5, top_k=1, use_shortest_path=False)
        >>> int((new.obs["cas_cell_type_label_1"] == "monocyte").sum())
        23
        """
        self._run(
            lambda: self._client.compute_most_granular_top_k_calls_single(
                adata, min_acceptable_score, top_k, obs_prefix, use_shortest_path
            )
        )

    def compute_most_granular_top_k_calls_cluster(
        self,
        adata: AnnData,
        min_acceptable_score: float,
        cluster_label_obs_column: str,
        top_k: int = 3,
        obs_prefix: str = "cas_cell_type",
        use_shortest_path: bool = True,
    ) -> None:
        """For each cluster the deepest terms of the ontology that are certain enough on average.

        Parameters
        ----------
        adata : AnnData
            After :meth:`insert_ontology_aware_response`.
        min_acceptable_score : float
            Terms with a lower mean score are not looked at.
        cluster_label_obs_column : str
            Column of `obs` with clusters.
        top_k, obs_prefix, use_shortest_path
            As :meth:`compute_most_granular_top_k_calls_single`.

        Returns
        -------
        None; sets the same columns of `obs`, equal within a cluster.

        Raises
        ------
        MissingDataError
            If there are no scores in `adata`, or no such column.

        Examples
        --------
        With `client` and `new` of the example of :meth:`CASClient.local`:

        >>> results = client.annotate_matrix_cell_type_ontology_aware_strategy(new, show_progress=False)
        >>> client.insert_ontology_aware_response(results, new)
        >>> client.compute_most_granular_top_k_calls_cluster(
        ...     new, 0.5, "leiden", top_k=1, use_shortest_path=False
        ... )
        >>> sorted(set(new.obs["cas_cell_type_label_1"]))
        ['cell', 'hematopoietic stem cell', 'monocyte']
        """
        self._run(
            lambda: self._client.compute_most_granular_top_k_calls_cluster(
                adata, min_acceptable_score, cluster_label_obs_column, top_k, obs_prefix, use_shortest_path
            )
        )

    @overload
    def annotate_into(
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
    def annotate_into(
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
    def annotate_into(
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
    def annotate_into(
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
        """Annotate cells and put one label and score for each into AnnData.

        Parameters
        ----------
        adata : AnnData
        results : optional
            Answers that are there already, aligned by cell name.
        strategy : {"ontology", "summary"}, default "ontology"
        key_added : str, default "cas"
        min_acceptable_score : float, default 0.2
            For the ontology: the label is the deepest term with at least this score.
        use_shortest_path : bool, default False
            Whether depth is the number of steps from the root on the shortest path. By default it is the
            longest, on which a term always lies deeper than those above it.
        **options
            Of the method that annotates.

        Returns
        -------
        CellTypeOntologyAwareResults or CellTypeSummaryStatisticsResults
            All answers. Also sets, in `adata`, ``obs["cas_cell_type"]``, ``obs["cas_cell_type_score"]`` and
            the table of all matches in ``uns["cas_matches"]``. For the ontology there is also
            ``obs["cas_cell_type_ontology_term_id"]`` and what :meth:`insert_ontology_aware_response` sets.
            For summaries there is ``obs["cas_cell_type_min_distance"]``; the label is the type of most
            neighbors, the score its share of them.

        Raises
        ------
        AnnotationIncompleteError, QuotaExceededError, CASError, FerrocyteError
            As the method that annotates; `adata` is as it was.

        Examples
        --------
        With `client` and `new` of the example of :meth:`CASClient.local`:

        >>> client.annotate_into(new, strategy="summary", show_progress=False)
        CellTypeSummaryStatisticsResults(104 cells)
        >>> new.obs["cas_cell_type"].iloc[4], float(new.obs["cas_cell_type_score"].iloc[4])
        ('monocyte', 0.9)
        """
        return self._job(
            lambda: self._client.annotate_into(
                adata,
                results,
                strategy=strategy,
                key_added=key_added,
                min_acceptable_score=min_acceptable_score,
                use_shortest_path=use_shortest_path,
                **options,
            )
        )
