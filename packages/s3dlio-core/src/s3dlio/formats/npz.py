"""The .npz format: a zip archive with one .npy file for each array.

Arrays that are stored lie in the memory of the archive; those that are deflated get memory of their own, as large as
the directory says and not a byte more. The members lie one behind the other, or the archive is refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from s3dlio.buffer import lease
from s3dlio.formats import damaged, flat, npy, unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

_LIMIT = 16 << 30
_RATIO = 1032  # deflate's best: 258 bytes from two bits
_FEED, _PIECE = 64 << 10, 1 << 20
_LOCAL = struct.Struct("<4s2xHH16xHH")  # signature, flags, method, lengths of name and extra field
_ENCRYPTED, _UTF8 = 0x41, 0x800
_UNREADABLE = (BadZipFile, NotImplementedError, OSError, EOFError, OverflowError, ValueError, struct.error)


def decode(data: Buffer, name: str, only: str | None = None, *, limit: int = _LIMIT) -> dict[str, NDArray[Any]]:
    """Return the arrays in `data`, the content of a .npz file, by their names; or the one called `only`.

    Stored arrays share the memory of `data` where its alignment allows. The CRC-32 of each is checked. `name` is the
    URI for messages, `limit` the number of bytes that deflated arrays may take in total.

    Raises:
        IntegrityError: not a zip archive, or a damaged one.
        ValueError: a member that is no array, is encrypted, holds Python objects, or inflates beyond the limit.
        KeyError: no array is called `only`.
    """
    memory = flat(data)
    members = _members(memory, name)
    if only is not None:
        if only not in members:
            raise KeyError(f"{name} has no array {only!r}; it has {', '.join(members) or 'none'}")
        members = {only: members[only]}
    _refuse_bombs(members.values(), limit, name)
    return {key: npy.decode(_content(memory, each, name), name, member=key) for key, each in members.items()}


@dataclass(frozen=True, slots=True)
class _Member:
    info: ZipInfo
    start: int  # of its bytes in the archive

    @property
    def header(self) -> int:
        return self.info.header_offset

    @property
    def end(self) -> int:
        return self.start + self.info.compress_size


class _File:
    """Memory as the file that `zipfile` reads the directory from."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._at = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        at = offset + (0, self._at, len(self._memory))[whence]
        if at < 0:
            raise OSError(f"there is no byte {at}")
        self._at = at
        return at

    def read(self, count: int | None = -1, /) -> bytes:
        end = len(self._memory) if count is None or count < 0 else self._at + count
        found = bytes(self._memory[self._at : end])
        self._at += len(found)
        return found


def _members(memory: memoryview, name: str) -> dict[str, _Member]:
    """Return the members by the names of their arrays, all checked to be apart."""
    try:
        with ZipFile(_File(memory)) as archive:
            infos, directory = archive.infolist(), archive.start_dir
    except _UNREADABLE as problem:
        raise damaged(name, 0, f"no .npz file, or a damaged one: {problem}") from problem
    found: dict[str, _Member] = {}
    for info in infos:
        key = info.filename.removesuffix(".npy")
        if key == info.filename:
            raise unsupported(name, info.header_offset, f"member {info.filename!r} is no .npy file")
        if key in found:
            raise damaged(name, info.header_offset, f"array {key!r} is there twice")
        found[key] = _member(memory, info, name)
    ordered = sorted(found.values(), key=lambda each: each.header)
    for one, other in pairwise(ordered):
        if one.end > other.header:
            raise damaged(name, other.header, f"members {one.info.filename!r} and {other.info.filename!r} overlap")
    if ordered and ordered[-1].end > directory:
        raise damaged(name, ordered[-1].header, f"member {ordered[-1].info.filename!r} runs into the directory")
    return found


def _member(memory: memoryview, info: ZipInfo, name: str) -> _Member:
    """Return where the bytes of a member are, if its own header agrees with the directory."""
    at, label = info.header_offset, f"member {info.filename!r}"
    if not 0 <= at <= len(memory) - _LOCAL.size:
        raise damaged(name, at, f"{label} lies outside the file")
    signature, flags, method, length, extra = _LOCAL.unpack_from(memory, at)
    start = at + _LOCAL.size
    called = bytes(memory[start : start + length]).decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    if signature != b"PK\x03\x04" or called != info.orig_filename or method != info.compress_type:
        raise damaged(name, at, f"{label} has another header than the directory tells")
    if (flags | info.flag_bits) & _ENCRYPTED:
        raise unsupported(name, at, f"{label} is encrypted")
    if method not in (ZIP_STORED, ZIP_DEFLATED):
        raise unsupported(name, at, f"{label} is compressed by method {method}: stored and deflated ones are read")
    if method == ZIP_STORED and info.compress_size != info.file_size:
        raise damaged(name, at, f"{label} is stored and has two sizes, {info.compress_size} and {info.file_size}")
    return _Member(info, start + length + extra)


def _refuse_bombs(members: Iterable[_Member], limit: int, name: str) -> None:
    deflated = [each.info for each in members if each.info.compress_type == ZIP_DEFLATED]
    for info in deflated:
        if info.file_size > _RATIO * info.compress_size:
            text = f"{info.compress_size} bytes cannot inflate to {info.file_size}"
            raise damaged(name, info.header_offset, f"member {info.filename!r}: {text}")
    total = sum(info.file_size for info in deflated)
    if total > limit:
        raise unsupported(name, 0, f"its arrays inflate to {total} bytes, more than the limit of {limit}")


def _content(memory: memoryview, member: _Member, name: str) -> memoryview:
    """Return the .npy file of a member, whose CRC is right."""
    content = memory[member.start : member.end]
    if member.info.compress_type == ZIP_DEFLATED:
        content = _inflated(content, member, name)
    if zlib.crc32(content) != member.info.CRC:
        raise damaged(name, member.start, f"member {member.info.filename!r} does not have its CRC-32")
    return content


def _inflated(packed: memoryview, member: _Member, name: str) -> memoryview:
    """Return what was deflated, which must be as long as declared."""
    content, at = memoryview(lease(member.info.file_size)), 0
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for start in range(0, len(packed), _FEED):
            rest: Buffer = packed[start : start + _FEED]
            while True:
                room = min(_PIECE, len(content) - at + 1)
                piece = engine.decompress(rest, room)
                if at + len(piece) > len(content) or engine.unused_data:
                    raise damaged(name, member.start, f"member {member.info.filename!r} is longer than declared")
                content[at : at + len(piece)] = piece
                at, rest = at + len(piece), engine.unconsumed_tail
                if engine.eof or (len(piece) < room and not rest):
                    break
    except zlib.error as problem:
        raise damaged(name, member.start, f"member {member.info.filename!r} cannot be inflated: {problem}") from problem
    if not engine.eof or at != len(content):
        text = f"member {member.info.filename!r} inflates to {at} bytes where {len(content)} are declared"
        raise damaged(name, member.start, text)
    return content
