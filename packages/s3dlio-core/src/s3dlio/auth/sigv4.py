"""AWS Signature Version 4 as S3 wants it: what of a request is signed, and how keys are written on the wire.

The path that is signed is the path that is sent, byte for byte: nothing is normalised or encoded twice, so a
key with `..` or `//` is that key. The rule is "Signature Calculations for the Authorization Header" in the
Amazon S3 API reference. A `Signer` takes no lock: its caches are replaced as wholes, and a race computes one
twice.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from typing import NoReturn, Protocol, Self
from urllib.parse import quote

_BLOCK = 64  # bytes that SHA-256 takes at a time, and HMAC pads its key to
_MOST_SHAPES = 256

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

# Proxies and HTTP layers may change these on the way; botocore signs none of them either.
_UNSIGNED = frozenset(
    (
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    )
)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9\-._~/]*").fullmatch
_VISIBLE = re.compile(r"[!-~]+").fullmatch


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An access key, its secret and the session token, if any. Never pickles, and shows four characters at
    most.

    A value that could not stand in a header is a `ValueError` that does not repeat it.
    """

    access_key: str
    secret_key: str
    token: str | None = None

    def __post_init__(self) -> None:
        for name in ("access_key", "secret_key", "token"):
            value = getattr(self, name)
            if name == "token" and value is None:
                continue
            if not isinstance(value, str) or not _VISIBLE(value):
                raise ValueError(
                    f"{name} is empty, or holds a space, a line end or another character that no AWS "
                    "credential has: look for stray whitespace where it is set"
                )

    def __repr__(self) -> str:
        return f"Credentials(access_key='***{self.access_key[-4:]}')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: the other process finds its own")


class _Hash(Protocol):
    """A hash under way, as `hashlib` makes them."""

    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Day:
    """The key of one day. `scope` ends the credential in the authorization header.

    The key is kept as the two hashes that HMAC begins with (RFC 2104): copying them costs half of a new HMAC.
    """

    credentials: Credentials
    day: str
    scope: str
    inner: _Hash = field(repr=False)
    outer: _Hash = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What follows from the names of a request's headers alone: which are signed, and in which order."""

    block: str
    names: str
    pick: Callable[[Sequence[str]], tuple[str, ...]]


class Stencil:
    """A request as it is signed, but for its path: many requests of one second differ in nothing else.

    `added` are the headers that signing adds, up to the signature, which ends the last of them.
    """

    __slots__ = ("_after", "_before", "_inner", "_outer", "added", "credentials", "second")

    def __init__(
        self,
        today: _Day,
        second: int,
        date: str,
        request: tuple[str, str],
        added: list[tuple[str, str]],
    ) -> None:
        self.credentials = today.credentials
        self.second = second
        self.added = added
        self._before, self._after = request
        self._inner, self._outer = today.inner.copy(), today.outer
        self._inner.update(f"AWS4-HMAC-SHA256\n{date}\n{today.scope}\n".encode())

    def sign(self, path: str) -> str:
        """Return the signature, in hex, for a path as it stands on the wire."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(sha256(f"{self._before}{path}{self._after}".encode()).hexdigest().encode())
        outer.update(inner.digest())
        return outer.hexdigest()


class Signer:
    """Signs requests to one service in one region. Any thread may use it, with any credentials."""

    __slots__ = ("_day", "_moment", "_region", "_service", "_shapes")

    def __init__(self, region: str, service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._moment = (-1, "", "")
        self._day: _Day | None = None
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def headers(
        self,
        credentials: Credentials,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        payload_hash: str,
        now: float,
    ) -> list[tuple[str, str]]:
        """Return the headers to add to a request: payload hash, date, session token if any, and
        authorization.

        `path` and `query` stand as on the wire, percent-encoded, the query in canonical order (`quote_key`,
        `quote_query`). `headers` have lower-case names, each at most once, with `host` among them.
        `payload_hash` is the body's SHA-256 in hex or "UNSIGNED-PAYLOAD"; `now` is in seconds since the
        epoch.
        """
        stencil = self.stencil(credentials, method, query, headers, payload_hash, now)
        *others, (name, start) = stencil.added
        return [*others, (name, start + stencil.sign(path))]

    def stencil(
        self,
        credentials: Credentials,
        method: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        payload_hash: str,
        now: float,
    ) -> Stencil:
        """Return what is common to requests of this second with these headers; see `headers`."""
        second = int(now)
        moment = self._moment if self._moment[0] == second else self._tick(second)
        _, date, day = moment
        today = self._day
        if today is None or today.credentials is not credentials or today.day != day:
            today = self._turn(credentials, day)
        added = [("x-amz-content-sha256", payload_hash), ("x-amz-date", date)]
        if credentials.token is not None:
            added.append(("x-amz-security-token", credentials.token))
        shape, block = self._canonical([*headers, *added])
        request = f"{method}\n", f"\n{query}\n{block}\n\n{shape.names}\n{payload_hash}"
        who = f"{credentials.access_key}/{today.scope}"
        added.append(("authorization", f"AWS4-HMAC-SHA256 Credential={who}, SignedHeaders={shape.names}, Signature="))
        return Stencil(today, second, date, request, added)

    def _canonical(self, headers: list[tuple[str, str]]) -> tuple[_Shape, str]:
        """Return the shape of a request and its block of signed headers, with runs of spaces folded."""
        names, values = zip(*headers, strict=True)
        shape = self._shapes.get(names) or self._shape(names)
        block = shape.block % shape.pick(values)
        if " " in block or "\t" in block:
            block = shape.block % shape.pick([" ".join(value.split()) for value in values])
        return shape, block

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        order = sorted((index for index, name in enumerate(names) if name not in _UNSIGNED), key=names.__getitem__)
        signed = [names[index] for index in order]
        block = "\n".join([f"{name}:%s" for name in signed])
        shape = _Shape(block, ";".join(signed), itemgetter(*order))
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        self._shapes[names] = shape
        return shape

    def _tick(self, second: int) -> tuple[int, str, str]:
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        self._moment = moment = (second, date, date[:8])
        return moment

    def _turn(self, credentials: Credentials, day: str) -> _Day:
        key = f"AWS4{credentials.secret_key}".encode()
        for word in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        block = key.ljust(_BLOCK, b"\0")
        inner, outer = (sha256(bytes([byte ^ pad for byte in block])) for pad in (0x36, 0x5C))
        self._day = today = _Day(credentials, day, scope, inner, outer)
        return today


def quote_key(key: str) -> str:
    """Percent-encode a key for the request path: UTF-8, with `A-Z a-z 0-9 - _ . ~ /` as they are.

    A key that UTF-8 cannot carry (a lone surrogate) is a `UnicodeEncodeError`, which is a `ValueError`.
    """
    return key if _PLAIN_KEY(key) else quote(key, safe="/-_.~")


def quote_query(params: Sequence[tuple[str, str]]) -> str:
    """Return the canonical query string, ready to sign and to send: names and values encoded, then sorted."""
    # Sorted as pairs: in a joined string "=" would take part in the order, and come after "-" and the digits.
    pairs = sorted([(quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in params])
    return "&".join([f"{name}={value}" for name, value in pairs])
