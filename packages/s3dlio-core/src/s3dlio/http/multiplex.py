"""The multiplexed driver: many coroutines of stores in one thread, over non-blocking connections.

Small answers are received right here, for about a third of the CPU that threads would cost. A large body is handed to
an I/O thread, where one call receives all of it without the GIL; so is everything else that could stall the others.
"""

from __future__ import annotations

import heapq
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from s3dlio import workers
from s3dlio.errors import DeadlineExceededError
from s3dlio.http import blocking
from s3dlio.http.connection import SLICE, Connection
from s3dlio.http.flight import Flight
from s3dlio.http.jobs import Done, Group, Job
from s3dlio.http.pool import is_fit, is_old
from s3dlio.http.wire import SCRATCH, Origin
from s3dlio.steps import Aside, Offload, Pause, Shield, Step, Task, Together, Transfer
from s3dlio.workers import Scope, Stopped

_LARGE_BODY = 256 << 10  # bytes still to come from which on a thread of its own is cheaper


def _forget_outcome(result: Any, problem: BaseException | None) -> None:
    """Take the outcome of what nobody waits for."""


class Loop:
    """Coroutines, their connections and timers, run by one thread at a time. `limit` bounds exchanges under way."""

    def __init__(self, limit: int = 128) -> None:
        self.limit = limit
        self.scratch = bytearray(SCRATCH)
        self.view = memoryview(self.scratch)
        self.ready: deque[tuple[Job, Any, BaseException | None]] = deque()
        self.jobs: set[Job] = set()
        self._inbox: deque[Callable[[], object]] = deque()
        self._asleep = False
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._flights: dict[int, Flight] = {}
        self._waiting: deque[Flight] = deque()
        self._active = 0
        self._idle: dict[Origin, list[Connection]] = {}
        self._resting: dict[int, Connection] = {}
        self._next_sweep = 0.0
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)

    def post(self, call: Callable[[], object]) -> None:
        """Have `call` run in the loop's thread; from any thread."""
        self._inbox.append(call)
        if self._asleep:
            os.eventfd_write(self._wake, 1)

    def start(self, task: Task[Any], done: Done, scope: Scope) -> Job:
        """Take up a coroutine, in the loop's thread."""
        job = Job(self, task, done, scope)
        self.take(job)
        return job

    def take(self, job: Job) -> None:
        """Take up a job that was made for this loop."""
        self.jobs.add(job)
        self.ready.append((job, None, None))

    def run(self, finished: Callable[[], bool]) -> None:
        """Work in this thread until `finished` says so."""
        while True:
            self._round()
            if finished():
                return
            self._sleep()

    def abandon(self, problem: BaseException) -> None:
        """End every coroutine with `problem`: the loop itself has failed."""
        for job in list(self.jobs):
            job.end(None, problem)

    # What the coroutines ask for

    def dispatch(self, job: Job, step: Step) -> None:
        """Carry out what a coroutine awaits."""
        if isinstance(step, Transfer):
            self._transfer(job, step)
        elif isinstance(step, Together):
            Group(self, job, step).fill()
        elif isinstance(step, Pause):
            self._pause(job, step.seconds)
        elif isinstance(step, Offload):
            self._offload(job, step.function)
        elif isinstance(step, Aside):
            self._offload(job, lambda: blocking.run(step.task, job.scope))
        elif isinstance(step, Shield):  # pyright: ignore[reportUnnecessaryIsInstance]  # coroutines have no step type
            self._shield(job, step)
        else:
            raise TypeError(f"a store's coroutine awaited {step!r}, which is no step")

    def _shield(self, job: Job, step: Shield[Any]) -> None:
        def done(result: Any, problem: BaseException | None) -> None:
            if job.shield is step:
                job.shield = None
                job.resume(result, problem)
            elif step.undo is not None and problem is None:
                self._start_shielded(step.undo(result), _forget_outcome)

        job.shield = step
        self._start_shielded(step.task, done)
        if job.stopping:
            job.leave_later(step)

    def _start_shielded(self, task: Task[Any], done: Done) -> None:
        self.start(task, done, Scope()).shielded = True

    def _offload(self, job: Job, function: Callable[[], Any]) -> None:
        def work() -> None:
            try:
                result = function()
            except BaseException as error:
                problem = error
                self.post(lambda: job.resume(None, problem))
            else:
                self.post(lambda: job.resume(result, None))

        workers.submit(work)

    def _pause(self, job: Job, seconds: float) -> None:
        token = job.pause = object()

        def over() -> None:
            if job.pause is token:
                job.pause = None
                job.resume(None, None)

        self.after(seconds, over)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have `call` run once that much time has passed."""
        self._timer_count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._timer_count, call))

    def _transfer(self, job: Job, step: Transfer) -> None:
        if job.stopping and not job.shielded:
            job.resume(None, Stopped())
            return
        flight = job.flight = Flight(job, step.pool, step.exchange)
        if self._active >= self.limit:
            self._waiting.append(flight)
        else:
            self._depart(flight)

    # Exchanges on non-blocking connections

    def _depart(self, flight: Flight) -> None:
        self._active += 1
        connection = None if flight.exchange.fresh else self._resting_one(flight)
        if connection is not None:
            self._board(flight, connection)
        else:
            self._open(flight)

    def _resting_one(self, flight: Flight) -> Connection | None:
        resting = self._idle.get(flight.exchange.origin)
        while resting:
            connection = resting.pop()
            del self._resting[connection.fileno()]
            if is_fit(connection) and connection.pool.shares(flight.pool):
                return connection
            connection.close()
        kept = flight.pool.reuse(flight.exchange.origin)
        if kept is not None:
            self._adopt(flight, kept)
        return kept

    def _adopt(self, flight: Flight, connection: Connection) -> None:
        connection.pool = flight.pool
        connection.wait_in_line(blocking=False)
        self._epoll.register(connection, select.EPOLLIN)

    def _open(self, flight: Flight) -> None:
        """Connect in an I/O thread: names, handshakes and refusals take their time."""

        def work() -> None:
            try:
                connection = flight.pool.open(flight.exchange.origin)
            except BaseException as error:
                problem = error
                self.post(lambda: self._land(flight, problem))
            else:
                self.post(lambda: arrive(connection))

        def arrive(connection: Connection) -> None:
            if flight.dropped:
                connection.close()
                self._leave()
                return
            self._board(flight, connection, new=True)

        workers.submit(work)

    def _board(self, flight: Flight, connection: Connection, *, new: bool = False) -> None:
        self._flights[connection.fileno()] = flight
        flight.board(connection)
        try:
            if new:
                self._adopt(flight, connection)
            if not flight.send():
                self._epoll.modify(connection, select.EPOLLIN | select.EPOLLOUT)
        except OSError as error:
            self._land(flight, error)

    def _event(self, descriptor: int, mask: int) -> None:
        flight = self._flights.get(descriptor)
        if flight is None:
            self._forget(descriptor)
            return
        try:
            if flight.unsent and mask & select.EPOLLOUT and flight.send():
                self._epoll.modify(descriptor, select.EPOLLIN)
            if mask & ~select.EPOLLOUT:
                flight.receive()
        except Exception as error:
            self._land(flight, error)
            return
        if flight.exchange.done:
            self._land(flight, None)
        elif flight.exchange.fixed and flight.missing >= _LARGE_BODY:
            self._hand_over(flight)

    def _hand_over(self, flight: Flight) -> None:
        """Let an I/O thread receive the rest of a large body."""
        connection = flight.connection
        assert connection is not None
        del self._flights[connection.fileno()]
        self._epoll.unregister(connection)
        flight.away = True
        connection.wait_in_line(blocking=True)

        def work() -> None:
            try:
                blocking.receive(connection, flight.exchange, flight.pool.pace, flight.job.scope)
            except BaseException as error:
                problem = error
                self.post(lambda: self._land(flight, problem))
            else:
                self.post(lambda: self._return(flight))

        workers.submit(work)

    def _return(self, flight: Flight) -> None:
        connection = flight.connection
        assert connection is not None
        if flight.exchange.keep_alive:
            self._adopt(flight, connection)
        flight.away = False
        self._land(flight, None)

    def _land(self, flight: Flight, problem: BaseException | None) -> None:
        """End a flight: its connection rests or is closed, its coroutine goes on."""
        flight.job.flight = None  # a stop that comes before the coroutine goes on finds nothing to give up
        connection = flight.connection
        if connection is not None:
            self._flights.pop(connection.fileno(), None)
            if problem is None and flight.exchange.keep_alive and not flight.unsent:
                self._rest(connection)
            else:
                connection.close()
        if isinstance(problem, OSError) and connection is not None:
            translated = blocking.broken(problem, connection, flight.exchange)
            translated.__cause__ = problem
            problem = translated
        self._leave()
        if not flight.dropped:
            flight.job.resume(None, problem)

    def _rest(self, connection: Connection) -> None:
        connection.used = True
        connection.idle_since = time.monotonic()
        self._resting[connection.fileno()] = connection
        self._idle.setdefault(connection.origin, []).append(connection)

    def _leave(self) -> None:
        self._active -= 1
        while self._waiting and self._active < self.limit:
            flight = self._waiting.popleft()
            if not flight.dropped:
                self._depart(flight)

    def drop(self, flight: Flight) -> bool:
        """Give up a flight at once; False when an I/O thread has it, which notices by itself."""
        if flight.dropped or flight.away:
            return False
        flight.dropped = True
        if flight.connection is not None:
            self._flights.pop(flight.connection.fileno(), None)
            flight.connection.close()
            self._leave()
        return True

    def _forget(self, descriptor: int) -> None:
        connection = self._resting.pop(descriptor, None)
        if connection is not None:
            self._idle[connection.origin].remove(connection)
            connection.close()

    def drop_idle(self) -> None:
        """Close the connections that rest, in the loop's thread."""
        for descriptor in list(self._resting):
            self._forget(descriptor)

    # The rounds

    def _round(self) -> None:
        """Do everything that can be done without waiting."""
        while self._inbox or self.ready:
            while self._inbox:
                self._inbox.popleft()()
            while self.ready:
                job, answer, problem = self.ready.popleft()
                job.step(answer, problem)

    def _sleep(self) -> None:
        """Wait for the next event, timer or post."""
        self._asleep = True
        timeout = 0.0 if self._inbox else self._patience()
        try:
            events = self._epoll.poll(timeout)
        finally:
            self._asleep = False
        for descriptor, mask in events:
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
            else:
                self._event(descriptor, mask)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if now >= self._next_sweep:
            self._next_sweep = now + SLICE
            self._sweep()

    def _patience(self) -> float:
        if self._flights:
            return SLICE if not self._timers else max(0.0, min(SLICE, self._timers[0][0] - time.monotonic()))
        if self._timers:
            return max(0.0, min(1.0, self._timers[0][0] - time.monotonic()))
        return 1.0

    def _sweep(self) -> None:
        """Give up what is too slow, and what has rested too long."""
        for descriptor, connection in list(self._resting.items()):
            if is_old(connection):
                self._forget(descriptor)
        for flight in list(self._flights.values()):
            try:
                flight.check()
            except DeadlineExceededError as error:
                self._land(flight, error)
