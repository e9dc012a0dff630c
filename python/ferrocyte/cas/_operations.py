"""The three questions about cells: where they go, what they carry, what counts as an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter

from ferrocyte.cas import models
from ferrocyte.cas._garbage import no_collection
from ferrocyte.cas._http import Response

__all__ = ["Operation", "ontology_aware", "search", "summary_statistics"]

_OPERATIONS = "api/cellarium-cell-operations"


@dataclass(frozen=True)
class Operation:
    """One kind of question.

    Attributes
    ----------
    kind : str
        For the checkpoint.
    path, fields : str, mapping
        Where and with what it is sent.
    adapter : pydantic.TypeAdapter
        Of the list of answers to one chunk.
    parts : str
        Attribute of an answer with the list of what it consists of.
    check : callable
        Says what is wrong with one answer, or None.
    collect : callable
        Makes the model that the user gets out of all answers.
    """

    kind: str
    path: str
    fields: Mapping[str, str]
    adapter: TypeAdapter[Any]
    parts: str
    check: Callable[[Any], str | None]
    collect: Callable[[list[Any]], Any]

    def context(self) -> bytes:
        """What the answer of a cell depends on beside its counts."""
        return "\n".join([self.kind, *(f"{k}={v}" for k, v in sorted(self.fields.items()))]).encode()

    def parse(self, response: Response, names: Sequence[str]) -> list[Any]:
        """The answers in the order of `names`.

        Raises
        ------
        ValueError
            If they are not exactly the answers for these cells.
        """
        with no_collection():
            if response.parsed is not None:
                answers = self.adapter.validate_python(response.parsed)
            else:
                answers = self.adapter.validate_json(response.body)
        by_name = {answer.query_cell_id: answer for answer in answers}
        if len(by_name) < len(answers):
            raise ValueError(f"{len(answers) - len(by_name)} cells are answered more than once")
        missing = [name for name in names if name not in by_name]
        if missing or len(by_name) != len(names):
            foreign = len(by_name) - (len(names) - len(missing))
            raise ValueError(f"of {len(names)} cells {len(missing)} are missing, and {foreign} are not ours")
        for answer in answers:
            wrong = self.check(answer)
            if wrong is not None:
                raise ValueError(f"cell {answer.query_cell_id!r}: {wrong}")
            _share_fields_set(getattr(answer, self.parts))
        return [by_name[name] for name in names]


@cache
def _fields(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields)


def _share_fields_set(models: Sequence[BaseModel]) -> None:
    """Let models of one kind share the set of names of fields that were given, where it has all of them.

    Each has one of its own at first, which is a third of its memory. As all names are in it, nothing that is
    done to one model changes it for the others.
    """
    if models:
        names = _fields(type(models[0]))
        for model in models:
            if len(model.__pydantic_fields_set__) == len(names):
                object.__setattr__(model, "__pydantic_fields_set__", names)


_SUMMARY = TypeAdapter(list[models.CellTypeSummaryStatisticsResults.NeighborhoodAnnotation])
_ONTOLOGY = TypeAdapter(list[models.CellTypeOntologyAwareResults.OntologyAwareAnnotation])
_SEARCH = TypeAdapter(list[models.MatrixQueryResults.MatrixQueryResult])


def _has_matches(answer: Any) -> str | None:
    return None if answer.matches else "no matches"


def _has_neighbors(answer: Any) -> str | None:
    return None if answer.neighbors else "no neighbors"


def _was_weighed(answer: Any) -> str | None:
    # A cell may have no term above the threshold; one without neighbors was not looked at.
    return None if answer.total_neighbors > 0 else "no neighbors"


def summary_statistics(model: str, extended: bool) -> Operation:
    """Cell types of the neighbors."""
    return Operation(
        "summary-statistics",
        f"{_OPERATIONS}/annotate-cell-type-summary-statistics-strategy",
        {"model_name": model, "include_extended_output": str(bool(extended))},
        _SUMMARY,
        "matches",
        _has_matches,
        lambda answers: models.CellTypeSummaryStatisticsResults.model_construct(data=answers),
    )


def ontology_aware(model: str, prune_threshold: float, weighting_prefactor: float) -> Operation:
    """Terms of the Cell Ontology."""
    return Operation(
        "ontology-aware",
        f"{_OPERATIONS}/annotate-cell-type-ontology-aware-strategy",
        {
            "model_name": model,
            "prune_threshold": str(float(prune_threshold)),
            "weighting_prefactor": str(float(weighting_prefactor)),
        },
        _ONTOLOGY,
        "matches",
        _was_weighed,
        lambda answers: models.CellTypeOntologyAwareResults.model_construct(data=answers, model_name=model),
    )


def search(model: str) -> Operation:
    """Nearest neighbors."""
    return Operation(
        "search",
        f"{_OPERATIONS}/nearest-neighbor-search",
        {"model_name": model},
        _SEARCH,
        "neighbors",
        _has_neighbors,
        lambda answers: models.MatrixQueryResults.model_construct(data=answers),
    )
