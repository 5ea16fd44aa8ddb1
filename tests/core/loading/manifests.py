"""Manifests taken apart, changed and put together again."""

import json
import struct
from typing import Any

import numpy as np
import pytest

import s3dlio
from s3dlio.checksum import crc64nvme
from s3dlio.errors import IntegrityError
from s3dlio.loading import Records, Table, load_manifest

ZEROS = "0" * 16
SIZES = {"U8": 1, "U32": 4, "I64": 8}
Header = dict[str, Any]


def facts(table: Table) -> tuple[Any, ...]:
    """Return all that a table knows of its samples."""
    sizes = None if table.listing.sizes is None else table.listing.sizes.tolist()
    columns = table.columns.arrays if isinstance(table, Records) else {}
    records = {name: (column.dtype, column.tolist()) for name, column in columns.items()}
    return type(table), table.decode, list(table.listing), table.listing.root, sizes, records


def parsed(manifest: bytes) -> tuple[Header, bytes]:
    """Return header and content of an object, by the rules of the safetensors format."""
    (length,) = struct.unpack_from("<Q", manifest)
    text, content = manifest[8 : 8 + length], manifest[8 + length :]
    assert len(text) == length <= 100_000_000
    assert text.startswith(b"{")
    header = json.loads(text.decode("utf-8", "strict"))
    json.dumps(header, ensure_ascii=False).encode()  # no lone surrogates, which other readers refuse
    assert all(type(value) is str for value in header["__metadata__"].values())
    end = 0
    tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
    for tensor in sorted(tensors, key=lambda each: each["data_offsets"]):
        start, stop = tensor["data_offsets"]
        assert start == end  # there are no holes
        assert stop - start == SIZES[tensor["dtype"]] * int(np.prod(tensor["shape"]))
        assert (8 + length + start) % SIZES[tensor["dtype"]] == 0
        end = stop
    assert end == len(content)
    return header, content


def made(header: object, content: bytes, length: int | None = None) -> bytes:
    """Return a manifest that says what it likes, with the sum that this takes."""
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["crc64nvme"] = ZEROS
    text = json.dumps(header).encode()
    whole = struct.pack("<Q", len(text) if length is None else length) + text + content
    return whole.replace(ZEROS.encode(), b"%016x" % crc64nvme(whole), 1)


def refused(uri: str, manifest: bytes, match: str = "no manifest of samples, or a damaged one: ") -> None:
    s3dlio.put(uri, manifest)
    with pytest.raises(IntegrityError, match=match) as caught:
        load_manifest(uri)
    assert caught.value.uri == uri
