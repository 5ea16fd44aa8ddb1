"""One object as many ranges or parts: planned here, once for every backend.

A read begins with its first part, whose answer tells the size and the version; the others are pinned to that version
and land side by side in the same memory. What a listing or a stat said before may only plan, never decide.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from s3dlio.buffer import BytesView, lease
from s3dlio.errors import IntegrityError, ObjectChangedError
from s3dlio.steps import Task, Together
from s3dlio.stores.store import RangesIgnoredError
from s3dlio.stores.uploading import uploaded

if TYPE_CHECKING:
    from s3dlio.checksum import Algorithm
    from s3dlio.stores.store import Received, Store, Upload
    from s3dlio.uri import Uri

log = logging.getLogger("s3dlio.transfer")

_SIDE_BY_SIDE = 8  # ranges or parts of one object under way
_UNDIVIDED = 64 << 20  # bytes of an object that goes out in one piece when there are as many others


class Landing:
    """The memory of one read: leased when its size is known, unless `allocate` makes it, or the caller's own.

    `first` is what the first answer told.
    """

    def __init__(
        self,
        offset: int,
        length: int | None,
        into: memoryview | None = None,
        *,
        allocate: Callable[[int], memoryview] | None = None,
    ) -> None:
        self.offset = offset
        self.length = length
        self.into = into
        self.allocate = allocate
        self.view: BytesView | None = None
        self.total = 0
        self.memory = memoryview(b"")
        self.first: Received | None = None

    def place(self, size: int, part: int) -> memoryview:
        """Return where the first part goes; what follows it has its place behind."""
        rest = max(0, size - self.offset)
        self.total = rest if self.length is None else min(self.length, rest)
        if self.into is not None:
            self.memory = self.into[: self.total]
        elif self.allocate is not None:
            self.memory = self.allocate(self.total)
        else:
            self.view = lease(self.total)
            self.memory = self.view.memoryview()
        return self.memory if part == self.total else self.memory[:part]


async def read(store: Store, uri: Uri, offset: int = 0, length: int | None = None) -> BytesView:
    """Return the bytes of a range, or of the whole object, in leased memory."""
    landing = await land(store, uri, Landing(offset, length))
    assert landing.view is not None
    return landing.view


async def read_into(store: Store, uri: Uri, offset: int, into: memoryview) -> int:
    """Fill `into` from `offset` on; return how many bytes there were."""
    if not len(into):
        return 0
    return (await land(store, uri, Landing(offset, len(into), into))).total


async def land(store: Store, uri: Uri, landing: Landing, pin: str | None = None) -> Landing:
    """Read what a landing has its memory for; with `pin`, of the version that has this ETag."""
    if landing.length == 0:
        landing.place(landing.offset, 0)
        return landing
    try:
        await _received(store, uri, landing, pin)
    except (ObjectChangedError, _WholeChecksumError):
        if pin is not None:
            raise
        # Replaced meanwhile, or damaged on the way: one more time from the start, then it is an error.
        await _received(store, uri, landing, pin)
    return landing


async def _received(store: Store, uri: Uri, landing: Landing, pin: str | None) -> None:
    first = landing.first = await _first(store, uri, landing, pin)
    if first.length < landing.total:
        await _rest(store, uri, landing, first)


class _WholeChecksumError(IntegrityError):
    """The parts arrived, and together they are not the object that was stored."""


def _first(store: Store, uri: Uri, landing: Landing, pin: str | None) -> Awaitable[Received]:
    part, length = store.limits.part_size, landing.length
    wanted = part if length is None else min(part, length)
    return store.read(uri, landing.offset, wanted, landing.place, pin=pin, to_end=length is None)


async def _rest(store: Store, uri: Uri, landing: Landing, first: Received) -> None:
    """Read what the first part has left over."""
    if first.etag is None:
        _say_unpinned(uri.root)
        await _read_at_once(store, uri, landing)
        return
    try:
        rest = await Together(_others(store, uri, landing, first), _SIDE_BY_SIDE)
    except RangesIgnoredError:
        await _read_at_once(store, uri, landing)
        return
    if first.stored is not None and first.size == landing.total:
        _verify(uri, first, rest)


@lru_cache(maxsize=1024)
def _say_unpinned(root: str) -> None:
    """Warn of a container whose objects have no ETag; once, since it is remembered."""
    log.warning("%s gives no ETags: its objects are read in one piece each, however large", root)


async def _read_at_once(store: Store, uri: Uri, landing: Landing) -> None:
    """Read without splitting: nothing would tell whether the parts are of one version."""
    again = await store.read(uri, landing.offset, landing.total, landing.place, to_end=landing.length is None)
    if again.length != landing.total:
        raise ObjectChangedError(f"{uri} was replaced while it was read", str(uri))


def _others(store: Store, uri: Uri, landing: Landing, first: Received) -> Iterator[Task[Received]]:
    part = store.limits.part_size
    algorithm = first.stored[0] if first.stored is not None else None
    for at in range(first.length, landing.total, part):
        memory = landing.memory[at : at + part]
        yield _one(store, uri, landing.offset + at, memory, first, algorithm)


async def _one(
    store: Store, uri: Uri, offset: int, memory: memoryview, first: Received, algorithm: Algorithm | None
) -> Received:
    received = await store.read(
        uri, offset, len(memory), lambda size, length: memory[:length], pin=first.etag, algorithm=algorithm
    )
    if received.length != len(memory) or received.size != first.size:
        raise ObjectChangedError(f"{uri} was replaced while it was read: its size changed", str(uri))
    return received


def _verify(uri: Uri, first: Received, rest: Sequence[Received]) -> None:
    assert first.stored is not None
    algorithm, stored = first.stored
    whole = first.digest
    for part in rest:
        if whole is None or part.digest is None:
            return
        whole = algorithm.combine(whole, part.digest, part.length)
    if whole is not None and algorithm.encode(whole) != stored:
        raise _WholeChecksumError(f"{uri}: what arrives does not have the checksum that is stored", str(uri))


async def write(
    store: Store, uri: Uri, data: memoryview, *, if_none_match: bool = False, durable: bool = False, others: int = 0
) -> None:
    """Store an object: small ones at once, large ones as parts of the same memory, side by side.

    `others` are stored at the same time. Where there are many, they are what goes side by side, and parts are for
    what is too large to be sent twice.
    """
    parted = 2 * store.limits.part_size
    if len(data) < (parted if others < _SIDE_BY_SIDE - 1 else max(parted, _UNDIVIDED + 1)):
        await store.write(uri, data, if_none_match=if_none_match, durable=durable)
        return
    part = store.limits.part_for(uri, len(data))

    async def fill(upload: Upload) -> None:
        pieces = (
            store.write_part(upload, number, at, data[at : at + part])
            for number, at in enumerate(range(0, len(data), part), 1)
        )
        parts = await Together(pieces, _SIDE_BY_SIDE)
        await store.complete_upload(upload, parts, if_none_match=if_none_match, durable=durable)

    await uploaded(store, store.start_upload(uri, len(data)), fill)
