"""Writes: what is stored is what was sent, whole or not at all, and nothing half-made stays."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

import pytest

import s3dlio
from s3dlio import checksum
from s3dlio.http import blocking
from s3dlio.stores import store_for
from s3dlio.uri import parse_key
from tests.faults.conftest import HURRIED, Serve
from tests.servers.scripted import (
    RESET,
    STALL,
    Asked,
    Drip,
    Fault,
    Piece,
    Refusal,
    Script,
    ScriptedServer,
    response,
)

Put = Callable[[str, bytes | bytearray], None]

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


def is_completion(request: Asked) -> bool:
    """Tell whether a request completes an upload."""
    return request.method == "POST" and "uploadId=" in request.target


def error(code: str, message: str = "said") -> bytes:
    """Return an error document."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def put_awaited(uri: str, data: bytes | bytearray) -> None:
    """Store with the awaitable verb."""
    asyncio.run(s3dlio.put_async(uri, data))


@contextmanager
def early(serve: Serve, script: Script, refusal: Refusal, *, patience: float = 30.0) -> Generator[ScriptedServer]:
    """Serve a script, with a say when only the head of a request has come."""
    with serve(script, patience=patience) as server:
        server.refusal = refusal
        yield server


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

    with serve(script) as server:
        s3dlio.put(URI, LARGE)
    assert len([asked for asked in server.asked if asked.method == "POST" and "uploadId" in asked.target]) == 2


def test_H14_a_batch_delete_reports_what_it_left(serve: Serve) -> None:
    listing = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>"
        b"<Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>"
    )
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


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(("etag", "ours"), [(md5(b"mine"), True), (md5(b"else"), False), ("other-1", False)])
def test_W1_where_no_checksums_are_stored_the_etag_tells_whose_object_it_is(
    serve: Serve, etag: str, ours: bool
) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [response(200, ETag=f'"{etag}"', Content_Length="4")]
        return [RESET] if request.number == 0 else [response(412)]

    with serve(script):
        if ours:
            s3dlio.put(URI, b"mine", if_none_match=True)
        else:
            with pytest.raises(s3dlio.PreconditionFailedError):
                s3dlio.put(URI, b"mine", if_none_match=True)


def test_W1_a_create_only_write_that_was_refused_at_once_is_an_error_without_a_look(serve: Serve) -> None:
    with serve(lambda request: [head_of(b"mine") if request.method == "HEAD" else response(412)]) as server:
        with pytest.raises(s3dlio.PreconditionFailedError):
            s3dlio.put(URI, b"mine", if_none_match=True)
        assert [request.method for request in server.asked] == ["PUT"]


@pytest.mark.parametrize("content", [LARGE, LARGE[::-1]], ids=["ours", "not ours"])
def test_W1_a_create_only_upload_whose_answer_was_lost_is_looked_at(serve: Serve, content: bytes) -> None:
    completions = iter([RESET])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [head_of(content)]
        if is_completion(request):
            assert request.fields["if-none-match"] == "*"
            return [next(completions, response(412))]
        return [multipart(request)]

    with serve(script):
        if content == LARGE:
            s3dlio.put(URI, LARGE, if_none_match=True)
        else:
            with pytest.raises(s3dlio.PreconditionFailedError):
                s3dlio.put(URI, LARGE, if_none_match=True)


def test_W2_the_abort_comes_when_no_part_is_under_way_any_more_and_is_tried_again(serve: Serve) -> None:
    aborts = iter([response(503), response(500)])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "DELETE":
            return [next(aborts, response(204))]
        return [response(403) if "partNumber=1" in request.target else multipart(request)]

    with serve(script) as server, pytest.raises(s3dlio.AccessDeniedError):
        s3dlio.put(URI, LARGE)
    assert [request.method for request in server.asked[-4:]] == ["PUT", "DELETE", "DELETE", "DELETE"]


@pytest.mark.parametrize("composite", [True, False], ids=["ours", "not ours"])
def test_W3_where_no_checksums_are_stored_the_etags_of_the_parts_tell(serve: Serve, composite: bool) -> None:
    parts = [LARGE[at : at + 8 * MIB] for at in range(0, len(LARGE), 8 * MIB)]
    whole = md5(b"".join(bytes.fromhex(md5(part)) for part in parts))
    etag = f"{whole}-{len(parts) if composite else 2}"
    completions = iter([response(500)])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [response(200, ETag=f'"{etag}"', Content_Length=str(len(LARGE)))]
        if is_completion(request):
            return [next(completions, response(404, error("NoSuchUpload")))]
        return [response(200, ETag=f'"{md5(request.body)}"') if request.method == "PUT" else multipart(request)]

    with serve(script):
        if composite:
            s3dlio.put(URI, LARGE)
        else:
            with pytest.raises(s3dlio.NotFoundError):
                s3dlio.put(URI, LARGE)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<CompleteMultipartUploadResult><ETag>", b"<html></html>"],
    ids=["nothing", "cut off", "another document"],
)
def test_W3_a_completion_without_its_document_is_tried_again(serve: Serve, answer: bytes) -> None:
    answers = iter([answer])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [response(200, next(answers, COMPLETED)) if is_completion(request) else multipart(request)]

    with serve(script) as server:
        s3dlio.put(URI, LARGE)
        assert len([request for request in server.asked if is_completion(request)]) == 2


def test_W3_a_completion_may_take_long_while_the_service_keeps_the_connection_alive(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[Piece]:
        if not is_completion(request):
            return [multipart(request)]
        whole = response(200, b" " * 8 + COMPLETED)
        return [whole[: -len(COMPLETED) - 8], Drip(b" " * 8, 0.2), COMPLETED]

    with serve(script) as server:
        s3dlio.put(URI, LARGE)
        assert len([request for request in server.asked if is_completion(request)]) == 1


@pytest.mark.parametrize("size", [0, 1, 16 * MIB - 1])
def test_W7_an_object_that_is_small_or_empty_is_one_request(serve: Serve, size: int) -> None:
    with serve(lambda request: [multipart(request)]) as server:
        s3dlio.put(URI, LARGE[:size])
        assert [(request.method, len(request.body)) for request in server.asked] == [("PUT", size)]


def test_W7_an_upload_without_parts_is_an_empty_object(serve: Serve) -> None:
    where = parse_key(URI)

    async def upload() -> None:
        store = store_for(where)
        await store.complete_upload(await store.start_upload(where, None), [])

    with serve(lambda request: [multipart(request)]) as server:
        blocking.run(upload())
        assert [(each.method, each.target.partition("?")[2]) for each in server.asked] == [
            ("POST", "uploads="),
            ("DELETE", "uploadId=id-1"),
            ("PUT", ""),
        ]
        assert server.asked[-1].body == b""


def checking(request: Asked) -> bytes:
    """Answer as a server that compares the checksum of what arrives."""
    told = request.fields.get("x-amz-checksum-crc64nvme")
    if request.method == "PUT" and told != checksum.CRC64NVME.encode(checksum.crc64nvme(request.body)):
        return response(400, error("BadDigest"))
    return multipart(request)


@pytest.mark.parametrize("size", [15 * MIB, 32 * MIB], ids=["at once", "in parts"])
@pytest.mark.parametrize("put", [s3dlio.put, put_awaited], ids=["blocking", "awaited"])
def test_W8_a_buffer_that_changes_during_the_call_is_no_object(serve: Serve, put: Put, size: int) -> None:
    buffer = bytearray(size)

    def refusal(request: Asked) -> None:
        # The head has come, the checksum in it. Of 15 MiB no kernel holds the last byte yet.
        if request.method == "PUT" and ("partNumber=1" in request.target or "?" not in request.target):
            buffer[15 * MIB - 1] = 1

    with early(serve, lambda request: [checking(request)], refusal) as server:
        s3dlio.configure(part_size=15 * MIB, max_attempts=2)
        with pytest.raises(s3dlio.IntegrityError, match="changed"):
            put(URI, buffer)
        assert not any(is_completion(request) for request in server.asked)


def test_W8_a_buffer_in_use_cannot_be_resized(serve: Serve) -> None:
    buffer = bytearray(b"content")
    refused: list[bool] = []

    def script(request: Asked) -> Iterable[bytes | Fault]:
        try:
            buffer.extend(b"more")
        except BufferError:
            refused.append(True)
        return [multipart(request)]

    with serve(script):
        s3dlio.put(URI, buffer)
    assert refused == [True]


@pytest.mark.parametrize("size", [15 * MIB, 32 * MIB], ids=["at once", "in parts"])
@pytest.mark.parametrize("put", [s3dlio.put, put_awaited], ids=["blocking", "awaited"])
def test_W9_a_server_that_stops_reading_is_left_for_another_connection(serve: Serve, put: Put, size: int) -> None:
    deaf = iter([[STALL]])

    def refusal(request: Asked) -> Iterable[Piece] | None:
        return next(deaf, None) if request.method == "PUT" else None

    content = os.urandom(size)
    with early(serve, lambda request: [checking(request)], refusal, patience=2) as server:
        s3dlio.configure(part_size=15 * MIB)
        put(URI, content)
        bodies = {each.target: each.body for each in server.asked if each.method == "PUT" and each.body}
        assert b"".join(bodies[target] for target in sorted(bodies)) == content


def test_W9_a_server_that_never_reads_is_an_error(serve: Serve) -> None:
    with early(serve, lambda request: [multipart(request)], lambda request: [STALL], patience=HURRIED):
        s3dlio.configure(max_attempts=2)
        with pytest.raises(s3dlio.DeadlineExceededError, match="stalled"):
            s3dlio.put(URI, LARGE[: 15 * MIB])


def test_the_path_on_the_wire_is_the_key_byte_for_byte(serve: Serve) -> None:
    with serve(lambda request: [response(200, ETag='"one"')]) as server:
        s3dlio.put("s3://bucket/a/../x//y?z#%41 ü", b"")
    assert server.asked[0].target == "/bucket/a/../x//y%3Fz%23%2541%20%C3%BC"
