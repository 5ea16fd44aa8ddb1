"""How a request reaches S3: which host and path name the object, and the signature over them."""

from __future__ import annotations

import hashlib
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from s3dlio._version import __version__
from s3dlio.auth.sigv4 import UNSIGNED_PAYLOAD, Signer, quote_key
from s3dlio.errors import InvalidUriError
from s3dlio.http.wire import Origin
from s3dlio.stores.s3errors import translate

if TYPE_CHECKING:
    from s3dlio.auth.aws import Chain
    from s3dlio.errors import S3dlioError
    from s3dlio.http.wire import Exchange
    from s3dlio.stores.service import Fields
    from s3dlio.uri import Uri

_EMPTY = hashlib.sha256(b"").hexdigest()
_COMMON = f"accept-encoding: identity\r\nuser-agent: s3dlio/{__version__}\r\n"
_HOSTABLE = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]").fullmatch


class S3Service:
    """S3 at one endpoint. With an endpoint of the user's own the bucket is in the path, else in the host name."""

    def __init__(self, chain: Chain, *, unsigned_payload: bool | None = None) -> None:
        self.chain = chain
        self.region = chain.region()
        self._signer = Signer(self.region)
        endpoint = chain.endpoint()
        self.path_style = endpoint is not None
        self.origin, self._prefix = _split(endpoint or f"https://{chain.hostname(self.region)}")
        # On TLS the connection protects the body; on plain HTTP the signature has to (S3 "Signature calculations").
        self.unsigned = self.origin.scheme == "https" if unsigned_payload is None else unsigned_payload
        self._place = lru_cache(maxsize=1024)(self._container_place)

    def request(
        self, method: str, uri: Uri, *, query: str = "", fields: Fields = (), payload: memoryview | None = None
    ) -> tuple[Origin, bytes]:
        """Return where a request goes and its signed head, ready for the wire."""
        origin, host, base = self._place(uri.container)
        path = f"{base}{quote_key(uri.key)}"
        signed: list[tuple[str, str]] = [("host", host), *fields]
        if payload is not None:
            signed.append(("content-length", str(len(payload))))
        signed += self._signer.headers(
            self.chain.credentials(), method, path, query, signed, self._payload_hash(payload), time.time()
        )
        target = f"{path}?{query}" if query else path
        lines = "\r\n".join([f"{name}: {value}" for name, value in signed])
        head = f"{method} {target} HTTP/1.1\r\n{_COMMON}{lines}\r\n\r\n"
        return origin, head.encode("latin-1")

    def error(self, exchange: Exchange, uri: Uri) -> S3dlioError:
        """Return the error that an answer is."""
        return translate(exchange, uri)

    def _payload_hash(self, payload: memoryview | None) -> str:
        if payload is None:
            return _EMPTY
        return UNSIGNED_PAYLOAD if self.unsigned else hashlib.sha256(payload).hexdigest()

    def _container_place(self, bucket: str) -> tuple[Origin, str, str]:
        """Return the origin, the Host field and the path before the key for a bucket ("" for the service itself)."""
        scheme, host, port = self.origin
        if self.path_style or not bucket or not _HOSTABLE(bucket):
            base = f"{self._prefix}/{quote_key(bucket)}/" if bucket else f"{self._prefix}/"
            return self.origin, _host_field(self.origin), base
        origin = Origin(scheme, f"{bucket}.{host}", port)
        return origin, _host_field(origin), f"{self._prefix}/"


def _host_field(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    default = 443 if origin.scheme == "https" else 80
    return host if origin.port == default else f"{host}:{origin.port}"


def _split(endpoint: str) -> tuple[Origin, str]:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidUriError(f"the endpoint {endpoint!r} is not of the form http(s)://host[:port]")
    if parts.username or parts.password:
        raise InvalidUriError(f"the endpoint for {parts.hostname!r} holds a user name: set credentials instead")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, parts.hostname, port), parts.path.rstrip("/")
