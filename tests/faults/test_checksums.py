"""What is read is compared with the checksum that is stored, as far as the service tells one."""

import hashlib
import os
from collections.abc import Iterable

import pytest

import s3dlio
from s3dlio import checksum
from tests.faults.conftest import Get, Serve
from tests.servers.scripted import Asked, Fault, Piece, Script, part, response

URI = "s3://bucket/key"
MIB = 1 << 20
SMALL = os.urandom(5000)
LARGE = os.urandom(20 * MIB)  # three parts


def crc(content: bytes) -> str:
    return checksum.CRC64NVME.encode(checksum.crc64nvme(content))


def good(content: bytes) -> Script:
    return lambda request: [part(request, content)]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "split"])
def test_D8_a_flipped_bit_is_read_again(serve: Serve, get: Get, content: bytes) -> None:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    damaged = iter([True])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        first, last = request.range or (0, min(len(content), 8 * MIB) - 1)  # without a range the rest is given up
        hit = first <= len(content) // 2 <= last and next(damaged, False)
        return [part(request, bytes(flipped) if hit else content, x_amz_checksum_crc64nvme=crc(content))]

    with serve(script):
        assert get(URI) == content
    assert not next(damaged, False), "no bit was flipped"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "split"])
def test_D8_bytes_that_never_have_the_stored_checksum_are_an_error(serve: Serve, get: Get, content: bytes) -> None:
    script: Script = lambda request: [part(request, content, x_amz_checksum_crc64nvme=crc(content + b"x"))]  # noqa: E731
    with serve(script), pytest.raises(s3dlio.IntegrityError, match="checksum"):
        get(URI)


def test_D8_the_checksum_of_a_part_is_not_taken_for_that_of_the_object(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[Piece]:
        first, last = request.range or (0, len(LARGE))
        asked_for = "x-amz-checksum-mode" in request.fields
        return [part(request, LARGE, **{"x_amz_checksum_crc64nvme": crc(LARGE[first : last + 1])} if asked_for else {})]

    with serve(script) as server:
        assert get(URI) == LARGE
        assert get(URI) == LARGE
    assert sorted(request.range or (0, 0) for request in server.asked[3:]) == [
        (0, 0),
        (0, 8 * MIB - 1),
        (8 * MIB, 16 * MIB - 1),
        (16 * MIB, 20 * MIB - 1),
    ]


def s3_like(content: bytes, told: bytes) -> Script:
    """Answer as S3 does: the checksum comes with a whole object and with HEAD, and with no part of it."""

    def script(request: Asked) -> Iterable[Piece]:
        return [part(request, content, **({} if request.range else {"x_amz_checksum_crc64nvme": crc(told)}))]

    return script


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "split"])
def test_D8_the_checksum_that_s3_tells_with_the_whole_object_alone_is_compared(
    serve: Serve, get: Get, content: bytes
) -> None:
    with serve(s3_like(content, content)):
        for _ in range(3):
            assert get(URI) == content
    with serve(s3_like(content, content[1:])), pytest.raises(s3dlio.IntegrityError, match="checksum"):
        get(URI)


def test_D8_an_object_expected_to_be_large_is_compared_with_what_head_tells(serve: Serve, get: Get) -> None:
    damaged = bytearray(LARGE)

    def script(request: Asked) -> Iterable[Piece]:
        return [part(request, bytes(damaged), **({} if request.range else {"x_amz_checksum_crc64nvme": crc(LARGE)}))]

    with serve(script) as server:
        assert get(URI) == LARGE
        asked = len(server.asked)
        damaged[-1] ^= 1
        with pytest.raises(s3dlio.IntegrityError, match="checksum"):
            get(URI)
    assert [request.method for request in server.asked[asked:] if request.range is None] == ["HEAD"] * 2


def test_a_large_object_costs_its_bucket_one_connection_and_no_more(serve: Serve, get: Get) -> None:
    with serve(good(LARGE)) as server:
        for _ in range(3):
            assert get(URI) == LARGE
    assert len([request for request in server.asked if request.range is None and request.method == "GET"]) == 1


def test_a_service_that_forbids_head_is_read_without(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[Piece]:
        return [response(403)] if request.method == "HEAD" else [part(request, LARGE)]

    with serve(script):
        for _ in range(2):
            assert get(URI) == LARGE


MD5 = hashlib.md5(SMALL, usedforsecurity=False).hexdigest()


def test_D9_with_etag_md5_a_flipped_bit_is_seen_without_a_checksum(serve: Serve, get: Get) -> None:
    flipped = bytes([SMALL[0] ^ 1]) + SMALL[1:]
    with serve(lambda request: [part(request, flipped if request.number == 0 else SMALL, ETag=f'"{MD5}"')]) as server:
        s3dlio.configure(verify="etag-md5")
        assert get(URI) == SMALL
    assert (len(server.asked), server.connections) == (2, 2)


def test_D9_with_etag_md5_bytes_that_never_have_the_sum_are_an_error(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, SMALL[::-1], ETag=f'"{MD5}"')]):
        s3dlio.configure(verify="etag-md5")
        with pytest.raises(s3dlio.IntegrityError, match="checksum"):
            get(URI)


@pytest.mark.parametrize(
    "fields",
    [
        {"ETag": f'"{MD5}-2"'},
        {"ETag": f'"{MD5}"', "x_amz_server_side_encryption": "aws:kms"},
        {"ETag": f'"{MD5}"', "x_amz_server_side_encryption_customer_algorithm": "AES256"},
        {"ETag": '"one"'},
    ],
    ids=["multipart", "kms", "customer", "other"],
)
def test_D9_an_etag_that_is_no_md5_is_not_taken_for_one(serve: Serve, get: Get, fields: dict[str, str]) -> None:
    with serve(lambda request: [part(request, SMALL[::-1], **fields)]):
        s3dlio.configure(verify="etag-md5")
        assert get(URI) == SMALL[::-1]


def test_D9_an_object_in_parts_is_read_with_etag_md5_too(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, LARGE, ETag=f'"{MD5}"')]):
        s3dlio.configure(verify="etag-md5")
        assert get(URI) == LARGE
