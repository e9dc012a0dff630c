"""``ferrocyte cas build-reference``: from cells with types to a reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ferrocyte.cli._events import Events

__all__ = ["add"]

NOTE = """\
Make a reference that `ferrocyte cas annotate --local` and `ferrocyte cas serve` answer from. Cells are read
block by block. The same cells and the same seed give the same reference.
"""


def add(verbs: Any) -> None:
    """Add the command to those of ``ferrocyte cas``."""
    p = verbs.add_parser(
        "build-reference", help="make a reference from cells whose types are known", description=NOTE
    )
    p.add_argument("input", type=Path, metavar="INPUT", help="raw counts and types of cells: .h5ad")
    p.add_argument("--cell-type-column", required=True, metavar="COLUMN", help="column of `obs` with types")
    p.add_argument(
        "--ontology-term-column",
        metavar="COLUMN",
        help="column of `obs` with terms as CL:0000236; default: cell_type_ontology_term_id, or by label",
    )
    p.add_argument(
        "--model",
        default="pca",
        metavar="pca|REFERENCE",
        help="learn an embedding, or use the one of another reference (default: pca)",
    )
    p.add_argument("--n-components", type=int, default=50, metavar="N", help="dimensions (default: 50)")
    p.add_argument(
        "--n-top-genes",
        type=int,
        default=2000,
        metavar="N",
        help="variable genes that are used; 0 for all (default: 2000)",
    )
    p.add_argument(
        "--n-neighbors", type=int, metavar="N", help="default: one in 100 cells, at least 10, at most 100"
    )
    p.add_argument("--metric", choices=("cosine", "l2", "dot"), help="default: cosine, or that of the model")
    p.add_argument(
        "--search",
        choices=("auto", "exact", "approximate"),
        default="auto",
        help="how neighbors are found (default: auto, exact up to 500000 cells)",
    )
    p.add_argument("--ontology", type=Path, metavar="FILE", help="another release of it: .obo or .json")
    p.add_argument("--name", help="of the model (default: that of the folder)")
    p.add_argument("--description", default="", help="of the model")
    p.add_argument("--counts", choices=("X", "raw.X"), default="X", help="where the counts are (default: X)")
    p.add_argument(
        "--feature-ids",
        default="index",
        metavar="COLUMN",
        help="column of `var` with Ensembl ids (default: index)",
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    p.add_argument(
        "--threads", type=int, metavar="N", help="threads; default: FERROCYTE_NUM_THREADS or 1; -1 for all"
    )
    p.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the reference")
    p.add_argument("--overwrite", action="store_true", help="replace a reference that exists")
    p.add_argument("--json-log", action="store_true", help="one JSON object per event on standard error")
    p.set_defaults(run=_run)


def _run(args: argparse.Namespace, events: Events) -> int:
    from ferrocyte.cas.local import build_reference
    from ferrocyte.cli._exit import OK

    with events.step("build-reference", file=str(args.input)) as said:
        made = build_reference(
            args.input,
            args.out,
            args.cell_type_column,
            args.ontology_term_column,
            args.model,
            n_components=args.n_components,
            n_top_genes=args.n_top_genes or None,
            n_neighbors=args.n_neighbors,
            metric=args.metric,
            search=args.search,
            name=args.name,
            description=args.description,
            count_matrix_input=args.counts,
            feature_ids_column_name=args.feature_ids,
            ontology=args.ontology,
            seed=args.seed,
            n_jobs=args.threads,
            overwrite=args.overwrite,
        )
        said["n_cells"], said["n_genes"] = made.n_cells, len(made.genes)
    recall = made.manifest.get("recall")
    found = "" if recall is None else f", {recall:.1%} of neighbors found"
    events.say(
        "finished",
        f"finished: {made.n_cells} cells, {made.n_neighbors} neighbors, {made.metric}{found}",
        out=str(args.out),
        n_cells=made.n_cells,
        n_neighbors=made.n_neighbors,
        recall=recall,
    )
    return OK
