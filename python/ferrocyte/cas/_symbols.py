"""Human gene symbols and their Ensembl ids, for data that have symbols alone."""

from __future__ import annotations

import functools
import lzma
from collections.abc import Container, Mapping
from importlib import resources

__all__ = ["human_symbols", "id_of"]


@functools.cache
def human_symbols() -> Mapping[str, tuple[str, ...]]:
    """Ensembl ids of each symbol, as GENCODE names them; a few symbols stand for several genes."""
    packed = resources.files("ferrocyte").joinpath("data", "human_symbols.tsv.xz").read_bytes()
    table: dict[str, tuple[str, ...]] = {}
    number = 0
    for line in lzma.decompress(packed).decode().splitlines():
        step, symbol = line.split("\t")
        number += int(step)
        table[symbol] = (*table.get(symbol, ()), f"ENSG{number:011d}")
    return table


def id_of(symbol: str, known: Container[str]) -> str | None:
    """The one id among `known` that `symbol` stands for; None if there is none, or more than one."""
    found = [gene for gene in human_symbols().get(symbol, ()) if gene in known]
    return found[0] if len(found) == 1 else None
