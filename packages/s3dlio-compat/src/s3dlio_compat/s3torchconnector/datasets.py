"""Data sets of readers: by index, and as a stream."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Self

import torch.distributed
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from s3dlio_compat.s3torchconnector.ahead import Delivery, Habit, ReadAhead
from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.objects import (
    GetDatasetObjects,
    S3BucketKeyData,
    Transform,
    announce,
    are_foreseen,
    below,
    identity,
    named,
)
from s3dlio_compat.s3torchconnector.s3reader import S3ReaderConstructor, S3ReaderConstructorProtocol
from s3dlio_compat.s3torchconnector.user_agent import UserAgent

log = logging.getLogger(__name__)


class _Objects:
    """What both kinds share: whose objects, which, and what becomes of each."""

    _kind: str

    def _adopt(
        self,
        region: str,
        get_dataset_objects: GetDatasetObjects,
        endpoint: str | None,
        transform: Transform,
        s3client_config: S3ClientConfig | None,
        reader_constructor: S3ReaderConstructorProtocol | None,
    ) -> None:
        kind = S3ReaderConstructor.get_reader_type_string(reader_constructor)
        agent = UserAgent([f"md/dataset#{self._kind} md/reader_type#{kind}"])
        self._client = S3Client(region, endpoint=endpoint, user_agent=agent, s3client_config=s3client_config)
        self._endpoint = endpoint
        self._get_dataset_objects = get_dataset_objects
        self._transform = transform
        self._reader_constructor = reader_constructor

    @property
    def region(self) -> str:
        """The region of the objects."""
        return self._client.region

    @property
    def endpoint(self) -> str | None:
        """The endpoint that was chosen, if one was."""
        return self._endpoint

    def _delivery(self, habit: Habit, data: S3BucketKeyData) -> Delivery:
        return self._client.delivery(data.bucket, data.key, data.object_info, self._reader_constructor, habit)

    def _samples(self, found: Iterable[S3BucketKeyData], habit: Habit, *, may_look: bool) -> ReadAhead:
        return ReadAhead(map(partial(self._delivery, habit), found), self._transform, habit, may_look=may_look)


class S3MapDataset(_Objects, Dataset[Any]):
    """Objects by index, each passed to `transform` as a reader. They are listed once, when that is first needed."""

    _kind = "map"

    def __init__(
        self,
        region: str,
        get_dataset_objects: GetDatasetObjects,
        endpoint: str | None = None,
        transform: Transform = identity,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
    ) -> None:
        self._adopt(region, get_dataset_objects, endpoint, transform, s3client_config, reader_constructor)
        self._found: list[S3BucketKeyData] | None = None
        self._habit = Habit()

    @classmethod
    def from_prefix(
        cls,
        s3_uri: str,
        *,
        region: str,
        endpoint: str | None = None,
        transform: Transform = identity,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
    ) -> Self:
        """Make the data set of the objects whose URI begins with this one, in the order of the listing."""
        announce(log, cls.__name__, f"from_prefix s3_uri={s3_uri!r}")
        return cls(region, below(s3_uri), endpoint, transform, s3client_config, reader_constructor)

    @classmethod
    def from_objects(
        cls,
        object_uris: str | Iterable[str],
        *,
        region: str,
        endpoint: str | None = None,
        transform: Transform = identity,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
    ) -> Self:
        """Make the data set of these objects, in this order."""
        announce(log, cls.__name__, "from_objects")
        return cls(region, named(object_uris), endpoint, transform, s3client_config, reader_constructor)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._objects)

    def __getitem__(self, index: int) -> Any:
        """Return the sample of one object; a negative index counts from the end."""
        return self._transform(self._delivery(self._habit, self._objects[index]).reader())

    def __getitems__(self, indices: Iterable[int]) -> list[Any]:
        """Return the samples of several objects, as a `DataLoader` asks for them: those to come arrive meanwhile."""
        if type(self).__getitem__ is not S3MapDataset.__getitem__:
            return [self[index] for index in indices]
        found = map(self._objects.__getitem__, indices)
        return list(self._samples(found, self._habit, may_look=True))

    @property
    def _objects(self) -> list[S3BucketKeyData]:
        if self._found is None:
            self._found = list(self._get_dataset_objects(self._client))
        return self._found


class S3IterableDataset(_Objects, IterableDataset[Any]):
    """Objects as a stream, each passed to `transform` as a reader. Every iteration lists them anew.

    With `enable_sharding` the ranks of `torch.distributed`, as they were when the data set was made, and the workers
    of a `DataLoader` share the objects; without it each of them gets all.
    """

    _kind = "iterable"

    def __init__(
        self,
        region: str,
        get_dataset_objects: GetDatasetObjects,
        endpoint: str | None = None,
        transform: Transform = identity,
        s3client_config: S3ClientConfig | None = None,
        enable_sharding: bool = False,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
    ) -> None:
        self._adopt(region, get_dataset_objects, endpoint, transform, s3client_config, reader_constructor)
        self._enable_sharding = enable_sharding
        self._rank, self._world_size = _ranks()

    @classmethod
    def from_prefix(
        cls,
        s3_uri: str,
        *,
        region: str,
        endpoint: str | None = None,
        transform: Transform = identity,
        s3client_config: S3ClientConfig | None = None,
        enable_sharding: bool = False,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
    ) -> Self:
        """Make the data set of the objects whose URI begins with this one, in the order of the listing."""
        announce(log, cls.__name__, f"from_prefix s3_uri={s3_uri!r}")
        return cls(region, below(s3_uri), endpoint, transform, s3client_config, enable_sharding, reader_constructor)

    @classmethod
    def from_objects(
        cls,
        object_uris: str | Iterable[str],
        *,
        region: str,
        endpoint: str | None = None,
        transform: Transform = identity,
        s3client_config: S3ClientConfig | None = None,
        enable_sharding: bool = False,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
    ) -> Self:
        """Make the data set of these objects, in this order."""
        announce(log, cls.__name__, "from_objects")
        objects = named(object_uris)
        return cls(region, objects, endpoint, transform, s3client_config, enable_sharding, reader_constructor)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the samples of this consumer."""
        may_look = are_foreseen(self._get_dataset_objects)
        return self._samples(self._shared(), Habit(), may_look=may_look)

    def _shared(self) -> Iterator[S3BucketKeyData]:
        found = iter(self._get_dataset_objects(self._client))
        if not self._enable_sharding:
            return found
        worker = get_worker_info()
        worker_id, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        mine = partial(_is_mine, self._rank + self._world_size * worker_id, self._world_size * workers)
        return (data for index, data in enumerate(found) if mine(index))


def _is_mine(consumer: int, consumers: int, index: int) -> bool:
    return index % consumers == consumer


def _ranks() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
