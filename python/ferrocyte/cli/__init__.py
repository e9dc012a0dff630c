"""The command line: whole jobs from file to file, for scripts and schedulers.

Each command is a module with ``add(commands)``, which describes its arguments and loads nothing, and a
``run(args, events)`` that does the work. What a command prints to standard output is its answer; events
(what is being done) go to standard error, as text or, with ``--json-log``, one JSON object a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from ferrocyte import _core
from ferrocyte.cli import _cas_arguments, _fate_arguments
from ferrocyte.cli._events import Events
from ferrocyte.cli._exit import EXIT_CODES, explain, termination_interrupts

__all__ = ["main"]

COMMANDS = (_fate_arguments, _cas_arguments)


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    out = argparse.ArgumentParser(
        prog="ferrocyte",
        description="Fate mapping and annotation of single cells, from file to file.",
        epilog="exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()),
    )
    out.add_argument("--version", action="version", version=f"ferrocyte {_core.__version__}")
    commands = out.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; default: those of this process.

    Returns
    -------
    int
        Exit code, one of :data:`ferrocyte.cli._exit.EXIT_CODES`.
    """
    try:
        args = parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why; a caller of `main` gets the code
        return int(stop.code or 0)
    command = " ".join(filter(None, (args.command, getattr(args, "verb", None))))
    events = Events(command, json_lines=args.json_log, stream=sys.stderr)
    # A service decides itself what ends it, and how.
    ending = nullcontext() if command == "cas serve" else termination_interrupts()
    try:
        with events.warnings_shown(), ending:
            return int(args.run(args, events))
    except KeyboardInterrupt as err:
        return explain(err, events)
    except Exception as err:
        return explain(err, events)
