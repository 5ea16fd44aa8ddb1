"""torchdata: its `StatefulDataLoader` over the dataset of s3fs, and its nodes over that of s3torchconnector.

Nodes run threads instead of processes, and so have many objects under way at once. They have no type information.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.loading.clients import Epoch, s3fs_client, s3torchconnector_client
from benchmarks.rows import MIB

# Few threads for large objects, many for small ones that come late, which also want more connections than there are
# with the default throughput, in Gbit/s.
_LARGE, _SMALL, _LATE = 8, 16, 64
_THROUGHPUT, _LATE_THROUGHPUT = 10.0, 100.0
_BATCHES_AHEAD = 2


class Nodes(Protocol):
    """What is used of `torchdata.nodes`."""

    def IterableWrapper(self, iterable: Iterable[int]) -> object: ...  # noqa: D102, N802
    def ParallelMapper(  # noqa: D102, N802
        self, source: object, map_fn: Callable[[int], Tensor], num_workers: int, *, in_order: bool, method: str
    ) -> object: ...
    def Batcher(self, source: object, batch_size: int, drop_last: bool) -> object: ...  # noqa: D102, N802
    def Mapper(self, source: object, map_fn: Callable[[list[Tensor]], Tensor]) -> object: ...  # noqa: D102, N802
    def Prefetcher(self, source: object, prefetch_factor: int) -> object: ...  # noqa: D102, N802
    def Loader(self, root: object) -> Iterable[Tensor]: ...  # noqa: D102, N802


def stateful(epoch: Epoch) -> Iterable[Tensor]:
    """Index objects, those of a batch at once; the loader stacks them."""
    made = import_module("torchdata.stateful_dataloader").StatefulDataLoader
    dataset = s3fs_client.Samples(epoch)
    return cast("Iterable[Tensor]", made(dataset, batch_size=epoch.row.batch, num_workers=epoch.row.workers))


def nodes(epoch: Epoch) -> Iterable[Tensor]:
    """Fetch objects in threads, in order, and stack them."""
    made: Any = import_module("torchdata.nodes")
    parts = cast("Nodes", made)
    crowded = epoch.row.late and epoch.row.size < MIB
    dataset: Dataset[Tensor] = s3torchconnector_client.map_dataset(epoch, _LATE_THROUGHPUT if crowded else _THROUGHPUT)
    indices = parts.IterableWrapper(range(epoch.objects))
    threads = _LATE if crowded else _SMALL if epoch.row.size < MIB else _LARGE
    samples = parts.ParallelMapper(indices, dataset.__getitem__, threads, in_order=True, method="thread")
    batches = parts.Batcher(samples, epoch.row.batch, drop_last=False)
    stacked = parts.Mapper(batches, torch.stack)
    return parts.Loader(parts.Prefetcher(stacked, _BATCHES_AHEAD))
