"""A reader that keeps what it has read: any position that was passed can be read again at no cost."""

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
from s3dlio_compat.s3torchconnector.streams import Stream, stream_of

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SequentialS3Reader(ObjectReader):
    """Reads an object from its beginning, ahead of what is asked for and by many requests at once where it is large.

    `get_stream` opens the object, `get_object_info` tells its size when a seek needs it.
    """

    def __init__(self, bucket: str, key: str, get_object_info: GetObjectInfo, get_stream: GetStreamCallable) -> None:
        super().__init__(bucket, key)
        self._get_object_info = get_object_info
        self._get_stream = get_stream
        self._stream: Stream | None = None
        self._held: bytes | bytearray = b""
        self._size: int | None = None
        self._position = 0

    def prefetch(self) -> None:
        """Open the object, unless it is open."""
        self._opened()

    def read(self, size: int | None = None) -> bytes:
        """Return up to `size` bytes, or all that are left."""
        wanted = checked_size(size)
        if wanted == 0 or self._position == self._size:
            return b""
        end = None if wanted is None else self._position + wanted
        self._hold(end)
        end = len(self._held) if end is None else min(end, len(self._held))
        start, self._position = self._position, max(self._position, end)
        if start == 0 and end == len(self._held) and isinstance(self._held, bytes):
            return self._held
        return bytes(memoryview(self._held)[start:end])

    def readinto(self, buf: Buffer, /) -> int:
        """Fill a writable buffer as far as there are bytes."""
        target = memoryview(buf).cast("B")
        if target.readonly:
            raise TypeError(f"argument must be a writable bytes-like object, not {type(buf).__name__}")
        if self._position == self._size:
            return 0
        self._hold(self._position + len(target))
        data = memoryview(self._held)[self._position : self._position + len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset in bytes, at most to the end; what lies before it is read."""
        target = target_of(offset, whence, self._position, self._whole)
        if whence != io.SEEK_END:
            self._hold(target)
        self._position = target if self._size is None else min(target, self._size)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def _whole(self) -> int:
        if self._size is None:
            self._size = self._get_object_info().size
        return self._size

    def _opened(self) -> Stream:
        if self._stream is None:
            self._stream = stream_of(self._get_stream())
        return self._stream

    def _hold(self, end: int | None) -> None:
        """Read until `end` is held, or everything."""
        if end is not None and len(self._held) >= min(end, self._size if self._size is not None else end):
            return
        missing = None if end is None else end - len(self._held)
        data = self._opened().take(missing)
        if missing is None or len(data) < missing:
            self._size = len(self._held) + len(data)
        if not self._held:
            self._held = data
            return
        if isinstance(self._held, bytes):
            self._held = bytearray(self._held)
        self._held += data
