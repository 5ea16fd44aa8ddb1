"""One version of one object, read in pieces: whatever was replaced meanwhile, the pieces belong together."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from s3dlio import oplog, transfer
from s3dlio.errors import InvalidRangeError
from s3dlio.http import blocking
from s3dlio.stores import store_for

if TYPE_CHECKING:
    from s3dlio.buffer import BytesView
    from s3dlio.stores.store import Store
    from s3dlio.uri import Uri

_HEADER = bytes.__basicsize__ - 1  # where the content of a bytes object begins: its type counts the final NUL


class Source:
    """An object that is open for reading. The first answer decides its version; any thread may read."""

    def __init__(self, where: Uri, store: Store | None = None) -> None:
        self._where = where
        self._store = store or store_for(where)
        self._size: int | None = None
        self._etag: str | None = None

    @property
    def size(self) -> int:
        """The size in bytes; asked for when nothing has told it yet."""
        if self._size is None:
            info = blocking.run(oplog.watch("STAT", self._where, self._store.stat(self._where)))
            self._size, self._etag = info.size, info.etag
        return self._size

    def read(self, offset: int = 0, length: int | None = None) -> BytesView:
        """Return up to `length` bytes from an offset on, or all that follow.

        Raises:
            ObjectChangedError: the object is another one than at the first read.
        """
        landing = self._landed(transfer.Landing(offset, length))
        assert landing.view is not None
        return landing.view

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill memory from an offset on; return how many bytes there were.

        Raises:
            ObjectChangedError: the object is another one than at the first read.
        """
        return self._landed(transfer.Landing(offset, len(memory), memory)).total if len(memory) else 0

    def read_bytes(self, offset: int = 0, length: int | None = None) -> bytes:
        """Return what `read` does as `bytes`, received in place."""
        made: list[bytes] = []

        def allocate(size: int) -> memoryview:
            made[:] = [_unfilled(size)] if size > 1 else []
            return _content(made[0]) if made else memoryview(bytearray(size))

        landing = self._landed(transfer.Landing(offset, length, allocate=allocate))
        return made[0] if made else bytes(landing.memory)

    def _landed(self, landing: transfer.Landing) -> transfer.Landing:
        if landing.offset < 0:
            text = f"offset {landing.offset} of {self._where}: it may not be negative"
            raise InvalidRangeError(text, str(self._where))
        task = transfer.land(self._store, self._where, landing, pin=self._etag)
        landed = blocking.run(oplog.watch("GET", self._where, task, lambda each: (1, each.total)))
        if landed.first is not None:
            self._size, self._etag = landed.first.size, landed.first.etag
        return landed


def _unfilled(size: int) -> bytes:
    """Return a new bytes object whose content is still to be written, as the C API makes them for reading into."""
    make = ctypes.pythonapi.PyBytes_FromStringAndSize
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_char_p, ctypes.c_ssize_t)
    made: bytes = make(None, size)
    return made


def _content(made: bytes) -> memoryview:
    """Return the content of a bytes object that nobody has seen yet, writable; it must outlive the view."""
    array = (ctypes.c_ubyte * len(made)).from_address(id(made) + _HEADER)
    return memoryview(array).cast("B")
