"""From what the user gave to rows on the genes of a model's schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from ferrocyte.cas._genes import GeneMap, map_genes, tell
from ferrocyte.cas._source import Source
from ferrocyte.cas._upload import Counts, GeneList

__all__ = ["Prepared", "check_values", "prepare", "unique_names"]

# Above this share of fractional values a matrix is taken for normalised. Tools that share reads between
# genes, or take ambient molecules away, make some counts fractional.
_FRACTIONAL = 0.5


def unique_names(names: Sequence[str]) -> list[str]:
    """Names under which cells are sent: answers come by name, so repeated ones get a number."""
    taken = set(names)
    if len(taken) == len(names):
        return list(names)
    out, seen, counts = [], set(), dict.fromkeys(taken, 0)
    for name in names:
        unique = name
        while unique in seen:
            counts[name] += 1
            unique = f"{name}#{counts[name] + 1}"
            if unique in taken:
                unique = name
        seen.add(unique)
        out.append(unique)
    return out


def check_values(values: NDArray[Any], where: str, threads: int) -> None:
    """Refuse what can not be counts.

    Raises
    ------
    InvalidDataError
        For NaN, infinite and negative values, and where most values are fractional.
    """
    if values.dtype.kind in "ub":
        return
    if values.dtype.kind == "i":
        if values.size and values.min() < 0:
            raise InvalidDataError(_negative(where))
        return
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32)
    nonzero, fractional, negative, not_finite = _core.value_report(
        np.ascontiguousarray(values), threads=threads
    )
    if not_finite is not None:
        raise InvalidDataError(f"Expected counts in {where}, found NaN or infinite values. Nothing was sent.")
    if negative is not None:
        raise InvalidDataError(_negative(where))
    if values.dtype == np.float64 and values.size and values.max() > np.finfo(np.float32).max:
        raise InvalidDataError(_too_large(where))
    if fractional > _FRACTIONAL * nonzero:
        raise InvalidDataError(
            f"Expected counts in {where}, found {100 * fractional / nonzero:.0f} % fractional values, as "
            "after normalisation or a logarithm. Pass the matrix with raw counts (is it in `adata.raw` or a "
            "layer? `count_matrix_input='raw.X'`, or `adata.X = adata.layers['counts']`), or "
            "`check_counts=False` if these are counts all the same."
        )


def _negative(where: str) -> str:
    return (
        f"Expected counts in {where}, found negative values, as after scaling. Pass the matrix with raw "
        "counts (is it in `adata.raw` or a layer? `count_matrix_input='raw.X'`)."
    )


def _too_large(where: str) -> str:
    return f"Expected counts in {where}, found values beyond what the service takes (float32, 3.4e38)."


class Prepared:
    """Cells ready to be cut into chunks.

    Attributes
    ----------
    cells : list of str
        Names as the user knows them.
    sent_as : list of str
        Names they are sent under, unique.
    targets : array of int32
        Where each gene goes, as in `GeneMap`.
    empty : set of int
        Cells that were read and have no counts on the genes of the schema.
    """

    def __init__(self, source: Source, genes: GeneList, found: GeneMap, *, threads: int, check: bool) -> None:
        self.cells = source.cells
        self.sent_as = unique_names(source.cells)
        self.genes = genes
        self.empty: set[int] = set()
        self._source = source
        self.targets = found.targets
        self._threads = threads
        self._check = check

    def __len__(self) -> int:
        return len(self.cells)

    def counts(self, start: int, stop: int) -> Counts:
        """Rows `start` to `stop` on the genes of the schema.

        Raises
        ------
        InvalidDataError
            If values there are no counts, or no numbers that can be sent.
        """
        rows = self._source.read(start, stop)
        if self._check:
            values = rows if isinstance(rows, np.ndarray) else rows.data
            check_values(values.ravel(), f"{self._source.where}, cells {start} to {stop - 1}", self._threads)
        data, indices, indptr, totals = _core.map_to_schema(
            rows, self.targets, len(self.genes), threads=self._threads
        )
        if not np.isfinite(totals).all() or (len(data) and not np.isfinite(data.max())):
            # Whatever else is allowed: these would make every answer worthless.
            where = f"{self._source.where}, cells {start} to {stop - 1}"
            raise InvalidDataError(
                f"Expected counts in {where}, found NaN, infinite values, or more than float32 holds."
            )
        self.empty.update((np.flatnonzero(np.diff(indptr) == 0) + start).tolist())
        return Counts(self.sent_as[start:stop], self.genes, data, indices, indptr, totals)


def prepare(
    source: Source,
    genes: GeneList,
    *,
    ids_column: str,
    names_column: str | None,
    threads: int = 1,
    check_counts: bool = True,
) -> Prepared:
    """Check the source against a schema, in the user's words, before anything is sent.

    Raises
    ------
    InvalidDataError, MissingDataError
    """
    if source.genomes:
        # A file with a matrix for each genome: the one that has the genes of the model.
        best: tuple[int, Source, GeneMap] | None = None
        error: InvalidDataError | None = None
        for name, other in source.genomes.items():
            try:
                found = map_genes(other.var, genes.names, ids_column, names_column, other.excluded)
            except InvalidDataError as err:
                error = err
                continue
            if best is None or found.n_present > best[0]:
                found.notices.append(
                    f"Of the genomes {sorted(source.genomes)} the cells of {name!r} are used."
                )
                best = found.n_present, other, found
        if best is None:
            raise error or InvalidDataError(f"No genes in {source.where}.")
        _, source, found = best
    else:
        found = map_genes(source.var, genes.names, ids_column, names_column, source.excluded)
    if check_counts:
        if source.values is not None:
            check_values(source.values, source.where, threads)
        else:
            # A file is not read through beforehand; its first and last cells tell most mistakes.
            for start in {0, max(0, len(source.cells) - 100)}:
                rows = source.read(start, min(start + 100, len(source.cells)))
                values = rows if isinstance(rows, np.ndarray) else rows.data
                check_values(values.ravel(), source.where, threads)
    tell(found, len(genes))
    return Prepared(source, genes, found, threads=threads, check=check_counts and source.values is None)
