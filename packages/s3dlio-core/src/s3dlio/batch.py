"""Many objects: which driver carries them, how many at once, and what waits for its consumer.

Coroutines of network stores share one multiplexing thread; those of local stores, which block, share the I/O threads.
"""

from __future__ import annotations

import asyncio
import builtins
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Protocol, TypeAlias, TypeVar

from s3dlio.http import background, blocking
from s3dlio.pace import Pace
from s3dlio.steps import Offload, Task, Together
from s3dlio.workers import Stopped

T = TypeVar("T")
_LOCAL = ("file://", "direct:/")
_HEAVY = 256 << 10  # bytes
_FIRST_GUESS = 1 << 20  # bytes: how large an object may be as long as none has arrived


class Stoppable(Protocol):
    """Work that can be asked to stop."""

    def stop(self) -> None:
        """Ask it to; returns at once."""
        ...


def is_heavy(items: Iterable[tuple[str, memoryview]]) -> bool:
    """Tell whether each (uri, content) is for a thread to hash and send: a loop would only hand it on."""
    return all(is_local(uri) or len(content) > _HEAVY for uri, content in items)


def is_local(uri: object) -> bool:
    """Tell whether a URI is of a scheme whose coroutines block."""
    return isinstance(uri, str) and uri.startswith(_LOCAL)


def run(task: Task[T], *, local: bool) -> T:
    """Run a coroutine that spans many objects and return its result; `local` ones block, so they go to threads."""
    return blocking.run(task) if local else background.run(task)


def submit(task: Task[Any], done: Callable[[Any, BaseException | None], None], *, local: bool) -> Stoppable:
    """Start a coroutine beside the caller; `done` is called in another thread and must not block."""
    return blocking.submit(task, done) if local else background.submit(task, done)


async def together(
    items: Iterable[T], make: Callable[[T], Task[Any]], uri_of: Callable[[T], str], limit: int, keep_errors: bool
) -> builtins.list[Any]:
    """Run `make(item)` for each item, `limit` at once; results in order, with errors in their place if wanted."""

    def task(item: T) -> Task[Any]:
        if keep_errors or is_local(uri_of(item)):
            return _guarded(item, make, uri_of(item), keep_errors)
        return make(item)

    return await Together(map(task, items), limit)


async def _guarded(item: T, make: Callable[[T], Task[Any]], uri: str, keep_errors: bool) -> Any:
    try:
        if not is_local(uri):
            return await make(item)
        return await Offload(lambda: blocking.run(make(item)))
    except Exception as error:
        if keep_errors and not isinstance(error, Stopped):
            return error
        raise


Job: TypeAlias = "tuple[Task[Any], bool]"
"""A coroutine, and whether it blocks, as those of local stores do."""


class Ahead:
    """Results fetched ahead of their consumer: as many items as the pace says and about `most_bytes` bytes unclaimed.

    `start` makes the job of an item. Iterating gives (index, result) in input order, or as they come with
    `ordered=False`. An error is raised in its place, or with `keep_errors` stands there. Closing, or losing the last
    reference, stops what is under way.
    """

    def __init__(
        self,
        items: Iterable[T],
        start: Callable[[T], Job],
        *,
        pace: Pace,
        most_bytes: int,
        ordered: bool,
        keep_errors: bool = False,
    ) -> None:
        self._items = enumerate(items)
        self._make = start
        self._pace = pace
        self._most_bytes = most_bytes
        self._ordered = ordered
        self._keep_errors = keep_errors
        self._arrivals: SimpleQueue[tuple[int, Any, BaseException | None, float]] = SimpleQueue()
        self._ready: dict[int, tuple[Any, BaseException | None]] = {}
        self._under_way: dict[int, Stoppable] = {}
        self._bytes = 0
        self._largest = 0
        self._exhausted = False
        self.seconds = 0.0  # that fetches took, added up

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield the results; a generator, so that dropping it ends the work."""
        index = 0
        try:
            while True:
                self._refill()
                if not self._under_way and not self._ready:
                    return
                if self._ordered and index in self._ready:
                    yield index, self._claim(index)
                    index += 1
                elif not self._ordered and self._ready:
                    first = next(iter(self._ready))
                    yield first, self._claim(first)
                else:
                    self._take(self._arrivals.get())
        finally:
            for job in self._under_way.values():
                job.stop()

    def _refill(self) -> None:
        while not self._exhausted and len(self._under_way) + len(self._ready) < self._pace.limit and self._has_room():
            try:
                index, item = next(self._items)
            except StopIteration:
                self._exhausted = True
                return
            self._start(index, item)
        while not self._arrivals.empty():
            self._take(self._arrivals.get())

    def _has_room(self) -> bool:
        expected = self._bytes + (len(self._under_way) + 1) * (self._largest or _FIRST_GUESS)
        return expected <= self._most_bytes or not (self._under_way or self._ready)

    def _start(self, index: int, item: Any) -> None:
        arrivals, begun = self._arrivals, perf_counter()

        def done(result: Any, problem: BaseException | None) -> None:
            arrivals.put((index, result, problem, perf_counter() - begun))

        task, local = self._make(item)
        self._under_way[index] = submit(task, done, local=local)

    def _take(self, arrival: tuple[int, Any, BaseException | None, float]) -> None:
        index, result, problem, seconds = arrival
        del self._under_way[index]
        self._ready[index] = (result, problem)
        self.seconds += seconds
        if problem is None:
            self._pace.arrived(seconds)
            self._bytes += len(result)
            self._largest = max(self._largest, len(result))

    def _claim(self, index: int) -> Any:
        result, problem = self._ready.pop(index)
        if problem is None:
            self._bytes -= len(result)
            return result
        if self._keep_errors and isinstance(problem, Exception) and not isinstance(problem, Stopped):
            return problem
        raise problem


async def awaited(task: Task[T], *, local: bool) -> T:
    """Await a store's coroutine inside asyncio; a cancel stops it and waits until nothing is written any more."""
    loop = asyncio.get_running_loop()
    outcome = _Outcome(loop)
    box = _mailbox(loop)
    job = submit(task, lambda result, problem: box.deliver(outcome, result, problem), local=local)
    try:
        return await outcome.future  # type: ignore[no-any-return]  # it gets what the task returns
    except asyncio.CancelledError:
        job.stop()
        await outcome.over()
        raise


class _Outcome:
    """What an asyncio task waits for. It is settled even after the waiting was cancelled."""

    __slots__ = ("future", "settled", "stopped")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self.stopped: asyncio.Future[None] | None = None
        self.settled = False

    def settle(self, result: Any, problem: BaseException | None) -> None:
        """Take the outcome, in the thread of the asyncio loop."""
        self.settled = True
        if self.stopped is not None and not self.stopped.done():
            self.stopped.set_result(None)
        if self.future.cancelled():
            return
        if problem is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(problem)

    async def over(self) -> None:
        """Wait until nothing is written any more."""
        if not self.settled:
            self.stopped = self.future.get_loop().create_future()
            await self.stopped


Letter: TypeAlias = tuple[_Outcome, Any, BaseException | None]


class _Mailbox:
    """Outcomes for one asyncio loop: many of them with one wake-up. Any thread may deliver."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._letters: deque[Letter] = deque()
        self._called = False

    def deliver(self, outcome: _Outcome, result: Any, problem: BaseException | None) -> None:
        self._letters.append((outcome, result, problem))
        if self._called:
            return
        self._called = True
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            with suppress(RuntimeError):  # closed since: nobody waits any more
                loop.call_soon_threadsafe(self._open)
        else:
            self._letters.clear()

    def drop_if_closed(self) -> None:
        """Forget what came too late: it knows its loop, which could not be collected."""
        loop = self._loop()
        if loop is not None and loop.is_closed():
            self._letters.clear()

    def _open(self) -> None:
        self._called = False  # before the letters are read: one that comes later calls again
        while self._letters:
            outcome, result, problem = self._letters.popleft()
            outcome.settle(result, problem)


_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()


def _mailbox(loop: asyncio.AbstractEventLoop) -> _Mailbox:
    box = _mailboxes.get(loop)
    if box is None:
        for each in list(_mailboxes.values()):
            each.drop_if_closed()
        box = _mailboxes.setdefault(loop, _Mailbox(loop))
    return box
