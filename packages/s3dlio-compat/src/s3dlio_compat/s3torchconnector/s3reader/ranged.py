"""A reader that asks for the ranges it needs, with a buffer for the small ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from s3dlio_compat.s3torchconnector.s3reader.base import (
    GetObjectInfo,
    GetStreamCallable,
    ObjectReader,
    checked_size,
    target_of,
)
from s3dlio_compat.s3torchconnector.streams import stream_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

DEFAULT_BUFFER_SIZE = 8 << 20


class RangedS3Reader(ObjectReader):
    """Reads ranges of an object as they are asked for; seeking costs nothing.

    A read below `buffer_size` bytes fetches as many and is served from them; one above goes straight into its result.
    With `buffer_size=0` every read is a request; None means 8 MiB.
    """

    def __init__(
        self,
        bucket: str,
        key: str,
        get_object_info: GetObjectInfo,
        get_stream: GetStreamCallable,
        buffer_size: int | None = None,
    ) -> None:
        super().__init__(bucket, key)
        self._get_object_info = get_object_info
        self._get_stream = get_stream
        self._buffer_size = DEFAULT_BUFFER_SIZE if buffer_size is None else buffer_size
        self._buffer = b""
        self._buffer_start = 0
        self._size: int | None = None
        self._position = 0

    def read(self, size: int | None = None) -> bytes:
        """Return up to `size` bytes, or all that are left."""
        wanted = checked_size(size)
        rest = max(0, self._whole() - self._position)
        wanted = rest if wanted is None else min(wanted, rest)
        if not wanted:
            return b""
        start = self._position
        self._position += wanted
        if self._is_buffered(start, wanted):
            at = start - self._buffer_start
            return self._buffer[at : at + wanted]
        if wanted < self._buffer_size:
            self._load(start)
            return self._buffer[:wanted]
        return stream_of(self._get_stream(start, start + wanted)).take(None)

    def readinto(self, buf: Buffer, /) -> int:
        """Fill a writable buffer as far as there are bytes, directly if it is a large one."""
        try:
            target = memoryview(buf).cast("B")
        except TypeError:
            target = memoryview(b"")
        if target.readonly:
            raise TypeError(f"argument must be a writable bytes-like object, not {type(buf).__name__}")
        target = target[: max(0, self._whole() - self._position)]
        if not len(target):
            return 0
        start, count = self._position, len(target)
        self._position += count
        if not self._is_buffered(start, count) and count < self._buffer_size:
            self._load(start)
        if self._is_buffered(start, count):
            at = start - self._buffer_start
            target[:] = memoryview(self._buffer)[at : at + count]
            return count
        return stream_of(self._get_stream(start, start + count)).fill(target)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset in bytes, at most to the end; nothing is read."""
        target = target_of(offset, whence, self._position, self._whole)
        self._position = min(target, self._whole())
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def _whole(self) -> int:
        if self._size is None:
            self._size = self._get_object_info().size
        return self._size

    def _is_buffered(self, start: int, count: int) -> bool:
        return self._buffer_start <= start and start + count <= self._buffer_start + len(self._buffer)

    def _load(self, start: int) -> None:
        end = min(start + self._buffer_size, self._whole())
        self._buffer = stream_of(self._get_stream(start, end)).take(None)
        self._buffer_start = start
