"""A small, fast origin that speaks enough of S3 for the PUT, LIST and latency rows and for saving checkpoints: one
thread, epoll, replies made beforehand.

What it does not do: it checks no signature and no checksum, keeps nothing but the sizes of objects except under a
`check/` prefix, lists the same keys whatever it is asked, and speaks HTTP/1.1 alone. Bodies are
counted and thrown away, without TLS inside the kernel (`MSG_TRUNC`), so it costs less than the client
that sends them. With a delay each answer waits for its turn in a queue: one read and one write a request,
where a relay in front of another server would take four, and two processes.
Invariant: a request is answered only after the last byte of its body has come, and the delay has passed.
"""

from __future__ import annotations

import json
import re
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import replies
from benchmarks.chunked import Chunks, unchunk
from benchmarks.process import Plan
from benchmarks.replies import BUCKET, CHECK_PREFIX, COUNTERS, LIST_PREFIX
from benchmarks.streams import Plain, Sealed, Stream

_LARGEST_HEAD = 64 << 10
# A head with a small body comes in one read; of a large body only its first bytes are copied.
_FIRST_READ = 16 << 10
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d+)")
_DECODED = re.compile(rb"\nx-amz-decoded-content-length:[ \t]*(\d+)")
_RANGE = re.compile(rb"\nrange:[ \t]*bytes=(\d+)-(\d*)")
_SOURCE = re.compile(rb"\n(?i:x-amz-copy-source):[ \t]*/?([^\r]+)")
_PART = re.compile(r"partNumber=(\d+)")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was put: its size, and its bytes where they are kept."""

    size: int
    data: bytes | None


def _joined(parts: Mapping[int, Stored]) -> Stored:
    """Return the object that these parts make."""
    found = [parts[number] for number in sorted(parts)]
    kept = [each.data for each in found if each.data is not None]
    return Stored(sum(each.size for each in found), b"".join(kept) if len(kept) == len(found) else None)


@dataclass(slots=True)
class Connection:
    """What is known of one client: the head that is coming in, the body that is still to come, the reply.

    `left` counts the bytes of the body that are still to come, `size` those of the object in it. `source` is the path
    of what is to be copied instead of a body.
    `waiting` is True while a reply waits for its time, `closed` once nobody wants it any more.
    """

    stream: Stream
    number: int
    pending: bytes = b""
    left: int = 0
    size: int = 0
    chunks: Chunks | None = None
    kept: bytearray | None = None
    encoded: bool = False
    method: str = ""
    target: str = ""
    source: str = ""
    wanted: tuple[int, int | None] | None = None
    waiting: bool = False
    closed: bool = False
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))


class Origin:
    """The server. `requests` and `received` count PUTs that came to their end and the bytes of objects in them."""

    def __init__(self, listener: socket.socket, plan: Plan) -> None:
        self._listener = listener
        self._delay = plan.delay
        self._context = _context(plan.certificate)
        self._tree = Path(plan.tree) if plan.tree else None
        self._objects: dict[str, bytes] = {}
        self._due: deque[tuple[float, Connection, bytes]] = deque()
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._pages = replies.pages(BUCKET, LIST_PREFIX)
        self._stored: dict[str, Stored] = {}
        self._uploads: dict[str, dict[int, Stored]] = {}
        self._scratch = bytearray(_FIRST_READ)
        self.requests = 0
        self.received = 0

    def serve(self, until: int) -> None:
        """Answer until the file descriptor `until` becomes readable or is closed."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(until, select.EPOLLIN)
        while True:
            for ready, events in self._epoll.poll(self._patience()):
                if ready == until:
                    return
                if ready == self._listener.fileno():
                    self._accept()
                elif ready in self._connections:
                    self._turn(self._connections[ready], events)
            while self._due and self._due[0][0] <= time.monotonic():
                self._release(*self._due.popleft()[1:])

    def _patience(self) -> float | None:
        """Return the seconds until the next reply is due, which epoll rounds up to whole milliseconds."""
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = Sealed(sock, self._context) if self._context else Plain(sock)
        number = stream.fileno()
        self._connections[number] = Connection(stream, number)
        self._epoll.register(number, select.EPOLLIN)

    def _turn(self, client: Connection, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._send(client, client.unsent)
                self._advance(client)
            else:
                self._receive(client)
            while client.stream.holds_more() and not client.unsent:
                self._receive(client)
        except BlockingIOError:
            return
        except (ConnectionError, ValueError) as problem:
            if isinstance(problem, ValueError):
                print(f"closed a connection: {problem}", file=sys.stderr)
            self._close(client)

    def _close(self, client: Connection) -> None:
        self._epoll.unregister(client.number)
        del self._connections[client.number]
        client.closed = True
        client.stream.close()

    def _receive(self, client: Connection) -> None:
        if client.left and client.kept is None:
            taken = client.stream.drop(client.left)
            client.left -= taken
        else:
            taken = client.stream.receive(self._scratch)
            client.pending += self._scratch[:taken]
        if not taken:
            raise ConnectionResetError("the client has closed the connection")
        self._advance(client)

    def _advance(self, client: Connection) -> None:
        """Go through what has come: bodies, and the requests that follow them, while replies can be sent."""
        while not client.unsent and not client.waiting:
            if not client.method and not self._start(client):
                return
            if not self._body_is_here(client):
                return
            method, client.method = client.method, ""
            reply = self._answer(client, method)
            if self._delay:
                client.waiting = True
                self._due.append((time.monotonic() + self._delay, client, reply))
            else:
                self._send(client, memoryview(reply))

    def _release(self, client: Connection, reply: bytes) -> None:
        """Send a reply whose time has come."""
        client.waiting = False
        if client.closed:
            return
        try:
            self._send(client, memoryview(reply))
            self._advance(client)
        except ConnectionError:
            self._close(client)

    def _start(self, client: Connection) -> bool:
        """Read a head, if the whole of it is here."""
        head, found, rest = client.pending.partition(b"\r\n\r\n")
        if not found:
            if len(head) > _LARGEST_HEAD:
                raise ValueError(f"a head of more than {_LARGEST_HEAD} bytes")
            return False
        client.pending = rest
        line, _, fields = head.partition(b"\r")
        client.method, client.target, _ = line.decode("latin-1").split(" ", 2)
        source = _SOURCE.search(fields)
        client.source = f"/{source[1].decode('latin-1')}" if source else ""
        fields = fields.lower()
        length = _LENGTH.search(fields)
        client.left = int(length[1]) if length else 0
        client.kept = bytearray() if f"/{CHECK_PREFIX}" in client.target else None
        chunked = b"\ntransfer-encoding: chunked" in fields
        client.chunks = Chunks(keep=client.kept is not None) if chunked else None
        client.encoded = b"aws-chunked" in fields
        wanted = _RANGE.search(fields)
        client.wanted = (int(wanted[1]), int(wanted[2]) if wanted[2] else None) if wanted else None
        decoded = _DECODED.search(fields)
        client.size = int(decoded[1]) if decoded else client.left
        if b"\nexpect: 100-continue" in fields:
            client.stream.send(memoryview(replies.CONTINUE))
        return True

    def _body_is_here(self, client: Connection) -> bool:
        if client.chunks is not None:
            return self._take_chunks(client, client.chunks)
        if client.left and client.pending:
            taken = client.pending[: client.left]
            client.pending = client.pending[len(taken) :]
            client.left -= len(taken)
            if client.kept is not None:
                client.kept += taken
        return client.left == 0

    def _take_chunks(self, client: Connection, chunks: Chunks) -> bool:
        rest = chunks.feed(client.pending)
        client.pending = rest or b""
        if rest is None:
            return False
        client.kept = chunks.data if client.kept is not None else None
        return True

    def _answer(self, client: Connection, method: str) -> bytes:
        path, _, query = client.target.partition("?")
        if method == "PUT":
            return self._copy(client.source, path) if client.source else self._put(client, path, query)
        if method in ("GET", "HEAD") and self._tree is not None:
            return self._object(client, path, body=method == "GET")
        if method == "GET":
            return self._get(client, path, query)
        if method == "HEAD":
            found = self._stored.get(path)
            return replies.present(found.size) if found else replies.missing(path, body=False)
        if method == "POST":
            return self._post(client, path, query)
        if method == "DELETE":
            (self._uploads if "uploadId=" in query else self._stored).pop(path, None)
            return replies.NO_CONTENT
        return replies.refused(f"{method} {client.target}")

    def _post(self, client: Connection, path: str, query: str) -> bytes:
        bucket, _, key = path.lstrip("/").partition("/")
        if query.startswith("uploads"):
            self._uploads[path] = {}
            return replies.initiated(bucket, key)
        if "uploadId=" in query:
            self._stored[path] = _joined(self._uploads.pop(path, {}))
            return replies.completed(bucket, key)
        return replies.refused(f"POST {client.target}")

    def _put(self, client: Connection, path: str, query: str) -> bytes:
        """Count an object or a part, and keep its bytes if they are to be kept."""
        self.requests += 1
        self.received += client.size
        data = None if client.kept is None else bytes(client.kept)
        if data is not None and client.encoded:
            data = unchunk(data)
        stored = Stored(client.size if data is None else len(data), data)
        part = _PART.search(query)
        if part:
            self._uploads.setdefault(path, {})[int(part[1])] = stored
        else:
            self._stored[path] = stored
        return replies.STORED

    def _copy(self, source: str, path: str) -> bytes:
        if source not in self._stored:
            return replies.missing(source)
        self._stored[path] = self._stored[source]
        return replies.COPIED

    def _object(self, client: Connection, path: str, *, body: bool) -> bytes:
        """Return the answer with an object of the tree, or the part of it that the request asks for."""
        if path not in self._objects:
            file = Path(f"{self._tree}{path}")
            if ".." in path or not file.is_file():
                return replies.missing(path, body=body)
            self._objects[path] = file.read_bytes()
        return replies.object_of(self._objects[path], client.wanted, body=body)

    def _get(self, client: Connection, path: str, query: str) -> bytes:
        if "list-type=2" in query:
            token = re.search(r"continuation-token=([^&]*)", query)
            return self._pages.get(token[1] if token else "") or replies.refused(f"GET {path}?{query}")
        if path == COUNTERS:
            counters = {"requests": self.requests, "received": self.received}
            return replies.reply("200 OK", json.dumps(counters).encode(), kind="application/json")
        found = self._stored.get(path)
        if found is not None and found.data is not None:
            return replies.object_of(found.data, client.wanted, body=True)
        return replies.refused(f"GET {path}")

    def _send(self, client: Connection, data: memoryview) -> None:
        """Send what fits now. What does not waits for its turn, and the client's next requests behind it."""
        waited = bool(client.unsent)
        try:
            client.unsent = data[client.stream.send(data) :]
        except BlockingIOError:
            client.unsent = data
        if bool(client.unsent) != waited:
            self._epoll.modify(client.number, select.EPOLLOUT if client.unsent else select.EPOLLIN)


def _context(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def main() -> None:
    """Serve as the one argument says, in JSON, on a free port of loopback, printed on the first line.

    The end of standard input ends it.
    """
    plan = Plan(**json.loads(sys.argv[1]))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        origin = Origin(listener, plan)
        print(listener.getsockname()[1], flush=True)
        origin.serve(sys.stdin.fileno())


if __name__ == "__main__":
    main()
