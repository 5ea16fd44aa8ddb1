"""direct://: local files past the page cache, with O_DIRECT.

The device moves whole blocks between places that are aligned to them. What is aligned goes straight to its
memory; the rest of a read goes through one leased buffer, the rest of a write through the page cache. Where
the file system refuses O_DIRECT, the page cache serves everything and is asked to forget it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s3dlio import fileio
from s3dlio.buffer import lease
from s3dlio.stores.local import LocalStore
from s3dlio.stores.store import Limits

if TYPE_CHECKING:
    from s3dlio.uri import Uri

_logger = logging.getLogger("s3dlio")

_REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)
_PAGE = 4096
_BOUNCE = 4 << 20  # bytes; large enough for the device, small enough to stay in cache between its two copies
_ONE_CALL = 1 << 20  # below this, one read of all blocks and a copy beats two reads

_AT_EMPTY_PATH = 0x1000
_STATX_DIOALIGN = 0x2000
_STATX_SIZE = 256
_DIOALIGN_FIELDS = struct.Struct("=II")  # of the memory, of the offset; both 0 where O_DIRECT is not possible
_DIOALIGN_AT = 0x98


class DirectStore(LocalStore):
    """The files of this machine, read and written past the page cache."""

    limits = Limits(part_size=16 << 20, smallest_part=_PAGE)

    def _receive(self, uri: Uri, fd: int, memory: memoryview, offset: int) -> int:
        done = 0
        try:
            with _direct(fd):
                done = _read(fd, memory, offset, _alignment(fd))
        except OSError as problem:
            if problem.errno not in _REFUSED:
                raise
            _warn(uri, fd)
        if done == len(memory):
            return done
        done += fileio.read_into(fd, memory[done:], offset + done)
        os.posix_fadvise(fd, offset, done, os.POSIX_FADV_DONTNEED)
        return done

    def _send(self, uri: Uri, fd: int, data: memoryview, offset: int) -> None:
        alignment = _alignment(fd)
        head = min(-offset % alignment.block, len(data))
        bulk = (len(data) - head) // alignment.block * alignment.block
        done = head
        if bulk:
            try:
                with _direct(fd):
                    done += _write(fd, data[head : head + bulk], offset + head, alignment)
            except OSError as problem:
                if problem.errno not in _REFUSED:
                    raise
                _warn(uri, fd)
        fileio.write_from(fd, data[:head], offset)
        fileio.write_from(fd, data[done:], offset + done)


@dataclass(frozen=True, slots=True)
class Alignment:
    """What O_DIRECT asks for, in bytes: offsets and lengths in whole blocks, addresses multiples of `memory`.

    A block is never less than a page, so that no page is written by the device and by the page cache both.
    """

    block: int = _PAGE
    memory: int = _PAGE


_alignments: dict[int, Alignment] = {}
_warned: set[int] = set()


def _alignment(fd: int) -> Alignment:
    """Return the alignment for a file; files of one device have the same."""
    device = os.fstat(fd).st_dev
    found = _alignments.get(device)
    if found is None:
        found = _alignments[device] = _ask(fd)
    return found


def _ask(fd: int) -> Alignment:
    """Ask the kernel (6.1 or newer) for the alignment; 4096 suits nearly all devices where it is silent."""
    statx = getattr(ctypes.CDLL(None), "statx", None)
    answer = ctypes.create_string_buffer(_STATX_SIZE)
    if statx is None or statx(fd, b"", _AT_EMPTY_PATH, _STATX_DIOALIGN, answer) != 0:
        return Alignment()
    memory, block = _DIOALIGN_FIELDS.unpack_from(answer.raw, _DIOALIGN_AT)
    if not memory or not block:
        return Alignment()
    return Alignment(max(block, _PAGE), memory)


def _warn(uri: Uri, fd: int) -> None:
    device = os.fstat(fd).st_dev
    if device in _warned:
        return
    _warned.add(device)
    _logger.warning("the file system of %s does not allow O_DIRECT: direct:// uses the page cache there", uri)


@contextmanager
def _direct(fd: int) -> Generator[None, None, None]:
    """Switch a descriptor to O_DIRECT and back. It is ours alone, so nobody else notices."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def _array(memory: memoryview) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(memory, dtype=np.uint8)


def _aligned(memory: memoryview, alignment: Alignment) -> bool:
    return len(memory) > 0 and _array(memory).ctypes.data % alignment.memory == 0


def _read(fd: int, memory: memoryview, offset: int, alignment: Alignment) -> int:
    """Fill `memory` from `offset` on; returns how many bytes came, fewer if it stopped inside a block."""
    tail = len(memory) % alignment.block
    straight = offset % alignment.block == 0 and _aligned(memory, alignment)
    if not straight or (tail and len(memory) < _ONE_CALL):
        return _read_through(fd, memory, offset, alignment)
    bulk = len(memory) - tail
    done = 0
    while done < bulk and done % alignment.block == 0:
        count = os.preadv(fd, (memory[done:bulk],), offset + done)
        if count == 0:
            return done
        done += count
    return done + _read_through(fd, memory[done:], offset + done, alignment)


def _read_through(fd: int, memory: memoryview, offset: int, alignment: Alignment) -> int:
    """Read whole blocks into a leased buffer and copy out what was asked for. Nothing need be aligned."""
    if not memory:
        return 0
    block = alignment.block
    span = _whole(offset % block + len(memory), block)
    bounce = lease(max(_PAGE, min(span, _whole(_BOUNCE, block)))).data
    target = _array(memory)
    done = 0
    while done < len(memory):
        skipped = (offset + done) % block
        size = min(len(bounce), _whole(skipped + len(memory) - done, block))
        count = os.preadv(fd, (bounce[:size],), offset + done - skipped) - skipped
        if count <= 0:
            break
        count = min(count, len(memory) - done)
        np.copyto(target[done : done + count], _array(bounce)[skipped : skipped + count])
        done += count
    return done


def _write(fd: int, memory: memoryview, offset: int, alignment: Alignment) -> int:
    """Write whole blocks; returns how many bytes were taken, fewer than all if it stopped inside a block."""
    straight = _aligned(memory, alignment)
    bounce = None if straight else lease(min(len(memory), _whole(_BOUNCE, alignment.block))).data
    done = 0
    while done < len(memory) and done % alignment.block == 0:
        piece = memory[done:]
        if bounce is not None:
            piece = piece[: len(bounce)]
            np.copyto(_array(bounce)[: len(piece)], _array(piece))
            piece = bounce[: len(piece)]
        count = os.pwrite(fd, piece, offset + done)
        if count == 0:
            break
        done += count
    return done


def _whole(size: int, block: int) -> int:
    return -(-size // block) * block
