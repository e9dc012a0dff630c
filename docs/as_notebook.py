"""Turns pages of the documentation into notebooks without outputs.

    python docs/as_notebook.py FOLDER docs/tutorials/*.md

Writes `FOLDER/<name of the page>.ipynb`: Python blocks become cells of code, what is between them cells of
text. Text blocks that show what a block prints, and figures that it draws, are left out: they appear when it
is run.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

FENCE = re.compile(
    r"^(?P<ticks>`{3,})(?P<language>[\w{}-]*)[^\n]*\n(?P<body>.*?)^(?P=ticks)[ ]*$\n?", re.M | re.S
)
IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*_build/[^)]*\)\n?", re.M)
SAVED = re.compile(r",\s*save=\"[^\"]*\"")


def cells(text: str) -> list[tuple[str, str]]:
    """Kind and source of each cell of a page, in order."""
    found: list[tuple[str, str]] = []
    end = 0
    for fence in FENCE.finditer(text):
        found.append(("markdown", text[end : fence.start()]))
        if fence["language"] == "python":
            found.append(("code", SAVED.sub("", fence["body"])))
        elif fence["language"] != "text":
            found.append(("markdown", fence[0]))
        end = fence.end()
    found.append(("markdown", text[end:]))
    tidy = [
        (kind, (IMAGE.sub("", source) if kind == "markdown" else source).strip()) for kind, source in found
    ]
    return [(kind, source) for kind, source in tidy if source]


def notebook(text: str) -> dict[str, Any]:
    """A page in the format of Jupyter, version 4.5."""
    made = []
    for number, (kind, source) in enumerate(cells(text)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
        made.append({**cell, "execution_count": None, "outputs": []} if kind == "code" else cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def main(folder: str, paths: list[str]) -> None:
    """Write a notebook for each page."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in map(Path, paths):
        text = json.dumps(notebook(path.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
        (Path(folder) / f"{path.stem}.ipynb").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
