"""Hostile manifests: every number in them is checked before it is believed."""

import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import s3dlio
from s3dlio.errors import IntegrityError
from s3dlio.loading import (
    Listing,
    Objects,
    Tally,
    list_samples,
    load_manifest,
    save_manifest,
    table_of,
)
from tests.core.loading.manifests import Header, facts, made, parsed, refused
from tests.core.loading.shards import TFRECORD, content


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A prefix of files, for what does not depend on the storage."""
    return f"file://{tmp_path}/"


def column(name: str, dtype: str, values: list[int]) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    """Return a change: another column in the place of one."""

    def change(header: Header, tensors: bytes) -> tuple[Header, bytes]:
        data = np.array(values, dtype).tobytes()
        kind = {"u1": "U8", "<u4": "U32", "<i8": "I64", "<f8": "F64", "<u8": "U64"}[dtype]
        told = {"dtype": kind, "shape": [len(values)], "data_offsets": [len(tensors), len(tensors) + len(data)]}
        return {**header, name: told}, tensors + data

    return change


def told(name: str, **values: object) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    """Return a change: a tensor that tells something else of itself, or a word that is another."""
    return lambda header, tensors: ({**header, name: {**header[name], **values}}, tensors)


def without(name: str) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    return lambda header, tensors: ({key: value for key, value in header.items() if key != name}, tensors)


def instead(name: str, value: object) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    return lambda header, tensors: ({**header, name: value}, tensors)


def undecoded(header: Header, tensors: bytes) -> tuple[Header, bytes]:
    del header["__metadata__"]["decode"]
    return header, tensors


CHANGES = {
    "ends that go backwards": column("ends", "<u4", [0, 20, 11]),
    "ends that dip": column("ends", "<i8", [0, 23, 22]),
    "ends beyond the text": column("ends", "<u4", [0, 11, 1 << 30]),
    "ends before the text's": column("ends", "<u4", [0, 11, 12]),
    "ends below zero": column("ends", "<i8", [0, -1, 22]),
    "ends that begin late": column("ends", "<u4", [1, 11, 22]),
    "no ends": column("ends", "<u4", []),
    "ends of another dtype": column("ends", "u1", [0, 11, 22]),
    "ends of floats": column("ends", "<f8", [0, 11, 22]),
    "a text of another dtype": column("text", "<i8", [0]),
    "a text that is no UTF-8": column("text", "u1", [*b"00.tfrecord01.tfrecor\xff"]),
    "a text that is cut off": column("text", "u1", [*b"00.tfrecord01.tfrecor\xc3"]),
    "a key inside a character": column("text", "u1", [*b"00.tfrecor\xc3\xa91.tfrecord"]),
    "sizes of others": column("sizes", "<i8", [18]),
    "sizes below zero": column("sizes", "<i8", [18, -1]),
    "a shard beyond the listing": column("shard", "<u4", [0, 2]),
    "the largest shard": column("shard", "<u4", [0, (1 << 32) - 1]),
    "a shard of another dtype": column("shard", "<i8", [0, -1]),
    "more shards than records": column("shard", "<u4", [0, 1, 1]),
    "a negative offset": column("offset", "<i8", [0, -1]),
    "a negative length": column("length", "<i8", [18, -1]),
    "an end beyond all numbers": column("offset", "<i8", [0, (1 << 63) - 1]),
    "no lengths": column("length", "<i8", []),
    "unsigned offsets": column("offset", "<u8", [0, 0]),
    "a missing column": without("offset"),
    "a missing text": without("text"),
    "no words": without("__metadata__"),
    "another column": column("more", "<i8", [0]),
    "an unhashable dtype": told("text", dtype=["U8"]),
    "a shape that does not fit": told("text", shape=[21]),
    "a shape of two": told("text", shape=[2, 11]),
    "a negative shape": told("text", shape=[-1]),
    "offsets beyond the content": told("text", shape=[1 << 60], data_offsets=[0, 1 << 60]),
    "offsets below zero": told("text", data_offsets=[-22, 0]),
    "offsets that go backwards": told("text", data_offsets=[22, 0], shape=[-22]),
    "offsets of floats": told("text", data_offsets=[0.0, 22.0]),
    "one offset": told("text", data_offsets=[0]),
    "no tensor": instead("text", None),
    "a list for a tensor": instead("text", ["U8", [22], [0, 22]]),
    "words that are a list": instead("__metadata__", ["format"]),
    "a root that is a number": told("__metadata__", root=5),
    "no root": told("__metadata__", root=None),
    "an unknown format": told("__metadata__", decode="npy"),
    "no format": told("__metadata__", decode=None),
    "an unhashable format": told("__metadata__", decode=["tar"]),
    "records that are none": undecoded,
}


@pytest.fixture
def records(folder: str) -> tuple[Header, bytes]:
    """Header and content of a manifest of two records in two objects."""
    TFRECORD.put(f"{folder}d/", 1, 2)
    save_manifest(f"{folder}m", table_of(list_samples(f"{folder}d/"), "tfrecord"))
    return parsed(bytes(s3dlio.get(f"{folder}m")))


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail a test that needed more than two MiB at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("little_memory")
class TestAHostileManifest:
    """One whose sum is right, whatever it says."""

    def test_is_believed_where_nothing_is_wrong_with_it(self, folder: str, records: tuple[Header, bytes]) -> None:
        expected = facts(load_manifest(f"{folder}m"))
        s3dlio.put(f"{folder}m", made(*records))
        assert facts(load_manifest(f"{folder}m")) == expected

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_is_refused(
        self, folder: str, records: tuple[Header, bytes], change: Callable[[Header, bytes], tuple[Header, bytes]]
    ) -> None:
        refused(f"{folder}m", made(*change(*records)), "damaged one: (?!its checksum)")

    @pytest.mark.parametrize("length", [1 << 20, 1 << 60, (1 << 64) - 1])
    def test_whose_header_has_more_bytes_than_there_are_is_refused(
        self, folder: str, records: tuple[Header, bytes], length: int
    ) -> None:
        refused(f"{folder}m", made(*records, length=length), f"its header claims {length} bytes")

    def test_whose_header_is_deep_is_refused(self, folder: str) -> None:
        deep = b"[" * 60_000
        refused(f"{folder}m", struct.pack("<Q", len(deep)) + deep)

    @pytest.mark.parametrize(
        "text", [b"5", b"[]", b'"text"', b"null", b'{"__metadata__": {}}', b"9" * 5000, b"\xff\xfe"]
    )
    def test_whose_header_is_something_else_is_refused(self, folder: str, text: bytes) -> None:
        refused(f"{folder}m", struct.pack("<Q", len(text)) + text)

    def test_whose_records_are_beyond_their_object_raises_at_them(
        self, folder: str, records: tuple[Header, bytes]
    ) -> None:
        s3dlio.put(f"{folder}m", made(*column("length", "<i8", [18, 1 << 62])(*records)))
        first, second = load_manifest(f"{folder}m").get([0, 1], Tally())
        assert bytes(first)[:8] == struct.pack("<Q", len(content(0)))
        assert isinstance(second, IntegrityError)


def test_a_manifest_with_ten_mebibytes_of_arrays_in_arrays_is_refused_unread(folder: str) -> None:
    deep = b"[" * (10 << 20)
    s3dlio.put(f"{folder}m", struct.pack("<Q", len(deep)) + deep)
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match="its header claims 10485760 bytes"):
            load_manifest(f"{folder}m")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20  # what was received is no memory of Python's own
    finally:
        tracemalloc.stop()


def test_a_manifest_of_the_longest_path_is_opened(folder: str) -> None:
    root = "file:///" + "é/" * (os.pathconf("/", "PC_PATH_MAX") // 3)
    listing = Listing.below(root, [("a", 1), ("b", 2)])
    save_manifest(f"{folder}m", Objects(listing))
    assert facts(load_manifest(f"{folder}m")) == facts(Objects(listing))
