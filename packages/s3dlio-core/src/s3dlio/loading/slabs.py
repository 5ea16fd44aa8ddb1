"""Slabs: one piece of memory for the objects of a batch, so that nothing has to stack them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from s3dlio import batch, operations
from s3dlio.buffer import BytesView, lease
from s3dlio.loading.reading import Fetched, Limits, Objects, Turn, ahead
from s3dlio.loading.tally import Tally

Rows: TypeAlias = NDArray[np.uint8]


class Slab:
    """Memory for `rows` objects of one size, which the first to answer tells; an object of another has its own."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._view: BytesView | None = None
        self._size = 0
        self._lock = threading.Lock()

    def place(self, row: int, size: int) -> memoryview:
        """Return memory for `size` bytes: that of a row if it fits. Any thread may ask."""
        with self._lock:
            if self._view is None:
                self._size = size
                self._view = lease(self._rows * size)
            view = self._view
        if size != self._size:
            return lease(size).memoryview()
        return view.memoryview()[row * size : (row + 1) * size]

    def whole(self, received: list[Any]) -> Rows | None:
        """Return the memory as shape (rows, size), if what was received for each row is in it."""
        if self._view is None or any(isinstance(row, Exception) or len(row) != self._size for row in received):
            return None
        return self._view.view(np.ndarray).reshape(self._rows, self._size)


def get_together(objects: Objects, indices: Sequence[int], tally: Tally) -> tuple[list[Any], Rows | None]:
    """Fetch objects side by side into one slab; return what came for each, and the slab if all of it is there."""
    slab = Slab(len(indices))
    received = objects.get(indices, tally, lambda uri, row: operations.get_placed(uri, _placing(slab, row)))
    return received, slab.whole(received)


def read_together(
    objects: Objects, turns: Iterator[Turn], count: int, size: int, limits: Limits, tally: Tally
) -> Generator[tuple[list[Fetched], Rows | None]]:
    """Yield the samples of `count` turns, `size` together, each batch with its slab if all of it is there.

    The last batch may be smaller.
    """
    slabs: list[Slab] = []
    rows = iter(range(count))

    def job(turn: Turn) -> batch.Job:
        number, row = divmod(next(rows), size)
        if row == 0:
            slabs.append(Slab(min(size, count - number * size)))
        uri = objects.listing[turn[1]]
        return operations.get_placed(uri, _placing(slabs[-1], row)), batch.is_local(uri)

    together: list[Fetched] = []
    for done, fetched in enumerate(ahead(turns, job, limits, tally), 1):
        together.append(fetched)
        if len(together) == size or done == count:
            yield together, slabs.pop(0).whole([data for _, _, data in together])
            together = []


def _placing(slab: Slab, row: int) -> Callable[[int], memoryview]:
    return partial(slab.place, row)
