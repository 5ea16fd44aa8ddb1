"""The blocking driver: a store's coroutine in the caller's thread, one exchange after the other.

Lowest latency, no hop between threads. Only what asks to run side by side is shared with the I/O threads, and the
caller takes its part of that work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from s3dlio import workers
from s3dlio.errors import NetworkError, S3dlioError
from s3dlio.http.connection import SLICE, Connection
from s3dlio.http.patience import Pace, Patience
from s3dlio.http.pool import Pool
from s3dlio.http.wire import Exchange
from s3dlio.steps import Aside, Offload, Pause, Shield, Step, Task, Together, Transfer
from s3dlio.workers import GRACE, Scope, Stopped

T = TypeVar("T")
_JOINED = 16 << 10  # a payload up to this size goes out in one call with its head


class StaleConnectionError(NetworkError):
    """A kept connection turned out to be closed before the first byte of an answer."""


def run(task: Task[T], scope: Scope = workers.PROCESS) -> T:
    """Drive a coroutine to its end in this thread and return its result."""
    answer: Any = None
    problem: BaseException | None = None
    interrupt: BaseException | None = None
    while True:
        try:
            step: Step = task.send(answer) if problem is None else task.throw(problem)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        answer, problem = None, None
        try:
            answer = _shelter(step, interrupt) if isinstance(step, Shield) else _perform(step, scope)
        except BaseException as error:
            problem = error
            if not isinstance(error, Exception):
                interrupt = error


def submit(task: Task[T], done: Callable[[T | None, BaseException | None], None]) -> Scope:
    """Drive a coroutine in an I/O thread; `done` gets its result or its exception there."""
    scope = Scope(workers.PROCESS)

    def job() -> None:
        try:
            if scope.stopped:
                task.close()
                raise Stopped
            result = run(task, scope)
        except BaseException as error:
            done(None, error)
        else:
            done(result, None)

    workers.submit(job)
    return scope


def _perform(step: Step, scope: Scope) -> Any:
    if isinstance(step, Transfer):
        return transfer(step.pool, step.exchange, scope)
    if isinstance(step, Together):
        return _Crew(iter(step.tasks), scope).work(step.limit)
    if isinstance(step, Offload):
        return step.function()
    if isinstance(step, Aside):
        return run(step.task, scope)
    if isinstance(step, Pause):  # pyright: ignore[reportUnnecessaryIsInstance]  # coroutines have no step type
        return _pause(step.seconds, scope)
    raise TypeError(f"a store's coroutine awaited {step!r}, which is no step")


def _pause(seconds: float, scope: Scope) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if scope.stopped:
            raise Stopped
        time.sleep(min(left, SLICE))


def transfer(pool: Pool, exchange: Exchange, scope: Scope) -> None:
    """Carry out one exchange on a connection of the pool; the connection goes back only after a clean end."""
    if scope.stopped:
        raise Stopped
    connection = None if exchange.fresh else pool.reuse(exchange.origin)
    if connection is None:
        connection = pool.open(exchange.origin)
    try:
        connection.wait_in_line(blocking=True)
        exchange.use(connection.scratch, connection.view)
        whole = _send(connection, exchange, pool.pace, scope)
        receive(connection, exchange, pool.pace, scope)
    except OSError as problem:
        connection.close()
        raise broken(problem, connection, exchange) from problem
    except BaseException:
        connection.close()
        raise
    pool.settle(connection, keep=whole and exchange.keep_alive)


def broken(problem: OSError, connection: Connection, exchange: Exchange) -> S3dlioError:
    """Say what an exception of a socket means for its exchange."""
    if connection.used and not exchange.started and not isinstance(problem, TimeoutError):
        return StaleConnectionError(f"{connection.origin} had closed a kept connection")
    if isinstance(problem, S3dlioError):
        return type(problem)(problem.message)
    return NetworkError(f"the connection to {connection.origin} broke: {problem.strerror or problem}")


def receive(connection: Connection, exchange: Exchange, pace: Pace, scope: Scope) -> None:
    """Receive until the exchange is done."""
    patience: Patience | None = None
    if not exchange.started:
        connection.look()
    while not exchange.done:
        target = exchange.target()
        count = connection.receive(target, whole=exchange.fixed)
        if count:
            exchange.advance(count)
            if count == len(target):
                continue
        elif count == 0:
            exchange.end()
            continue
        if exchange.done:
            return
        if scope.stopped:
            raise Stopped
        patience = patience or Patience(pace)
        patience.check(exchange.received, started=exchange.started)


def opening(exchange: Exchange) -> tuple[bytes, memoryview | None]:
    """Return what to send first, and what is left of the payload after it."""
    payload = exchange.payload
    if payload is None:
        return exchange.request, None
    if len(payload) <= _JOINED:
        return b"".join((exchange.request, payload)), None
    return exchange.request, payload


def _send(connection: Connection, exchange: Exchange, pace: Pace, scope: Scope) -> bool:
    """Send a request; False when the service refused it before the end: its answer explains why."""
    first, rest = opening(exchange)
    try:
        sent = connection.send(first, more=rest is not None)
        if sent == len(first) and rest is None:
            return True
        if not _send_all(connection, exchange, memoryview(first)[sent or 0 :], pace, scope):
            return False
        return rest is None or _send_all(connection, exchange, rest, pace, scope)
    except (BrokenPipeError, ConnectionResetError):
        if connection.is_quiet():
            raise
        return False


def _send_all(connection: Connection, exchange: Exchange, data: memoryview, pace: Pace, scope: Scope) -> bool:
    """Send all of `data`; False when an answer came before the end, which makes the rest pointless."""
    at = 0
    patience: Patience | None = None
    while at < len(data):
        sent = connection.send(data[at:])
        if sent is not None:
            at += sent
            continue
        if scope.stopped:
            raise Stopped
        if not connection.is_quiet() and _has_answered(connection, exchange):
            return False
        patience = patience or Patience(pace)
        patience.check(at, started=True)
    return True


def _has_answered(connection: Connection, exchange: Exchange) -> bool:
    """Receive what has come. Over TLS it may be no answer but the session tickets that follow a handshake."""
    connection.wait_in_line(blocking=False)
    try:
        count = connection.receive_now(exchange.target())
    finally:
        connection.wait_in_line(blocking=True)
    if count is None:
        return False
    if count:
        exchange.advance(count)
    else:
        exchange.end()
    return True


def _shelter(step: Shield[T], interrupt: BaseException | None) -> T | None:
    """Run what is shielded: in an I/O thread when an interrupt could reach this one, or has."""
    if interrupt is None and threading.current_thread() is not threading.main_thread():
        return run(step.task, Scope())
    sheltered = _Sheltered(step)
    workers.submit(sheltered.work)
    return sheltered.wait(interrupt)


class _Sheltered(Generic[T]):
    """What is shielded, in an I/O thread, and its caller, who may have to leave before it ends."""

    def __init__(self, step: Shield[T]) -> None:
        self.step = step
        self.lock = threading.Lock()
        self.left = False
        self.outcome: tuple[T | None, BaseException | None] | None = None
        self.ended = threading.Lock()
        self.ended.acquire()

    def work(self) -> None:
        """Run it; if its caller has left, undo it."""
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = run(self.step.task, Scope()), None
        except BaseException as error:
            outcome = None, error
        with self.lock:
            self.outcome = outcome
            left = self.left
        if left:
            self.undo()
        self.ended.release()

    def undo(self) -> None:
        """Take back what nobody will take."""
        assert self.outcome is not None
        result, problem = self.outcome
        if problem is None and self.step.undo is not None:
            run(self.step.undo(result), Scope())  # type: ignore[arg-type]  # without a problem it is a result

    def wait(self, interrupt: BaseException | None) -> T | None:
        """Return the result; after an interrupt wait for `GRACE` only, and raise it."""
        try:
            if not self.ended.acquire(timeout=-1 if interrupt is None else GRACE):
                assert interrupt is not None
                raise interrupt
        except BaseException as error:
            self._leave(error)
            raise
        assert self.outcome is not None
        result, problem = self.outcome
        if problem is not None:
            raise problem
        return result

    def _leave(self, interrupt: BaseException) -> None:
        with self.lock:
            self.left = True
            ended = self.outcome is not None
        if ended:
            workers.submit(self.undo)
        else:
            self.ended.acquire(timeout=GRACE)


class _Crew:
    """Coroutines that several threads take from one iterator, the caller among them."""

    def __init__(self, tasks: Iterator[Task[Any]], scope: Scope) -> None:
        self.head = list(islice(tasks, 2))
        self.tasks = enumerate(chain(self.head, tasks))
        self.scope = Scope(scope)
        self.lock = threading.Condition()
        self.results: dict[int, Any] = {}
        self.problem: BaseException | None = None
        self.taken = 0
        self.active = 0

    def work(self, limit: int) -> list[Any]:
        try:
            for _ in range(limit - 1 if len(self.head) > 1 else 0):
                workers.submit(self._carry_on)
            self._carry_on()
        except BaseException as error:
            self._fail(error)
        self._settle()
        if self.problem is not None:
            for task in self.head[self.taken :]:
                task.close()
            raise self.problem
        results, self.results = self.results, {}  # a helper that starts late still holds this crew, not the results
        return [results[index] for index in range(len(results))]

    def _take(self) -> tuple[int, Task[Any]] | None:
        with self.lock:
            if self.problem is not None:
                return None
            try:
                entry = next(self.tasks)
            except StopIteration:
                return None
            except BaseException as error:
                self._fail(error)
                return None
            self.taken += 1
            self.active += 1
            return entry

    def _carry_on(self) -> None:
        while (entry := self._take()) is not None:
            index, task = entry
            try:
                self.results[index] = run(task, self.scope)
            except BaseException as error:
                self._fail(error)
            finally:
                self._leave()

    def _fail(self, error: BaseException) -> None:
        with self.lock:
            if self.problem is None:
                self.problem = error
        self.scope.stop()

    def _leave(self) -> None:
        with self.lock:
            self.active -= 1
            self.lock.notify_all()

    def _settle(self) -> None:
        """Wait until nobody works on these tasks any more; after an interrupt for `GRACE` only."""
        end: float | None = None
        with self.lock:
            while self.active and (end is None or time.monotonic() < end):
                try:
                    if end is None and self.problem is not None and not isinstance(self.problem, Exception):
                        end = time.monotonic() + GRACE
                    self.lock.wait(SLICE)
                except BaseException as error:
                    self._fail(error)
