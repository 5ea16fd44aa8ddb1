"""What answers mean: which are tried again, which are errors, and of which kind."""

import os
from collections.abc import Iterable

import pytest

import s3dlio
from tests.faults.conftest import Get, Serve
from tests.servers.scripted import Asked, Fault, Script, part, response

URI = "s3://bucket/key"
SMALL = os.urandom(5000)


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


@pytest.mark.parametrize("status", [403, 500])
def test_H8_only_a_404_makes_exists_false(serve: Serve, status: int) -> None:
    with serve(lambda request: [response(status)]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError):
            s3dlio.exists(URI)
    with serve(lambda request: [response(404)]):
        assert s3dlio.exists(URI) is False


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
