"""What a service answers, as plain Python objects: one method for each route of the protocol.

A transport in the same process and an HTTP application both call these. What is about accounts (tokens,
quotas) is theirs. Everything else that is wrong with a question ends in a `RouteError` with the status and
the detail that a client is to get.

Methods may be called from several threads at a time. `references` may be a mapping that somebody exchanges
while questions are answered: each question looks its reference up once and keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte._errors import suggest
from ferrocyte.cas.constants import CellMetadataFeatures
from ferrocyte.cas.errors import CASHTTPError
from ferrocyte.cas.local import _answers

if TYPE_CHECKING:
    import scipy.sparse as sp

    from ferrocyte.cas.local._reference import Reference

__all__ = ["MIN_CLIENT_VERSION", "SERVED_VERSION", "STOP", "RouteError", "Routes"]

# The version of the protocol that is served, and the oldest client that gets along with it.
SERVED_VERSION = "1.8.0"
MIN_CLIENT_VERSION = "1.8.0"
# Numbers of cells are unique over all references: the first is numbered from 0, the second from here, ...
NUMBERS_PER_REFERENCE = 1_000_000_000
ONTOLOGY_COLUMN = "cell_type"
# What the search works on in one piece, for each thread.
CELLS_AT_A_TIME = 64
# Set by a caller, in the thread that asks, to be able to withdraw the question.
STOP: ContextVar[Event | None] = ContextVar("ferrocyte_cas_stop", default=None)


class RouteError(CASHTTPError):
    """A question that can not be answered.

    Attributes
    ----------
    status : int
        HTTP status: 400 for a wrong question, 404 for what does not exist, 500 for our fault.
    detail : str
        What the client is told.
    """

    status: int

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail, status=status, detail=detail)


class Routes:
    """Answers from references.

    Parameters
    ----------
    references : mapping of str to Reference
        By model name, in order; the first is the default model.
    threads : int, default 1
        Of one question. Answers are the same for any number.

    Examples
    --------
    Of the cells of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> from ferrocyte.cas.local import Routes, open_references
    >>> routes = Routes(open_references({"marrow": known}))
    >>> [model["model_name"] for model in routes.list_models()]
    ['marrow']
    >>> routes.query_cells([4], ["cell_type"])[0]["cell_type"]
    'hematopoietic stem cell'
    """

    def __init__(self, references: Mapping[str, Reference], *, threads: int = 1) -> None:
        self.references = references
        self.threads = threads

    # About the service ------------------------------------------------------------------------------

    def validate_client_version(self, client_version: Any) -> dict[str, Any]:
        """POST validate-client-version.

        Raises
        ------
        RouteError
            400 for what is no version.
        """
        from packaging.version import InvalidVersion, Version

        try:
            version = Version(client_version)
        except (InvalidVersion, TypeError):
            raise RouteError(400, f"Expected a version such as 1.8.0, found {client_version!r}.") from None
        return {"is_valid": version >= Version(MIN_CLIENT_VERSION), "min_version": MIN_CLIENT_VERSION}

    def application_info(self) -> dict[str, Any]:
        """GET application-info."""
        first = next(iter(self.references.values()))
        return {"application_version": SERVED_VERSION, "default_feature_schema": first.schema_name}

    def list_models(self) -> list[dict[str, Any]]:
        """GET list-models."""
        return [
            {
                "model_name": name,
                "description": reference.description,
                "schema_name": reference.schema_name,
                "is_default_model": position == 0,
                "embedding_dimension": reference.embedding_dimension,
                "ontological_columns": [
                    {
                        "ontology_resource_name": reference.ontology.name,
                        "column_name": ONTOLOGY_COLUMN,
                        "description": "Terms of the Cell Ontology",
                    }
                ],
            }
            for position, (name, reference) in enumerate(self.references.items())
        ]

    def feature_schemas(self) -> list[dict[str, str]]:
        """GET feature-schemas."""
        names = dict.fromkeys(reference.schema_name for reference in self.references.values())
        return [{"schema_name": name} for name in names]

    def feature_schema(self, name: str) -> list[str]:
        """GET feature-schema/{name}: ids of the genes, in order.

        Raises
        ------
        RouteError
            404 for an unknown schema.
        """
        for reference in self.references.values():
            if reference.schema_name == name:
                return reference.genes
        raise RouteError(404, f"There is no feature schema {name!r}.")

    def cell_ontology_resource(self, name: str) -> dict[str, Any]:
        """GET cell-ontology-resource/{name}.

        Raises
        ------
        RouteError
            404 for an unknown resource.
        """
        for reference in self.references.values():
            if reference.ontology.name == name:
                return reference.ontology.document()
        raise RouteError(404, f"There is no cell ontology resource {name!r}.")

    # About cells ------------------------------------------------------------------------------------

    def annotate_summary(
        self,
        counts: sp.csr_matrix,
        totals: NDArray[np.float32],
        names: Sequence[str],
        model_name: str,
        include_extended_output: bool = False,
    ) -> list[dict[str, Any]]:
        """POST annotate-cell-type-summary-statistics-strategy.

        Parameters
        ----------
        counts : CSR matrix of float32, (n_cells, n_genes)
            On the schema of the model.
        totals : array of float32, (n_cells,)
            `total_mrna_umis`: molecules of each cell, on all genes that were measured.
        names : sequence of str
            Of the cells.
        model_name : str
        include_extended_output : bool
            Whether to add a breakdown by dataset, where the reference knows datasets.

        Returns
        -------
        list of dict
            Section 4.1 of the protocol; one entry a cell, in input order.

        Raises
        ------
        RouteError
            400 for an unknown model or counts that do not fit it.
        """
        _, reference, found = self._neighbors(counts, totals, names, model_name)
        return _answers.summary(
            reference, *found, names, extended=include_extended_output, threads=self.threads
        )

    def annotate_ontology(
        self,
        counts: sp.csr_matrix,
        totals: NDArray[np.float32],
        names: Sequence[str],
        model_name: str,
        prune_threshold: float = 0.05,
        weighting_prefactor: float = 1.0,
        ontology_column_name: str = ONTOLOGY_COLUMN,
    ) -> list[dict[str, Any]]:
        """POST annotate-cell-type-ontology-aware-strategy.

        Parameters
        ----------
        counts, totals, names, model_name
            As :meth:`annotate_summary`.
        prune_threshold : float
            Terms with a lower score are left out; all terms are given if it is not positive.
        weighting_prefactor : float
            How steeply weights fall with distance.
        ontology_column_name : str
            Only ``"cell_type"`` has an ontology.

        Returns
        -------
        list of dict
            Section 4.2 of the protocol; one entry a cell, in input order.

        Raises
        ------
        RouteError
            400 for an unknown model or column, numbers that are not finite, or counts that do not fit.
        """
        if ontology_column_name != ONTOLOGY_COLUMN:
            raise RouteError(
                400,
                f"The model {model_name!r} has no ontology for the column {ontology_column_name!r}, only "
                f"for {ONTOLOGY_COLUMN!r}.",
            )
        for name, value in (
            ("prune_threshold", prune_threshold),
            ("weighting_prefactor", weighting_prefactor),
        ):
            if not np.isfinite(value):
                raise RouteError(400, f"Expected `{name}` to be a finite number, found {value}.")
        _, reference, found = self._neighbors(counts, totals, names, model_name)
        return _answers.ontology_aware(
            reference,
            *found,
            names,
            prune_threshold=prune_threshold,
            weighting_prefactor=weighting_prefactor,
            threads=self.threads,
        )

    def nearest_neighbors(
        self,
        counts: sp.csr_matrix,
        totals: NDArray[np.float32],
        names: Sequence[str],
        model_name: str,
    ) -> list[dict[str, Any]]:
        """POST nearest-neighbor-search.

        Parameters
        ----------
        counts, totals, names, model_name
            As :meth:`annotate_summary`.

        Returns
        -------
        list of dict
            Section 4.3 of the protocol; one entry a cell, in input order, nearest neighbor first.

        Raises
        ------
        RouteError
            400 for an unknown model or counts that do not fit it.
        """
        first, _, (rows, distances) = self._neighbors(counts, totals, names, model_name)
        return _answers.neighbors(rows + first, distances, names)

    def query_cells(
        self, cas_cell_ids: Sequence[int], metadata_feature_names: Sequence[str]
    ) -> list[dict[str, Any]]:
        """POST query-cells-by-ids.

        Parameters
        ----------
        cas_cell_ids : sequence of int
            As :meth:`nearest_neighbors` gives them.
        metadata_feature_names : sequence of str
            Names of `CellMetadataFeatures`.

        Returns
        -------
        list of dict
            Section 4.4 of the protocol: all 21 fields, None where not asked for or not known; in the order
            of the ids, without those that do not exist.

        Raises
        ------
        RouteError
            400 for an unknown field or an empty list of ids.
        """
        known = [f.value for f in CellMetadataFeatures]
        for name in metadata_feature_names:
            if name not in known:
                raise RouteError(
                    400, f"There is no metadata feature {name!r}.{suggest(name, known, limit=21)}"
                )
        if len(cas_cell_ids) == 0:
            raise RouteError(400, "Expected at least one cell id, found none.")
        references = list(self.references.values())
        out = []
        for number in cas_cell_ids:
            position, row = divmod(int(number), NUMBERS_PER_REFERENCE)
            if not 0 <= position < len(references) or row >= references[position].n_cells:
                continue
            found = references[position].cells.row(row, metadata_feature_names)
            out.append({**dict.fromkeys(known), **found, "cas_cell_index": int(number)})
        return out

    def _neighbors(
        self,
        counts: sp.csr_matrix,
        totals: NDArray[np.float32],
        names: Sequence[str],
        model_name: str,
    ) -> tuple[int, Reference, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Number of the first cell of the reference, the reference, rows and distances of neighbors."""
        references = dict(self.references)
        if model_name not in references:
            raise RouteError(400, f"There is no model {model_name!r}.{suggest(model_name, references)}")
        reference = references[model_name]
        _check(counts, totals, names, len(reference.genes))
        vectors = reference.embed(counts, totals, threads=self.threads)
        rows = np.zeros((len(names), reference.n_neighbors), dtype=np.int64)
        distances = np.zeros(rows.shape)
        # A few at a time, so that a question that nobody waits for any more ends soon.
        step = CELLS_AT_A_TIME * max(1, self.threads)
        for start in range(0, len(names), step):
            stop = STOP.get()
            if stop is not None and stop.is_set():
                raise RouteError(503, "The question was withdrawn.")
            part = slice(start, start + step)
            rows[part], distances[part] = reference.neighbors(vectors[part], threads=self.threads)
        number = list(references).index(model_name) * NUMBERS_PER_REFERENCE
        return number, reference, (rows, distances)


def _check(counts: sp.csr_matrix, totals: NDArray[Any], names: Sequence[str], n_genes: int) -> None:
    """Counts that can be embedded."""
    if counts.shape[1] != n_genes:
        raise RouteError(
            400, f"Expected counts on the {n_genes} genes of the model, found {counts.shape[1]} genes."
        )
    if counts.dtype != np.float32:
        raise RouteError(400, f"Expected counts as float32, found {counts.dtype}.")
    if totals.dtype != np.float32:
        raise RouteError(400, f"Expected `total_mrna_umis` as float32, found {totals.dtype}.")
    if not len(names) == len(totals) == counts.shape[0]:
        raise RouteError(
            400,
            f"Expected as many names and totals as cells, found {counts.shape[0]} cells, {len(names)} names "
            f"and {len(totals)} totals.",
        )
    for what, values in (("counts", counts.data), ("`total_mrna_umis`", totals)):
        # NaN fails both comparisons; the sum of finite counts may not be.
        if values.size and not (values.min() >= 0 and values.max() < np.inf):
            raise RouteError(
                400, f"Expected {what} to be finite and not negative, found NaN, infinite or negative ones."
            )
