"""Which gene of the data is which gene of the service's schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError, InvalidTypeError, MissingDataError, suggest
from ferrocyte.cas._notices import notify
from ferrocyte.cas._symbols import id_of

__all__ = ["DROPPED", "EXCLUDED", "GeneMap", "map_genes", "var_column"]

DROPPED, EXCLUDED = -1, -2
# An Ensembl gene id of any species, as it may carry a version: ENSG00000141510.18
_ENSEMBL = re.compile(r"ENS[A-Z]{0,6}G\d{11}")
_VERSIONED = re.compile(r"(ENS[A-Z]{0,6}G\d{11})\.\d+")


@dataclass(frozen=True)
class GeneMap:
    """Where each gene goes.

    Attributes
    ----------
    targets : array of int32
        For each gene of the data its place in the schema; -1 for none, -2 for what is no gene.
    n_present : int
        Genes of the schema that the data have.
    notices : list of str
        What was done beyond matching equal ids.
    """

    targets: NDArray[np.int32]
    n_present: int
    notices: list[str] = field(default_factory=list)


def var_column(var: pd.DataFrame, name: Any, argument: str) -> pd.Index:
    """A column of `var`, or its index for the word ``"index"``, as strings; missing values are ``""``.

    Raises
    ------
    MissingDataError
        If there is no such column.
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"Expected `{argument}` to be a string, found `{type(name).__name__}`.")
    if name == "index":
        values = var.index
    elif name in var.columns:
        values = pd.Index(var[name])
    else:
        raise MissingDataError(
            f"No column {name!r} in `var` for `{argument}`.{suggest(name, ['index', *var.columns])}"
        )
    missing = values.isna()
    return pd.Index(
        ["" if none else str(v).strip() for v, none in zip(values, missing, strict=True)], dtype=object
    )


def _find(ids: pd.Index, genes: pd.Index) -> NDArray[np.int32]:
    """Place of each id in the schema, or -1."""
    return genes.get_indexer(ids).astype(np.int32)


def map_genes(
    var: pd.DataFrame,
    schema: Sequence[str],
    ids_column: str = "index",
    names_column: str | None = None,
    excluded: NDArray[np.bool_] | None = None,
) -> GeneMap:
    """Find the genes of the data in the schema.

    Ids that are equal are matched first; then ids that differ by an Ensembl version alone. Genes without an
    Ensembl id are looked for by the column with names: as ids, since users do swap the two, else as human
    symbols. Several genes with one id add up.

    Parameters
    ----------
    var : pandas.DataFrame
        About the genes of the data.
    schema : sequence of str
        Ids of the schema, in order.
    ids_column : str, default "index"
        Column of `var` with the ids.
    names_column : str, optional
        Column of `var` with symbols.
    excluded : array of bool, optional
        Features that are no genes.

    Returns
    -------
    GeneMap

    Raises
    ------
    MissingDataError
        If there is no such column.
    InvalidDataError
        If no gene is in the schema.
    """
    genes = pd.Index(schema, dtype=object)
    ids = var_column(var, ids_column, "feature_ids_column_name")
    names = None if names_column is None else var_column(var, names_column, "feature_names_column_name")
    notices: list[str] = []
    targets = _match(ids, genes, f"`feature_ids_column_name={ids_column!r}`", notices)
    if names is not None:
        # Genes named by something else than an Ensembl id: what was called their name may be the id, or a
        # symbol whose id is known.
        unnamed = (targets < 0) & ~np.array([bool(_ENSEMBL.match(i)) for i in ids], dtype=bool)
        if unnamed.any():
            found = _match(names[unnamed], genes, f"`feature_names_column_name={names_column!r}`", notices)
            if (found >= 0).any():
                n = int((found >= 0).sum())
                notices.append(f"{n} genes were found by {names_column!r} instead of {ids_column!r}.")
            else:
                found = _by_symbol(names[unnamed], genes, set(targets[targets >= 0]))
                n = int((found >= 0).sum())
                notices.append(
                    f"{n} of {int(unnamed.sum())} genes without an Ensembl id were found by their symbol in "
                    f"{names_column!r}."
                )
            targets[unnamed] = found
    if excluded is not None and excluded.any():
        targets[excluded] = EXCLUDED
        notices.append(f"{int(excluded.sum())} features that are no genes are left out.")
    kept = targets[targets >= 0]
    n_present = len(np.unique(kept))
    if n_present == 0:
        raise InvalidDataError(_none_found(var, ids, genes, ids_column))
    if len(kept) > n_present:
        notices.append(
            f"{len(kept) - n_present + _groups(kept)} genes share {_groups(kept)} ids; their counts are "
            "added up."
        )
    return GeneMap(targets, n_present, notices)


def _by_symbol(symbols: pd.Index, genes: pd.Index, taken: set[int]) -> NDArray[np.int32]:
    """Place of the gene that each symbol stands for, or -1; genes that are found already stay as they are."""
    place = {gene: k for k, gene in enumerate(genes) if k not in taken}
    ids = [id_of(symbol, place) for symbol in symbols]
    return np.array([DROPPED if gene is None else place[gene] for gene in ids], dtype=np.int32)


def _groups(kept: NDArray[np.int32]) -> int:
    """How many places are given more than once."""
    return int((np.unique(kept, return_counts=True)[1] > 1).sum())


def _match(ids: pd.Index, genes: pd.Index, what: str, notices: list[str]) -> NDArray[np.int32]:
    targets = _find(ids, genes)
    missing = np.flatnonzero(targets < 0)
    stripped = [(i, m.group(1)) for i in missing if (m := _VERSIONED.fullmatch(ids[i]))]
    if stripped:
        at = np.array([i for i, _ in stripped])
        found = _find(pd.Index([name for _, name in stripped], dtype=object), genes)
        targets[at] = found
        if n := int((found >= 0).sum()):
            notices.append(
                f"{n} ids of {what} were matched without their version suffix, as in {ids[at[0]]!r}."
            )
    return targets


def _none_found(var: pd.DataFrame, ids: pd.Index, genes: pd.Index, ids_column: str) -> str:
    """None of the genes is known: say what is there, and which column would do."""
    shown = ", ".join(repr(i) for i in ids[:3])
    better: dict[str, int] = {}
    symbols: dict[str, int] = {}
    for column in ("index", *(c for c in var.columns if isinstance(c, str))):
        if column == ids_column or (column != "index" and not _is_text(var[column])):
            continue
        found = _match(var_column(var, column, "feature_ids_column_name"), genes, "", [])
        if (found >= 0).any():
            better[column] = int((found >= 0).sum())
    for column in ("index", *(c for c in var.columns if isinstance(c, str) and _is_text(var[c]))):
        found = _by_symbol(var_column(var, column, "feature_names_column_name"), genes, set())
        if (found >= 0).any():
            symbols[column] = int((found >= 0).sum())
    if better:
        column = max(better, key=lambda c: better[c])
        hint = f"{better[column]} are in {column!r}: pass `feature_ids_column_name={column!r}`."
    elif symbols:
        column = max(symbols, key=lambda c: symbols[c])
        hint = (
            f"{symbols[column]} are known by their symbols in {column!r}: pass "
            f"`feature_names_column_name={column!r}` to have them looked up."
        )
    else:
        hint = "No other column of `var` has any either. Is it the right species, and are these Ensembl ids?"
    return (
        f"None of the {len(ids)} genes named by `feature_ids_column_name={ids_column!r}` ({shown}, …) is "
        f"among the {len(genes)} genes of the model, as {genes[0]!r}. {hint} Nothing was sent."
    )


def _is_text(column: pd.Series) -> bool:
    return bool(column.dtype == object or isinstance(column.dtype, pd.StringDtype | pd.CategoricalDtype))


def tell(found: GeneMap, n_schema: int) -> None:
    """Warn about what was done to ids, and if few of the genes are there."""
    for notice in found.notices:
        notify(notice)
    if 2 * found.n_present < n_schema:
        notify(
            f"Only {found.n_present} of the {n_schema} genes of the model are in the data; the others count "
            "as zero, and answers will be poor. Check the species and the gene ids, and pass all genes that "
            "were measured, not only variable ones (`count_matrix_input='raw.X'` may have them)."
        )
