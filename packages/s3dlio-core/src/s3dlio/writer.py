"""Streams into storage: what is written becomes an object when the stream is closed, and not before.

Small objects are one request. Of larger ones, parts are sent while the next are written; memory is bounded, and a
service that is slow makes the writer wait.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from s3dlio import oplog, transfer, workers
from s3dlio.buffer import lease
from s3dlio.http import blocking
from s3dlio.operations import readable
from s3dlio.stores import store_for
from s3dlio.stores.uploading import aborted, begun

if TYPE_CHECKING:
    from s3dlio.operations import Data
    from s3dlio.stores.store import Part, Store, Upload
    from s3dlio.uri import Uri
    from s3dlio.workers import Scope

_IN_FLIGHT = 4  # parts under way
_DOUBLED_EVERY = 1000  # parts: an object of unknown size then fits into the 10,000 parts that S3 allows


class ObjectWriter:
    """A stream that becomes one object. Not thread-safe.

    `with` closes it after success and aborts it after an exception; one that is dropped is aborted.
    """

    def __init__(self, where: Uri, store: Store | None = None, *, part_size: int | None = None) -> None:
        self._where = where
        self._store = store or store_for(where)
        limits = self._store.limits
        self._step = max(part_size or limits.part_size, limits.smallest_part)
        self._held = bytearray()
        self._sending: _Sending | None = None
        self._count = 0
        self.closed = False

    def write(self, data: Data) -> int:
        """Take any C-contiguous buffer, which may change afterwards; return its size in bytes.

        Raises:
            S3dlioError: a part could not be stored. Nothing becomes visible then.
        """
        self._check_open()
        content = readable(data)
        self._count += len(content)
        at = 0
        while len(self._held) + len(content) - at >= self._least():
            piece, at = self._cut(content, at)
            self._send(piece)
        self._held += content[at:]
        return len(content)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._count

    def close(self) -> None:
        """Make the object; again, it does nothing.

        Raises:
            S3dlioError: it could not be stored. There is no object then, or the old one.
        """
        if self.closed:
            return
        self.closed = True
        held, self._held = self._held, bytearray()
        if self._sending is None:
            task = transfer.write(self._store, self._where, memoryview(held))
            blocking.run(oplog.watch("PUT", self._where, task, lambda _: (1, len(held))))
            return
        if held:
            self._sending.send(memoryview(held))
        self._sending.complete()

    def abort(self) -> None:
        """Forget what was written; after `close` it does nothing."""
        if self.closed:
            return
        self.closed = True
        self._held = bytearray()
        if self._sending is not None:
            self._sending.abort()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close after success, abort after an exception."""
        if kind is None:
            self.close()
        else:
            self.abort()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"the writer of {self._where} is closed")

    def _part_size(self) -> int:
        return self._step << ((self._sending.number if self._sending else 0) // _DOUBLED_EVERY)

    def _least(self) -> int:
        """Return how much must have been written for a part to go out; what is smaller than two is sent at once."""
        return self._part_size() * (1 if self._sending else 2)

    def _cut(self, content: memoryview, at: int) -> tuple[memoryview, int]:
        """Return the next part, a copy of what is held and of the content from `at` on, and where that goes on."""
        held = min(len(self._held), self._part_size())
        end = at + self._part_size() - held
        with memoryview(self._held) as before:
            piece = _joined(before[:held], content[at:end])
        del self._held[:held]
        return piece, end

    def _send(self, piece: memoryview) -> None:
        if self._sending is None:
            self._sending = _Sending(self._store, self._where)
            weakref.finalize(self, _drop, self._sending)
        self._sending.send(piece)


def _joined(*pieces: memoryview) -> memoryview:
    """Return a copy of pieces in one recycled buffer, made without holding up other threads."""
    view = lease(sum(map(len, pieces)))
    target, at = view.view(np.ndarray), 0
    for piece in pieces:
        np.copyto(target[at : at + len(piece)], np.frombuffer(piece, np.uint8))
        at += len(piece)
    return view.memoryview()


def _drop(sending: _Sending) -> None:
    """Abort what nobody will finish, but not in the thread that happens to collect it."""
    if not sending.over and sending.process == os.getpid():
        workers.submit(sending.abort)


class _Sending:
    """The upload behind a writer: parts in the I/O threads, at most `_IN_FLIGHT` of them at once."""

    def __init__(self, store: Store, where: Uri) -> None:
        self.store = store
        self.where = where
        self.number = 0
        self.offset = 0
        self.lock = threading.Condition()
        self.under_way: dict[int, Scope] = {}
        self.parts: list[Part] = []
        self.problem: BaseException | None = None
        self.over = False
        self.process = os.getpid()  # the child of a fork has a copy of the writer, and no say in its upload
        self.upload: Upload = blocking.run(begun(store, store.start_upload(where, None)))

    def send(self, piece: memoryview) -> None:
        """Have a part stored; waits while there are too many."""
        with self.lock:
            while len(self.under_way) >= _IN_FLIGHT and self.problem is None:
                self.lock.wait()
        self._check()
        self.number += 1
        number = self.number
        task = self.store.write_part(self.upload, number, self.offset, piece)
        self.offset += len(piece)
        logged = oplog.watch("PUT", self.where, task, lambda part: (1, part.length))
        with self.lock:
            self.under_way[number] = blocking.submit(logged, lambda part, problem: self._end(number, part, problem))

    def _end(self, number: int, part: Part | None, problem: BaseException | None) -> None:
        with self.lock:
            del self.under_way[number]
            self.problem = self.problem or problem
            if part is not None:
                self.parts.append(part)
            self.lock.notify_all()

    def _check(self) -> None:
        if self.problem is not None:
            self.abort()
            raise self.problem

    def _settle(self) -> None:
        with self.lock:
            while self.under_way:
                self.lock.wait()

    def complete(self) -> None:
        """Make the object of the parts."""
        try:
            self._settle()
            self._check()
            blocking.run(self.store.complete_upload(self.upload, sorted(self.parts, key=lambda part: part.number)))
            self.over = True
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop what is under way and drop the upload; once, and only if it was not completed."""
        if self.over:
            return
        self.over = True
        with self.lock:
            for scope in self.under_way.values():
                scope.stop()
        self._settle()
        blocking.run(aborted(self.store, self.upload))
