"""Tar archives: samples as WebDataset groups them, ranges that can be read alone, and damage that is noticed."""

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.buffer import BytesView, lease
from s3dlio.errors import IntegrityError
from s3dlio.formats import tar

URI = "s3://bucket/train.tar"
MIB = 1 << 20
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
Members = list[tuple[str, bytes]]

each_format = pytest.mark.parametrize("format", FORMATS, ids=["ustar", "gnu", "pax"])


def archive(members: Members, format: int = tarfile.USTAR_FORMAT, time: float = 0, **fields: str) -> bytes:
    """Return the archive that Python writes; a time with a fraction takes an extended header in the pax format."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format, encoding="utf-8") as writer:
        for path, content in members:
            info = tarfile.TarInfo(path)
            info.size, info.mtime, info.pax_headers = len(content), time, fields
            writer.addfile(info, io.BytesIO(content))
    return file.getvalue()


def with_kind(kind: bytes, path: str = "link.jpg") -> bytes:
    """Return the header of a member that is no file."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, "a.jpg"
    return info.tobuf(tarfile.USTAR_FORMAT)


def summed(header: bytes) -> bytes:
    """Return a header with the right checksum."""
    total = sum(header[:148]) + 8 * 32 + sum(header[156:512])
    return header[:148] + b"%06o\0 " % total + header[156:]


def leased(content: bytes) -> BytesView:
    """Return a leased view with this content."""
    view = lease(len(content))
    view.memoryview()[:] = content
    return view


def plain(sample: tar.Sample) -> dict[str, Any]:
    """Return a sample with its members as bytes."""
    return {name: each if isinstance(each, str) else bytes(each) for name, each in sample.items()}


def ranges(data: bytes | bytearray) -> list[list[int]]:
    """Return what a scan of the archive finds."""
    return list(tar.scan(lambda offset, length: data[offset : offset + length], len(data), URI).tolist())


def read(data: bytes) -> list[dict[str, Any]]:
    """Return all samples, once those in memory and those read by their ranges are seen to be the same."""
    whole = [plain(each) for each in tar.samples(data, URI)]
    alone = [plain(tar.sample(data[offset : offset + length], URI)) for offset, length in ranges(data)]
    assert whole == alone
    return whole


@each_format
@pytest.mark.parametrize("time", [0, 1.5])
@given(
    members=st.lists(
        st.tuples(st.text("aB/é", min_size=1, max_size=150), st.sampled_from("abc"), st.binary(max_size=1200)),
        max_size=6,
        unique_by=lambda each: each[0].strip("/"),
    )
)
def test_samples_are_what_python_reads(format: int, time: float, members: list[tuple[str, str, bytes]]) -> None:
    paths = [(f"d{path}x.{extension}", content) for path, extension, content in members]
    try:
        data = archive(paths, format, time)
    except ValueError:  # too long a name for ustar
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as reader:
        expected = [(each.name[:-2], each.name[-1], reader.extractfile(each)) for each in reader]
    assert read(data) == [{"__key__": key, ext: content.read() if content else b""} for key, ext, content in expected]


@each_format
@pytest.mark.parametrize("memory", [bytes, bytearray, memoryview, leased])
def test_members_share_the_memory_of_the_archive(format: int, memory: Callable[[bytes], Any]) -> None:
    data = memory(archive([("a.jpg", b"picture"), ("a.cls", b"5")], format))
    (sample,) = tar.samples(data, URI)
    assert sample["jpg"] == b"picture"
    assert type(sample["jpg"]) is (BytesView if memory is leased else memoryview)
    assert np.shares_memory(np.asarray(sample["jpg"]), np.frombuffer(data, np.uint8))


def test_neighbours_of_one_key_are_a_sample() -> None:
    data = archive([("x/a.jpg", b"1"), ("x/a.CLS", b"2"), ("y/a.jpg", b"3"), ("x/a.jpg", b"4"), ("x/a.seg.Png", b"5")])
    assert read(data) == [
        {"__key__": "x/a", "jpg": b"1", "cls": b"2"},
        {"__key__": "y/a", "jpg": b"3"},
        {"__key__": "x/a", "jpg": b"4", "seg.png": b"5"},
    ]
    assert ranges(data) == [[0, 2048], [2048, 1024], [3072, 2048]]


@pytest.mark.parametrize(
    ("path", "key", "extension"),
    [
        ("a.jpg", "a", "jpg"),
        ("./a.jpg", "./a", "jpg"),
        ("a.b/c.d.E", "a.b/c", "d.e"),
        ("a.", "a", ""),
        ("__index__.json", "__index__", "json"),
        ("d/__meta__/a.jpg", "d/__meta__/a", "jpg"),
        ("_.__", "_", "__"),
        ("a b.tar.gz", "a b", "tar.gz"),
    ],
)
def test_the_key_ends_at_the_first_dot_of_the_last_component(path: str, key: str, extension: str) -> None:
    assert read(archive([(path, b"1")])) == [{"__key__": key, extension: b"1"}]


@pytest.mark.parametrize("path", [".hidden", "d/.hidden", "README", "d.x/README", "__meta__/a.jpg", "__a.b__", "..x"])
def test_what_is_in_no_sample_does_not_part_one_either(path: str) -> None:
    data = archive([(path, b"0"), ("a.jpg", b"1"), (path, b"0"), ("a.cls", b"2")])
    assert read(data) == [{"__key__": "a", "jpg": b"1", "cls": b"2"}]
    assert ranges(data) == [[1024, 3072]]


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_regular_file_is_in_no_sample(kind: bytes) -> None:
    assert read(with_kind(kind) + archive([("a.jpg", b"1")])) == [{"__key__": "a", "jpg": b"1"}]


def test_the_end_marker_ends_the_archive() -> None:
    data = archive([("a.jpg", b"1")])
    assert read(data + archive([("b.jpg", b"1")])) == [{"__key__": "a", "jpg": b"1"}]
    assert read(data[: 1024 + 512]) == [{"__key__": "a", "jpg": b"1"}]
    assert tar.scan(lambda offset, length: bytes(length), 1024, URI).shape == (0, 2)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_long_names_count_in_full(format: int) -> None:
    keys = [f"{'folder/' * 50}{'k' * 200}{number}" for number in range(3)]
    data = archive([(f"{key}.jpg", b"1") for key in keys], format)
    assert [each["__key__"] for each in read(data)] == keys


def test_a_prefix_of_the_name_counts() -> None:
    key = f"{'f' * 90}/{'k' * 90}"
    assert [each["__key__"] for each in read(archive([(f"{key}.jpg", b"1")]))] == [key]


def test_the_size_of_an_extended_header_counts() -> None:
    data = archive([("a.jpg", b"12345"), ("b.jpg", b"1")], tarfile.PAX_FORMAT, 1.5)
    header = data.index(b"a.jpg", 1024)
    without = data[:header] + summed(data[header : header + 124] + b"0" * 11 + data[header + 135 : header + 512])
    told = (without + data[header + 512 :]).replace(b"13 mtime=1.5\n", b"9 size=5\n\0\0\0\0", 1)
    told = summed(told[:124] + b"%011o" % 9 + told[135:512]) + told[512:]
    assert read(told) == [{"__key__": "a", "jpg": b"12345"}, {"__key__": "b", "jpg": b"1"}]


def test_what_gnu_tar_writes_is_read(tmp_path: Path) -> None:
    name = "n" * 150
    for path in (f"{name}.cls", f"{name}.jpg", "b.jpg"):
        (tmp_path / path).write_bytes(path.encode())
    for format in ("gnu", "pax", "ustar", "v7"):
        names = [f"{name}.jpg", f"{name}.cls", "b.jpg"] if format in ("gnu", "pax") else ["b.jpg"]
        command = ["tar", "-c", f"--format={format}", "-C", str(tmp_path), *names]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        found = {f"{each['__key__']}.{ext}": each[ext] for each in read(data) for ext in each if ext != "__key__"}
        assert found == {path: path.encode() for path in names}


@each_format
def test_S6_an_archive_cut_off_anywhere_is_an_error(format: int) -> None:
    data = archive([(f"{'long/' * 19}a.jpg", b"1" * 600), ("b.jpg", b"2")], format, 1.5)
    end = len(data.rstrip(b"\0")) + 511 & ~511
    for size in range(end + 512):
        with pytest.raises(IntegrityError, match=r"train\.tar: byte \d+: ") as caught:
            ranges(data[:size])
        assert caught.value.uri == URI
        with pytest.raises(IntegrityError, match=r"train\.tar: byte \d+: "):
            list(tar.samples(data[:size], URI))
    assert len(ranges(data[: end + 512])) == 2


def test_D8_a_flipped_bit_in_a_header_is_noticed() -> None:
    data = archive([("a.jpg", b"1"), ("b.jpg", b"2")])
    for at in {*range(1024, 1536)} - {1024 + 155}:  # which stands behind the end of the checksum
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(IntegrityError, match=r"train\.tar: byte 1024: no header of a member"):
            ranges(broken)


@pytest.mark.parametrize(
    "field",
    [
        b"\x80" + (2**60).to_bytes(11, "big"),
        b"\x80" + b"\xff" * 11,
        b"7" * 11 + b"\0",
        b"\xff" * 12,
        b"\xff" + bytes(11),
        b"garbage!!!!\0",
        b"-0000000001\0",
    ],
)
def test_S6_a_hostile_size_is_an_error(field: bytes) -> None:
    data = archive([("a.jpg", b"1"), ("b.jpg", b"2")])
    header = data[1024:1536]
    hostile = data[:1024] + summed(header[:124] + field + header[136:]) + data[1536:]
    with pytest.raises(IntegrityError, match=r"train\.tar: byte 1024: "):
        ranges(hostile)
    with pytest.raises(IntegrityError, match=r"train\.tar: byte 5120: "):
        tar.sample(hostile[1024:], URI, offset=4096 + 1024)


@pytest.mark.parametrize("size", ["-1", "1e3", str(2**60), "9" * 30, "", "0x5"])
def test_S6_a_hostile_size_in_an_extended_header_is_an_error(size: str) -> None:
    with pytest.raises(IntegrityError, match=r"train\.tar: byte \d+: "):
        ranges(archive([("a.jpg", b"1")], tarfile.PAX_FORMAT, size=size))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_S6_an_extended_header_is_at_most_a_mebibyte(kind: bytes) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 2 * MIB
    data = info.tobuf(tarfile.GNU_FORMAT) + b"n" * 2 * MIB + archive([("a.jpg", b"1")])
    with pytest.raises(IntegrityError, match=r"byte 0: an extended header claims 2097152 bytes"):
        ranges(data)


@pytest.mark.parametrize(
    "content",
    [b"garbage", b"9 path=a\n\n", b"99 path=a\n", b"0 path=a\n", b"5 path=a\n", b"9 path=ab", b"9999999 a=b\n"],
)
def test_S6_a_hostile_extended_header_is_an_error(content: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(content)
    data = info.tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0") + archive([("a.jpg", b"1")])
    with pytest.raises(IntegrityError, match=r"byte 5\d\d: an extended header is damaged"):
        ranges(data)


@given(st.binary(max_size=300), st.integers(0, 4000))
def test_S6_any_bytes_in_an_archive_give_samples_or_a_typed_error(noise: bytes, at: int) -> None:
    data = bytearray(archive([("a.jpg", b"1"), ("b.jpg", b"2")], tarfile.PAX_FORMAT, 1.5))
    data[at : at + len(noise)] = noise
    try:
        ranges(data)
    except (IntegrityError, ValueError) as error:
        message = str(error)
    else:
        message = URI
    assert URI in message


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_archive_is_named_as_such(compress: Callable[[bytes], bytes]) -> None:
    for size in (1, 20_000):
        data = compress(archive([("a.jpg", np.random.default_rng(0).bytes(size))]))
        with pytest.raises(ValueError, match=r"train\.tar: byte 0: the archive is compressed with (gzip|bzip2|xz)"):
            ranges(data)


def test_two_members_with_one_extension_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"byte 1024: sample 'a' has two members with the extension 'jpg'"):
        ranges(archive([("a.jpg", b"1"), ("a.JPG", b"2")]))
    with pytest.raises(ValueError, match="two members with the extension '__key__'"):
        ranges(archive([("a.__key__", b"1")]))


def test_sparse_members_are_refused() -> None:
    with pytest.raises(ValueError, match=r"byte 0: member 'a\.jpg' is sparse"):
        ranges(with_kind(tarfile.GNUTYPE_SPARSE, "a.jpg") + bytes(1024))
    with pytest.raises(ValueError, match=r"member 'a\.jpg' is sparse"):
        ranges(archive([("a.jpg", b"1")], tarfile.PAX_FORMAT, 0, **{"GNU.sparse.major": "1"}))


def test_a_sample_is_one_run_of_whole_members() -> None:
    data = archive([("a.jpg", b"1"), ("b.jpg", b"2")], tarfile.PAX_FORMAT, 1.5)
    (_, first), (second, _) = ranges(data)
    assert second == first == 2048
    with pytest.raises(ValueError, match=r"byte 7: 2 samples are in these 4096 bytes"):
        tar.sample(data[:4096], URI, offset=7)
    with pytest.raises(IntegrityError, match=r"byte 7: no sample begins in these 0 bytes"):
        tar.sample(b"", URI, offset=7)
    with pytest.raises(IntegrityError, match=r"byte 2048: the archive is cut off or damaged: no member follows"):
        tar.sample(data[: 2048 + 1024], URI)


def test_large_members_are_skipped() -> None:
    data = archive([(f"{number}.bin", bytes(10 * MIB)) for number in range(5)])
    asked: list[int] = []

    def recording(offset: int, length: int) -> memoryview:
        asked.append(length)
        return memoryview(data)[offset : offset + length]

    assert len(tar.scan(recording, len(data), URI)) == 5
    assert len(asked) <= 7
    assert sum(asked) < 9 * MIB


def wds2idx(data: bytes, *, gnu: bool) -> bytes:
    """Return the index that DALI's wds2idx writes, by the rule of its two ways to look into an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as reader:
        members = list(reader)
        end = len(data.rstrip(b"\0")) + 511 & ~511
    # GNU tar tells the block of a member's own header, behind the extended ones.
    following = [each.offset_data - 512 for each in members[1:]] + [end]
    lines: dict[str, list[str]] = {}
    for each, after in zip(members, following, strict=True):
        if each.isreg():
            key, _, extension = each.name.partition(".")
            offset = (after - each.size) // 512 * 512 if gnu else each.offset_data
            lines.setdefault(key, []).append(f"{extension} {offset} {each.size} {each.name}")
    return f"v1.2 {len(lines)}\n{''.join(' '.join(parts) + chr(10) for parts in lines.values())}".encode()


@pytest.mark.parametrize("gnu", [True, False])
@given(sizes=st.lists(st.lists(st.integers(1, 2000), min_size=1, max_size=3), min_size=1, max_size=5))
def test_an_index_of_wds2idx_tells_what_a_scan_finds(gnu: bool, sizes: list[list[int]]) -> None:
    members = [
        (f"{k}.{ext}", b"x" * size) for k, parts in enumerate(sizes) for ext, size in zip("abc", parts, strict=False)
    ]
    data = archive(members)
    assert tar.parse_index(wds2idx(data, gnu=gnu), URI).tolist() == ranges(data)
    foldered = with_kind(tarfile.DIRTYPE, "folder") + data
    assert tar.parse_index(wds2idx(foldered, gnu=gnu), URI).tolist() == ranges(foldered)


@pytest.mark.parametrize("gnu", [True, False])
def test_an_index_of_wds2idx_for_extended_headers_is_refused(gnu: bool) -> None:
    data = archive([("a.jpg", b"1"), ("a.cls", b"2"), ("b.jpg", b"3")], tarfile.PAX_FORMAT, 1.5)
    with pytest.raises(ValueError, match=r"\d+ bytes before member 'a\.jpg' are unknown: scan the archive"):
        tar.parse_index(wds2idx(data, gnu=gnu), URI)
    long = archive([("a.jpg", b"1"), (f"{'b' * 120}.jpg", b"3")], tarfile.GNU_FORMAT)
    with pytest.raises(ValueError, match="1024 bytes before member"):
        tar.parse_index(wds2idx(long, gnu=gnu), URI)


INDEX = b"v1.2 2\njpg 512 1 a.jpg cls 1536 1 a.cls\njpg 2560 600 b.jpg\n"


def test_S6_an_index_cut_off_anywhere_is_an_error() -> None:
    assert tar.parse_index(leased(INDEX), URI).tolist() == [[0, 2048], [2048, 1536]]
    for end in range(len(INDEX)):
        with pytest.raises(IntegrityError, match=r"train\.tar: byte \d+: ") as caught:
            tar.parse_index(INDEX[:end], URI)
        assert caught.value.uri == URI


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"cls 1536", b"cls 1024"),
        (b"cls 1536", b"cls 1537"),
        (b"jpg 512", b"jpg 0"),
        (b"600", b"-1"),
        (b"2560", b"9" * 19),
        (b"a.cls", b"a b.cls"),
        (b"v1.2 2", b"v1.2 3"),
        (b"v1.2 2", b"2"),
    ],
)
def test_an_index_with_something_else_in_it_is_an_error(old: bytes, new: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"train\.tar: byte \d+: "):
        tar.parse_index(INDEX.replace(old, new), URI)


def test_an_index_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"version 1\.1 of the index"):
        tar.parse_index(INDEX.replace(b"v1.2", b"v1.1"), URI)


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("s3://my.bucket/k/train-0.tar", ["s3://my.bucket/k/train-0.idx", "s3://my.bucket/k/train-0.tar.idx"]),
        ("/d.x/train.v2.tar", ["/d.x/train.idx", "/d.x/train.v2.tar.idx"]),
        ("/d.x/train", ["/d.x/train.idx"]),
    ],
)
def test_an_index_lies_beside_its_archive(uri: str, names: list[str]) -> None:
    assert tar.index_names(uri) == names
