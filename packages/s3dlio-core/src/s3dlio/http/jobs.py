"""Coroutines on a loop: one by one, and in groups that another coroutine awaits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from s3dlio.steps import Shield, Task, Together
from s3dlio.workers import GRACE, Scope, Stopped

if TYPE_CHECKING:
    from s3dlio.http.flight import Flight
    from s3dlio.http.multiplex import Loop

Done = Callable[[Any, BaseException | None], None]


class Job:
    """A coroutine on a loop. `stop` may be called from any thread; `done` is called in the loop's thread."""

    __slots__ = (
        "_done",
        "children",
        "ended",
        "flight",
        "loop",
        "pause",
        "scope",
        "shield",
        "shielded",
        "stopping",
        "task",
    )

    def __init__(self, loop: Loop, task: Task[Any], done: Done, scope: Scope) -> None:
        self.loop = loop
        self.task = task
        self._done = done
        self.scope = scope
        self.flight: Flight | None = None
        self.pause: object = None
        self.children: set[Job] = set()
        self.ended = False
        self.stopping = False
        self.shield: Shield[Any] | None = None
        self.shielded = False

    def stop(self) -> None:
        """Ask the coroutine to end: what it waits for is given up, its clean-up still runs."""
        self.scope.stop()
        self.loop.post(self.stop_now)

    def stop_now(self) -> None:
        """Do what `stop` asks, in the loop's thread."""
        if self.ended or self.stopping or self.shielded:
            return
        self.stopping = True
        self.scope.stop()
        for child in list(self.children):
            child.stop_now()
        if self.shield is not None:
            self.leave_later(self.shield)
        flight = self.flight
        if self.pause is not None or (flight is not None and self.loop.drop(flight)):
            self.pause = None
            self.resume(None, Stopped())

    def leave_later(self, shield: Shield[Any]) -> None:
        """Go on without what is shielded when its grace is over."""

        def leave() -> None:
            if self.shield is shield:
                self.shield = None
                self.resume(None, Stopped())

        self.loop.after(GRACE, leave)

    def resume(self, answer: Any, problem: BaseException | None) -> None:
        """Let the coroutine go on, in the loop's thread."""
        self.loop.ready.append((self, answer, problem))

    def step(self, answer: Any, problem: BaseException | None) -> None:
        """Run the coroutine up to what it awaits next."""
        if self.ended:
            return
        self.flight = None
        try:
            step = self.task.send(answer) if problem is None else self.task.throw(problem)
        except StopIteration as stop:
            self.end(stop.value, None)
        except BaseException as error:
            self.end(None, error)
        else:
            try:
                self.loop.dispatch(self, step)
            except BaseException as error:
                self.resume(None, error)

    def end(self, result: Any, problem: BaseException | None) -> None:
        """Report the outcome."""
        self.ended = True
        self.loop.jobs.discard(self)
        done = self._done
        # The callback knows the job: without this, the cycle would hold the results until a garbage collection.
        del self._done, self.task
        done(result, problem)


class Group:
    """Coroutines side by side on one loop, for the coroutine that awaits them all."""

    def __init__(self, loop: Loop, parent: Job, step: Together[Any]) -> None:
        self.loop = loop
        self.parent = parent
        self.tasks = enumerate(iter(step.tasks))
        self.limit = step.limit
        self.scope = Scope(parent.scope)
        self.results: dict[int, Any] = {}
        self.problem: BaseException | None = None

    def fill(self) -> None:
        """Start coroutines while there are places, and end with the last of them."""
        try:
            while self.problem is None and len(self.parent.children) < self.limit:
                index, task = next(self.tasks)
                self._start(index, task)
        except StopIteration:
            pass
        except BaseException as error:
            self._fail(error)
        if not self.parent.children:
            self.end()

    def _start(self, index: int, task: Task[Any]) -> None:
        def done(result: Any, problem: BaseException | None) -> None:
            self.parent.children.discard(job)
            self.results[index] = result
            if problem is not None:
                self._fail(problem)
            self.fill()

        job = self.loop.start(task, done, self.scope)
        self.parent.children.add(job)
        if self.parent.stopping:
            job.stop_now()

    def _fail(self, problem: BaseException) -> None:
        if self.problem is None:
            self.problem = problem
            self.scope.stop()
            for child in list(self.parent.children):
                child.stop_now()

    def end(self) -> None:
        """Give the parent the results in order, or the first problem."""
        if self.problem is not None:
            self.parent.resume(None, self.problem)
        else:
            self.parent.resume([self.results[index] for index in range(len(self.results))], None)
