"""Shards: which positions of an epoch each of many consumers takes.

A consumer is one worker process of one rank. The consumers deal the positions out among themselves like
cards, so every position is taken once, and consumers at the same pace have together taken a prefix of the
epoch.
"""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def consumer(self) -> int:
        """The number of this consumer among all of them."""
        return self.rank * self.workers + self.worker

    @property
    def consumers(self) -> int:
        """How many consumers share an epoch."""
        return self.world * self.workers

    def positions(self, n: int, start: int = 0) -> range:
        """Return this consumer's positions of an epoch of `n` samples, from global position `start` on.

        What lies before `start` counts as taken, by whomever; the rest is dealt out from the first consumer
        on.
        """
        return range(start + self.consumer, n, self.consumers)

    def reached(self, n: int, start: int, taken: int) -> int:
        """Return the global position when each consumer has taken `taken` samples from `start` on."""
        return min(n, start + taken * self.consumers)
