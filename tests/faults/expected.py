"""What each fault must come to: the right result when it happens once, and when it happens every time.

An outcome is a set of error types; `RIGHT` among them says that the result may be the right one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import s3dlio
from tests.servers.faulty.faults import KINDS

RIGHT = type(None)
Outcome = frozenset[type]


def any_of(*kinds: type) -> Outcome:
    """Return an outcome."""
    return frozenset(kinds)


@dataclass(frozen=True, slots=True)
class Fate:
    """What is right if a fault happens once, and if it happens every time."""

    once: Outcome
    always: Outcome


_RIGHT = any_of(RIGHT)
_NETWORK = any_of(s3dlio.NetworkError)
_SERVER = any_of(s3dlio.ServerError)
_THROTTLED = any_of(s3dlio.ThrottledError)
_DEAD = any_of(s3dlio.DeadlineExceededError)
_WRONG = any_of(s3dlio.IntegrityError)
_CHANGED = any_of(s3dlio.ObjectChangedError)
_EITHER = any_of(RIGHT, s3dlio.IntegrityError, s3dlio.ObjectChangedError)
_DENIED = any_of(s3dlio.AccessDeniedError)
_CREDENTIALS = any_of(s3dlio.CredentialsError)
_REQUEST = any_of(s3dlio.RequestError)
_UNMET = any_of(s3dlio.PreconditionFailedError, s3dlio.ObjectChangedError)
_MISSING = any_of(s3dlio.NotFoundError)


def _passes(always: Outcome) -> Fate:
    return Fate(_RIGHT, always)


def _refusal(kind: Outcome) -> Fate:
    return Fate(kind, kind)


def _all(kinds: str, fate: Fate) -> dict[str, Fate]:
    return dict.fromkeys(kinds.split(), fate)


FATES: Mapping[str, Fate] = {
    **_all("close reset half-head half-head-reset", _passes(_NETWORK)),
    **_all("stall half-head-stall", _passes(_DEAD)),
    **_all("500 502 503 504 408 timeout", _passes(_SERVER)),
    **_all("slowdown slowdown-ms 429", _passes(_THROTTLED)),
    **_all("400 moved redirect 304", _refusal(_REQUEST)),
    "403": _refusal(_DENIED),
    **_all("expired skewed", _refusal(_CREDENTIALS)),
    "no-key": _refusal(_MISSING),
    "no-bucket": _refusal(any_of(s3dlio.BucketNotFoundError)),
    "no-upload": _refusal(_MISSING),
    "412": Fate(_UNMET | _RIGHT, _UNMET),  # a later part starts the read over
    **_all(
        "no-http no-status long-head many-fields two-framings two-lengths negative-length folded bare-lf switched",
        _passes(_NETWORK),
    ),
    **_all("interim last pieces chunked gzip junk stranger", _passes(_RIGHT)),
    "truncate": _passes(_WRONG),
    "truncate-reset": _passes(_NETWORK | _WRONG),
    "body-stall": _passes(_DEAD),
    "drip": _passes(_DEAD | _RIGHT),  # a drip that has only a few bytes left comes to its end
    "chunks-open": _passes(_WRONG),
    "unbounded": _passes(_WRONG),
    "flip": _passes(_WRONG),
    **_all("range-off range-shifted range-short range-missing range-unclear range-endless", _passes(_WRONG)),
    **_all("size-changed range-200 unranged no-etag", Fate(_EITHER, _EITHER)),
    "other-etag": Fate(_RIGHT | _CHANGED, _RIGHT | _CHANGED),
    **_all("replaced replaced-unpinned", Fate(_RIGHT | _CHANGED, _RIGHT | _CHANGED)),
    "lost": _passes(_NETWORK),
    "refused-early": Fate(_DENIED | _RIGHT, _DENIED | _NETWORK),
    "deaf": _passes(_DEAD),
    "no-part-etag": _refusal(_WRONG),
    "error-in-200": _passes(_SERVER),
    "refusal-in-200": _refusal(_DENIED),
    "cut-xml": _passes(_WRONG),
    "no-token": _passes(_WRONG),
    "same-token": Fate(frozenset(), any_of(s3dlio.S3dlioError)),
    "no-xml": _passes(_WRONG),
    "nothing": _passes(_WRONG),
}
"""Kinds without a fate are no part of the matrix."""

# A HEAD has no document: only the status says what the refusal is.
_HEADS: Mapping[str, Fate] = {
    "timeout": _refusal(_REQUEST),
    "expired": _refusal(_REQUEST),
    "skewed": _refusal(_DENIED),
    "no-bucket": _refusal(_MISSING),
    **_all("slowdown slowdown-ms", _passes(_SERVER | _THROTTLED)),
}


_RANGED = ("get_range", "get_into")
_OF_RANGES = [kind for kind in FATES if kind.startswith("range-") and kind != "range-200"]


def fate_of(kind: str, operation: str, call: str, size: str) -> Fate | None:
    """Return what a fault must come to, or None where it means nothing."""
    if call not in KINDS[kind].calls or kind not in FATES:
        return None
    if kind == "flip" and operation in _RANGED:
        return None  # nothing tells: the service has no checksum for such a range
    if kind in _OF_RANGES and size != "split" and operation not in _RANGED:
        return _passes(_WRONG | _RIGHT)  # a small object is asked for by a range only after a large one
    if operation in ("exists", "delete") and kind in ("no-key", "no-bucket"):
        return None  # a right answer, though not about what the server holds
    if kind == "nothing" and call == "complete":
        return _passes(_RIGHT)  # a look at the object tells
    if kind == "nothing" and call in ("start", "batch"):
        return Fate(_EITHER, _WRONG)
    if call == "head":
        return _HEADS.get(kind) or FATES[kind]
    return FATES[kind]
