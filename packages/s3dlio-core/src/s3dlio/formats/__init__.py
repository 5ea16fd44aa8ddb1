"""Formats: how samples lie in files, and what every reader of them shares.

A reader never copies what it can share: what it returns are slices of the memory it was given. It believes no number
of a file before that number fits the file's real size, and it runs nothing that a file brings along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from s3dlio.buffer import BytesView
from s3dlio.errors import IntegrityError

if TYPE_CHECKING:
    from typing_extensions import Buffer

Bytes: TypeAlias = BytesView | memoryview
"""A slice: a `BytesView` of a `BytesView`, a memoryview of anything else."""

Read: TypeAlias = "Callable[[int, int], Buffer]"
"""A call that returns a range of a file, by offset and length."""

_WINDOW = 8 << 20
_GLANCE = 64 << 10  # read where a header is wanted and a large payload is likely to follow
_COMPRESSED = {
    "gzip": (b"\x1f\x8b",),
    "zlib": (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
    "bzip2": (b"BZh",),
    "xz": (b"\xfd7zXZ",),
    "zstd": (b"\x28\xb5\x2f\xfd",),
}


def flat(data: Buffer) -> memoryview:
    """Return the bytes of C-contiguous memory as a memoryview, without a copy."""
    return memoryview(data).cast("B")


def sliceable(data: Buffer) -> Bytes:
    """Return what slices of `data` are taken from, without a copy."""
    return data if isinstance(data, BytesView) else flat(data)


def damaged(name: str, offset: int, what: str) -> IntegrityError:
    """Return the error for bytes that are not what the format asks for."""
    return IntegrityError(f"{name}: byte {offset}: {what}", name)


def unsupported(name: str, offset: int, what: str) -> ValueError:
    """Return the error for bytes that the format allows and that are not read here."""
    return ValueError(f"{name}: byte {offset}: {what}")


def compression(start: Buffer) -> str | None:
    """Return what a file that starts like this seems to be compressed with."""
    head = bytes(flat(start)[:6])
    return next((kind for kind, magic in _COMPRESSED.items() if head.startswith(magic)), None)


class Window:
    """A file of known size that is read from front to back in large ranges, whatever is skipped.

    `base` is where the file begins in the one that messages name.
    """

    def __init__(self, read: Read, size: int, name: str, base: int = 0) -> None:
        self._read = read
        self.size = size
        self._name = name
        self._base = base
        self._memory = memoryview(b"")
        self._start = self._last = 0

    @classmethod
    def over(cls, data: Buffer, name: str, base: int = 0) -> Window:
        """Return a window on a file in memory."""
        memory = flat(data)
        return cls(lambda offset, length: memory[offset : offset + length], len(memory), name, base)

    def take(self, offset: int, length: int, what: str) -> memoryview:
        """Return `length` bytes from an offset on; `what` tells what they are, should the file end before."""
        at = offset - self._start
        if at < 0 or at + length > len(self._memory):
            self._move(offset, length, what)
            at = 0
        self._last = offset
        return self._memory[at : at + length]

    def _move(self, offset: int, length: int, what: str) -> None:
        left = self.size - offset
        if length > left:
            raise self.damaged(offset, f"the file is cut off: {what} has {length} bytes, and {left} are left")
        usual = _GLANCE if offset - self._last > _WINDOW else _WINDOW
        wanted = min(max(usual, length), left)
        self._memory, self._start = flat(self._read(offset, wanted)), offset
        if len(self._memory) != wanted:
            raise self.damaged(offset, f"{len(self._memory)} bytes came where {wanted} were asked for")

    def damaged(self, offset: int, what: str) -> IntegrityError:
        """Return the error for damage at an offset."""
        return damaged(self._name, self._base + offset, what)

    def unsupported(self, offset: int, what: str) -> ValueError:
        """Return the error for something at an offset that is not read here."""
        return unsupported(self._name, self._base + offset, what)
