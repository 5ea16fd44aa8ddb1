"""How a request reaches S3: which host and path name the object, and the signature over them."""

from __future__ import annotations

import hashlib
import re
import time
from email.utils import parsedate_to_datetime
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
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_SKEWED = ("RequestTimeTooSkewed", "RequestExpired")
_NOTABLE_SKEW = 5.0  # seconds: the service allows 15 minutes
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}").fullmatch
_HOSTABLE = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]").fullmatch


class S3Service:
    """S3 at one endpoint. With an endpoint of the user's own the bucket is in the path, else in the host name.

    It learns from refusals that say what was wrong: the region of a bucket, the service's clock, credentials that
    have expired. A request that is made again is then another one.
    """

    def __init__(self, chain: Chain, *, unsigned_payload: bool | None = None) -> None:
        self.chain = chain
        self.region = chain.region()
        self._signers = {self.region: Signer(self.region)}
        self._regions: dict[str, str] = {}
        self._clock_offset = 0.0
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
        origin, host, base, signer = self._place(uri.container)
        path = f"{base}{quote_key(uri.key)}"
        signed: list[tuple[str, str]] = [("host", host), *fields]
        if payload is not None:
            signed.append(("content-length", str(len(payload))))
        now = time.time() + self._clock_offset
        signed += signer.headers(
            self.chain.credentials(), method, path, query, signed, self._payload_hash(payload), now
        )
        target = f"{path}?{query}" if query else path
        lines = "\r\n".join([f"{name}: {value}" for name, value in signed])
        head = f"{method} {target} HTTP/1.1\r\n{_COMMON}{lines}\r\n\r\n"
        return origin, head.encode("latin-1")

    def error(self, exchange: Exchange, uri: Uri) -> S3dlioError:
        """Return the error that an answer is, and learn from it."""
        error = translate(exchange, uri)
        assert exchange.head is not None
        if error.code in _EXPIRED:
            error.corrected = self._renew_credentials()
        elif error.code in _SKEWED:
            error.corrected = self._set_clock(exchange.head.fields.get("date", ""))
        elif exchange.head.status in (301, 307, 400):
            error.corrected = self._learn_region(uri.container, exchange.head.fields.get("x-amz-bucket-region", ""))
        return error

    def _renew_credentials(self) -> bool:
        """Have the chain look again; True if that gave others."""
        refused = self.chain.credentials()
        self.chain.discard(refused)
        return self.chain.credentials() != refused

    def _set_clock(self, date: str) -> bool:
        """Sign with the service's time from now on; True if that is another one than before."""
        try:
            offset = parsedate_to_datetime(date).timestamp() - time.time()
        except ValueError:
            return False
        before, self._clock_offset = self._clock_offset, offset
        return abs(offset - before) > _NOTABLE_SKEW

    def _learn_region(self, bucket: str, region: str) -> bool:
        """Ask for a bucket where it is: at this provider's own host there, never at one that an answer names."""
        if not bucket or not _REGION(region) or self._regions.get(bucket, self.region) == region:
            return False
        self._regions[bucket] = region
        self._place.cache_clear()
        return True

    def _payload_hash(self, payload: memoryview | None) -> str:
        if payload is None:
            return _EMPTY
        return UNSIGNED_PAYLOAD if self.unsigned else hashlib.sha256(payload).hexdigest()

    def _container_place(self, bucket: str) -> tuple[Origin, str, str, Signer]:
        """Return the origin, the Host field, the path before the key and the signer of a bucket; "" is the service."""
        region = self._regions.get(bucket, self.region)
        signer = self._signers.setdefault(region, Signer(region))
        origin = self.origin
        if not self.path_style and region != self.region:
            origin, _ = _split(f"https://{self.chain.hostname(region)}")
        if self.path_style or not bucket or not _HOSTABLE(bucket):
            base = f"{self._prefix}/{quote_key(bucket)}/" if bucket else f"{self._prefix}/"
            return origin, _host_field(origin), base, signer
        origin = Origin(origin.scheme, f"{bucket}.{origin.host}", origin.port)
        return origin, _host_field(origin), f"{self._prefix}/", signer


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
