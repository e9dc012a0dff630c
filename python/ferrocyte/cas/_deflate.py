"""Arrays of numbers as HDF5's shuffle and deflate filters store them, compressed with an eye on each byte.

The shuffle filter puts all first bytes of the numbers together, then all second ones, and so on. These
planes are of different kinds: low bytes of gene positions look random, high ones hardly change, counts have
few values. Searching for repeats, which is what takes the time of deflate, pays in some planes and not in
others, so each gets the strategy that does best on a piece of it. The planes become one zlib stream: parts
of raw deflate data that end on a byte and do not refer to each other may follow one another (RFC 1950, 1951).
"""

from __future__ import annotations

import zlib
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


def _raw(plane: memoryview, strategy: int, last: bool) -> bytes:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, 9, strategy)
    return compressor.compress(plane) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)


def _strategy(plane: memoryview) -> int:
    """What compresses a piece from the middle well enough."""
    start = max(0, (len(plane) - _PIECE) // 2)
    piece = plane[start : start + _PIECE]
    best, smallest = _STRATEGIES[0], len(_raw(piece, _STRATEGIES[0], True))
    for strategy in _STRATEGIES[1:]:
        size = len(_raw(piece, strategy, True))
        if size < _GAIN * smallest:
            best, smallest = strategy, size
    return best


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
        parts.append(_raw(plane, _strategy(plane), last=k == width - 1))
    parts.append(zlib.adler32(shuffled).to_bytes(4, "big"))
    return b"".join(parts)
