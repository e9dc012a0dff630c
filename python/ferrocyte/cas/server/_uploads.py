"""Uploads, from the bytes of a request to counts that can be trusted to be counts.

The form is taken apart here; the file in it is opened by a process of its own (`_reader`), which is ended
when it takes too long and replaced when it dies. What comes back are lengths, names and plain arrays.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import os
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ferrocyte.cas._upload import GeneList
from ferrocyte.cas.server._limits import Limits, Refusal

__all__ = ["Cells", "Readers", "form_of"]

_logger = logging.getLogger(__name__)
_SCRIPT = Path(__file__).with_name("_reader.py")
# A form has a file and a handful of words.
_MAX_FIELDS, _MAX_FIELD_BYTES = 16, 4096


@dataclass(frozen=True)
class Cells:
    """What an upload holds.

    Attributes
    ----------
    names : list of str
    counts : CSR matrix of float32, (n_cells, n_genes)
        Columns in order, each once; as many as the schema has.
    totals : array of float32, (n_cells,)
    digest : bytes
        Of the file.
    """

    names: list[str]
    counts: sp.csr_matrix
    totals: NDArray[np.float32]
    digest: bytes


@asynccontextmanager
async def form_of(request: Request, seconds: float) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """The file of a form, spooled to disk, and its other fields.

    Raises
    ------
    Refusal
        408 if it does not arrive in time, 400 and 422 for what is no form or has no file.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refusal(422, [_missing("file")])
    form = FormData()
    try:
        async with asyncio.timeout(seconds):
            form = await request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refusal(422, [_missing("file")])
        yield file, {name: value for name, value in form.multi_items() if isinstance(value, str)}
    except TimeoutError:
        raise Refusal(408, f"The request did not arrive within {seconds:g} seconds.") from None
    except HTTPException as err:  # Starlette's word for a broken form
        raise Refusal(400, f"The multipart form is broken: {err.detail}") from None
    except FormParserError as err:  # which older versions of Starlette let through
        raise Refusal(400, f"The multipart form is broken: {err}") from None
    except ClientDisconnect:
        raise Refusal(400, "The connection ended before the request was complete.") from None
    finally:
        await form.close()


def _missing(name: str) -> dict[str, Any]:
    return {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None}


class _Reader:
    """One process that reads files."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, memory: int) -> _Reader:
        surroundings = {**os.environ, "HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(_SCRIPT),
            str(memory),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**22,
            env=surroundings,
            # Ctrl-C in a terminal goes to a whole session; files that are being read are finished first.
            start_new_session=True,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, header: bytes, content: bytes) -> tuple[dict[str, Any], bytes]:
        """Header and arrays of the answer."""
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None
        assert sink is not None
        sink.write(struct.pack("<QQ", len(header), len(content)) + header)
        sink.write(content)
        await sink.drain()
        head, body = struct.unpack("<QQ", await source.readexactly(16))
        return json.loads(await source.readexactly(head)), await source.readexactly(body)

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Readers:
    """Processes that read files.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle: asyncio.Queue[_Reader | None] = asyncio.Queue()
        for _ in range(limits.readers):
            self._idle.put_nowait(None)  # started when needed
        self.deaths = 0

    async def close(self) -> None:
        """End the processes that are idle; call when no file is being read."""
        while not self._idle.empty():
            reader = self._idle.get_nowait()
            if reader is not None:
                await reader.end()

    async def read(self, file: UploadFile, genes: GeneList) -> Cells:
        """The cells of a file.

        Parameters
        ----------
        file : UploadFile
        genes : GeneList
            Schema that the file must be on, in order.

        Raises
        ------
        Refusal
            400 with the reason, 413 for what is too large.
        """
        limits = self._limits
        header = json.dumps(
            {
                "n_genes": len(genes),
                "digest": genes.digest.hex(),
                "max_cells": limits.max_cells,
                "max_values": limits.max_values,
                "seconds": math.ceil(limits.read_seconds) + 5,
            }
        ).encode()
        reader = await self._idle.get()
        try:
            # Bytes are in memory only while a reader has them.
            await file.seek(0)
            content = await file.read()
            digest = await asyncio.to_thread(_digest, content)
            # A process may have been ended from outside; a file that ends two of them did it itself.
            for _ in range(2):
                if reader is None or not reader.alive:
                    reader = await _Reader.start(limits.max_reader_bytes)
                try:
                    async with asyncio.timeout(limits.read_seconds):
                        said, body = await reader.ask(header, content)
                    break
                except TimeoutError:
                    raise Refusal(
                        400, f"The uploaded file could not be read within {limits.read_seconds:g} seconds."
                    ) from None
                except (asyncio.IncompleteReadError, ConnectionError):
                    self.deaths += 1
                    _logger.warning("A process that was reading an upload died; it is replaced.")
                    await reader.end()
            else:
                raise Refusal(400, "The uploaded h5ad file is damaged: it can not be read.")
        except BaseException:
            # Whatever state it is in, it is not asked again.
            dead, reader = reader, None
            if dead is not None:
                await asyncio.shield(dead.end())
            raise
        finally:
            self._idle.put_nowait(reader)
        return _cells(said, body, genes.names, digest)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _cells(said: dict[str, Any], body: bytes, genes: Sequence[str], digest: bytes) -> Cells:
    if "status" in said:
        raise Refusal(said["status"], said["detail"])
    if "genes" in said:
        raise Refusal(400, _other_genes(said["genes"], genes))
    arrays, start = {}, 0
    for name, dtype, length in said["arrays"]:
        arrays[name] = np.frombuffer(body, dtype, length, start)
        start += arrays[name].nbytes
    counts = sp.csr_matrix(
        (arrays["data"], arrays["indices"], arrays["indptr"]), shape=(len(said["names"]), len(genes))
    )
    return Cells(said["names"], counts, arrays["totals"], digest)


def _other_genes(found: Sequence[str], genes: Sequence[str]) -> str:
    missing, extra = set(genes) - set(found), set(found) - set(genes)
    if not missing and not extra:
        how = "they are in another order" if len(found) == len(genes) else "some occur more than once"
    else:
        named = f", such as {sorted(extra)[0][:60]!r}" if extra else ""
        how = f"{len(missing)} are missing and {len(extra)} are not among them{named}"
    return (
        f"Expected `var` to list the {len(genes)} genes of the model's schema in order, found {len(found)}: "
        f"{how}. GET feature-schema/{{schema_name}} lists them."
    )
