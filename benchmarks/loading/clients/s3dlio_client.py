"""s3dlio: its two datasets with a `DataLoader`, as they are and with batches in one piece."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.utils.data import DataLoader

import s3dlio_torch
from benchmarks.loading.clients import Epoch


def map_style(epoch: Epoch) -> Iterable[Tensor]:
    """Index objects; the loader asks for the objects of a batch at once and stacks them."""
    dataset = s3dlio_torch.ObjectStoreMapDataset.from_uris(epoch.uris)
    return DataLoader(dataset, batch_size=epoch.row.batch, num_workers=epoch.row.workers)


def map_contiguous(epoch: Epoch) -> Iterable[Tensor]:
    """Index objects; those of a batch arrive in one piece of memory."""
    dataset = s3dlio_torch.ObjectStoreMapDataset.from_uris(epoch.uris, contiguous=True)
    return DataLoader(
        dataset, batch_size=epoch.row.batch, num_workers=epoch.row.workers, collate_fn=s3dlio_torch.collate
    )


def iterable(epoch: Epoch) -> Iterable[Tensor]:
    """Stream objects, fetched ahead; the loader stacks them."""
    dataset = s3dlio_torch.ObjectStoreIterableDataset.from_uris(epoch.uris)
    return DataLoader(dataset, batch_size=epoch.row.batch, num_workers=epoch.row.workers)


def batches(epoch: Epoch) -> Iterable[Tensor]:
    """Stream batches, fetched ahead, each in one piece of memory."""
    dataset = s3dlio_torch.ObjectStoreIterableDataset.from_uris(epoch.uris, batch_size=epoch.row.batch)
    return DataLoader(dataset, batch_size=None, num_workers=epoch.row.workers)
