"""A server that answers as a test says: byte for byte, with the faults that real servers have once a year.

It speaks raw TCP from threads of the test process. The script is a function from a request to what is sent back: bytes,
and between them `CLOSE`, `RESET` or `STALL`.
"""

import re
import socket
import ssl
import struct
import threading
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
class Asked:
    """A request as it came: `number` counts all requests, `connection` the connections, both from 0."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    number: int
    connection: int

    @property
    def range(self) -> tuple[int, int] | None:
        """The first and the last byte that the request asks for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.fields.get("range", ""))
        return (int(match[1]), int(match[2])) if match else None


Script = Callable[[Asked], Iterable[bytes | Fault]]


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

    @property
    def endpoint(self) -> str:
        """The URL to set as endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def note(self, connection: int, head: bytes, body: bytes) -> Asked:
        """Add a request to the record."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = dict(line.split(": ", 1) for line in lines)
        with self.lock:
            request = Asked(method, target, fields, body, len(self.asked), connection)
            self.asked.append(request)
        return request


@contextmanager
def scripted(script: Script, tls: ssl.SSLContext | None = None) -> Generator[ScriptedServer]:
    """Serve `script` until the block ends, over TLS if a context is given."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = ScriptedServer(listener.getsockname()[1], scheme="http" if tls is None else "https")
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            number, server.connections = server.connections, server.connections + 1
            thread = threading.Thread(target=_welcome, args=(server, script, sock, number, tls), daemon=True)
            threads.append(thread)
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
        for thread in threads:
            thread.join(5)


def _welcome(
    server: ScriptedServer, script: Script, sock: socket.socket, number: int, tls: ssl.SSLContext | None
) -> None:
    if tls is not None:
        sock.settimeout(5)
        try:
            sock = tls.wrap_socket(sock, server_side=True)
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
                head, body, rest = _receive(server, sock, rest)
            except (OSError, EOFError):
                return
            if not _answer(server, sock, script(server.note(number, head, body))):
                return


def _receive(server: ScriptedServer, sock: socket.socket, data: bytes) -> tuple[bytes, bytes, bytes]:
    while b"\r\n\r\n" not in data:
        data += _some(server, sock)
    head, _, data = data.partition(b"\r\n\r\n")
    match = re.search(rb"content-length: (\d+)", head)
    length = int(match[1]) if match else 0
    while len(data) < length:
        data += _some(server, sock)
    return head, data[:length], data[length:]


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


def _answer(server: ScriptedServer, sock: socket.socket, pieces: Iterable[bytes | Fault]) -> bool:
    """Send an answer; False when the connection ends with it."""
    for piece in pieces:
        if isinstance(piece, bytes):
            try:
                sock.settimeout(5)
                sock.sendall(piece)
                server.said += 1
                sock.settimeout(0.2)
            except OSError:
                return False
            continue
        if piece is STALL:
            server.ending.wait()
        if piece is RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return True


def response(status: int, body: bytes = b"", **fields: str) -> bytes:
    """Return a whole response; a field `Content_Length` replaces the true one."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {fields.pop('Content_Length', len(body))}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def part(request: Asked, content: bytes, **fields: str) -> bytes:
    """Return what a well-behaved server answers to a GET with a Range: 206, 416, or 200 without one."""
    fields = {"ETag": '"one"', **fields}
    if request.range is None:
        return response(200, content, **fields)
    first, last = request.range
    if first >= len(content):
        return response(416, Content_Range=f"bytes */{len(content)}")
    piece = content[first : last + 1]
    fields["Content_Range"] = f"bytes {first}-{first + len(piece) - 1}/{len(content)}"
    return response(206, piece, **fields)
