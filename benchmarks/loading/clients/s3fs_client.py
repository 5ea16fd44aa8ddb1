"""s3fs: a map dataset that asks for all objects of a batch with one `cat`, which fetches them at the same time.

One file system a process, made on first use, so that workers do not inherit a loop that runs in another thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.loading.clients import BUCKET, Epoch


class FileSystem(Protocol):
    """What is used of `S3FileSystem`."""

    def cat(self, path: Sequence[str], *, batch_size: int, max_concurrency: int) -> Mapping[str, bytes]: ...  # noqa: D102


class Samples(Dataset[Tensor]):
    """The objects of an epoch, by index."""

    def __init__(self, epoch: Epoch) -> None:
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        self._endpoint = epoch.endpoint
        self._batch = epoch.row.batch
        self._paths = [f"{BUCKET}/{key}" for key in epoch.keys]
        self._fs: FileSystem | None = None

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """Fetch one object."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor]:
        """Fetch the objects of a batch. `max_concurrency=1` saves the request for the size of each."""
        if self._fs is None:
            self._fs = _connect(self._endpoint, self._batch)
        paths = [self._paths[index] for index in indices]
        found = self._fs.cat(paths, batch_size=self._batch, max_concurrency=1)
        return [torch.frombuffer(found[path], dtype=torch.uint8) for path in paths]


def map_style(epoch: Epoch) -> Iterable[Tensor]:
    """Index objects; the loader stacks those of a batch."""
    return DataLoader(Samples(epoch), batch_size=epoch.row.batch, num_workers=epoch.row.workers)


def _connect(endpoint: str, connections: int) -> FileSystem:
    return cast(
        "FileSystem",
        import_module("s3fs").S3FileSystem(
            endpoint_url=endpoint, config_kwargs={"max_pool_connections": connections}, skip_instance_cache=True
        ),
    )
