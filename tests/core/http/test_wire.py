"""The exchange: the same answer however it is cut into pieces, and the same as the standard library's."""

from __future__ import annotations

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.errors import IntegrityError, NetworkError
from s3dlio.http.wire import SCRATCH, Exchange, Head, Origin

ORIGIN = Origin("http", "127.0.0.1", 80)


class Place:
    """A receiver with memory of its own, or none."""

    def __init__(self, *, collects: bool) -> None:
        self.collects = collects
        self.memory = bytearray()

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        if self.collects or length is None:
            return None
        self.memory = bytearray(length)
        return memoryview(self.memory)


def feed(data: bytes, cuts: list[int], *, collects: bool, heads_only: bool = False) -> tuple[Exchange, bytes]:
    """Receive `data` in pieces of these sizes, over and over; return the exchange and its body."""
    place = Place(collects=collects)
    exchange = Exchange(ORIGIN, b"", place, heads_only=heads_only)
    scratch = bytearray(SCRATCH)
    exchange.use(scratch, memoryview(scratch))
    at, turn = 0, 0
    while not exchange.done and at < len(data):
        target = exchange.target()
        piece = data[at : at + min(len(target), cuts[turn % len(cuts)])]
        target[: len(piece)] = piece
        exchange.advance(len(piece))
        at, turn = at + len(piece), turn + 1
    if not exchange.done:
        exchange.end()
    return exchange, bytes(exchange.body or place.memory)


class _Sock:
    """What `http.client` reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def by_the_standard_library(data: bytes) -> tuple[int, dict[str, str], bytes]:
    answer = http.client.HTTPResponse(_Sock(data))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # it reads a file, no more
    answer.begin()
    return answer.status, {name.lower(): value.strip() for name, value in answer.getheaders()}, answer.read()


_names = st.text("abcdefghijXYZ-!#$%&'*+.^_`|~0123", min_size=1, max_size=20).filter(
    lambda name: name.lower() not in ("content-length", "transfer-encoding", "connection")
)
_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)
_spaces = st.sampled_from(["", " ", "  ", "\t"])
_fields = st.dictionaries(_names.map(str.lower), st.tuples(_spaces, _values, _spaces), max_size=8)
_cuts = st.lists(st.integers(1, 400), min_size=1, max_size=5)


def chunked(body: bytes, sizes: list[int]) -> bytes:
    pieces, at, turn = b"", 0, 0
    while at < len(body):
        piece = body[at : at + sizes[turn % len(sizes)]]
        pieces += b"%x\r\n%s\r\n" % (len(piece), piece)
        at, turn = at + len(piece), turn + 1
    return pieces + b"0\r\n\r\n"


@given(
    status=st.sampled_from([200, 206, 301, 404, 503]),
    fields=_fields,
    body=st.binary(max_size=3000),
    framing=st.sampled_from(["length", "chunked", "close"]),
    cuts=_cuts,
    collects=st.booleans(),
)
def test_an_answer_is_what_the_standard_library_reads_however_it_arrives(
    status: int, fields: dict[str, tuple[str, str, str]], body: bytes, framing: str, cuts: list[int], collects: bool
) -> None:
    lines = [f"HTTP/1.1 {status} Reason", *[f"{name}:{''.join(parts)}" for name, parts in fields.items()]]
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    if framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    data = head + (chunked(body, cuts) if framing == "chunked" else body)
    exchange, received = feed(data, cuts, collects=collects)
    assert exchange.head is not None
    assert (exchange.head.status, exchange.head.fields, received) == by_the_standard_library(data)
    assert received == body
    assert exchange.keep_alive == (framing != "close")


@given(cut=st.integers(0, 69), cuts=_cuts)
def test_an_answer_that_ends_early_is_never_complete(cut: int, cuts: list[int]) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX: y\r\n\r\n" + b"b" * 20
    with pytest.raises((NetworkError, IntegrityError)):
        feed(data[: min(cut, len(data) - 1)], cuts, collects=False)


@given(data=st.binary(max_size=200), cuts=_cuts)
def test_noise_is_an_error_or_an_answer_that_says_so(data: bytes, cuts: list[int]) -> None:
    with pytest.raises((NetworkError, IntegrityError)):
        feed(data, cuts, collects=True)


def test_a_head_request_has_no_body_whatever_its_length_says() -> None:
    exchange, body = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", [100], collects=True, heads_only=True)
    assert (exchange.done, exchange.keep_alive, body) == (True, True, b"")


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_never_have_a_body(status: int) -> None:
    exchange, _ = feed(b"HTTP/1.1 %d X\r\n\r\n" % status, [100], collects=True)
    assert (exchange.done, exchange.keep_alive) == (True, True)


def test_bytes_behind_the_body_end_the_connection() -> None:
    exchange, body = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", [1000], collects=True)
    assert (body, exchange.keep_alive) == (b"ok", False)


def test_the_answer_of_an_old_server_ends_the_connection() -> None:
    exchange, _ = feed(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", [1000], collects=True)
    assert not exchange.keep_alive


def test_fields_that_come_twice_are_joined() -> None:
    exchange, _ = feed(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n", [1000], collects=True)
    assert exchange.head is not None
    assert exchange.head.fields["a"] == "1, 2"
