"""Copies inside the service: of one version, whole, or an error that leaves nothing behind."""

import re
import threading
from collections.abc import Iterable
from typing import Any

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.servers.environment import S3Bucket
from tests.servers.scripted import RESET, Asked, Fault, response

SOURCE, TARGET = "s3://bucket/source key", "s3://other/target"
GIB = 1 << 30
MIB = 1 << 20
AT_ONCE = 5 * GIB
STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;all&quot;</ETag></CompleteMultipartUploadResult>"


def error(code: str) -> bytes:
    """Return an error document."""
    return f"<Error><Code>{code}</Code><Message>said</Message></Error>".encode()


def copied(request: Asked) -> bytes:
    """Answer a copy, whole or of a part."""
    kind = "CopyPartResult" if "partNumber" in request.target else "CopyObjectResult"
    return response(200, f"  <{kind}><ETag>&quot;copy&quot;</ETag></{kind}>".encode())


def holding(size: int, etag: str = '"one"', **fields: str) -> "Healthy":
    """Serve a source of this size."""
    return Healthy(size, etag, fields)


class Healthy:
    """A service that holds the source and copies what it is asked to."""

    def __init__(self, size: int, etag: str, fields: dict[str, str]) -> None:
        self.size = size
        self.etag = etag
        self.fields = fields

    def __call__(self, request: Asked) -> list[bytes | Fault]:
        return [self.answer(request)]

    def answer(self, request: Asked) -> bytes:
        if request.method == "HEAD":
            told: dict[str, Any] = {"ETag": self.etag, **self.fields} if self.etag else self.fields
            return response(200, Content_Length=str(self.size), **told)
        if request.method == "DELETE":
            return response(204)
        if request.method == "POST":
            return response(200, STARTED if "uploads=" in request.target else COMPLETED)
        return copied(request)


def parts(asked: list[Asked]) -> list[Asked]:
    """Return the copies of parts, in order of their numbers."""
    found = [each for each in asked if "partNumber" in each.target]
    return sorted(found, key=lambda each: int(re.findall(r"partNumber=(\d+)", each.target)[0]))


@pytest.mark.parametrize("size", [0, 1, AT_ONCE], ids=["empty", "small", "5 GiB"])
def test_a_copy_up_to_5_gib_is_one_request_bound_to_one_version(serve: Serve, size: int) -> None:
    with serve(holding(size)) as server:
        s3dlio.copy(SOURCE, TARGET)
        assert [(each.method, each.target) for each in server.asked] == [
            ("HEAD", "/bucket/source%20key"),
            ("PUT", "/other/target"),
        ]
        assert server.asked[1].fields["x-amz-copy-source"] == "/bucket/source%20key"
        assert server.asked[1].fields["x-amz-copy-source-if-match"] == '"one"'


@pytest.mark.parametrize("size", [AT_ONCE + 1, 6 * GIB], ids=["5 GiB and a byte", "6 GiB"])
def test_a_larger_copy_is_made_of_parts_of_one_version(serve: Serve, size: int) -> None:
    with serve(holding(size)) as server:
        s3dlio.copy(SOURCE, TARGET)
        made = parts(server.asked)
        ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", each.fields["x-amz-copy-source-range"]) for each in made]
        bounds = [(int(match[1]), int(match[2]) + 1) for match in ranges if match is not None]
        assert [start for start, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
        assert bounds[-1][1] == size
        assert all(5 * MIB <= end - start <= 5 * GIB for start, end in bounds[:-1])
        assert {each.fields["x-amz-copy-source-if-match"] for each in made} == {'"one"'}
        assert server.asked[-1].body.count(b'<ETag>"copy"</ETag>') == len(made)


def test_parts_are_copied_side_by_side(serve: Serve) -> None:
    together = threading.Barrier(8)
    healthy = holding(6 * GIB)

    def script(request: Asked) -> list[bytes | Fault]:
        if "partNumber" in request.target:
            together.wait(10)
        return healthy(request)

    with serve(script):
        s3dlio.configure(first_byte_timeout=10.0, worker_threads=8)
        s3dlio.copy(SOURCE, TARGET)
    assert not together.broken


def test_a_copy_in_parts_keeps_what_a_copy_at_once_keeps(serve: Serve) -> None:
    kept = {"Content_Type": "text/x", "Cache_Control": "no-cache", "Content_Encoding": "gzip", "x_amz_meta_a": "b"}
    with serve(holding(6 * GIB, x_amz_storage_class="GLACIER", **kept)) as server:
        s3dlio.copy(SOURCE, TARGET)
        start = next(each for each in server.asked if each.target.endswith("?uploads="))
        told = {name.lower().replace("_", "-"): value for name, value in kept.items()}
        assert {name: start.fields.get(name) for name in told} == told
        assert "x-amz-storage-class" not in start.fields


@pytest.mark.parametrize("size", [5000, 6 * GIB], ids=["at once", "in parts"])
def test_a_source_that_is_replaced_meanwhile_is_copied_anew(serve: Serve, size: int) -> None:
    healthy = holding(size)

    def script(request: Asked) -> list[bytes | Fault]:
        if request.fields.get("x-amz-copy-source-if-match") == '"one"':
            healthy.etag = '"two"'
            return [response(412, error("PreconditionFailed"))]
        return healthy(request)

    with serve(script) as server:
        s3dlio.copy(SOURCE, TARGET)
        started = len([each for each in server.asked if each.target.endswith("?uploads=")])
        assert len([each for each in server.asked if each.method == "DELETE"]) == max(0, started - 1)


@pytest.mark.parametrize("size", [5000, 6 * GIB], ids=["at once", "in parts"])
def test_a_source_that_keeps_changing_is_an_error(serve: Serve, size: int) -> None:
    healthy = holding(size)

    def script(request: Asked) -> list[bytes | Fault]:
        changed = "x-amz-copy-source" in request.fields
        return [response(412, error("PreconditionFailed"))] if changed else healthy(request)

    with serve(script) as server:
        with pytest.raises(s3dlio.ObjectChangedError, match="source key"):
            s3dlio.copy(SOURCE, TARGET)
        started = len([each for each in server.asked if each.target.endswith("?uploads=")])
        assert len([each for each in server.asked if each.method == "DELETE"]) == started


@pytest.mark.parametrize("size", [5000, 6 * GIB], ids=["at once", "in parts"])
@pytest.mark.parametrize(
    "fault",
    [
        [response(200, error("InternalError"))],
        [response(200, error("SlowDown"))],
        [response(200)],
        [response(200, b"<CopyObjectResult><ETag>")],
        [response(503)],
        [RESET],
    ],
    ids=["InternalError", "SlowDown", "nothing", "cut off", "503", "reset"],
)
def test_H14_a_copy_that_fails_inside_of_a_200_is_made_again(
    serve: Serve, size: int, fault: list[bytes | Fault]
) -> None:
    healthy, faults = holding(size), iter([fault])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        return next(faults, healthy(request)) if "x-amz-copy-source" in request.fields else healthy(request)

    with serve(script) as server:
        s3dlio.copy(SOURCE, TARGET)
        numbers = [each.target for each in server.asked if "x-amz-copy-source" in each.fields]
        assert len(numbers) == len(set(numbers)) + 1


@pytest.mark.parametrize("size", [5000, 6 * GIB], ids=["at once", "in parts"])
def test_H14_a_refusal_inside_of_a_200_is_an_error_that_leaves_nothing(serve: Serve, size: int) -> None:
    healthy = holding(size)

    def script(request: Asked) -> list[bytes | Fault]:
        refused = "x-amz-copy-source" in request.fields
        return [response(200, error("AccessDenied"))] if refused else healthy(request)

    with serve(script) as server:
        with pytest.raises(s3dlio.AccessDeniedError):
            s3dlio.copy(SOURCE, TARGET)
        assert (server.asked[-1].method == "DELETE") == (size > AT_ONCE)
        assert not any(each.method == "POST" and "uploadId" in each.target for each in server.asked)


def test_W5_a_source_that_no_object_can_hold_is_refused_before_anything_is_begun(serve: Serve) -> None:
    with serve(holding(10_000 * AT_ONCE + 1)) as server:
        with pytest.raises(s3dlio.S3dlioError, match=str(10_000 * AT_ONCE)):
            s3dlio.copy(SOURCE, TARGET)
        assert [each.method for each in server.asked] == ["HEAD"]


def test_a_large_source_without_an_etag_is_not_put_together_from_parts(serve: Serve) -> None:
    with serve(holding(6 * GIB, etag="")) as server:
        with pytest.raises(s3dlio.S3dlioError, match="ETag"):
            s3dlio.copy(SOURCE, TARGET)
        assert [each.method for each in server.asked] == ["HEAD"]


def test_a_missing_source_is_named(serve: Serve) -> None:
    with serve(lambda request: [response(404)]):
        with pytest.raises(s3dlio.NotFoundError) as caught:
            s3dlio.copy(SOURCE, TARGET)
        assert caught.value.uri == SOURCE


def test_a_source_that_is_deleted_meanwhile_is_named(serve: Serve) -> None:
    healthy = holding(5000)

    def script(request: Asked) -> list[bytes | Fault]:
        return [response(404, error("NoSuchKey"))] if request.method == "PUT" else healthy(request)

    with serve(script):
        with pytest.raises(s3dlio.NotFoundError) as caught:
            s3dlio.copy(SOURCE, TARGET)
        assert caught.value.uri == SOURCE


def test_a_copy_onto_itself_leaves_the_object_as_it_is(s3: S3Bucket) -> None:
    uri = s3.uri("object")
    s3dlio.put(uri, b"content")
    before = s3dlio.stat(uri)
    s3dlio.copy(uri, uri)
    assert s3dlio.stat(uri) == before
    assert s3dlio.get(uri) == b"content"


def test_a_copy_of_a_missing_object_onto_itself_is_an_error(s3: S3Bucket) -> None:
    with pytest.raises(s3dlio.NotFoundError, match="missing"):
        s3dlio.copy(s3.uri("missing"), s3.uri("missing"))


def test_a_copy_to_a_missing_bucket_is_an_error_that_names_it(s3: S3Bucket) -> None:
    s3dlio.put(s3.uri("object"), b"content")
    with pytest.raises(s3dlio.BucketNotFoundError, match="tests-missing"):
        s3dlio.copy(s3.uri("object"), "s3://tests-missing/object")


@pytest.mark.parametrize("key", ["plain", "a b+c%41", "é/ü?#&=;", "dir/sub/x"])
def test_a_copy_has_the_bytes_and_the_metadata(s3: S3Bucket, key: str) -> None:
    s3.client.put_object(Bucket=s3.bucket, Key=key, Body=b"content", ContentType="text/x-a", Metadata={"rank": "3"})
    s3dlio.copy(s3.uri(key), s3.uri("copy"))
    found = s3dlio.stat(s3.uri("copy"))
    assert (found["content_type"], found["metadata"]) == ("text/x-a", {"rank": "3"})
    assert s3dlio.get(s3.uri("copy")) == b"content"


def test_real_services_copy_parts(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same requests as for 6 GiB, on an object that a test can store."""
    content = bytes(range(256)) * (12 * MIB // 256)
    s3.client.put_object(Bucket=s3.bucket, Key="source", Body=content, ContentType="text/x-a", Metadata={"rank": "3"})
    monkeypatch.setattr("s3dlio.stores.s3copy.LARGEST_AT_ONCE", 8 * MIB)
    monkeypatch.setattr("s3dlio.stores.s3copy._PART", 5 * MIB)
    s3dlio.configure(part_size=5 * MIB)
    s3dlio.copy(s3.uri("source"), s3.uri("copy"))
    found = s3dlio.stat(s3.uri("copy"))
    assert found["etag"].strip('"').endswith("-3")
    assert (found["content_type"], found["metadata"]) == ("text/x-a", {"rank": "3"})
    assert s3dlio.get(s3.uri("copy")) == content
