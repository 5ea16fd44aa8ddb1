"""Reads from S3: how the checksum of an object is learned, and compared with what arrived.

S3 tells it with an answer that has the whole object, and with HEAD, but not with a part of it ("Checking object
integrity" in the user guide). So a first request names no range where a small object is expected; where a large one is,
it asks for the first part and HEAD beside it for the checksum. What to expect is what the bucket's last object was: a
guess that decides how much is asked for, never what is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3dlio.checksum import stored_checksum
from s3dlio.errors import AccessDeniedError, IntegrityError, NotFoundError, PreconditionFailedError, RequestError
from s3dlio.steps import Aside, Offload, Together
from s3dlio.stores.ranged import RangeRead
from s3dlio.stores.s3client import CHECKSUM_MODE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from s3dlio.checksum import Algorithm
    from s3dlio.stores.s3client import S3Client
    from s3dlio.stores.store import Place, Received
    from s3dlio.uri import Uri

_HEAVY = 256 << 10  # bytes from which on a body is worth an I/O thread of its own


class S3Reads:
    """The reads of one endpoint; `verify` is the setting of that name."""

    def __init__(self, client: S3Client, verify: bool | str) -> None:
        self.client = client
        self.verify = verify
        self._large: set[str] = set()  # buckets whose last object did not fit into one part
        self._asks_beside = bool(verify)  # until an answer to a range tells a checksum itself

    async def first(self, uri: Uri, offset: int, length: int, place: Place, *, to_end: bool) -> Received:
        """Read a first part, or an object that is no larger, which is then compared with its checksum."""
        opening = to_end and offset == 0
        whole = opening and uri.container not in self._large
        call = RangeRead(
            self.client.service, uri, offset, length, place, pin=None, to_end=to_end, verify=self.verify, whole=whole
        )
        beside = opening and not whole and self._asks_beside
        received = await (self._with_checksum(call, uri) if beside else self.client.perform(call, uri))
        if opening:
            self._learn_size(uri, received)
        if received.stored is None or not received.length:
            return received
        algorithm, stored = received.stored
        digest = await _digest(algorithm, call.memory)
        if received.length == received.size and stored != algorithm.encode(digest):
            call.restart()
            received = await self.client.perform(call, uri)
            digest = await _digest(algorithm, call.memory)
            if stored != algorithm.encode(digest):
                raise IntegrityError(f"{uri}: what arrives does not have the checksum that is stored", str(uri))
        return received._replace(stored=(algorithm, stored), digest=digest)

    def further(
        self, uri: Uri, offset: int, length: int, place: Place, pin: str, algorithm: Algorithm | None
    ) -> Awaitable[Received]:
        """Read another part of the version that `pin` names, with its sum if `algorithm` is given."""
        reading = self._further(uri, offset, length, place, pin, algorithm)
        return Aside(reading) if length > _HEAVY else reading

    async def _further(
        self, uri: Uri, offset: int, length: int, place: Place, pin: str, algorithm: Algorithm | None
    ) -> Received:
        call = RangeRead(self.client.service, uri, offset, length, place, pin=pin, to_end=False, verify=False)
        received = await self.client.perform(call, uri)
        if algorithm is None or not received.length:
            return received
        return received._replace(digest=await _digest(algorithm, call.memory))

    async def _with_checksum(self, call: RangeRead, uri: Uri) -> Received:
        both: list[Any] = await Together[Any]((self.client.perform(call, uri), self._told(uri)), 2)
        received: Received = both[0]
        told: Mapping[str, str] | None = both[1]
        if received.stored is not None:
            self._asks_beside = received.length == received.size  # only then it may be no more than S3 tells
        elif told is not None and told.get("etag") == received.etag:
            received = received._replace(stored=stored_checksum(told))
        return received

    async def _told(self, uri: Uri) -> Mapping[str, str] | None:
        """Return what HEAD tells; None where only GET is allowed. What is wrong with the object, GET says."""
        try:
            return await self.client.head(uri, [CHECKSUM_MODE])
        except (NotFoundError, AccessDeniedError, RequestError, PreconditionFailedError):
            return None

    def _learn_size(self, uri: Uri, received: Received) -> None:
        if received.length < received.size:
            self._large.add(uri.container)
        else:
            self._large.discard(uri.container)


async def _digest(algorithm: Algorithm, data: memoryview) -> int:
    if len(data) <= _HEAVY:
        return algorithm.update(data)
    digest: int = await Offload(lambda: algorithm.update(data))
    return digest
