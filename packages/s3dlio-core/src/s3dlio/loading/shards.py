"""Shards: which samples each of many consumers takes.

A consumer is one worker process of one rank. What is left of an epoch is a row of places, counted from 0; the
consumers deal them out like cards, `block` at a time, first among the ranks and then among the workers of a rank.
So ranks in step have together taken a beginning of the row, and every rank's workers take the same numbers of
samples as those of any other rank, except where a row that does not divide is kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, get_args

from s3dlio.loading.order import Indices

Uneven: TypeAlias = Literal["keep", "drop", "pad", "wrap", "error"]
"""What happens to samples that the ranks cannot share equally: they are kept, so that some ranks take one more; or
dropped; or made up for, with the last sample again (pad) or with the first ones (wrap); or refused."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One consumer among `world` ranks with `workers` worker processes each."""

    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse a consumer outside of its world."""
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank {self.rank} is not one of {self.world}: ranks count from 0")
        if not 0 <= self.worker < self.workers:
            raise ValueError(f"worker {self.worker} is not one of {self.workers}: workers count from 0")


def checked_uneven(uneven: str) -> str:
    """Return a policy for uneven shards if it is one."""
    if uneven not in get_args(Uneven):
        raise ValueError(f"uneven={uneven!r}: use one of {', '.join(map(repr, get_args(Uneven)))}")
    return uneven


@dataclass(frozen=True)
class Deal:
    """`count` places, dealt to `world` ranks of `workers` workers.

    Places from `count` on are those that make up for an uneven rest.
    """

    count: int
    world: int = 1
    workers: int = 1
    block: int = 1
    uneven: Uneven = "keep"

    def __post_init__(self) -> None:
        """Refuse a rest where none is allowed."""
        if self.uneven == "error" and self.count % self.world:
            raise ValueError(
                f"{self.count} samples cannot be shared equally by {self.world} ranks:"
                " choose uneven='drop', 'pad', 'wrap' or 'keep'"
            )

    @cached_property
    def dealt(self) -> int:
        """The number of places that are dealt."""
        if self.uneven == "keep":
            return self.count
        whole, rest = divmod(self.count, self.world)
        return (whole + (rest > 0 and self.uneven != "drop")) * self.world

    @cached_property
    def rounds(self) -> int:
        """How often each rank gets a whole block; what is left is one more round of smaller ones."""
        return self.dealt // (self.world * self.block)

    def size(self, shard: Shard) -> int:
        """Return how many places a consumer gets."""
        whole = len(range(shard.worker, self.rounds, self.workers)) * self.block
        return whole + (self._piece(shard.rank, self.rounds)[1] if self._has_rest(shard.worker) else 0)

    def places(self, shard: Shard, turns: Indices) -> Indices:
        """Return the places of a consumer's turns, which count from 0 below `size`."""
        rounds = shard.worker + turns // self.block * self.workers
        found = (rounds * self.world + shard.rank) * self.block + turns % self.block
        if self._has_rest(shard.worker):
            rest = rounds == self.rounds
            found[rest] = self._piece(shard.rank, self.rounds)[0] + turns[rest] % self.block
        return found

    def taken(self, turns: Mapping[tuple[int, int], int]) -> Iterator[tuple[int, int]]:
        """Yield the ranges of places, as start and stop, that have gone after as many turns of each (rank, worker).

        Ranks that are not named have taken what the workers of the lowest one that is have.
        """
        known = {rank for rank, _ in turns}
        model = min(known)
        every = {
            (rank, worker): turns.get((rank if rank in known else model, worker), 0)
            for rank in range(self.world)
            for worker in range(self.workers)
        }
        first = min(self.rounds, *(worker + count // self.block * self.workers for (_, worker), count in every.items()))
        yield 0, min(self.count, first * self.world * self.block)
        for (rank, worker), count in every.items():
            for start, stop in self._pieces(rank, worker, first, count):
                if start < self.count:
                    yield start, min(stop, self.count)

    def _pieces(self, rank: int, worker: int, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield the places of the rounds from `first` on that are among a consumer's first `count` turns."""
        number = first + (worker - first) % self.workers
        while (left := count - (number - worker) // self.workers * self.block) > 0 and number <= self.rounds:
            start, size = self._piece(rank, number)
            yield start, start + min(size, left)
            number += self.workers

    def _piece(self, rank: int, number: int) -> tuple[int, int]:
        """Return start and size of what a rank gets in a round."""
        start = number * self.world * self.block
        if number < self.rounds:
            return start + rank * self.block, self.block
        each, more = divmod(self.dealt - start, self.world)
        return start + rank * each + min(rank, more), each + (rank < more)

    def _has_rest(self, worker: int) -> bool:
        return self.rounds % self.workers == worker
