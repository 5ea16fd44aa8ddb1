"""How a request reaches S3: which host and path name the object, and the signature over them."""

from __future__ import annotations

import hashlib
import re
import time
from calendar import timegm
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from s3dlio._version import __version__
from s3dlio.auth.sigv4 import UNSIGNED_PAYLOAD, Signer, quote_key
from s3dlio.errors import InvalidUriError
from s3dlio.http.client import Unready
from s3dlio.http.proxies import authority
from s3dlio.http.wire import Origin
from s3dlio.stores.s3errors import translate

if TYPE_CHECKING:
    from s3dlio.auth.aws import Chain
    from s3dlio.auth.sigv4 import Credentials, Stencil
    from s3dlio.errors import S3dlioError
    from s3dlio.http.wire import Exchange
    from s3dlio.stores.service import Fields
    from s3dlio.uri import Uri

    _Frozen = tuple[tuple[str, str], ...]

_EMPTY = hashlib.sha256(b"").hexdigest()
_COMMON = f"accept-encoding: identity\r\nuser-agent: s3dlio/{__version__}\r\n"
_OWNER = "x-amz-expected-bucket-owner"
_SOURCE_OWNER = "x-amz-source-expected-bucket-owner"
_MOST_FORMS = 256
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_SKEWED = ("RequestTimeTooSkewed", "RequestExpired")
_DATE = re.compile(rb"\r\nx-amz-date: (\d{8}T\d{6}Z)\r\n").search
_TIME = "%Y%m%dT%H%M%SZ"
_SERVICE = b"s3"  # in the scope of a signature
_NOTABLE_SKEW = 5.0  # seconds: the service allows 15 minutes
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}").fullmatch
_HOST = re.compile(r"[a-z0-9._~-]+|[0-9a-f:.]+(?:%[a-z0-9._~-]+)?").fullmatch
_PATH = re.compile(r"[!-~]*").fullmatch
_HOSTABLE = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]").fullmatch


class _Form(NamedTuple):
    """A request but for its key: `start` follows the path, up to the signature, which ends the head."""

    origin: Origin
    base: str
    start: str
    stencil: Stencil | None


class S3Service:
    """S3 at one endpoint. With an endpoint of the user's own the bucket is in the path, else in the host name.

    It learns from refusals that say what was wrong: the region of a bucket, the service's clock, credentials that
    have expired. A request that is made again is then another one.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        unsigned_payload: bool | None = None,
        anonymous: bool = False,
        request_payer: bool = False,
        expected_bucket_owner: str | None = None,
        path_style: bool = False,
    ) -> None:
        self.chain = chain
        self.anonymous = anonymous
        self._common = _common_fields(request_payer, expected_bucket_owner)
        self.region = chain.region()
        self._signers = {self.region: Signer(self.region)}
        self._regions: dict[str, str] = {}
        self._clock_offset = 0.0
        endpoint = chain.endpoint()
        self._is_elsewhere = endpoint is not None
        self.path_style = path_style or self._is_elsewhere
        self.origin, self._prefix = _split(endpoint or f"https://{chain.hostname(self.region)}")
        # On TLS the connection protects the body; on plain HTTP the signature has to (S3 "Signature calculations").
        self.unsigned = self.origin.scheme == "https" if unsigned_payload is None else unsigned_payload
        self._place = lru_cache(maxsize=1024)(self._container_place)
        self._forms: dict[tuple[str, str, str, _Frozen], _Form] = {}

    @property
    def hashes(self) -> bool:
        """Whether a body's SHA-256 is signed: on TLS the connection protects it."""
        return not (self.unsigned or self.anonymous)

    def request(
        self,
        method: str,
        uri: Uri,
        *,
        query: str = "",
        fields: Fields = (),
        payload: memoryview | None = None,
        sha256: str | None = None,
    ) -> tuple[Origin, bytes]:
        """Return where a request goes and its signed head, ready for the wire."""
        fields = tuple(fields)
        if self._common:
            fields += self._common_for(method, uri, query, fields)
        if payload is None:
            form = self._known_form(method, uri.container, query, fields)
        else:
            form = self._form(method, uri.container, query, fields, payload, sha256)
        path = form.base + quote_key(uri.key)
        signature = "" if form.stencil is None else form.stencil.sign(path)
        return form.origin, f"{method} {path}{form.start}{signature}\r\n\r\n".encode("latin-1")

    def _known_form(self, method: str, bucket: str, query: str, fields: _Frozen) -> _Form:
        """Return a request without a body and without its key: those of one second often differ in nothing else."""
        kind = method, bucket, query, fields
        form = self._forms.get(kind)
        if form is not None and self._is_current(form):
            return form
        if len(self._forms) >= _MOST_FORMS:
            self._forms.clear()
        form = self._forms[kind] = self._form(method, bucket, query, fields)
        return form

    def _is_current(self, form: _Form) -> bool:
        stencil = form.stencil
        if stencil is None:
            return True
        second = int(time.time() + self._clock_offset)
        return stencil.second == second and stencil.credentials is self.chain.credentials()

    def _form(
        self,
        method: str,
        bucket: str,
        query: str,
        fields: _Frozen,
        payload: memoryview | None = None,
        sha256: str | None = None,
    ) -> _Form:
        origin, host, base, signer = self._place(bucket)
        signed: list[tuple[str, str]] = [("host", host), *fields]
        if payload is not None:
            signed.append(("content-length", str(len(payload))))
        stencil = None
        if not self.anonymous:
            now = time.time() + self._clock_offset
            digest = sha256 or self._payload_hash(payload)
            stencil = signer.stencil(self.chain.credentials(), method, query, signed, digest, now)
            signed += stencil.added
        lines = "\r\n".join([f"{name}: {value}" for name, value in signed])
        target = f"?{query}" if query else ""
        return _Form(origin, base, f"{target} HTTP/1.1\r\n{_COMMON}{lines}", stencil)

    def error(self, exchange: Exchange, uri: Uri) -> S3dlioError:
        """Return the error that an answer is, and learn from it."""
        error = translate(exchange, uri)
        assert exchange.head is not None
        if error.code in _EXPIRED:
            error.corrected = self._renew_credentials(exchange)
        elif error.code in _SKEWED:
            error.corrected = self._set_clock(exchange, exchange.head.fields.get("date", ""))
        elif exchange.head.status in (301, 307, 400):
            told = exchange.head.fields.get("x-amz-bucket-region", "")
            error.corrected = self._learn_region(exchange, uri.container, told)
        return error

    def _common_for(self, method: str, uri: Uri, query: str, fields: _Frozen) -> _Frozen:
        """Return the fields that every request to a bucket's content has, as far as this is one."""
        if not uri.container or (method == "PUT" and not uri.key):  # ListBuckets and CreateBucket know none of them
            return ()
        if not uri.key and not query:  # DeleteBucket costs nobody anything
            return tuple(field for field in self._common if field[0] == _OWNER)
        if any(name == "x-amz-copy-source" for name, _ in fields):
            return *self._common, *((_SOURCE_OWNER, value) for name, value in self._common if name == _OWNER)
        return self._common

    def _renew_credentials(self, exchange: Exchange) -> bool:
        """Have the chain look again for other credentials than this request was signed with.

        Another request may have had that done already. Whether others are found shows before the next attempt.
        """
        if self.anonymous:
            return False
        try:
            current = self.chain.credentials()
        except Unready:
            return True
        if _is_signed_with(current, exchange.request):
            self.chain.discard(current)
        return True

    def _set_clock(self, exchange: Exchange, date: str) -> bool:
        """Sign with the service's time from now on; True if this request was signed with another one."""
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return False
        self._clock_offset = theirs - time.time()
        ours = _DATE(exchange.request)
        return ours is not None and abs(theirs - timegm(time.strptime(ours[1].decode(), _TIME))) > _NOTABLE_SKEW

    def _learn_region(self, exchange: Exchange, bucket: str, region: str) -> bool:
        """Ask for a bucket where it is: at this provider's own host there, never at one that an answer names.

        True if this request was made for another region; one beside it may have learned the same already.
        """
        if not bucket or not _REGION(region) or b"/%s/%s/" % (region.encode(), _SERVICE) in exchange.request:
            return False
        if self._regions.get(bucket, self.region) == region:
            return not self.anonymous
        self._regions[bucket] = region
        self._place.cache_clear()
        self._forms.clear()
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
        if not self._is_elsewhere and region != self.region:
            origin, _ = _split(f"https://{self.chain.hostname(region)}")
        if self.path_style or not bucket or not _HOSTABLE(bucket):
            base = f"{self._prefix}/{quote_key(bucket)}/" if bucket else f"{self._prefix}/"
            return origin, authority(origin), base, signer
        origin = Origin(origin.scheme, f"{bucket}.{origin.host}", origin.port)
        return origin, authority(origin), f"{self._prefix}/", signer


def _common_fields(request_payer: bool, owner: str | None) -> _Frozen:
    payer = (("x-amz-request-payer", "requester"),) if request_payer else ()
    return payer if owner is None else (*payer, (_OWNER, owner))


def _is_signed_with(credentials: Credentials, request: bytes) -> bool:
    token = credentials.token
    return f" Credential={credentials.access_key}/".encode() in request and (
        token is None or f"x-amz-security-token: {token}\r\n".encode() in request
    )


def _split(endpoint: str) -> tuple[Origin, str]:
    if "@" in endpoint:
        host = endpoint.rpartition("@")[2]
        raise InvalidUriError(f"the endpoint for {host!r} holds a user name: set credentials instead")
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, host, port = urlsplit(""), "", 0
    # Host and path go into the head of each request as they stand.
    is_clean = _HOST(host) and _PATH(parts.path) and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not is_clean:
        raise InvalidUriError(f"the endpoint {endpoint!r} is not of the form http(s)://host[:port]")
    return Origin(parts.scheme, host, port), parts.path.rstrip("/")
