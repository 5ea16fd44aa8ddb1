"""One page of an S3 listing, of objects or of uploads: received whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from s3dlio.auth.sigv4 import quote_query
from s3dlio.errors import IntegrityError
from s3dlio.http.wire import Exchange, Head
from s3dlio.stores.xml import ListPage, UploadsPage, parse_error, parse_list, parse_uploads
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from s3dlio.stores.service import Service

T = TypeVar("T")

_ERROR_LENGTH = 4096  # bytes: an error document is shorter, and a page cut here is no document at all


class _PageRequest(Generic[T]):
    """A page of a container. Keys come percent-encoded, since XML cannot hold every key."""

    __slots__ = ("container", "fresh", "parse", "query", "service", "uri")

    def __init__(self, service: Service, uri: Uri, query: str, parse: Callable[[bytes], T]) -> None:
        self.service = service
        self.uri = uri
        self.container = Uri("s3", uri.container, "")
        self.fresh = False
        self.query = query
        self.parse = parse

    def prepare(self) -> Exchange:
        """Sign the request anew."""
        origin, head = self.service.request("GET", self.container, query=self.query)
        return Exchange(origin, head, self, fresh=self.fresh)

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        """Have the page collected."""
        return None

    def conclude(self, exchange: Exchange) -> T:
        """Parse the page; one that is cut off or not a listing is asked for again."""
        assert exchange.head is not None
        body = bytes(exchange.body)
        if exchange.head.status != 200 or parse_error(body[:_ERROR_LENGTH]) is not None:
            raise self.service.error(exchange, self.uri)
        try:
            return self.parse(body)
        except ValueError as problem:
            raise IntegrityError(f"incomplete listing of {self.uri}: {problem}", str(self.uri)) from problem


class ListRequest(_PageRequest[ListPage]):
    """The objects behind `token`; None is the first page."""

    __slots__ = ()

    def __init__(self, service: Service, uri: Uri, token: str | None, *, recursive: bool) -> None:
        params = [("list-type", "2"), ("encoding-type", "url"), ("prefix", uri.key)]
        if not recursive:
            params.append(("delimiter", "/"))
        if token is not None:
            params.append(("continuation-token", token))
        super().__init__(service, uri, quote_query(params), parse_list)


class UploadsRequest(_PageRequest[UploadsPage]):
    """The unfinished uploads behind `marker`, a key and an upload id; two empty ones are the first page."""

    __slots__ = ()

    def __init__(self, service: Service, uri: Uri, marker: tuple[str, str]) -> None:
        params = [("uploads", ""), ("encoding-type", "url"), ("prefix", uri.key)]
        named = zip(("key-marker", "upload-id-marker"), marker, strict=True)
        params += [(name, value) for name, value in named if value]
        super().__init__(service, uri, quote_query(params), parse_uploads)
