"""Records: samples that lie side by side inside of objects, read by range.

Records that are wanted together and lie together are fetched together: reading goes window by window of turns, and
in each the records are sorted by their place. An order that suits this keeps neighbours in one window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from s3dlio import batch, operations
from s3dlio.errors import IntegrityError
from s3dlio.loading.columns import Columns
from s3dlio.loading.decoding import Format, decoded
from s3dlio.loading.listing import Listing
from s3dlio.loading.order import Order
from s3dlio.loading.reading import Fetched, Limits, Turn, ahead, everything, place_of
from s3dlio.loading.tally import Tally

_BLOCK = 4 << 20  # bytes that stay together in a shuffled epoch: one request each
_GROUP = 8  # blocks that are mixed: 32 MiB of samples
_UNITS = 64  # groups at least in any dataset, so that all consumers get some
_MOST = 2048  # records of a block: planning a group of more would keep its first one waiting
_GAP = 32 << 10  # bytes that are rather read than left out, which would cost a request
_LARGEST = 8 << 20  # bytes of a request for many records
_SMALLEST = 256 << 10  # bytes that such a request may have, however few may be under way
_FEWEST = 256  # turns in a window, unless they are of more bytes
_HELD = 2 * _GROUP * _BLOCK  # bytes of a window: a group, and as much again where its samples are larger than others
_REQUESTS = 16  # under way


@dataclass(slots=True)
class _Extent:
    """A range of one object that holds records; `turns` are those, with their places in it."""

    shard: int
    offset: int
    length: int
    turns: list[tuple[Turn, int, int]] = field(default_factory=list["tuple[Turn, int, int]"])

    @property
    def first(self) -> int:
        """The earliest turn that needs it."""
        return min(turn for (turn, _), _, _ in self.turns)


class Records:
    """A table whose samples are ranges of objects."""

    def __init__(self, listing: Listing, columns: Columns, decode: Format) -> None:
        self.listing = listing
        self.columns = columns
        self.decode: Format | None = decode
        total = int(columns["length"].sum())
        self._each = max(1, total // max(1, len(self)))
        self._block = max(1, min(_BLOCK, total // _UNITS // _GROUP) // self._each)
        self._block = min(self._block, _MOST)

    def __len__(self) -> int:
        """Return the number of records."""
        return self.columns["offset"].size

    def order(self, shuffle: bool, seed: int) -> Order:
        """Return an order that keeps neighbours close to each other."""
        return Order(len(self), shuffle, seed, self._block, _GROUP if self._block > 1 else 1)

    def uri(self, index: int) -> str:
        """Return the URI of the object that holds a record."""
        return self.listing[int(self.columns["shard"][place_of(index, len(self))])]

    def name(self, index: int) -> str:
        """Return the URI of the object and where in it a record is."""
        return f"{self.uri(index)} (record at byte {int(self.columns['offset'][index])})"

    def decoded(self, index: int, data: Any) -> Any:
        """Return what the bytes of a record hold."""
        return decoded(self.decode, data, self.uri(index), int(self.columns["offset"][index]))

    def one(self, index: int, tally: Tally) -> Any:
        """Return the bytes of one record; a negative index counts from the end."""
        (data,) = self.get([place_of(index, len(self))], tally)
        if isinstance(data, Exception):
            raise data
        return data

    def get(self, indices: Sequence[int], tally: Tally) -> list[Any]:
        """Return the bytes of many records, or the exceptions in their place."""
        wanted = [place_of(index, len(self)) for index in indices]
        found: list[Any] = [None] * len(wanted)
        for turn, _, data in self.read(enumerate(wanted), everything(), tally):
            found[turn] = data
        return found

    def read(self, turns: Iterator[Turn], limits: Limits, tally: Tally) -> Generator[Fetched]:
        """Yield the records of these turns, in their order; neighbours share memory.

        A window whose order is not that of storage waits in memory until it is handed out, beside what the limits
        allow to be read ahead.
        """
        windows: deque[deque[Turn]] = deque()
        extents: deque[_Extent] = deque()
        largest = min(_LARGEST, max(_SMALLEST, limits.bytes // _REQUESTS))

        def planned() -> Iterator[Turn]:
            for window in self._windows(turns, limits):
                windows.append(deque(window))
                for extent in self._extents(window, largest):
                    extents.append(extent)
                    yield extent.shard, len(extents)

        def job(_: Turn) -> batch.Job:
            extent = extents[-1]
            uri = self.listing[extent.shard]
            return operations.get_range(uri, extent.offset, extent.length), batch.is_local(uri)

        fewer = replace(limits, samples=min(limits.samples, _REQUESTS), fewest=None, in_order=True)
        arriving = ahead(planned(), job, fewer, tally)
        try:
            yield from self._in_turn(windows, extents, arriving)
        finally:
            arriving.close()

    def _windows(self, turns: Iterator[Turn], limits: Limits) -> Iterator[list[Turn]]:
        """Yield the turns that are planned together. Those of a group of blocks are, as none is read twice then."""
        size = max(_FEWEST, min(_GROUP * _BLOCK // self._each, _GROUP * _MOST))
        most = _HELD if self._block > 1 else min(_HELD, limits.bytes)
        rest: list[Turn] = []
        while window := [*rest, *islice(turns, size - len(rest))]:
            held = np.cumsum(self.columns["length"][[index for _, index in window]])
            stop = int(np.searchsorted(held, most)) + 1
            yield window[:stop]
            rest = window[stop:]

    def _in_turn(
        self, windows: deque[deque[Turn]], extents: deque[_Extent], arriving: Generator[Fetched]
    ) -> Generator[Fetched]:
        ready: dict[int, Any] = {}
        for _, _, content in arriving:
            ready |= self._cut(extents.popleft(), content)
            while windows and windows[0][0][0] in ready:
                turn, index = windows[0].popleft()
                yield turn, index, ready.pop(turn)
                if not windows[0]:
                    windows.popleft()

    def _cut(self, extent: _Extent, content: Any) -> dict[int, Any]:
        """Return the records in the content of an extent by their turns, or the exception for all of them."""
        if isinstance(content, Exception):
            return {turn: content for (turn, _), _, _ in extent.turns}
        if len(content) < extent.length:
            return {turn: self._cut_off(index, extent) for (turn, index), _, _ in extent.turns}
        return {turn: content[start : start + length] for (turn, _), start, length in extent.turns}

    def _cut_off(self, index: int, extent: _Extent) -> IntegrityError:
        end = extent.offset + extent.length
        text = f"{self.name(index)}: the object ends before byte {end}, so its index is of another one"
        return IntegrityError(text, self.uri(index))

    def _extents(self, window: list[Turn], largest: int) -> list[_Extent]:
        """Return the requests that bring the records of a window, in the order in which they are needed."""
        indices = np.array([index for _, index in window])
        shards, offsets, lengths = (self.columns[name][indices] for name in ("shard", "offset", "length"))
        found: list[_Extent] = []
        for each in np.lexsort((offsets, shards)):
            number = int(each)
            shard, offset, length = int(shards[number]), int(offsets[number]), int(lengths[number])
            extent = found[-1] if found else None
            if extent is None or not _joins(extent, shard, offset, length, largest):
                extent = _Extent(shard, offset, 0)
                found.append(extent)
            extent.length = max(extent.length, offset + length - extent.offset)
            extent.turns.append((window[number], offset - extent.offset, length))
        return sorted(found, key=lambda extent: extent.first)


def _joins(extent: _Extent, shard: int, offset: int, length: int, largest: int) -> bool:
    if shard != extent.shard or offset > extent.offset + extent.length + _GAP:
        return False
    return offset + length - extent.offset <= largest
