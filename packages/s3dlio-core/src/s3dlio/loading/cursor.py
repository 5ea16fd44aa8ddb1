"""Cursors: where one consumer stands in an epoch, as a value that can be saved.

A cursor knows no storage. It says which sample comes at each turn of its consumer, remembers which turns are over,
and from that tells what of the epoch is left for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import index as as_int
from typing import Any, TypeAlias

import numpy as np

from s3dlio.loading.order import Indices, Order
from s3dlio.loading.progress import Progress
from s3dlio.loading.shards import Deal, Shard, Uneven

State: TypeAlias = dict[str, Any]
"""Integers and lists of them, so it fits into any checkpoint."""

_CHUNK = 4096  # turns looked up at once: a vectorised lookup costs as much for one as for hundreds


@dataclass(frozen=True, slots=True)
class Start:
    """Where an epoch begins: its order, its number, and what of it has been taken before."""

    order: Order
    epoch: int = 0
    progress: Progress = field(default_factory=Progress)

    def state(self) -> State:
        """Return it as a state."""
        progress = self.progress
        state: State = {"seed": self.order.seed, "epoch": self.epoch, "samples": self.order.n}
        state["position"] = progress.position
        return state if not progress.ahead else {**state, "ahead": [list(each) for each in progress.ahead]}


class Cursor:
    """One consumer's way through what is left of an epoch.

    A turn is the consumer's own count of its samples. In completion order turns may end out of order.
    """

    def __init__(self, start: Start, shard: Shard, uneven: Uneven = "keep") -> None:
        self.shard = shard
        self._stand(start, uneven)

    def _stand(self, start: Start, uneven: Uneven, taken: int = 0, beyond: Iterable[int] = ()) -> None:
        self.start = start
        left, block = start.progress.left(start.order.n), start.order.block * start.order.group
        self._deal = Deal(left, self.shard.world, self.shard.workers, block, uneven)
        self.turns = self._deal.size(self.shard)
        self._taken = taken
        self._beyond = set(beyond)

    @property
    def left(self) -> int:
        """How many turns are still to come."""
        return self.turns - self._taken - len(self._beyond)

    def indices(self) -> Iterator[tuple[int, int]]:
        """Yield (turn, index of the sample) of each turn that is still to come."""
        for first in range(self._taken, self.turns, _CHUNK):
            turns = np.arange(first, min(first + _CHUNK, self.turns))
            if self._beyond:
                turns = turns[[turn not in self._beyond for turn in turns.tolist()]]
            indices = self.start.order.indices(self.start.epoch, self._positions(turns))
            yield from zip(turns.tolist(), indices.tolist(), strict=True)

    def _positions(self, turns: Indices) -> Indices:
        places, count = self._deal.places(self.shard, turns), self._deal.count
        if self._deal.uneven == "pad":
            places = np.minimum(places, count - 1)
        positions = self.start.progress.positions(np.minimum(places, count - 1))
        again = places >= count  # from the beginning of the epoch, whoever had that
        positions[again] = (places[again] - count) % self.start.order.n
        return positions

    def take(self, turn: int) -> None:
        """Note that a turn is over: its sample is in the hands of the training loop."""
        if turn != self._taken:
            self._beyond.add(turn)
            return
        self._taken += 1
        while self._beyond and self._taken in self._beyond:
            self._beyond.remove(self._taken)
            self._taken += 1

    def state(self) -> State:
        """Return where the epoch stands.

        Without workers it is that of the whole epoch, taking the other ranks to be in step. A worker cannot know
        where its siblings are: its state tells its own turns, and `together` makes one of all.
        """
        if self.shard.workers == 1:
            return together([self.own_state()])
        return self.own_state()

    def own_state(self) -> State:
        """Return which turns of this consumer are over, for itself to go on or for `together`."""
        shard = self.shard
        state = {**self.start.state(), "rank": shard.rank, "world": shard.world, "worker": shard.worker}
        state |= {"workers": shard.workers, "uneven": self._deal.uneven, "taken": self._taken}
        state["block"] = self._deal.block
        return state if not self._beyond else {**state, "beyond": sorted(self._beyond)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Stand where a consumer with the same place among as many others stood.

        Raises:
            ValueError: the state is not one of such a consumer.
        """
        start = opened(state, self.start.order)
        if "taken" not in state:
            self._stand(start, self._deal.uneven)
            return
        saved = Shard(*(as_int(state[key]) for key in ("rank", "world", "worker", "workers")))
        if saved != self.shard:
            raise ValueError(
                f"the state is of {saved}, and this is {self.shard}: to go on with other ranks or workers,"
                " load the state into the dataset before the loader is made"
            )
        self._stand(start, state["uneven"], as_int(state["taken"]), map(as_int, state.get("beyond", ())))


def opened(state: Mapping[str, Any], order: Order) -> Start:
    """Return the start that a state tells, for samples in this order but with the seed of the state.

    Raises:
        ValueError: something is missing in the state, or it is of another number of samples.
    """
    missing = [key for key in ("seed", "epoch", "position") if key not in state]
    if missing:
        raise ValueError(f"the state lacks {', '.join(missing)}: give what state_dict() returned")
    seed, epoch, position = (as_int(state[key]) for key in ("seed", "epoch", "position"))
    samples = as_int(state.get("samples", order.n))
    if samples != order.n:
        raise ValueError(f"the state is of {samples} samples, and the dataset has {order.n}: it lists other objects")
    if epoch < 0:
        raise ValueError(f"epoch {epoch} in the state: epochs count from 0")
    progress = Progress(position, tuple((as_int(a), as_int(b)) for a, b in state.get("ahead", ())))
    if position < 0 or progress.end > order.n:
        raise ValueError(f"position {progress.end} in the state does not fit a dataset of {order.n} samples")
    return Start(Order(order.n, order.shuffle, seed, order.block, order.group), epoch, progress)


def together(states: Iterable[Mapping[str, Any]]) -> State:
    """Return the state of the whole epoch, from those of all workers of one rank, or of several ranks.

    Ranks that are not among them are taken to be in step with the lowest that is. Any number of ranks and workers
    can go on from the result.

    Raises:
        ValueError: the states do not belong together, or some worker is missing.
    """
    given = [*states]
    if not given:
        raise ValueError("no state of a consumer was given")
    first = given[0]
    if "taken" not in first:
        return dict(first)
    shared = ("seed", "epoch", "samples", "position", "ahead", "world", "workers", "uneven", "block")
    if any(state.get(key) != first.get(key) for state in given for key in shared):
        raise ValueError("the states are not of one epoch: give those that one loader saved at one time")
    samples, world, workers = first["samples"], first["world"], first["workers"]
    turns = {(state["rank"], state["worker"]): state["taken"] for state in given}
    if any((rank, worker) not in turns for rank, _ in turns for worker in range(workers)):
        raise ValueError(f"{len(given)} states are not those of the {workers} workers of each rank")
    start = opened(first, Order(samples))
    deal = Deal(start.progress.left(samples), world, workers, first["block"], first["uneven"])
    places = [*deal.taken(turns), *_beyond(given, deal, world == len({rank for rank, _ in turns}))]
    if all(count == deal.size(Shard(rank, world, worker, workers)) for (rank, worker), count in turns.items()):
        return Start(start.order, start.epoch, Progress(samples)).state()
    return Start(start.order, start.epoch, start.progress.with_taken(places)).state()


def _beyond(states: list[Mapping[str, Any]], deal: Deal, complete: bool) -> Iterator[tuple[int, int]]:
    """Yield the places, as ranges, of turns that ended out of order."""
    for state in states:
        if "beyond" not in state:
            continue
        if not complete:
            raise ValueError("samples were taken in the order of their arrival: give the states of every rank")
        shard = Shard(state["rank"], state["world"], state["worker"], state["workers"])
        for place in deal.places(shard, np.array(state["beyond"])).tolist():
            if place < deal.count:
                yield place, place + 1
