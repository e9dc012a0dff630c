"""Packs a release of the Cell Ontology for the wheel: ids, labels, parents, replacements.

Run as ``python make_ontology.py RELEASE python/ferrocyte/data/cell_ontology.json.xz NAME``, where RELEASE is
``cl.obo``, ``cl.json`` or a table of terms as JSON.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

from ferrocyte.cas.local._ontology import read_ontology

if __name__ == "__main__":
    release, out, name = sys.argv[1:]
    text = read_ontology(release, name).to_json()
    Path(out).write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
