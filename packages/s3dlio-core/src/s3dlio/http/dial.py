"""How a connection comes about: address, proxy, TLS, socket options, each with its error.

TLS 1.2 at least, the host's name checked, authorities of the system or of the bundle that is named; nothing in the
environment turns that off.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from s3dlio.errors import CertificateError, DeadlineExceededError, NetworkError
from s3dlio.http.connection import SLICE, Connection, TlsConnection
from s3dlio.http.proxies import authority
from s3dlio.http.race import check_address, exhausted, reach

if TYPE_CHECKING:
    from s3dlio.http.names import Names
    from s3dlio.http.proxies import Proxy
    from s3dlio.http.wire import Origin

# Seconds, seconds, times: a peer that vanished without a farewell is noticed after a minute.
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


def connect(
    origin: Origin, *, timeout: float, ca_bundle: str | None, names: Names, proxy: Proxy | None = None
) -> Connection:
    """Open a connection; `timeout` in seconds is for the name, each address, the proxy's answer and the handshake.

    Raises:
        NetworkError: refused, unreachable or not found.
        CertificateError: the peer's certificate is not trusted or names another host.
        DeadlineExceededError: no answer in time.
        CredentialsError: the proxy wants a password.
    """
    context = _context(ca_bundle) if origin.scheme == "https" else None
    if proxy is not None:
        check_address(origin.host, authority(origin))
    peer = origin if proxy is None else proxy.origin
    sock = reach(peer.host, peer.port, names, timeout)
    try:
        _tune(sock)
        if context is None:
            return _plain(sock, origin)
        if proxy is not None:
            proxy.tunnel(sock, origin, timeout)
        return _secure(sock, origin, timeout, context)
    except BaseException:
        sock.close()
        raise


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _plain(sock: socket.socket, origin: Origin) -> Connection:
    sock.settimeout(None)
    slice_ = struct.pack("@ll", 0, int(SLICE * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, slice_)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, slice_)
    return Connection(sock, origin)


def _secure(sock: socket.socket, origin: Origin, timeout: float, context: ssl.SSLContext) -> TlsConnection:
    where = authority(origin)
    sock.settimeout(timeout)
    try:
        secured = context.wrap_socket(sock, server_hostname=origin.host)
    except ssl.SSLCertVerificationError as problem:
        text = f"the certificate of {where} is not trusted: {problem.verify_message}"
        raise CertificateError(f"{text}; set AWS_CA_BUNDLE for a private authority") from problem
    except TimeoutError as problem:
        raise DeadlineExceededError(f"no TLS handshake with {where} in {timeout:g} s") from problem
    except ssl.SSLEOFError as problem:  # a peer that goes away says nothing about its certificate
        raise NetworkError(f"{where} broke off the TLS handshake") from problem
    except ssl.SSLError as problem:
        raise CertificateError(f"no TLS with {where}: {problem.reason}") from problem
    except OSError as problem:
        raise NetworkError(f"{where} broke off the TLS handshake") from problem
    except ValueError as problem:  # a host that is no name, which the certificate could not name either
        raise CertificateError(f"no TLS with {where}: {problem}") from problem
    secured.settimeout(SLICE)
    return TlsConnection(secured, origin)


@lru_cache(maxsize=8)
def _context(ca_bundle: str | None) -> ssl.SSLContext:
    is_folder = ca_bundle is not None and os.path.isdir(ca_bundle)
    try:
        context = ssl.create_default_context(
            cafile=None if is_folder else ca_bundle, capath=ca_bundle if is_folder else None
        )
    except (OSError, ssl.SSLError) as problem:
        raise exhausted(problem, "anything") or CertificateError(
            f"cannot read the CA bundle {ca_bundle!r}: {problem}"
        ) from problem
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525: the names of a certificate are its alternative names
    return context
