"""A store's coroutine under observation: it does what it did, and leaves a row behind when it ends.

The steps pass through unchanged but for one thing: who receives an HTTP answer is told apart long enough to note when
the answer began, and from where it came.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from s3dlio.steps import Aside, Shield, Step, Task, Together, Transfer

if TYPE_CHECKING:
    from types import TracebackType

    from s3dlio.http.wire import Head, Receiver
    from s3dlio.oplog.row import Row
    from s3dlio.stores.store import Page

T = TypeVar("T")
Measure = Callable[[Any], tuple[int, int]]
"""Of a result: how many objects it is about, and how many bytes of their content were moved."""


class _Glance(Coroutine[Any, Any, T]):
    """A coroutine whose exchanges are noted in a row."""

    def __init__(self, task: Task[T], row: Row) -> None:
        self._task = task
        self._row = row
        self._steps = self._run()

    def send(self, value: Any) -> Any:
        return self._steps.send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        return self._steps.throw(typ)

    def close(self) -> None:
        self._steps.close()
        self._task.close()  # one that was never started is not closed by the line above

    def __await__(self) -> Generator[Any, Any, T]:
        return self._steps

    def _run(self) -> Generator[Step, Any, T]:
        answer: Any = None
        problem: BaseException | None = None
        while True:
            try:
                step = self._task.send(answer) if problem is None else self._task.throw(problem)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            answer, problem = None, None
            try:
                answer = yield self._seen(step)
            except BaseException as error:  # noqa: BLE001 - the coroutine's to handle, whatever it is
                problem = error

    def _seen(self, step: Step) -> Step:
        row = self._row
        if row.first_byte is not None:
            return step
        if isinstance(step, Transfer):
            row.endpoint = step.exchange.origin
            step.exchange.receiver = _Stamp(step.exchange.receiver, row)
        elif isinstance(step, Aside):
            return Aside(_Glance(step.task, row))
        elif isinstance(step, Shield):
            step.task = _Glance(step.task, row)
        elif isinstance(step, Together):
            return Together((_Glance(task, row) for task in step.tasks), step.limit)
        return step


class _Stamp:
    """Who receives an answer, and notes when a good one begins."""

    __slots__ = ("receiver", "row")

    def __init__(self, receiver: Receiver, row: Row) -> None:
        self.receiver = receiver
        self.row = row

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        if head.status < 300 and self.row.first_byte is None:
            self.row.first_byte = time.monotonic_ns()
        return self.receiver.begin(head, length)


class Watched(_Glance[T]):
    """A coroutine that leaves a row behind when it ends, however it ends. `begin` makes the row, `done` takes it."""

    def __init__(self, task: Task[T], begin: Callable[[], Row], done: Callable[[Row], None], measure: Measure) -> None:
        self._begin = begin
        self._done = done
        self._measure = measure
        self._task = task
        self._steps = self._logged()

    def _logged(self) -> Generator[Step, Any, T]:
        row = self._row = self._begin()
        try:
            result = yield from self._run()
        except BaseException as error:
            row.end = time.monotonic_ns()
            row.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._done(row)
            raise
        row.end = time.monotonic_ns()
        row.objects, row.size = self._measure(result)
        self._done(row)
        return result


async def pages(listing: AsyncIterator[Page], watch: Callable[[Task[Page | None]], Task[Page | None]]) -> Any:
    """Yield the pages of a listing, each of them an operation of its own."""
    while (page := await watch(_next(listing))) is not None:
        yield page


async def _next(listing: AsyncIterator[Page]) -> Page | None:
    return await anext(listing, None)
