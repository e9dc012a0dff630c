"""Runs the Python blocks of documentation pages, each page in one fresh interpreter.

    python docs/run_pages.py README.md docs/guide/*.md

Blocks of a page share their names, as in a notebook. A text block that follows a Python block is what that
block prints (`...` stands for anything). A block after the comment `<!-- not run -->` is only shown. Files go
to the current directory; building the documentation runs the guide in `docs/_build/guide`, which is where its
figures come from.
"""

from __future__ import annotations

import doctest
import io
import re
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(
    r"^(?P<ticks>`{3,})(?P<language>[\w{}-]*)[^\n]*\n(?P<body>.*?)^(?P=ticks)\s*$", re.M | re.S
)
NOT_RUN = "<!-- not run -->"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A Python block: the line it starts at, its code, and what it should print if the page says so."""

    line: int
    code: str
    output: str | None


def blocks(text: str) -> list[Block]:
    """The Python blocks of a Markdown page that are to be run, in order."""
    found: list[Block] = []
    expects = False  # whether a text block here would belong to the last Python block
    end = 0
    for fence in FENCE.finditer(text):
        between = text[end : fence.start()]
        end = fence.end()
        language, body = fence["language"], fence["body"]
        if language == "text" and expects and not between.strip():
            found[-1] = found[-1]._replace(output=body)
        expects = language == "python" and NOT_RUN not in between
        if expects:
            found.append(Block(text.count("\n", 0, fence.start()) + 2, body, None))
    return found


def run(path: Path) -> list[str]:
    """Run a page in this interpreter; what went wrong, in words."""
    names: dict[str, object] = {"__name__": "__main__"}
    checker = doctest.OutputChecker()
    for block in blocks(path.read_text(encoding="utf-8")):
        printed = io.StringIO()
        # As many empty lines before it as the page has, so that errors name the line of the page.
        code = "\n" * (block.line - 1) + block.code
        try:
            with redirect_stdout(printed):
                exec(compile(code, str(path), "exec"), names)
        except BaseException:
            return [f"{path}, line {block.line}:\n{traceback.format_exc()}"]
        got = printed.getvalue()
        if block.output is not None and not checker.check_output(block.output, got, FLAGS):
            return [f"{path}, line {block.line}: expected\n{block.output}\nbut found\n{got}"]
    return []


def main(paths: list[str]) -> int:
    """Run pages one after the other; the exit code tells whether all is well."""
    problems = [problem for path in paths for problem in run(Path(path))]
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
