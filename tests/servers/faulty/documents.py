"""The XML of the S3 API, as the server writes and reads it."""

import base64
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.servers.faulty.signature import Refused
from tests.servers.faulty.storage import Fields, RefusalError, Storage, Stored, Upload

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class Page:
    """What one page of a listing holds; `last` is where the next one goes on, None when there is none."""

    keys: list[str]
    prefixes: list[str]
    last: str | None


def document(name: str, *children: str) -> bytes:
    """Return a document of the API."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{_NAMESPACE}">{"".join(children)}</{name}>'.encode()


def leaf(name: str, text: str) -> str:
    """Return an element that holds text."""
    return f"<{name}>{escape(text)}</{name}>"


def error(refused: Refused, identity: str) -> bytes:
    """Return an error document."""
    told = [leaf("Code", refused.code), leaf("Message", refused.message), leaf("RequestId", identity)]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{"".join(told)}</Error>'.encode()


def page_of(storage: Storage, bucket: str, query: Fields, largest: int) -> Page:
    """Return the page that a query asks for: keys in the order of their bytes, or what lies between delimiters."""
    with storage.lock:
        keys = sorted(storage.bucket(bucket), key=str.encode)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = _unpacked(query.get("continuation-token", "")) or query.get("start-after", "")
    most = min(largest, int(query.get("max-keys", "1000")))
    page, last = Page([], [], None), ""
    for key in keys:
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if end < 0 else key[: end + len(delimiter)]
        if name.encode() <= after.encode() or name in page.prefixes:
            continue
        if len(page.keys) + len(page.prefixes) == most:
            return Page(page.keys, page.prefixes, last)
        (page.keys if end < 0 else page.prefixes).append(name)
        last = name
    return page


def listing(storage: Storage, bucket: str, query: Fields, page: Page) -> bytes:
    """Return a page of ListObjectsV2."""
    written = quoted if query.get("encoding-type") == "url" else str
    objects = storage.bucket(bucket)
    rows = [_row(written(key), objects[key]) for key in page.keys if key in objects]
    groups = [f"<CommonPrefixes>{leaf('Prefix', written(each))}</CommonPrefixes>" for each in page.prefixes]
    top = [leaf("Name", bucket), leaf("Prefix", written(query.get("prefix", ""))), leaf("MaxKeys", "1000")]
    top += [leaf("KeyCount", str(len(rows) + len(groups))), leaf("IsTruncated", str(page.last is not None).lower())]
    if "encoding-type" in query:
        top.append(leaf("EncodingType", "url"))
    if page.last is not None:
        top.append(leaf("NextContinuationToken", base64.urlsafe_b64encode(page.last.encode()).decode()))
    return document("ListBucketResult", *top, *rows, *groups)


def quoted(text: str) -> str:
    """Write a key as `encoding-type=url` has it."""
    return quote(text, safe="/-_.~")


def _unpacked(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise RefusalError(400, "InvalidArgument", "the continuation token is none of ours") from None


def _row(key: str, stored: Stored) -> str:
    told = [leaf("Key", key), leaf("LastModified", stamp(stored.modified)), leaf("ETag", stored.etag)]
    told += [leaf("Size", str(len(stored.content))), leaf("StorageClass", "STANDARD")]
    return f"<Contents>{''.join(told)}</Contents>"


def uploads(listed: Iterable[Upload], bucket: str, query: Fields) -> bytes:
    """Return the one page of ListMultipartUploads."""
    written = quoted if query.get("encoding-type") == "url" else str
    wanted = [each for each in listed if each.bucket == bucket and each.key.startswith(query.get("prefix", ""))]
    told = [
        f"<Upload>{leaf('Key', written(each.key))}{leaf('UploadId', each.id)}"
        f"{leaf('Initiated', stamp(each.started))}</Upload>"
        for each in sorted(wanted, key=lambda each: each.key.encode())
    ]
    kind = [leaf("EncodingType", "url")] if "encoding-type" in query else []
    return document("ListMultipartUploadsResult", leaf("Bucket", bucket), *kind, leaf("IsTruncated", "false"), *told)


def parts_of(body: bytes) -> list[tuple[int, str]]:
    """Return numbers and ETags of a CompleteMultipartUpload."""
    return [(int(_text(part, "PartNumber")), _text(part, "ETag")) for part in _parsed(body).iterfind("{*}Part")]


def keys_of(body: bytes) -> tuple[list[str], bool]:
    """Return the keys of a DeleteObjects, and whether only failures are to be told."""
    root = _parsed(body)
    return [_text(each, "Key") for each in root.iterfind("{*}Object")], _text(root, "Quiet") == "true"


def _parsed(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as problem:
        raise RefusalError(400, "MalformedXML", str(problem)) from None


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""


def buckets(names: Sequence[str]) -> bytes:
    """Return the answer to ListBuckets."""
    told = [f"<Bucket>{leaf('Name', name)}{leaf('CreationDate', stamp(0))}</Bucket>" for name in sorted(names)]
    owner = f"<Owner>{leaf('ID', 'owner')}</Owner>"
    return document("ListAllMyBucketsResult", owner, f"<Buckets>{''.join(told)}</Buckets>")


def stamp(moment: float) -> str:
    """Write a time as the documents do."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(moment))


def http_date(moment: float) -> str:
    """Write a time as headers do."""
    return formatdate(moment, usegmt=True)
