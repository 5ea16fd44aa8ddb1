"""S3: its verbs as requests. Which host, which signature and which error is `s3service`'s knowledge."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from copy import copy
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from s3dlio.errors import (
    NotFoundError,
    PartialFailureError,
    PreconditionFailedError,
    RequestError,
    S3dlioError,
)
from s3dlio.steps import Aside
from s3dlio.stores import s3copy, xml
from s3dlio.stores.s3client import CONTENT_TYPE, NO_BODY, S3Client, plain_etag, understood
from s3dlio.stores.s3listing import ListRequest
from s3dlio.stores.s3reads import S3Reads
from s3dlio.stores.s3sums import Body
from s3dlio.stores.s3uploads import S3Uploads
from s3dlio.stores.store import Limits, ObjectInfo, Page, Part, Received, StaleUpload, Upload
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from s3dlio.checksum import Algorithm
    from s3dlio.http.pool import Pool
    from s3dlio.stores.s3service import S3Service
    from s3dlio.stores.service import Fields
    from s3dlio.stores.store import Entry, Place
    from s3dlio.stores.xml import ListPage

log = logging.getLogger("s3dlio.stores")

_HEAVY = 256 << 10  # bytes from which on a body is worth an I/O thread of its own
_NAME = re.compile("[!-~]+").fullmatch
_BATCH = 1000  # keys in one DeleteObjects, the service's limit


class S3Store:
    """`s3://` at one endpoint; see `stores.store.Store` for the contract."""

    blocking = False

    def __init__(
        self, service: S3Service, pool: Pool, *, part_size: int, attempts: int = 5, verify: bool | str = True
    ) -> None:
        self.limits = Limits(part_size=part_size)
        self.client = S3Client(service, pool, attempts)
        self.uploads = S3Uploads(self.client)
        self.reads = S3Reads(self.client, verify)
        self.told: Fields = [CONTENT_TYPE]

    def of_class(self, storage_class: str) -> S3Store:
        """Return this store for objects of a storage class: what is written through it is kept in that.

        Raises:
            S3dlioError: no header field can hold such a name.
        """
        if not _NAME(storage_class):
            raise S3dlioError(f"{storage_class!r} is no storage class: give a name such as STANDARD_IA")
        other = copy(self)
        other.told = [CONTENT_TYPE, ("x-amz-storage-class", storage_class)]
        return other

    def close(self) -> None:
        """Close the idle connections."""
        self.client.pool.clear()

    def read(
        self,
        uri: Uri,
        offset: int,
        length: int,
        place: Place,
        *,
        pin: str | None = None,
        algorithm: Algorithm | None = None,
        to_end: bool = False,
    ) -> Awaitable[Received]:
        """Read a range in place, checked against the stored checksum where the service tells one."""
        if pin is None:
            return self.reads.first(uri, offset, length, place, to_end=to_end)
        return self.reads.further(uri, offset, length, place, pin, algorithm)

    async def write(self, uri: Uri, data: memoryview, *, if_none_match: bool = False, durable: bool = False) -> None:
        """Store an object; its checksum goes along, so that the service refuses other bytes."""
        writing = self._write(uri, data, if_none_match)
        await (Aside(writing) if len(data) > _HEAVY else writing)

    async def _write(self, uri: Uri, data: memoryview, if_none_match: bool) -> None:
        client = self.client
        condition = [("if-none-match", "*")] if if_none_match else []
        request = Body(client.service, client.agreement, uri, data, fields=[*self.told, *condition])
        try:
            await client.perform(request, uri)
        except PreconditionFailedError:
            # An attempt whose answer was lost may have stored the object that is now in the way.
            algorithm = request.sums.algorithm
            total = None if algorithm is None else (algorithm, request.digest)
            if not request.doubtful or not await client.holds(uri, len(data), total, plain_etag(data)):
                raise

    async def start_upload(self, uri: Uri, size: int | None) -> Upload:
        """Begin a multipart upload whose parts and whole carry a CRC."""
        return await self.uploads.start(uri, self.told)

    async def write_part(self, upload: Upload, number: int, offset: int, data: memoryview) -> Part:
        """Store one part with its checksum."""
        part: Part = await Aside(self.uploads.write_part(upload, number, data))
        return part

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], *, if_none_match: bool = False, durable: bool = False
    ) -> None:
        """Make the object; the service compares the checksum of the whole. Without parts, an empty one is put."""
        if parts:
            await self.uploads.complete(upload, parts, if_none_match=if_none_match)
            return
        await self.uploads.abort(upload)
        await self._write(upload.uri, NO_BODY, if_none_match)

    async def abort_upload(self, upload: Upload) -> None:
        """Drop the parts of an upload; one that is gone already is success."""
        await self.uploads.abort(upload)

    async def abort_stale_uploads(self, uri: Uri, before: float) -> Sequence[StaleUpload]:
        """Abort the uploads below a prefix that began before a time, in seconds since the epoch."""
        return await self.uploads.abort_stale(uri, before)

    async def stat(self, uri: Uri) -> ObjectInfo:
        """Ask with HEAD."""
        fields = await self.client.head(uri)
        return ObjectInfo(
            size=self.client.size_of(uri, fields),
            last_modified=_rfc3339(fields.get("last-modified")),
            etag=fields.get("etag"),
            content_type=fields.get("content-type"),
            version_id=fields.get("x-amz-version-id"),
            storage_class=fields.get("x-amz-storage-class", "STANDARD"),
            metadata={name[11:]: value for name, value in fields.items() if name.startswith("x-amz-meta-")},
        )

    async def pages(self, uri: Uri, *, recursive: bool) -> AsyncIterator[Page]:
        """List by pages of the service."""
        token: str | None = None
        told = False
        last_key = last_prefix = ""
        while True:
            page = await self.client.perform(ListRequest(self.client.service, uri, token, recursive=recursive), uri)
            entries, prefixes = _inside(uri, page)
            if not told and len(entries) + len(prefixes) < len(page.entries) + len(page.prefixes):
                told = True
                log.warning("the listing of %s has keys that do not begin so: they are left out", uri)
            # Some services begin a page with what the one before ended with.
            entries = entries[1:] if entries and entries[0][0] == last_key else entries
            prefixes = prefixes[1:] if prefixes and prefixes[0] == last_prefix else prefixes
            last_key = entries[-1][0] if entries else last_key
            last_prefix = prefixes[-1] if prefixes else last_prefix
            yield Page(entries, prefixes)
            if not page.truncated:
                return
            if page.token == token:
                raise S3dlioError(f"incomplete listing of {uri}: the service repeats itself", str(uri))
            token = page.token

    async def delete(self, uri: Uri) -> None:
        """Remove one object; S3 answers the same whether it was there or not."""
        try:
            await self.client.ask("DELETE", uri)
        except NotFoundError as error:
            if error.code == "NoSuchBucket":
                raise

    async def delete_many(self, uris: Sequence[Uri]) -> None:
        """Remove objects of one bucket, up to 1,000 with a request."""
        for start in range(0, len(uris), _BATCH):
            await self._delete_batch(uris[start : start + _BATCH])

    async def _delete_batch(self, uris: Sequence[Uri]) -> None:
        plain = [uri for uri in uris if xml.can_hold(uri.key)]
        for uri in uris:
            if not xml.can_hold(uri.key):  # a control character: XML 1.0 has no way to write it
                await self.delete(uri)
        if not plain:
            return
        document = xml.delete_document([uri.key for uri in plain])
        digest = base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()
        fields = [("content-md5", digest), ("content-type", "application/xml")]
        container = Uri("s3", plain[0].container, "")
        answer = await self.client.ask("POST", container, query="delete=", fields=fields, payload=memoryview(document))
        failures = understood(xml.parse_delete, answer, container)
        if failures:
            raise _partial(container, failures)

    async def delete_tree(self, uri: Uri) -> None:
        """Remove every object below a prefix, page by page."""
        async for page in self.pages(uri, recursive=True):
            await self.delete_many([Uri("s3", uri.container, entry[0]) for entry in page.entries])

    async def copy(self, source: Uri, target: Uri) -> None:
        """Copy inside the service; see `s3copy.copy`."""
        await s3copy.copy(self, source, target)

    async def make_directory(self, uri: Uri) -> None:
        """Store the empty marker object that tools show as a folder."""
        key = uri.key if uri.key.endswith("/") else f"{uri.key}/"
        await self.write(Uri("s3", uri.container, key), memoryview(b""))

    async def create_container(self, uri: Uri) -> None:
        """Create the bucket in the region of the endpoint."""
        bucket = Uri("s3", uri.container, "")
        payload = memoryview(xml.create_bucket_document(self.client.service.region))
        try:
            await self.client.ask("PUT", bucket, payload=payload)
        except RequestError as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    async def delete_container(self, uri: Uri) -> None:
        """Remove an empty bucket."""
        await self.client.ask("DELETE", Uri("s3", uri.container, ""))

    async def list_containers(self) -> Sequence[str]:
        """Return the buckets of the account."""
        service = Uri("s3", "", "")
        return understood(xml.parse_buckets, await self.client.ask("GET", service), service)


def _inside(uri: Uri, page: ListPage) -> tuple[list[Entry], list[str]]:
    """Return what of a page begins with the prefix that was asked for."""
    return (
        [entry for entry in page.entries if entry[0].startswith(uri.key)],
        [prefix for prefix in page.prefixes if prefix.startswith(uri.key)],
    )


def _partial(container: Uri, failures: Sequence[tuple[str, str, str]]) -> PartialFailureError:
    errors: dict[str, Exception] = {
        f"s3://{container.container}/{key}": S3dlioError(
            f"{code}: {message}", f"s3://{container.container}/{key}", code=code
        )
        for key, code, message in failures
    }
    key, code, message = failures[0]
    text = f"{len(failures)} objects of {container} could not be deleted, the first is {key!r}: {code} {message}"
    return PartialFailureError(text, str(container), errors=errors)


def _rfc3339(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).isoformat().replace("+00:00", "Z")
    except ValueError:
        return text
