"""``ferrocyte cas``: annotate, search and look up, from file to file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from ferrocyte.cas import CASClient
from ferrocyte.cas.constants import CellMetadataFeatures
from ferrocyte.cli import _files
from ferrocyte.cli._events import Events, answer
from ferrocyte.cli._exit import INCOMPLETE, OK, UsageError

__all__ = ["run"]

TOKEN, URL = "CAS_API_TOKEN", "CAS_API_URL"


def run(args: argparse.Namespace, events: Events) -> int:
    """Do what the command says; see ``ferrocyte cas --help``."""
    if hasattr(args, "out"):
        _check_outputs(args)
    with events.log_shown("ferrocyte.cas"), _client(args) as client:
        code: int = VERBS[args.verb](client, args, events)
    return code


def _client(args: argparse.Namespace) -> CASClient:
    if args.local is not None:
        if args.url is not None or args.token_file is not None:
            raise UsageError("--local asks no service: leave out --url and --token-file.")
        return CASClient.local(args.local, n_jobs=getattr(args, "threads", None))
    token = os.environ.get(TOKEN, "").strip()
    if args.token_file is not None:
        if not args.token_file.is_file():
            raise FileNotFoundError(f"There is no file {str(args.token_file)!r} for --token-file.")
        token = args.token_file.read_text(encoding="utf-8").strip()
    if not token:
        raise UsageError(f"There is no token. Set {TOKEN} or pass --token-file FILE.")
    more: dict[str, Any] = (
        {"max_concurrent_requests": args.concurrency} if hasattr(args, "concurrency") else {}
    )
    if args.lookup_timeout is not None:
        more["lookup_timeout"] = args.lookup_timeout
    return CASClient(token, args.url or "", n_jobs=getattr(args, "threads", None), **more)


def _check_outputs(args: argparse.Namespace) -> None:
    source = getattr(args, "input", None)
    for path in args.out:
        if path.suffix not in args.suffixes:
            raise UsageError(
                f"Expected --out to end with one of {', '.join(args.suffixes)}, found {str(path)!r}."
            )
        _files.check_place(path, overwrite=args.overwrite, source=source)
        if path.suffix == ".parquet":
            _check_parquet()
        if path.suffix == ".h5ad" and args.input.suffix != ".h5ad":
            raise UsageError("An .h5ad result needs an .h5ad input. Write .csv, .parquet or .json instead.")


def _check_parquet() -> None:
    """pandas writes it with pyarrow, which is not always there; better known before cells are sent."""
    if find_spec("pyarrow") is None:
        raise UsageError("Writing .parquet needs pyarrow: `pip install pyarrow`. Or write .csv.")


# Verbs ------------------------------------------------------------------------------------------------


def _annotate(client: CASClient, args: argparse.Namespace, events: Events) -> int:
    options = _options(args, events)
    if args.strategy == "ontology":
        method: Callable[..., Any] = client.annotate_matrix_cell_type_ontology_aware_strategy
        options |= {
            "prune_threshold": args.prune_threshold,
            "weighting_prefactor": args.weighting_prefactor,
        }
    else:
        method = client.annotate_matrix_cell_type_summary_statistics_strategy
    with events.step("annotate", strategy=args.strategy, file=str(args.input)) as said:
        results = method(str(args.input), **options)
        said["n_cells"] = len(results.data)

    def insert(adata: AnnData) -> None:
        client.annotate_into(adata, results, strategy=args.strategy, min_acceptable_score=args.min_score)

    return _write(results, args, events, insert)


def _search(client: CASClient, args: argparse.Namespace, events: Events) -> int:
    with events.step("search", file=str(args.input)) as said:
        results = client.search_matrix(str(args.input), **_options(args, events))
        said["n_cells"] = len(results.data)

    def insert(adata: AnnData) -> None:
        adata.uns["cas_neighbors"] = results.to_frame()

    return _write(results, args, events, insert)


def _query(client: CASClient, args: argparse.Namespace, events: Events) -> int:
    features = None
    if args.features:
        features = [name.strip() for name in args.features.split(",") if name.strip()]
        known = {str(f) for f in CellMetadataFeatures}
        for name in features:
            if name not in known:
                raise UsageError(f"Unknown feature {name!r}. There are: {', '.join(sorted(known))}.")
    ids = _numbers(args.ids)
    with events.step("query", n_ids=len(ids)) as said:
        results = client.query_cells_by_ids(ids, features)
        said["n_cells"] = len(results.data)
    return _write(results, args, events, None)


def _models(client: CASClient, args: argparse.Namespace, events: Events) -> int:
    names = client.allowed_models_list
    answer(json.dumps(names) if events.json_lines else "\n".join(names))
    return OK


def _quota(client: CASClient, args: argparse.Namespace, events: Events) -> int:
    quota = client.quota()
    answer(quota.model_dump_json() if events.json_lines else "\n".join(quota.lines()))
    return OK


VERBS: dict[str, Callable[[CASClient, argparse.Namespace, Events], int]] = {
    "annotate": _annotate,
    "search": _search,
    "query": _query,
    "models": _models,
    "quota": _quota,
}


# In and out -------------------------------------------------------------------------------------------


def _options(args: argparse.Namespace, events: Events) -> dict[str, Any]:
    return {
        "chunk_size": args.chunk_size,
        "count_matrix_input": args.counts,
        "feature_ids_column_name": args.feature_ids,
        "feature_names_column_name": args.feature_names,
        "cas_model_name": args.model,
        "on_error": args.on_error,
        "checkpoint": args.checkpoint,
        "show_progress": events.progress,
    }


def _numbers(text: str) -> list[int]:
    """Numbers in the text itself, or one a line in the file that it names."""
    path = Path(text)
    parts = path.read_text(encoding="utf-8").split() if path.is_file() else text.split(",")
    try:
        out = [int(part) for part in parts if part.strip()]
    except ValueError:
        out = []
    if not out:
        raise UsageError(f"Expected numbers of cells such as `1,2,3`, or a file with them, found {text!r}.")
    return out


def _write(
    results: Any, args: argparse.Namespace, events: Events, insert: Callable[[AnnData], None] | None
) -> int:
    for path in args.out:
        with events.step("write", file=str(path)):
            if path.suffix == ".h5ad" and insert is not None:
                adata = _files.read(args.input)
                insert(adata)
                _files.write(adata, path)
            else:
                _files.write_whole(path, _writer(results, path.suffix))
    failures = getattr(results, "failures", [])
    lost = [name for failure in failures for name in failure.cell_names]
    events.say(
        "finished",
        f"finished: {len(results.data)} cells, {len(lost)} without an answer",
        out=[str(path) for path in args.out],
        n_cells=len(results.data),
        n_lost=len(lost),
    )
    return INCOMPLETE if lost else OK


def _writer(results: Any, suffix: str) -> Callable[[Path], None]:
    def table(path: Path) -> None:
        frame: pd.DataFrame = results.to_frame()
        if suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)

    def document(path: Path) -> None:
        path.write_text(results.model_dump_json(), encoding="utf-8")

    return document if suffix == ".json" else table
