"""Steps: what a store's coroutine may ask of whoever drives it.

Verbs of a store are coroutines without an event loop. They await the steps below and nothing else, so that the same
code runs in the caller's thread (`http.blocking`) and among thousands in one thread (`http.multiplex`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from s3dlio.http.pool import Pool
    from s3dlio.http.wire import Exchange

T = TypeVar("T")
Task = Coroutine[Any, Any, T]


class Transfer:
    """Carry out one HTTP exchange on a connection of a pool; returns nothing, the exchange holds the outcome."""

    __slots__ = ("exchange", "pool")

    def __init__(self, pool: Pool, exchange: Exchange) -> None:
        self.pool = pool
        self.exchange = exchange

    def __await__(self) -> Generator[Any, None, None]:
        """Hand the step to the driver."""
        yield self


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, in seconds."""

    seconds: float

    def __await__(self) -> Generator[Any, None, None]:
        """Hand the step to the driver."""
        yield self


@dataclass(frozen=True, slots=True)
class Offload(Generic[T]):
    """Call a function that may take long (hashing, a file read) where it stalls nobody else; returns its result."""

    function: Callable[[], T]

    def __await__(self) -> Generator[Any, T, T]:
        """Hand the step to the driver."""
        return (yield self)


@dataclass(slots=True)
class Shield(Generic[T]):
    """Run a coroutine to its end even when the work around it is being stopped; returns its result.

    Whoever is stopped waits a moment for it (`workers.GRACE`) and then goes on without it: the coroutine still runs to
    its end, and `undo`, if there is one, follows with the result that nobody takes.
    """

    task: Task[T]
    undo: Callable[[T], Task[object]] | None = None

    def __await__(self) -> Generator[Any, T, T]:
        """Hand the step to the driver."""
        return (yield self)


@dataclass(frozen=True, slots=True)
class Aside(Generic[T]):
    """Run a coroutine that hashes, sends or receives much where it stalls nobody else; returns its result."""

    task: Task[T]

    def __await__(self) -> Generator[Any, T, T]:
        """Hand the step to the driver."""
        return (yield self)


class Together(Generic[T]):
    """Run coroutines side by side, at most `limit` at once; returns their results in order.

    When one fails the others are cancelled and its exception is raised once all of them have stopped.
    The coroutines are taken from the iterable as places become free.
    """

    __slots__ = ("limit", "tasks")

    def __init__(self, tasks: Iterable[Task[T]], limit: int) -> None:
        self.tasks = tasks
        self.limit = limit

    def __await__(self) -> Generator[Any, list[T], list[T]]:
        """Hand the step to the driver."""
        return (yield self)


Step: TypeAlias = Transfer | Pause | Offload[Any] | Shield[Any] | Aside[Any] | Together[Any]
"""Everything that a driver is asked for."""
