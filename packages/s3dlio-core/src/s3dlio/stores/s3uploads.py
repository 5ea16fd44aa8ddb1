"""Multipart uploads of S3: begun, filled, completed or aborted, and those that somebody left behind."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import TYPE_CHECKING

from s3dlio.auth.sigv4 import quote_query
from s3dlio.errors import IntegrityError, NotFoundError, PartialFailureError, PreconditionFailedError, S3dlioError
from s3dlio.steps import Together
from s3dlio.stores import xml
from s3dlio.stores.s3client import NO_BODY, etag_within, understood
from s3dlio.stores.s3listing import UploadsRequest
from s3dlio.stores.s3sums import NOTHING, Body, Negotiated, Start, Sums
from s3dlio.stores.store import Part, StaleUpload, Upload
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3dlio.checksum import Algorithm
    from s3dlio.http.wire import Exchange
    from s3dlio.stores.s3client import S3Client
    from s3dlio.stores.service import Fields

_MD5 = re.compile(r'"?([0-9a-f]{32})"?').fullmatch
_SIDE_BY_SIDE = 8


class S3Uploads:
    """The uploads at one endpoint."""

    def __init__(self, client: S3Client) -> None:
        self.client = client

    async def start(self, uri: Uri, fields: Fields) -> Upload:
        """Begin an upload whose parts and whole carry a checksum, the best one that the service takes.

        `fields` describe the object.
        """
        client = self.client
        request = Start(client.service, client.agreement, "POST", uri, query="uploads=", fields=fields, payload=NO_BODY)
        answer = await client.perform(request, uri)
        assert answer.head is not None
        algorithm = request.sums.algorithm
        # CRC-64/NVME is always one of the whole object; the others have to be confirmed as such.
        told = answer.head.fields.get("x-amz-checksum-type", "").upper()
        whole = algorithm is not None and (algorithm.name == "CRC64NVME" or told == "FULL_OBJECT")
        return Upload(uri, understood(xml.parse_initiate, answer, uri), algorithm, whole)

    async def start_plain(self, uri: Uri, fields: Fields) -> Upload:
        """Begin an upload of the service's own bytes, with these header fields for the object."""
        answer = await self.client.ask("POST", uri, query="uploads=", fields=fields, payload=NO_BODY)
        return Upload(uri, understood(xml.parse_initiate, answer, uri))

    async def write_part(self, upload: Upload, number: int, data: memoryview) -> Part:
        """Store one part with its checksum."""
        client, uri = self.client, upload.uri
        query = quote_query([("partNumber", str(number)), ("uploadId", upload.id)])
        request = Body(client.service, client.agreement, uri, data, query=query, part_of=Sums(upload.algorithm))
        answer = await client.perform(request, uri)
        assert answer.head is not None
        etag = answer.head.fields.get("etag", "")
        if not etag:
            raise IntegrityError(f"{uri}: the service stored part {number} without an ETag", str(uri))
        return Part(number, len(data), etag, None if request.sums.algorithm is None else request.digest)

    async def complete(self, upload: Upload, parts: Sequence[Part], *, if_none_match: bool = False) -> None:
        """Make the object, and compare the checksum that the service tells of it with the one of the parts."""
        ordered = sorted(parts, key=lambda part: part.number)
        whole = _combined(upload.algorithm, ordered)
        request = _Completion(self.client, upload, ordered, whole, if_none_match=if_none_match)
        try:
            answer = await self.client.work(request, upload.uri)
        except (NotFoundError, PreconditionFailedError) as error:
            # An attempt whose answer was lost may have completed the upload, which then exists no more.
            size = sum(part.length for part in ordered)
            total = (upload.algorithm, whole) if upload.algorithm is not None and whole is not None else None
            lost = error.attempts > 1 and error.code != "NoSuchBucket"
            if not lost or not await self.client.holds(upload.uri, size, total, _composite_etag(ordered)):
                raise
        else:
            _compare(upload, whole, understood(xml.parse_checksums, answer, upload.uri))

    async def abort(self, upload: Upload) -> None:
        """Drop the parts of an upload; one that is gone already is success."""
        try:
            await self.client.ask("DELETE", upload.uri, query=quote_query([("uploadId", upload.id)]))
        except NotFoundError:
            return

    async def abort_stale(self, uri: Uri, before: float) -> list[StaleUpload]:
        """Abort the uploads below a prefix that began before a time, in seconds since the epoch; return them.

        Raises:
            PartialFailureError: some could not be aborted; the others are.
        """
        aborted: list[StaleUpload] = []
        errors: dict[str, Exception] = {}

        async def drop(key: str, upload_id: str, started: str) -> None:
            where = Uri(uri.scheme, uri.container, key)
            try:
                await self.abort(Upload(where, upload_id))
            except S3dlioError as error:
                errors[f"{where} upload {upload_id}"] = error
            else:
                aborted.append(StaleUpload(where, upload_id, started))

        marker = ("", "")
        while True:
            page = await self.client.perform(UploadsRequest(self.client.service, uri, marker), uri)
            old = [each for each in page.uploads if each[0].startswith(uri.key) and _seconds(uri, each[2]) < before]
            await Together((drop(*each) for each in old), _SIDE_BY_SIDE)
            if page.next is None:
                break
            if page.next == marker:
                raise S3dlioError(
                    f"incomplete listing of the uploads below {uri}: the service repeats itself", str(uri)
                )
            marker = page.next
        if errors:
            first, error = next(iter(errors.items()))
            text = f"{len(errors)} uploads below {uri} could not be aborted, the first is {first}: {error}"
            done = {f"{each.uri} upload {each.id}": each for each in aborted}
            raise PartialFailureError(text, str(uri), results=done, errors=errors)
        return aborted


class _Completion(Negotiated):
    """CompleteMultipartUpload: with the checksum of the whole object, or else with those of the parts."""

    __slots__ = ("parts", "upload", "whole")

    def __init__(
        self, client: S3Client, upload: Upload, parts: Sequence[Part], whole: int | None, *, if_none_match: bool
    ) -> None:
        fields = [("content-type", "application/xml"), *([("if-none-match", "*")] if if_none_match else [])]
        query = quote_query([("uploadId", upload.id)])
        sums = Sums(upload.algorithm) if whole is not None else NOTHING
        super().__init__(client.service, client.agreement, "POST", upload.uri, query=query, fields=fields, sums=sums)
        self.upload = upload
        self.parts = parts
        self.whole = whole

    def named(self) -> Fields:
        """Tell the sum of the whole, if the upload has been told that there will be one."""
        algorithm = self.sums.algorithm
        if algorithm is None or self.whole is None or not self.upload.whole:
            return ()
        return [(algorithm.header, algorithm.encode(self.whole)), ("x-amz-checksum-type", "FULL_OBJECT")]

    def weaker(self, said: str) -> Sums | None:
        """Leave the checksums out: the upload has been told another algorithm."""
        if self.sums.algorithm is None:
            return None
        self.agreement.lower(self.sums.algorithm)
        return NOTHING

    def prepare(self) -> Exchange:
        """Write the document for the present checksum."""
        self.payload = memoryview(self._document())
        return super().prepare()

    def _document(self) -> bytes:
        numbered = [(part.number, part.etag) for part in self.parts]
        algorithm = self.sums.algorithm
        if algorithm is None or self.upload.whole:
            return xml.complete_document(numbered)
        sums = [algorithm.encode(part.digest or 0) for part in self.parts]
        return xml.complete_document(numbered, algorithm=algorithm.name, checksums=sums)

    def conclude(self, exchange: Exchange) -> Exchange:
        """Look into the document before it counts as success."""
        exchange = super().conclude(exchange)
        etag_within(self.service, self.uri, exchange, xml.parse_complete)
        return exchange


def _combined(algorithm: Algorithm | None, parts: Sequence[Part]) -> int | None:
    """Return the sum of the whole object, if every part has one."""
    whole = 0
    for part in parts:
        if algorithm is None or part.digest is None:
            return None
        whole = algorithm.combine(whole, part.digest, part.length)
    return whole


def _composite_etag(parts: Sequence[Part]) -> str | None:
    """Return the ETag that S3 gives to an object of these parts: the MD5 of their MD5s, and their number."""
    found = [_MD5(part.etag) for part in parts]
    sums = b"".join(bytes.fromhex(match[1]) for match in found if match is not None)
    if len(sums) != 16 * len(parts):
        return None
    return f"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _compare(upload: Upload, whole: int | None, told: dict[str, str]) -> None:
    algorithm = upload.algorithm
    if algorithm is None or whole is None or told.get("x-amz-checksum-type", "FULL_OBJECT").upper() != "FULL_OBJECT":
        return
    stored = told.get(algorithm.header, "")
    if stored and "-" not in stored and stored != algorithm.encode(whole):
        raise IntegrityError(
            f"{upload.uri}: what the service stored has the {algorithm.name} {stored}, not {algorithm.encode(whole)}: "
            "put it again",
            str(upload.uri),
        )


def _seconds(uri: Uri, initiated: str) -> float:
    try:
        return datetime.fromisoformat(initiated).timestamp()
    except ValueError as problem:
        text = f"an upload below {uri} began at {initiated!r}, which is no time: abort it by hand"
        raise S3dlioError(text, str(uri)) from problem
