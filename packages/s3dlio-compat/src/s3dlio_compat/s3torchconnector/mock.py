"""A client whose objects are in memory: for the tests of programs that use one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from s3dlio.errors import BucketNotFoundError, NotFoundError
from s3dlio.stores.store import Entry, Page
from s3dlio.uri import Uri, parse
from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.exceptions import MISSING_OBJECT, translated
from s3dlio_compat.s3torchconnector.listing import in_seconds, quoted
from s3dlio_compat.s3torchconnector.records import HeadObjectResult
from s3dlio_compat.s3torchconnector.user_agent import UserAgent
from s3dlio_compat.s3torchconnector.writer import S3Writer


class MockS3Client(S3Client):
    """One bucket in memory, with the errors of the service. Put objects into it with `add_object`."""

    def __init__(
        self,
        region: str,
        bucket: str,
        user_agent: UserAgent | None = None,
        s3client_config: S3ClientConfig | None = None,
    ) -> None:
        super().__init__(region, user_agent=user_agent, s3client_config=s3client_config)
        self._memory = _Memory(bucket)

    def add_object(self, key: str, data: bytes) -> None:
        """Put an object into the bucket."""
        self._memory.add(key, bytes(data))

    def remove_object(self, key: str) -> None:
        """Take an object out of the bucket."""
        del self._memory.objects[key]

    def put_object(self, bucket: str, key: str, storage_class: str | None = None) -> S3Writer:
        """Return a writer whose content becomes the object when it is closed."""
        with translated():
            self._memory.check(bucket)
        return S3Writer(_Stream(self._memory, key))

    def head_object(self, bucket: str, key: str) -> HeadObjectResult:
        """Return what is known of an object."""
        with translated(MISSING_OBJECT, missing_bucket=MISSING_OBJECT):
            self._memory.check(bucket)
            _, size, modified, etag, _ = self._memory.entry(key)
        return HeadObjectResult(quoted(etag), size, in_seconds(modified), "STANDARD")

    def delete_object(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        with translated():
            self._memory.check(bucket)
        self._memory.objects.pop(key, None)

    def copy_object(self, src_bucket: str, src_key: str, dst_bucket: str, dst_key: str) -> None:
        """Copy an object inside the bucket."""
        with translated(MISSING_OBJECT):
            self._memory.check(src_bucket)
            self._memory.check(dst_bucket)
            self._memory.add(dst_key, self._memory.content(src_key))

    def _source(self, bucket: str, key: str) -> Any:
        self._memory.check(bucket)
        return _Source(self._memory.content(key))

    def _fetching(self, bucket: str, key: str, most: int) -> None:
        """Fetch nothing ahead: it is in memory."""

    def _open_any(self, uri: str) -> tuple[Any, Uri]:
        return self._memory, parse(uri)


class _Memory:
    """The bucket: contents and times by key."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.objects: dict[str, tuple[bytes, str]] = {}

    def add(self, key: str, data: bytes) -> None:
        self.objects[key] = data, datetime.now(UTC).isoformat()

    def check(self, bucket: str) -> None:
        if bucket != self.bucket:
            raise BucketNotFoundError(f"the bucket in memory is {self.bucket!r}, not {bucket!r}", f"s3://{bucket}/")

    def content(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFoundError(f"no object {key!r} in memory", f"s3://{self.bucket}/{key}")
        return self.objects[key][0]

    def entry(self, key: str) -> Entry:
        data = self.content(key)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return key, len(data), self.objects[key][1], digest, "STANDARD"

    async def pages(self, uri: Uri, *, recursive: bool) -> AsyncIterator[Page]:
        self.check(uri.container)
        found = sorted(key for key in self.objects if key.startswith(uri.key))
        ends = {key: len(key) if recursive else key.find("/", len(uri.key)) + 1 or len(key) for key in found}
        yield Page(
            [self.entry(key) for key in found if ends[key] == len(key)],
            sorted({key[: ends[key]] for key in found if ends[key] < len(key)}),
        )


class _Source:
    """An object in memory, read as others are."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def read_bytes(self, offset: int = 0, length: int | None = None) -> bytes:
        return self._content[offset : None if length is None else offset + length]

    def read_into(self, offset: int, memory: memoryview) -> int:
        piece = self.read_bytes(offset, len(memory))
        memory[: len(piece)] = piece
        return len(piece)


class _Stream:
    """What is written to an object in memory."""

    def __init__(self, memory: _Memory, key: str) -> None:
        self._memory = memory
        self._key = key
        self._held = bytearray()

    def write(self, data: Any, /) -> None:
        self._held += data

    def close(self) -> None:
        self._memory.add(self._key, bytes(self._held))

    def abort(self) -> None:
        """Forget what was written."""
