"""Streams: one consumer's samples of an epoch, whatever framework takes them.

A stream reads nothing before its first sample is asked for, so that a saved state can still be loaded into it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, TypeAlias, get_args

from s3dlio import config
from s3dlio.loading.cursor import Cursor, Start, State
from s3dlio.loading.reading import Fetched, Limits, Objects, Table
from s3dlio.loading.shards import Shard, Uneven, checked_uneven
from s3dlio.loading.slabs import Rows, read_together
from s3dlio.loading.tally import Tally

log = logging.getLogger("s3dlio.loading")

OnError: TypeAlias = Literal["raise", "skip"]

_FETCHES_PER_WORKER = 16
_FEWEST, _MOST = 32, 256  # samples that are under way or unclaimed when nobody says how many


@dataclass(frozen=True, slots=True)
class Plan:
    """How samples are streamed, the same for every epoch and every consumer.

    `prefetch` is the number of samples that are fetched or waiting at a time; by default as many as keep a network
    busy, small ones or large. Samples come in their order, or with
    `in_order=False` as they arrive. One that cannot be read is raised, or skipped with a warning and counted.
    """

    shuffle: bool = False
    seed: int = 0
    prefetch: int | None = None
    uneven: Uneven = "keep"
    in_order: bool = True
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.prefetch is not None and self.prefetch < 1:
            raise ValueError(f"prefetch={self.prefetch}: at least one sample must be fetched at a time")
        if self.on_error not in get_args(OnError):
            raise ValueError(f"on_error={self.on_error!r}: use 'raise' or 'skip'")
        checked_uneven(self.uneven)

    def limits(self, shard: Shard) -> Limits:
        """Return how far ahead one consumer reads; the workers of a rank share the bytes that may be under way."""
        share = config.current().max_in_flight_bytes // shard.workers
        if self.prefetch is None:
            return Limits(_MOST, share, self.in_order, _FEWEST)
        return Limits(self.prefetch, share, self.in_order)


def prefetch_of(prefetch: int | None, num_workers: int | None) -> int | None:
    """Return how many samples to fetch ahead: what was asked for, or enough for as many workers, or None."""
    return _FETCHES_PER_WORKER * num_workers if prefetch is None and num_workers else prefetch


class Stream:
    """An iterator over (index, bytes) of one consumer's samples, or with `batch_size` over lists of them.

    Raises:
        S3dlioError: a sample could not be read; it names the URI. An epoch never ends short.
    """

    def __init__(self, table: Table, plan: Plan, start: Start, shard: Shard, tally: Tally) -> None:
        self.cursor = Cursor(start, shard, plan.uneven)
        self._table = table
        self._plan = plan
        self._tally = tally

    def state_dict(self) -> State:
        """Return where the epoch stands, counting what has been handed out."""
        return self.cursor.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where a consumer with the same place among as many others stood."""
        self.cursor.load(state)

    def samples(self, make: Callable[[int, Any], Any] | None = None) -> Generator[tuple[int, Any]]:
        """Yield index and bytes of each sample that is left, or what `make` makes of the two.

        What it raises is raised here, and the sample is still to come.
        """
        reading = self._table.read(self.cursor.indices(), self._plan.limits(self.cursor.shard), self._tally)
        with closing(reading):
            for turn, index, data in reading:
                left_out = self.skips(index, data)  # what it raises is no sample that was taken
                made = data if left_out or make is None else make(index, data)
                self.cursor.take(turn)
                if not left_out:
                    self._tally.handed_out(len(data))
                    begun = perf_counter()
                    yield index, made
                    self._tally.used(perf_counter() - begun)

    def batches(self, size: int, drop_last: bool) -> Generator[tuple[list[tuple[int, Any]], Rows | None]]:
        """Yield the samples `size` together, each batch with the one piece of memory that they are in, if it is one.

        The last batch is smaller unless it is dropped, and a batch lacks what was skipped of it.
        """
        for fetched, rows in self._fetched_batches(size):
            kept = [(index, data) for _, index, data in fetched if not self.skips(index, data)]
            for turn, _, _ in fetched:
                self.cursor.take(turn)
            if drop_last and len(fetched) < size:
                return
            for _, data in kept:
                self._tally.handed_out(len(data))
            begun = perf_counter()
            yield kept, rows
            self._tally.used(perf_counter() - begun)

    def _fetched_batches(self, size: int) -> Generator[tuple[list[Fetched], Rows | None]]:
        limits, turns = self._plan.limits(self.cursor.shard), self.cursor.indices()
        if isinstance(self._table, Objects) and limits.in_order:
            yield from read_together(self._table, turns, self.cursor.left, size, limits, self._tally)
            return
        fetched: list[Fetched] = []
        with closing(self._table.read(turns, limits, self._tally)) as reading:
            for each in reading:
                fetched.append(each)
                if len(fetched) == size:
                    yield fetched, None
                    fetched = []
        if fetched:
            yield fetched, None

    def skips(self, index: int, data: Any) -> bool:
        """Tell whether an exception stands in the place of a sample that is to be skipped; else raise it."""
        return skipped(self._table, self._plan.on_error, self._tally, index, data)


def skipped(table: Table, on_error: OnError, tally: Tally, index: int, data: Any) -> bool:
    """Tell whether a sample is to be skipped, after counting it and saying so.

    Raises:
        Exception: what stands in the place of the sample, unless it is to be skipped.
    """
    if not isinstance(data, Exception):
        return False
    if on_error == "raise":
        raise data
    tally.skipped()
    log.warning("skipped %s: %s", table.name(index), data)
    return True
