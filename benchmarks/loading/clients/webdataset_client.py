"""webdataset: the same samples in tar files, which `curl` fetches and which are read as they come.

Shared among the workers by file. Its own handler of http addresses starts `curl` as well. It has no type information.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.loading.clients import Epoch


class Pipeline(Protocol):
    """What is used of a `WebDataset`."""

    def to_tuple(self, extension: str) -> Self: ...  # noqa: D102
    def batched(self, batch_size: int, *, collation_fn: Callable[[Sequence[tuple[bytes]]], Tensor]) -> Self: ...  # noqa: D102


def stream(epoch: Epoch) -> Iterable[Tensor]:
    """Stream the samples of the tar files; a worker makes whole batches of them."""
    warnings.filterwarnings("ignore", message="The given buffer is not writable")
    addresses = [f"pipe:curl -s -f {address}" for address in epoch.shards]
    # A quick run has fewer files than workers.
    made = import_module("webdataset").WebDataset(addresses, shardshuffle=False, empty_check=False)
    pipeline = cast("Pipeline", made)
    dataset = pipeline.to_tuple("bin").batched(epoch.row.batch, collation_fn=joined)
    return DataLoader(cast("Dataset[Any]", dataset), batch_size=None, num_workers=epoch.row.workers)


def joined(samples: Sequence[tuple[bytes]]) -> Tensor:
    """Return a batch, which takes less than to stack tensors."""
    return torch.frombuffer(b"".join(data for (data,) in samples), dtype=torch.uint8).view(len(samples), -1)
