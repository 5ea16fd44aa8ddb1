"""Datasets and loaders for any framework, or none: samples are the bytes of objects."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from dataclasses import replace

from s3dlio import aio
from s3dlio.buffer import BytesView
from s3dlio.loading.cursor import Cursor, Start
from s3dlio.loading.listing import Listing, list_samples
from s3dlio.loading.options import PyLoaderOptions
from s3dlio.loading.reading import Objects
from s3dlio.loading.shards import Shard
from s3dlio.loading.stream import Plan, Stream, prefetch_of
from s3dlio.loading.tally import Tally

_AHEAD = 64  # samples that an `async for` fetches ahead when nobody says how many


class ObjectDataset:
    """The objects below a prefix: by index, or as a stream in the order of the options, each a `BytesView`.

    Raises:
        NotFoundError: no object is there.
    """

    def __init__(self, listing: Listing, options: PyLoaderOptions) -> None:
        self.options = options
        self._table = Objects(listing)

    @property
    def uris(self) -> list[str]:
        """The URIs of the objects, as a new list."""
        return list(self._table.listing)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._table)

    def __getitem__(self, index: int) -> BytesView:
        """Fetch one object; a negative index counts from the end."""
        data: BytesView = self._table.one(index, Tally())
        return data

    def __iter__(self) -> Iterator[BytesView]:
        """Iterate over the objects of this rank, fetched ahead."""
        start = Start(self._table.order(self.options.shuffle_value, self.options.seed))
        stream = Stream(self._table, _plan(self.options), start, self.options.shard or Shard(), Tally())
        with closing(stream.samples()) as samples:
            for _, data in samples:
                yield data


class ObjectLoader:
    """Batches of the objects below a prefix, as lists of `BytesView`: by `for`, by `async for`, or by index.

    Every iteration is one epoch; `set_epoch` chooses which, where it is shuffled.
    """

    def __init__(self, listing: Listing, options: PyLoaderOptions) -> None:
        self.options = options
        self._table = Objects(listing)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the iterations to come."""
        if epoch < 0:
            raise ValueError(f"epoch {epoch}: epochs count from 0")
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of this rank."""
        turns, size = self._cursor().turns, self.options.batch_size
        return turns // size if self.options.drop_last_value else -(-turns // size)

    def __getitem__(self, index: int) -> list[BytesView]:
        """Fetch one batch; a negative index counts from the end."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"batch {index} of {count}")
        found = self._table.get(next(self._indices(index % count)), Tally())
        for data in found:
            if isinstance(data, Exception):
                raise data
        return found

    def __iter__(self) -> Iterator[list[BytesView]]:
        """Iterate over the batches, fetched ahead."""
        plan, shard = _plan(self.options), self.options.shard or Shard()
        stream = Stream(self._table, plan, self._start(), shard, Tally())
        batch: list[BytesView] = []
        with closing(stream.samples()) as samples:
            for _, data in samples:
                batch.append(data)
                if len(batch) == self.options.batch_size:
                    yield batch
                    batch = []
        if batch and not self.options.drop_last_value:
            yield batch

    async def __aiter__(self) -> AsyncGenerator[list[BytesView], None]:
        """Iterate over the batches inside asyncio, fetched ahead; leaving the loop stops the fetching."""
        ahead = max(1, (_plan(self.options).prefetch or _AHEAD) // self.options.batch_size)
        wanted = self._indices()
        fetching: deque[asyncio.Task[list[BytesView]]] = deque()
        try:
            while True:
                while len(fetching) <= ahead and (indices := next(wanted, None)) is not None:
                    uris = [self._table.uri(index) for index in indices]
                    fetching.append(asyncio.ensure_future(aio.get_many_async(uris)))
                if not fetching:
                    return
                yield await fetching.popleft()
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)

    def _indices(self, first: int = 0) -> Iterator[list[int]]:
        """Yield the indices of the objects of each batch, from one on."""
        batch: list[int] = []
        cursor = self._cursor()
        cursor.load({**cursor.own_state(), "taken": first * self.options.batch_size})
        for _, index in cursor.indices():
            batch.append(index)
            if len(batch) == self.options.batch_size:
                yield batch
                batch = []
        if batch and not self.options.drop_last_value:
            yield batch

    def _cursor(self) -> Cursor:
        return Cursor(self._start(), self.options.shard or Shard())

    def _start(self) -> Start:
        return Start(self._table.order(self.options.shuffle_value, self.options.seed), self._epoch)


def create_dataset(
    uri: str, options: PyLoaderOptions | None = None, *, pattern: str | re.Pattern[str] | None = None
) -> ObjectDataset:
    """Make a dataset of the objects below a prefix, of any scheme; `pattern` selects keys, as in `list`.

    Raises:
        NotFoundError: no object is there.
    """
    return ObjectDataset(list_samples(uri, pattern), options or PyLoaderOptions())


def create_async_loader(
    uri: str, options: PyLoaderOptions | None = None, *, pattern: str | re.Pattern[str] | None = None
) -> ObjectLoader:
    """Make a loader of batches of the objects below a prefix, of any scheme; `pattern` selects keys, as in `list`.

    Raises:
        NotFoundError: no object is there.
    """
    return ObjectLoader(list_samples(uri, pattern), options or PyLoaderOptions())


def _plan(options: PyLoaderOptions) -> Plan:
    ahead = prefetch_of(options.prefetch_value, options.num_workers_value)
    return replace(Plan(), shuffle=options.shuffle_value, seed=options.seed, prefetch=ahead)
