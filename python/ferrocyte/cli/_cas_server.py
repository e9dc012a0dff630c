"""``ferrocyte cas serve`` and ``ferrocyte cas token``."""

from __future__ import annotations

import argparse
import json
import math
from contextlib import closing
from datetime import UTC, datetime

from ferrocyte._settings import threads
from ferrocyte.cas import server
from ferrocyte.cas.server._database import Database
from ferrocyte.cas.server._serve import name_references
from ferrocyte.cas.server._tokens import TokenInfo, Tokens
from ferrocyte.cli import _files
from ferrocyte.cli._events import Events, answer
from ferrocyte.cli._exit import OK, UsageError

__all__ = ["serve", "token"]


def serve(args: argparse.Namespace, events: Events) -> int:
    """Serve until told to stop."""
    # Warnings stand between the lines of the log, and are like them.
    events.json_lines = True
    workers = threads(-1) if args.workers is None else args.workers
    for name, value in (
        ("--workers", workers),
        ("--max-upload-mb", args.max_upload_mb),
        ("--max-cells", args.max_cells),
        ("--timeout", args.timeout),
    ):
        if not 0 < value < math.inf:
            raise UsageError(f"Expected {name} to be a positive number, found {value}.")
    if not 0 <= args.port < 65536:
        raise UsageError(f"Expected --port to be a number from 0 to 65535, found {args.port}.")
    if args.tokens is not None:
        _existing(args)
    server.serve(
        name_references(args.reference),
        cell_type_column=args.cell_type_column,
        host=args.host,
        port=args.port,
        tokens=args.tokens,
        limits=server.Limits(
            max_upload_bytes=args.max_upload_mb * 2**20,
            max_cells=args.max_cells,
            answer_seconds=args.timeout,
            workers=workers,
            readers=workers,
        ),
        feedback_url=args.feedback_url,
        log=events.stream,
    )
    return OK


def token(args: argparse.Namespace, events: Events) -> int:
    """Make, list or revoke tokens."""
    if args.action == "create":
        _files.check_place(args.tokens, overwrite=True, source=None)
    else:
        _existing(args)
    with closing(Database(args.tokens)) as database:
        tokens = Tokens(database)
        if args.action == "create":
            user = database.add_user(
                args.user,
                args.email,
                weekly_quota=args.weekly_quota,
                lifetime_quota=args.lifetime_quota,
                admin=args.admin,
            )
            made = tokens.create(user, args.days)
            answer(json.dumps({"token": made}) if args.json_log else made)
        elif args.action == "revoke":
            tokens.revoke(args.locator)
        else:
            for info in tokens.list():
                answer(_line(info, args.json_log))
    return OK


def _existing(args: argparse.Namespace) -> None:
    if not args.tokens.is_file():
        raise UsageError(
            f"There is no database of tokens {str(args.tokens)!r}. Make one with "
            f"`ferrocyte cas token create --tokens {args.tokens} --user NAME`."
        )


def _line(info: TokenInfo, as_json: bool) -> str:
    said = {
        "locator": info.locator,
        "user": info.user,
        "created": _date(info.created),
        "expires": _date(info.expires),
        "revoked": None if info.revoked is None else _date(info.revoked),
    }
    if as_json:
        return json.dumps(said)
    state = f"revoked {said['revoked']}" if info.revoked is not None else f"expires {said['expires']}"
    return f"{info.locator}  {info.user}  {state}"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
