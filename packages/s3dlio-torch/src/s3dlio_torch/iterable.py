"""The iterable dataset: the objects of a prefix as a stream of samples, fetched ahead by their consumer.

Where a stream stands is seed, epoch and position, nothing else. The epoch lives in shared memory, so that
`set_epoch` reaches workers that are already running.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from operator import index as as_int
from typing import Any, Self

import torch
from torch.utils.data import IterableDataset

from s3dlio.loading import Listing, Order, Shard, list_samples, read_ahead
from s3dlio_torch import ranks
from s3dlio_torch.samples import ReturnType, SampleForm, Transform

_FETCHES_PER_WORKER = 16
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Stream:
    """How samples are streamed: in which order, how many fetched ahead, and whether consumers share them."""

    shuffle: bool
    seed: int
    prefetch: int
    sharding: bool


class ObjectStoreIterableDataset(IterableDataset[Any]):
    """The objects below a prefix as a stream, each sample exactly once an epoch over all ranks and workers.

    Samples are formed as by `ObjectStoreMapDataset`. With `shuffle` each epoch has an order of its own, a
    permutation that depends on `seed` and on the epoch of `set_epoch`. Ranks are those of
    `torch.distributed`, workers those of the `DataLoader`; with `enable_sharding=False` each of them gets
    every sample.

    `prefetch` is the number of objects that are fetched or waiting at a time. `num_workers` is a hint for the
    same, 16 objects each and 4 by default; the processes are the business of the `DataLoader`, and reading
    needs none.

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
        enable_sharding: bool = True,
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
    ) -> None:
        form = SampleForm(transform, return_type, with_uri)
        stream = Stream(shuffle, as_int(seed), _ahead(prefetch, num_workers), enable_sharding)
        self._adopt(list_samples(uri, pattern), form, stream)

    def _adopt(self, listing: Listing, form: SampleForm, stream: Stream) -> None:
        self._listing = listing
        self._form = form
        self._stream = stream
        self._packed = Shard()
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._start = 0
        self._position = 0

    @classmethod
    def from_prefix(
        cls,
        uri: str,
        pattern: str | re.Pattern[str] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        *,
        num_workers: int | None = None,
        prefetch: int | None = None,
        enable_sharding: bool = True,
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
    ) -> Self:
        """Make the dataset of the objects below a prefix, as the class itself does."""
        return cls(
            uri,
            pattern,
            shuffle,
            seed,
            transform,
            num_workers=num_workers,
            prefetch=prefetch,
            enable_sharding=enable_sharding,
            return_type=return_type,
            with_uri=with_uri,
        )

    @classmethod
    def from_uris(
        cls,
        uris: Iterable[str],
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        *,
        num_workers: int | None = None,
        prefetch: int | None = None,
        enable_sharding: bool = True,
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
    ) -> Self:
        """Make the dataset of these objects, in this order unless shuffled; nothing is listed.

        Raises:
            ValueError: there are no URIs.
        """
        form = SampleForm(transform, return_type, with_uri)
        stream = Stream(shuffle, as_int(seed), _ahead(prefetch, num_workers), enable_sharding)
        dataset = cls.__new__(cls)
        dataset._adopt(Listing.of(uris), form, stream)
        return dataset

    @property
    def uris(self) -> list[str]:
        """The URIs of all samples, in the order they were listed, as a new list."""
        return list(self._listing)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the iterations to come, also in workers that run already.

        A position that was loaded belongs to its epoch: choosing another one starts that from its beginning.
        """
        if epoch < 0:
            raise ValueError(f"epoch {epoch}: epochs count from 0")
        if epoch != self._current_epoch():
            self._start = self._position = 0
        self._epoch[0] = epoch

    def state_dict(self) -> dict[str, int]:
        """Return seed, epoch, and the position: how many samples of the epoch have been handed out.

        The position is that of iterations in this process. With several ranks it counts all of them, taking
        them to be in step. Where a `DataLoader` has worker processes this process cannot see their positions.
        """
        return {"seed": self._stream.seed, "epoch": self._current_epoch(), "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where `state_dict` was taken: the next iteration yields what would have come next.

        Load it before a `DataLoader` starts its workers. The position counts samples over all ranks and
        workers.

        Raises:
            ValueError: a key is missing, or the dataset has fewer samples than the position says were taken.
        """
        seed, epoch, position = _checked(state, len(self._listing))
        self._stream = replace(self._stream, seed=seed)
        self._epoch[0] = epoch
        self._start = self._position = position

    def __iter__(self) -> Generator[Any]:
        """Iterate over this consumer's samples of the epoch; dropping the iterator stops the reading."""
        start, self._start = self._start, 0
        self._position = start
        return self._samples(self._current_epoch(), start)

    def _samples(self, epoch: int, start: int) -> Generator[Any]:
        stream, n = self._stream, len(self._listing)
        shard = ranks.of_consumer(self._packed) if stream.sharding else Shard()
        order = Order(n, stream.shuffle, stream.seed)
        reading = read_ahead(self._listing, order, epoch=epoch, start=start, shard=shard, prefetch=stream.prefetch)
        with closing(reading):
            for taken, (uri, data) in enumerate(reading, 1):
                sample = self._form.of(uri, data)
                self._position = shard.reached(n, start, taken)
                yield sample

    def _current_epoch(self) -> int:
        return int(self._epoch.item())

    def __getstate__(self) -> dict[str, Any]:
        """Pack the ranks of this process for a worker that will not know them."""
        return {**self.__dict__, "_packed": ranks.of_process() or self._packed}


def _ahead(prefetch: int | None, num_workers: int | None) -> int:
    if prefetch is None:
        return _FETCHES_PER_WORKER * (num_workers or _WORKERS)
    if prefetch < 1:
        raise ValueError(f"prefetch={prefetch}: at least one object must be fetched at a time")
    return prefetch


def _checked(state: Mapping[str, int], samples: int) -> tuple[int, int, int]:
    missing = [key for key in ("seed", "epoch", "position") if key not in state]
    if missing:
        raise ValueError(f"the state lacks {', '.join(missing)}: give what state_dict() returned")
    seed, epoch, position = (as_int(state[key]) for key in ("seed", "epoch", "position"))
    if epoch < 0:
        raise ValueError(f"epoch {epoch} in the state: epochs count from 0")
    if not 0 <= position <= samples:
        raise ValueError(f"position {position} in the state does not fit a dataset of {samples} samples")
    return seed, epoch, position
