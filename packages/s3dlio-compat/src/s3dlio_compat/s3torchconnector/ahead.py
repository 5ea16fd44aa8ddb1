"""Objects of a data set that arrive while earlier ones are being used.

It begins once the program has read two objects in a row whole, and pauses when it leaves one unread. A reader gets its
bytes, or its error, when it is read: but for the clock nobody can tell.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from s3dlio import batch, transfer
from s3dlio.buffer import BytesView, lease
from s3dlio.errors import S3dlioError
from s3dlio.steps import Task
from s3dlio.stores.store import Store
from s3dlio.uri import Uri
from s3dlio_compat.s3torchconnector.s3reader import S3Reader
from s3dlio_compat.s3torchconnector.streams import OneVersion, Opened

MOST_OBJECTS = 32
"""How many objects are looked at, and are on their way or unread, ahead of one consumer."""

MOST_BYTES = 64 << 20
"""How many bytes they have together."""

LARGEST = 8 << 20
"""The size in bytes up to which an object is fetched ahead; a larger one is read by many requests at its turn."""

_SHOWN = 2

Fetching: TypeAlias = tuple[Task[BytesView], bool]
"""The coroutine that fetches an object, and whether it blocks."""


class _TooLargeError(Exception):
    """The object is larger than was said: it is read at its turn."""


async def whole(store: Store, uri: Uri, most: int) -> BytesView:
    """Return an object of at most `most` bytes."""
    views: list[BytesView] = []

    def allocate(size: int) -> memoryview:
        if size > most:
            raise _TooLargeError
        views[:] = [lease(size)]
        return views[0].memoryview()

    await transfer.land(store, uri, transfer.Landing(0, None, allocate=allocate))
    return views[0]


class Habit:
    """What the program does with the readers that it gets: reads them whole, or leaves them."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self.largest = 0

    @property
    def is_whole(self) -> bool:
        """Whether the last objects were read whole."""
        return self._in_a_row >= _SHOWN

    def read(self, size: int) -> None:
        """Note an object of so many bytes that was read whole."""
        self._in_a_row += 1
        self.largest = max(self.largest, size)

    def left(self) -> None:
        """Note one that was not."""
        self._in_a_row = 0


class _Fetch:
    """One object on its way into memory, in the process that asked for it."""

    def __init__(self, fetching: Fetching, size: int) -> None:
        self.size = size  # expected until it is here
        self.is_over = False
        self.process = os.getpid()
        self._arrived = threading.Event()
        self._view: BytesView | None = None
        self._problem: BaseException | None = None
        task, blocks = fetching
        self._job = batch.submit(task, self._arrive, local=blocks)

    def _arrive(self, view: BytesView | None, problem: BaseException | None) -> None:
        self._view, self._problem = view, problem
        self.size = 0 if view is None else len(view)
        self._arrived.set()

    def take(self) -> BytesView | None:
        """Wait for the bytes and return them; None if they did not come and no error says why.

        Raises:
            S3dlioError: the service did not give them.
        """
        if self.process == os.getpid():
            self._arrived.wait()
            self.is_over = True
            if isinstance(self._problem, S3dlioError):
                raise self._problem
        view, self._view = self._view, None
        return view

    def stop(self) -> None:
        """Give it up."""
        if not self.is_over and self.process == os.getpid():
            self.is_over = True
            self._view = None
            self._job.stop()


class Delivery:
    """What the reader of one object draws from: memory if its bytes came ahead, else the service.

    All it gives is of one version of the object. In another process it opens the object anew.
    """

    def __init__(
        self,
        open_source: Callable[[], Opened],
        fetching: Callable[[int], Fetching | None],
        make_reader: Callable[[Callable[[], Opened]], S3Reader],
        size: int | None,
        habit: Habit,
    ) -> None:
        self._opened = OneVersion(open_source)
        self._fetching = fetching
        self._make_reader = make_reader
        self._habit = habit
        self._fetch: _Fetch | None = None
        self._content: BytesView | bytes | None = None
        self._taken = 0
        self._is_read = False
        self.listed = size
        self._is_given = False

    def __call__(self) -> Opened:
        """Return itself: this is how a stream opens it."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what opens the object."""
        return self._opened.__reduce__()

    def __del__(self) -> None:
        """Stop what nobody will read."""
        if self._fetch is not None:
            self._fetch.stop()
        if self._is_given and not self._is_read:
            self._habit.left()

    def reader(self) -> S3Reader:
        """Give it out."""
        self._is_given = True
        return self._make_reader(self)

    @property
    def expected(self) -> int:
        """How many bytes it may have: as listed, or as many as are ever fetched ahead."""
        if self.listed is not None:
            return self.listed
        return LARGEST if self._habit.largest <= LARGEST else LARGEST + 1

    def start(self) -> _Fetch | None:
        """Have it fetched, if it is small enough; what stands against it shows when it is read."""
        if self.expected > LARGEST:
            return None
        with suppress(Exception):
            fetching = self._fetching(self.expected)
            self._fetch = None if fetching is None else _Fetch(fetching, self.expected)
        return self._fetch

    @property
    def size(self) -> int:
        """The size of the object in bytes."""
        return self._opened().size if self._content is None else len(self._content)

    def read_bytes(self, offset: int = 0, length: int | None = None) -> bytes:
        """Return up to `length` bytes from an offset on, or all that follow."""
        content = self._arrived()
        if content is None:
            piece = self._opened().read_bytes(offset, length)
        else:
            end = len(content) if length is None else min(offset + length, len(content))
            if offset == 0 and end == len(content):
                piece = self._content = bytes(content)
            else:
                piece = bytes(memoryview(content)[offset:end])
        self._note(len(piece))
        return piece

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill memory from an offset on; return how many bytes there were."""
        content = self._arrived()
        if content is None:
            count = self._opened().read_into(offset, memory)
        else:
            piece = memoryview(content)[offset : offset + len(memory)]
            count = len(piece)
            memory[:count] = piece
        self._note(count)
        return count

    def _arrived(self) -> BytesView | bytes | None:
        fetch = self._fetch
        if fetch is not None:
            try:
                self._content = fetch.take()
            finally:
                self._fetch = None if fetch.is_over or fetch.process != os.getpid() else fetch
        return self._content

    def _note(self, count: int) -> None:
        self._taken += count
        if not self._is_read and self._taken >= self.size:
            self._is_read = True
            self._habit.read(self.size)


class ReadAhead(Iterator[Any]):
    """What `sample` makes of the reader of each object, in order; like `map`, it goes on after an exception.

    `may_look` tells whether objects may be taken before they are needed. Dropping or closing it stops what is on its
    way to readers that were not given out.
    """

    def __init__(
        self, deliveries: Iterator[Delivery], sample: Callable[[S3Reader], Any], habit: Habit, *, may_look: bool
    ) -> None:
        self._deliveries = deliveries
        self._sample = sample
        self._habit = habit
        self._may_look = may_look
        self._next: deque[Delivery] = deque()
        self._seen = 0  # how many of them have been looked at
        self._fetches: list[_Fetch] = []
        self._is_found = False
        self._problem: Exception | None = None

    def __next__(self) -> Any:
        """Return the next sample."""
        if self._may_look and self._habit.is_whole:
            self._look()
        return self._sample(self._following().reader())

    def close(self) -> None:
        """Give nothing more."""
        self._deliveries, self._may_look, self._problem = iter(()), False, None
        self._next.clear()

    def _following(self) -> Delivery:
        if self._next:
            self._seen = max(0, self._seen - 1)
            return self._next.popleft()
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem
        return next(self._deliveries)

    def _look(self) -> None:
        """Start to fetch what comes next, as far as there is room."""
        self._find()
        here = os.getpid()
        self._fetches = [each for each in self._fetches if not each.is_over and each.process == here]
        room = MOST_BYTES - sum(each.size for each in self._fetches)
        while self._seen < len(self._next) and len(self._fetches) < MOST_OBJECTS:
            delivery = self._next[self._seen]
            if room < delivery.expected <= LARGEST:
                return
            self._seen += 1
            fetch = delivery.start()
            if fetch is not None:
                self._fetches.append(fetch)
                room -= delivery.expected

    def _find(self) -> None:
        while not self._is_found and len(self._next) < MOST_OBJECTS:
            try:
                self._next.append(next(self._deliveries))
            except StopIteration:
                self._is_found = True
            except Exception as problem:  # noqa: BLE001 - it is raised at its turn
                self._problem = problem
                self._is_found = True
