"""Matrices as users get them wrong: other forms of the same numbers, and contradicting arrays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp


@dataclass
class Broken:
    """What the core reads of a sparse matrix, with nothing checked by scipy."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple
    format: str = "csr"
    dtype: type = float


def gaps(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def unaligned(a):
    out = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def frozen(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def with_arrays(m, *, data=None, index=None):
    """`m` with its arrays passed through a function; scipy's constructor would undo it."""
    out = m.copy()
    out.data = (data or np.copy)(m.data)
    out.indices, out.indptr = (index or np.copy)(m.indices), (index or np.copy)(m.indptr)
    return out


def unsorted(m):
    out = m.copy()
    for begin, end in itertools.pairwise(m.indptr):
        out.indices[begin:end] = m.indices[begin:end][::-1]
        out.data[begin:end] = m.data[begin:end][::-1]
    out.has_sorted_indices = False
    return out


def repeated(m):
    """Every value as two halves in the same place."""
    return Broken(np.repeat(m.data / 2, 2), np.repeat(m.indices, 2), m.indptr * 2, m.shape, dtype=m.dtype)


# The same numbers in another form: an error or the same answer.
FORMS = {
    "int64 indices and pointers": lambda m: with_arrays(m, index=lambda a: a.astype(np.int64)),
    "int64 pointers, int32 indices": lambda m: Broken(
        m.data, m.indices, m.indptr.astype(np.int64), m.shape, dtype=m.dtype
    ),
    "int32 pointers, int64 indices": lambda m: Broken(
        m.data, m.indices.astype(np.int64), m.indptr, m.shape, dtype=m.dtype
    ),
    "int16 indices": lambda m: with_arrays(m, index=lambda a: a.astype(np.int16)),
    "unsigned indices": lambda m: with_arrays(m, index=lambda a: a.astype(np.uint32)),
    "big-endian values": lambda m: with_arrays(m, data=lambda a: a.astype(a.dtype.newbyteorder(">"))),
    "gaps between values": lambda m: with_arrays(m, data=gaps),
    "gaps between indices": lambda m: with_arrays(m, index=gaps),
    "backward values": lambda m: with_arrays(m, data=lambda a: a[::-1].copy()[::-1]),
    "unaligned": lambda m: with_arrays(m, data=unaligned, index=unaligned),
    "read-only": lambda m: with_arrays(m, data=frozen, index=frozen),
    "unsorted": unsorted,
    "repeated": repeated,
    "sparse array": sp.csr_array,
    "CSC": sp.csc_matrix,
    "COO": sp.coo_matrix,
    "BSR": sp.bsr_matrix,
    "LIL": sp.lil_matrix,
    "float32": lambda m: m.astype(np.float32),
    "integer": lambda m: m.astype(np.int64),
    "complex": lambda m: m.astype(np.complex128),
    "dense": lambda m: m.toarray(),
    "Fortran order": lambda m: np.asfortranarray(m.toarray()),
    "numpy matrix": lambda m: m.todense(),
}
# Nothing that could be meant: always an error. Each changes some parts of a matrix of four rows.
WRONG = {
    "pointers start late": lambda p: {"indptr": p.indptr + 1},
    "pointers decrease": lambda p: {"indptr": p.indptr[[0, 2, 1, 3, 4]]},
    "negative pointers": lambda p: {"indptr": p.indptr * np.array([1, -1, 1, 1, 1], dtype=np.int32)},
    "pointers end late": lambda p: {"indptr": p.indptr + np.array([0, 0, 0, 0, 1], dtype=np.int32)},
    "pointers end early": lambda p: {"indptr": p.indptr - np.array([0, 0, 0, 0, 1], dtype=np.int32)},
    "pointers too few": lambda p: {"indptr": p.indptr[[0, 1, 2, 4]]},
    "no pointers": lambda p: {"indptr": p.indptr[:0]},
    "column too large": lambda p: {"indices": np.where(p.indices == 2, p.shape[1], p.indices)},
    "column far too large": lambda p: {"indices": np.where(p.indices == 2, 2**31 - 1, p.indices)},
    "column beyond int32": lambda p: {"indices": p.indices + np.int64(2**32)},
    "negative column": lambda p: {"indices": p.indices - np.int32(1)},
    "too few columns": lambda p: {"indices": p.indices[:-1]},
    "too few values": lambda p: {"data": p.data[:-1]},
    "no values": lambda p: {"data": None},
    "2-D values": lambda p: {"data": p.data[:, None]},
    "text": lambda p: {"data": p.data.astype(str)},
    "too many rows": lambda p: {"shape": (len(p.indptr), p.shape[1])},
    "most rows": lambda p: {"shape": (2**64 - 1, p.shape[1])},
    "negative rows": lambda p: {"shape": (-1, p.shape[1])},
    "most columns": lambda p: {"shape": (len(p.indptr) - 1, 2**64 - 1)},
    "columns beyond int32": lambda p: {"shape": (len(p.indptr) - 1, 2**40)},
    "no shape": lambda p: {"shape": None},
    "another format": lambda p: {"format": "csc"},
}


def broken(m, change):
    """`m` with some of its parts changed behind the back of scipy."""
    whole = Broken(m.data, m.indices, m.indptr, m.shape, dtype=m.dtype)
    return replace(whole, **change(whole))


# Dense matrices: an error or the same answer.
ORDERS = {
    "Fortran order": np.asfortranarray,
    "gaps between columns": gaps,
    "gaps between rows": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "unaligned": unaligned,
    "big-endian": lambda x: x.astype(">f8"),
    "read-only": frozen,
    "integer": lambda x: x.astype(int),
    "float16": lambda x: x.astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "objects": lambda x: x.astype(object),
    "list": lambda x: x.tolist(),
    "matrix": np.asmatrix,
    "masked": np.ma.masked_array,
}
