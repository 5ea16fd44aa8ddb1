"""A server that answers as a test says: byte for byte, with the faults that real servers have once a year.

It speaks raw TCP from threads of the test process. The script is a function from a request to what is sent back: bytes,
and between them `CLOSE`, `RESET`, `STALL` or a `Drip`. A connection's thread ends when its client closes.
"""

import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto


class Fault(Enum):
    """What happens to the connection instead of more bytes."""

    CLOSE = auto()
    RESET = auto()
    STALL = auto()


CLOSE, RESET, STALL = Fault.CLOSE, Fault.RESET, Fault.STALL


@dataclass(frozen=True, slots=True)
class Drip:
    """Bytes that come one by one, `seconds` apart."""

    data: bytes
    seconds: float


Piece = bytes | Fault | Drip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: `number` counts all requests, `connection` the connections, both from 0.

    `fields` have lower-case names; `head` is the request line and the fields as they were on the wire.
    """

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    number: int
    connection: int
    head: bytes = b""

    @property
    def range(self) -> tuple[int, int] | None:
        """The first and the last byte that the request asks for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.fields.get("range", ""))
        return (int(match[1]), int(match[2])) if match else None


Script = Callable[[Asked], Iterable[Piece]]
Refusal = Callable[[Asked], Iterable[Piece] | None]
"""What is answered when only the head of a request has come; None has its body received first."""


@dataclass
class ScriptedServer:
    """A running server; `asked` has the requests so far, in order of arrival, `said` counts the pieces sent."""

    port: int
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list[Asked])
    connections: int = 0
    said: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    ending: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list[threading.Thread])
    tls: ssl.SSLContext | None = None
    refusal: Refusal | None = None

    @property
    def endpoint(self) -> str:
        """The URL to set as endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def note(self, connection: int, head: bytes, body: bytes) -> Asked:
        """Add a request to the record."""
        with self.lock:
            request = _parse(head, body, len(self.asked), connection)
            self.asked.append(request)
        return request

    def still_connected(self) -> int:
        """Return how many connections their clients have not closed; those that are closed have ended by then."""
        end = time.monotonic() + 1
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))
        self.threads[:] = [thread for thread in self.threads if thread.is_alive()]
        return len(self.threads)


def _parse(head: bytes, body: bytes, number: int, connection: int) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [line.partition(":") for line in lines]
    fields = {name.lower(): value.strip() for name, _, value in pairs}
    return Asked(method, target, fields, body, number, connection, head)


@contextmanager
def scripted(
    script: Script, tls: ssl.SSLContext | None = None, *, refusal: Refusal | None = None
) -> Generator[ScriptedServer]:
    """Serve `script` until the block ends, over TLS if a context is given."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    scheme = "http" if tls is None else "https"
    server = ScriptedServer(listener.getsockname()[1], scheme=scheme, tls=tls, refusal=refusal)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            number, server.connections = server.connections, server.connections + 1
            thread = threading.Thread(target=_welcome, args=(server, script, sock, number), daemon=True)
            server.threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.ending.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for thread in server.threads:
            thread.join(5)


def _welcome(server: ScriptedServer, script: Script, sock: socket.socket, number: int) -> None:
    if server.tls is not None:
        sock.settimeout(5)
        try:
            sock = server.tls.wrap_socket(sock, server_side=True)
        except OSError:  # the client did not like the certificate
            sock.close()
            return
    _serve(server, script, sock, number)


def _serve(server: ScriptedServer, script: Script, sock: socket.socket, number: int) -> None:
    sock.settimeout(0.2)
    rest = b""
    with sock:
        while not server.ending.is_set():
            try:
                head, rest = _receive_head(server, sock, rest)
                refused = server.refusal(_parse(head, b"", -1, number)) if server.refusal is not None else None
                if refused is not None:
                    server.note(number, head, b"")
                    _answer(server, sock, refused)
                    return
                body, rest = _receive_body(server, sock, head, rest)
            except (OSError, EOFError):
                return
            if not _answer(server, sock, script(server.note(number, head, body))):
                return


def _receive_head(server: ScriptedServer, sock: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in data:
        data += _some(server, sock)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _receive_body(server: ScriptedServer, sock: socket.socket, head: bytes, rest: bytes) -> tuple[bytes, bytes]:
    match = re.search(rb"(?i)\r\ncontent-length:[ \t]*(\d+)", head)
    length = int(match[1]) if match else 0
    if re.search(rb"(?i)\r\nexpect:[ \t]*100-continue", head):
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    data = bytearray(rest)
    while len(data) < length:
        data += _some(server, sock)
    return bytes(data[:length]), bytes(data[length:])


def _some(server: ScriptedServer, sock: socket.socket) -> bytes:
    while not server.ending.is_set():
        try:
            data = sock.recv(1 << 16)
        except TimeoutError:
            continue
        if data:
            return data
        break
    raise EOFError


def _answer(server: ScriptedServer, sock: socket.socket, pieces: Iterable[Piece]) -> bool:
    """Send an answer; False when the connection ends with it."""
    for piece in pieces:
        if isinstance(piece, Fault):
            _end(server, sock, piece)
            return False
        try:
            _say(server, sock, piece)
        except OSError:
            return False
    return True


def _say(server: ScriptedServer, sock: socket.socket, piece: bytes | Drip) -> None:
    sock.settimeout(5)
    if isinstance(piece, bytes):
        sock.sendall(piece)
    else:
        for at in range(len(piece.data)):
            if server.ending.wait(piece.seconds):
                return
            sock.sendall(piece.data[at : at + 1])
    server.said += 1
    sock.settimeout(0.2)


def _end(server: ScriptedServer, sock: socket.socket, fault: Fault) -> None:
    if fault is STALL:
        _await_close(server, sock)
    if fault is RESET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _await_close(server: ScriptedServer, sock: socket.socket) -> None:
    """Say and read nothing any more, until the client is gone."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    while not server.ending.is_set() and not poll.poll(200):
        pass


def response(status: int, body: bytes = b"", **fields: str) -> bytes:
    """Return a whole response; a field `Content_Length` replaces the true one."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {fields.pop('Content_Length', len(body))}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def part(request: Asked, content: bytes, **fields: str) -> bytes:
    """Return what a well-behaved server answers to a GET with a Range: 206, 416, or 200 without one."""
    fields = {"ETag": '"one"', **fields}
    if request.method == "HEAD":
        return response(200, b"", **{**fields, "Content_Length": str(len(content))})
    if request.range is None:
        return response(200, content, **fields)
    first, last = request.range
    if first >= len(content):
        return response(416, Content_Range=f"bytes */{len(content)}")
    piece = content[first : last + 1]
    fields["Content_Range"] = f"bytes {first}-{first + len(piece) - 1}/{len(content)}"
    return response(206, piece, **fields)
