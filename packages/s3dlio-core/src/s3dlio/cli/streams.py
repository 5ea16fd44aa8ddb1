"""Objects as streams of pieces: memory stays small whatever the size, in both directions.

All pieces that are read are of one version of the object. What is written becomes visible only when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO

from s3dlio import oplog, verbs
from s3dlio.buffer import lease
from s3dlio.errors import IntegrityError, ObjectChangedError
from s3dlio.http import blocking
from s3dlio.steps import Task, Together
from s3dlio.stores import store_for
from s3dlio.stores.uploading import uploaded
from s3dlio.uri import parse_key

if TYPE_CHECKING:
    from s3dlio.checksum import Algorithm
    from s3dlio.stores.store import Part, Received, Store, Upload
    from s3dlio.uri import Uri

_SIDE_BY_SIDE = 4
_DOUBLED_EVERY = 1000  # parts: a stream of unknown length then fits into the 10,000 parts that S3 allows


def read(uri: str, offset: int = 0, length: int | None = None) -> Iterator[memoryview]:
    """Yield the bytes of a range piece by piece; a piece is the consumer's until it asks for the next.

    Raises:
        ObjectChangedError: the object was replaced meanwhile.
        IntegrityError: the pieces were not what is stored, which shows after the last of them.
    """
    where = parse_key(uri)
    store = store_for(where)
    step = store.limits.part_size
    if length == 0:
        verbs.stat(uri)  # nothing of nothing is still an error
        return
    reading = _Reading(store, where)
    opening = reading.first(offset, step if length is None else min(step, length), to_end=length is None)
    first = blocking.run(oplog.watch("GET", where, opening, lambda received: (1, received.length)))
    end = first.size if length is None else min(first.size, offset + length)
    if first.etag is None and offset + first.length < end:
        yield verbs.get_range(uri, offset, length).memoryview()  # without a version to pin, in one request
        return
    yield reading.memory
    rest = iter(range(offset + first.length, end, step))
    while starts := list(islice(rest, _SIDE_BY_SIDE)):
        pieces = (
            oplog.watch("GET", where, reading.piece(first, at, min(step, end - at)), lambda piece: (1, len(piece)))
            for at in starts
        )
        yield from blocking.run(_together(pieces))
    if first.length < end - offset == first.size:
        reading.verify(first)


async def _together(tasks: Iterable[Task[memoryview]]) -> list[memoryview]:
    return await Together(tasks, _SIDE_BY_SIDE)


class _Reading:
    """One object on its way: its checksum is put together from those of the pieces."""

    def __init__(self, store: Store, where: Uri) -> None:
        self.store = store
        self.where = where
        self.memory = memoryview(b"")
        self.digests: list[tuple[int, int | None, int]] = []

    async def first(self, offset: int, length: int, *, to_end: bool) -> Received:
        """Read the first piece, which tells the size and the version."""

        def place(_size: int, wanted: int) -> memoryview:
            self.memory = lease(wanted).memoryview()
            return self.memory

        received = await self.store.read(self.where, offset, length, place, to_end=to_end)
        self.digests.append((offset, received.digest, received.length))
        return received

    async def piece(self, first: Received, offset: int, length: int) -> memoryview:
        """Read another piece of the same version."""
        memory = lease(length).memoryview()
        algorithm: Algorithm | None = first.stored[0] if first.stored is not None else None
        received = await self.store.read(
            self.where, offset, length, lambda _, wanted: memory[:wanted], pin=first.etag, algorithm=algorithm
        )
        if received.length != length or received.size != first.size:
            raise ObjectChangedError(f"{self.where} was replaced while it was read: its size changed", str(self.where))
        self.digests.append((offset, received.digest, received.length))
        return memory

    def verify(self, first: Received) -> None:
        """Compare the checksum of all pieces with the one that is stored, if there is one."""
        if first.stored is None:
            return
        algorithm, stored = first.stored
        whole = 0
        for _, digest, length in sorted(self.digests):
            if digest is None:
                return
            whole = algorithm.combine(whole, digest, length)
        if algorithm.encode(whole) != stored:
            message = f"{self.where}: what arrived does not have the checksum that is stored"
            raise IntegrityError(message, str(self.where))


def write(uri: str, pieces: Iterable[memoryview], *, create_only: bool = False) -> None:
    """Store an object from pieces, each but the last a part of the backend's size or larger.

    Raises:
        PreconditionFailedError: `create_only`, and there is an object already.
    """
    where = parse_key(uri)
    storing = _store(store_for(where), where, iter(pieces), create_only)
    blocking.run(oplog.watch("PUT", where, storing, _bytes))


async def _store(store: Store, where: Uri, pieces: Iterator[memoryview], create_only: bool) -> int:
    first = next(pieces, memoryview(b""))
    second = next(pieces, None)
    if second is None:
        await store.write(where, first, if_none_match=create_only)
        return len(first)

    async def fill(upload: Upload) -> int:
        parts = await _send(store, upload, chain((first, second), pieces))
        await store.complete_upload(upload, parts, if_none_match=create_only)
        return sum(part.length for part in parts)

    return await uploaded(store, store.start_upload(where, None), fill)


async def _send(store: Store, upload: Upload, pieces: Iterator[memoryview]) -> list[Part]:
    parts: list[Part] = []
    offset = 0
    while window := list(islice(pieces, _SIDE_BY_SIDE)):
        tasks: list[Task[Part]] = []
        for number, piece in enumerate(window, len(parts) + 1):
            tasks.append(store.write_part(upload, number, offset, piece))
            offset += len(piece)
        parts += await Together(tasks, _SIDE_BY_SIDE)
    return parts


def _bytes(count: int) -> tuple[int, int]:
    return 1, count


def from_file(stream: BinaryIO, target: str) -> Iterator[memoryview]:
    """Yield what a stream of unknown length holds, in pieces that can be parts of `target`."""
    step = store_for(parse_key(target)).limits.part_size
    number = 0
    while data := stream.read(step << (number // _DOUBLED_EVERY)):
        yield memoryview(data)
        number += 1
