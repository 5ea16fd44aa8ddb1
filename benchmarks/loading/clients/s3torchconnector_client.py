"""s3torchconnector: its two datasets with a `DataLoader`.

It fetches one object after the other. The sequential reader, its default, takes less CPU for whole objects than the one
that asks for ranges, and reading into memory of the right size less than `read`. It has no type information.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.loading.clients import REGION, Epoch

_THROUGHPUT = 10.0  # its default


class Reader(Protocol):
    """One object that can be read."""

    def readinto(self, buf: memoryview) -> int: ...  # noqa: D102


class Samples(Protocol):
    """A class of datasets."""

    def from_objects(  # noqa: D102
        self,
        object_uris: Iterable[str],
        *,
        region: str,
        endpoint: str,
        transform: Callable[[Reader], Tensor],
        s3client_config: object,
        **more: bool,
    ) -> Dataset[Tensor]: ...


class Connector(Protocol):
    """What is used of the package."""

    S3MapDataset: Samples
    S3IterableDataset: Samples
    S3ClientConfig: Callable[..., object]


def sample(reader: Reader, size: int) -> Tensor:
    """Return the object, whose size is known, as a tensor."""
    tensor = torch.empty(size, dtype=torch.uint8)
    rest = memoryview(cast("bytearray", tensor.numpy()))
    while rest:
        taken = reader.readinto(rest)
        if not taken:
            raise EOFError(f"an object ends {len(rest)} bytes before its time")
        rest = rest[taken:]
    return tensor


def map_dataset(epoch: Epoch, throughput: float = _THROUGHPUT) -> Dataset[Tensor]:
    """Return the map dataset of an epoch. `throughput`, in Gbit/s, decides how many connections there may be."""
    return _dataset(epoch, _connector().S3MapDataset, throughput)


def map_style(epoch: Epoch) -> Iterable[Tensor]:
    """Index objects; the loader stacks them."""
    return DataLoader(map_dataset(epoch), batch_size=epoch.row.batch, num_workers=epoch.row.workers)


def iterable(epoch: Epoch) -> Iterable[Tensor]:
    """Stream objects, shared among the workers; the loader stacks them."""
    # Without workers there is nothing to share.
    sharing = {"enable_sharding": True} if epoch.row.workers else {}
    dataset = _dataset(epoch, _connector().S3IterableDataset, _THROUGHPUT, **sharing)
    return DataLoader(dataset, batch_size=epoch.row.batch, num_workers=epoch.row.workers)


def _dataset(epoch: Epoch, kind: Samples, throughput: float, **more: bool) -> Dataset[Tensor]:
    config = _connector().S3ClientConfig(force_path_style=True, throughput_target_gbps=throughput)
    return kind.from_objects(
        epoch.uris,
        region=REGION,
        endpoint=epoch.endpoint,
        transform=partial(sample, size=epoch.row.size),
        s3client_config=config,
        **more,
    )


def _connector() -> Connector:
    module: Any = import_module("s3torchconnector")
    return cast("Connector", module)
