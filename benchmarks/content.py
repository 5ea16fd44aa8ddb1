"""What the objects of the benchmarks hold: bytes that anyone can compute again from the size and the number.

Every MiB of every object begins with a stamp of its own, so a swapped object, range or part is seen.
"""

from __future__ import annotations

import random
import zlib
from functools import cache
from typing import Protocol, cast

_BLOCK = 1 << 20
_STAMP = 16


class Body(Protocol):
    """The bytes of one object, in whatever a client returns. `len` is their number.

    It has the buffer protocol too, which types can state from Python 3.12 on only.
    """

    def __len__(self) -> int: ...


@cache
def _pattern() -> bytes:
    return random.Random(20).randbytes(_BLOCK)


@cache
def _sum(length: int) -> int:
    """Return the CRC-32 of a block of that length without its stamp."""
    return zlib.crc32(_pattern()[_STAMP:length])


def _stamp(number: int, block: int) -> bytes:
    return number.to_bytes(_STAMP // 2, "big") + block.to_bytes(_STAMP // 2, "big")


def payload(size: int, number: int) -> bytes:
    """Return the `size` bytes of object `number`. They do not compress."""
    pattern = _pattern()
    whole = bytearray(pattern * (size // _BLOCK) + pattern[: size % _BLOCK])
    for block, start in enumerate(range(0, size, _BLOCK)):
        whole[start : start + _STAMP] = _stamp(number, block)[: size - start]
    return bytes(whole)


def holds(body: Body, size: int, number: int) -> bool:
    """Return whether these are the bytes of `payload(size, number)`, which is not made for it."""
    if len(body) != size:
        return False
    view = memoryview(cast("bytes", body)).cast("B")
    for block, start in enumerate(range(0, size, _BLOCK)):
        end = min(start + _BLOCK, size)
        if bytes(view[start : min(start + _STAMP, end)]) != _stamp(number, block)[: end - start]:
            return False
        if zlib.crc32(view[start + _STAMP : end]) != _sum(end - start):
            return False
    return True
