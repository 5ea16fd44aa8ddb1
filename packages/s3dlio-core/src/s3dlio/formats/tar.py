"""Tar archives of samples, as WebDataset lays them out: neighbouring members of one key are one sample.

The key of a member is its path up to the first dot of its last component; the rest, in lower case, is its extension
in the sample. In no sample are: what is no regular file, a name without a dot, a hidden name, and what is called
`__name__` at the top. A range of the archive that holds whole members, extended headers included, can be read alone.
"""

from __future__ import annotations

import re
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from s3dlio.formats import Bytes, Read, Window, compression, damaged, flat, sliceable, unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

Sample: TypeAlias = dict[str, str | Bytes]
"""The members of a sample by extension, and its key as `__key__`."""

_BLOCK = 512
_LARGEST_EXTENSION = 1 << 20  # of a header that holds a long path: no system has paths of that length
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]+)=")
_INDEX_HEAD = re.compile(rb"v(\d+\.\d+) (\d{1,18})\n")
_INDEX_ENTRY = re.compile(rb"[^ \n]* (\d{1,18}) (\d{1,18}) ([^ \n]+)([ \n])")  # extension, offset, size, name


def scan(read: Read, size: int, name: str) -> NDArray[np.int64]:
    """Return the range of each sample of an archive of `size` bytes, as offset and length in an array of shape (n, 2).

    `read(offset, length)` returns a range of the archive. A range goes from the first header of the first member to
    the end of the padding of the last one. Large members are skipped. `name` is the URI for messages.

    Raises:
        IntegrityError: a damaged header, or an archive without its end.
        ValueError: a compressed archive, a sparse member, or two members of a sample with one extension.
    """
    found = array("q")
    for _, members in _samples(Window(read, size, name), whole=True):
        parts = list(members.values())
        found.extend((parts[0].start, parts[-1].end - parts[0].start))
    return np.array(found, np.int64).reshape(-1, 2)


def sample(data: Buffer, name: str, *, offset: int = 0) -> Sample:
    """Return the sample in `data`, a run of whole members, without copies; `offset` is where it was, for messages.

    Raises:
        IntegrityError: damaged members, or no sample.
        ValueError: more than one sample, or what `scan` does not read.
    """
    whole, window = sliceable(data), Window.over(data, name, offset)
    found = list(_samples(window, whole=False))
    if not found:
        raise window.damaged(0, f"no sample begins in these {window.size} bytes")
    if len(found) > 1:
        raise window.unsupported(0, f"{len(found)} samples are in these {window.size} bytes, not one")
    return _cut(whole, *found[0])


def samples(data: Buffer, name: str) -> Iterator[Sample]:
    """Yield the samples of a whole archive in memory, without copies. The errors are those of `scan`."""
    whole = sliceable(data)
    for key, members in _samples(Window.over(data, name), whole=True):
        yield _cut(whole, key, members)


def index_names(uri: str) -> list[str]:
    """Return where an index of an archive may be: where wds2idx writes it unless told otherwise, and beside it."""
    folder, slash, last = uri.rpartition("/")
    stem, dot, _ = last.partition(".")
    return [*([f"{folder}{slash}{stem}.idx"] if stem and dot else []), f"{uri}.idx"]


def parse_index(data: Buffer, name: str) -> NDArray[np.int64]:
    """Return the ranges that `scan` would, from an index that DALI's wds2idx wrote for the archive.

    wds2idx takes the offset of a member from where the next one begins, and is wrong if extended headers lie between.
    They leave a gap in the index, so an index with such gaps is refused. Python and WebDataset write them often.

    Raises:
        IntegrityError: an index that is cut off, holds something else, or goes back.
        ValueError: an index of another version than 1.2, or with gaps: scan the archive instead.
    """
    text = bytes(flat(data))
    found = array("q")
    current, end = "", 0
    for place, offset, size, path in _index_entries(text, name):
        start = offset - _BLOCK
        if offset % _BLOCK or start < end:
            raise damaged(name, place, f"member {path!r} cannot be at {offset}: the one before it ends at {end}")
        if start - end >= 2 * _BLOCK:  # the least that an extended header takes
            raise unsupported(name, place, f"{start - end} bytes before member {path!r} are unknown: scan the archive")
        end = offset + _padded(size)
        key, _ = _split(path)
        if key and key == current:
            found[-1] = end - found[-2]
        elif key:
            found.extend((start, end - start))
            current = key
    return np.array(found, np.int64).reshape(-1, 2)


def _index_entries(text: bytes, name: str) -> Iterator[tuple[int, int, int, str]]:
    """Yield where an entry is in the index, and the offset, size and path that it tells."""
    head = _INDEX_HEAD.match(text)
    if head is None:
        raise damaged(name, 0, f"no index of wds2idx: it starts with {text[:20]!r}")
    if head[1] != b"1.2":
        raise unsupported(name, 0, f"version {head[1].decode()} of the index: 1.2 is read, which wds2idx writes")
    place, lines = head.end(), 0
    while place < len(text):
        entry = _INDEX_ENTRY.match(text, place)
        if entry is None:
            raise damaged(name, place, f"the index is cut off, or a name has a blank: {text[place : place + 40]!r}")
        yield place, int(entry[1]), int(entry[2]), entry[3].decode("utf-8", "surrogateescape")
        place, lines = entry.end(), lines + (entry[4] == b"\n")
    if lines != int(head[2]):
        raise damaged(name, place, f"the index is cut off: it has {lines} samples, and claims {int(head[2])}")


@dataclass(frozen=True, slots=True)
class _Member:
    path: str
    start: int  # of its first header
    data: int
    size: int
    regular: bool

    @property
    def end(self) -> int:
        return self.data + _padded(self.size)


def _cut(whole: Bytes, key: str, members: dict[str, _Member]) -> Sample:
    parts = {extension: whole[each.data : each.data + each.size] for extension, each in members.items()}
    return {"__key__": key, **parts}


def _samples(window: Window, *, whole: bool) -> Iterator[tuple[str, dict[str, _Member]]]:
    """Yield key and members, by extension and in their order, of each sample."""
    current: str | None = None
    found: dict[str, _Member] = {}
    for member in _members(window, whole=whole):
        key, extension = _split(member.path) if member.regular else ("", "")
        if not key:
            continue
        if key != current:
            if current is not None:
                yield current, found
            current, found = key, {}
        if extension in found or extension == "__key__":
            text = f"sample {key!r} has two members with the extension {extension!r}: rename one"
            raise window.unsupported(member.start, text)
        found[extension] = member
    if current is not None:
        yield current, found


def _split(path: str) -> tuple[str, str]:
    """Return key and extension of a path; the key is empty if it is in no sample."""
    folder, slash, last = path.rpartition("/")
    stem, dot, extension = last.partition(".")
    top = path.partition("/")[0]
    if not stem or not dot or (len(top) >= 4 and top.startswith("__") and top.endswith("__")):
        return "", ""
    return f"{folder}{slash}{stem}", extension.lower()


def _members(window: Window, *, whole: bool) -> Iterator[_Member]:
    """Yield the members up to the end marker, which a whole archive must have."""
    at = start = 0
    known: dict[bytes, bytes] = {}
    while at < window.size:
        info = _header(window, at)
        if info is None:
            break
        if info.type in _LONG_NAMES or info.type in _PAX:
            known |= _extension(window, at, info)
            at += _BLOCK + _padded(info.size)
            continue
        member = _member(window, start, at, info, known)
        yield member
        at = start = member.end
        known = {}
    if at != start:
        raise window.damaged(start, "the archive is cut off or damaged: no member follows its extended header")
    if whole and at >= window.size:
        raise window.damaged(at, "the archive is cut off: it has no end marker")


def _header(window: Window, at: int) -> tarfile.TarInfo | None:
    """Return what a header tells; None for the end marker."""
    block = bytes(window.take(at, min(_BLOCK, window.size - at), "the header of a member"))
    if block.count(0) == _BLOCK:
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as problem:
        packed = compression(block) if at == 0 else None
        if packed:
            text = f"the archive is compressed with {packed}: decompress it, its samples have no ranges"
            raise window.unsupported(0, text) from problem
        raise window.damaged(at, f"no header of a member, or a damaged one: {problem}") from problem
    if info.size < 0:
        raise window.damaged(at, f"member {info.name!r} has a size below zero")
    return info


def _member(window: Window, start: int, at: int, info: tarfile.TarInfo, known: dict[bytes, bytes]) -> _Member:
    """Return the member whose header is at an offset, behind the extended headers that begin at `start`."""
    path = known[b"path"].decode("utf-8", "surrogateescape") if b"path" in known else info.name
    if info.type == tarfile.GNUTYPE_SPARSE or any(each.startswith(b"GNU.sparse") for each in known):
        raise window.unsupported(at, f"member {path!r} is sparse: write the archive without that option")
    size = info.size
    if b"size" in known:
        size = _number(known[b"size"])
        if size < 0:
            raise window.damaged(start, f"member {path!r} has the size {known[b'size'][:40]!r}")
    if not info.isreg() and info.type in tarfile.SUPPORTED_TYPES:
        size = 0  # directories, links and devices have no bytes, whatever they claim
    member = _Member(path, start, at + _BLOCK, size, info.isreg())
    if member.end > window.size:
        left = max(0, window.size - member.data)
        raise window.damaged(at, f"the archive is cut off: member {path!r} has {size} bytes, and {left} are left")
    return member


def _extension(window: Window, at: int, info: tarfile.TarInfo) -> dict[bytes, bytes]:
    """Return what the extended header at an offset tells about the next member."""
    if info.size > _LARGEST_EXTENSION:
        raise window.damaged(at, f"an extended header claims {info.size} bytes, more than {_LARGEST_EXTENSION}")
    content = b""
    if info.size:
        content = bytes(window.take(at + _BLOCK, _padded(info.size), "an extended header"))[: info.size]
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {b"path": content.partition(b"\0")[0]}
    if info.type == tarfile.GNUTYPE_LONGLINK:
        return {}
    records: dict[bytes, bytes] = {}
    place = 0
    while place < len(content):
        match = _RECORD.match(content, place)
        end = place + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise window.damaged(at + _BLOCK + place, "an extended header is damaged")
        records[match[2]] = content[match.end() : end - 1]
        place = end
    return {} if info.type == tarfile.XGLTYPE else records


def _number(text: bytes) -> int:
    return int(text) if re.fullmatch(rb"\d{1,18}", text) else -1


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
