"""An object that is open for reading: pieces of one version, as views, in the caller's memory, and as bytes."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import s3dlio
from s3dlio.source import Source
from s3dlio.uri import parse_key
from tests.servers.environment import S3Bucket
from tests.servers.scripted import Asked, Piece, part, response, scripted

CONTENT = np.random.default_rng(3).bytes(100_000)


@pytest.fixture(params=["file", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        where = f"file://{tmp_path}/object"
    else:
        bucket: S3Bucket = request.getfixturevalue("moto_s3")
        where = bucket.uri("object")
    s3dlio.put(where, CONTENT)
    return where


def test_pieces_are_read_as_views_bytes_and_into_memory(uri: str) -> None:
    source = Source(parse_key(uri))
    assert source.read(10, 20) == CONTENT[10:30]
    assert source.size == len(CONTENT)
    assert source.read(99_990) == CONTENT[-10:]
    target = bytearray(50)
    assert source.read_into(99_980, memoryview(target)) == 20
    assert target[:20] == CONTENT[-20:]
    assert source.read_into(0, memoryview(b"")) == 0
    whole = source.read_bytes()
    assert type(whole) is bytes
    assert whole == CONTENT


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000])
def test_bytes_received_in_place_are_bytes_like_any_other(uri: str, size: int) -> None:
    made = Source(parse_key(uri)).read_bytes(7, size)
    assert type(made) is bytes
    assert made == CONTENT[7 : 7 + size]
    assert hash(made) == hash(CONTENT[7 : 7 + size])
    assert {made: 1}[CONTENT[7 : 7 + size]] == 1


def test_the_size_is_known_without_reading(uri: str) -> None:
    assert Source(parse_key(uri)).size == len(CONTENT)


def test_an_object_that_is_replaced_between_two_pieces_is_an_error(uri: str) -> None:
    source = Source(parse_key(uri))
    assert source.read(0, 10) == CONTENT[:10]
    s3dlio.put(uri, CONTENT[::-1])
    with pytest.raises(s3dlio.ObjectChangedError, match="object"):
        source.read(10, 10)


def test_an_object_that_is_replaced_after_its_size_was_asked_is_an_error(uri: str) -> None:
    source = Source(parse_key(uri))
    assert source.size == len(CONTENT)
    s3dlio.put(uri, CONTENT[:500])
    with pytest.raises(s3dlio.ObjectChangedError):
        source.read_bytes(0, 10)


def test_a_missing_object_and_an_offset_below_zero_are_errors(uri: str) -> None:
    with pytest.raises(s3dlio.NotFoundError):
        Source(parse_key(f"{uri}-missing")).read()
    with pytest.raises(s3dlio.InvalidRangeError, match="-1"):
        Source(parse_key(uri)).read(-1, 5)


def test_later_pieces_name_the_version_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def script(request: Asked) -> Iterable[Piece]:
        return [part(request, CONTENT)] if request.method == "GET" else [response(200)]

    with scripted(script) as server:
        s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1")
        source = Source(parse_key("s3://bucket/key"))
        source.read(0, 10)
        source.read(10, 10)
        assert [each.fields.get("if-match") for each in server.asked] == [None, '"one"']
    s3dlio.reset()
