"""One HTTP/1.1 exchange, without I/O: what to send, where the next bytes go, when it is done.

A response body goes straight into the memory that its receiver names once it has seen the head. Framing is strict
(RFC 9112): what is ambiguous is an error, and a connection is kept only after exactly the announced bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from s3dlio.errors import IntegrityError, NetworkError

SCRATCH = 16 << 10  # one recv takes the head and a small body; larger bodies copy at most this much
_LARGEST_HEAD = 64 << 10
_MOST_FIELDS = 200
_MOST_INTERIM = 16  # 1xx responses before the one that counts: real services send one or two
_LARGEST_COLLECTED = 64 << 20  # a body that has no place of its own: a listing page, an error document
_LARGEST_CHUNK_LINE = 1024
_MOST_KNOWN_LINES = 4096
_MOST_KNOWN_STATUS = 64
_LONGEST_KNOWN_LINE = 256

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n\0]*)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\r\n\0]*)")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?")


class Origin(NamedTuple):
    """Where a connection goes: `scheme` is http or https."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the origin as it stands in messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Head(NamedTuple):
    """The head of a response. Field names are lower case; fields given several times are joined by commas."""

    status: int
    fields: dict[str, str]


class Receiver(Protocol):
    """Who gets a response."""

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        """Return the memory for a body of `length` bytes, or None to have it collected in `Exchange.body`."""
        ...


class Exchange:
    """A request and its response.

    `request` is the whole head as it goes on the wire and `payload` the body; `fresh` asks for a new connection. With
    `cut` the receiver may take less than the whole body: the rest is given up, and the connection with it.
    Drivers send both, then put what arrives at `target()` and report it to `advance` until `done`.
    """

    __slots__ = (
        "_chunks",
        "_filled",
        "_interim",
        "_memory",
        "_scratch",
        "_view",
        "body",
        "cut",
        "done",
        "fixed",
        "fresh",
        "head",
        "heads_only",
        "keep_alive",
        "origin",
        "payload",
        "received",
        "receiver",
        "request",
        "started",
    )

    def __init__(
        self,
        origin: Origin,
        request: bytes,
        receiver: Receiver,
        *,
        payload: memoryview | None = None,
        heads_only: bool = False,
        fresh: bool = False,
        cut: bool = False,
    ) -> None:
        self.origin = origin
        self.request = request
        self.payload = payload
        self.heads_only = heads_only
        self.fresh = fresh
        self.cut = cut
        self.head: Head | None = None
        self.body: bytes | bytearray = b""
        self.received = 0
        self.started = False
        self.fixed = False
        self.done = False
        self.keep_alive = False
        self.receiver = receiver
        self._memory: memoryview | None = None
        self._chunks: _Chunks | None = None
        self._filled = 0
        self._interim = 0

    def use(self, scratch: bytearray, view: memoryview) -> None:
        """Take the connection's scratch memory for everything that has no place of its own."""
        self._scratch = scratch
        self._view = view

    def keep(self) -> None:
        """Stop using the scratch memory that was lent; what it holds for this exchange is copied."""
        if self._memory is not None or not self._filled:
            return
        self._scratch = bytearray(self._scratch)
        self._view = memoryview(self._scratch)

    def target(self) -> memoryview:
        """Return where the next bytes go; with `fixed` they are the rest of the body and nothing else may come."""
        if self._memory is not None:
            return self._memory[self.received :] if self.received else self._memory
        if self._filled == len(self._scratch):
            self._grow()
        return self._view[self._filled :] if self._filled else self._view

    def advance(self, count: int) -> None:
        """Note that `count` bytes arrived at `target()`."""
        if self._memory is not None:
            self.received += count
            self.done = self.received == len(self._memory)
            return
        self.started = True
        self._filled += count
        if self.head is None:
            self._find_head(count)
        else:
            self._collect()

    def end(self) -> None:
        """Note that the peer closed. That ends a body without a length and truncates any other."""
        if self.head is None:
            what = "closed the connection inside the response head" if self.started else "closed without an answer"
            raise NetworkError(f"{self.origin} {what}")
        if self._memory is not None:
            raise IntegrityError(f"{self.origin} sent {self.received} of {len(self._memory)} bytes and closed")
        if self._chunks is not None:
            raise IntegrityError(f"{self.origin} closed in the middle of a chunked body")
        self.done = True

    def _grow(self) -> None:
        if self.head is not None or len(self._scratch) >= _LARGEST_HEAD:
            raise NetworkError(f"bad framing: {self.origin} sent a head of more than {_LARGEST_HEAD} bytes")
        self._scratch = bytearray(self._scratch) + bytes(_LARGEST_HEAD - len(self._scratch))
        self._view = memoryview(self._scratch)

    def _find_head(self, count: int) -> None:
        end = self._scratch.find(b"\r\n\r\n", max(0, self._filled - count - 3), self._filled)
        if end < 0:
            return
        first, *lines = bytes(self._view[:end]).split(b"\r\n")
        status, http11 = _KNOWN_STATUS.get(first) or _status(self.origin, first)
        if status < 200:
            self._skip(end + 4, status)
            return
        self.head = Head(status, _fields(self.origin, lines))
        self._open_body(self.head, http11, end + 4)

    def _skip(self, end: int, status: int) -> None:
        """Drop an interim response and look for the next head in what came with it."""
        if status == 101:
            raise NetworkError(f"bad framing: {self.origin} switched protocols unasked")
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            raise NetworkError(f"bad framing: {self.origin} sent more than {_MOST_INTERIM} interim responses")
        rest = self._filled - end
        self._view[:rest] = bytes(self._view[end : self._filled])
        self._filled = rest
        if rest:
            self._find_head(rest)

    def _open_body(self, head: Head, http11: bool, start: int) -> None:
        fields = head.fields
        length, chunked = _length(self.origin, fields, http11)
        if self.heads_only or head.status in (204, 304):
            length, chunked = 0, False
        self.keep_alive = http11 and (length is not None or chunked) and not _closes(fields)
        memory = self.receiver.begin(head, length)
        if length is None:
            self._chunks = _Chunks(self.origin) if chunked else None
            self.body = bytearray()
            self._shift(start)
            self._collect()
            return
        self._fill(memory, length, start)

    def _fill(self, memory: memoryview | None, length: int, start: int) -> None:
        if memory is None:
            if length > _LARGEST_COLLECTED:
                raise NetworkError(f"{self.origin} announced {length} bytes where a short document was expected")
            self.body = bytearray(length)
            memory = memoryview(self.body)
        elif self.cut and len(memory) < length:
            self.keep_alive = False
            length = len(memory)
        elif len(memory) != length:
            raise IntegrityError(f"{self.origin} announced {length} bytes, the place for them has {len(memory)}")
        extra = self._filled - start
        if extra > length:
            self.keep_alive = False
            extra = length
        if extra:
            memory[:extra] = self._view[start : start + extra]
        self.received = extra
        self._memory = memory
        self.fixed = True
        self.done = extra == length

    def _shift(self, start: int) -> None:
        rest = self._filled - start
        self._view[:rest] = bytes(self._view[start : self._filled])
        self._filled = rest

    def _collect(self) -> None:
        """Move what is in the scratch memory to the collected body."""
        assert isinstance(self.body, bytearray)
        if self._chunks is None:
            self.body += self._view[: self._filled]
            self._filled = 0
        else:
            used = self._chunks.decode(self._view[: self._filled], self.body)
            self._shift(used)
            self.done = self._chunks.done
            if self.done and self._filled:
                self.keep_alive = False
        self.received = len(self.body)
        if self.received > _LARGEST_COLLECTED:
            raise NetworkError(f"{self.origin} sent more than {_LARGEST_COLLECTED} bytes without a length")


class _Chunks:
    """The chunked transfer coding, decoded piece by piece."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.done = False
        self.left = 0  # of the current chunk, with its line end
        self.trailer = False
        self.trailers = 0

    def decode(self, data: memoryview, body: bytearray) -> int:
        """Append the content of complete pieces to `body`; return how many bytes of `data` were used."""
        at = 0
        while at < len(data) and not self.done:
            step = self._inside(data[at:], body) if self.left else self._line(data[at:])
            if step == 0:
                break
            at += step
        return at

    def _inside(self, data: memoryview, body: bytearray) -> int:
        if self.left > 2:
            take = min(self.left - 2, len(data))
            body += data[:take]
            self.left -= take
            return take
        if len(data) < self.left:
            return 0
        if bytes(data[:2]) != b"\r\n":
            raise NetworkError(f"bad framing: {self.origin} sent a chunk of another length than announced")
        self.left = 0
        return 2

    def _line(self, data: memoryview) -> int:
        piece = bytes(data[:_LARGEST_CHUNK_LINE])
        end = piece.find(b"\r\n")
        if end < 0:
            if len(piece) == _LARGEST_CHUNK_LINE:
                raise NetworkError(f"bad framing: {self.origin} sent an endless chunk line")
            return 0
        if self.trailer:
            self.done = end == 0
            self.trailers += 1
            if self.trailers > _MOST_FIELDS:
                raise NetworkError(f"bad framing: {self.origin} sent {self.trailers} fields behind a chunked body")
        else:
            match = _CHUNK.fullmatch(piece, 0, end)
            if match is None:
                raise NetworkError(f"bad framing: {self.origin} sent {piece[:40]!r} where a chunk size belongs")
            size = int(match[1], 16)
            self.trailer = size == 0
            self.left = size + 2 if size else 0
        return end + 2


def _fields(origin: Origin, lines: list[bytes]) -> dict[str, str]:
    pairs = [_KNOWN_LINES.get(line) or _field(origin, line) for line in lines]
    fields = dict(pairs)
    if len(fields) == len(pairs) <= _MOST_FIELDS:
        return fields
    if len(pairs) > _MOST_FIELDS:
        raise NetworkError(f"bad framing: {origin} sent {len(pairs)} header fields")
    return _join(origin, pairs)


# Nearly all lines of a head were in the one before: remembering them makes parsing four times as fast.
_KNOWN_LINES: dict[bytes, tuple[str, str]] = {}
_KNOWN_STATUS: dict[bytes, tuple[int, bool]] = {}


def _status(origin: Origin, line: bytes) -> tuple[int, bool]:
    """Return the status, and whether the answer is of HTTP/1.1."""
    match = _STATUS.fullmatch(line)
    if match is None:
        raise NetworkError(f"bad framing: {origin} answered {line[:60]!r}")
    found = int(match[2]), match[1] == b"1"
    if len(_KNOWN_STATUS) < _MOST_KNOWN_STATUS and len(line) <= _LONGEST_KNOWN_LINE:
        _KNOWN_STATUS[line] = found
    return found


def _field(origin: Origin, line: bytes) -> tuple[str, str]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise NetworkError(f"bad framing: {origin} sent the header line {line[:60]!r}")
    name, value = match.groups()
    pair = str(name, "latin-1").lower(), str(value, "latin-1").strip(" \t")
    if len(_KNOWN_LINES) >= _MOST_KNOWN_LINES:
        _KNOWN_LINES.clear()
    if len(line) <= _LONGEST_KNOWN_LINE:
        _KNOWN_LINES[line] = pair
    return pair


def _join(origin: Origin, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Merge repeated fields as RFC 9110 5.3 says; lengths that differ are an attack or a fault."""
    fields: dict[str, str] = {}
    for key, value in pairs:
        if key == "content-length" and fields.get(key, value) != value:
            raise NetworkError(f"bad framing: {origin} sent two different Content-Length fields")
        fields[key] = value if key == "content-length" or key not in fields else f"{fields[key]}, {value}"
    return fields


def _closes(fields: dict[str, str]) -> bool:
    """Tell whether the connection ends with this answer."""
    said = fields.get("connection")
    return said is not None and "close" in said.lower()


def _length(origin: Origin, fields: dict[str, str], http11: bool) -> tuple[int | None, bool]:
    """Return the length that the head announces, None where it does not, and whether the body is chunked.

    The rules are those of RFC 9112 6.3.
    """
    text = fields.get("content-length")
    if "transfer-encoding" in fields:
        coding = fields["transfer-encoding"]
        if text is not None or not http11 or coding.lower() != "chunked":
            raise NetworkError(f"bad framing: {origin} sent Transfer-Encoding {coding!r} beside what contradicts it")
        return None, True
    if text is None:
        return None, False
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise NetworkError(f"bad framing: {origin} sent Content-Length {text!r}")
    return int(text), False
