"""Choices of the service that methods take as arguments, as enumerations of strings."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CellMetadataFeatures", "CountMatrixInput"]


class CountMatrixInput(StrEnum):
    """Which matrix of an AnnData object holds the counts; a plain string does as well.

    Attributes
    ----------
    X : str
        ``"X"``: `adata.X`, its genes named by `adata.var`.
    RAW_X : str
        ``"raw.X"``: `adata.raw.X`, its genes named by `adata.raw.var`.
    """

    X = "X"
    RAW_X = "raw.X"


class CellMetadataFeatures(StrEnum):
    """What the service can tell about a cell of its reference; a plain string does as well.

    Attributes
    ----------
    CAS_CELL_INDEX, CELL_TYPE, ASSAY, … : str
        The name of each member in lower case: ``"cas_cell_index"``, ``"cell_type"``, ``"assay"``, …
    """

    CAS_CELL_INDEX = "cas_cell_index"
    CELL_TYPE = "cell_type"
    ASSAY = "assay"
    DISEASE = "disease"
    DONOR_ID = "donor_id"
    IS_PRIMARY_DATA = "is_primary_data"
    DEVELOPMENT_STAGE = "development_stage"
    ORGANISM = "organism"
    SELF_REPORTED_ETHNICITY = "self_reported_ethnicity"
    SEX = "sex"
    SUSPENSION_TYPE = "suspension_type"
    TISSUE = "tissue"
    TOTAL_MRNA_UMIS = "total_mrna_umis"

    CELL_TYPE_ONTOLOGY_TERM_ID = "cell_type_ontology_term_id"
    ASSAY_ONTOLOGY_TERM_ID = "assay_ontology_term_id"
    DISEASE_ONTOLOGY_TERM_ID = "disease_ontology_term_id"
    DEVELOPMENT_STAGE_ONTOLOGY_TERM_ID = "development_stage_ontology_term_id"
    ORGANISM_ONTOLOGY_TERM_ID = "organism_ontology_term_id"
    SELF_REPORTED_ETHNICITY_ONTOLOGY_TERM_ID = "self_reported_ethnicity_ontology_term_id"
    SEX_ONTOLOGY_TERM_ID = "sex_ontology_term_id"
    TISSUE_ONTOLOGY_TERM_ID = "tissue_ontology_term_id"
