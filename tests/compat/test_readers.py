"""Readers of both packages: every sequence of reads and seeks gives what a file would, within the rules."""

import io
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compat.conftest import Connector

CONTENT = os.urandom(100_000)
KINDS = [
    ("sequential", {}),
    ("range_based", {}),
    ("range_based", {"buffer_size": 0}),
    ("range_based", {"buffer_size": 999}),
]
each_kind = pytest.mark.parametrize(("kind", "options"), KINDS, ids=["sequential", "ranged", "unbuffered", "buffered"])


@each_kind
def test_a_reader_reads_an_object(connector: Connector, kind: str, options: dict[str, Any]) -> None:
    connector.put("key", CONTENT)
    reader = connector.reader("key", kind, **options)
    assert (reader.bucket, reader.key, reader.tell()) == (connector.bucket_name, "key", 0)
    assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)
    assert reader.read(10) == CONTENT[:10]
    assert reader.read(0) == b""
    assert reader.read() == CONTENT[10:]
    assert reader.read() == b""
    assert reader.read(5) == b""
    assert reader.tell() == len(CONTENT)
    assert reader.seek(0) == 0
    whole = reader.read(-1)
    assert type(whole) is bytes
    assert whole == CONTENT


@each_kind
def test_a_reader_seeks_like_a_file_but_never_past_the_end(
    connector: Connector, kind: str, options: dict[str, Any]
) -> None:
    connector.put("key", CONTENT)
    reader = connector.reader("key", kind, **options)
    assert reader.seek(0, io.SEEK_END) == len(CONTENT)
    assert reader.seek(10**9) == len(CONTENT)
    assert reader.seek(10**9, io.SEEK_CUR) == len(CONTENT)
    assert reader.seek(10**9, io.SEEK_END) == len(CONTENT)
    assert reader.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert reader.read() == CONTENT[-5:]
    assert reader.seek(-50, io.SEEK_CUR) == len(CONTENT) - 50
    with pytest.raises(ValueError, match="negative seek value -1"):
        reader.seek(-1)
    with pytest.raises(ValueError, match="Seek must be passed SEEK_CUR, SEEK_SET, or SEEK_END"):
        reader.seek(0, 7)
    for offset, whence in [("1", 0), (1.0, 0), (0, "x")]:
        with pytest.raises(TypeError, match="integer argument expected, got"):
            reader.seek(offset, whence)


@each_kind
@pytest.mark.parametrize("size", ["1", 1.5, np.int64(3)])
def test_a_size_that_is_no_integer_is_refused(
    connector: Connector, kind: str, options: dict[str, Any], size: object
) -> None:
    connector.put("key", CONTENT)
    with pytest.raises(TypeError, match="argument should be integer or None, not"):
        connector.reader("key", kind, **options).read(size)


@each_kind
def test_a_reader_fills_buffers(connector: Connector, kind: str, options: dict[str, Any]) -> None:
    connector.put("key", CONTENT)
    reader = connector.reader("key", kind, **options)
    target = bytearray(70_000)
    assert reader.readinto(target) == 70_000
    assert target == CONTENT[:70_000]
    assert reader.readinto(target) == 30_000
    assert target[:30_000] == CONTENT[70_000:]
    assert reader.readinto(target) == 0
    with pytest.raises(TypeError):
        connector.reader("key", kind, **options).readinto(b"read only")


@each_kind
def test_an_empty_object_is_read(connector: Connector, kind: str, options: dict[str, Any]) -> None:
    connector.put("key", b"")
    reader = connector.reader("key", kind, **options)
    assert reader.read() == b""
    assert reader.read(1) == b""
    assert reader.seek(0, io.SEEK_END) == 0


def test_lines_and_wrappers_work(connector: Connector) -> None:
    connector.put("key", b"one\ntwo\nthree")
    assert list(connector.reader("key")) == [b"one\n", b"two\n", b"three"]
    assert io.TextIOWrapper(connector.reader("key")).read() == "one\ntwo\nthree"
    assert io.BufferedReader(connector.reader("key")).read(5) == b"one\nt"


@pytest.mark.parametrize(
    ("kind", "text"), [("sequential", "The key does not exist"), ("range_based", "The object was not found")]
)
def test_a_missing_object_is_an_error_when_it_is_read(connector: Connector, kind: str, text: str) -> None:
    reader = connector.reader("missing", kind)
    with pytest.raises(connector.package.S3Exception, match=f"^Service error: {text}$"):
        reader.read()


STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "readinto"]), st.integers(0, 6000))
    | st.tuples(st.just("seek"), st.integers(0, 12_000)),
    max_size=8,
)


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=["sequential", "ranged", "unbuffered", "buffered"])
def test_any_sequence_of_reads_gives_what_a_file_gives(ours: Connector, kind: str, options: dict[str, Any]) -> None:
    content = CONTENT[:10_000]
    ours.put("key", content)
    client = ours.client()
    constructor = getattr(ours.package.S3ReaderConstructor, kind)(**options)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=STEPS)
    def check(steps: list[tuple[str, int]]) -> None:
        reader = client.get_object(ours.bucket_name, "key", reader_constructor=constructor)
        file = io.BytesIO(content)
        for step, number in steps:
            if step == "read":
                assert reader.read(number) == file.read(number)
            elif step == "readinto":
                mine, theirs = bytearray(number), bytearray(number)
                assert reader.readinto(mine) == file.readinto(theirs)
                assert mine == theirs
            else:
                assert reader.seek(number) == file.seek(min(number, len(content)))
            assert reader.tell() == file.tell()

    check()


def ranged(connector: Connector, ranges: list[tuple[int, int]], **options: Any) -> Any:
    module = connector.module("s3reader")
    items = [module.ItemRange(*each) for each in ranges] if hasattr(module, "ItemRange") else []
    if not items:
        items = [connector.module("s3reader.dcp_optimized").ItemRange(*each) for each in ranges]
    client, bucket = connector.client(), connector.bucket_name

    def constructor(**named: Any) -> Any:
        return module.DCPOptimizedS3Reader(item_ranges=items, **named, **options)

    return client.get_object(bucket, "key", reader_constructor=constructor)


@pytest.mark.parametrize("gap", [0, 100, float("inf")])
def test_ranges_are_read_in_order(connector: Connector, gap: float) -> None:
    connector.put("key", CONTENT)
    reader = ranged(connector, [(10, 20), (20, 20), (50, 90), (5000, 60_000)], max_gap_size=gap)
    reader.seek(10)
    assert reader.read(4) == CONTENT[10:14]
    reader.seek(12)
    assert reader.read(8) == CONTENT[12:20]
    reader.seek(50)
    target = bytearray(40)
    assert reader.readinto(target) == 40
    assert target == CONTENT[50:90]
    reader.seek(5000)
    assert reader.read(55_000) == CONTENT[5000:60_000]
    reader.seek(10)
    with pytest.raises(ValueError, match="only supports sequentially accessing provided ranges: "):
        reader.read(1)
    with pytest.raises(ValueError, match="whence must be"):
        reader.seek(0, io.SEEK_END)
    with pytest.raises(ValueError, match="full read not supported"):
        reader.read()


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        ([], "item_ranges must be a non-empty"),
        ([(5, 5)], "No non-empty ranges to read"),
        ([(9, 5)], "Invalid range: 9-5"),
        ([(10, 20), (5, 8)], "Unsorted ranges: 10-20 and 5-8"),
        ([(10, 20), (15, 30)], "Overlapping ranges: 10-20 and 15-30"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(connector: Connector, ranges: list[tuple[int, int]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ranged(connector, ranges)


def test_a_gap_that_makes_no_sense_is_refused(connector: Connector) -> None:
    with pytest.raises(ValueError, match="max_gap_size must be non-negative"):
        connector.package.S3ReaderConstructor.dcp_optimized(-1)
    with pytest.raises(TypeError):
        connector.package.S3ReaderConstructor.dcp_optimized("x")


def test_constructors_are_named(connector: Connector) -> None:
    constructors = connector.package.S3ReaderConstructor
    name = constructors.get_reader_type_string
    kinds = [None, constructors.default(), constructors.range_based(), constructors.dcp_optimized(), print]
    assert [name(kind) for kind in kinds] == ["sequential", "sequential", "range_based", "dcp_optimized", "unknown"]
