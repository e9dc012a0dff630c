"""Arguments of ``ferrocyte cas serve`` and ``ferrocyte cas token``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ferrocyte.cli._events import Events

__all__ = ["add"]

SERVE = """\
Serve references to any client of the Cellarium Cell Annotation Service. SIGHUP, or a change of a reference
folder, reloads the references; SIGTERM and Ctrl-C stop the service after what is at work is finished.
Numbers for Prometheus are at /metrics, the description of all routes at /api/docs.
"""


def add(verbs: Any) -> None:
    """Add the commands to those of ``ferrocyte cas``."""
    serve = verbs.add_parser(
        "serve", help="serve references of your own to any client of the service", description=SERVE
    )
    serve.add_argument(
        "--reference",
        action="append",
        required=True,
        metavar="[NAME=]REFERENCE",
        help="folder that `build-reference` made, or .h5ad file with cells whose types are known; give it "
        "again for another model; the first is the default one",
    )
    serve.add_argument(
        "--cell-type-column",
        metavar="COLUMN",
        help="for .h5ad: column of `obs` with types (default: cell_type)",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to bind to (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, help="0 for any that is free (default: 8000)")
    serve.add_argument(
        "--tokens",
        type=Path,
        metavar="DB",
        help="database of tokens and quotas; needed unless the host is this machine alone",
    )
    serve.add_argument(
        "--workers", type=int, metavar="N", help="requests worked on at a time; default: number of cores"
    )
    serve.add_argument(
        "--max-upload-mb", type=int, default=256, metavar="N", help="largest request (default: 256)"
    )
    serve.add_argument(
        "--max-cells", type=int, default=20_000, metavar="N", help="most cells in a request (default: 20000)"
    )
    serve.add_argument(
        "--timeout",
        type=float,
        default=450.0,
        metavar="SECONDS",
        help="longest time to work on a request (default: 450)",
    )
    serve.add_argument("--feedback-url", metavar="URL", help="where links for feedback lead")
    serve.add_argument("--json-log", action="store_true", help="has no effect: the log always is JSON lines")
    serve.set_defaults(run=_serve)

    token = verbs.add_parser("token", help="make, list and revoke tokens of a service of your own")
    actions = token.add_subparsers(title="commands", dest="action", required=True, metavar="COMMAND")
    create = _action(actions, "create", "make a token and print it; it can not be shown again")
    create.add_argument("--user", required=True, metavar="NAME", help="made if new")
    create.add_argument("--email", help="address of the user; default: the name")
    create.add_argument("--days", type=float, default=180.0, metavar="N", help="life (default: 180)")
    create.add_argument(
        "--weekly-quota", type=int, metavar="N", help="cells a week (default for new users: 100000)"
    )
    create.add_argument(
        "--lifetime-quota", type=int, metavar="N", help="cells for life (default for new users: no limit)"
    )
    create.add_argument("--admin", action="store_true", help="the user may raise quotas")
    revoke = _action(actions, "revoke", "no longer accept a token")
    revoke.add_argument("locator", help="first half of the token, as `list` shows it")
    _action(actions, "list", "list tokens without their secrets")
    token.set_defaults(run=_token)


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    p: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    p.add_argument(
        "--tokens", type=Path, required=True, metavar="DB", help="database; `create` makes it if it is new"
    )
    p.add_argument("--json-log", action="store_true", help="answer and events as JSON")
    return p


def _serve(args: argparse.Namespace, events: Events) -> int:
    # The service and what it needs are loaded when they are used.
    from ferrocyte.cli._cas_server import serve

    return serve(args, events)


def _token(args: argparse.Namespace, events: Events) -> int:
    from ferrocyte.cli._cas_server import token

    return token(args, events)
