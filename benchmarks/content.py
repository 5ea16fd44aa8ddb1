"""What the objects of the benchmarks hold: bytes that anyone can compute again from the size and the number.

Every MiB of every object begins with a stamp of its own, so a swapped object, range or part changes the CRC.
"""

from __future__ import annotations

import random
from functools import cache

_BLOCK = 1 << 20
_STAMP = 16


@cache
def _pattern() -> bytes:
    return random.Random(20).randbytes(_BLOCK)


def payload(size: int, number: int) -> bytes:
    """Return the `size` bytes of object `number`. They do not compress."""
    pattern = _pattern()
    whole = bytearray(pattern * (size // _BLOCK) + pattern[: size % _BLOCK])
    for block, start in enumerate(range(0, size, _BLOCK)):
        stamp = number.to_bytes(_STAMP // 2, "big") + block.to_bytes(_STAMP // 2, "big")
        whole[start : start + _STAMP] = stamp[: size - start]
    return bytes(whole)
