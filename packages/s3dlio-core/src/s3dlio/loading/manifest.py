"""Manifests: the columns of a table, and a few words about it, as one object that brings nothing in unchecked.

The object is in the safetensors format: the columns are its tensors and the words its metadata, so any reader of that
format opens it. A CRC-64/NVME covers every byte, with zeros in the place of its own digits. Whoever made an object
can also make its sum, so nothing in it is believed before it fits what is really there.
"""

from __future__ import annotations

import codecs
import json
import struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from s3dlio.checksum import crc64nvme
from s3dlio.errors import IntegrityError
from s3dlio.loading.columns import Arrays
from s3dlio.loading.decoding import RECORDS

Words: TypeAlias = dict[str, str]
"""`root`, what each URI begins with, and for records `decode`, their format."""

LISTED = {"text": ("U8",), "ends": ("U32", "I64"), "sizes": ("I64",)}
RECORDED = {"shard": ("U32",), "offset": ("I64",), "length": ("I64",)}
_COLUMNS = LISTED | RECORDED
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "U32": np.dtype("<u4"), "I64": np.dtype("<i8")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_FORMAT = {"format": "s3dlio-manifest", "version": "1"}
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8
_NO_SUM = "0" * 16
_LARGEST_HEADER = 64 << 10  # bytes: six columns, and a root of 4096 characters (PATH_MAX) of at most 12 bytes each
_CHUNK = 1 << 20  # bytes of text that are checked at a time


def written(arrays: Arrays, words: Words) -> bytes:
    """Return the object that holds these columns and words; the words must be valid Unicode."""
    content = bytearray()
    # The sum comes first, so that nothing else that looks like it can be taken for it.
    header: dict[str, Any] = {"__metadata__": {"crc64nvme": _NO_SUM, **_FORMAT, **words}}
    for name, array in sorted(arrays.items(), key=lambda each: -each[1].itemsize):
        start = len(content)
        content += array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": _NAMES[array.dtype], "shape": [array.size], "data_offsets": [start, len(content)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    head = _LENGTH.pack(len(text)) + text
    return _with_sum(head, _NO_SUM, _sum(head, content)) + content


def read(data: Any, uri: str) -> tuple[dict[str, NDArray[Any]], Words]:
    """Return the columns, without a copy, and the words that an object holds.

    Raises:
        IntegrityError: the object is no manifest, or a damaged one.
    """
    try:
        arrays, words = _opened(memoryview(data))
        _check_words(arrays, words)
        _check_listing(arrays)
        if "decode" in words:
            _check_records(arrays)
    except (ValueError, RecursionError) as problem:
        raise IntegrityError(f"{uri} is no manifest of samples, or a damaged one: {problem}", uri) from problem
    return arrays, words


def _opened(memory: memoryview) -> tuple[dict[str, NDArray[Any]], Words]:
    if len(memory) < _LENGTH.size:
        raise ValueError(f"it has {len(memory)} bytes")
    (length,) = _LENGTH.unpack_from(memory)
    start = _LENGTH.size + length
    if length > _LARGEST_HEADER or start > len(memory):
        raise ValueError(f"its header claims {length} bytes")
    head, content = bytes(memory[:start]), memory[start:]
    header: Any = json.loads(head[_LENGTH.size :])
    match header:
        case {"__metadata__": {"crc64nvme": str(stored)}}:
            pass
        case _:
            raise ValueError("its header has no checksum")
    if _sum(_with_sum(head, stored, _NO_SUM), content) != stored:
        raise ValueError("its checksum is wrong")
    words: Words = header.pop("__metadata__")
    return {name: _array(name, told, content) for name, told in header.items()}, words


def _array(name: str, told: Any, content: memoryview) -> NDArray[Any]:
    match told:
        case {"dtype": str(dtype), "shape": [int(size)], "data_offsets": [int(start), int(stop)]} if (
            dtype in _COLUMNS.get(name, ())
            and 0 <= start <= stop <= len(content)
            and stop - start == size * _DTYPES[dtype].itemsize
        ):
            return np.frombuffer(content[start:stop], _DTYPES[dtype])
        case _:
            raise ValueError(f"column {name!r:.40} cannot be {told!r:.200}")


def _check_words(arrays: Arrays, words: dict[str, Any]) -> None:
    for name, value in _FORMAT.items():
        if words.get(name) != value:
            raise ValueError(f"its {name} is {words.get(name)!r:.40}, not {value!r}")
    if not isinstance(words.get("root"), str):
        raise ValueError("it does not tell what its URIs begin with")
    if "decode" in words and words["decode"] not in (*RECORDS,):
        raise ValueError(f"its records are of the format {words['decode']!r:.40}")
    wanted = {"text", "ends", *(RECORDED if "decode" in words else ())}
    if arrays.keys() - {"sizes"} != wanted:
        raise ValueError(f"it has the columns {', '.join(sorted(arrays))}")


def _check_listing(arrays: Arrays) -> None:
    """Refuse keys that are not pieces of the text, one behind the other, and sizes that are not theirs."""
    text, ends = arrays["text"], arrays["ends"]
    if not ends.size or ends[0] != 0 or ends[-1] != text.size or (ends[1:] < ends[:-1]).any():
        raise ValueError("its keys do not follow each other")
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    for start in range(0, text.size, _CHUNK):
        decoder.decode(text[start : start + _CHUNK].data)
    decoder.decode(b"", final=True)
    if (text[ends[ends < text.size]] & 0xC0 == 0x80).any():
        raise ValueError("a key begins inside a character")
    sizes = arrays.get("sizes")
    if sizes is not None and (sizes.size != ends.size - 1 or (sizes < 0).any()):
        raise ValueError("its sizes are not those of its keys")


def _check_records(arrays: Arrays) -> None:
    shard, offset, length = (arrays[name] for name in RECORDED)
    if not shard.size == offset.size == length.size:
        raise ValueError(f"it has {shard.size} shards, {offset.size} offsets and {length.size} lengths of records")
    if (shard >= arrays["ends"].size - 1).any():
        raise ValueError("a record is in no object")
    if (offset < 0).any() or (length < 0).any() or (offset + length < 0).any():
        raise ValueError("a record has no place in its object")


def _with_sum(head: bytes, old: str, new: str) -> bytes:
    return head.replace(f'"{old}"'.encode(), f'"{new}"'.encode(), 1)


def _sum(head: bytes, content: Any) -> str:
    return f"{crc64nvme(content, crc64nvme(head)):016x}"
