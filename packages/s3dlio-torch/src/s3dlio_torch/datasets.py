"""The map dataset: objects of a prefix as samples, by index.

The listing is made once, where the dataset is made; workers get it packed. Nothing that a dataset holds is
tied to a process, so it works under fork, spawn and forkserver.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

from torch.utils.data import Dataset

from s3dlio import verbs
from s3dlio.loading import Listing, list_samples
from s3dlio_torch.samples import ReturnType, SampleForm, Transform


class ObjectStoreMapDataset(Dataset[Any]):
    """The objects below a prefix, each a sample, in the lexicographic order of their keys.

    A sample is a 1-D `uint8` tensor over the received bytes, or a `BytesView` with `return_type="bytes"`;
    `transform` maps it, and `with_uri` makes it `(uri, sample)`. `pattern` selects keys, as in `s3dlio.list`.
    A `DataLoader` fetches the objects of a batch at the same time.

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
    ) -> None:
        form = SampleForm(transform, return_type, with_uri)
        self._adopt(list_samples(uri, pattern), form)

    def _adopt(self, listing: Listing, form: SampleForm) -> None:
        self._listing = listing
        self._form = form

    @classmethod
    def from_prefix(
        cls,
        uri: str,
        pattern: str | re.Pattern[str] | None = None,
        transform: Transform | None = None,
        *,
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
    ) -> Self:
        """Make the dataset of the objects below a prefix, as the class itself does."""
        return cls(uri, pattern, transform, return_type=return_type, with_uri=with_uri)

    @classmethod
    def from_uris(
        cls,
        uris: Iterable[str],
        transform: Transform | None = None,
        *,
        return_type: ReturnType = "tensor",
        with_uri: bool = False,
    ) -> Self:
        """Make the dataset of these objects, in this order; nothing is listed.

        Raises:
            ValueError: there are no URIs.
        """
        form = SampleForm(transform, return_type, with_uri)
        dataset = cls.__new__(cls)
        dataset._adopt(Listing.of(uris), form)
        return dataset

    @property
    def uris(self) -> list[str]:
        """The URIs of the samples, as a new list."""
        return list(self._listing)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._listing)

    def __getitem__(self, index: int) -> Any:
        """Fetch one sample; a negative index counts from the end."""
        uri = self._listing[index]
        return self._form.of(uri, verbs.get(uri))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Fetch many samples at the same time, in the order of the indices."""
        uris = [self._listing[index] for index in indices]
        return [self._form.of(uri, data) for uri, data in zip(uris, verbs.get_many(uris), strict=True)]
