"""A journal of answers, so that no cell is paid for twice.

One line of JSON after the other, behind a checksum; the first says what the file is. A line is on the
disk before the next chunk is taken up. Cells are known by a digest of their name, their counts, the schema,
the model and the options, so that a journal can serve any call, in chunks of any size, and never the wrong
one.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ferrocyte.cas._garbage import no_collection
from ferrocyte.cas._notices import notify
from ferrocyte.cas.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows has no advisory locks of this kind
    fcntl = None  # type: ignore[assignment]

__all__ = ["Journal"]

_HEADER = {"format": "ferrocyte-cas-journal", "version": 1}


def _line(payload: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def _payload(line: bytes) -> bytes | None:
    """What a line holds, or None if it is damaged or cut short."""
    if len(line) < 10 or not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    payload = line[9:-1]
    try:
        return payload if int(line[:8], 16) == zlib.crc32(payload) else None
    except ValueError:
        return None


class Journal:
    """Answers on the disk, of one kind of question.

    Parameters
    ----------
    path : path-like
        Made if it does not exist.
    kind : str
        Which question; others in the file are left alone.
    adapter : pydantic.TypeAdapter
        Of a list of answers.

    Raises
    ------
    CheckpointError
        If the file is none of ours, of an unknown version, or open elsewhere.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str, adapter: TypeAdapter[Any]) -> None:
        self.path = Path(path)
        self._kind = kind
        self._adapter = adapter
        self._known: dict[str, Any] = {}
        if self.path.is_dir():
            raise CheckpointError(f"Expected `checkpoint` to be a file, found the folder {str(self.path)!r}.")
        if not self.path.parent.is_dir():
            raise CheckpointError(f"There is no folder {str(self.path.parent)!r} for the checkpoint.")
        self._fd = os.open(
            self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600
        )
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._fd)
            raise

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CheckpointError(
                f"The checkpoint {str(self.path)!r} is in use by another call. Wait for it, or pass another."
            ) from None

    def _read(self) -> None:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            first = file.readline()
            if not first or (
                not first.endswith(b"\n") and _line(json.dumps(_HEADER).encode()).startswith(first)
            ):
                # New, or its first line was cut short.
                os.ftruncate(self._fd, 0)
                self._append(json.dumps(_HEADER).encode())
                self._sync_folder()
                return
            self._check_header(first)
            end, damaged = len(first), 0
            for line in file:
                payload = _payload(line)
                if payload is None and not line.endswith(b"\n"):
                    break  # the process died while it wrote this line
                end += len(line)
                if payload is None or not self._take(payload):
                    damaged += 1
            if end < os.fstat(self._fd).st_size:
                os.ftruncate(self._fd, end)
        if damaged:
            notify(
                f"{damaged} damaged line(s) of the checkpoint {str(self.path)!r} are ignored; their cells "
                "are sent again."
            )

    def _check_header(self, line: bytes) -> None:
        payload = _payload(line)
        try:
            header = json.loads(payload) if payload is not None else None
        except ValueError:
            header = None
        if not isinstance(header, dict) or header.get("format") != _HEADER["format"]:
            raise CheckpointError(f"{str(self.path)!r} exists and is no checkpoint. Pass another path.")
        if header.get("version") != _HEADER["version"]:
            raise CheckpointError(
                f"Expected a checkpoint of version {_HEADER['version']}, found {header.get('version')!r} in "
                f"{str(self.path)!r}. Use the version of ferrocyte that wrote it, or another path."
            )

    def _take(self, payload: bytes) -> bool:
        """Remember one line; False if its contents make no sense."""
        try:
            record = json.loads(payload)
            if record["kind"] != self._kind:
                return True
            with no_collection():
                answers = self._adapter.validate_python(record["answers"])
            self._known.update(zip(record["cells"], answers, strict=True))
        except (ValueError, KeyError, TypeError, ValidationError):
            return False
        return True

    def get(self, digest: str) -> Any | None:
        """The answer for a cell, if it is known."""
        return self._known.get(digest)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, digests: Sequence[str], answers: Sequence[Any]) -> None:
        """Keep answers; they are on the disk when this returns.

        Raises
        ------
        CheckpointError
            If they can not be written.
        """
        body = self._adapter.dump_json(list(answers))
        head = json.dumps({"kind": self._kind, "cells": list(digests)}).encode()
        try:
            self._append(head[:-1] + b', "answers": ' + body + b"}")
        except OSError as err:
            raise CheckpointError(f"The checkpoint {str(self.path)!r} can not be written ({err}).") from err

    def _append(self, payload: bytes) -> None:
        line, start = memoryview(_line(payload)), os.fstat(self._fd).st_size
        try:
            while line:
                line = line[os.write(self._fd, line) :]
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)  # a full disk leaves no half line behind
            raise

    def _sync_folder(self) -> None:
        if not hasattr(os, "O_DIRECTORY"):
            return
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
