"""Answers that are meant to exhaust whoever reads them."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate

import pytest

import s3dlio
from tests.faults.calls import CALLS, URI
from tests.faults.conftest import Get, Serve
from tests.servers.scripted import Asked, Fault, Script, response

# S13: XML that is meant to exhaust its reader

_ENTITIES = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "lol"}">' for i in range(12))
BOMBS = {
    "entities": f"<!DOCTYPE b [{_ENTITIES}]><b>&e11;</b>".encode(),
    "external": b'<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]><b>&x;</b>',
    "deep": b"<a>" * 100_000 + b"</a>" * 100_000,
    "attributes": b"<a " + b" ".join(b'a%d=""' % i for i in range(1_000_000)) + b"/>",
    "elements": b"<a>" + b"<b/>" * 1_000_000 + b"</a>",
    "namespaces": b"<a>" + b"".join(b'<b xmlns:n%d="u%d">' % (i, i) for i in range(100_000)),
    "text": b"<a>" + b"x" * (10 << 20) + b"</a>",
}
XML_CALLS = {name: CALLS[name] for name in ("list", "copy", "list_containers")} | {
    "delete tree": lambda: s3dlio.delete("s3://bucket/", recursive=True),
    "large put": lambda: s3dlio.put(URI, bytes(17 << 20)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("call", XML_CALLS.values(), ids=XML_CALLS.keys())
def test_S13_L7_a_document_made_to_exhaust_its_reader_is_an_error(
    serve: Serve, call: Callable[[], object], bomb: bytes
) -> None:
    with serve(lambda request: [response(200, bomb)]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError) as caught:
            call()
        assert len(str(caught.value)) < 1000


_PAGE = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated>"
    b"<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"
)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_S13_an_answer_to_a_batch_of_deletes_may_be_a_bomb_too(serve: Serve, bomb: bytes) -> None:
    with serve(lambda request: [response(200, _PAGE if request.method == "GET" else bomb)]) as server:
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError):
            s3dlio.delete("s3://bucket/", recursive=True)
        assert "POST" in [request.method for request in server.asked]


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_S13_an_error_that_comes_as_a_bomb_is_that_error(serve: Serve, get: Get, bomb: bytes, status: int) -> None:
    with serve(lambda request: [response(status, bomb)]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError) as caught:
            get(URI)
        assert (caught.value.status, caught.value.code) == (status, None)


def test_S13_a_listing_with_a_document_type_is_refused_however_harmless(serve: Serve) -> None:
    harmless = _PAGE.replace(b"<Key>a<", b"<Key>&k;<")
    for declared in (b"<!DOCTYPE ListBucketResult>" + _PAGE, b'<!DOCTYPE r [<!ENTITY k "a">]>' + harmless):
        with serve(lambda request, page=declared: [response(200, page)]):
            s3dlio.configure(max_attempts=1)
            with pytest.raises(s3dlio.IntegrityError, match="document type"):
                s3dlio.list("s3://bucket/")


WITH_BODY = {name: call for name, call in CALLS.items() if name not in ("stat", "exists", "copy")}


@pytest.mark.parametrize("call", WITH_BODY.values(), ids=WITH_BODY.keys())
def test_S13_a_document_that_claims_to_be_a_gibibyte_is_not_waited_for(
    serve: Serve, call: Callable[[], object]
) -> None:
    with serve(lambda request: [response(400, b"", Content_Length=str(1 << 30))]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.NetworkError, match="announced 1073741824 bytes"):
            call()


def test_S13_S20_a_document_without_an_end_is_given_up(serve: Serve) -> None:
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"

    def script(request: Asked) -> Iterator[bytes | Fault]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield from itertools.repeat(chunk)

    with serve(script) as server:
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.NetworkError, match="more than"):
            s3dlio.list("s3://bucket/")
        assert server.said < 100


# S20: without an end


def endless(piece: bytes, before: bytes = b"") -> Script:
    def script(request: Asked) -> Iterator[bytes | Fault]:
        yield before
        yield from itertools.repeat(piece)

    return script


@pytest.mark.parametrize(
    "script",
    [
        endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
        endless(b"HTTP/1.1 100\r\n\r\n" * 4000),
        endless(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        endless(b"x: y\r\n", b"HTTP/1.1 200 OK\r\n"),
        endless(b"a" * 1000, b"HTTP/1.1 200 OK\r\nx: "),
        endless(b"x: y\r\n" * 1000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
        endless(b"1;" + b"e" * 2000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["100", "100 at once", "103", "fields", "field", "trailers", "extension"],
)
@pytest.mark.parametrize("call", [CALLS["get"], CALLS["get_many"], CALLS["list"]], ids=["get", "get_many", "list"])
def test_S20_an_answer_that_never_comes_to_its_point_is_an_error(
    serve: Serve, call: Callable[[], object], script: Script
) -> None:
    with serve(script) as server:
        s3dlio.configure(max_attempts=2)
        with pytest.raises(s3dlio.NetworkError, match="bad framing"):
            call()
        assert len(server.asked) == 2


def test_S20_a_service_that_points_from_region_to_region_is_given_up(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [response(301, x_amz_bucket_region=f"eu-west-{request.number + 1}")]

    with serve(script) as server:
        with pytest.raises(s3dlio.RequestError):
            get(URI)
        assert len(server.asked) <= 5


def test_S20_a_service_whose_clock_jumps_is_given_up(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        date = formatdate(1e9 * (request.number + 1), usegmt=True)
        return [response(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", Date=date)]

    with serve(script) as server:
        with pytest.raises(s3dlio.CredentialsError):
            get(URI)
        assert len(server.asked) <= 5


def test_S20_a_service_that_refuses_every_credential_is_given_up(serve: Serve, get: Get) -> None:
    with serve(lambda request: [response(400, b"<Error><Code>ExpiredToken</Code></Error>")]) as server:
        with pytest.raises(s3dlio.CredentialsError):
            get(URI)
        assert len(server.asked) <= 5
