"""One page of an S3 listing (ListObjectsV2), received whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3dlio.auth.sigv4 import quote_query
from s3dlio.errors import IntegrityError
from s3dlio.http.wire import Exchange, Head
from s3dlio.stores.xml import ListPage, parse_error, parse_list
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from s3dlio.stores.service import Service

_ERROR_LENGTH = 4096  # bytes: an error document is shorter, and a page cut here is no document at all


class ListRequest:
    """The page behind `token`; None is the first. Keys come percent-encoded, since XML cannot hold every key."""

    __slots__ = ("container", "fresh", "query", "service", "uri")

    def __init__(self, service: Service, uri: Uri, token: str | None, *, recursive: bool) -> None:
        self.service = service
        self.uri = uri
        self.container = Uri("s3", uri.container, "")
        self.fresh = False
        params = [("list-type", "2"), ("encoding-type", "url"), ("prefix", uri.key)]
        if not recursive:
            params.append(("delimiter", "/"))
        if token is not None:
            params.append(("continuation-token", token))
        self.query = quote_query(params)

    def prepare(self) -> Exchange:
        """Sign the request anew."""
        origin, head = self.service.request("GET", self.container, query=self.query)
        return Exchange(origin, head, self, fresh=self.fresh)

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        """Have the page collected."""
        return None

    def conclude(self, exchange: Exchange) -> ListPage:
        """Parse the page; one that is cut off or not a listing is asked for again."""
        assert exchange.head is not None
        body = bytes(exchange.body)
        if exchange.head.status != 200 or parse_error(body[:_ERROR_LENGTH]) is not None:
            raise self.service.error(exchange, self.uri)
        try:
            return parse_list(body)
        except ValueError as problem:
            raise IntegrityError(f"incomplete listing of {self.uri}: {problem}", str(self.uri)) from problem
