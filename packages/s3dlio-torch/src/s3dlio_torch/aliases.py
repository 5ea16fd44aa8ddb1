"""The names that these datasets had before they read every backend.

Both keep working, say once per place of use what to write instead, and are the datasets themselves otherwise.
"""

from __future__ import annotations

import warnings

from s3dlio.loading import Table
from s3dlio_torch.datasets import ObjectStoreMapDataset
from s3dlio_torch.iterable import ObjectStoreIterableDataset
from s3dlio_torch.options import Mapped, Streamed

_CALLER = 4  # this function, the dataset's _adopt, its constructor, and who called that


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} is now called {new}: use that name", DeprecationWarning, stacklevel=_CALLER)


class S3MapDataset(ObjectStoreMapDataset):
    """`ObjectStoreMapDataset` by its former name."""

    def _adopt(self, table: Table, mapped: Mapped) -> None:
        _deprecated("S3MapDataset", "ObjectStoreMapDataset")
        super()._adopt(table, mapped)


class S3IterableDataset(ObjectStoreIterableDataset):
    """`ObjectStoreIterableDataset` by its former name."""

    def _adopt(self, table: Table, streamed: Streamed) -> None:
        _deprecated("S3IterableDataset", "ObjectStoreIterableDataset")
        super()._adopt(table, streamed)
