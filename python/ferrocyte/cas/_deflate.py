"""Arrays of numbers as HDF5's shuffle and deflate filters store them, compressed with an eye on each byte.

The shuffle filter puts all first bytes of the numbers together, then all second ones, and so on. These
planes are of different kinds: low bytes of gene positions look random, high ones hardly change, counts have
few values. Searching for repeats, which is what takes the time of deflate, pays in some planes and not in
others, so each gets the strategy that does best on a piece of it: planes of zeros, half of all, are put
together from a block made beforehand, and planes like noise are stored as they are. The planes become one
zlib stream: parts of raw deflate data that end on a byte and do not refer to each other may follow one
another (RFC 1950, 1951).
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVEL", "shuffle_deflate"]

LEVEL = 1
_PIECE = 1 << 15
# From the fastest to the slowest; a slower one has to be this much smaller.
_STRATEGIES = (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY)
_GAIN = 0.95
# Names have many planes, and little in each.
_WIDEST = 8
_HEADER = b"\x78\x01"  # deflate, window of 32 kB, fastest
# Noise: what codes for single bytes alone do not make smaller than this is stored.
_NOISE = 0.95
_STORED = 0
_ZEROS = 1 << 16
# An empty last block of fixed codes, which ends a stream.
_END = b"\x03\x00"


def _raw(plane: memoryview | bytes, strategy: int, level: int = LEVEL) -> bytes:
    """Raw deflate data that end on a byte and refer to nothing before them; more may follow."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return compressor.compress(plane) + compressor.flush(zlib.Z_FULL_FLUSH)


@cache
def _zeros(n: int) -> bytes:
    return _raw(bytes(n), zlib.Z_RLE)


def _packed(plane: memoryview) -> bytes:
    """One plane, by what compresses a piece from its middle well enough."""
    if not np.frombuffer(plane, dtype=np.uint8).any():
        blocks, rest = divmod(len(plane), _ZEROS)
        return _zeros(_ZEROS) * blocks + (_raw(bytes(rest), zlib.Z_RLE) if rest else b"")
    start = max(0, (len(plane) - _PIECE) // 2)
    piece = plane[start : start + _PIECE]
    best, smallest = _STRATEGIES[0], len(_raw(piece, _STRATEGIES[0]))
    if smallest > _NOISE * len(piece):
        # A search for repeats would still find some; it takes as long as all other planes together.
        return _raw(plane, zlib.Z_DEFAULT_STRATEGY, _STORED)
    for strategy in _STRATEGIES[1:]:
        size = len(_raw(piece, strategy))
        if size < _GAIN * smallest:
            best, smallest = strategy, size
    return _raw(plane, best)


def shuffle_deflate(array: NDArray[Any]) -> bytes:
    """A whole 1-D array as one chunk of an HDF5 dataset with the filters shuffle and gzip.

    Parameters
    ----------
    array : array
        Not empty.

    Returns
    -------
    bytes
        A zlib stream.
    """
    width = array.dtype.itemsize
    shuffled = np.ascontiguousarray(array).view(np.uint8).reshape(-1, width).T.tobytes()
    if width > _WIDEST:
        return zlib.compress(shuffled, LEVEL)
    view, length = memoryview(shuffled), array.size
    parts = [_HEADER]
    for k in range(width):
        plane = view[k * length : (k + 1) * length]
        parts.append(_packed(plane))
    parts.append(_END)
    parts.append(zlib.adler32(shuffled).to_bytes(4, "big"))
    return b"".join(parts)
