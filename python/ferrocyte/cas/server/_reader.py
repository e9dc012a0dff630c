"""Reads uploaded h5ad files in a process of its own, which may be ended at any time.

HDF5 is a format with pointers, and what is uploaded may be anything: a file may crash the library, never end,
or grow without bounds. So it is opened here, under a limit of memory, by a program that knows numpy and h5py
and nothing else, holds nothing worth taking, and is replaced if it dies (see `_uploads`). It is run as a
script: nothing of the package is imported.

What comes in on standard input, again and again: the lengths of header and file (two little-endian uint64),
the header (JSON: limits, `digest` and `n_genes` of the schema), the file. What goes out: the lengths of
header and arrays, the header (JSON: `status` and `detail`, or `names` and the dtype and length of each
array), the arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

# Filters that anndata writes: deflate, shuffle, fletcher32, lzf. Others may be plug-ins, that is, code.
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
LONGEST_NAME = 4096
STRINGS_AT_A_TIME = 4096
# Memory that any file may take beyond its own bytes, and then for each value of X that it declares: what is
# packed in it can not grow for long.
ANY_FILE, EACH_VALUE = 256 * 2**20, 80


class Refused(Exception):  # noqa: N818 - an answer, not a defect
    """A file that is not read, and why.

    Attributes
    ----------
    status : int
        HTTP status: 400 for what is wrong, 413 for what is too large.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


# Parts of a file --------------------------------------------------------------------------------------


def child(group: Any, name: str, where: str) -> Any:
    """What is called `name` in a group of this very file."""
    if not isinstance(group, h5py.Group):
        raise Refused(400, f"Expected {where or 'the file'} to be an HDF5 group, found something else.")
    path = f"{where}/{name}".lstrip("/")
    if not name or "/" in name or name in (".", ".."):
        raise Refused(400, f"Expected the name of something in {where!r}, found {name!r}.")
    link = group.get(name, getlink=True) if name in group or _is_link(group, name) else None
    if link is None:
        raise Refused(400, f"Expected {path!r} in the uploaded h5ad file; it is not there.")
    if not isinstance(link, h5py.HardLink):
        raise Refused(
            400, f"{path!r} is a {type(link).__name__}; links are not followed. Write the data itself."
        )
    return group[name]


def _is_link(group: h5py.Group, name: str) -> bool:
    """Also for links that lead nowhere, which `in` does not see."""
    return bool(group.id.links.exists(name.encode()))


def array(item: Any, path: str, *, ndim: int = 1) -> h5py.Dataset:
    """A dataset whose bytes are in this file, packed with filters that are known."""
    if not isinstance(item, h5py.Dataset):
        raise Refused(400, f"Expected {path!r} to be an HDF5 dataset, found a group.")
    plist = item.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise Refused(400, f"{path!r} lies in other files; only data in the uploaded file are read.")
    for i in range(plist.get_nfilters()):
        code = plist.get_filter(i)[0]
        if code not in FILTERS:
            known = ", ".join(FILTERS.values())
            raise Refused(400, f"{path!r} is packed with HDF5 filter {code}; the service reads {known}.")
    if item.shape is None or len(item.shape) != ndim:
        raise Refused(400, f"Expected {path!r} to have {ndim} dimension(s), found shape {item.shape}.")
    return item


def integers(item: Any, path: str, n: int | None, most: int) -> NDArray[np.int64]:
    """A vector of whole numbers."""
    dataset = array(item, path)
    if dataset.dtype.kind not in "iu" or dataset.dtype.itemsize > 8:
        raise Refused(400, f"Expected {path!r} to be integers, found {dataset.dtype}.")
    check_length(dataset, path, n, most)
    values = dataset[...]
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        raise Refused(400, f"{path!r} has numbers beyond 2**63.")
    return values.astype(np.int64, copy=False)


def floats(item: Any, path: str, n: int | None, most: int) -> NDArray[np.float32]:
    """A vector of float32."""
    dataset = array(item, path)
    check_float32(dataset, path)
    check_length(dataset, path, n, most)
    return dataset[...]


def check_float32(dataset: h5py.Dataset, path: str) -> None:
    if dataset.dtype != np.dtype("<f4"):
        raise Refused(400, f"Expected {path!r} as float32, found {dataset.dtype}.")


def check_length(dataset: h5py.Dataset, path: str, n: int | None, most: int) -> None:
    if n is not None and dataset.shape[0] != n:
        raise Refused(400, f"Expected {path!r} to have {n} entries, found {dataset.shape[0]}.")
    if dataset.shape[0] > most:
        raise Refused(413, f"{path!r} has {dataset.shape[0]} entries; the service takes {most} at a time.")


def strings(item: Any, path: str, n: int | None, most: int) -> list[str]:
    """A vector of text, whichever way anndata wrote it."""
    if isinstance(item, h5py.Group):  # of pandas' nullable strings
        item = child(item, "values", path)
    dataset = array(item, path)
    kind = h5py.check_string_dtype(dataset.dtype)
    if kind is None:
        raise Refused(400, f"Expected {path!r} to be strings, found {dataset.dtype}.")
    check_length(dataset, path, n, most)
    if kind.length is None:
        # Each may lead to a piece of text of any length, and all of them to the same one.
        found: list[bytes] = []
        for start in range(0, dataset.shape[0], STRINGS_AT_A_TIME):
            block = dataset[start : start + STRINGS_AT_A_TIME].tolist()
            if any(len(name) > LONGEST_NAME for name in block):
                raise Refused(400, f"{path!r} has a name of more than {LONGEST_NAME} bytes.")
            found.extend(block)
    else:
        if kind.length > LONGEST_NAME or kind.length * dataset.shape[0] > LONGEST_NAME * 8192:
            raise Refused(400, f"{path!r} has names of {kind.length} bytes, more than {LONGEST_NAME}.")
        found = dataset[...].tolist()
    try:
        return [name if isinstance(name, str) else name.decode() for name in found]
    except UnicodeDecodeError:
        raise Refused(400, f"Expected {path!r} to be UTF-8 text, found other bytes.") from None


def attribute(item: Any, name: str, path: str, n: int | None = None) -> Any:
    """A small attribute: a string, or `n` integers."""
    if name not in item.attrs:
        raise Refused(400, f"Expected the attribute {name!r} of {path!r}; it is not there.")
    found = item.attrs.get_id(name)
    if n is None:
        if found.shape != () or h5py.check_string_dtype(found.dtype) is None or found.dtype.itemsize > 4096:
            raise Refused(400, f"Expected the attribute {name!r} of {path!r} to be a string.")
        value = item.attrs[name]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise Refused(400, f"Expected the attribute {name!r} of {path!r} to be {n} integers.")
    return [int(value) for value in item.attrs[name]]


def index(frame: Any, path: str, n: int | None, most: int) -> list[str]:
    """Row names of a data frame."""
    if not isinstance(frame, h5py.Group):
        raise Refused(
            400, f"Expected {path!r} as anndata 0.7 or later writes it, found another kind of object."
        )
    name = attribute(frame, "_index", path)
    return strings(child(frame, name, path), f"{path}/{name}", n, most)


# Counts -----------------------------------------------------------------------------------------------


def counts(item: Any, shape: tuple[int, int], most: int) -> dict[str, NDArray[Any]]:
    """X as CSR with columns in order, from CSR, CSC or dense."""
    if isinstance(item, h5py.Dataset):
        return from_dense(array(item, "X", ndim=2), shape, most)
    kind = attribute(item, "encoding-type", "X")
    if kind not in ("csr_matrix", "csc_matrix"):
        raise Refused(400, f"Expected X as csr_matrix, csc_matrix or a dense array, found {kind!r}.")
    declared = tuple(attribute(item, "shape", "X", 2))
    if declared != shape:
        raise Refused(400, f"Expected X of shape {shape}, cells by genes, found {declared}.")
    rows, columns = shape if kind == "csr_matrix" else shape[::-1]
    indptr = integers(child(item, "indptr", "X"), "X/indptr", rows + 1, rows + 1)
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise Refused(400, "X/indptr does not start at 0 or decreases: X is no valid sparse matrix.")
    n = int(indptr[-1])
    if n <= most:
        allow(ANY_FILE + n * EACH_VALUE)
    data = floats(child(item, "data", "X"), "X/data", n, most)
    indices = integers(child(item, "indices", "X"), "X/indices", n, most)
    if n and (indices.min() < 0 or indices.max() >= columns):
        raise Refused(400, f"X/indices leave the range 0 to {columns - 1}: X is no valid sparse matrix.")
    major = np.repeat(np.arange(rows), np.diff(indptr))
    row, column = (major, indices) if kind == "csr_matrix" else (indices, major)
    place = row * shape[1] + column
    if (np.diff(place) <= 0).any():
        order = np.argsort(place, kind="stable")
        data, column, place = data[order], column[order], place[order]
        if (np.diff(place) == 0).any():
            raise Refused(400, "A gene occurs twice in a cell of X: X is no valid sparse matrix.")
    lengths = np.bincount(row, minlength=shape[0])
    return as_csr(data, column, lengths)


def from_dense(dataset: h5py.Dataset, shape: tuple[int, int], most: int) -> dict[str, NDArray[Any]]:
    check_float32(dataset, "X")
    if dataset.shape != shape:
        raise Refused(400, f"Expected X of shape {shape}, cells by genes, found {dataset.shape}.")
    if shape[0] * shape[1] > most:
        raise Refused(413, f"X has {shape[0] * shape[1]} values; the service takes {most} at a time.")
    allow(ANY_FILE + shape[0] * shape[1] * EACH_VALUE)
    x = dataset[...]
    row, column = np.nonzero(x)
    return as_csr(x[row, column], column, np.bincount(row, minlength=shape[0]))


def as_csr(data: NDArray[Any], column: NDArray[Any], lengths: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {
        "data": np.ascontiguousarray(data, dtype=np.float32),
        "indices": column.astype(np.int32),
        "indptr": np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
    }


def read(content: bytes, asked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Cell names, and the arrays that describe their counts.

    Raises
    ------
    Refused
        With the reason.
    """
    try:
        file = h5py.File(h5py.h5f.open_file_image(content))
    except (OSError, ValueError, RuntimeError):
        raise Refused(
            400, "Expected `file` to be an h5ad (HDF5) file; it can not be opened as one."
        ) from None
    with file:
        obs = child(file, "obs", "")
        names = index(obs, "obs", None, asked["max_cells"])
        if not names:
            raise Refused(400, "Expected at least one cell, found none.")
        genes = index(child(file, "var", ""), "var", None, max(asked["n_genes"] * 2, 200_000))
        digest = hashlib.blake2b("\n".join(genes).encode(), digest_size=16).hexdigest()
        if len(genes) != asked["n_genes"] or digest != asked["digest"]:
            return {"genes": genes}, {}
        totals = child(obs, "total_mrna_umis", "obs")
        arrays = counts(child(file, "X", ""), (len(names), len(genes)), asked["max_values"])
        arrays["totals"] = floats(totals, "obs/total_mrna_umis", len(names), len(names))
        return {"names": names}, arrays


def answer(content: bytes, asked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """As `read`; everything that can be wrong with a file ends in a status and a detail."""
    try:
        # HDF5 makes a copy of the file.
        allow(ANY_FILE + 2 * len(content))
        return read(content, asked)
    except Refused as refused:
        return {"status": refused.status, "detail": refused.detail}, {}
    except MemoryError:
        return {"status": 413, "detail": "The uploaded file needs too much memory to be read."}, {}
    except Exception as err:  # whatever h5py makes of a damaged file
        kind = type(err).__name__
        return {"status": 400, "detail": f"The uploaded h5ad file is damaged ({kind} while reading it)."}, {}
    finally:
        allow(None)


# The process ------------------------------------------------------------------------------------------


def confine(extra_bytes: int) -> None:
    """No more memory than this beyond what the program itself takes, ever, and no core files."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if (now := taken()) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (now + extra_bytes, now + extra_bytes))


def allow(extra_bytes: int | None) -> None:
    """No more memory than this beyond what is taken now, until told otherwise; None for all of `confine`."""
    now = taken()
    if resource is None or now is None:
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    if most == resource.RLIM_INFINITY:  # nobody has confined this process
        return
    limit = most if extra_bytes is None else min(most, now + extra_bytes)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def taken() -> int | None:
    """Memory of this process; None where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def exactly(stream: BinaryIO, n: int) -> bytes:
    """n bytes; the process ends with its input."""
    data = stream.read(n)
    if len(data) < n:
        sys.exit(0)
    return data


def end_after(seconds: int) -> None:
    """End this process after so many seconds, wherever it is then; 0: do not."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def serve(source: BinaryIO, sink: BinaryIO, respond: Callable[..., Any] = answer) -> None:
    """Answer until the input ends."""
    while True:
        head, body = struct.unpack("<QQ", exactly(source, 16))
        asked = json.loads(exactly(source, head))
        content = exactly(source, body)
        # Should the service be gone by then, nobody else would end what never ends.
        end_after(asked["seconds"])
        said, arrays = respond(content, asked)
        end_after(0)
        said["arrays"] = [[name, a.dtype.str, len(a)] for name, a in arrays.items()]
        header = json.dumps(said).encode()
        sink.write(struct.pack("<QQ", len(header), sum(a.nbytes for a in arrays.values())))
        sink.write(header)
        for a in arrays.values():
            sink.write(a.data if a.size else b"")
        sink.flush()


if __name__ == "__main__":
    confine(int(sys.argv[1]))
    # Whatever a library prints must not get between the answers.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, out)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)
