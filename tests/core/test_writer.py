"""Writers: an object appears when its writer is closed, whole, and in no other way."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import s3dlio
from s3dlio.uri import parse_key
from s3dlio.writer import ObjectWriter
from tests.faults.processes import until
from tests.servers.environment import S3Bucket

MIB = 1 << 20
LARGE = np.random.default_rng(4).bytes(43 * MIB)


@pytest.fixture(params=["file", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/folder/object"
    bucket: S3Bucket = request.getfixturevalue("moto_s3")
    return bucket.uri("folder/object")


@pytest.fixture
def leftovers(request: pytest.FixtureRequest, uri: str, tmp_path: Path) -> Callable[[], list[str]]:
    """A function that names what an unfinished write left behind."""
    if uri.startswith("file://"):
        return lambda: [str(path) for path in tmp_path.rglob("*") if path.is_file() and path.name != "object"]
    bucket: S3Bucket = request.getfixturevalue("moto_s3")
    return lambda: [
        each["Key"] for each in bucket.client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", [])
    ]


def fail_inside(opened: ObjectWriter, size: int) -> None:
    with opened as writer:
        writer.write(LARGE[:size])
        raise LookupError("mine")


@pytest.mark.parametrize("step", [1000, 3 * MIB, 100 * MIB])
@pytest.mark.parametrize("size", [0, 5, 16 * MIB - 1, 16 * MIB, 43 * MIB])
def test_what_is_written_in_pieces_is_one_object(uri: str, size: int, step: int) -> None:
    if step == 1000 and size > MIB:
        step = 100_001
    with ObjectWriter(parse_key(uri), part_size=8 * MIB) as writer:
        for at in range(0, size, step):
            piece = bytearray(LARGE[at : min(size, at + step)])
            assert writer.write(piece) == len(piece)
            piece[:] = bytes(len(piece))  # it was taken
        assert writer.tell() == size
    assert s3dlio.get(uri) == LARGE[:size]


@pytest.mark.parametrize("size", [1000, 43 * MIB])
@pytest.mark.parametrize("end", ["exception", "abort", "dropped"])
def test_what_is_not_closed_leaves_the_old_object_and_nothing_else(
    uri: str, leftovers: Callable[[], list[str]], size: int, end: str
) -> None:
    s3dlio.put(uri, b"old")
    writer = ObjectWriter(parse_key(uri), part_size=8 * MIB)
    if end == "exception":
        with pytest.raises(LookupError, match="mine"):
            fail_inside(writer, size)
    else:
        writer.write(LARGE[:size])
    if end == "abort":
        writer.abort()
        writer.abort()
    del writer
    gc.collect()
    until(lambda: leftovers() == [])
    assert s3dlio.get(uri) == b"old"


def test_a_writer_that_is_closed_takes_nothing_more(uri: str) -> None:
    writer = ObjectWriter(parse_key(uri))
    writer.write(b"content")
    writer.close()
    writer.close()
    writer.abort()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")
    assert s3dlio.get(uri) == b"content"


def test_only_buffers_are_taken(uri: str) -> None:
    with ObjectWriter(parse_key(uri)) as writer:
        assert writer.write(np.arange(3, dtype="u1")) == 3
        with pytest.raises(TypeError):
            writer.write("text")  # type: ignore[arg-type]
    assert s3dlio.get(uri) == b"\x00\x01\x02"


def test_a_fork_of_a_writer_has_no_say(uri: str) -> None:
    writer = ObjectWriter(parse_key(uri), part_size=8 * MIB)
    writer.write(LARGE)
    child = os.fork()
    if child == 0:
        del writer
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    assert s3dlio.get(uri) == LARGE
