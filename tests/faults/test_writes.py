"""Writes and listings: nothing half-made stays, and a listing is complete or raises."""

import os
from collections.abc import Iterable

import pytest

import s3dlio
from s3dlio import checksum
from tests.faults.conftest import Serve
from tests.servers.scripted import CLOSE, RESET, Asked, Fault, response

URI = "s3://bucket/key"
MIB = 1 << 20
LARGE = os.urandom(20 * MIB)
STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;all&quot;</ETag></CompleteMultipartUploadResult>"


def multipart(request: Asked) -> bytes:
    """Answer as a healthy server."""
    if request.method == "DELETE":
        return response(204)
    if request.target.endswith("?uploads="):
        return response(200, STARTED)
    if request.method == "POST":
        return response(200, COMPLETED)
    return response(200, ETag=f'"{len(request.body)}"')


def test_an_object_in_parts_is_the_object(serve: Serve) -> None:
    with serve(lambda request: [multipart(request)]) as server:
        s3dlio.put(URI, LARGE)
    parts = {request.target: request.body for request in server.asked if "partNumber" in request.target}
    assert b"".join(parts[f"/bucket/key?partNumber={number}&uploadId=id-1"] for number in (1, 2, 3)) == LARGE


def test_W11_every_body_goes_out_with_its_checksum(serve: Serve) -> None:
    with serve(lambda request: [multipart(request)]) as server:
        s3dlio.put(URI, LARGE)
        s3dlio.put(URI, b"small")
    bodies = [request for request in server.asked if request.method == "PUT"]
    assert len(bodies) == 4
    for request in bodies:
        expected = checksum.CRC64NVME.encode(checksum.crc64nvme(request.body))
        assert request.fields["x-amz-checksum-crc64nvme"] == expected
        assert request.fields["x-amz-sdk-checksum-algorithm"] == "CRC64NVME"
    done = next(request for request in server.asked if request.target.endswith("?uploadId=id-1"))
    assert done.fields["x-amz-checksum-crc64nvme"] == checksum.CRC64NVME.encode(checksum.crc64nvme(LARGE))


def test_W2_a_part_that_fails_for_good_aborts_the_upload(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [response(403) if "partNumber=2" in request.target else multipart(request)]

    with serve(script) as server, pytest.raises(s3dlio.AccessDeniedError):
        s3dlio.put(URI, LARGE)
    assert (server.asked[-1].method, server.asked[-1].target) == ("DELETE", "/bucket/key?uploadId=id-1")
    assert not any(request.method == "POST" and "uploadId" in request.target for request in server.asked)


def test_W2_an_upload_that_cannot_be_aborted_is_named(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        refused = "partNumber=2" in request.target or request.method == "DELETE"
        return [response(403) if refused else multipart(request)]

    with serve(script), pytest.raises(s3dlio.AccessDeniedError) as caught:
        s3dlio.put(URI, LARGE)
    assert any("id-1" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_H14_an_error_in_a_200_is_tried_again(serve: Serve, code: str) -> None:
    failures = iter([f"  <Error><Code>{code}</Code><Message>m</Message></Error>".encode()])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "POST" and "uploadId" in request.target:
            return [response(200, next(failures, COMPLETED))]
        return [multipart(request)]

    with serve(script):
        s3dlio.put(URI, LARGE)


def test_H14_a_batch_delete_reports_what_it_left(serve: Serve) -> None:
    listing = page(["a", "b"])
    left = b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    with (
        serve(lambda request: [response(200, listing if request.method == "GET" else left)]),
        pytest.raises(s3dlio.PartialFailureError, match="'b'") as caught,
    ):
        s3dlio.delete("s3://bucket/", recursive=True)
    assert list(caught.value.errors) == ["s3://bucket/b"]


def test_W1_a_create_only_write_whose_answer_was_lost_is_a_success(serve: Serve) -> None:
    stored: list[bytes] = []

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [head_of(stored[0])]
        if stored:
            return [response(412)]
        stored.append(request.body)
        return [RESET]

    with serve(script):
        s3dlio.put(URI, b"mine", if_none_match=True)
    assert stored == [b"mine"]


@pytest.mark.parametrize("theirs", [b"other", b"else"])
def test_W1_a_create_only_write_that_somebody_else_won_is_an_error(serve: Serve, theirs: bytes) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [head_of(theirs)]
        return [RESET] if request.number == 0 else [response(412)]

    with serve(script), pytest.raises(s3dlio.PreconditionFailedError):
        s3dlio.put(URI, b"mine", if_none_match=True)


def head_of(content: bytes) -> bytes:
    """Answer a HEAD for an object of this content."""
    total = checksum.CRC64NVME.encode(checksum.crc64nvme(content))
    return response(200, ETag='"one"', Content_Length=str(len(content)), x_amz_checksum_crc64nvme=total)


@pytest.mark.parametrize("content", [LARGE, LARGE[::-1]], ids=["ours", "not ours"])
def test_W3_a_completed_upload_whose_answer_was_lost_is_looked_at(serve: Serve, content: bytes) -> None:
    completions = iter([RESET])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [head_of(content)]
        if request.method == "POST" and "uploadId" in request.target:
            return [next(completions, response(404, b"<Error><Code>NoSuchUpload</Code><Message>m</Message></Error>"))]
        return [multipart(request)]

    with serve(script):
        if content == LARGE:
            s3dlio.put(URI, LARGE)
        else:
            with pytest.raises(s3dlio.NotFoundError):
                s3dlio.put(URI, LARGE)


def page(keys: list[str], token: str | None = None, *, truncated: bool | None = None) -> bytes:
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    flag = "true" if (token is not None if truncated is None else truncated) else "false"
    return f"<ListBucketResult><IsTruncated>{flag}</IsTruncated>{more}{entries}</ListBucketResult>".encode()


def pages(request: Asked) -> bytes:
    return page(["c"]) if "continuation-token=t" in request.target else page(["a", "b"], "t")


@pytest.mark.parametrize(
    "fault",
    [[response(503)], [response(200, pages(Asked("GET", "", {}, b"", 0, 0))[:-30])], [CLOSE]],
    ids=["503", "truncated", "closed"],
)
def test_L1_a_page_that_fails_is_asked_again(serve: Serve, fault: list[bytes | Fault]) -> None:
    failures = iter([fault])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if "continuation-token" in request.target:
            return next(failures, [response(200, pages(request))])
        return [response(200, pages(request))]

    with serve(script):
        assert s3dlio.list("s3://bucket/") == ["s3://bucket/a", "s3://bucket/b", "s3://bucket/c"]


def test_L2_a_refusal_on_the_second_page_is_an_error(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [response(403) if "continuation-token" in request.target else response(200, pages(request))]

    with serve(script), pytest.raises(s3dlio.AccessDeniedError):
        s3dlio.list("s3://bucket/")


def test_L3_a_server_that_repeats_itself_is_an_error(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(["a"], "t"))]) as server:
        with pytest.raises(s3dlio.S3dlioError, match="incomplete listing"):
            s3dlio.list("s3://bucket/")
        assert len(server.asked) == 2


def test_L4_a_page_without_its_token_is_an_error(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(["a"], truncated=True))]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError, match="incomplete listing"):
            s3dlio.list("s3://bucket/")


def test_L8_keys_outside_the_prefix_are_dropped(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(["a/1", "b/1"]))]):
        assert s3dlio.list("s3://bucket/a/") == ["s3://bucket/a/1"]


def test_the_path_on_the_wire_is_the_key_byte_for_byte(serve: Serve) -> None:
    with serve(lambda request: [response(200, ETag='"one"')]) as server:
        s3dlio.put("s3://bucket/a/../x//y?z#%41 ü", b"")
    assert server.asked[0].target == "/bucket/a/../x//y%3Fz%23%2541%20%C3%BC"
