"""What S3's error answers mean: its codes and statuses as the errors of this library.

The codes are those of "Error responses" in the Amazon S3 API reference, with the ones that botocore retries.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from s3dlio.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    IntegrityError,
    InvalidRangeError,
    NotFoundError,
    PreconditionFailedError,
    RequestError,
    S3dlioError,
    ServerError,
    ThrottledError,
)
from s3dlio.stores.xml import parse_error

if TYPE_CHECKING:
    from s3dlio.http.wire import Exchange, Head
    from s3dlio.uri import Uri

_BY_CODE: dict[str, type[S3dlioError]] = {
    "NoSuchBucket": BucketNotFoundError,
    "NoSuchKey": NotFoundError,
    "NoSuchUpload": NotFoundError,
    "AccessDenied": AccessDeniedError,
    "AllAccessDisabled": AccessDeniedError,
    "InvalidAccessKeyId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "ExpiredToken": CredentialsError,
    "ExpiredTokenException": CredentialsError,
    "InvalidToken": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "AuthorizationHeaderMalformed": CredentialsError,
    "PreconditionFailed": PreconditionFailedError,
    "ConditionalRequestConflict": PreconditionFailedError,
    "InvalidRange": InvalidRangeError,
    "RequestTimeout": ServerError,
    "RequestTimeoutException": ServerError,
    "PriorRequestNotComplete": ThrottledError,
    "InternalError": ServerError,
    "ServiceUnavailable": ServerError,
    "OperationAborted": ServerError,
    "BadDigest": IntegrityError,
    "XAmzContentChecksumMismatch": IntegrityError,
    "XAmzContentSHA256Mismatch": IntegrityError,
    "SlowDown": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "RequestThrottled": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "BandwidthLimitExceeded": ThrottledError,
    "TooManyRequestsException": ThrottledError,
}
_BY_STATUS: dict[int, type[S3dlioError]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    404: NotFoundError,
    408: ServerError,
    412: PreconditionFailedError,
    416: InvalidRangeError,
    429: ThrottledError,
    501: RequestError,
    505: RequestError,
}
_REMEDIES: dict[type[S3dlioError], str] = {
    AccessDeniedError: "the credentials do not allow this",
    IntegrityError: "the bytes changed on the way, or in the caller's memory during the call",
    CredentialsError: "check the access key, the secret, the session token, the region and the clock",
}


def translate(exchange: Exchange, uri: Uri) -> S3dlioError:
    """Return the error that an answer of S3 is; an `<Error>` document in a 200 counts as one too."""
    head = exchange.head
    assert head is not None
    document = parse_error(bytes(exchange.body))
    code = document.code if document is not None else None
    said = document.message if document is not None and document.message else ""
    kind = _kind(head.status, code)
    error = kind(
        _message(kind, head, uri, code, said),
        str(uri),
        status=head.status,
        code=code,
        request_id=head.fields.get("x-amz-request-id") or (document.request_id if document else None) or None,
    )
    if isinstance(error, ServerError | ThrottledError):
        error.retry_after = _retry_after(head)
    return error


def _kind(status: int, code: str | None) -> type[S3dlioError]:
    known = _BY_CODE.get(code or "") or _BY_STATUS.get(status)
    if known is not None:
        return known
    return ServerError if status >= 500 or status == 200 else RequestError


def _message(kind: type[S3dlioError], head: Head, uri: Uri, code: str | None, said: str) -> str:
    if kind is BucketNotFoundError:
        return f"there is no bucket {uri.container!r}: {uri}"
    if kind is NotFoundError and code in (None, "NoSuchKey"):
        return f"there is no object {uri}"
    if 300 <= head.status < 400:
        where = head.fields.get("x-amz-bucket-region") or head.fields.get("location", "elsewhere")
        return f"{uri}: the service points to {where}, which is not followed; set the region or the endpoint"
    remedy = _REMEDIES.get(kind)
    text = f"{uri}: the service answered {head.status}{f' {code}' if code else ''}"
    return text + (f": {said}" if said else "") + (f" ({remedy})" if remedy else "")


def _retry_after(head: Head) -> float | None:
    """Return the wait that the service asks for, in seconds.

    `x-amz-retry-after` is in milliseconds, `Retry-After` in seconds or a date.
    """
    try:
        if "x-amz-retry-after" in head.fields:
            return int(head.fields["x-amz-retry-after"]) / 1000
        text = head.fields.get("retry-after")
        if text is None:
            return None
        return float(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
