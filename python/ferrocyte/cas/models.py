"""What the service answers, as pydantic models.

Extra keys are ignored, so that a newer service can say more. Numbers must be finite: an answer with NaN is
no answer. Every list of results has `to_frame` for a table, and `failures` for what is missing in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, PrivateAttr

from ferrocyte.cas import _frames

if TYPE_CHECKING:
    import pandas as pd

    from ferrocyte.cas.errors import ChunkFailure

__all__ = [
    "CellOntologyResource",
    "CellQueryResults",
    "CellTypeOntologyAwareResults",
    "CellTypeSummaryStatisticsResults",
    "MatrixQueryResults",
    "OntologicalColumnInfo",
]


class _Model(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, protected_namespaces=())


class _Results(_Model):
    """A list of answers, and what is missing in it."""

    data: list[Any]
    _failures: list[ChunkFailure] = PrivateAttr(default_factory=list)

    @property
    def failures(self) -> list[ChunkFailure]:
        """Groups of cells without an answer; empty unless ``on_error="partial"`` let some through."""
        return self._failures

    def __repr__(self) -> str:
        """Short: answers for fifty thousand cells are no use on a screen, and take minutes to get there."""
        lost = sum(len(failure.cell_names) for failure in self._failures)
        more = f", {lost:,} without an answer" if lost else ""
        return f"{type(self).__name__}({len(self.data):,} cells{more})"

    __str__ = __repr__


class CellTypeSummaryStatisticsResults(_Results):
    """For each cell the cell types among its nearest neighbors in the reference, with their distances.

    Examples
    --------
    With `client` and `new` of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> results = client.annotate_matrix_cell_type_summary_statistics_strategy(new, show_progress=False)
    >>> results
    CellTypeSummaryStatisticsResults(104 cells)
    >>> results.data[4].matches[0].cell_type
    'monocyte'
    >>> CellTypeSummaryStatisticsResults.model_validate_json(results.model_dump_json()) == results
    True
    """

    class DatasetStatistics(_Model):
        """Neighbors that come from one dataset."""

        dataset_id: str
        """The dataset the neighbors are from."""
        count_per_dataset: int
        """How many neighbors are from it."""
        min_distance: float
        """Smallest distance of the cell to these neighbors."""
        max_distance: float
        """Largest distance."""
        median_distance: float
        """Median distance."""
        mean_distance: float
        """Mean distance."""

    class SummaryStatistics(_Model):
        """Neighbors of one cell type."""

        cell_type: str
        """The cell type."""
        cell_count: int
        """How many neighbors are of it."""
        min_distance: float
        """Smallest distance of the cell to these neighbors."""
        p25_distance: float
        """25th percentile of the distances."""
        median_distance: float
        """Median distance."""
        p75_distance: float
        """75th percentile of the distances."""
        max_distance: float
        """Largest distance."""
        dataset_ids_with_counts: list[CellTypeSummaryStatisticsResults.DatasetStatistics] | None = None
        """The same by dataset, if asked for and given."""

    class NeighborhoodAnnotation(_Model):
        """One cell."""

        query_cell_id: str
        """Name of the cell."""
        matches: list[CellTypeSummaryStatisticsResults.SummaryStatistics]
        """Cell types among its neighbors."""

    data: list[CellTypeSummaryStatisticsResults.NeighborhoodAnnotation]
    """One entry a cell, in input order."""

    def to_frame(self) -> pd.DataFrame:
        """A table with one row for each match of each cell.

        Returns
        -------
        pandas.DataFrame
            Columns `query_cell_id`, `cell_type`, `cell_count` and the five distances; the breakdown by
            dataset is left out.
        """
        return _frames.summary_frame(self)


class CellTypeOntologyAwareResults(_Results):
    """For each cell a score for terms of the Cell Ontology, where a term collects what is below it.

    Examples
    --------
    With `client` and `new` of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> results = client.annotate_matrix_cell_type_ontology_aware_strategy(new, show_progress=False)
    >>> results.model_name, results.data[4].total_neighbors, results.failures
    ('marrow', 10, [])
    >>> list(results.to_frame().columns)
    ['query_cell_id', 'cell_type_ontology_term_id', 'cell_type', 'score']
    """

    class Match(_Model):
        """One term."""

        score: float
        """Share of the weight of the neighbors at or below the term."""
        cell_type_ontology_term_id: str
        """The term, as in CL:0000236."""
        cell_type: str
        """Its label."""

    class OntologyAwareAnnotation(_Model):
        """One cell."""

        query_cell_id: str
        """Name of the cell."""
        matches: list[CellTypeOntologyAwareResults.Match]
        """Terms and their scores."""
        total_weight: float
        """Sum of the weights of all neighbors."""
        total_neighbors: int
        """Number of neighbors."""
        total_neighbors_unrecognized: int
        """Those with a term outside the ontology."""

    data: list[CellTypeOntologyAwareResults.OntologyAwareAnnotation]
    """One entry a cell, in input order."""
    model_name: str | None = None
    """The model that was used."""

    def to_frame(self) -> pd.DataFrame:
        """A table with one row for each match of each cell.

        Returns
        -------
        pandas.DataFrame
            Columns `query_cell_id`, `cell_type_ontology_term_id`, `cell_type` and `score`.
        """
        return _frames.ontology_frame(self)


class MatrixQueryResults(_Results):
    """For each cell its nearest neighbors in the reference.

    Examples
    --------
    With `client` and `new` of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> results = client.search_matrix(new, show_progress=False)
    >>> len(results.data[0].neighbors), results.data[0].query_cell_id == new.obs_names[0]
    (10, True)
    >>> results.to_frame().dtypes["cas_cell_index"]
    dtype('int64')
    """

    class Match(_Model):
        """One neighbor."""

        cas_cell_index: float
        """Number of the neighbor in the reference."""
        distance: float
        """Its distance to the cell."""

    class MatrixQueryResult(_Model):
        """One cell."""

        query_cell_id: str
        """Name of the cell."""
        neighbors: list[MatrixQueryResults.Match]
        """Its neighbors."""

    data: list[MatrixQueryResults.MatrixQueryResult]
    """One entry a cell, in input order."""

    def to_frame(self) -> pd.DataFrame:
        """A table with one row for each neighbor of each cell.

        Returns
        -------
        pandas.DataFrame
            Columns `query_cell_id`, `cas_cell_index` (int64) and `distance`.
        """
        return _frames.search_frame(self)


class CellQueryResults(_Results):
    """What the reference knows about cells of its own. What was not asked for is None.

    Examples
    --------
    With `client` of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> results = client.query_cells_by_ids([4], ["cell_type", "tissue"])
    >>> results.data[0].cell_type, results.data[0].tissue
    ('hematopoietic stem cell', None)
    >>> list(results.to_frame().columns)
    ['cas_cell_index', 'cell_type', 'tissue']
    """

    class CellariumCellMetadata(_Model):
        """One cell of the reference."""

        cas_cell_index: int
        """Number of the cell in the reference."""
        cell_type: str | None = None
        """Cell type."""
        assay: str | None = None
        """Assay."""
        disease: str | None = None
        """Disease state."""
        donor_id: str | None = None
        """Donor."""
        is_primary_data: bool | None = None
        """Whether the data are primary."""
        development_stage: str | None = None
        """Development stage of the donor."""
        organism: str | None = None
        """Organism."""
        self_reported_ethnicity: str | None = None
        """Ethnicity, self-reported."""
        sex: str | None = None
        """Sex of the donor."""
        suspension_type: str | None = None
        """Cells or nuclei."""
        tissue: str | None = None
        """Tissue."""
        total_mrna_umis: int | None = None
        """Number of mRNA molecules counted."""

        cell_type_ontology_term_id: str | None = None
        """Term of the cell type."""
        assay_ontology_term_id: str | None = None
        """Term of the assay."""
        disease_ontology_term_id: str | None = None
        """Term of the disease."""
        development_stage_ontology_term_id: str | None = None
        """Term of the stage."""
        organism_ontology_term_id: str | None = None
        """Term of the organism."""
        self_reported_ethnicity_ontology_term_id: str | None = None
        """Term of the ethnicity."""
        sex_ontology_term_id: str | None = None
        """Term of the sex."""
        tissue_ontology_term_id: str | None = None
        """Term of the tissue."""

    data: list[CellQueryResults.CellariumCellMetadata]
    """One entry a cell that was found."""
    _asked: list[str] | None = PrivateAttr(default=None)

    def to_frame(self) -> pd.DataFrame:
        """A table with one row for each cell.

        Returns
        -------
        pandas.DataFrame
            A column for each feature that was asked for, with values or without, after `cas_cell_index`.
            Where that is no longer known (results that were written and read again), a column for each
            feature that has a value.
        """
        return _frames.query_frame(self)


class OntologicalColumnInfo(_Model):
    """A column of cell metadata that a model can annotate by an ontology."""

    ontology_resource_name: str
    """Name of the ontology document."""
    column_name: str
    """The column."""
    description: str | None = None
    """About it."""


class CellOntologyResource(_Model):
    """The Cell Ontology as the service uses it."""

    cl_names: list[str]
    """Ids of the terms, sorted."""
    cell_ontology_term_id_to_cell_type: dict[str, str]
    """Label of each term."""
    children_dictionary: dict[str, list[str]]
    """Direct children of each term."""
    shortest_path_lengths_from_cell_root: dict[str, int]
    """Fewest steps from CL:0000000."""
    longest_path_lengths_from_cell_root: dict[str, int]
    """Most steps from CL:0000000."""
    ancestors_dictionary: dict[str, list[str]] | None = None
    """All ancestors."""
    descendants_dictionary: dict[str, list[str]] | None = None
    """All descendants."""
