"""Tables: how the objects that were listed become samples, and how that is kept for another run.

A manifest is one object in the safetensors format: the columns of a table as its tensors, the rest as its metadata,
with a CRC-64/NVME of the tensors. Any safetensors reader opens it.
"""

from __future__ import annotations

import json
import struct
from itertools import compress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from s3dlio import verbs
from s3dlio.checksum import crc64nvme
from s3dlio.errors import IntegrityError
from s3dlio.loading.columns import Arrays, Columns
from s3dlio.loading.decoding import RECORDS, Format, checked_format
from s3dlio.loading.indexing import INDEXES, indexed
from s3dlio.loading.listing import Listing
from s3dlio.loading.reading import Objects, Table
from s3dlio.loading.records import Records

_KIND = "s3dlio-manifest"
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "U32": np.dtype("<u4"), "I64": np.dtype("<i8")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LISTED = ("text", "ends", "sizes")
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8


def table_of(listing: Listing, decode: Format | None = None) -> Table:
    """Return the samples of objects: the objects themselves, or the records inside of them.

    Records are found by an index beside each object, or by reading it once; objects that are such indexes are left
    out.
    """
    checked_format(decode)
    if decode not in RECORDS:
        return Objects(listing, decode)
    shards = _without_indexes(listing)
    return Records(shards, indexed(shards, decode), decode)


def _without_indexes(listing: Listing) -> Listing:
    keep = [not uri.endswith(INDEXES) for uri in listing]
    if all(keep):
        return listing
    sizes = [None] * len(listing) if listing.sizes is None else listing.sizes.tolist()
    keys = [uri[len(listing.root) :] for uri in listing]
    return Listing.below(listing.root, compress(zip(keys, sizes, strict=True), keep))


def save_manifest(uri: str, table: Table) -> None:
    """Store which samples a table has, as one object."""
    arrays = dict(table.listing.columns.arrays)
    metadata = {"format": _KIND, "version": "1", "root": table.listing.root}
    if isinstance(table, Records):
        arrays |= table.columns.arrays
        metadata["decode"] = str(table.decode)
    verbs.put(uri, _written(arrays, metadata))


def load_manifest(uri: str, decode: Format | None = None) -> Table:
    """Return the table that `save_manifest` stored.

    Raises:
        IntegrityError: the object is no manifest, or a damaged one.
        ValueError: the manifest is of records of another format than `decode`.
    """
    checked_format(decode)
    arrays, metadata = _read(verbs.get(uri), uri)
    listed = Columns({name: arrays[name] for name in _LISTED if name in arrays})
    listing = Listing.of_columns(metadata.get("root", ""), listed)
    of = cast("Format | None", checked_format(metadata.get("decode")))
    if of is None and decode in RECORDS:
        return table_of(listing, decode)
    if of is None:
        return Objects(listing, decode)
    if decode not in (None, of):
        raise ValueError(f"{uri} is a manifest of {of!r} records, and decode={decode!r} was asked for")
    records = Columns({name: array for name, array in arrays.items() if name not in _LISTED})
    return Records(listing, records, of)


def _written(arrays: Arrays, metadata: dict[str, str]) -> bytes:
    content, header = bytearray(), {}
    for name, array in sorted(arrays.items(), key=lambda each: -each[1].itemsize):
        start = len(content)
        content += array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": _NAMES[array.dtype], "shape": [array.size], "data_offsets": [start, len(content)]}
    metadata["crc64nvme"] = _sum(content)
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text + content


def _sum(content: Any) -> str:
    return f"{crc64nvme(content):016x}"


def _read(data: Any, uri: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    try:
        (length,) = _LENGTH.unpack_from(data)
        header = json.loads(bytes(data[_LENGTH.size : _LENGTH.size + length]))
        metadata: dict[str, str] = header.pop("__metadata__")
        content = memoryview(data)[_LENGTH.size + length :]
        if metadata["format"] != _KIND or metadata["version"] != "1":
            raise ValueError(f"it is a {metadata['format']!r} of version {metadata['version']!r}")
        if _sum(content) != metadata["crc64nvme"]:
            raise ValueError("its checksum is wrong")
        return {name: _array(content, **each) for name, each in header.items()}, metadata
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as problem:
        raise IntegrityError(f"{uri} is no manifest of samples, or a damaged one: {problem}", uri) from problem


def _array(content: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> NDArray[Any]:
    start, stop = data_offsets
    array: NDArray[Any] = np.frombuffer(content[start:stop], _DTYPES[dtype])
    if [array.size] != shape:
        raise ValueError(f"an array has {array.size} elements, not {shape}")
    return array
