"""Questions about cells of the reference, by their numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ferrocyte._errors import InvalidOptionError, InvalidTypeError, suggest
from ferrocyte.cas._notices import notify
from ferrocyte.cas.constants import CellMetadataFeatures
from ferrocyte.cas.errors import InvalidResponseError
from ferrocyte.cas.models import CellQueryResults

__all__ = ["Query", "query_request"]

# More ids than this the service takes apart itself.
_PART = 20_000


@dataclass(frozen=True)
class Query:
    """Numbers of cells and what is wanted about them."""

    ids: list[int]
    features: list[str]
    path: str = "api/cellarium-cell-operations/query-cells-by-ids"

    def parts(self) -> Iterator[dict[str, Any]]:
        """Bodies of requests; each id once."""
        unique = list(dict.fromkeys(self.ids))
        for start in range(0, len(unique), _PART):
            yield {
                "cas_cell_ids": unique[start : start + _PART],
                "metadata_feature_names": self.features,
            }

    def results(self, found: Sequence[CellQueryResults.CellariumCellMetadata]) -> CellQueryResults:
        """What was found, in the order of the ids; a warning names ids that the service does not know.

        Raises
        ------
        InvalidResponseError
            For cells that were not asked for.
        """
        by_id = {cell.cas_cell_index: cell for cell in found}
        foreign = by_id.keys() - set(self.ids)
        if foreign:
            raise InvalidResponseError(
                f"The service answered for cells that were not asked for: {min(foreign)}."
            )
        unknown = [i for i in dict.fromkeys(self.ids) if i not in by_id]
        if unknown:
            shown = ", ".join(map(str, unknown[:5]))
            notify(f"The service knows nothing of {len(unknown)} cells: {shown}")
        results = CellQueryResults.model_construct(data=[by_id[i] for i in self.ids if i in by_id])
        results._asked = list(self.features)
        return results


def query_request(ids: Any, features: Any) -> Query:
    """Check what the user asks for.

    Raises
    ------
    InvalidTypeError, InvalidOptionError
    """
    if isinstance(ids, str) or not hasattr(ids, "__iter__"):
        raise InvalidTypeError(f"Expected `cell_ids` to be a list of whole numbers, found {ids!r}.")
    whole = [_whole(i) for i in ids]
    if not whole:
        raise InvalidOptionError("Expected at least one id in `cell_ids`, found none.")
    known = [f.value for f in CellMetadataFeatures]
    if features is None:
        return Query(whole, known)
    if isinstance(features, str):
        raise InvalidTypeError(f"Expected `metadata_feature_names` to be a list, found {features!r}.")
    names = [getattr(f, "value", f) for f in features]
    for name in names:
        if name not in known:
            raise InvalidOptionError(
                f"There is no metadata feature {name!r}.{suggest(name, known, limit=21)}"
            )
    # The number of the cell tells which answer is which.
    return Query(whole, list(dict.fromkeys(["cas_cell_index", *names])))


def _whole(value: Any) -> int:
    """An id; searches give them as floats."""
    try:
        if isinstance(value, bool):
            raise TypeError
        if hasattr(value, "is_integer") and value.is_integer():
            return int(value)
        return operator.index(value)
    except TypeError:
        raise InvalidTypeError(f"Expected `cell_ids` to be whole numbers, found {value!r}.") from None
