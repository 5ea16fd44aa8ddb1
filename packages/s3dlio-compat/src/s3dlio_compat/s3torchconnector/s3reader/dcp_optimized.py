"""A reader of known ranges, in order: what a distributed checkpoint asks for when it loads.

Ranges that lie close together come by one stream; the bytes of one range are held at a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3dlio_compat.s3torchconnector.s3reader.base import (
    GetObjectInfo,
    GetStreamCallable,
    ObjectReader,
)
from s3dlio_compat.s3torchconnector.streams import Stream, stream_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

DEFAULT_MAX_GAP_SIZE = 32 << 20
ONLY_IN_ORDER = "DCPOptimizedS3Reader only supports sequentially accessing provided ranges: "
_REMEDY = "read other patterns with reader_constructor=S3ReaderConstructor.default()"


@dataclass
class ItemRange:
    """The bytes of one item, from `start` up to, not including, `end`."""

    start: int
    end: int


@dataclass
class RangeGroup:
    """Items that come by one stream, and the range that it covers."""

    start: int
    end: int
    item_ranges: list[ItemRange]


def checked_gap(max_gap_size: float) -> float:
    """Return a largest gap in bytes; infinity is one."""
    if not isinstance(max_gap_size, int | float):
        raise TypeError(f"max_gap_size must be int or float, got {type(max_gap_size).__name__}")
    if max_gap_size < 0:
        raise ValueError("max_gap_size must be non-negative")
    return max_gap_size


def grouped(ranges: Sequence[ItemRange], max_gap_size: float) -> list[RangeGroup]:
    """Put ranges whose gaps are no larger than that together.

    Raises:
        ValueError: a range is none, or they are not in order, or overlap.
    """
    groups: list[RangeGroup] = []
    for each in ranges:
        if not 0 <= each.start < each.end:
            raise ValueError(f"Invalid range: {each.start}-{each.end}")
        last = groups[-1].item_ranges[-1] if groups else None
        if last is not None and each.start < last.end:
            fault = "Unsorted" if each.start < last.start else "Overlapping"
            raise ValueError(f"{fault} ranges: {last.start}-{last.end} and {each.start}-{each.end}")
        if last is not None and each.start - last.end <= max_gap_size:
            groups[-1].item_ranges.append(each)
            groups[-1].end = each.end
        else:
            groups.append(RangeGroup(each.start, each.end, [each]))
    return groups


class _Supply:
    """The bytes of one group, drawn from its stream item by item."""

    def __init__(self, stream: Stream, start: int) -> None:
        self._stream = stream
        self._at = start
        self._ahead = memoryview(b"")

    def item(self, item: ItemRange) -> memoryview:
        """Return the bytes of the next item; what lies before it is dropped."""
        missing = item.end - self._at - len(self._ahead)
        if missing > 0:
            more = self._stream.take(missing)
            if len(more) < missing:
                end = self._at + len(self._ahead) + len(more)
                raise ValueError(f"S3 stream exhausted at position {end} while reading item {item.start}-{item.end}")
            self._drop(item.start)
            self._ahead = memoryview(b"".join((self._ahead, more)) if len(self._ahead) else more)
        self._drop(item.start)
        return self._ahead[: item.end - item.start]

    def _drop(self, start: int) -> None:
        count = min(start - self._at, len(self._ahead))
        self._ahead = self._ahead[count:]
        self._at += count


class DCPOptimizedS3Reader(ObjectReader):
    """Reads the given ranges of an object, one after the other; within the current one any seek is possible.

    Raises:
        ValueError: no bucket, key or range, or ranges that are out of order; on reading, a position elsewhere.
    """

    def __init__(
        self,
        bucket: str,
        key: str,
        item_ranges: Iterable[ItemRange],
        get_object_info: GetObjectInfo,
        get_stream: GetStreamCallable,
        max_gap_size: float = DEFAULT_MAX_GAP_SIZE,
    ) -> None:
        super().__init__(bucket, key)
        if not key:
            raise ValueError("Key should be specified")
        given = list(item_ranges or ())
        if not given:
            raise ValueError("item_ranges must be a non-empty List[ItemRange] object")
        gap = checked_gap(max_gap_size)
        ranges = [each for each in given if each.start != each.end]
        if not ranges:
            raise ValueError("No non-empty ranges to read (all ranges were length 0)")
        self._get_object_info = get_object_info
        self._get_stream = get_stream
        self._groups = {group.start: group for group in grouped(ranges, gap)}
        self._items = iter(ranges)
        self._item = next(self._items)
        self._content: memoryview | None = None
        self._supply: _Supply | None = None
        self._position = 0

    def read(self, size: int | None = None) -> bytes:
        """Return `size` bytes, which must lie in one item."""
        if size is None or (isinstance(size, int) and size < 0):
            fault = "None" if size is None else "negative"
            raise ValueError(f"Size cannot be {fault}; full read not supported: {_REMEDY}")
        if not isinstance(size, int):
            raise TypeError(f"argument should be integer or None, not {type(size)!r}")
        return bytes(self._next(size)) if size else b""

    def readinto(self, buf: Buffer, /) -> int:
        """Fill a writable buffer with bytes that lie in one item."""
        target = memoryview(buf).cast("B")
        if target.readonly:
            raise TypeError(f"argument must be a writable bytes-like object, not {type(buf).__name__}")
        target[:] = self._next(len(target))
        return len(target)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset in the object; whether there is something to read shows then."""
        if not isinstance(offset, int):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise TypeError(f"integer argument expected, got {type(offset)!r}")
        if whence not in (io.SEEK_SET, io.SEEK_CUR):
            raise ValueError("whence must be SEEK_CUR or SEEK_SET integers")
        target = offset if whence == io.SEEK_SET else self._position + offset
        if target < 0:
            raise ValueError(f"negative seek value {target}")
        self._position = target
        return target

    def tell(self) -> int:
        """Return the position in the object, in bytes."""
        return self._position

    def close(self) -> None:
        """Let go of what is held."""
        self._supply = self._content = None
        super().close()

    def _next(self, count: int) -> memoryview:
        item, content = self._item_at(self._position, self._position + count)
        start = self._position - item.start
        self._position += count
        return content[start : start + count]

    def _item_at(self, start: int, end: int) -> tuple[ItemRange, memoryview]:
        """Return the item in which a range lies: the current one, or the next."""
        item = self._item
        if not (item.start <= start and end <= item.end):
            where = f"current item {item.start}-{item.end}"
            if start < item.end or self._content is None:
                raise ValueError(f"{ONLY_IN_ORDER}Range {start}-{end} not contained in {where}: {_REMEDY}")
            following = next(self._items, None)
            if following is None:
                where = f"last item with range {item.start}-{item.end}"
                raise ValueError(f"{ONLY_IN_ORDER}Range {start}-{end} not contained in {where}: {_REMEDY}")
            if not (following.start <= start and end <= following.end):
                where = f"{where} nor the next item {following.start}-{following.end}"
                raise ValueError(f"{ONLY_IN_ORDER}Range {start}-{end} not contained in {where}: {_REMEDY}")
            self._item, self._content = following, None
        if self._content is None:
            self._content = self._drawn(self._item)
        return self._item, self._content

    def _drawn(self, item: ItemRange) -> memoryview:
        group = self._groups.get(item.start)
        if group is not None:
            self._supply = _Supply(stream_of(self._get_stream(group.start, group.end)), group.start)
        assert self._supply is not None
        return self._supply.item(item)
