"""Which requests go through a proxy, and how one is asked.

To an https origin a proxy opens a tunnel (CONNECT); the TLS inside it is with the origin. A request to an http origin
is handed to the proxy with its whole URL instead: as they are installed, proxies refuse tunnels to other ports than
443. The signature covers path and Host, which are the same in both forms. A proxy's password is in no message.
"""

from __future__ import annotations

import base64
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from s3dlio._version import __version__
from s3dlio.errors import (
    AccessDeniedError,
    CredentialsError,
    DeadlineExceededError,
    InvalidUriError,
    NetworkError,
    RequestError,
    S3dlioError,
)
from s3dlio.http.bypass import Bypass
from s3dlio.http.wire import SCRATCH, Exchange, Head, Origin

if TYPE_CHECKING:
    from s3dlio.config import Settings

_PASSING = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy, and its header field with the password, if it wants one."""

    origin: Origin
    authorization: bytes = field(default=b"", repr=False)

    def tunnel(self, sock: socket.socket, origin: Origin, timeout: float) -> None:
        """Have the proxy connect `sock` to an origin, within `timeout` seconds.

        Raises:
            CredentialsError: the proxy wants a user name and a password, or others.
            AccessDeniedError: the proxy does not allow this.
            NetworkError: the proxy cannot reach the origin now, or broke off.
        """
        target = f"{_bracketed(origin.host)}:{origin.port}"
        lines = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nuser-agent: s3dlio/{__version__}\r\n"
        exchange = Exchange(self.origin, lines.encode() + self.authorization + b"\r\n", _Nothing(), heads_only=True)
        try:
            _exchange(sock, exchange, timeout)
        except S3dlioError:
            raise
        except TimeoutError as problem:
            raise DeadlineExceededError(f"the proxy {self} did not answer within {timeout:g} s") from problem
        except OSError as problem:
            raise NetworkError(f"the proxy {self} broke off: {problem.strerror}") from problem
        assert exchange.head is not None
        self.check(exchange.head.status, target)

    def address(self, request: bytes, origin: Origin) -> bytes:
        """Return a request as the proxy takes it: with the whole URL, and with what the proxy wants to know."""
        line, _, fields = request.partition(b"\r\n")
        method, _, path = line.partition(b" ")
        return b"%s http://%s%s\r\n%s%s" % (method, authority(origin).encode(), path, self.authorization, fields)

    def check(self, status: int, target: str) -> None:
        """Raise what a status of the proxy's own means."""
        if status < 300:
            return
        if status == 407:
            raise CredentialsError(f"the proxy {self} {self._wanted()}", status=407)
        text = f"the proxy {self} does not connect to {target}: it answered {status}"
        if status in _PASSING:
            raise NetworkError(text, status=status)
        kind = AccessDeniedError if status == 403 else RequestError
        raise kind(f"{text}; see its rules, or name the host in no_proxy", status=status)

    def _wanted(self) -> str:
        if self.authorization:
            return "does not accept the user name and the password of its URL (407)"
        return "wants a user name and a password (407): put them into its URL, http://user:password@host:port"

    def __str__(self) -> str:
        """Return the proxy as it stands in messages."""
        return f"http://{authority(self.origin)}"


class Proxies:
    """The proxies by scheme of the origin, and the hosts that are reached without."""

    __slots__ = ("_by_scheme", "_bypass", "_known")

    def __init__(self, by_scheme: dict[str, Proxy], bypass: str) -> None:
        self._by_scheme = by_scheme
        self._bypass = Bypass(bypass)
        self._known: dict[Origin, Proxy | None] = {}

    def choose(self, origin: Origin) -> Proxy | None:
        """Return the proxy for an origin, None to go there directly."""
        if origin not in self._known:
            proxy = self._by_scheme.get(origin.scheme)
            self._known[origin] = None if self._bypass.covers(origin.host, origin.port) else proxy
        return self._known[origin]

    def address(self, exchange: Exchange) -> None:
        """Write a request that a proxy hands on in the form that it takes."""
        if exchange.origin.scheme == "http" and (proxy := self.choose(exchange.origin)) is not None:
            exchange.request = proxy.address(exchange.request, exchange.origin)

    def check(self, exchange: Exchange) -> None:
        """Raise the refusal of a proxy that a request was handed to: nobody else answers 407."""
        assert exchange.head is not None
        if exchange.head.status == 407 and exchange.origin.scheme == "http":
            proxy = self.choose(exchange.origin)
            if proxy is not None:
                proxy.check(407, authority(exchange.origin))


def proxies_of(settings: Settings) -> Proxies | None:
    """Return the proxies of the settings, None where there are none.

    Raises:
        InvalidUriError: what stands for a proxy is none that can be used.
    """
    given = {"http": settings.http_proxy, "https": settings.https_proxy}
    if settings.proxy is not None:
        given = dict.fromkeys(given, settings.proxy)
    names = {scheme: "proxy" if settings.proxy is not None else f"{scheme}_proxy" for scheme in given}
    found = {scheme: _parse(names[scheme], url) for scheme, url in given.items() if url}
    return Proxies(found, settings.no_proxy or "") if found else None


def authority(origin: Origin) -> str:
    """Return host and port as they stand in a URL: IPv6 in brackets, the scheme's own port left out."""
    default = 443 if origin.scheme == "https" else 80
    host = _bracketed(origin.host)
    return host if origin.port == default else f"{host}:{origin.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parse(name: str, url: str) -> Proxy:
    # Nothing of the URL is repeated in an error: a password may stand anywhere in one that is not well formed.
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme in ("https", "socks", "socks4", "socks4a", "socks5", "socks5h"):
        text = "which is not supported: name one that speaks plain HTTP, http://host:port"
        raise InvalidUriError(f"the setting {name} names a proxy of the kind {parts.scheme}://, {text}")
    if parts.scheme != "http" or not host or not host.isascii() or not host.isprintable() or " " in host:
        raise InvalidUriError(f"the setting {name} is not the URL of a proxy: write http://[user:password@]host:port")
    return Proxy(Origin("http", host, port or 80), _authorization(parts))


def _authorization(parts: SplitResult) -> bytes:
    if parts.username is None:
        return b""
    user, password = unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or "")
    return b"proxy-authorization: Basic %s\r\n" % base64.b64encode(b"%s:%s" % (user, password))


class _Nothing:
    """Takes an answer without a body."""

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        return None


def _exchange(sock: socket.socket, exchange: Exchange, timeout: float) -> None:
    scratch = bytearray(SCRATCH)
    exchange.use(scratch, memoryview(scratch))
    end = time.monotonic() + timeout
    sock.settimeout(timeout)
    sock.sendall(exchange.request)
    while not exchange.done:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        count = sock.recv_into(exchange.target())
        if count:
            exchange.advance(count)
        else:
            exchange.end()
