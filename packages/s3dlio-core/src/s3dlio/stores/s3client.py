"""One S3 endpoint as its verbs ask it: the service that signs, its connections, and what retries may cost."""

from __future__ import annotations

import hashlib
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from s3dlio.errors import IntegrityError, NotFoundError
from s3dlio.http.client import Budget, Call, perform
from s3dlio.stores.s3sums import Agreement
from s3dlio.stores.service import Request
from s3dlio.stores.xml import ErrorDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3dlio.checksum import Algorithm
    from s3dlio.http.pool import Pool
    from s3dlio.http.wire import Exchange
    from s3dlio.steps import Task
    from s3dlio.stores.s3service import S3Service
    from s3dlio.stores.service import Fields, Service
    from s3dlio.uri import Uri

T = TypeVar("T")

CONTENT_TYPE = ("content-type", "application/octet-stream")
CHECKSUM_MODE = ("x-amz-checksum-mode", "ENABLED")
NO_BODY = memoryview(b"")
# How much longer than a small answer one may take that puts a large object together: minutes, by default. S3 sends
# a space now and then meanwhile (CompleteMultipartUpload in the API reference), so a byte is progress here.
_LONGER = 6


class S3Client:
    """What the verbs of one endpoint share."""

    def __init__(self, service: S3Service, pool: Pool, attempts: int) -> None:
        self.service = service
        self.pool = pool
        self.budget = Budget(attempts)
        self.agreement = Agreement(str(service.origin))
        self._patient = copy(pool)  # the same connections
        pace = pool.pace
        self._patient.pace = replace(
            pace, first_byte=pace.first_byte * _LONGER, bytes=min(pace.bytes, 1), window=pace.window * _LONGER
        )

    def perform(self, call: Call[T], uri: Uri) -> Task[T]:
        """Carry out a call; see `http.client.perform`."""
        return perform(call, self.pool, self.budget, uri)

    def work(self, call: Call[T], uri: Uri) -> Task[T]:
        """Carry out a call that keeps the service busy for long."""
        return perform(call, self._patient, self.budget, uri)

    async def ask(
        self, method: str, uri: Uri, *, query: str = "", fields: Fields = (), payload: memoryview | None = None
    ) -> Exchange:
        """Make a request whose answer is short."""
        request = Request(self.service, method, uri, query=query, fields=fields, payload=payload)
        return await self.perform(request, uri)

    async def head(self, uri: Uri, fields: Fields = ()) -> Mapping[str, str]:
        """Return the header fields of an object, by their names in lower case."""
        answer = await self.ask("HEAD", uri, fields=fields)
        assert answer.head is not None
        return answer.head.fields

    def size_of(self, uri: Uri, fields: Mapping[str, str]) -> int:
        """Return the size in bytes that the fields of an object tell."""
        length = fields.get("content-length")
        if length is None:
            raise IntegrityError(f"{uri}: the service does not tell the size", str(uri))
        return int(length)

    async def holds(self, uri: Uri, size: int, total: tuple[Algorithm, int] | None, etag: str | None) -> bool:
        """Tell whether what is stored has this size and this checksum, or where none is told this ETag."""
        try:
            fields = await self.head(uri, [CHECKSUM_MODE] if total is not None else [])
        except NotFoundError:
            return False
        if fields.get("content-length") != str(size):
            return False
        if total is not None and (told := fields.get(total[0].header)) is not None:
            return told == total[0].encode(total[1])
        return etag is not None and fields.get("etag", "").strip('"') == etag


class Answered(Request):
    """A request that S3 may answer with 200 and an `<Error>` document, long after the head was sent.

    `parse` returns the ETag that the document tells, which `etag` then is.
    """

    __slots__ = ("etag", "parse")

    def __init__(
        self,
        service: Service,
        method: str,
        uri: Uri,
        parse: Callable[[bytes], str | ErrorDocument],
        *,
        query: str = "",
        fields: Fields = (),
        payload: memoryview = NO_BODY,
    ) -> None:
        super().__init__(service, method, uri, query=query, fields=fields, payload=payload)
        self.parse = parse
        self.etag = ""

    def conclude(self, exchange: Exchange) -> Exchange:
        """Look into the document before it counts as success."""
        exchange = super().conclude(exchange)
        self.etag = etag_within(self.service, self.uri, exchange, self.parse)
        return exchange


def understood(parse: Callable[[bytes], T], exchange: Exchange, uri: Uri) -> T:
    """Return what the document of an answer says.

    Raises:
        IntegrityError: there is no document, or none that is safe to read.
    """
    try:
        return parse(bytes(exchange.body))
    except ValueError as problem:
        raise IntegrityError(f"{uri}: the service's answer cannot be read: {problem}", str(uri)) from problem


def etag_within(service: Service, uri: Uri, exchange: Exchange, parse: Callable[[bytes], str | ErrorDocument]) -> str:
    """Return the ETag in the document of a 200, or raise the error that the document is."""
    try:
        told = parse(bytes(exchange.body))
    except ValueError as problem:
        raise IntegrityError(f"{uri}: the answer is not the one to the request: {problem}", str(uri)) from problem
    if isinstance(told, ErrorDocument):
        raise service.error(exchange, uri)
    return told


def plain_etag(data: memoryview) -> str:
    """Return the ETag of an object stored at once: the MD5 of its bytes, unless the service encrypts in other ways."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
