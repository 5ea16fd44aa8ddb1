"""The checksums S3 stores with an object: how each is computed, combined and written in a header.

A CRC of a whole object is the combination of the CRCs of its ranges, so ranges may arrive in any order; the
SHA sums have no such rule and cover whole bodies only. awscrt is imported with the first CRC, not before.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK = 1 << 20  # bytes that stay in a core's cache between two sums over them

_Update: TypeAlias = "Callable[[Buffer, int], int]"
_Combine: TypeAlias = Callable[[int, int, int], int]


class _Native(Protocol):
    """The part of `awscrt.checksums` that is called. It releases the GIL while it computes."""

    def crc32c(self, input: Buffer, previous: int, /) -> int: ...
    def crc64nvme(self, input: Buffer, previous: int, /) -> int: ...
    def combine_crc32(self, a: int, b: int, length_b: int, /) -> int: ...
    def combine_crc32c(self, a: int, b: int, length_b: int, /) -> int: ...
    def combine_crc64nvme(self, a: int, b: int, length_b: int, /) -> int: ...


@cache
def _native() -> _Native:
    return cast(_Native, import_module("awscrt.checksums"))


def crc64nvme(buffer: Buffer, previous: int = 0) -> int:
    """Return the CRC-64/NVME of a C-contiguous buffer, continued from `previous`."""
    return _native().crc64nvme(buffer, previous)


def crc32c(buffer: Buffer, previous: int = 0) -> int:
    """Return the CRC-32C (Castagnoli) of a C-contiguous buffer, continued from `previous`."""
    return _native().crc32c(buffer, previous)


def combine_crc64nvme(a: int, b: int, length_b: int) -> int:
    """Return the CRC-64/NVME of two neighbouring pieces from theirs; `length_b` is the second's, in bytes."""
    return _native().combine_crc64nvme(a, b, length_b)


def combine_crc32c(a: int, b: int, length_b: int) -> int:
    """Return the CRC-32C of two neighbouring pieces from theirs; `length_b` is the second one's, in bytes."""
    return _native().combine_crc32c(a, b, length_b)


def _crc32(buffer: Buffer, previous: int) -> int:
    # zlib is as fast as awscrt here, and needs no import.
    return zlib.crc32(buffer, previous)


def _combine_crc32(a: int, b: int, length_b: int) -> int:
    return _native().combine_crc32(a, b, length_b)


def _sha1(buffer: Buffer, _: int) -> int:
    return int.from_bytes(hashlib.sha1(buffer, usedforsecurity=False).digest(), "big")


def _sha256(buffer: Buffer, _: int) -> int:
    return int.from_bytes(hashlib.sha256(buffer).digest(), "big")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of S3's checksum algorithms. `name` is S3's word for it, `width` the size of a sum in bytes.

    `header` is the lower-case header that carries a sum. A sum is an int, and 0 is the sum of nothing yet.
    """

    name: str
    width: int
    _update: _Update = field(repr=False)
    _combine: _Combine | None = field(default=None, repr=False)
    header: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Derive what is asked for with every body."""
        object.__setattr__(self, "header", f"x-amz-checksum-{self.name.lower()}")

    @property
    def combinable(self) -> bool:
        """Whether the sum of a whole follows from the sums of its pieces."""
        return self._combine is not None

    def update(self, buffer: Buffer, previous: int = 0) -> int:
        """Return the sum of a C-contiguous buffer, continued from `previous`, which SHA sums cannot be."""
        if previous and self._combine is None:
            raise ValueError(f"{self.name} cannot be continued: hash the whole body in one call")
        return self._update(buffer, previous)

    def combine(self, a: int, b: int, length_b: int) -> int:
        """Return the sum of two neighbouring pieces; `length_b` is the length of the second one, in bytes."""
        if self._combine is None:
            raise ValueError(f"{self.name} sums cannot be combined: hash the whole body in one call")
        return self._combine(a, b, length_b)

    def encode(self, value: int) -> str:
        """Return the sum as S3 writes it in headers and documents: big-endian bytes in base64."""
        return base64.b64encode(value.to_bytes(self.width, "big")).decode("ascii")

    def __reduce__(self) -> tuple[Callable[[str], Algorithm], tuple[str]]:
        return algorithm, (self.name,)


CRC64NVME = Algorithm("CRC64NVME", 8, crc64nvme, combine_crc64nvme)
CRC32C = Algorithm("CRC32C", 4, crc32c, combine_crc32c)
CRC32 = Algorithm("CRC32", 4, _crc32, _combine_crc32)
SHA256 = Algorithm("SHA256", 32, _sha256)
SHA1 = Algorithm("SHA1", 20, _sha1)

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {each.name: each for each in (CRC64NVME, CRC32C, CRC32, SHA256, SHA1)}
)
_STRONGEST_FIRST = tuple((each, each.header) for each in (CRC64NVME, CRC32C, CRC32))


def with_sha256(chosen: Algorithm, data: memoryview) -> tuple[int, str]:
    """Return a combinable sum of `data` and its SHA-256 in hex; each block is in the cache for the second of them."""
    if len(data) <= _BLOCK:
        return chosen.update(data), hashlib.sha256(data).hexdigest()
    crc, sha = 0, hashlib.sha256()
    for at in range(0, len(data), _BLOCK):
        block = data[at : at + _BLOCK]
        sha.update(block)
        crc = chosen.update(block, crc)
    return crc, sha.hexdigest()


def algorithm(name: str) -> Algorithm:
    """Return the algorithm of S3's name, in any case. An unknown one is a `ValueError` with the list."""
    found = ALGORITHMS.get(name.upper())
    if found is None:
        raise ValueError(f"unknown checksum algorithm {name!r}: use one of {', '.join(ALGORITHMS)}")
    return found


def stored_checksum(headers: Mapping[str, str]) -> tuple[Algorithm, str] | None:
    """Return the strongest combinable sum of the whole object that the lower-case headers tell, or None.

    A sum of sums is not one: S3 marks it with the type COMPOSITE or with the number of parts after a dash.
    """
    if headers.get("x-amz-checksum-type", "FULL_OBJECT").upper() != "FULL_OBJECT":
        return None
    for each, header in _STRONGEST_FIRST:
        value = headers.get(header)
        if value and "-" not in value:
            return each, value
    return None
