"""Reading the items of a load plan: neighbours in a file together, and the next ones while these are unpacked."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlanner, ReadItem

from s3dlio import batch, oplog, transfer
from s3dlio.buffer import BytesView
from s3dlio.errors import ObjectChangedError
from s3dlio.pace import Pace
from s3dlio.stores.store import Store
from s3dlio.uri import Uri
from s3dlio_compat.s3torchconnector.exceptions import translated

_GAP = 64 << 10  # bytes that are rather read than left out, which would cost a request
_LARGEST = 16 << 20  # bytes of a range for several items
_AHEAD = 128 << 20  # bytes that are read or waiting, unless one range is larger
_MOST = 16  # ranges that are read or waiting

Open: TypeAlias = Callable[[str], tuple[Store, Uri]]


@dataclass(slots=True)
class Extent:
    """A range of a file, and the items in it with their places."""

    path: str
    offset: int
    length: int
    items: list[tuple[ReadItem, int, int]] = field(default_factory=list["tuple[ReadItem, int, int]"])


class _Piece:
    """What arrived, and the version that it is of."""

    def __init__(self, view: BytesView, etag: str | None) -> None:
        self.view = view
        self.etag = etag

    def __len__(self) -> int:
        return len(self.view)


class _Memory(io.RawIOBase):
    """A file over memory that was received, which copies without holding up other threads."""

    def __init__(self, view: BytesView) -> None:
        super().__init__()
        self._view = view.view(np.ndarray)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._view.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        target = np.frombuffer(buffer, np.uint8)
        piece = self._view[self._at : self._at + target.size]
        np.copyto(target[: piece.size], piece)
        self._at += piece.size
        return piece.size


def extents(items: Iterable[ReadItem], storage: dict[Any, Any]) -> list[Extent]:
    """Return the ranges that hold the items of a plan, by file and place."""
    placed = [(storage[item.storage_index], item) for item in items]
    found: list[Extent] = []
    for info, item in sorted(placed, key=lambda each: (each[0].relative_path, each[0].offset)):
        last = found[-1] if found else None
        if last is None or not _joins(last, info):
            last = Extent(info.relative_path, info.offset, 0)
            found.append(last)
        last.length = max(last.length, info.offset + info.length - last.offset)
        last.items.append((item, info.offset - last.offset, info.length))
    return found


def _joins(extent: Extent, info: Any) -> bool:
    near = info.relative_path == extent.path and info.offset <= extent.offset + extent.length + _GAP
    return bool(near and info.offset + info.length - extent.offset <= _LARGEST)


def arriving(wanted: Sequence[Extent], open_path: Open) -> Generator[tuple[Extent, BytesView]]:
    """Yield each extent with its bytes; those of a file are of one version of it.

    Raises:
        S3Exception: one of them could not be read, or a file was replaced meanwhile.
    """

    def job(extent: Extent) -> batch.Job:
        store, where = open_path(extent.path)
        task = oplog.watch("GET", where, _piece(store, where, extent), lambda piece: (1, len(piece)))
        return task, store.blocking

    most = max(2, min(_MOST, _AHEAD // max((extent.length for extent in wanted), default=1)))
    ahead = batch.Ahead(wanted, job, pace=Pace(most, most), most_bytes=most * _AHEAD, ordered=True)
    versions: dict[str, str | None] = {}
    with closing(cast("Generator[tuple[int, _Piece]]", iter(ahead))) as pieces, translated():
        for number, piece in pieces:
            extent = wanted[number]
            if versions.setdefault(extent.path, piece.etag) != piece.etag or len(piece) < extent.length:
                _, where = open_path(extent.path)
                raise ObjectChangedError(f"{where} was replaced while it was read", str(where))
            yield extent, piece.view


async def _piece(store: Store, where: Uri, extent: Extent) -> _Piece:
    landed = await transfer.land(store, where, transfer.Landing(extent.offset, extent.length))
    assert landed.view is not None
    return _Piece(landed.view, None if landed.first is None else landed.first.etag)


def load(item: ReadItem, view: BytesView, info: Any, transforms: Any, planner: LoadPlanner) -> None:
    """Hand one item to the planner, from the bytes that were saved of it."""
    stream: Any = transforms.transform_load_stream(item, info.transform_descriptors or (), _Memory(view))
    if item.type == LoadItemType.BYTE_IO:
        planner.load_bytes(item, io.BytesIO(stream.read(-1)))
        return
    seekable = stream if stream.seekable() else io.BytesIO(stream.read(-1))
    tensor = cast("Tensor", torch.load(seekable, map_location="cpu", weights_only=True))
    for dimension, (offset, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
        tensor = tensor.narrow(dimension, offset, length)
    target = planner.resolve_tensor(item).detach()
    if target.size() != tensor.size():
        raise AssertionError(f"req {item.storage_index} mismatch sizes {target.size()} vs {tensor.size()}")
    target.copy_(tensor)
    planner.commit_tensor(item, target)
