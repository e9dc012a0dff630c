"""What requests have to say, field by field; anything else ends in a 422 that names the field."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt
from pydantic.config import JsonDict

from ferrocyte.cas.constants import CellMetadataFeatures

__all__ = [
    "CellsQuestion",
    "DeprecatedQuestion",
    "IdsQuestion",
    "OntologyQuestion",
    "SummaryQuestion",
    "VersionQuestion",
]

_Finite = Annotated[float, Field(allow_inf_nan=False)]
# What ends in a 400 with a reason, not in a 422, is said in the description alone.
_VERSION: JsonDict = {"pattern": r"^[0-9]+(\.[0-9]+)*$", "examples": ["1.8.0"]}
_IDS: JsonDict = {"minItems": 1}
_FEATURES: JsonDict = {
    "items": {"type": "string", "enum": [feature.value for feature in CellMetadataFeatures]}
}


class _Question(BaseModel):
    # Fields of clients to come are no reason to fail.
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class VersionQuestion(_Question):
    """POST validate-client-version."""

    client_version: str = Field(max_length=64, json_schema_extra=_VERSION)


class IdsQuestion(_Question):
    """POST query-cells-by-ids."""

    cas_cell_ids: list[StrictInt] = Field(max_length=1_000_000, json_schema_extra=_IDS)
    metadata_feature_names: list[str] = Field(max_length=64, json_schema_extra=_FEATURES)


class CellsQuestion(_Question):
    """Fields of every form with counts; alone, those of a search."""

    model_name: str


class SummaryQuestion(CellsQuestion):
    """Fields of the summary statistics strategy."""

    include_extended_output: bool = False


class DeprecatedQuestion(CellsQuestion):
    """Fields of `annotate`."""

    include_dev_metadata: bool = False


class OntologyQuestion(CellsQuestion):
    """Fields of the ontology-aware strategy."""

    prune_threshold: _Finite = 0.05
    weighting_prefactor: _Finite = 1.0
    ontology_column_name: str = "cell_type"
