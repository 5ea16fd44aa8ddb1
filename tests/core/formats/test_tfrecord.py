"""TFRecord: what TensorFlow writes is read, every damaged byte is noticed, and indexes tell whole frames."""

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio import checksum
from s3dlio.buffer import BytesView, lease
from s3dlio.errors import IntegrityError
from s3dlio.formats import sliceable, tfrecord
from s3dlio.formats.tfrecord import IndexKind

URI = "s3://bucket/train.tfrecord"
KINDS: list[IndexKind] = ["binary", "dali"]
MIB = 1 << 20

each_kind = pytest.mark.parametrize("kind", KINDS)


def masked(data: bytes) -> bytes:
    """Return the masked sum of the format's description."""
    crc = checksum.crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def frame(payload: bytes) -> bytes:
    """Return a frame around a payload."""
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def claiming(length: int) -> bytes:
    """Return a header that claims a length and has the right sum."""
    packed = struct.pack("<Q", length)
    return packed + masked(packed)


def leased(content: bytes) -> BytesView:
    """Return a leased view with this content."""
    view = lease(len(content))
    view.memoryview()[:] = content
    return view


class Ranges:
    """A file that is read in ranges, and remembers them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def __call__(self, offset: int, length: int) -> memoryview:
        assert length > 0
        assert 0 <= offset <= offset + length <= len(self.data)
        self.asked.append((offset, length))
        return memoryview(self.data)[offset : offset + length]

    def scan(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        return tfrecord.scan(self, len(self.data), URI)


def tensorflow(code: str, *arguments: str) -> str:
    """Run code with TensorFlow, away from this process and its warnings."""
    command = [sys.executable, "-c", f"import sys, json\nimport tensorflow as tf\n{code}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


PAYLOADS = [b"", b"a", b"two words", bytes(range(256)) * 300, b"\xff" * 12]


def test_tensorflow_and_we_read_what_the_other_frames(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(b"".join(map(frame, PAYLOADS)))
    code = (
        "payloads = [each.numpy() for each in tf.data.TFRecordDataset(sys.argv[1])]\n"
        "with tf.io.TFRecordWriter(sys.argv[2]) as writer: [writer.write(each) for each in payloads]\n"
        "print(json.dumps([each.hex() for each in payloads]))"
    )
    read = json.loads(tensorflow(code, str(ours), str(theirs)).splitlines()[-1])
    assert [bytes.fromhex(each) for each in read] == PAYLOADS
    written = theirs.read_bytes()
    assert written == ours.read_bytes()
    assert [bytes(each) for each in tfrecord.records(written, URI)] == PAYLOADS


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_records_and_scan_agree_on_any_file(payloads: list[bytes]) -> None:
    data = b"".join(map(frame, payloads))
    assert [bytes(each) for each in tfrecord.records(data, URI)] == payloads
    frames = Ranges(data).scan()
    assert frames.shape == (len(payloads), 2)
    assert frames.dtype == np.int64
    assert [bytes(tfrecord.payload(data[o : o + n], URI)) for o, n in frames.tolist()] == payloads


@pytest.mark.parametrize("memory", [bytes, bytearray, memoryview, leased])
def test_payloads_share_the_memory_of_the_file(memory: Callable[[bytes], Any]) -> None:
    data = memory(frame(b"first") + frame(b"second"))
    found = list(tfrecord.records(data, URI))
    assert found == [b"first", b"second"]
    one = tfrecord.payload(sliceable(data)[: len(frame(b"first"))], URI)
    assert one == b"first"
    assert {type(each) for each in [*found, one]} == {BytesView if memory is leased else memoryview}
    assert all(np.shares_memory(np.asarray(each), np.frombuffer(data, np.uint8)) for each in [*found, one])


def test_D8_a_flipped_bit_anywhere_is_noticed() -> None:
    data = frame(b"payload") + frame(b"") + frame(b"more")
    for at in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[at] ^= 1 << bit
            with pytest.raises(IntegrityError, match=r"train\.tfrecord: byte (0|23|39): ") as caught:
                list(tfrecord.records(broken, URI))
            assert caught.value.uri == URI


def test_S6_a_file_cut_off_anywhere_is_an_error_that_tells_where() -> None:
    data = frame(b"payload") + frame(b"second")
    for end in set(range(1, len(data))) - {len(frame(b"payload"))}:
        start = 0 if end < len(frame(b"payload")) else len(frame(b"payload"))
        with pytest.raises(IntegrityError, match=rf"train\.tfrecord: byte {start}: the file is cut off"):
            Ranges(data[:end]).scan()
        with pytest.raises(IntegrityError, match=rf"train\.tfrecord: byte {start}: the file is cut off"):
            list(tfrecord.records(data[:end], URI))


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, 2**64 - 16, 1])
def test_S6_a_length_counts_only_if_its_bytes_are_there(length: int) -> None:
    data = frame(b"one") + claiming(length) + bytes(4)
    ranges = Ranges(data)
    with pytest.raises(IntegrityError, match=f"byte 19: the file is cut off: the record has {length + 16} bytes"):
        ranges.scan()
    assert ranges.asked == [(0, len(data))]
    with pytest.raises(IntegrityError, match="byte 1019: the file is cut off"):
        tfrecord.payload(data[19:], URI, offset=1019)


@pytest.mark.parametrize("given", [frame(b"one")[:-1], frame(b"one") + b"x", frame(b"one")[:11], b""])
def test_a_frame_of_the_wrong_size_is_an_error(given: bytes) -> None:
    with pytest.raises(IntegrityError, match="byte 5: "):
        tfrecord.payload(given, URI, offset=5)


def test_a_file_is_scanned_in_windows() -> None:
    data = frame(bytes(MIB)) * 20
    ranges = Ranges(data)
    assert len(ranges.scan()) == 20
    assert len(ranges.asked) == 3
    assert sum(length for _, length in ranges.asked) <= len(data)


def test_large_payloads_are_skipped() -> None:
    data = frame(bytes(10 * MIB)) * 5 + frame(b"small") * 1000
    ranges = Ranges(data)
    assert len(ranges.scan()) == 1005
    assert len(ranges.asked) <= 7
    assert sum(length for _, length in ranges.asked) < 9 * MIB


def test_a_range_that_comes_short_is_an_error() -> None:
    data = frame(b"one")
    with pytest.raises(IntegrityError, match="byte 0: 5 bytes came where 19 were asked for"):
        tfrecord.scan(lambda offset, length: data[:5], len(data), URI)


def test_a_compressed_file_is_named_as_such() -> None:
    with pytest.raises(ValueError, match=r"train\.tfrecord: byte 0: no TFRecord, but maybe one inside gzip"):
        Ranges(gzip.compress(frame(b"one"))).scan()


@each_kind
@given(lengths=st.lists(st.integers(0, 2**40), max_size=20))
def test_an_index_that_is_built_is_parsed(kind: IndexKind, lengths: list[int]) -> None:
    ends = np.cumsum([0, *(length + 16 for length in lengths)])
    frames = np.stack([ends[:-1], np.diff(ends)], axis=1).astype(np.int64)
    parsed = tfrecord.parse_index(tfrecord.build_index(frames, kind), kind, URI)
    assert parsed.shape == (len(lengths), 2)
    assert parsed.dtype == np.int64
    assert np.array_equal(parsed, frames)


def test_an_index_has_the_bytes_that_others_write() -> None:
    frames = Ranges(frame(b"one") + frame(b"second")).scan()
    assert tfrecord.build_index(frames, "dali") == b"0 19\n19 22\n"
    assert tfrecord.build_index(frames, "binary") == struct.pack("<4Q", 0, 19, 19, 22)
    assert tfrecord.parse_index(leased(b"0 19\n19 22\n"), "dali", URI).tolist() == [[0, 19], [19, 22]]


@pytest.mark.parametrize(
    ("entries", "where"),
    [([0, 19, 18, 20], 1), ([19, 19, 0, 19], 1), ([0, 15], 0), ([0, 19, 19, 0], 1), ([0, 30, 10, 30], 1)],
)
@each_kind
def test_an_index_that_overlaps_or_goes_back_is_an_error(kind: IndexKind, entries: list[int], where: int) -> None:
    data = tfrecord.build_index(np.array(entries).reshape(-1, 2), kind)
    place = where * (16 if kind == "binary" else data.find(b"\n") + 1)
    with pytest.raises(
        IntegrityError, match=rf"byte {place}: entry {where} is offset {entries[2 * where]}, "
    ) as caught:
        tfrecord.parse_index(data, kind, URI)
    assert caught.value.uri == URI


@pytest.mark.parametrize(
    "pair", [(2**63, 16), (0, 2**63), (2**64 - 1, 2**64 - 1), (2**63 - 1, 2**63 - 1), (2**62, 2**62)]
)
def test_S6_an_index_beyond_what_a_file_can_have_is_an_error(pair: tuple[int, int]) -> None:
    with pytest.raises(IntegrityError, match="byte 0: entry 0"):
        tfrecord.parse_index(struct.pack("<2Q", *pair), "binary", URI)


def test_S6_an_index_cut_off_anywhere_is_an_error() -> None:
    binary, text = struct.pack("<4Q", 0, 19, 19, 22), b"0 19\n19 22\n"
    for end in set(range(1, len(binary))) - {16}:
        with pytest.raises(IntegrityError, match=f"byte {end // 16 * 16}: the index is cut off"):
            tfrecord.parse_index(binary[:end], "binary", URI)
    for end in set(range(1, len(text))) - {5}:
        with pytest.raises(IntegrityError, match=f"byte {5 if end > 5 else 0}: the index is cut off"):
            tfrecord.parse_index(text[:end], "dali", URI)


@pytest.mark.parametrize("line", ["garbage", "-1 19", "0x0 19", "0 19 5", "0", "0  19", "9" * 19 + " 16", "٣ 19", ""])
def test_an_index_with_something_else_in_it_is_an_error(line: str) -> None:
    with pytest.raises(IntegrityError, match="byte 5: the index is cut off or damaged"):
        tfrecord.parse_index(f"0 19\n{line}\n".encode(), "dali", URI)


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        (
            "s3://b/k/train.tfrecord",
            [
                ("s3://b/k/train.tfrecord.index", "binary"),
                ("s3://b/k/train.idx", "dali"),
                ("s3://b/k/train.tfrecord.idx", "dali"),
            ],
        ),
        ("s3://my.bucket/train", [("s3://my.bucket/train.index", "binary"), ("s3://my.bucket/train.idx", "dali")]),
        ("/d/t.tfrecord-1-of-2", [("/d/t.tfrecord-1-of-2.index", "binary"), ("/d/t.tfrecord-1-of-2.idx", "dali")]),
    ],
)
def test_an_index_lies_beside_its_file(uri: str, names: list[tuple[str, str]]) -> None:
    assert tfrecord.index_names(uri) == names
