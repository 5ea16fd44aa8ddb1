"""The iterable dataset: the objects of a prefix as a stream of samples, fetched ahead by their consumer.

Where a stream stands is seed, epoch and position, nothing else. The epoch lives in shared memory, so that
`set_epoch` reaches workers that are already running.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self, Unpack

from torch.utils.data import IterableDataset

from s3dlio.loading import (
    Cursor,
    Format,
    Listing,
    LoadStats,
    OnError,
    PyLoaderOptions,
    Shard,
    Start,
    State,
    Stream,
    Table,
    Uneven,
    list_samples,
    load_manifest,
    opened,
    save_manifest,
    table_of,
    together,
)
from s3dlio_torch import loader_state, ranks
from s3dlio_torch.iterator import SampleIterator
from s3dlio_torch.options import Streamed, StreamOptions
from s3dlio_torch.samples import ReturnType, Transform
from s3dlio_torch.shared import Shared

log = logging.getLogger("s3dlio.torch")


class ObjectStoreIterableDataset(IterableDataset[Any]):
    """The objects below a prefix as a stream, each sample exactly once an epoch over all ranks and workers.

    Samples are formed as by `ObjectStoreMapDataset`. With `shuffle` each epoch has an order of its own, a
    permutation that depends on `seed` and on the epoch of `set_epoch`. Ranks are those of
    `torch.distributed`, workers those of the `DataLoader`; with `enable_sharding=False` each of them gets
    every sample. `uneven` says what happens to samples that the ranks cannot share equally: "keep" hands them out,
    so that some ranks take a step more; "drop" leaves them out, "pad" repeats the last sample and "wrap" the first
    ones, so that all ranks take equal steps; "error" refuses.

    `prefetch` is the number of samples that are fetched or waiting at a time; by default it follows what arrives,
    between 32 and 256. `num_workers` is a hint for the same, 16 samples each; the processes are the business of the
    `DataLoader`, and reading needs none. Samples come in order, or with `in_order=False` as they arrive. With
    `on_error="skip"` those that cannot be read are left out, counted in `stats()` and logged.

    With `batch_size` the stream is one of batches, for `DataLoader(dataset, batch_size=None)`: plain samples of one
    size are received as the rows of one tensor, others are collated as PyTorch does, or are lists where their
    shapes differ.

    Raises:
        NotFoundError: no object is there, or, while iterating, no longer there. It names the URI, as every
            error does.
    """

    def __init__(
        self,
        uri: str,
        pattern: str | re.Pattern[str] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        *,
        num_workers: int | None = None,
        prefetch: int | None = None,
        batch_size: int | None = None,
        drop_last: bool = False,
        enable_sharding: bool = True,
        uneven: Uneven = "keep",
        in_order: bool = True,
        on_error: OnError = "raise",
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
        decode: Format | None = None,
        options: PyLoaderOptions | None = None,
    ) -> None:
        streamed = Streamed(
            shuffle=shuffle,
            seed=seed,
            transform=transform,
            num_workers=num_workers,
            prefetch=prefetch,
            batch_size=batch_size,
            drop_last=drop_last,
            enable_sharding=enable_sharding,
            uneven=uneven,
            in_order=in_order,
            on_error=on_error,
            return_type=return_type,
            with_uri=with_uri,
            decode=decode,
            options=options,
        )
        self._adopt(table_of(list_samples(uri, pattern), decode), streamed)

    def _adopt(self, table: Table, streamed: Streamed) -> None:
        self._table = table
        self._streamed = streamed.completed()
        self._plan = self._streamed.plan
        self._form = self._streamed.form
        self._packed = self._streamed.ranks or Shard()
        self._shared = Shared()
        self._start: Start | None = None
        self._cursor: Cursor | None = None

    @classmethod
    def _of(cls, table: Table, streamed: Streamed) -> Self:
        dataset = cls.__new__(cls)
        dataset._adopt(table, streamed)
        return dataset

    @classmethod
    def from_prefix(
        cls, uri: str, pattern: str | re.Pattern[str] | None = None, **options: Unpack[StreamOptions]
    ) -> Self:
        """Make the dataset of the objects below a prefix, as the class itself does."""
        return cls(uri, pattern, **options)

    @classmethod
    def from_uris(cls, uris: Iterable[str], **options: Unpack[StreamOptions]) -> Self:
        """Make the dataset of these objects, in this order unless shuffled, with the options of the class.

        Nothing is listed.

        Raises:
            ValueError: there are no URIs.
        """
        streamed = Streamed(**options)
        return cls._of(table_of(Listing.of(uris), streamed.decode), streamed)

    @classmethod
    def from_manifest(cls, uri: str, **options: Unpack[StreamOptions]) -> Self:
        """Make the dataset that `save_manifest` stored, with the options of the class; nothing is listed.

        Raises:
            IntegrityError: the object is not a manifest, or a damaged one.
        """
        streamed = Streamed(**options)
        return cls._of(load_manifest(uri, streamed.decode), streamed)

    def save_manifest(self, uri: str) -> None:
        """Store which samples the dataset has, in one object, so that another run need not list or index them."""
        save_manifest(uri, self._table)

    @property
    def uris(self) -> list[str]:
        """The URIs of the objects that hold the samples, in the order they were listed, as a new list."""
        return list(self._table.listing)

    def stats(self) -> LoadStats:
        """Return how many samples and bytes were loaded, and where the time went, over all worker processes."""
        return self._shared.stats()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the iterations to come, also in workers that run already.

        A position that was loaded belongs to its epoch: choosing another one starts that from its beginning.
        """
        if epoch != self._shared.epoch:
            self._start = self._cursor = None
        self._shared.epoch = epoch

    def state_dict(self) -> State:
        """Return seed, epoch, and the position: how many samples of the epoch have been handed out.

        The position is that of iterations in this process. With several ranks it counts all of them, taking
        them to be in step. Where a `DataLoader` has worker processes this process cannot see their positions;
        torchdata's `StatefulDataLoader` collects them.
        """
        if self._cursor is not None and self._cursor.shard.workers == 1:
            return self._cursor.state()
        return self._next_start().state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state was taken: the next iteration yields what would have come next.

        The state is that of `state_dict`, or of a whole `StatefulDataLoader`. Load it before a `DataLoader` starts
        its workers; there may be another number of workers and ranks than before.

        Raises:
            ValueError: a key is missing, or the state is of another number of samples.
        """
        start = opened(together(loader_state.of_consumers(state)), self._order())
        self._plan = replace(self._plan, seed=start.order.seed)
        self._shared.epoch = start.epoch
        self._start, self._cursor = start, None

    def __iter__(self) -> Iterator[Any]:
        """Iterate over this consumer's samples of the epoch; dropping the iterator stops the reading."""
        start, self._start = self._next_start(), None
        shard = ranks.of_consumer(self._packed) if self._streamed.enable_sharding else Shard()
        self._warn_of_uneven(start, shard)
        stream = Stream(self._table, self._plan, start, shard, self._shared.tally())
        self._cursor = stream.cursor
        return SampleIterator(stream, self._table, self._form, self._streamed.batch_size, self._streamed.drop_last)

    def _next_start(self) -> Start:
        return self._start or Start(self._order(), self._shared.epoch)

    def _order(self) -> Any:
        return self._table.order(self._plan.shuffle, self._plan.seed)

    def _warn_of_uneven(self, start: Start, shard: Shard) -> None:
        rest = start.progress.left(len(self._table)) % shard.world
        if rest and self._plan.uneven == "keep" and shard.worker == 0:
            log.warning(
                "%d of %d ranks take one sample more than the others: where ranks wait for each other,"
                " choose uneven='drop', 'pad' or 'wrap'",
                rest,
                shard.world,
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pack the ranks of this process for a worker that will not know them."""
        return {**self.__dict__, "_packed": ranks.of_process() or self._packed, "_cursor": None}
