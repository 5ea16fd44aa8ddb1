"""The TFRecord format: payloads in frames with their length and two checksums, and the indexes of such files.

A frame is the length, a sum over the length, the payload, and a sum over the payload; all numbers are little-endian.
A sum is a CRC-32C that is masked, since a CRC over bytes that hold their own CRC says little. Frames follow each
other without gaps. An index tells offset and length of whole frames.
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from s3dlio.checksum import crc32c
from s3dlio.formats import Bytes, Read, Window, compression, damaged, flat, sliceable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

IndexKind: TypeAlias = Literal["binary", "dali"]
"""16 bytes a record, or the lines of text that DALI's tfrecord2idx writes."""

_HEADER = struct.Struct("<QI")
_SUM = struct.Struct("<I")
_AROUND = _HEADER.size + _SUM.size  # a frame without its payload
_LINE = re.compile(rb"(?:\d{1,18} \d{1,18}\n)*")


def payload(frame: Buffer, name: str, *, offset: int = 0) -> Bytes:
    """Return the payload of one whole frame, without a copy. `name` and `offset` say where it is from, for messages.

    Raises:
        IntegrityError: a wrong checksum, or not one whole frame.
    """
    window = Window.over(frame, name, offset)
    length = _frame_length(window, 0)
    if length != window.size:
        raise window.damaged(0, f"the record has {length} bytes, and {window.size} were given")
    return _checked(sliceable(frame), window, 0, length)


def records(data: Buffer, name: str) -> Iterator[Bytes]:
    """Yield the payloads of a whole file in memory, without copies.

    Raises:
        IntegrityError: a wrong checksum, or a file that ends inside a record.
    """
    whole, window = sliceable(data), Window.over(data, name)
    for offset, length in _frames(window):
        yield _checked(whole, window, offset, length)


def scan(read: Read, size: int, name: str) -> NDArray[np.int64]:
    """Return offset and length of each whole frame of a file of `size` bytes, as an array of shape (n, 2).

    `read(offset, length)` returns a range of the file. The checksums of the lengths are checked; large payloads are
    skipped, and no payload is checked.

    Raises:
        IntegrityError: a wrong checksum, or a file that ends inside a record.
    """
    found = array("q")
    for frame in _frames(Window(read, size, name)):
        found.extend(frame)
    return np.array(found, np.int64).reshape(-1, 2)


def _frames(window: Window) -> Iterator[tuple[int, int]]:
    at = 0
    while at < window.size:
        length = _frame_length(window, at)
        yield at, length
        at += length


def _frame_length(window: Window, at: int) -> int:
    """Return the length of the frame at an offset, which is all there."""
    header = window.take(at, _HEADER.size, "the header of a record")
    length, checksum = _HEADER.unpack(header)
    if _masked(header[:8]) != checksum:
        packed = compression(header) if at == 0 else None
        if packed:
            raise window.unsupported(0, f"no TFRecord, but maybe one inside {packed}: decompress it, to have offsets")
        raise window.damaged(at, "the length of the record does not have its checksum")
    if length + _AROUND > window.size - at:
        text = f"the file is cut off: the record has {length + _AROUND} bytes, and {window.size - at} are left"
        raise window.damaged(at, text)
    return int(length) + _AROUND


def _checked(data: Bytes, window: Window, offset: int, length: int) -> Bytes:
    """Return the payload of the frame at an offset, whose checksum is right."""
    end = offset + length - _SUM.size
    found: Bytes = data[offset + _HEADER.size : end]
    if _masked(found) != _SUM.unpack_from(data, end)[0]:
        raise window.damaged(offset, f"the payload of the record, {len(found)} bytes, does not have its checksum")
    return found


def _masked(data: Bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def index_names(uri: str) -> list[tuple[str, IndexKind]]:
    """Return where an index of a file may be, and of which kind it is then."""
    stem, extension = os.path.splitext(uri)
    # `train.tfrecord-00001-of-00010` keeps its end, which tells it from its neighbours.
    beside: list[tuple[str, IndexKind]] = [(f"{stem}.idx", "dali")] if extension[1:].isalpha() else []
    return [(f"{uri}.index", "binary"), *beside, (f"{uri}.idx", "dali")]


def parse_index(data: Buffer, kind: IndexKind, name: str) -> NDArray[np.int64]:
    """Return offset and length of each whole frame as an index tells them, in an array of shape (n, 2).

    Raises:
        IntegrityError: an index that is cut off, holds something else, or whose frames overlap or go back.
    """
    frames = _binary(flat(data), name) if kind == "binary" else _text(bytes(flat(data)), name)
    offsets, lengths = frames[:, 0], frames[:, 1]
    ends = offsets + lengths
    wrong = (offsets < 0) | (lengths < _AROUND) | (ends < offsets)
    wrong[1:] |= offsets[1:] < ends[:-1]
    if wrong.any():
        at = int(np.argmax(wrong))
        where = _position(data, kind, at)
        text = f"entry {at} is offset {offsets[at]}, length {lengths[at]}, which cannot follow what is before it"
        raise damaged(name, where, text)
    return frames


def _binary(memory: memoryview, name: str) -> NDArray[np.int64]:
    if len(memory) % 16:
        where = len(memory) // 16 * 16
        raise damaged(name, where, f"the index is cut off: {len(memory) - where} bytes are left, an entry has 16")
    # A number above 2^63 turns negative, and is refused as such.
    return np.array(memory, copy=True).view("<i8").astype(np.int64).reshape(-1, 2)


def _text(text: bytes, name: str) -> NDArray[np.int64]:
    match = _LINE.match(text)
    end = match.end() if match else 0
    if end != len(text):
        found = text[end : end + 40]
        raise damaged(name, end, f"the index is cut off or damaged: {found!r} is no line of offset and size")
    return np.array(array("q", map(int, text.split())), np.int64).reshape(-1, 2)


def _position(data: Buffer, kind: IndexKind, entry: int) -> int:
    """Return where an entry of an index begins."""
    if kind == "binary":
        return entry * 16
    return sum(len(line) for line in bytes(flat(data)).splitlines(keepends=True)[:entry])


def build_index(frames: NDArray[np.int64], kind: IndexKind) -> bytes:
    """Return the index of frames as `scan` returns them."""
    if kind == "binary":
        return frames.astype("<u8").tobytes()
    return b"".join(b"%d %d\n" % (offset, length) for offset, length in frames.tolist())
