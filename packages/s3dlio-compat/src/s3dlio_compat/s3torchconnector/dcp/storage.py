"""Writer and reader of distributed checkpoints."""

from __future__ import annotations

import dataclasses
import os
from contextlib import closing
from typing import Any

from torch.distributed.checkpoint import Metadata
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import StorageMeta
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, SavePlan
from torch.futures import Future

from s3dlio.stores.store import Store
from s3dlio.uri import Uri
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.dcp import reading
from s3dlio_compat.s3torchconnector.dcp.file_system import CheckpointFileSystem, Location, S3FileSystem
from s3dlio_compat.s3torchconnector.dcp.metadata import read_metadata
from s3dlio_compat.s3torchconnector.dcp.s3_prefix_strategy import DefaultPrefixStrategy, S3PrefixStrategyBase
from s3dlio_compat.s3torchconnector.s3reader import (
    DCPS3ReaderConstructorProtocol,
    S3ReaderConstructor,
    S3ReaderConstructorProtocol,
)


@dataclasses.dataclass
class StorageMetadata:
    """How the names of the files of one rank begin."""

    prefix: str


class S3StorageWriter(FileSystemWriter):
    """Writes a checkpoint below a URI; the other arguments are those of PyTorch's `FileSystemWriter`."""

    def __init__(
        self,
        region: str,
        path: str,
        s3client_config: S3ClientConfig | None = None,
        prefix_strategy: S3PrefixStrategyBase | None = None,
        thread_count: int = 1,
        *,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(path=path, sync_files=False, thread_count=thread_count, **kwargs)
        self.fs: Any = CheckpointFileSystem(region, s3client_config, endpoint=endpoint)
        self.path = self.fs.init_path(path)
        self.prefix_strategy = prefix_strategy or DefaultPrefixStrategy()

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Give each rank the prefix of its files."""
        return [
            dataclasses.replace(plan, storage_data=StorageMetadata(self.prefix_strategy(rank)))
            for rank, plan in enumerate(plans)
        ]

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Location) -> bool:
        """Tell whether a checkpoint can have this name."""
        return S3FileSystem.validate_checkpoint_id(checkpoint_id)


class S3StorageReader(FileSystemReader):
    """Reads a checkpoint below a URI: by default just the ranges that the load plan names, in order."""

    def __init__(
        self,
        region: str,
        path: Location,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: S3ReaderConstructorProtocol | DCPS3ReaderConstructorProtocol | None = None,
        *,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(path)
        self._reads_ahead = reader_constructor is None
        self._reader_constructor = reader_constructor or S3ReaderConstructor.dcp_optimized()
        self.fs: Any = S3FileSystem(
            region,
            s3client_config=s3client_config,
            reader_constructor=self._reader_constructor,
            endpoint=endpoint,
        )
        self.path = self.fs.init_path(path)
        self.sync_files = False

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the metadata, read without running code that it may name.

        Raises:
            UnpicklingError: it names something that metadata does not.
        """
        with self.fs.create_stream(self._get_metadata_path(kwargs.get("rank")), "rb") as stream:
            metadata: Metadata = read_metadata(stream)
        if getattr(metadata, "storage_meta", None) is None:
            metadata.storage_meta = StorageMeta()
        assert metadata.storage_meta is not None
        metadata.storage_meta.load_id = self.load_id
        return metadata

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Put the items of a plan in the order in which they lie in their files."""
        plan.items.sort(key=lambda item: self.storage_data[item.storage_index].offset)
        if isinstance(self._reader_constructor, DCPS3ReaderConstructorProtocol):
            self._reader_constructor.set_item_ranges_by_file(plan.items, self.storage_data, os.fspath(self.path))
        return plan

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Hand the items of a plan to the planner, the next ones being read meanwhile.

        With a constructor of readers other than the default, they are read one after the other, through its readers.

        Raises:
            S3Exception: one of them could not be read, or a file was replaced meanwhile.
        """
        if not self._reads_ahead:
            return super().read_data(plan, planner)
        wanted = reading.extents(plan.items, self.storage_data)
        with closing(reading.arriving(wanted, self._open)) as extents:
            for extent, view in extents:
                for item, start, length in extent.items:
                    info = self.storage_data[item.storage_index]
                    reading.load(item, view[start : start + length], info, self.transforms, planner)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _open(self, path: str) -> tuple[Store, Uri]:
        return self.fs.opened(self.fs.concat_path(self.path, path))  # type: ignore[no-any-return]

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Location) -> bool:
        """Tell whether a checkpoint can have this name."""
        return S3FileSystem.validate_checkpoint_id(checkpoint_id)
