"""Which reader a client makes for an object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from s3dlio_compat.s3torchconnector.s3reader.base import GetObjectInfo, GetStreamCallable, S3Reader
from s3dlio_compat.s3torchconnector.s3reader.dcp_optimized import (
    DEFAULT_MAX_GAP_SIZE,
    DCPOptimizedS3Reader,
    ItemRange,
    checked_gap,
)
from s3dlio_compat.s3torchconnector.s3reader.ranged import RangedS3Reader
from s3dlio_compat.s3torchconnector.s3reader.sequential import SequentialS3Reader
from s3dlio_compat.s3torchconnector.uris import uri_of

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import MetadataIndex
    from torch.distributed.checkpoint.planner import ReadItem


@runtime_checkable
class S3ReaderConstructorProtocol(Protocol):
    """Makes the reader of one object."""

    def __call__(
        self, bucket: str, key: str, get_object_info: GetObjectInfo, get_stream: GetStreamCallable
    ) -> S3Reader:
        """Make it; called with keywords."""
        ...


@runtime_checkable
class DCPS3ReaderConstructorProtocol(Protocol):
    """Makes readers of the ranges that a load plan names."""

    def __call__(
        self, bucket: str, key: str, get_object_info: GetObjectInfo, get_stream: GetStreamCallable
    ) -> S3Reader:
        """Make one; called with keywords."""
        ...

    def set_item_ranges_by_file(
        self,
        plan_items: list[ReadItem],
        storage_data: Mapping[MetadataIndex, Any],
        base_path: str | os.PathLike[str],
    ) -> None:
        """Take the ranges of a plan."""
        ...


class DCPOptimizedConstructor:
    """Makes a `DCPOptimizedS3Reader` for each file of a load plan, and a sequential one for its metadata."""

    def __init__(self, max_gap_size: float = DEFAULT_MAX_GAP_SIZE) -> None:
        self._max_gap_size = checked_gap(max_gap_size)
        self._item_ranges_by_file: dict[str, list[ItemRange]] = {}

    def set_item_ranges_by_file(
        self,
        plan_items: Iterable[ReadItem],
        storage_data: Mapping[MetadataIndex, Any],
        base_path: str | os.PathLike[str],
    ) -> None:
        """Replace the ranges by those of a plan, whose items lie in files below `base_path`.

        Raises:
            ValueError: nothing is said of where items lie.
        """
        items = list(plan_items)
        if not items:
            self._item_ranges_by_file = {}
            return
        if not storage_data:
            raise ValueError("storage_data must not be empty")
        ranges: dict[str, list[ItemRange]] = {}
        for item in items:
            stored = storage_data[item.storage_index]
            uri = f"{os.fspath(base_path)}".rstrip("/") + f"/{stored.relative_path}"
            ranges.setdefault(uri, []).append(ItemRange(stored.offset, stored.offset + stored.length))
        self._item_ranges_by_file = ranges

    def __call__(
        self, bucket: str, key: str, get_object_info: GetObjectInfo, get_stream: GetStreamCallable
    ) -> S3Reader:
        """Make the reader of one file.

        Raises:
            ValueError: the plan has no range in it.
        """
        if key.endswith(".metadata"):
            return SequentialS3Reader(bucket, key, get_object_info, get_stream)
        uri = uri_of(bucket, key)
        ranges = self._item_ranges_by_file.get(uri)
        if not ranges:
            raise ValueError(
                f"No ranges found for {uri}: the dcp_optimized reader reads what a load plan names; "
                "use S3ReaderConstructor.default() elsewhere"
            )
        return DCPOptimizedS3Reader(bucket, key, ranges, get_object_info, get_stream, self._max_gap_size)


class S3ReaderConstructor:
    """The constructors there are."""

    @staticmethod
    def sequential() -> S3ReaderConstructorProtocol:
        """Return the one that reads ahead and keeps what it has read."""
        return partial(SequentialS3Reader)

    @staticmethod
    def range_based(buffer_size: int | None = None) -> S3ReaderConstructorProtocol:
        """Return the one that reads ranges as they are asked for, with a buffer of so many bytes."""
        return partial(RangedS3Reader, buffer_size=buffer_size)

    @staticmethod
    def dcp_optimized(max_gap_size: float = DEFAULT_MAX_GAP_SIZE) -> DCPS3ReaderConstructorProtocol:
        """Return the one for loading distributed checkpoints; ranges with a gap of at most that many bytes join."""
        return DCPOptimizedConstructor(max_gap_size)

    @staticmethod
    def default() -> S3ReaderConstructorProtocol:
        """Return the sequential one."""
        return S3ReaderConstructor.sequential()

    @staticmethod
    def get_reader_type_string(constructor: S3ReaderConstructorProtocol | None) -> str:
        """Name the kind of reader that a constructor makes."""
        if constructor is None:
            return "sequential"
        if isinstance(constructor, DCPOptimizedConstructor):
            return "dcp_optimized"
        kind: object = getattr(constructor, "func", None)
        if kind is SequentialS3Reader:
            return "sequential"
        return "range_based" if kind is RangedS3Reader else "unknown"
