"""What the server holds: buckets, objects and uploads under way, and the rules by which they change.

Written from the Amazon S3 API reference. An object is never changed, only replaced by another one.
"""

import base64
import hashlib
import itertools
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from awscrt import checksums

from tests.servers.faulty.signature import Refused

Fields = Mapping[str, str]
_LEAST_PART = 5 << 20
_SUMS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "x-amz-checksum-crc64nvme": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
        "x-amz-checksum-crc32c": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
        "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
        "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
        "x-amz-checksum-sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
        "content-md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    }
)


class RefusalError(Exception):
    """The request is understood and not carried out."""

    def __init__(self, status: int, code: str, message: str, *fields: tuple[str, str]) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.refused = Refused(status, code, message, fields)


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. `etag` has its quotes, `crc` is the CRC-64/NVME of the whole as S3 writes it."""

    content: bytes
    etag: str
    crc: str
    modified: float
    fields: Fields = field(default_factory=lambda: MappingProxyType({}))
    parts: tuple[int, ...] = ()  # the lengths of the parts it was made of


@dataclass(slots=True)
class Upload:
    """A multipart upload that is neither completed nor aborted."""

    id: str
    bucket: str
    key: str
    fields: Fields
    started: float
    parts: dict[int, Stored] = field(default_factory=dict[int, Stored])


def made(content: bytes, fields: Fields | None = None, *, etag: str | None = None) -> Stored:
    """Return an object of this content."""
    tag = etag or hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Stored(content, f'"{tag}"', encoded_crc(content), time.time(), fields or {})


def encoded_crc(content: bytes) -> str:
    """Return the CRC-64/NVME of bytes as it stands in headers."""
    return base64.b64encode(_SUMS["x-amz-checksum-crc64nvme"](content)).decode()


def told_crc(stored: Stored, start: int, end: int) -> str | None:
    """Return the checksum that an answer with this range carries, or None for a range that has none of its own.

    As "Checking object integrity" in the Amazon S3 user guide says: the whole has one, and each part by itself.
    """
    edges = [0, *itertools.accumulate(stored.parts or (len(stored.content),))]
    if (start, end) == (0, len(stored.content)):
        return stored.crc
    return encoded_crc(stored.content[start:end]) if (start, end) in itertools.pairwise(edges) else None


def check_sums(fields: Fields, content: bytes) -> None:
    """Refuse a body that is not the one whose checksum came along."""
    for name, total in _SUMS.items():
        if name in fields and fields[name] != base64.b64encode(total(content)).decode():
            raise RefusalError(400, "BadDigest", f"{name} is {fields[name]}, which the body has not")


class Storage:
    """Everything that is stored. Any thread may use it."""

    def __init__(self, *, least_part: int = _LEAST_PART) -> None:
        self.least_part = least_part
        self.lock = threading.RLock()
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.uploads: dict[str, Upload] = {}
        self._ids = itertools.count(1)

    def bucket(self, name: str) -> dict[str, Stored]:
        """Return the objects of a bucket."""
        try:
            return self.buckets[name]
        except KeyError:
            raise RefusalError(404, "NoSuchBucket", "the bucket is not there") from None

    def fill(self, bucket: str, key: str, content: bytes) -> Stored:
        """Store an object from the test's side."""
        with self.lock:
            stored = self.buckets.setdefault(bucket, {})[key] = made(content)
        return stored

    def get(self, bucket: str, key: str) -> Stored:
        """Return an object."""
        with self.lock:
            try:
                return self.bucket(bucket)[key]
            except KeyError:
                raise RefusalError(404, "NoSuchKey", "the key is not there") from None

    def put(self, bucket: str, key: str, stored: Stored, conditions: Fields) -> None:
        """Store an object, if the conditions of the request hold."""
        with self.lock:
            objects = self.bucket(bucket)
            now = objects.get(key)
            if conditions.get("if-none-match") == "*" and now is not None:
                raise RefusalError(412, "PreconditionFailed", "the object is there")
            if "if-match" in conditions and (now is None or now.etag.strip('"') != conditions["if-match"].strip('"')):
                raise RefusalError(412, "PreconditionFailed", "the object is another one")
            objects[key] = stored

    def start(self, bucket: str, key: str, fields: Fields) -> Upload:
        """Begin an upload."""
        with self.lock:
            self.bucket(bucket)
            upload = Upload(f"upload-{next(self._ids)}", bucket, key, fields, time.time())
            self.uploads[upload.id] = upload
        return upload

    def upload(self, identity: str, bucket: str, key: str) -> Upload:
        """Return an upload under way."""
        upload = self.uploads.get(identity)
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            raise RefusalError(404, "NoSuchUpload", "the upload is not there")
        return upload

    def complete(self, upload: Upload, listed: Sequence[tuple[int, str]], asked: Fields) -> Stored:
        """Make the object of an upload's parts, or refuse and leave the upload as it is."""
        with self.lock:
            self.upload(upload.id, upload.bucket, upload.key)
            content = b"".join(part.content for part in self._chosen(upload, listed))
            digests = b"".join(bytes.fromhex(upload.parts[number].etag.strip('"')) for number, _ in listed)
            tag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(listed)}"
            check_sums({name: value for name, value in asked.items() if name.startswith("x-amz-checksum-crc")}, content)
            lengths = tuple(len(upload.parts[number].content) for number, _ in listed)
            whole = replace(made(content, upload.fields), etag=f'"{tag}"', parts=lengths)
            self.put(upload.bucket, upload.key, whole, asked)
            del self.uploads[upload.id]
        return whole

    def _chosen(self, upload: Upload, listed: Sequence[tuple[int, str]]) -> list[Stored]:
        numbers = [number for number, _ in listed]
        if not listed or numbers != sorted(set(numbers)):
            raise RefusalError(400, "InvalidPartOrder" if listed else "MalformedXML", "the parts are not in order")
        chosen = [upload.parts.get(number) for number in numbers]
        for part, (_, etag) in zip(chosen, listed, strict=True):
            if part is None or part.etag.strip('"') != etag.strip('"'):
                raise RefusalError(400, "InvalidPart", "a part is not there, or another one")
        parts = [part for part in chosen if part is not None]
        if any(len(part.content) < self.least_part for part in parts[:-1]):
            raise RefusalError(400, "EntityTooSmall", "a part that is not the last is too small")
        return parts
