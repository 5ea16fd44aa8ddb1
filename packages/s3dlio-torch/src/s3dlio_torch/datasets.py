"""The map dataset: objects of a prefix, or records inside of them, as samples by index.

The listing is made once, where the dataset is made; workers share it. Nothing that a dataset holds is tied to a
process, so it works under fork, spawn and forkserver.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Self, Unpack

from torch.utils.data import Dataset, get_worker_info

from s3dlio.loading import (
    Expectation,
    Format,
    Listing,
    LoadStats,
    Objects,
    OnError,
    Plan,
    Rows,
    Shard,
    Table,
    Tally,
    get_together,
    list_samples,
    load_manifest,
    save_manifest,
    skipped,
    table_of,
)
from s3dlio_torch.options import MapOptions, Mapped
from s3dlio_torch.samples import ReturnType, Samples, Transform
from s3dlio_torch.shared import Shared


class ObjectStoreMapDataset(Dataset[Any]):
    """The objects below a prefix, each a sample, in the lexicographic order of their keys.

    A sample is a 1-D `uint8` tensor over the received bytes, or a `BytesView` with `return_type="bytes"`;
    `transform` maps it, and `with_uri` makes it `(uri, sample)`. `pattern` selects keys, as in `s3dlio.list`.
    With `decode` a sample is what a format holds: "npy" an array and "npz" a dict of arrays, of each object; "tar"
    a dict and "tfrecord" the payload, of each record inside the objects.

    A `DataLoader` fetches the objects of a batch at the same time. With `contiguous` it receives them side by side
    in one tensor of shape (samples, bytes), if they are of one size, which `collate_fn=s3dlio_torch.collate` hands
    on without a copy. With `on_error="skip"` a batch lacks the samples that could not be read; they are counted in
    `stats()` and logged.

    Raises:
        NotFoundError: no object is there, or, on access, no longer there. It names the URI, as every error
            does.
    """

    def __init__(
        self,
        uri: str,
        pattern: str | re.Pattern[str] | None = None,
        transform: Transform | None = None,
        *,
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
        decode: Format | None = None,
        contiguous: bool = False,
        on_error: OnError = "raise",
    ) -> None:
        mapped = Mapped(
            transform=transform,
            return_type=return_type,
            with_uri=with_uri,
            decode=decode,
            contiguous=contiguous,
            on_error=on_error,
        )
        self._adopt(table_of(list_samples(uri, pattern), decode), mapped)

    def _adopt(self, table: Table, mapped: Mapped) -> None:
        self._table = table
        self._mapped = mapped
        self._form = mapped.form
        self._shared = Shared()
        self._returned: float | None = None
        self._expectation: Expectation | None = None

    @classmethod
    def _of(cls, table: Table, mapped: Mapped) -> Self:
        dataset = cls.__new__(cls)
        dataset._adopt(table, mapped)
        return dataset

    @classmethod
    def from_prefix(cls, uri: str, pattern: str | re.Pattern[str] | None = None, **options: Unpack[MapOptions]) -> Self:
        """Make the dataset of the objects below a prefix, as the class itself does."""
        return cls(uri, pattern, **options)

    @classmethod
    def from_uris(cls, uris: Iterable[str], **options: Unpack[MapOptions]) -> Self:
        """Make the dataset of these objects, in this order, with the options of the class; nothing is listed.

        Raises:
            ValueError: there are no URIs.
        """
        mapped = Mapped(**options)
        return cls._of(table_of(Listing.of(uris), mapped.decode), mapped)

    @classmethod
    def from_manifest(cls, uri: str, **options: Unpack[MapOptions]) -> Self:
        """Make the dataset that `save_manifest` stored, with the options of the class; nothing is listed.

        Raises:
            IntegrityError: the object is not a manifest, or a damaged one.
        """
        mapped = Mapped(**options)
        return cls._of(load_manifest(uri, mapped.decode), mapped)

    def save_manifest(self, uri: str) -> None:
        """Store which samples the dataset has, in one object, so that another run need not list or index them."""
        save_manifest(uri, self._table)

    @property
    def uris(self) -> list[str]:
        """The URIs of the objects that hold the samples, as a new list."""
        return list(self._table.listing)

    def stats(self) -> LoadStats:
        """Return how many samples and bytes were loaded, and where the time went, over all worker processes."""
        return self._shared.stats()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._table)

    def __getitem__(self, index: int) -> Any:
        """Fetch one sample; a negative index counts from the end."""
        with self._call() as tally:
            return self._sample(index, self._table.one(index, tally), tally)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Fetch many samples at the same time, in the order of the indices."""
        with self._call() as tally:
            received, rows = self._expected(indices, tally) or self._asked(indices, tally)
            kept = [
                (index, data)
                for index, data in zip(indices, received, strict=True)
                if not skipped(self._table, self._mapped.on_error, tally, index, data)
            ]
            return Samples([self._sample(index, data, tally) for index, data in kept], rows)

    def expect(self, turns: Iterator[tuple[int, int]], count: int) -> Expectation:
        """Read the samples of these turns ahead of the batches that will ask for them, until something else is asked.

        It is for samplers of this process: `EpochSampler` calls it. A turn is its number and the index of its sample.
        """
        limits = Plan().limits(Shard())
        self._expectation = Expectation(self._table, turns, count, limits, self._mapped.contiguous)
        return self._expectation

    def _expected(self, indices: Sequence[int], tally: Tally) -> tuple[list[Any], Rows | None] | None:
        if self._expectation is None or get_worker_info() is not None:
            return None
        found = self._expectation.take(indices, tally)
        if found is None:
            self._expectation = None
        return found

    def _asked(self, indices: Sequence[int], tally: Tally) -> tuple[list[Any], Rows | None]:
        if self._mapped.contiguous and isinstance(self._table, Objects):
            return get_together(self._table, indices, tally)
        return self._table.get(indices, tally), None

    def _sample(self, index: int, data: Any, tally: Tally) -> Any:
        tally.handed_out(len(data))
        return self._form.of(self._table.uri(index), self._table.decoded(index, data))

    @contextmanager
    def _call(self) -> Generator[Tally]:
        """Count the time between calls as that of the consumer."""
        tally = self._shared.tally()
        if self._returned is not None:
            tally.used(perf_counter() - self._returned)
        try:
            yield tally
        finally:
            self._returned = perf_counter()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what this process did last and expects next: another one does not."""
        return {**self.__dict__, "_returned": None, "_expectation": None}
