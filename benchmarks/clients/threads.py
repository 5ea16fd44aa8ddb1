"""Threads that do the same call for many things, kept from one batch to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """Pools of threads, one for each number of threads that was asked for."""

    def __init__(self) -> None:
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def map(self, call: Callable[[Item], Result], items: Iterable[Item], number: int) -> list[Result]:
        """Return what `call` returns for each item, in order; for one thread, that of the caller."""
        if number == 1:
            return [call(item) for item in items]
        if number not in self._pools:
            self._pools[number] = ThreadPoolExecutor(number)
        return list(self._pools[number].map(call, items))

    def close(self) -> None:
        """End the threads."""
        for pool in self._pools.values():
            pool.shutdown()
