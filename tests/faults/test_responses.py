"""What answers mean: which are tried again, which are errors, and of which kind."""

import gzip
import os
from collections.abc import Iterable

import pytest

import s3dlio
from tests.faults.conftest import Get, Serve
from tests.servers.scripted import Asked, Fault, Script, part, response

URI = "s3://bucket/key"
SMALL = os.urandom(5000)
SPLIT = os.urandom(17 << 20)  # three parts


def document(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>said</Message><RequestId>id-1</RequestId></Error>".encode()


def first_then_good(*answers: bytes) -> Script:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [answers[request.number] if request.number < len(answers) else part(request, SMALL)]

    return script


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_H1_a_failing_server_is_asked_again(serve: Serve, get: Get, status: int) -> None:
    with serve(first_then_good(response(status), response(status, b"<html>"))):
        assert get(URI) == SMALL


def test_H1_a_server_that_keeps_failing_is_a_server_error(serve: Serve, get: Get) -> None:
    with (
        serve(lambda request: [response(500, document("InternalError"))]) as server,
        pytest.raises(s3dlio.ServerError) as caught,
    ):
        get(URI)
    assert (caught.value.uri, caught.value.status, caught.value.request_id) == (URI, 500, "id-1")
    assert len(server.asked) == 5


@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize(
    "answer",
    [
        response(503, document("SlowDown"), Retry_After="0"),
        response(429),
        response(400, document("RequestTimeout")),
        response(408),
    ],
    ids=["H2", "H3", "H4-code", "H4-status"],
)
def test_H2_H3_H4_a_server_that_asks_for_patience_gets_it(serve: Serve, method: str, answer: bytes) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.number == 0:
            return [answer]
        return [part(request, SMALL) if request.method == "GET" else response(200, ETag='"one"')]

    with serve(script) as server:
        if method == "get":
            assert s3dlio.get(URI) == SMALL
        else:
            s3dlio.put(URI, SMALL)
            assert [request.body for request in server.asked] == [SMALL, SMALL]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", s3dlio.AccessDeniedError),
        (403, "InvalidAccessKeyId", s3dlio.CredentialsError),
        (403, "SignatureDoesNotMatch", s3dlio.CredentialsError),
        (400, "ExpiredToken", s3dlio.CredentialsError),
        (404, "NoSuchKey", s3dlio.NotFoundError),
        (404, "NoSuchBucket", s3dlio.BucketNotFoundError),
        (400, "InvalidArgument", s3dlio.RequestError),
        (301, "PermanentRedirect", s3dlio.RequestError),
        (307, "TemporaryRedirect", s3dlio.RequestError),
        (304, "", s3dlio.RequestError),
    ],
)
def test_H7_H8_H10_H13_a_refusal_is_an_error_of_its_kind_at_once(
    serve: Serve, get: Get, status: int, code: str, kind: type[s3dlio.S3dlioError]
) -> None:
    with serve(lambda request: [response(status, document(code) if code else b"")]) as server:
        with pytest.raises(kind) as caught:
            get(URI)
        assert len(server.asked) == 1
    assert type(caught.value) is kind
    assert caught.value.uri == URI
    assert caught.value.status == status


def test_H7_a_refusal_without_a_document_is_denied_at_once(serve: Serve) -> None:
    with serve(lambda request: [response(403)]) as server:
        with pytest.raises(s3dlio.AccessDeniedError):
            s3dlio.stat(URI)
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [403, 500])
def test_H8_only_a_404_makes_exists_false(serve: Serve, status: int) -> None:
    with serve(lambda request: [response(status)]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError):
            s3dlio.exists(URI)
    with serve(lambda request: [response(404)]):
        assert s3dlio.exists(URI) is False


def test_H11_a_range_behind_the_end_is_empty(serve: Serve) -> None:
    with serve(lambda request: [part(request, SMALL)]) as server:
        assert s3dlio.get_range(URI, len(SMALL), 10) == b""
        assert s3dlio.get_range(URI, len(SMALL) + 99) == b""
        assert s3dlio.get_range(URI, len(SMALL) - 1, 10) == SMALL[-1:]
        assert len(server.asked) == 3


def test_H11_a_range_inside_of_the_object_that_is_refused_is_an_error(serve: Serve) -> None:
    with (
        serve(lambda request: [response(416, document("InvalidRange"), Content_Range="bytes */5000")]) as server,
        pytest.raises(s3dlio.InvalidRangeError) as caught,
    ):
        s3dlio.get_range(URI, 10, 20)
    assert (caught.value.uri, len(server.asked)) == (URI, 1)


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
def test_H12_a_part_of_a_version_that_is_gone_makes_the_read_start_over_once(
    serve: Serve, get: Get, times: int
) -> None:
    refusals = iter([True] * times)

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if "if-match" in request.fields and next(refusals, False):
            return [response(412, document("PreconditionFailed"))]
        return [part(request, SPLIT)]

    with serve(script) as server:
        if times == 1:
            assert get(URI) == SPLIT
        else:
            with pytest.raises(s3dlio.ObjectChangedError, match="replaced"):
                get(URI)
        starts = [request for request in server.asked if request.method == "GET" and (request.range or (0,))[0] == 0]
        assert len(starts) == 2


BAD_HEADS = {
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 3\r\n\r\nabc",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(201)) + b"\r\n",
    "odd coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "switched protocols": b"HTTP/1.1 101 Switching\r\n\r\n",
    "two lengths in one": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "length in hex": b"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc",
    "endless length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\nabc",
    "first line folded": b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 3\r\n\r\nabc",
    "lone carriage return": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 3\r\n\r\nabc",
    "zero byte": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc",
    "no colon": b"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 3\r\n\r\nabc",
    "no name": b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 3\r\n\r\nabc",
    "short status": b"HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "coding of an old version": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("head", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_H16_S15_what_is_no_clear_http_is_an_error(serve: Serve, get: Get, head: bytes) -> None:
    with serve(lambda request: [head]):
        s3dlio.configure(max_attempts=2)
        with pytest.raises(s3dlio.NetworkError, match="bad framing"):
            get(URI)


def test_H17_interim_responses_are_skipped(serve: Serve, get: Get) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    with serve(lambda request: [interim + part(request, SMALL)]):
        assert get(URI) == SMALL


def test_H17_a_hundred_that_comes_late_is_skipped_too(serve: Serve, get: Get) -> None:
    with serve(lambda request: [b"HTTP/1.1 100 Continue\r\n\r\n", part(request, SMALL)]) as server:
        assert get(URI) == SMALL
        assert get(URI) == SMALL
    assert server.connections == 1


def test_H18_an_object_that_is_stored_compressed_comes_as_it_is_stored(serve: Serve, get: Get) -> None:
    packed = gzip.compress(SMALL)
    with serve(lambda request: [part(request, packed, Content_Encoding="gzip")]) as server:
        assert get(URI) == packed
    assert server.asked[0].fields["accept-encoding"] == "identity"


def test_a_head_that_comes_byte_by_byte_is_understood(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        whole = part(request, b"hello")
        return [whole[i : i + 1] for i in range(len(whole))]

    with serve(script):
        assert get(URI) == b"hello"


def test_a_connection_is_kept_for_the_next_request(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, SMALL)]) as server:
        for _ in range(3):
            assert get(URI) == SMALL
    assert server.connections == 1


def test_a_connection_that_the_server_wants_closed_is_not_kept(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, SMALL, Connection="close")]) as server:
        for _ in range(3):
            assert get(URI) == SMALL
    assert server.connections == 3
