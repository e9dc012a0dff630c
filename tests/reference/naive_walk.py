"""Random walks step by step on a generator written out from the description of ChaCha."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_MASK = 0xFFFFFFFF


def _quarter(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[first] = (x[first] + x[second]) & _MASK
        mixed = x[third] ^ x[first]
        x[third] = ((mixed << bits) | (mixed >> (32 - bits))) & _MASK


def chacha8(key: bytes) -> Iterator[int]:
    """32-bit words of the ChaCha stream with 8 rounds, a 64-bit counter from 0 and nonce 0."""
    constants = [int.from_bytes(b"expand 32-byte k"[i : i + 4], "little") for i in range(0, 16, 4)]
    words = [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
    counter = 0
    while True:
        start = [*constants, *words, counter & _MASK, counter >> 32, 0, 0]
        x = list(start)
        for _ in range(4):
            for column in range(4):
                _quarter(x, column, column + 4, column + 8, column + 12)
            for i in range(4):
                _quarter(x, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12)
        yield from ((a + b) & _MASK for a, b in zip(x, start, strict=True))
        counter += 1


def numbers(seed: int) -> Iterator[int]:
    """64-bit numbers of the stream whose key is the seed: low word first."""
    words = chacha8((seed % 2**64).to_bytes(8, "little") + bytes(24))
    while True:
        low = next(words)
        yield low | next(words) << 32


def walk(
    T: np.ndarray,
    starts: Sequence[int],
    stops: Sequence[bool] | None,
    *,
    max_steps: int,
    successive_hits: int,
    seed: int,
) -> list[int]:
    """One walk on a dense transition matrix."""
    rng = numbers(seed)
    cells = [int(starts[next(rng) * len(starts) >> 64])]
    in_a_row = 0
    while len(cells) <= max_steps and in_a_row <= successive_hits:
        sums = np.cumsum(T[cells[-1]])
        share = (next(rng) >> 11) * 2.0**-53
        cells.append(int(np.argmax(sums > share * sums[-1])))
        in_a_row = in_a_row + 1 if stops is not None and stops[cells[-1]] else 0
    return cells
