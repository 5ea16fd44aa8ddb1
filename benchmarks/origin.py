"""A small, fast origin that speaks enough of S3 for the PUT and LIST rows: one thread, epoll, replies
made beforehand.

What it does not do: it checks no signature and no checksum, stores nothing except under a `check/`
prefix, lists the same keys whatever it is asked, knows neither ranges nor deletes, and speaks plain
HTTP/1.1. Bodies are counted and thrown away inside the kernel (`MSG_TRUNC`), so it costs less than the
client that sends them.
Invariant: a request is answered only after the last byte of its body has come.
"""

from __future__ import annotations

import json
import mmap
import re
import select
import socket
import sys
from dataclasses import dataclass, field

from benchmarks import replies
from benchmarks.chunked import Chunks, unchunk

BUCKET = "bucket"
LIST_PREFIX = "listed/"
CHECK_PREFIX = "check/"
COUNTERS = "/-/counters"

_LARGEST_HEAD = 64 << 10
# A head with a small body comes in one read; of a large body only its first bytes are copied.
_FIRST_READ = 16 << 10
# Never touched, so it takes no memory: with MSG_TRUNC the kernel wants only its length.
_NOWHERE = mmap.mmap(-1, 64 << 20)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d+)")
_DECODED = re.compile(rb"\nx-amz-decoded-content-length:[ \t]*(\d+)")
_PART = re.compile(r"partNumber=(\d+)")


@dataclass(slots=True)
class Connection:
    """What is known of one client: the head that is coming in, the body that is still to come, the reply."""

    sock: socket.socket
    pending: bytes = b""
    left: int = 0
    chunks: Chunks | None = None
    kept: bytearray | None = None
    encoded: bool = False
    method: str = ""
    target: str = ""
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))


class Origin:
    """The server. `requests` and `received` count PUTs and the bytes of objects in them."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._pages = replies.pages(BUCKET, LIST_PREFIX)
        self._kept: dict[str, dict[int, bytes]] = {}
        self._scratch = bytearray(_FIRST_READ)
        self.requests = 0
        self.received = 0

    def serve(self, until: int) -> None:
        """Answer until the file descriptor `until` becomes readable or is closed."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(until, select.EPOLLIN)
        while True:
            for ready, events in self._epoll.poll():
                if ready == until:
                    return
                if ready == self._listener.fileno():
                    self._accept()
                else:
                    self._turn(self._connections[ready], events)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock.fileno()] = Connection(sock)
        self._epoll.register(sock, select.EPOLLIN)

    def _turn(self, client: Connection, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._send(client, client.unsent)
                self._advance(client)
            else:
                self._receive(client)
        except (ConnectionError, ValueError) as problem:
            if isinstance(problem, ValueError):
                print(f"closed a connection: {problem}", file=sys.stderr)
            self._close(client)

    def _close(self, client: Connection) -> None:
        self._epoll.unregister(client.sock)
        del self._connections[client.sock.fileno()]
        client.sock.close()

    def _receive(self, client: Connection) -> None:
        if client.left and client.kept is None:
            size = min(client.left, len(_NOWHERE))
            taken = client.sock.recv_into(_NOWHERE, size, socket.MSG_TRUNC)
            client.left -= taken
        else:
            taken = client.sock.recv_into(self._scratch)
            client.pending += self._scratch[:taken]
        if not taken:
            raise ConnectionResetError("the client has closed the connection")
        self._advance(client)

    def _advance(self, client: Connection) -> None:
        """Go through what has come: bodies, and the requests that follow them, while replies can be sent."""
        while not client.unsent:
            if not client.method and not self._start(client):
                return
            if not self._body_is_here(client):
                return
            method, client.method = client.method, ""
            self._send(client, memoryview(self._answer(client, method)))

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
        fields = fields.lower()
        length = _LENGTH.search(fields)
        client.left = int(length[1]) if length else 0
        client.chunks = Chunks() if b"\ntransfer-encoding: chunked" in fields else None
        client.kept = bytearray() if f"/{CHECK_PREFIX}" in client.target else None
        client.encoded = b"aws-chunked" in fields
        if client.method == "PUT":
            decoded = _DECODED.search(fields)
            self.requests += 1
            self.received += int(decoded[1]) if decoded else client.left
        if b"\nexpect: 100-continue" in fields:
            client.sock.send(replies.CONTINUE)
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
            self._keep(client, path, query)
            return replies.STORED
        if method == "GET":
            return self._get(path, query)
        bucket, _, key = path.lstrip("/").partition("/")
        if method == "POST" and query.startswith("uploads"):
            self._kept.pop(path, None)
            return replies.initiated(bucket, key)
        if method == "POST" and "uploadId=" in query:
            return replies.completed(bucket, key)
        if method == "DELETE" and "uploadId=" in query:
            return replies.NO_CONTENT
        return replies.refused(f"{method} {client.target}")

    def _keep(self, client: Connection, path: str, query: str) -> None:
        if client.kept is None:
            return
        body = bytes(client.kept)
        part = _PART.search(query)
        parts = self._kept.setdefault(path, {}) if part else {}
        parts[int(part[1]) if part else 1] = unchunk(body) if client.encoded else body
        self._kept[path] = parts

    def _get(self, path: str, query: str) -> bytes:
        if "list-type=2" in query:
            token = re.search(r"continuation-token=([^&]*)", query)
            return self._pages.get(token[1] if token else "") or replies.refused(f"GET {path}?{query}")
        if path == COUNTERS:
            counters = {"requests": self.requests, "received": self.received}
            return replies.reply("200 OK", json.dumps(counters).encode(), kind="application/json")
        if path in self._kept:
            parts = self._kept[path]
            whole = b"".join(parts[number] for number in sorted(parts))
            return replies.reply("200 OK", whole, kind="application/octet-stream")
        return replies.refused(f"GET {path}")

    def _send(self, client: Connection, data: memoryview) -> None:
        """Send what fits now. What does not waits for its turn, and the client's next requests behind it."""
        waited = bool(client.unsent)
        try:
            client.unsent = data[client.sock.send(data) :]
        except BlockingIOError:
            client.unsent = data
        if bool(client.unsent) != waited:
            self._epoll.modify(client.sock, select.EPOLLOUT if client.unsent else select.EPOLLIN)


def main() -> None:
    """Serve on a free port of loopback, printed on the first line, until standard input ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        origin = Origin(listener)
        print(listener.getsockname()[1], flush=True)
        origin.serve(sys.stdin.fileno())


if __name__ == "__main__":
    main()
