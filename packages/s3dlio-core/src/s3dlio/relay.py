"""One object from one store to another, part by part: memory stays small whatever the size.

The source is pinned to the version that its first part has, and the target becomes visible only when all is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from s3dlio.buffer import lease
from s3dlio.errors import IntegrityError, ObjectChangedError
from s3dlio.steps import Task, Together
from s3dlio.stores.uploading import uploaded

if TYPE_CHECKING:
    from s3dlio.checksum import Algorithm
    from s3dlio.stores.store import Part, Received, Store, Upload
    from s3dlio.uri import Uri

_SIDE_BY_SIDE = 4


class _Piece:
    """The memory for one part: leased when its length is known."""

    def __init__(self) -> None:
        self.memory = memoryview(b"")

    def place(self, size: int, length: int) -> memoryview:
        """Lease what is needed."""
        self.memory = lease(length).memoryview()
        return self.memory


class _DamagedError(IntegrityError):
    """The parts arrived, and together they are not the object that was stored."""


async def relay(origin: Store, source: Uri, goal: Store, target: Uri) -> int:
    """Copy an object from store to store; return its size in bytes."""
    try:
        return await _relay(origin, source, goal, target)
    except (ObjectChangedError, _DamagedError):
        # Replaced meanwhile, or damaged on the way: one more time from the start, then it is an error.
        return await _relay(origin, source, goal, target)


async def _relay(origin: Store, source: Uri, goal: Store, target: Uri) -> int:
    piece = _Piece()
    first = await origin.read(source, 0, goal.limits.part_size, piece.place, to_end=True)
    if first.length == first.size:
        await goal.write(target, piece.memory)
        return first.size
    if first.etag is None:
        raise IntegrityError(f"{source} has no ETag: nothing would tell whether its parts belong together", str(source))
    step = goal.limits.part_for(target, first.size)

    async def fill(upload: Upload) -> None:
        await _send_parts(origin, source, goal, upload, first, step)

    await uploaded(goal, goal.start_upload(target, first.size), fill)
    return first.size


async def _send_parts(origin: Store, source: Uri, goal: Store, upload: Upload, first: Received, step: int) -> None:
    done = await Together(_parts(origin, source, goal, upload, first, step), _SIDE_BY_SIDE)
    _verify(source, first, [received for received, _ in done])
    await goal.complete_upload(upload, [part for _, part in done])


def _parts(
    origin: Store, source: Uri, goal: Store, upload: Upload, first: Received, step: int
) -> Iterator[Task[tuple[Received, Part]]]:
    for number, offset in enumerate(range(0, first.size, step), 1):
        yield _part(origin, source, goal, upload, first, number, offset, min(step, first.size - offset))


async def _part(
    origin: Store, source: Uri, goal: Store, upload: Upload, first: Received, number: int, offset: int, length: int
) -> tuple[Received, Part]:
    piece = _Piece()
    algorithm: Algorithm | None = first.stored[0] if first.stored is not None else None
    received = await origin.read(source, offset, length, piece.place, pin=first.etag, algorithm=algorithm)
    if received.length != length or received.size != first.size:
        raise ObjectChangedError(f"{source} was replaced while it was copied: its size changed", str(source))
    return received, await goal.write_part(upload, number, offset, piece.memory)


def _verify(source: Uri, first: Received, parts: list[Received]) -> None:
    if first.stored is None:
        return
    algorithm, stored = first.stored
    whole = 0
    for part in parts:
        if part.digest is None:
            return
        whole = algorithm.combine(whole, part.digest, part.length)
    if algorithm.encode(whole) != stored:
        raise _DamagedError(f"{source}: what arrives does not have the checksum that is stored", str(source))
