"""S3: its verbs as requests. Which host, which signature and which error is `s3service`'s knowledge."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from s3dlio import checksum
from s3dlio.auth.sigv4 import quote_key, quote_query
from s3dlio.errors import (
    IntegrityError,
    NotFoundError,
    PartialFailureError,
    PreconditionFailedError,
    RequestError,
    S3dlioError,
)
from s3dlio.http.client import Budget, perform
from s3dlio.steps import Aside, Offload
from s3dlio.stores import xml
from s3dlio.stores.ranged import RangeRead
from s3dlio.stores.s3listing import ListRequest
from s3dlio.stores.service import Request
from s3dlio.stores.store import Limits, ObjectInfo, Page, Part, Received, Upload
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from s3dlio.checksum import Algorithm
    from s3dlio.http.pool import Pool
    from s3dlio.http.wire import Exchange
    from s3dlio.stores.s3service import S3Service
    from s3dlio.stores.store import Place

_SUM = checksum.CRC64NVME
_ALGORITHM = ("x-amz-sdk-checksum-algorithm", _SUM.name)
_HEAVY = 256 << 10  # bytes from which on a body is worth an I/O thread of its own
_BATCH = 1000  # keys in one DeleteObjects, the service's limit


class S3Store:
    """`s3://` at one endpoint; see `stores.store.Store` for the contract."""

    blocking = False

    def __init__(
        self, service: S3Service, pool: Pool, *, part_size: int, attempts: int = 5, verify: bool = True
    ) -> None:
        self.limits = Limits(part_size=part_size)
        self.service = service
        self.pool = pool
        self.budget = Budget(attempts)
        self.verify = verify

    def close(self) -> None:
        """Close the idle connections."""
        self.pool.clear()

    async def _ask(
        self,
        method: str,
        uri: Uri,
        *,
        query: str = "",
        fields: Sequence[tuple[str, str]] = (),
        payload: memoryview | None = None,
    ) -> Exchange:
        request = Request(self.service, method, uri, query=query, fields=fields, payload=payload)
        return await perform(request, self.pool, self.budget, str(uri))

    async def read(
        self,
        uri: Uri,
        offset: int,
        length: int,
        place: Place,
        *,
        pin: str | None = None,
        algorithm: Algorithm | None = None,
        to_end: bool = False,
    ) -> Received:
        """Read a range in place, checked against the stored checksum where the service tells one."""
        reading = self._read(uri, offset, length, place, pin, algorithm, to_end)
        # A later part of a large object is surely as large as asked for; a first part may be small.
        return await (Aside(reading) if pin is not None and length > _HEAVY else reading)

    async def _read(
        self,
        uri: Uri,
        offset: int,
        length: int,
        place: Place,
        pin: str | None,
        algorithm: Algorithm | None,
        to_end: bool,
    ) -> Received:
        verify = self.verify and pin is None
        call = RangeRead(self.service, uri, offset, length, place, pin=pin, to_end=to_end, verify=verify)
        for last in (False, True):
            received = await perform(call, self.pool, self.budget, str(uri))
            chosen = algorithm or (received.stored[0] if received.stored is not None else None)
            if chosen is None or not received.length:
                return received
            digest = await _digest(chosen, call.memory)
            if received.stored is None or received.length < received.size:
                break
            if received.stored[1] == chosen.encode(digest):
                break
            if last:
                raise IntegrityError(f"{uri}: what arrives does not have the checksum that is stored", str(uri))
            call.restart()
        return Received(received.size, received.length, received.etag, received.stored, digest)

    async def write(self, uri: Uri, data: memoryview, *, if_none_match: bool = False, durable: bool = False) -> None:
        """Store an object; its checksum goes along, so that the service refuses other bytes."""
        writing = self._write(uri, data, if_none_match)
        await (Aside(writing) if len(data) > _HEAVY else writing)

    async def _write(self, uri: Uri, data: memoryview, if_none_match: bool) -> None:
        digest = _SUM.update(data)
        fields = [(_SUM.header, _SUM.encode(digest)), _ALGORITHM, ("content-type", "application/octet-stream")]
        if not if_none_match:
            await self._ask("PUT", uri, fields=fields, payload=data)
            return
        try:
            await self._ask("PUT", uri, fields=[*fields, ("if-none-match", "*")], payload=data)
        except PreconditionFailedError as error:
            # An attempt whose answer was lost may have stored the object that is now in the way.
            if error.attempts == 1 or not await self._holds(uri, len(data), digest):
                raise

    async def _holds(self, uri: Uri, size: int, digest: int) -> bool:
        """Tell whether an object is stored with this size and checksum."""
        try:
            answer = await self._ask("HEAD", uri, fields=[("x-amz-checksum-mode", "ENABLED")])
        except NotFoundError:
            return False
        assert answer.head is not None
        fields = answer.head.fields
        return fields.get("content-length") == str(size) and fields.get(_SUM.header) == _SUM.encode(digest)

    async def start_upload(self, uri: Uri, size: int | None) -> Upload:
        """Begin a multipart upload whose parts and whole carry a CRC."""
        fields = [
            ("x-amz-checksum-algorithm", _SUM.name),
            ("x-amz-checksum-type", "FULL_OBJECT"),
            ("content-type", "application/octet-stream"),
        ]
        answer = await self._ask("POST", uri, query="uploads=", fields=fields, payload=memoryview(b""))
        return Upload(uri, xml.parse_initiate(bytes(answer.body)))

    async def write_part(self, upload: Upload, number: int, offset: int, data: memoryview) -> Part:
        """Store one part with its checksum."""
        part: Part = await Aside(self._write_part(upload, number, data))
        return part

    async def _write_part(self, upload: Upload, number: int, data: memoryview) -> Part:
        digest = _SUM.update(data)
        fields = [(_SUM.header, _SUM.encode(digest)), _ALGORITHM]
        query = quote_query([("partNumber", str(number)), ("uploadId", upload.id)])
        answer = await self._ask("PUT", upload.uri, query=query, fields=fields, payload=data)
        assert answer.head is not None
        etag = answer.head.fields.get("etag", "")
        if not etag:
            raise IntegrityError(f"{upload.uri}: the service stored part {number} without an ETag", str(upload.uri))
        return Part(number, len(data), etag, digest)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], *, if_none_match: bool = False, durable: bool = False
    ) -> None:
        """Make the object; the service compares the checksum of the whole."""
        document = memoryview(xml.complete_document([(part.number, part.etag) for part in parts]))
        fields = [("content-type", "application/xml")]
        whole = _combined(parts)
        if whole is not None:
            fields += [(_SUM.header, _SUM.encode(whole)), ("x-amz-checksum-type", "FULL_OBJECT")]
        if if_none_match:
            fields.append(("if-none-match", "*"))
        query = quote_query([("uploadId", upload.id)])
        request = _Completion(self.service, "POST", upload.uri, query=query, fields=fields, payload=document)
        try:
            await perform(request, self.pool, self.budget, str(upload.uri))
        except NotFoundError as error:
            # An attempt whose answer was lost may have completed the upload, which then exists no more.
            size = sum(part.length for part in parts)
            if error.attempts == 1 or whole is None or not await self._holds(upload.uri, size, whole):
                raise

    async def abort_upload(self, upload: Upload) -> None:
        """Drop the parts of an upload; one that is gone already is success."""
        try:
            await self._ask("DELETE", upload.uri, query=quote_query([("uploadId", upload.id)]))
        except NotFoundError:
            return

    async def stat(self, uri: Uri) -> ObjectInfo:
        """Ask with HEAD."""
        answer = await self._ask("HEAD", uri)
        assert answer.head is not None
        fields = answer.head.fields
        length = fields.get("content-length")
        if length is None:
            raise IntegrityError(f"{uri}: the service does not tell the size", str(uri))
        return ObjectInfo(
            size=int(length),
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
        while True:
            request = ListRequest(self.service, uri, token, recursive=recursive)
            page = await perform(request, self.pool, self.budget, str(uri))
            yield Page(
                [entry for entry in page.entries if entry[0].startswith(uri.key)],
                [prefix for prefix in page.prefixes if prefix.startswith(uri.key)],
            )
            if not page.truncated:
                return
            if page.token == token:
                raise S3dlioError(f"incomplete listing of {uri}: the service repeats itself", str(uri))
            token = page.token

    async def delete(self, uri: Uri) -> None:
        """Remove one object; S3 answers the same whether it was there or not."""
        try:
            await self._ask("DELETE", uri)
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
        answer = await self._ask("POST", container, query="delete=", fields=fields, payload=memoryview(document))
        failures = xml.parse_delete(bytes(answer.body))
        if failures:
            raise _partial(container, failures)

    async def delete_tree(self, uri: Uri) -> None:
        """Remove every object below a prefix, page by page."""
        async for page in self.pages(uri, recursive=True):
            await self.delete_many([Uri("s3", uri.container, entry[0]) for entry in page.entries])

    async def copy(self, source: Uri, target: Uri) -> None:
        """Copy inside the service, up to its limit of 5 GiB for one request."""
        fields = [("x-amz-copy-source", f"/{source.container}/{quote_key(source.key)}")]
        request = _Completion(self.service, "PUT", target, fields=fields, payload=memoryview(b""))
        try:
            await perform(request, self.pool, self.budget, str(target))
        except NotFoundError as error:
            if error.code == "NoSuchBucket":
                raise
            raise NotFoundError(f"there is no object {source}", str(source), status=404, code=error.code) from error

    async def make_directory(self, uri: Uri) -> None:
        """Store the empty marker object that tools show as a folder."""
        key = uri.key if uri.key.endswith("/") else f"{uri.key}/"
        await self.write(Uri("s3", uri.container, key), memoryview(b""))

    async def create_container(self, uri: Uri) -> None:
        """Create the bucket in the region of the endpoint."""
        bucket = Uri("s3", uri.container, "")
        payload = memoryview(xml.create_bucket_document(self.service.region))
        try:
            await self._ask("PUT", bucket, payload=payload)
        except RequestError as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    async def delete_container(self, uri: Uri) -> None:
        """Remove an empty bucket."""
        await self._ask("DELETE", Uri("s3", uri.container, ""))

    async def list_containers(self) -> Sequence[str]:
        """Return the buckets of the account."""
        answer = await self._ask("GET", Uri("s3", "", ""))
        return xml.parse_buckets(bytes(answer.body))


class _Completion(Request):
    """A request that S3 may answer with 200 and an `<Error>` document, long after the head was sent."""

    __slots__ = ()

    def conclude(self, exchange: Exchange) -> Exchange:
        """Look into the document before it counts as success."""
        exchange = super().conclude(exchange)
        if xml.parse_error(bytes(exchange.body)) is not None:
            raise self.service.error(exchange, self.uri)
        if not exchange.body:
            raise IntegrityError(f"{self.uri}: the service answered without a document", str(self.uri))
        return exchange


async def _digest(algorithm: Algorithm, data: memoryview) -> int:
    if len(data) <= _HEAVY:
        return algorithm.update(data)
    digest: int = await Offload(lambda: algorithm.update(data))
    return digest


def _combined(parts: Sequence[Part]) -> int | None:
    whole = 0
    for part in parts:
        if part.digest is None:
            return None
        whole = _SUM.combine(whole, part.digest, part.length)
    return whole


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
