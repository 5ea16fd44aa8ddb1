"""The sampler: the order of an epoch for map datasets, shared by ranks, that can be resumed by any number of them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sized
from itertools import chain
from operator import index as as_int
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import Sampler

from s3dlio.loading import Cursor, Expectation, Order, Plan, Shard, Start, State, Uneven, opened, together
from s3dlio_torch import loader_state, ranks


@runtime_checkable
class ReadsAhead(Protocol):
    """A dataset that can read what it will be asked for."""

    def expect(self, turns: Iterator[tuple[int, int]], count: int) -> Expectation:
        """Expect as many turns, each its number and the index of its sample."""
        ...


class EpochSampler(Sampler[int]):
    """The indices of one rank's samples, in an order that seed and epoch decide; it takes no memory.

    Ranks are those of `torch.distributed` when an iteration begins, unless `rank` and `world` are given. `uneven`
    is that of `ObjectStoreIterableDataset`. `set_epoch` chooses the epoch.

    An `ObjectStoreMapDataset` reads ahead of the batches that its sampler will ask for, where there are no workers.

    The state counts the indices that were handed out, to a `DataLoader` those of batches that are not yet delivered
    too. That of torchdata's `StatefulDataLoader` counts what was delivered; `load_state_dict` takes it as well.

    Raises:
        ValueError: there are no samples, or no such rank or policy.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int = 0,
        *,
        uneven: Uneven = "keep",
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        if (rank is None) != (world is None):
            raise ValueError(f"rank={rank}, world={world}: give both, or none")
        if not len(dataset):
            raise ValueError("a sampler needs at least one sample, and the dataset has none")
        self._dataset = dataset if isinstance(dataset, ReadsAhead) else None
        self._shard = None if rank is None or world is None else Shard(rank, world)
        self._plan = Plan(shuffle, as_int(seed), uneven=uneven)
        self._start = Start(Order(len(dataset), shuffle, as_int(seed)))
        self._cursor: Cursor | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the iterations to come. A position that was loaded belongs to its epoch."""
        if epoch < 0:
            raise ValueError(f"epoch {epoch}: epochs count from 0")
        if epoch != self._start.epoch:
            self._start, self._cursor = Start(self._start.order, epoch), None

    def __len__(self) -> int:
        """Return how many indices an iteration has for this rank."""
        return self._new_cursor().turns

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of the epoch, or of what was left of it."""
        self._cursor = self._new_cursor()
        self._start = Start(self._start.order, self._start.epoch)
        return _Indices(self._cursor, self._dataset)

    def state_dict(self) -> State:
        """Return seed, epoch and position, which counts all ranks, taking them to be in step."""
        return self._start.state() if self._cursor is None else self._cursor.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, with any number of ranks and workers.

        Raises:
            ValueError: a key is missing, or the state is of another number of samples.
        """
        self._start = opened(together(loader_state.of_consumers(state)), self._start.order)
        self._cursor = None

    def _new_cursor(self) -> Cursor:
        shard = self._shard or ranks.of_process() or Shard()
        return Cursor(self._start, shard, self._plan.uneven)


class _Indices(Iterator[int]):
    """An iteration that can be saved and resumed."""

    def __init__(self, cursor: Cursor, dataset: ReadsAhead | None) -> None:
        self._cursor = cursor
        self._dataset = dataset
        self._begin()

    def _begin(self) -> None:
        self._indices = self._cursor.indices()
        if self._dataset is not None:
            expected = self._dataset.expect(_begun(self._cursor.indices()), self._cursor.left)
            weakref.finalize(self, expected.close)

    def __next__(self) -> int:
        turn, index = next(self._indices)
        self._cursor.take(turn)
        return index

    def state_dict(self) -> State:
        return self._cursor.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._cursor.load(state)
        self._begin()


def _begun(turns: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Return turns that begin where the cursor is now, not where it will be when the first is asked for."""
    first = next(turns, None)
    return turns if first is None else chain([first], turns)
