"""The documents of the S3 API: what its answers say, and the bodies its requests need.

A body with the status 200 may still be an error; whoever gets an `ErrorDocument` has one. A document that is
not what the operation answers is a `ValueError`, so nothing is taken for success that does not say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from s3dlio.stores.xmllist import ListPage, parse_list
from s3dlio.stores.xmltree import leaves, parse_tree

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "ErrorDocument",
    "ListPage",
    "UploadsPage",
    "can_hold",
    "complete_document",
    "create_bucket_document",
    "delete_document",
    "parse_buckets",
    "parse_checksums",
    "parse_complete",
    "parse_copy",
    "parse_delete",
    "parse_error",
    "parse_initiate",
    "parse_list",
    "parse_uploads",
]

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MOST_DELETES = 1000

_ERROR = frozenset(("Code", "Message", "RequestId"))
# What helps the reader of an error. The rest is left out: S3 also repeats the signed request, the
# authorization header and the session token in its errors.
_DETAILS = frozenset(
    (
        "ActualObjectSize",
        "ArgumentName",
        "Bucket",
        "BucketName",
        "Condition",
        "ETag",
        "Endpoint",
        "Header",
        "HostId",
        "Key",
        "MaxAllowedSkewMilliseconds",
        "MaxSizeAllowed",
        "MinSizeAllowed",
        "PartNumber",
        "ProposedSize",
        "RangeRequested",
        "Region",
        "RequestTime",
        "Resource",
        "ServerTime",
        "StorageClass",
        "UploadId",
        "VersionId",
    )
)
_CHECKSUMS = frozenset(f"Checksum{name}" for name in ("CRC64NVME", "CRC32C", "CRC32", "SHA256", "SHA1", "Type"))
_ETAG = frozenset(("ETag",))
_DELETE = frozenset(("Key", "Code", "Message"))
_UPLOAD = frozenset(("Key", "UploadId", "Initiated"))
_UPLOADS = frozenset(("IsTruncated", "NextKeyMarker", "NextUploadIdMarker", "EncodingType"))

# What XML 1.0 has no way to write, not even as a reference.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """What an `<Error>` says; "" where nothing. `extra` has the details that hold no secret, by S3's name."""

    code: str
    message: str
    request_id: str
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """One page of ListMultipartUploads: keys with upload id and time, and where the `next` page goes on, if any."""

    uploads: list[tuple[str, str, str]]
    next: tuple[str, str] | None


def can_hold(text: str) -> bool:
    """Tell whether a request document can carry a key."""
    return _UNWRITABLE(text) is None


def parse_error(body: bytes) -> ErrorDocument | None:
    """Return the error that a body tells, or None for a body that is empty or anything else."""
    try:
        root = parse_tree(body.lstrip())
        element = root.find("Error") if root.tag == "ErrorResponse" else root
        return _error(element) if element is not None and element.tag == "Error" else None
    except ValueError:
        return None


def parse_initiate(body: bytes) -> str:
    """Return the upload id of CreateMultipartUpload."""
    return _required(_answer(body, "InitiateMultipartUploadResult"), "UploadId")


def parse_complete(body: bytes) -> str | ErrorDocument:
    """Return the etag of CompleteMultipartUpload, quotes included, or the error that came with the status
    200.

    The etag may be empty: some servers answer so, and a HEAD tells it.
    """
    return _etag(body, ("CompleteMultipartUploadResult",))


def parse_copy(body: bytes) -> str | ErrorDocument:
    """Return the etag of CopyObject or UploadPartCopy, quotes included, or the error within the 200."""
    return _etag(body, ("CopyObjectResult", "CopyPartResult"))


def parse_checksums(body: bytes) -> dict[str, str]:
    """Return the checksums in the answer to a completed upload or a copy, by the names of headers."""
    found = leaves(parse_tree(body.lstrip()), _CHECKSUMS)
    return {f"x-amz-checksum-{name.removeprefix('Checksum').lower()}": value for name, value in found.items()}


def parse_delete(body: bytes) -> list[tuple[str, str, str]]:
    """Return key, code and message of what DeleteObjects could not delete: an empty list is success."""
    errors = [leaves(child, _DELETE) for child in _answer(body, "DeleteResult") if child.tag == "Error"]
    return [(each.get("Key", ""), each.get("Code", ""), each.get("Message", "")) for each in errors]


def parse_buckets(body: bytes) -> list[str]:
    """Return the names that ListBuckets tells."""
    root = _answer(body, "ListAllMyBucketsResult")
    return [_required(bucket, "Name") for group in root.iterfind("Buckets") for bucket in group.iterfind("Bucket")]


def parse_uploads(body: bytes) -> UploadsPage:
    """Return a page of ListMultipartUploads, its keys decoded. Anything but one whole page is a `ValueError`."""
    root = _answer(body, "ListMultipartUploadsResult")
    top = leaves(root, _UPLOADS)
    encoded = top.get("EncodingType") == "url"
    rows = [leaves(child, _UPLOAD) for child in root if child.tag == "Upload"]
    if any(len(row) < len(_UPLOAD) or not all(row.values()) for row in rows):
        raise ValueError("a listing of uploads in which one has no key, no id or no time")
    found = [(_decoded(row["Key"], encoded=encoded), row["UploadId"], row["Initiated"]) for row in rows]
    if top.get("IsTruncated") not in ("true", "false"):
        raise ValueError(f"incomplete listing of uploads: IsTruncated is {top.get('IsTruncated')!r}")
    if top["IsTruncated"] == "false":
        return UploadsPage(found, None)
    if not top.get("NextKeyMarker"):
        raise ValueError("incomplete listing of uploads: the page is truncated and does not say where to go on")
    marker = _decoded(top["NextKeyMarker"], encoded=encoded)
    return UploadsPage(found, (marker, top.get("NextUploadIdMarker", "")))


def _decoded(key: str, *, encoded: bool) -> str:
    return unquote_plus(key, errors="strict") if encoded else key


def complete_document(
    parts: Sequence[tuple[int, str]], *, algorithm: str | None = None, checksums: Sequence[str] = ()
) -> bytes:
    """Return the body of CompleteMultipartUpload for parts of ascending numbers and their etags.

    With `algorithm`, S3's name for it, `checksums` are the encoded sums of the parts, one for each.
    """
    numbers = [number for number, _ in parts]
    if not parts or numbers != sorted(set(numbers)):
        raise ValueError(f"cannot complete an upload of the parts {numbers}: give at least one, in order, each once")
    if algorithm and len(checksums) != len(parts):
        raise ValueError(f"{len(checksums)} checksums for {len(parts)} parts: give one for each")
    sums = [_leaf(f"Checksum{algorithm}", value) for value in checksums] if algorithm else [""] * len(parts)
    return _document(
        "CompleteMultipartUpload",
        (
            f"<Part>{_leaf('PartNumber', str(number))}{_leaf('ETag', etag)}{total}</Part>"
            for (number, etag), total in zip(parts, sums, strict=True)
        ),
    )


def delete_document(keys: Sequence[str]) -> bytes:
    """Return the body of DeleteObjects for up to 1,000 keys; the answer to it names only what failed.

    A key that XML cannot carry, such as one with a control character, is a `ValueError`: delete it by itself.
    """
    if not 0 < len(keys) <= MOST_DELETES:
        raise ValueError(f"cannot delete {len(keys)} keys in one request: give 1 to {MOST_DELETES}")
    objects = [f"<Object>{_leaf('Key', key)}</Object>" for key in keys]
    return _document("Delete", ["<Quiet>true</Quiet>", *objects])


def create_bucket_document(region: str) -> bytes:
    """Return the body of CreateBucket: empty for us-east-1, which S3 does not let one name."""
    if region == "us-east-1":
        return b""
    return _document("CreateBucketConfiguration", [_leaf("LocationConstraint", region)])


def _answer(body: bytes, *names: str) -> Element:
    root = parse_tree(body.lstrip())
    if root.tag == "Error":
        error = _error(root)
        raise ValueError(f"expected <{names[0]}>, not the error {error.code}: {error.message}")
    if root.tag not in names:
        raise ValueError(f"expected <{names[0]}>, not <{root.tag}>")
    return root


def _etag(body: bytes, names: tuple[str, ...]) -> str | ErrorDocument:
    # Servers send spaces while they work, before the document or after its first line.
    root = parse_tree(body.lstrip())
    if root.tag == "Error":
        return _error(root)
    if root.tag not in names:
        raise ValueError(f"expected <{names[0]}>, not <{root.tag}>")
    return leaves(root, _ETAG).get("ETag", "")


def _error(element: Element) -> ErrorDocument:
    told = leaves(element, _ERROR | _DETAILS)
    extra = {name: value for name, value in told.items() if name in _DETAILS}
    return ErrorDocument(
        told.get("Code", ""), told.get("Message", ""), told.get("RequestId", ""), MappingProxyType(extra)
    )


def _required(element: Element, name: str) -> str:
    value = leaves(element, frozenset((name,))).get(name)
    if not value:
        raise ValueError(f"<{element.tag}> without <{name}>")
    return value


def _leaf(name: str, text: str) -> str:
    if _UNWRITABLE(text):
        raise ValueError(f"XML cannot carry {text!r}: send it in a request of its own")
    # A parser would read a bare carriage return as a line feed.
    return f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>"


def _document(name: str, children: Iterable[str]) -> bytes:
    return f'<{name} xmlns="{_NAMESPACE}">{"".join(children)}</{name}>'.encode()
