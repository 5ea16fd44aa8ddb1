"""Reading: the samples of one consumer's turns, fetched ahead of it.

What is fetched ahead is bounded by samples and by bytes. An error stands in the place of its sample, and closing or
dropping the iterator stops the fetching.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import index as as_int
from operator import itemgetter
from time import perf_counter
from typing import Any, Protocol, TypeAlias, cast

from s3dlio import batch, config, operations, verbs
from s3dlio.buffer import BytesView
from s3dlio.loading.decoding import Format, decoded
from s3dlio.loading.listing import Listing
from s3dlio.loading.order import Order
from s3dlio.loading.tally import Tally
from s3dlio.pace import Pace
from s3dlio.steps import Task

Turn: TypeAlias = tuple[int, int]
"""The consumer's count of a sample, and its index in the table."""

Fetched: TypeAlias = tuple[int, int, Any]
"""Turn, index, and the bytes of the sample, or the exception that came in their place."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far ahead is read: up to `samples` that are fetched or waiting at a time, and about as many `bytes`.

    No more than `fewest` samples are, unless more bring them sooner.

    Samples come in the order of their turns, or with `in_order=False` as they arrive.
    """

    samples: int
    bytes: int
    in_order: bool = True
    fewest: int | None = None

    @property
    def pace(self) -> Pace:
        """How many samples to have under way."""
        return Pace(min(self.fewest or self.samples, self.samples), self.samples)


_SIDE_BY_SIDE = 64  # objects of one batch


class Table(Protocol):
    """What holds samples: whole objects, or records inside of them."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def order(self, shuffle: bool, seed: int) -> Order:
        """Return the order of the samples, shuffled as suits the way they lie in storage."""
        ...

    listing: Listing

    @property
    def decode(self) -> Format | None:
        """The format that the samples are in; None for bytes."""
        ...

    def uri(self, index: int) -> str:
        """Return the URI of the object that is, or holds, a sample."""
        ...

    def name(self, index: int) -> str:
        """Return what tells people which sample it is: the URI, and the place in it."""
        ...

    def decoded(self, index: int, data: Any) -> Any:
        """Return what the bytes of a sample hold, in the format of the table."""
        ...

    def one(self, index: int, tally: Tally) -> Any:
        """Return the bytes of one sample; a negative index counts from the end."""
        ...

    def get(self, indices: Sequence[int], tally: Tally) -> list[Any]:
        """Return the bytes of many samples, fetched side by side, or the exceptions in their place."""
        ...

    def read(self, turns: Iterator[Turn], limits: Limits, tally: Tally) -> Generator[Fetched]:
        """Yield the samples of these turns, fetched ahead."""
        ...


class Objects:
    """A table whose samples are whole objects."""

    def __init__(self, listing: Listing, decode: Format | None = None) -> None:
        self.listing = listing
        self.decode: Format | None = decode

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.listing)

    def order(self, shuffle: bool, seed: int) -> Order:
        """Return the order of the objects."""
        return Order(len(self), shuffle, seed)

    def uri(self, index: int) -> str:
        """Return the URI of an object."""
        return self.listing[index]

    def name(self, index: int) -> str:
        """Return the URI of an object."""
        return self.listing[index]

    def decoded(self, index: int, data: Any) -> Any:
        """Return what an object holds."""
        return decoded(self.decode, data, self.listing[index])

    def one(self, index: int, tally: Tally) -> Any:
        """Return the bytes of one object; a negative index counts from the end."""
        begun = perf_counter()
        data = verbs.get(self.listing[index])
        tally.waited(perf_counter() - begun)
        tally.fetched(perf_counter() - begun)
        return data

    def read(self, turns: Iterator[Turn], limits: Limits, tally: Tally) -> Generator[Fetched]:
        """Yield the objects of these turns, each in memory of its own."""
        return ahead(turns, self._job, limits, tally)

    def _job(self, turn: Turn) -> batch.Job:
        uri = self.listing[turn[1]]
        return operations.get(uri), batch.is_local(uri)

    def get(
        self, indices: Sequence[int], tally: Tally, make: Callable[[str, int], Task[Any]] | None = None
    ) -> list[Any]:
        """Return the bytes of many objects, fetched side by side, or the exceptions in their place.

        `make` reads an object by its URI and its row in the result, where it is not simply to be got.
        """
        wanted = [(row, self.listing[index]) for row, index in enumerate(indices)]
        local = all(batch.is_local(uri) for _, uri in wanted)
        begun = perf_counter()
        task = batch.together(wanted, lambda each: _read(each, make), itemgetter(1), _SIDE_BY_SIDE, True)
        found = batch.run(task, local=local)
        tally.waited(perf_counter() - begun)
        tally.fetched(perf_counter() - begun)
        return found


def _read(wanted: tuple[int, str], make: Callable[[str, int], Task[Any]] | None) -> Task[Any]:
    row, uri = wanted
    return operations.get(uri) if make is None else make(uri, row)


def everything() -> Limits:
    """Return the limits of a call that wants all of its samples at once."""
    return Limits(_SIDE_BY_SIDE, config.current().max_in_flight_bytes)


def place_of(index: int, count: int) -> int:
    """Return the place of a sample that a caller names, from the end if the index is negative."""
    place = as_int(index)
    if not -count <= place < count:
        raise IndexError(f"sample {place} of a dataset of {count}")
    return place % count


def ahead(
    turns: Iterable[Turn], job: Callable[[Turn], batch.Job], limits: Limits, tally: Tally
) -> Generator[tuple[int, int, Any]]:
    """Yield what the jobs of turns bring, fetched ahead; exceptions stand in their place."""
    asked: dict[int, Turn] = {}

    def asking() -> Iterator[Turn]:
        for number, turn in enumerate(turns):
            asked[number] = turn
            yield turn

    fetching = batch.Ahead(
        asking(), job, pace=limits.pace, most_bytes=limits.bytes, ordered=limits.in_order, keep_errors=True
    )
    with closing(cast("Generator[tuple[int, BytesView | Exception]]", iter(fetching))) as results:
        while True:
            begun = perf_counter()
            number, result = next(results, (None, b""))
            tally.waited(perf_counter() - begun)
            if number is None:
                tally.fetched(fetching.seconds)
                return
            yield *asked.pop(number), result
