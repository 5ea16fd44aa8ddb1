"""Expecting: reading ahead of a consumer that names the samples it wants, batch by batch, in an order known before."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from s3dlio.loading.reading import Fetched, Limits, Objects, Table, Turn
from s3dlio.loading.slabs import Rows, read_together
from s3dlio.loading.tally import Tally

Together: TypeAlias = tuple[list[Fetched], Rows | None]


class Expectation:
    """What a consumer will ask for: `count` turns. The first question starts the reading, a different one ends it.

    With `in_place` the objects of each batch are received in one piece of memory.
    """

    def __init__(self, table: Table, turns: Iterator[Turn], count: int, limits: Limits, in_place: bool) -> None:
        self._table = table
        self._turns = turns
        self._left = count
        self._limits = limits
        self._in_place = in_place
        self._batches: Generator[Together] | None = None
        self._size = 0

    def take(self, indices: Sequence[int], tally: Tally) -> tuple[list[Any], Rows | None] | None:
        """Return the bytes of these samples, or exceptions in their place; None if others were expected."""
        if self._batches is None:
            self._size = len(indices)
            self._batches = self._reading(tally)
        if len(indices) != min(self._size, self._left):
            self.close()
            return None
        nothing: Together = ([], None)
        fetched, rows = next(self._batches, nothing)
        if [index for _, index, _ in fetched] != list(indices):
            self.close()
            return None
        self._left -= len(fetched)
        return [data for _, _, data in fetched], rows

    def close(self) -> None:
        """Stop the reading."""
        self._left = 0
        if self._batches is not None:
            self._batches.close()

    def _reading(self, tally: Tally) -> Generator[Together]:
        if self._in_place and isinstance(self._table, Objects):
            yield from read_together(self._table, self._turns, self._left, self._size, self._limits, tally)
            return
        fetched: list[Fetched] = []
        with closing(self._table.read(self._turns, self._limits, tally)) as reading:
            for each in reading:
                fetched.append(each)
                if len(fetched) == min(self._size, self._left):
                    yield fetched, None
                    fetched = []
