"""The operations of the fault matrix: what each needs to be there, what it does, and what is right afterwards.

An operation works on keys below one segment, which orders its fault; what it must leave alone has other keys.
"""

import asyncio
import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import s3dlio
from tests.servers.faulty.server import FaultServer
from tests.servers.faulty.storage import RefusalError

BUCKET = "matrix"
PART = 320 << 10  # more than what the drivers receive in their own thread
SIZES = {"empty": 0, "small": 5000, "split": 2 * PART + 7777}
OFFSET = 3


@cache
def content_of(size: str) -> bytes:
    """Return the same bytes every time, and other ones for each size."""
    pattern = bytes((7 * number + SIZES[size]) % 251 for number in range(4099))
    return (pattern * (SIZES[size] // len(pattern) + 1))[: SIZES[size]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one cell works. `versions` are the contents that its object may be said to have."""

    server: FaultServer
    segment: str
    size: str
    folder: Path
    keys: list[str] = field(default_factory=list[str])

    @property
    def content(self) -> bytes:
        """What the object holds, or is to hold."""
        return content_of(self.size)

    @property
    def versions(self) -> tuple[bytes, bytes]:
        """The content, and the one that somebody else may put in its place."""
        return self.content, self.content[::-1]

    @property
    def uri(self) -> str:
        """The object whose requests the fault hits."""
        return f"s3://{BUCKET}/{self.segment}/object"

    @property
    def prefix(self) -> str:
        """The prefix above it."""
        return f"s3://{BUCKET}/{self.segment}/"

    def around(self) -> list[str]:
        """Return URIs of three objects: the middle one is that of the fault."""
        return [f"s3://{BUCKET}/plain-{self.size}", self.uri, f"s3://{BUCKET}/plain-{self.size}"]

    def fill(self, *names: str) -> None:
        """Store objects below the segment."""
        for name in names:
            self.server.storage.fill(BUCKET, f"{self.segment}/{name}", self.content)

    def stored(self, name: str = "object") -> bytes | None:
        """Return what the server holds below the segment."""
        try:
            return self.server.storage.get(BUCKET, f"{self.segment}/{name}").content
        except RefusalError:
            return None

    def left(self) -> list[str]:
        """Return the keys below the segment."""
        with self.server.storage.lock:
            return sorted(key for key in self.server.storage.buckets[BUCKET] if key.startswith(f"{self.segment}/"))


Result = Any


@dataclass(frozen=True, slots=True)
class Operation:
    """`calls` are the calls of the API by size; `right` judges a result, `whole` what a failure leaves behind."""

    name: str
    calls: dict[str, tuple[str, ...]]
    act: Callable[[Place], Result]
    right: Callable[[Place, Result], bool]
    prepare: Callable[[Place], None] = lambda place: place.fill("object")
    whole: Callable[[Place], bool] = lambda place: True


def _reads(*sizes: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(sizes, ("get",))


def _any_version(place: Place, result: Result) -> bool:
    return bytes(result) in place.versions


def _any_slice(place: Place, result: Result) -> bool:
    return bytes(result) in [each[OFFSET : OFFSET + len(each) * 3 // 4] for each in place.versions]


def _get_into(place: Place) -> Result:
    memory = bytearray(len(place.content))
    assert s3dlio.get_into(place.uri, memory) == len(memory)
    return memory


def _middle(place: Place, results: Sequence[Any]) -> bool:
    first, middle, last = map(bytes, results)
    return first == last == place.content and middle in place.versions


def _get_many_kept(place: Place) -> Result:
    results = s3dlio.get_many(place.around(), on_error="return")
    assert bytes(results[0]) == bytes(results[2]) == place.content
    if isinstance(results[1], Exception):
        raise results[1]
    return results


def _iter_many(place: Place) -> Result:
    return [data for _, data in s3dlio.iter_many(place.around())]


def _awaited(make: Callable[[Place], Any]) -> Callable[[Place], Result]:
    async def run(place: Place) -> Result:
        return await make(place)

    return lambda place: asyncio.run(run(place))


NAMES = tuple(f"object-{number}" for number in range(7))


def _several(place: Place) -> None:
    place.fill(*NAMES)


def _all_listed(place: Place, result: Result) -> bool:
    return list(result) == [f"{place.prefix}{name}" for name in NAMES]


def _put_right(place: Place, result: Result) -> bool:
    return place.stored() == place.content


def _put_whole(place: Place) -> bool:
    return place.stored() in (None, place.content)


def _nothing(place: Place) -> None:
    """Need nothing to be there."""


def _put_many(place: Place) -> Result:
    others = [f"s3://{BUCKET}/other-{place.segment.partition('~')[2]}-{number}" for number in (0, 1)]
    s3dlio.put_many([(others[0], place.content), (place.uri, place.content), (others[1], place.content)])


def _upload(place: Place) -> Result:
    source = place.folder / "source"
    source.mkdir()
    (source / "object").write_bytes(place.content)
    return s3dlio.upload(source, place.prefix)


def _download(place: Place) -> Result:
    return s3dlio.download(place.prefix, place.folder / "target")


def _downloaded(place: Place, result: Result) -> bool:
    target = place.folder / "target"
    return {path.name: path.read_bytes() in place.versions for path in target.iterdir()} == dict.fromkeys(NAMES, True)


def _download_whole(place: Place) -> bool:
    target = place.folder / "target"
    found = list(target.iterdir()) if target.exists() else []
    return all(path.name in NAMES and path.read_bytes() in place.versions for path in found)


def _copied_to_file(place: Place) -> Result:
    target = place.folder / "copied"
    s3dlio.copy(place.uri, f"file://{target}")
    return target.read_bytes()


def _no_file(place: Place) -> bool:
    return builtins.list(place.folder.iterdir()) == []


def _copy(place: Place) -> Result:
    s3dlio.copy(f"s3://{BUCKET}/plain-{place.size}", place.uri)


def _epoch(place: Place) -> Result:
    from s3dlio_torch import ObjectStoreIterableDataset

    return [bytes(sample) for sample in ObjectStoreIterableDataset(place.prefix, return_type="bytes")]


def _epoch_right(place: Place, result: Result) -> bool:
    return len(result) == len(NAMES) and all(sample in place.versions for sample in result)


def _gone(place: Place, result: Result) -> bool:
    return place.left() == []


def _fact(place: Place, result: Result) -> bool:
    return result["size"] == len(place.content) and result["etag"] is not None


_HEAD = {"small": ("head",)}
_LIST = {"small": ("list",)}
_PUT = {"empty": ("put",), "small": ("put",)}
_PARTS = {"split": ("start", "part", "complete")}
_EVERY = ("empty", "small", "split")

OPERATIONS = (
    Operation("get", _reads(*_EVERY), lambda place: s3dlio.get(place.uri), _any_version),
    Operation(
        "get_range",
        _reads("small", "split"),
        lambda place: s3dlio.get_range(place.uri, OFFSET, len(place.content) * 3 // 4),
        _any_slice,
    ),
    Operation("get_into", _reads("small", "split"), _get_into, _any_version),
    Operation("get_many", _reads(*_EVERY), lambda place: s3dlio.get_many(place.around()), _middle),
    Operation("get_many_kept", _reads("small"), _get_many_kept, _middle),
    Operation("iter_many", _reads("small", "split"), _iter_many, _middle),
    Operation("get_async", _reads(*_EVERY), _awaited(lambda place: s3dlio.get_async(place.uri)), _any_version),
    Operation(
        "get_many_async",
        _reads("small"),
        _awaited(lambda place: s3dlio.get_many_async(place.around())),
        _middle,
    ),
    Operation("epoch", {"small": ("list", "get")}, _epoch, _epoch_right, _several),
    Operation("copy_to_file", _reads("small", "split"), _copied_to_file, _any_version, whole=_no_file),
    Operation("download", {"small": ("list", "get")}, _download, _downloaded, _several, _download_whole),
    Operation("stat", _HEAD, lambda place: s3dlio.stat(place.uri), _fact),
    Operation("exists", _HEAD, lambda place: s3dlio.exists(place.uri), lambda place, result: result is True),
    Operation(
        "stat_many",
        _HEAD,
        lambda place: s3dlio.stat_many(place.around())[1],
        _fact,
    ),
    Operation("list", _LIST, lambda place: s3dlio.list(place.prefix), _all_listed, _several),
    Operation("list_iter", _LIST, lambda place: list(s3dlio.list_iter(place.prefix)), _all_listed, _several),
    Operation("list_async", _LIST, _awaited(lambda place: s3dlio.list_async(place.prefix)), _all_listed, _several),
    Operation(
        "put", {**_PUT, **_PARTS}, lambda place: s3dlio.put(place.uri, place.content), _put_right, _nothing, _put_whole
    ),
    Operation(
        "put_create",
        {"small": ("put",), **_PARTS},
        lambda place: s3dlio.put(place.uri, place.content, if_none_match=True),
        _put_right,
        _nothing,
        _put_whole,
    ),
    Operation(
        "put_async",
        {"small": ("put",), **_PARTS},
        _awaited(lambda place: s3dlio.put_async(place.uri, place.content)),
        _put_right,
        _nothing,
        _put_whole,
    ),
    Operation("put_many", {"small": ("put",), **_PARTS}, _put_many, _put_right, _nothing, _put_whole),
    Operation("upload", {"small": ("put",), **_PARTS}, _upload, _put_right, _nothing, _put_whole),
    Operation("copy", {"small": ("copy",)}, _copy, _put_right, _nothing, _put_whole),
    Operation(
        "mkdir",
        {"small": ("put",)},
        lambda place: s3dlio.mkdir(f"{place.prefix}d"),
        lambda place, _: place.stored("d/") == b"",
        _nothing,
    ),
    Operation("delete", {"small": ("delete",)}, lambda place: s3dlio.delete(place.uri), _gone),
    Operation(
        "delete_recursive",
        {"small": ("list", "batch")},
        lambda place: s3dlio.delete(place.prefix, recursive=True),
        _gone,
        _several,
    ),
)
