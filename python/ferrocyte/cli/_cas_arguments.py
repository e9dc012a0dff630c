"""Arguments of ``ferrocyte cas``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ferrocyte.cli import _cas_reference, _cas_server_arguments
from ferrocyte.cli._events import Events

__all__ = ["add"]

NOTE = """\
The token is read from --token-file or from the environment variable CAS_API_TOKEN, never from the command
line, where other users of the machine could see it. The address is that of --url or CAS_API_URL. With --local
neither is needed, and nothing leaves the machine.
"""


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    cas = commands.add_parser(
        "cas",
        help="annotate cells with the Cellarium Cell Annotation Service",
        description="Annotate, search and look up cells with the Cellarium Cell Annotation Service.",
        epilog=NOTE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = cas.add_subparsers(title="commands", dest="verb", required=True, metavar="COMMAND")
    annotate = _verb(verbs, "annotate", "name the type of each cell")
    _input(annotate, chunk_size=1000)
    annotate.add_argument(
        "--strategy",
        choices=("ontology", "summary"),
        default="ontology",
        help="scores of terms of the Cell Ontology, or statistics of cell types (default: ontology)",
    )
    annotate.add_argument(
        "--prune-threshold",
        type=float,
        default=0.05,
        metavar="X",
        help="least score to report (default: 0.05)",
    )
    annotate.add_argument(
        "--weighting-prefactor",
        type=float,
        default=1.0,
        metavar="X",
        help="how steeply weights fall with distance (default: 1)",
    )
    annotate.add_argument(
        "--min-score",
        type=float,
        default=0.2,
        metavar="X",
        help="the label of a cell is the deepest term with at least this score (default: 0.2); for .h5ad",
    )
    search = _verb(verbs, "search", "find the nearest neighbors of each cell in the reference")
    _input(search, chunk_size=500)
    query = _verb(verbs, "query", "look up cells of the reference by number")
    query.add_argument("ids", metavar="IDS", help="numbers such as `1,2,3`, or a file with one a line")
    query.add_argument(
        "--features", metavar="A,B", help="what to look up, such as `cell_type,tissue`; default: everything"
    )
    _output(query, (".csv", ".parquet", ".json"))
    _verb(verbs, "models", "list the models of the service")
    _verb(verbs, "quota", "show how many cells may still be annotated")
    cas.set_defaults(run=_run)
    _cas_reference.add(verbs)
    _cas_server_arguments.add(verbs)


def _verb(verbs: Any, name: str, text: str) -> argparse.ArgumentParser:
    told = f"{text[0].upper()}{text[1:]}."
    p: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=told)
    p.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file that holds the token and nothing else"
    )
    p.add_argument("--url", metavar="URL", help="address of the service")
    p.add_argument(
        "--local",
        type=Path,
        metavar="REFERENCE",
        help="annotate on this machine, without token and service, against what `build-reference` made, or "
        ".h5ad with types in the column cell_type",
    )
    p.add_argument(
        "--lookup-timeout",
        type=float,
        metavar="SECONDS",
        help="longest time to ask for models, quota and the like, again and again (default: 60)",
    )
    p.add_argument("--json-log", action="store_true", help="one JSON object per event on standard error")
    return p


def _input(p: argparse.ArgumentParser, *, chunk_size: int) -> None:
    p.add_argument("input", type=Path, metavar="INPUT", help="raw counts: .h5ad, or .h5 of Cell Ranger")
    p.add_argument("--model", metavar="NAME", help="default: the default model of the service")
    p.add_argument("--counts", choices=("X", "raw.X"), default="X", help="where the counts are (default: X)")
    p.add_argument(
        "--feature-ids",
        default="index",
        metavar="COLUMN",
        help="column of `var` with Ensembl ids (default: index)",
    )
    p.add_argument(
        "--feature-names", metavar="COLUMN", help="column of `var` with symbols, for genes without an id"
    )
    p.add_argument(
        "--chunk-size",
        type=int,
        default=chunk_size,
        metavar="N",
        help=f"cells in a request (default: {chunk_size})",
    )
    p.add_argument(
        "--concurrency", type=int, default=15, metavar="N", help="requests at a time (default: 15)"
    )
    p.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="journal of answers; the same command sends only what is missing in it",
    )
    p.add_argument(
        "--on-error",
        choices=("raise", "partial"),
        default="raise",
        help="if some cells have no answer: write nothing, or write the others (default: raise)",
    )
    p.add_argument(
        "--threads", type=int, metavar="N", help="threads; default: FERROCYTE_NUM_THREADS or 1; -1 for all"
    )
    _output(p, (".csv", ".parquet", ".json", ".h5ad"))


def _output(p: argparse.ArgumentParser, suffixes: tuple[str, ...]) -> None:
    p.add_argument(
        "--out",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help=f"result, {', '.join(suffixes)}; give it again for another format",
    )
    p.add_argument("--overwrite", action="store_true", help="replace files that exist")
    p.set_defaults(suffixes=suffixes)


def _run(args: argparse.Namespace, events: Events) -> int:
    # The client and what it needs are loaded when they are used.
    from ferrocyte.cli._cas import run

    return run(args, events)
