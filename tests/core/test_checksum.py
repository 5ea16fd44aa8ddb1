"""Checksums: known answers, combination over any split, and which header of a response is believed."""

from __future__ import annotations

import base64
import hashlib
import pickle
import subprocess
import sys
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio import checksum
from s3dlio.checksum import ALGORITHMS, CRC32, CRC32C, CRC64NVME, SHA1, SHA256, Algorithm, stored_checksum

CHECK = b"123456789"
CRCS = (CRC64NVME, CRC32C, CRC32)


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [(CRC64NVME, 0xAE8B14860A799888), (CRC32C, 0xE3069283), (CRC32, 0xCBF43926)],
    ids=lambda each: each.name if isinstance(each, Algorithm) else "",
)
def test_each_crc_gives_its_published_check_value(algorithm: Algorithm, value: int) -> None:
    assert algorithm.update(CHECK) == value


def test_the_plain_functions_are_the_algorithms() -> None:
    assert checksum.crc64nvme(CHECK) == CRC64NVME.update(CHECK)
    assert checksum.crc32c(CHECK) == CRC32C.update(CHECK)
    assert checksum.combine_crc64nvme(1, 2, 3) == CRC64NVME.combine(1, 2, 3)
    assert checksum.combine_crc32c(1, 2, 3) == CRC32C.combine(1, 2, 3)
    assert CRC32.update(CHECK) == zlib.crc32(CHECK)


@pytest.mark.parametrize("algorithm", CRCS, ids=lambda each: each.name)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4))
def test_the_sum_of_a_whole_is_the_combination_of_its_pieces(
    algorithm: Algorithm, data: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    combined = continued = 0
    for start, end in pairwise(edges):
        piece = memoryview(data)[start:end]
        combined = algorithm.combine(combined, algorithm.update(piece), len(piece))
        continued = algorithm.update(piece, continued)
    assert combined == continued == algorithm.update(data)


@pytest.mark.parametrize("algorithm", CRCS, ids=lambda each: each.name)
def test_pieces_of_a_mutable_slab_are_hashed_where_they_lie(algorithm: Algorithm) -> None:
    slab = bytearray(CHECK * 1000)
    assert algorithm.update(memoryview(slab)[9:18]) == algorithm.update(CHECK)


@pytest.mark.parametrize("algorithm", CRCS, ids=lambda each: each.name)
def test_memory_that_is_not_contiguous_is_refused(algorithm: Algorithm) -> None:
    with pytest.raises(BufferError):
        algorithm.update(memoryview(bytes(10))[::2])


def test_a_sum_is_encoded_as_big_endian_base64_of_its_full_width() -> None:
    assert CRC32.encode(zlib.crc32(CHECK)) == "y/Q5Jg=="
    assert CRC64NVME.encode(1) == "AAAAAAAAAAE="
    assert SHA256.encode(SHA256.update(CHECK)) == base64.b64encode(hashlib.sha256(CHECK).digest()).decode()
    assert SHA1.encode(SHA1.update(CHECK)) == base64.b64encode(hashlib.sha1(CHECK).digest()).decode()


@pytest.mark.parametrize("algorithm", [SHA256, SHA1], ids=lambda each: each.name)
def test_a_sha_sum_covers_only_whole_bodies(algorithm: Algorithm) -> None:
    assert not algorithm.combinable
    with pytest.raises(ValueError, match="whole body"):
        algorithm.combine(1, 2, 3)
    with pytest.raises(ValueError, match="whole body"):
        algorithm.update(b"more", algorithm.update(b"some"))


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=lambda each: each.name)
def test_an_algorithm_pickles_to_itself(algorithm: Algorithm) -> None:
    assert pickle.loads(pickle.dumps(algorithm)) is algorithm


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    assert checksum.algorithm("crc64nvme") is CRC64NVME
    with pytest.raises(ValueError, match=r"MD4.*CRC64NVME, CRC32C, CRC32, SHA256, SHA1"):
        checksum.algorithm("MD4")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-amz-checksum-crc64nvme": "a="}, (CRC64NVME, "a=")),
        ({"x-amz-checksum-crc32": "a=", "x-amz-checksum-type": "FULL_OBJECT"}, (CRC32, "a=")),
        (
            {"x-amz-checksum-crc32": "a=", "x-amz-checksum-crc32c": "b=", "x-amz-checksum-crc64nvme": "c="},
            (CRC64NVME, "c="),
        ),
        ({"x-amz-checksum-crc32": "a=", "x-amz-checksum-crc32c": "b="}, (CRC32C, "b=")),
        ({"x-amz-checksum-crc32c": "b=-3"}, None),
        ({"x-amz-checksum-crc32c": "b=-3", "x-amz-checksum-crc32": "a="}, (CRC32, "a=")),
        ({"x-amz-checksum-crc64nvme": "c=", "x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-sha256": "d="}, None),
        ({"x-amz-checksum-crc64nvme": ""}, None),
    ],
)
def test_the_strongest_sum_of_the_whole_object_is_believed(
    headers: dict[str, str], expected: tuple[Algorithm, str] | None
) -> None:
    assert stored_checksum(headers) == expected


def test_importing_the_module_imports_no_awscrt() -> None:
    code = "import sys, s3dlio.checksum; sys.exit('awscrt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
