"""The names that these datasets had before they read every backend.

Both keep working, say once per place of use what to write instead, and are the datasets themselves otherwise.
"""

from __future__ import annotations

import warnings

from s3dlio.loading import Listing
from s3dlio_torch.datasets import ObjectStoreMapDataset
from s3dlio_torch.iterable import ObjectStoreIterableDataset, Stream
from s3dlio_torch.samples import SampleForm

_CALLER = 4  # this function, the dataset's _adopt, its constructor, and who called that


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} is now called {new}: use that name", DeprecationWarning, stacklevel=_CALLER)


class S3MapDataset(ObjectStoreMapDataset):
    """`ObjectStoreMapDataset` by its former name."""

    def _adopt(self, listing: Listing, form: SampleForm) -> None:
        _deprecated("S3MapDataset", "ObjectStoreMapDataset")
        super()._adopt(listing, form)


class S3IterableDataset(ObjectStoreIterableDataset):
    """`ObjectStoreIterableDataset` by its former name."""

    def _adopt(self, listing: Listing, form: SampleForm, stream: Stream) -> None:
        _deprecated("S3IterableDataset", "ObjectStoreIterableDataset")
        super()._adopt(listing, form, stream)
