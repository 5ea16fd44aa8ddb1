"""An HTTP proxy for tests: tunnels, forwards, asks for a password, fails as it is told.

It speaks raw TCP from threads of the test process. What it forwards it rewrites as RFC 9112 3.2.2 says: the origin gets
the path alone, and nothing of what was meant for the proxy. The invariant: whatever reaches an origin is in `asked`.
"""

import re
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OWN = (b"proxy-authorization:", b"proxy-connection:")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as the proxy got it; `number` counts from 0."""

    method: str
    target: str
    head: bytes
    number: int

    @property
    def authority(self) -> tuple[str, int]:
        """Host and port of where the request is to go."""
        rest = self.target if self.method == "CONNECT" else self.target.removeprefix("http://").partition("/")[0]
        host, _, port = rest.rpartition(":") if re.search(r":\d+$", rest) else (rest, "", "80")
        return host.strip("[]"), int(port)

    @property
    def forwarded(self) -> bytes:
        """The head as the origin gets it."""
        _, _, path = self.target.removeprefix("http://").partition("/")
        lines = [line for line in self.head.split(b"\r\n")[1:] if not line.lower().startswith(_OWN)]
        return b"\r\n".join([f"{self.method} /{path} HTTP/1.1".encode(), *lines])


Refusal = Callable[[Ask], bytes | None]
"""What the proxy answers itself; None lets the request through."""


@dataclass
class ProxyServer:
    """A running proxy. `asked` has what it was asked, in order of arrival; `password` is "user:password" or None."""

    port: int
    password: str | None
    refusal: Refusal
    asked: list[Ask] = field(default_factory=list[Ask])
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    sockets: list[socket.socket] = field(default_factory=list[socket.socket])

    @property
    def url(self) -> str:
        """The URL to set as proxy, without a password."""
        return f"http://127.0.0.1:{self.port}"

    def note(self, head: bytes) -> Ask:
        """Add a request to the record."""
        method, target, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
        with self.lock:
            ask = Ask(method, target, head, len(self.asked))
            self.asked.append(ask)
        return ask

    def keep(self, sock: socket.socket) -> socket.socket:
        """Remember a socket that the end of the server closes."""
        with self.lock:
            self.sockets.append(sock)
        return sock

    def admits(self, ask: Ask) -> bool:
        """Tell whether a request carries the password."""
        if self.password is None:
            return True
        wanted = b"proxy-authorization: Basic " + b64encode(self.password.encode())
        return wanted in ask.head.split(b"\r\n")


@contextmanager
def proxying(*, password: str | None = None, refusal: Refusal = lambda ask: None) -> Generator[ProxyServer]:
    """Run a proxy until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = ProxyServer(listener.getsockname()[1], password, refusal)
    with _accepting(listener, server, lambda sock: _serve(server, sock)):
        yield server


@contextmanager
def relaying(host: str, port: int) -> Generator[int]:
    """Pass on every connection to a port of `host` to `port` of 127.0.0.1; yields the port of `host`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=128)
    server = ProxyServer(listener.getsockname()[1], None, lambda ask: None)

    def serve(sock: socket.socket) -> None:
        with suppress(OSError):
            _join(sock, server.keep(socket.create_connection(("127.0.0.1", port), 5)))

    with _accepting(listener, server, serve):
        yield server.port


@contextmanager
def _accepting(listener: socket.socket, server: ProxyServer, serve: Callable[[socket.socket], None]) -> Generator[None]:
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            thread = threading.Thread(target=serve, args=(server.keep(sock),), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for sock in server.sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
        for sock in server.sockets:
            sock.close()


def _serve(server: ProxyServer, sock: socket.socket) -> None:
    with suppress(OSError, EOFError):
        _converse(server, sock)
    sock.close()


def _converse(server: ProxyServer, sock: socket.socket) -> None:
    upstream: socket.socket | None = None
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            data += _some(sock)
        head, _, data = data.partition(b"\r\n\r\n")
        ask = server.note(head)
        own = server.refusal(ask) if server.admits(ask) else b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"
        if own is not None:
            sock.sendall(own)
            return
        if ask.method == "CONNECT":
            tunnel = server.keep(socket.create_connection(ask.authority, 5))
            sock.sendall(ESTABLISHED)
            tunnel.sendall(data)
            _join(sock, tunnel)
            return
        if upstream is None:
            upstream = server.keep(socket.create_connection(ask.authority, 5))
            threading.Thread(target=_pipe, args=(upstream, sock), daemon=True).start()
        match = _LENGTH.search(head)
        length = int(match[1]) if match else 0
        while len(data) < length:
            data += _some(sock)
        upstream.sendall(ask.forwarded + b"\r\n\r\n" + data[:length])
        data = data[length:]


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes in both directions until one side ends."""
    back = threading.Thread(target=_pipe, args=(other, one), daemon=True)
    back.start()
    _pipe(one, other)
    back.join(5)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    source.settimeout(None)
    with suppress(OSError, EOFError):
        while True:
            target.sendall(_some(source))
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 16)
    if not data:
        raise EOFError
    return data
