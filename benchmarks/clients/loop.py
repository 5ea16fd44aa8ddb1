"""An asyncio loop that lives as long as the client, and tasks that share out work among them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Loop:
    """One event loop, run only while it is asked for something."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what the work returns."""
        return self._loop.run_until_complete(work)

    def map(self, call: Callable[[Item], Awaitable[Result]], items: Iterable[Item], number: int) -> list[Result]:
        """Return what `call` returns for each item, in order, from as many tasks as may be in flight."""
        return self.run(_spread(call, items, number))

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()


async def _spread(call: Callable[[Item], Awaitable[Result]], items: Iterable[Item], number: int) -> list[Result]:
    found: dict[int, Result] = {}
    waiting = iter(enumerate(items))

    async def work() -> None:
        for place, item in waiting:
            found[place] = await call(item)

    await asyncio.gather(*(work() for _ in range(number)))
    return [found[place] for place in range(len(found))]
