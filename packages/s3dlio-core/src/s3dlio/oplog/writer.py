"""Rows to a file: a bounded queue and the one thread that writes.

Who adds a row does not wait while there is room, and when there is none waits rather than lose it. A write that fails
stops the writing, not the program: what follows is counted as dropped, and `finish` raises.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Protocol

from s3dlio.oplog.row import HEADER

if TYPE_CHECKING:
    from s3dlio.oplog.row import Row

_MOST = 16_384  # rows waiting; about 10 MB
_URGENT = _MOST // 2
_EVERY = 0.1  # seconds between writes while there is little to do
_AT_ONCE = 1024  # rows written together
_MOST_THREADS = 1 << 16  # warp reads the number of a thread as 16 bits


class Encoder(Protocol):
    """Compresses a stream, as zstandard's compression objects do."""

    def compress(self, data: bytes, /) -> bytes:
        """Take bytes, return those that are ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


class Writer:
    """An open log. Any thread may add rows; the numbers are right once it has been finished."""

    def __init__(self, descriptor: int, client: str, encoder: Encoder | None) -> None:
        self.operations = self.errors = self.dropped = self.bytes_written = 0
        self.problem: Exception | None = None
        self._descriptor = descriptor
        self._client = client
        self._encoder = encoder
        self._rows: deque[Row] = deque()
        self._moved = threading.Condition()
        self._open = True
        self._threads: dict[int, int] = {}
        self._next_thread = count()
        self._thread = threading.Thread(target=self._work, name="s3dlio-oplog", daemon=True)
        self._thread.start()

    def thread_number(self) -> int:
        """Return a small number for the calling thread: the first to ask is 0."""
        who = threading.get_ident()
        number = self._threads.get(who)
        if number is None:
            number = self._threads[who] = next(self._next_thread) % _MOST_THREADS
        return number

    @property
    def accepted(self) -> int:
        """How many rows are in the file or on their way."""
        return self.operations + len(self._rows)

    def add(self, row: Row) -> None:
        """Put a row into the log; one that comes after the end is too late for it."""
        if not self._open:
            return
        self._rows.append(row)
        if len(self._rows) >= _URGENT:
            self._press()

    def _press(self) -> None:
        with self._moved:
            self._moved.notify_all()
            while len(self._rows) >= _MOST and self._open:
                self._moved.wait(_EVERY)

    def finish(self) -> Exception | None:
        """Write what is there and close the file; return what went wrong in all this time, if anything did."""
        with self._moved:
            if not self._open:
                return None
            self._open = False
            self._moved.notify_all()
        self._thread.join()
        return self.problem

    def abandon(self) -> None:
        """In the child of a fork: leave the file to the parent, whose thread is not here."""
        self._open = False
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _work(self) -> None:
        self._attempt(HEADER)
        while self._open:
            with self._moved:
                if self._open and len(self._rows) < _URGENT:
                    self._moved.wait(_EVERY)
            self._drain()
        self._drain()
        self._close()

    def _drain(self) -> None:
        while self._rows:
            some = [self._rows.popleft() for _ in range(min(_AT_ONCE, len(self._rows)))]
            with self._moved:
                self._moved.notify_all()
            first = self.operations
            self._attempt("".join([row.text(first + at, self._client) for at, row in enumerate(some)]))
            if self.problem is not None:
                self.dropped += len(some)
                continue
            self.operations += len(some)
            self.errors += sum(1 for row in some if row.error)

    def _attempt(self, text: str) -> None:
        if self.problem is not None:
            return
        data = text.encode("utf-8", "backslashreplace")
        try:
            self._write(data if self._encoder is None else self._encoder.compress(data))
        except Exception as problem:  # noqa: BLE001 - kept for `finish`: a log must not break the program
            self.problem = problem

    def _close(self) -> None:
        try:
            if self._encoder is not None and self.problem is None:
                self._write(self._encoder.flush())
        except Exception as problem:  # noqa: BLE001 - as above
            self.problem = problem
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError as problem:
            self.problem = self.problem or problem

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            done = os.write(self._descriptor, rest)
            self.bytes_written += done
            rest = rest[done:]
