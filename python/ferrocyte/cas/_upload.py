"""Counts of some cells on their way to the service, and the file they are sent as.

The service reads an h5ad file: X as CSR float32, the gene names, the cell names and the number of molecules
of each cell. Nothing else is in it. The list of genes is the same in every file and is most of a small one,
so it is compressed once; arrays are compressed outside of HDF5, whose lock would let only one thread do it.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ferrocyte import _core

__all__ = ["Counts", "GeneList", "Upload", "deflated"]

_LEVEL = 1
# Before 3.16, h5py writes chunks without its lock: what other threads do with HDF5 at that moment is spoiled.
_LOCK = nullcontext() if h5py.version.version_tuple >= (3, 16) else h5py._objects.phil


def deflated(array: NDArray[Any]) -> bytes:
    """A whole 1-D array, not empty, as one chunk of a dataset with the filters shuffle and gzip."""
    if array.dtype.itemsize == 4:
        return _core.shuffle_deflate(np.ascontiguousarray(array).view(np.uint32))
    # Names: few, and all alike.
    planes = np.ascontiguousarray(array).view(np.uint8).reshape(array.size, -1).T
    return zlib.compress(planes.tobytes(), _LEVEL)


def write_chunk(dataset: h5py.Dataset, chunk: bytes) -> None:
    """Store the only chunk of a 1-D dataset, compressed as it is, while no other thread uses HDF5."""
    with _LOCK:
        dataset.id.write_direct_chunk((0,), chunk)


@dataclass(frozen=True)
class _Packed:
    """A 1-D array as one compressed chunk of an HDF5 dataset."""

    dtype: Any
    length: int
    chunk: bytes | None

    @classmethod
    def of(cls, array: NDArray[Any], dtype: Any = None) -> _Packed:
        if array.size == 0 or array.dtype.itemsize == 0:
            return cls(dtype or array.dtype, array.size, None)
        return cls(dtype or array.dtype, array.size, deflated(array))

    def write(self, group: h5py.Group, name: str) -> h5py.Dataset:
        if self.chunk is None:
            return group.create_dataset(name, shape=(self.length,), dtype=self.dtype)
        dataset = group.create_dataset(
            name,
            shape=(self.length,),
            dtype=self.dtype,
            chunks=(self.length,),
            shuffle=True,
            compression="gzip",
            compression_opts=_LEVEL,
        )
        write_chunk(dataset, self.chunk)
        return dataset


def _strings(names: Sequence[str]) -> _Packed:
    encoded = np.array([name.encode() for name in names], dtype=bytes)
    width = max(encoded.dtype.itemsize, 1)
    return _Packed.of(encoded.astype(f"S{width}"), h5py.string_dtype("utf-8", width))


class GeneList:
    """The genes of a schema, in order, ready to be written into every file.

    Attributes
    ----------
    names : list of str
    digest : bytes
        Tells lists apart.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.digest = hashlib.blake2b("\n".join(self.names).encode(), digest_size=16).digest()
        self._packed: _Packed | None = None

    def __len__(self) -> int:
        return len(self.names)

    def packed(self) -> _Packed:
        """The names, compressed."""
        if self._packed is None:
            self._packed = _strings(self.names)
        return self._packed


@dataclass(frozen=True)
class Counts:
    """Rows of counts on the genes of a schema.

    Attributes
    ----------
    names : list of str
        One a cell, unique.
    genes : GeneList
    data, indices, indptr : array
        The CSR matrix, float32, int32, int64; columns sorted and unique.
    totals : array
        Molecules of each cell before genes were dropped, float32.
    """

    names: list[str]
    genes: GeneList
    data: NDArray[np.float32]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int64]
    totals: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Sequence[int]) -> Counts:
        """Some of the cells."""
        spans = [slice(self.indptr[i], self.indptr[i + 1]) for i in rows]
        lengths = [span.stop - span.start for span in spans]
        empty = slice(0, 0)
        return Counts(
            [self.names[i] for i in rows],
            self.genes,
            np.concatenate([self.data[span] for span in spans or [empty]]),
            np.concatenate([self.indices[span] for span in spans or [empty]]),
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            self.totals[np.asarray(rows, dtype=np.intp)],
        )

    def digests(self, context: bytes) -> list[str]:
        """A number for each cell that changes with its name, its counts, the genes, or `context`."""
        out = []
        base = hashlib.blake2b(context + self.genes.digest, digest_size=16)
        for i, name in enumerate(self.names):
            span = slice(self.indptr[i], self.indptr[i + 1])
            cell = base.copy()
            encoded = name.encode()
            cell.update(len(encoded).to_bytes(8, "little") + encoded)
            cell.update(self.totals[i : i + 1].tobytes())
            cell.update(self.indices[span].tobytes())
            cell.update(self.data[span].tobytes())
            out.append(cell.hexdigest())
        return out

    def to_h5ad(self) -> bytes:
        """The file that is sent."""
        narrow = np.int32 if len(self.data) < 2**31 else np.int64
        arrays = {
            "data": _Packed.of(self.data),
            "indices": _Packed.of(self.indices),
            "indptr": _Packed.of(self.indptr.astype(narrow)),
        }
        cells, totals = _strings(self.names), _Packed.of(self.totals)
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=("earliest", "v110")) as file:
            _mark(file, "anndata", "0.1.0")
            x = file.create_group("X")
            _mark(x, "csr_matrix", "0.1.0")
            x.attrs["shape"] = np.array([len(self), len(self.genes)], dtype=np.int64)
            for name, array in arrays.items():
                array.write(x, name)
            obs = _frame(file, "obs", cells, ["total_mrna_umis"])
            _mark(totals.write(obs, "total_mrna_umis"), "array", "0.2.0")
            _frame(file, "var", self.genes.packed(), [])
            for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
                _mark(file.create_group(name), "dict", "0.1.0")
        return buffer.getvalue()


def _mark(item: h5py.Group | h5py.Dataset, kind: str, version: str) -> None:
    """Say what it is, as anndata does."""
    item.attrs["encoding-type"] = kind
    item.attrs["encoding-version"] = version


def _frame(file: h5py.File, name: str, index: _Packed, columns: list[str]) -> h5py.Group:
    group = file.create_group(name)
    _mark(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs["column-order"] = np.array(columns, dtype=h5py.string_dtype("utf-8"))
    _mark(index.write(group, "_index"), "string-array", "0.2.0")
    return group


class Upload:
    """Counts on their way: made when they are needed, and again for another attempt.

    What waits for its turn, or for its answer, takes no memory; making counts and their file again takes some
    hundredths of a second.

    Parameters
    ----------
    make : callable
        Makes the counts, in a worker thread.
    n_cells : int
        How many cells they are of.
    executor : concurrent.futures.Executor
        Where the file is written.
    """

    def __init__(self, make: Callable[[], Counts], n_cells: int, executor: Executor) -> None:
        self._make = make
        self._executor = executor
        self.n_cells = n_cells
        self.was_made = False

    @property
    def counts(self) -> Counts:
        """The counts, for a transport that needs no file."""
        counts = self._make()
        self.was_made = True
        return counts

    async def h5ad(self) -> bytes:
        """The file; who takes it should let go of it when it is sent."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: self.counts.to_h5ad())
