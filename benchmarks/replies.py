"""What the project's own origin answers: bytes that are made once, before the first request."""

from __future__ import annotations

from benchmarks.rows import LISTED

BUCKET = "bucket"
LIST_PREFIX = "listed/"
CHECK_PREFIX = "check/"
COUNTERS = "/-/counters"

_PAGE = 1000
_DATE = "Sat, 01 Aug 2026 00:00:00 GMT"
_ETAG = '"5d41402abc4b2a76b9719d911017c592"'
_HEAD = f"x-amz-request-id: 4442587FB7D0A2F9\r\nDate: {_DATE}\r\nServer: benchmark\r\n"
_OBJECT = f"{_HEAD}ETag: {_ETAG}\r\nLast-Modified: {_DATE}\r\nContent-Type: application/octet-stream\r\n"
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
UPLOAD_ID = "one"


def reply(status: str, body: bytes = b"", *, kind: str = "application/xml") -> bytes:
    """Return a whole response."""
    head = f"HTTP/1.1 {status}\r\n{_HEAD}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STORED = f"HTTP/1.1 200 OK\r\n{_HEAD}ETag: {_ETAG}\r\nContent-Length: 0\r\n\r\n".encode()
NO_CONTENT = f"HTTP/1.1 204 No Content\r\n{_HEAD}\r\n".encode()


def initiated(bucket: str, key: str) -> bytes:
    """Return the answer to CreateMultipartUpload."""
    inner = f"<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{UPLOAD_ID}</UploadId>"
    return _document("InitiateMultipartUploadResult", inner)


def completed(bucket: str, key: str) -> bytes:
    """Return the answer to CompleteMultipartUpload."""
    location = f"http://127.0.0.1/{bucket}/{key}"
    inner = (
        f"<Location>{location}</Location><Bucket>{bucket}</Bucket><Key>{key}</Key>"
        f"<ETag>&quot;{_ETAG.strip(chr(34))}-2&quot;</ETag>"
    )
    return _document("CompleteMultipartUploadResult", inner)


def present(size: int) -> bytes:
    """Return the answer to HEAD of an object of which only the size is known."""
    return f"HTTP/1.1 200 OK\r\n{_OBJECT}Content-Length: {size}\r\n\r\n".encode()


def object_of(data: bytes, wanted: tuple[int, int | None] | None, *, body: bool) -> bytes:
    """Return the answer to GET, or to HEAD without `body`, of a whole object or of its bytes first to last."""
    if wanted is None:
        head = f"HTTP/1.1 200 OK\r\n{_OBJECT}Content-Length: {len(data)}\r\n\r\n"
        return head.encode() + (data if body else b"")
    first, last = wanted
    if first >= len(data):
        none = f"{_OBJECT}Content-Range: bytes */{len(data)}\r\nContent-Length: 0\r\n\r\n"
        return f"HTTP/1.1 416 Range Not Satisfiable\r\n{none}".encode()
    end = len(data) if last is None else min(last + 1, len(data))
    part = f"Content-Range: bytes {first}-{end - 1}/{len(data)}\r\nContent-Length: {end - first}\r\n\r\n"
    head = f"HTTP/1.1 206 Partial Content\r\n{_OBJECT}{part}"
    return head.encode() + (data[first:end] if body else b"")


def missing(path: str, *, body: bool = True) -> bytes:
    """Return the error for an object that is not there; to HEAD it has no `body`."""
    inner = f"<Code>NoSuchKey</Code><Message>There is no {path} at the benchmark origin</Message>"
    whole = reply("404 Not Found", f"<Error>{inner}</Error>".encode())
    return whole if body else whole[: whole.index(b"\r\n\r\n") + 4]


def refused(request: str) -> bytes:
    """Return an error that names the request which the origin does not know."""
    inner = f"<Code>NotImplemented</Code><Message>The benchmark origin does not know {request}</Message>"
    return reply("501 Not Implemented", f"<Error>{inner}</Error>".encode())


def _document(name: str, inner: str) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {_NAMESPACE}>{inner}</{name}>'
    return reply("200 OK", text.encode())


COPIED = _document(
    "CopyObjectResult",
    f"<LastModified>2026-08-01T00:00:00.000Z</LastModified><ETag>&quot;{_ETAG.strip(chr(34))}&quot;</ETag>",
)


def listed_name(number: int) -> str:
    """Return the last segment of a listed key; they sort by number."""
    return f"sample-{number:08d}.npz"


def pages(bucket: str, prefix: str) -> dict[str, bytes]:
    """Return the answers to ListObjectsV2 by continuation token; the first page is at the empty token."""
    starts = range(0, LISTED, _PAGE)
    return {_token(start): _page(bucket, prefix, start) for start in starts}


def _token(start: int) -> str:
    return f"from-{start}" if start else ""


def _page(bucket: str, prefix: str, start: int) -> bytes:
    end = min(start + _PAGE, LISTED)
    more = end < LISTED
    following = f"<NextContinuationToken>{_token(end)}</NextContinuationToken>" if more else ""
    current = f"<ContinuationToken>{_token(start)}</ContinuationToken>" if start else ""
    inner = (
        f"<Name>{bucket}</Name><Prefix>{prefix}</Prefix>{following}{current}"
        f"<KeyCount>{end - start}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    )
    return _document("ListBucketResult", inner + "".join(_entry(prefix, number) for number in range(start, end)))


def _entry(prefix: str, number: int) -> str:
    return (
        f"<Contents><Key>{prefix}{listed_name(number)}</Key><LastModified>2026-08-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{100_000 + number}</Size>"
        f"<StorageClass>STANDARD</StorageClass></Contents>"
    )
