"""What every reader is: a seekable binary stream over one object."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from s3dlio_compat.s3torchconnector.records import HeadObjectResult, ObjectInfo


class S3Reader(ABC, io.BufferedIOBase):
    """A binary stream over an object. Nothing is asked of the service before the first read. Not thread-safe."""

    @property
    @abstractmethod
    def bucket(self) -> str:
        """The bucket, or for other schemes the root of the URI."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The key of the object."""

    @abstractmethod
    def read(self, size: int | None = None) -> bytes:
        """Return up to `size` bytes, or all that are left; `b""` at the end."""

    @abstractmethod
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset in bytes, at most to the end, and return it."""

    @abstractmethod
    def tell(self) -> int:
        """Return the position in bytes."""

    @abstractmethod
    def readinto(self, buf: Buffer, /) -> int:
        """Fill a writable buffer as far as there are bytes; return how many."""

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readable(self) -> bool:
        """Say yes."""
        return True

    def writable(self) -> bool:
        """Say no."""
        return False


class ObjectReader(S3Reader):
    """A reader that knows its object by name.

    Raises:
        ValueError: no bucket.
    """

    def __init__(self, bucket: str, key: str) -> None:
        if not bucket:
            raise ValueError("Bucket should be specified")
        self._bucket = bucket
        self._key = key

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self._bucket

    @property
    def key(self) -> str:
        """The key."""
        return self._key


class GetObjectInfo(Protocol):
    """Tells what is known of the object; it may ask the service."""

    def __call__(self) -> ObjectInfo | HeadObjectResult:
        """Return it."""
        ...


class GetStreamCallable(Protocol):
    """Opens the object, or the bytes from `start` up to, not including, `end`."""

    def __call__(self, start: int | None = None, end: int | None = None) -> Iterable[bytes]:
        """Return its bytes, piece by piece."""
        ...


def checked_size(size: object) -> int | None:
    """Return a size as `read` takes it: None for all."""
    if size is None:
        return None
    if not isinstance(size, int):
        raise TypeError(f"argument should be integer or None, not {type(size)!r}")
    return None if size < 0 else size


def target_of(offset: object, whence: object, position: int, size: GetSize) -> int:
    """Return where a seek goes, not yet bounded by the end; `size` is asked only if it matters."""
    if not isinstance(offset, int):
        raise TypeError(f"integer argument expected, got {type(offset)!r}")
    if not isinstance(whence, int):
        raise TypeError(f"integer argument expected, got {type(whence)!r}")
    if whence == io.SEEK_END:
        target = size() + min(offset, 0)
    elif whence == io.SEEK_CUR:
        target = position + offset
    elif whence == io.SEEK_SET:
        target = offset
    else:
        raise ValueError("Seek must be passed SEEK_CUR, SEEK_SET, or SEEK_END")
    if target < 0:
        raise ValueError(f"negative seek value {target}")
    return target


class GetSize(Protocol):
    """Tells the size of the object in bytes."""

    def __call__(self) -> int:
        """Return it."""
        ...
