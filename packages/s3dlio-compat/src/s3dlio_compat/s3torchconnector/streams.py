"""Bytes of one version of an object, in order: what readers draw from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

from s3dlio_compat.s3torchconnector.exceptions import translated

_FIRST = 8 << 20  # bytes; doubled with each piece, so that a long stream is read by many requests at once
_LARGEST = 128 << 20


class Opened(Protocol):
    """One version of an object, open for reading. What goes wrong is an error of s3dlio."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    def read_bytes(self, offset: int = 0, length: int | None = None) -> bytes:
        """Return up to `length` bytes from an offset on, or all that follow."""
        ...

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill memory from an offset on; return how many bytes there were."""
        ...


class OneVersion:
    """Opens an object once: all streams of a reader draw from one version. In another process it opens it anew."""

    def __init__(self, open_source: Callable[[], Opened]) -> None:
        self._open_source = open_source
        self._source: Opened | None = None

    def __call__(self) -> Opened:
        """Return the open object."""
        if self._source is None:
            self._source = self._open_source()
        return self._source

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Pickle what opens it."""
        return OneVersion, (self._open_source,)


class Stream(Protocol):
    """Where bytes come from."""

    def take(self, least: int | None) -> bytes:
        """Return the next bytes: `least` or more of them, all if it is None, fewer only at the end."""
        ...

    def fill(self, target: memoryview) -> int:
        """Fill memory with the next bytes; return how many there were."""
        ...


class ObjectStream:
    """A range of an object as an iterator over pieces; every piece is of the version that the first one came from."""

    def __init__(self, open_source: Callable[[], Opened], start: int | None = None, end: int | None = None) -> None:
        self._open_source = open_source
        self._source: Opened | None = None
        self._at = start or 0
        self._end = end
        self._step = _FIRST

    def __iter__(self) -> Iterator[bytes]:
        """Return itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next piece."""
        piece = self.take(0)
        if not piece:
            raise StopIteration
        return piece

    def take(self, least: int | None) -> bytes:
        """Return the next bytes, received in place."""
        length = None if self._end is None else self._end - self._at
        if least is not None:
            wanted = max(least, self._step)
            length = wanted if length is None else min(length, wanted)
        if length is not None and length <= 0:
            return b""
        self._step = min(2 * self._step, _LARGEST)
        with translated():
            piece = self._opened().read_bytes(self._at, length)
        self._at += len(piece)
        return piece

    def fill(self, target: memoryview) -> int:
        """Fill memory with the next bytes, received in place."""
        if self._end is not None:
            target = target[: max(0, self._end - self._at)]
        with translated():
            count = self._opened().read_into(self._at, target)
        self._at += count
        return count

    def _opened(self) -> Opened:
        if self._source is None:
            self._source = self._open_source()
        return self._source

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse: half a stream is no use to another process."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")


class Pieces:
    """Any iterable of bytes as a `Stream`."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def take(self, least: int | None) -> bytes:
        """Return the next pieces, joined."""
        taken: list[bytes] = []
        count = 0
        for piece in self._pieces:
            taken.append(piece)
            count += len(piece)
            if least is not None and count >= least:
                break
        return b"".join(taken)

    def fill(self, target: memoryview) -> int:
        """Copy the next bytes."""
        data = memoryview(self.take(len(target)))
        count = min(len(data), len(target))
        target[:count] = data[:count]
        if count < len(data):
            self._pieces = chain([bytes(data[count:])], self._pieces)
        return count


def stream_of(pieces: Iterable[bytes]) -> Stream:
    """Return what `get_stream` gave as a `Stream`."""
    return pieces if isinstance(pieces, ObjectStream) else Pieces(pieces)
