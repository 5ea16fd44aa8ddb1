"""What a cloud's dialect knows: how a request is addressed and signed, and what its error answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from s3dlio.http.wire import Exchange, Head, Origin

if TYPE_CHECKING:
    from s3dlio.errors import S3dlioError
    from s3dlio.uri import Uri

Fields = Sequence[tuple[str, str]]
"""Header fields: lower-case names, values without line ends."""


class Service(Protocol):
    """One endpoint of one cloud, for one set of credentials."""

    @property
    def hashes(self) -> bool:
        """Whether requests are signed with the SHA-256 of their bodies."""
        ...

    def request(
        self,
        method: str,
        uri: Uri,
        *,
        query: str = "",
        fields: Fields = (),
        payload: memoryview | None = None,
        sha256: str | None = None,
    ) -> tuple[Origin, bytes]:
        """Return where a request goes and its signed head, ready for the wire; `sha256` is the payload's, if known."""
        ...

    def error(self, exchange: Exchange, uri: Uri) -> S3dlioError:
        """Return the error that an answer is."""
        ...


class Request:
    """A request whose answer is a short document or only a head. The result is the exchange."""

    __slots__ = ("fields", "fresh", "method", "payload", "query", "service", "sha256", "uri")

    def __init__(
        self,
        service: Service,
        method: str,
        uri: Uri,
        *,
        query: str = "",
        fields: Fields = (),
        payload: memoryview | None = None,
    ) -> None:
        self.service = service
        self.method = method
        self.uri = uri
        self.query = query
        self.fields = fields
        self.payload = payload
        self.sha256: str | None = None
        self.fresh = False

    def prepare(self) -> Exchange:
        """Sign the request anew: a signature has the time in it."""
        origin, head = self.service.request(
            self.method, self.uri, query=self.query, fields=self.fields, payload=self.payload, sha256=self.sha256
        )
        return Exchange(origin, head, self, payload=self.payload, heads_only=self.method == "HEAD", fresh=self.fresh)

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        """Have the answer collected."""
        return None

    def conclude(self, exchange: Exchange) -> Exchange:
        """Return the exchange if the service did what was asked."""
        assert exchange.head is not None
        if 200 <= exchange.head.status < 300:
            return exchange
        raise self.service.error(exchange, self.uri)
