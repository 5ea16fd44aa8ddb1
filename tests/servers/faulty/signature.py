"""Signature Version 4, checked over the request as it was on the wire.

Written from "Authenticating Requests" in the Amazon S3 API reference. The path and the query are taken from the
request line itself: a client that signs one path and sends another is refused.
"""

import hashlib
import hmac
import re
import time
from calendar import timegm
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from tests.servers.scripted import Asked

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;\-]+), ?Signature=([0-9a-f]{64})"
).fullmatch
_MOST_SKEW = 900  # seconds
_BODY_FREE = ("UNSIGNED-PAYLOAD",)


@dataclass(frozen=True, slots=True)
class Account:
    """Who may ask, and in which regions the bucket is said to be."""

    access_key: str = "fault-key"
    secret_key: str = field(default="fault-secret", repr=False)
    token: str | None = field(default=None, repr=False)
    regions: tuple[str, ...] = ("us-east-1",)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not carried out: status, code and message of the answer, and fields of its head."""

    status: int
    code: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()


def check(asked: Asked, account: Account) -> Refused | None:
    """Return why a request is refused, or None for one that is signed as it should be."""
    match = _AUTHORIZATION(asked.fields.get("authorization", ""))
    if match is None:
        return Refused(403, "AccessDenied", "the request is not signed")
    access_key, day, region, names, signature = match.groups()
    signed = names.split(";")
    if access_key != account.access_key:
        return Refused(403, "InvalidAccessKeyId", "there is no such access key")
    if region not in account.regions:
        return Refused(400, "AuthorizationHeaderMalformed", f"the region is wrong; expecting {account.regions[0]!r}")
    for problem in (_unsigned(asked, signed), _misdated(asked, day), _wrong_token(asked, account), _wrong_body(asked)):
        if problem is not None:
            return problem
    scope = f"{day}/{region}/s3/aws4_request"
    if not hmac.compare_digest(signature, _signature(asked, account.secret_key, scope, signed)):
        return Refused(403, "SignatureDoesNotMatch", f"the canonical request is {_canonical(asked, signed)!r}")
    return None


def _unsigned(asked: Asked, signed: list[str]) -> Refused | None:
    must = {name for name in asked.fields if name.startswith("x-amz-")} | {"host", "x-amz-date", "x-amz-content-sha256"}
    missing = sorted(must - set(signed)) + sorted(set(signed) - set(asked.fields))
    return Refused(403, "AccessDenied", f"headers that are not signed, or not there: {missing}") if missing else None


def _misdated(asked: Asked, day: str) -> Refused | None:
    try:
        moment = timegm(time.strptime(asked.fields["x-amz-date"], "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return Refused(403, "AccessDenied", "x-amz-date is no date")
    if not asked.fields["x-amz-date"].startswith(day):
        return Refused(400, "AuthorizationHeaderMalformed", "the scope is of another day than x-amz-date")
    if abs(moment - time.time()) > _MOST_SKEW:
        return Refused(403, "RequestTimeTooSkewed", "the clocks are more than 15 minutes apart")
    return None


def _wrong_token(asked: Asked, account: Account) -> Refused | None:
    if asked.fields.get("x-amz-security-token") == account.token:
        return None
    return Refused(400, "InvalidToken", "the session token is not the one of this access key")


def _wrong_body(asked: Asked) -> Refused | None:
    said = asked.fields["x-amz-content-sha256"]
    if said in _BODY_FREE or said == hashlib.sha256(asked.body).hexdigest():
        return None
    if said.startswith("STREAMING-"):
        return Refused(501, "NotImplemented", f"bodies signed as {said} are not understood")
    return Refused(400, "XAmzContentSHA256Mismatch", "the body is not the one that was signed")


def _signature(asked: Asked, secret: str, scope: str, signed: list[str]) -> str:
    digest = hashlib.sha256(_canonical(asked, signed).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{asked.fields['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(asked: Asked, signed: list[str]) -> str:
    path, _, query = asked.target.partition("?")
    pairs = sorted((_encoded(name), _encoded(value)) for name, _, value in map(_split, query.split("&")) if name)
    lines = "".join(f"{name}:{' '.join(_values(asked, name).split())}\n" for name in sorted(signed))
    asks = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join([asked.method, quote(unquote_to_bytes(path), safe="/-_.~"), asks, lines, ";".join(signed)]) + (
        f"\n{asked.fields['x-amz-content-sha256']}"
    )


def _split(pair: str) -> tuple[str, str, str]:
    return pair.partition("=")


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")


def _values(asked: Asked, name: str) -> str:
    """Return all values of a field in the order in which they came, joined by commas."""
    lines = [line.partition(":") for line in asked.head.decode("latin-1").split("\r\n")[1:]]
    return ",".join(value.strip() for each, _, value in lines if each.lower() == name)
