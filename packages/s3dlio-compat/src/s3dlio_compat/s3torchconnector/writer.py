"""Writers: streams that become objects."""

from __future__ import annotations

import io
import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from s3dlio.writer import ObjectWriter
from s3dlio_compat.s3torchconnector.exceptions import translated

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger(__name__)


class PutStream(Protocol):
    """Where a writer's bytes go."""

    def write(self, data: Buffer, /) -> object:
        """Take bytes."""
        ...

    def close(self) -> object:
        """Make the object."""
        ...


class PutObjectStream:
    """The stream of one new object; what goes wrong is an `S3Exception`."""

    def __init__(self, bucket: str, key: str, writer: ObjectWriter) -> None:
        self.bucket = bucket
        self.key = key
        self._writer = writer

    def write(self, data: Buffer, /) -> int:
        """Take bytes, which may change afterwards."""
        with translated():
            return self._writer.write(data)

    def close(self) -> None:
        """Make the object."""
        with translated():
            self._writer.close()

    def abort(self) -> None:
        """Forget the object."""
        with translated():
            self._writer.abort()


class S3Writer(io.BufferedIOBase):
    """A binary stream that becomes an object when it is closed, and only then.

    An exception inside `with`, or a writer that is dropped, leaves no object, and an older one as it was.
    """

    def __init__(self, stream: PutStream) -> None:
        self.stream = stream
        self._position = 0
        self._closed = False
        self._lock = threading.Lock()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close after success; after an exception forget the object, and let the exception go on."""
        if kind is None:
            self.close()
            return
        log.info("not stored, because of %s", kind.__name__)
        self._give_up()

    def write(self, data: Buffer, /) -> int:
        """Take any C-contiguous buffer; return its size in bytes."""
        if self._closed:
            raise ValueError("I/O operation on closed file.")
        self.stream.write(data)
        count = memoryview(data).nbytes
        self._position += count
        return count

    def close(self) -> None:
        """Make the object; once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.stream.close()

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed

    def flush(self) -> None:
        """Do nothing: an object becomes visible as a whole."""

    def readable(self) -> bool:
        """Say no."""
        return False

    def writable(self) -> bool:
        """Say whether it is open."""
        return not self._closed

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def _give_up(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            abort = getattr(self.stream, "abort", None)
            if abort is not None:
                abort()

    def __del__(self) -> None:
        """Leave the stream alone: a writer that nobody closed was not finished, and its stream forgets the object."""
        self._closed = True
