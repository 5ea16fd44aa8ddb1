"""The iterator over one consumer's samples or batches, which can be saved and resumed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

from s3dlio.loading import State, Stream, Table
from s3dlio_torch.samples import SampleForm, collate
from s3dlio_torch.tensors import rows_as_tensor


class SampleIterator(Iterator[Any]):
    """Samples, or with `batch_size` batches, fetched ahead. Closing or dropping it stops the fetching."""

    def __init__(self, stream: Stream, table: Table, form: SampleForm, batch_size: int | None, drop_last: bool) -> None:
        self._stream = stream
        self._table = table
        self._form = form
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._yielding: Generator[Any] | None = None

    def __next__(self) -> Any:
        """Return the next sample or batch."""
        if self._yielding is None:
            yielding = _samples if self._batch_size is None else _batches
            self._yielding = yielding(self._stream, self._table, self._form, self._batch_size or 0, self._drop_last)
        return next(self._yielding)

    def state_dict(self) -> State:
        """Return where the epoch stands, counting what has been handed out."""
        return self._stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where `state_dict` was taken, by a consumer with the same place among as many others."""
        self.close()
        self._stream.load_state_dict(state)

    def close(self) -> None:
        """Stop the fetching."""
        if self._yielding is not None:
            self._yielding.close()
            self._yielding = None


def _samples(stream: Stream, table: Table, form: SampleForm, size: int, drop_last: bool) -> Generator[Any]:
    with closing(stream.samples(lambda index, data: form.of(table.uri(index), table.decoded(index, data)))) as samples:
        for _, sample in samples:
            yield sample


def _batches(stream: Stream, table: Table, form: SampleForm, size: int, drop_last: bool) -> Generator[Any]:
    with closing(stream.batches(size, drop_last)) as batches:
        for kept, rows in batches:
            if rows is not None and form.is_plain and table.decode is None:
                yield rows_as_tensor(rows)
                continue
            samples = [form.of(table.uri(index), table.decoded(index, data)) for index, data in kept]
            yield samples if form.return_type == "bytes" else collate(samples)
