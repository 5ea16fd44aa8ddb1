"""The project's own origin: what it answers, plain and with TLS, at once and late."""

import json
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks import certificate, process
from benchmarks.content import payload
from benchmarks.process import Plan
from benchmarks.replies import CHECK_PREFIX, COUNTERS

BODY = payload(100_000, 0)


def counted(connection: HTTPConnection) -> dict[str, int]:
    """Return the origin's counters."""
    connection.request("GET", COUNTERS)
    counters: dict[str, int] = json.loads(connection.getresponse().read())
    return counters


def connect(endpoint: str, authority: Path | None = None) -> HTTPConnection:
    """Return a connection to an origin."""
    host = urlsplit(endpoint).netloc
    if authority is None:
        return HTTPConnection(host)
    return HTTPSConnection(host, context=ssl.create_default_context(cafile=authority))


@pytest.fixture(params=["plain", "TLS"])
def origin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HTTPConnection]:
    """A connection to an origin for PUT and LIST."""
    made = certificate.issue(tmp_path) if request.param == "TLS" else None
    with process.origin(Plan(certificate=str(made.origin) if made else None)) as running:
        connection = connect(running.endpoint, made.authority if made else None)
        yield connection
        connection.close()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[HTTPConnection]:
    """A connection to an origin with one object."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "one").write_bytes(BODY)
    with process.origin(Plan(tree=str(tmp_path), delay=0.001)) as running:
        connection = connect(running.endpoint)
        yield connection
        connection.close()


def test_a_put_is_counted_and_dropped(origin: HTTPConnection) -> None:
    for _ in range(2):
        origin.request("PUT", "/bucket/one", BODY)
        assert origin.getresponse().read() == b""
    assert counted(origin) == {"requests": 2, "received": 2 * len(BODY)}
    origin.request("GET", "/bucket/one")
    assert origin.getresponse().read().count(b"NotImplemented") == 1


def test_what_is_put_below_the_check_prefix_is_kept(origin: HTTPConnection) -> None:
    origin.request("PUT", f"/bucket/{CHECK_PREFIX}one", BODY)
    origin.getresponse().read()
    origin.request("GET", f"/bucket/{CHECK_PREFIX}one")
    assert origin.getresponse().read() == BODY


def test_requests_that_come_together_are_answered_in_turn(origin: HTTPConnection) -> None:
    origin.connect()
    head = b"PUT /bucket/one HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
    origin.sock.sendall((head + b"abc") * 3)
    answered = b""
    while answered.count(b"\r\n\r\n") < 3:
        answered += origin.sock.recv(1 << 16)
    assert answered.count(b"200 OK") == 3


@pytest.mark.parametrize(
    ("wanted", "status", "body", "of"),
    [
        (None, 200, BODY, None),
        ("bytes=0-8388607", 206, BODY, f"bytes 0-{len(BODY) - 1}/{len(BODY)}"),
        ("bytes=10-19", 206, BODY[10:20], f"bytes 10-19/{len(BODY)}"),
        ("bytes=99990-", 206, BODY[99990:], f"bytes 99990-99999/{len(BODY)}"),
        ("bytes=100000-", 416, b"", f"bytes */{len(BODY)}"),
    ],
)
def test_a_get_answers_with_the_range(
    shelf: HTTPConnection, wanted: str | None, status: int, body: bytes, of: str | None
) -> None:
    shelf.request("GET", "/bucket/one", headers={"Range": wanted} if wanted else {})
    reply = shelf.getresponse()
    assert (reply.status, reply.read(), reply.headers["Content-Range"]) == (status, body, of)


def test_a_head_has_the_size_and_no_body(shelf: HTTPConnection) -> None:
    shelf.request("HEAD", "/bucket/one")
    reply = shelf.getresponse()
    assert (reply.headers["Content-Length"], reply.read()) == (str(len(BODY)), b"")


@pytest.mark.parametrize("path", ["/bucket/two", "/bucket/../bucket/one", "/"])
def test_what_is_not_in_the_tree_is_missing(shelf: HTTPConnection, path: str) -> None:
    shelf.request("GET", path)
    assert shelf.getresponse().status == 404


def test_an_answer_that_is_not_due_yet_holds_up_nobody() -> None:
    with process.origin(Plan(delay=3600.0)) as running:
        host, _, port = urlsplit(running.endpoint).netloc.partition(":")
        for _ in range(3):
            with socket.create_connection((host, int(port))) as left:
                left.sendall(b"PUT /bucket/one HTTP/1.1\r\nContent-Length: 1\r\n\r\na")
        with socket.create_connection((host, int(port))) as waiting:
            waiting.sendall(b"PUT /bucket/one HTTP/1.1\r\nContent-Length: 1\r\n\r\na")
            waiting.settimeout(0.05)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
