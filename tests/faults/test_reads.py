"""A read returns the bytes of one version of the object, or raises: whatever the server does, under both drivers."""

import os
import re
import threading
from collections.abc import Iterable

import pytest

import s3dlio
from tests.faults.conftest import HURRIED, Get, Serve
from tests.servers.scripted import CLOSE, RESET, STALL, Asked, Drip, Fault, Piece, Script, part, response

URI = "s3://bucket/key"
MIB = 1 << 20
SMALL = os.urandom(5000)
LARGE = os.urandom(20 * MIB)  # three parts


def once(fault: Script, then: Script) -> Script:
    """Answer the first request with the fault."""
    return lambda request: fault(request) if request.number == 0 else then(request)


def good(content: bytes) -> Script:
    return lambda request: [part(request, content)]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "split"])
def test_a_healthy_server_gives_the_object(serve: Serve, get: Get, content: bytes) -> None:
    with serve(good(content)):
        assert get(URI) == content


def test_D16_a_part_from_a_stale_cache_is_not_mixed_in(serve: Serve, get: Get) -> None:
    stale = iter([True])

    def script(request: Asked) -> Iterable[Piece]:
        first, _ = request.range or (0, 0)
        if first and next(stale, False):
            return [part(request, LARGE[::-1], ETag='"old"', Age="3600")]
        return [part(request, LARGE)]

    with serve(script):
        assert get(URI) == LARGE


def test_D16_a_cache_that_is_always_stale_for_some_parts_is_an_error(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[Piece]:
        first, _ = request.range or (0, 0)
        return [part(request, LARGE[::-1], ETag='"old"', Age="3600") if first else part(request, LARGE)]

    with serve(script), pytest.raises(s3dlio.ObjectChangedError, match='"old"'):
        get(URI)


def test_D17_an_empty_object_is_empty(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, LARGE if "large" in request.target else b"")]):
        assert get(URI) == b""
        assert get("s3://bucket/large") == LARGE  # after a large object the next one is asked for by a range
        assert get(URI) == b""


@pytest.mark.parametrize("fault", [CLOSE, RESET], ids=["D1", "D2"])
def test_D1_D2_a_body_that_breaks_off_is_resumed_where_it_broke(serve: Serve, get: Get, fault: Fault) -> None:
    def broken(request: Asked) -> Iterable[bytes | Fault]:
        whole = part(request, SMALL)
        return [whole[: len(whole) - 2000], fault]

    with serve(once(broken, good(SMALL))) as server:
        assert get(URI) == SMALL
    assert server.asked[1].fields["if-match"] == '"one"'
    if fault is CLOSE:
        assert server.asked[1].range == (3000, 8 * MIB - 1)


def test_D1_a_body_that_always_breaks_off_is_an_error(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, SMALL)[:-1], CLOSE]) as server, pytest.raises(s3dlio.S3dlioError):
        get(URI)
    assert len(server.asked) <= 5


def test_D3_a_chunked_body_without_its_end_is_an_error(serve: Serve, get: Get) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nTransfer-Encoding: chunked\r\n\r\n'
    with serve(lambda request: [head, b"5\r\nhello\r\n", CLOSE]), pytest.raises(s3dlio.IntegrityError):
        get(URI)


def test_a_chunked_body_is_decoded(serve: Serve, get: Get) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nTransfer-Encoding: chunked\r\n\r\n'
    with serve(lambda request: [head, b"5\r\nhel", b"lo\r\n6;x=y\r\n world\r", b"\n0\r\nT: 1\r\n\r\n"]):
        assert get(URI) == b"hello world"


def test_D4_a_body_that_only_the_close_ends_is_refused(serve: Serve, get: Get) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\n\r\n'
    with serve(lambda request: [head, b"perhaps not all", CLOSE]), pytest.raises(s3dlio.IntegrityError):
        get(URI)


def test_D5_a_server_that_does_not_answer_is_asked_again(serve: Serve, get: Get) -> None:
    with serve(once(lambda request: [STALL], good(SMALL)), patience=HURRIED):
        assert get(URI) == SMALL


def test_D6_a_body_that_stalls_is_resumed(serve: Serve, get: Get) -> None:
    stalling = once(lambda request: [part(request, LARGE)[: 3 * MIB], STALL], good(LARGE))
    with serve(stalling, patience=HURRIED) as server:
        assert get(URI) == LARGE
    assert server.asked[1].fields["if-match"] == '"one"'


def test_D7_a_drip_is_as_dead_as_a_stall(serve: Serve, get: Get) -> None:
    def dripping(request: Asked) -> Iterable[Piece]:
        whole = part(request, SMALL)
        return [whole[:-2000], Drip(whole[-2000:], 0.02)]

    with serve(once(dripping, good(SMALL)), patience=HURRIED) as server:
        assert get(URI) == SMALL
    span = server.asked[1].range
    assert span is not None
    assert 3000 < span[0] < len(SMALL)
    assert server.asked[1].fields["if-match"] == '"one"'


def test_D7_a_server_that_only_drips_is_an_error(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, SMALL)[:-4000], Drip(bytes(4000), 0.02)], patience=HURRIED):
        s3dlio.configure(max_attempts=2)
        with pytest.raises(s3dlio.DeadlineExceededError, match="stalled"):
            get(URI)


def test_D10_bytes_behind_a_body_do_not_reach_the_next_read(serve: Serve, get: Get) -> None:
    other = part(Asked("GET", "", {"range": "bytes=0-99"}, b"", 0, 0), b"another object's bytes")
    with serve(lambda request: [part(request, SMALL) + other]) as server:
        assert get(URI) == SMALL
        assert get(URI) == SMALL
    assert server.connections == 2


def test_D10_S15_an_answer_that_nobody_asked_for_reaches_no_read(serve: Serve, get: Get) -> None:
    sent = threading.Event()

    def script(request: Asked) -> Iterable[bytes | Fault]:
        yield part(request, SMALL)
        if request.connection == 0:
            sent.wait(5)
            yield part(request, b"another object's bytes")

    with serve(script) as server:
        assert get(URI) == SMALL
        sent.set()
        while server.said < 2:
            pass
        assert get(URI) == SMALL
    assert server.connections == 2


def test_D11_D12_an_object_that_is_replaced_between_parts_is_read_anew(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.number == 0:
            return [part(request, LARGE)]
        return [part(request, LARGE[::-1], ETag='"two"')]

    with serve(script):
        assert get(URI) == LARGE[::-1]


def test_D12_an_object_that_keeps_changing_is_an_error(serve: Serve, get: Get) -> None:
    with (
        serve(lambda request: [part(request, LARGE, ETag=f'"{request.number}"')]),
        pytest.raises(s3dlio.ObjectChangedError, match="replaced"),
    ):
        get(URI)


def test_D13_a_server_that_ignores_ranges_gives_the_whole_object(serve: Serve, get: Get) -> None:
    with serve(lambda request: [response(200, LARGE, ETag='"one"')]):
        assert get(URI) == LARGE


def test_D13_a_range_that_comes_with_200_is_not_taken_for_the_object(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        first, last = request.range or (0, len(LARGE))
        sound = "large" in request.target
        return [part(request, LARGE) if sound else response(200, LARGE[first : last + 1], ETag='"one"')]

    with serve(script):
        assert get("s3://bucket/large") == LARGE  # after a large object the next one is asked for by a range
        assert get(URI) == LARGE


@pytest.mark.parametrize("offset", [0, 10])
def test_D13_a_range_from_a_server_that_ignores_ranges_is_an_error(serve: Serve, offset: int) -> None:
    with (
        serve(lambda request: [response(200, SMALL, ETag='"one"')]),
        pytest.raises(s3dlio.IntegrityError, match="ignored the range"),
    ):
        s3dlio.get_range(URI, offset, 20)


@pytest.mark.parametrize(
    "said",
    ["bytes 0-4998/5000", "bytes 1-4999/5000", "bytes 0-4999/*", "bytes 0-4999/4999", "items 0-4999/5000", ""],
)
def test_D14_another_range_than_asked_for_is_an_error(serve: Serve, get: Get, said: str) -> None:
    with (
        serve(lambda request: [response(206, SMALL, ETag='"one"', Content_Range=said)]),
        pytest.raises(s3dlio.IntegrityError),
    ):
        get(URI)


@pytest.mark.parametrize(("first", "last"), [(1, 4999), (0, 2499), (100, 199)])
def test_D14_a_range_that_agrees_only_with_itself_is_an_error(serve: Serve, get: Get, first: int, last: int) -> None:
    said = f"bytes {first}-{last}/{len(SMALL)}"
    with (
        serve(lambda request: [response(206, SMALL[first : last + 1], ETag='"one"', Content_Range=said)]),
        pytest.raises(s3dlio.IntegrityError, match=re.escape(said)),
    ):
        get(URI)


def test_D15_the_size_is_what_the_first_answer_says(serve: Serve, get: Get) -> None:
    grown = LARGE + b"more"
    answers = iter([LARGE])

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "HEAD":
            return [response(200, Content_Length=str(len(next(answers))), ETag='"one"')]
        return [part(request, grown, ETag='"two"')]

    with serve(script):
        s3dlio.get_many_stats([URI])
        assert get(URI) == grown


def test_H15_without_an_etag_nothing_is_split(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [part(request, LARGE).replace(b'ETag: "one"\r\n', b"")]

    with serve(script) as server:
        assert get(URI) == LARGE
    assert [request.range for request in server.asked if request.method == "GET"] == [None, (0, len(LARGE) - 1)]


def test_H15_a_service_without_etags_is_named_once(
    serve: Serve, get: Get, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    def script(asked: Asked) -> Iterable[Piece]:
        return [part(asked, LARGE).replace(b'ETag: "one"\r\n', b"")]

    bucket = f"s3://without-etags-{hash(request.node.name) % 1000}"
    with serve(script):
        for _ in range(2):
            assert get(f"{bucket}/key") == LARGE
    assert [record.getMessage().partition(" ")[0] for record in caplog.records if "ETag" in record.getMessage()] == [
        f"{bucket}/"
    ]


def test_N1_a_port_where_nobody_listens_is_named(serve: Serve, get: Get) -> None:
    with serve(good(SMALL)) as server:
        pass
    s3dlio.configure(endpoint_url=server.endpoint, max_attempts=2)
    with pytest.raises(s3dlio.NetworkError, match=rf"127.0.0.1:{server.port}.*refused"):
        get(URI)
    s3dlio.reset()


def test_N4_a_kept_connection_that_the_server_closed_costs_no_attempt(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.number == 1:
            return [CLOSE]
        return [part(request, SMALL)]

    with serve(script) as server:
        s3dlio.configure(endpoint_url=server.endpoint, max_attempts=1)
        assert get(URI) == SMALL
        assert get(URI) == SMALL


def test_N5_a_connection_that_breaks_before_the_answer_is_tried_again(serve: Serve, get: Get) -> None:
    with serve(once(lambda request: [RESET], good(SMALL))):
        assert get(URI) == SMALL
