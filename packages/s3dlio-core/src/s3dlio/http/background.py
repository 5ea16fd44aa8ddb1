"""The process's loop: one thread that multiplexes for everybody, started on first use and anew after a fork."""

from __future__ import annotations

import logging
import threading
from typing import TypeVar

from s3dlio.errors import S3dlioError
from s3dlio.http.connection import SLICE
from s3dlio.http.jobs import Done, Job
from s3dlio.http.multiplex import Loop
from s3dlio.steps import Task
from s3dlio.workers import GRACE, PROCESS, Scope

T = TypeVar("T")

log = logging.getLogger("s3dlio.http")


class _Background:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: Loop | None = None

    def running(self) -> Loop:
        loop = self.loop
        if loop is not None:
            return loop
        with self.lock:
            if self.loop is None:
                self.loop = Loop()
                threading.Thread(target=self._work, args=(self.loop,), name="s3dlio-loop", daemon=True).start()
            return self.loop

    def _work(self, loop: Loop) -> None:
        try:
            loop.run(lambda: PROCESS.stopped)
        except BaseException as problem:
            log.exception("the multiplexer failed")
            self.loop = None
            error = S3dlioError("the multiplexer failed; the cause is the error before this one")
            error.__cause__ = problem
            loop.abandon(error)


_background = _Background()


def submit(task: Task[T], done: Done) -> Job:
    """Start a coroutine on the loop. `done` gets its result or exception in the loop's thread and must not block."""
    loop = _background.running()
    job = Job(loop, task, done, Scope(PROCESS))
    loop.post(lambda: loop.take(job))
    return job


def run(task: Task[T]) -> T:
    """Run a coroutine on the loop and wait for its result; an interrupt stops it and its clean-up."""
    outcome: list[tuple[T | None, BaseException | None]] = []
    ended = threading.Lock()
    ended.acquire()

    def done(result: T | None, problem: BaseException | None) -> None:
        outcome.append((result, problem))
        ended.release()

    job = submit(task, done)
    try:
        ended.acquire()
    except BaseException:
        job.stop()
        ended.acquire(timeout=GRACE + SLICE)  # its own grace is over first
        raise
    result, problem = outcome.pop()
    if problem is not None:
        raise problem
    return result  # type: ignore[return-value]  # a task that ended without a problem has a result of its type


def drop_idle() -> None:
    """Close the connections that wait for their next exchange."""
    loop = _background.loop
    if loop is not None:
        loop.post(loop.drop_idle)


def after_fork() -> None:
    """Forget the parent's loop: its thread does not exist in the child."""
    global _background
    _background = _Background()
