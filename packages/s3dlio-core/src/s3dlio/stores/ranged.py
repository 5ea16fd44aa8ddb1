"""The read contract over HTTP: exactly the bytes of one version of the object, or an error.

Status, range, length, size and ETag of every answer are compared with what was asked. A body that breaks off is
resumed where it broke, pinned to the version it began with; without an ETag it starts over.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from s3dlio import checksum
from s3dlio.config import ETAG_MD5
from s3dlio.errors import IntegrityError, NotFoundError, ObjectChangedError, PreconditionFailedError
from s3dlio.http.wire import Exchange, Head
from s3dlio.stores.service import Service
from s3dlio.stores.store import RangesIgnoredError, Received

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

    from s3dlio.stores.store import Place
    from s3dlio.uri import Uri

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})").fullmatch
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})").fullmatch
_REQUESTED_CHECKSUM = ("x-amz-checksum-mode", "ENABLED")
_NOTHING = memoryview(b"")
_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"').fullmatch
_CUSTOMER_KEY = "x-amz-server-side-encryption-customer-algorithm"


def _md5(data: Buffer, _: int) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest(), "big")


_MD5 = checksum.Algorithm("MD5", 16, _md5)


def _plain_md5(fields: Mapping[str, str]) -> tuple[checksum.Algorithm, str] | None:
    """Return the MD5 that an ETag is if its object was put at once, and not encrypted with a key of KMS or one's own.

    The rule is that of "Checking object integrity" in the Amazon S3 user guide.
    """
    etag = _MD5_ETAG(fields.get("etag", ""))
    encrypted = fields.get("x-amz-server-side-encryption", "AES256") != "AES256" or _CUSTOMER_KEY in fields
    return None if etag is None or encrypted else (_MD5, base64.b64encode(bytes.fromhex(etag[1])).decode())


@lru_cache(maxsize=64)
def _fields(span: tuple[int, int] | None, pin: str | None, verify: bool | str) -> tuple[tuple[str, str], ...]:
    """Return the fields of a request; first requests for small objects have the same ones."""
    fields: tuple[tuple[str, str], ...] = (_REQUESTED_CHECKSUM,) if verify else ()
    if span is not None:
        fields += (("range", f"bytes={span[0]}-{span[1]}"),)
    return fields if pin is None else (*fields, ("if-match", pin))


class RangeRead:
    """One range of one object, received in place; see `stores.store.Store.read` for the parameters.

    `to_end` says that the object is wanted up to its end: a service that ignores ranges may send it all at once.
    With `whole` the first request names no range, since S3 tells the checksum of an object with the whole of it only;
    of an object that is larger than `length` the rest is given up, at the price of the connection.
    """

    __slots__ = (
        "_cut",
        "_exchange",
        "_filling",
        "_got",
        "_of_whole",
        "_place",
        "_ranged",
        "fresh",
        "length",
        "memory",
        "offset",
        "pin",
        "service",
        "size",
        "stored",
        "to_end",
        "uri",
        "verify",
    )

    def __init__(
        self,
        service: Service,
        uri: Uri,
        offset: int,
        length: int,
        place: Place,
        *,
        pin: str | None,
        to_end: bool,
        verify: bool | str,
        whole: bool = False,
    ) -> None:
        self.service = service
        self.uri = uri
        self.offset = offset
        self.length = length
        self.pin = pin
        self.to_end = to_end
        self.verify = verify
        self.fresh = False
        self.size = -1
        self.stored: tuple[checksum.Algorithm, str] | None = None
        self._place = place
        self.memory = _NOTHING
        self._got = 0
        self._of_whole = False
        self._ranged = not whole
        self._cut = whole
        self._exchange: Exchange | None = None
        self._filling = False

    def restart(self) -> None:
        """Forget what was received: it was not the object."""
        self._got = 0
        self._filling = False
        self.fresh = True

    def prepare(self) -> Exchange:
        """Ask for what is still missing of the range."""
        if self._filling and self._exchange is not None:
            self._count_received(self._exchange.received)
        span = (self.offset + self._got, self.offset + self.length - 1) if self._ranged else None
        fields = _fields(span, self.pin, self.verify)
        origin, request = self.service.request("GET", self.uri, fields=fields)
        self._exchange = Exchange(origin, request, self, fresh=self.fresh, cut=self._cut)
        return self._exchange

    def _count_received(self, received: int) -> None:
        """Keep what the last attempt received, if the next one can be sure to continue the same version."""
        self._filling = False
        if self.pin is None or not (self._ranged or self._cut):
            self._got = 0
            return
        self._got += received
        self._ranged, self._cut = True, False

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        """Check the answer against the question before a byte of it is placed."""
        if head.status == 206:
            start, end, size = self._content_range(head)
        elif head.status == 200:
            if length is None:
                return None
            start, end, size = self._whole(length)
        else:
            return None
        self._check(head, start, end, size)
        if length is not None and length != end - start and not self._cut:
            raise IntegrityError(f"the answer has {length} bytes, its Content-Range says {end - start}")
        return None if length is None else self._take_place(head, start, end, size)

    def _take_place(self, head: Head, start: int, end: int, size: int) -> memoryview:
        if self.memory is _NOTHING or len(self.memory) != end - self.offset:
            self.memory = self._place(size, end - self.offset)
        if self.verify and self.stored is None:
            self._of_whole = head.status == 200
            self.stored = checksum.stored_checksum(head.fields)
            if self.stored is None and self.verify == ETAG_MD5:
                self.stored = _plain_md5(head.fields)
        self._filling = True
        return self.memory[start - self.offset :] if start > self.offset else self.memory

    def _content_range(self, head: Head) -> tuple[int, int, int]:
        text = head.fields.get("content-range", "")
        match = _CONTENT_RANGE(text)
        if match is None:
            raise IntegrityError(f"the answer is partial and its Content-Range is {text!r}")
        start, end, size = int(match[1]), int(match[2]) + 1, int(match[3])
        if start != self.offset + self._got or end != min(self.offset + self.length, size):
            raise IntegrityError(
                f"asked for bytes {self.offset + self._got}-{self.offset + self.length - 1}, got {text!r}"
            )
        return start, end, size

    def _whole(self, length: int) -> tuple[int, int, int]:
        """Judge an answer that is not partial; mostly a range was asked for."""
        if self._cut:
            return 0, min(length, self.length), length
        if self._got or self.offset:
            self.restart()
            self._ranged = not (self.to_end and self.offset == 0)
            if self._ranged:
                raise RangesIgnoredError("the service ignored the range of the request")
            raise IntegrityError("the service ignored the range of the request")
        if self._ranged and length >= self.length:
            # All of it, or cut to the range without saying so: only a request without a range tells.
            if not self.to_end:
                self._refuse_unranged(length)
            self._ranged = False
            if length == self.length:
                raise IntegrityError("the service answered a range with 200")
        return 0, length, length

    def _refuse_unranged(self, length: int) -> None:
        if length != self.length:
            raise RangesIgnoredError(f"the service ignored the range and sent all {length} bytes")

    def _check(self, head: Head, start: int, end: int, size: int) -> None:
        etag = head.fields.get("etag")
        if self.pin is not None and etag != self.pin:
            raise ObjectChangedError(
                f"{self.uri} was replaced while it was read: its ETag is {etag} now, not {self.pin}"
            )
        if self.size not in (-1, size):
            raise ObjectChangedError(
                f"{self.uri} was replaced while it was read: its size is {size} now, not {self.size}"
            )
        self.size = size
        self.pin = self.pin or etag

    def conclude(self, exchange: Exchange) -> Received:
        """Return what was received, or raise what the answer says instead."""
        head = exchange.head
        assert head is not None
        self._exchange = None  # it knows this read: the cycle would keep the memory until a garbage collection
        if head.status in (200, 206):
            return self._received(exchange, head)
        if head.status == 416:
            return self._past_the_end(exchange, head)
        error = self.service.error(exchange, self.uri)
        if isinstance(error, PreconditionFailedError) and self.pin is not None:
            raise ObjectChangedError(f"{self.uri} was replaced while it was read", str(self.uri)) from error
        if isinstance(error, NotFoundError) and self.memory is not _NOTHING:
            raise ObjectChangedError(f"{self.uri} was deleted while it was read", str(self.uri)) from error
        raise error

    def _received(self, exchange: Exchange, head: Head) -> Received:
        if exchange.body or self.memory is _NOTHING:
            self._copy_collected(exchange, head)
        return Received(self.size, len(self.memory), self.pin, self._stored_whole())

    def _stored_whole(self) -> tuple[checksum.Algorithm, str] | None:
        """Return the checksum of the object; a service may tell that of the range instead, if the range is a part."""
        if self.stored is None or len(self.memory) == self.size:
            return self.stored
        algorithm, told = self.stored
        if not algorithm.combinable:
            return None
        if self._of_whole:
            return self.stored
        return None if algorithm.encode(algorithm.update(self.memory)) == told else self.stored

    def _copy_collected(self, exchange: Exchange, head: Head) -> None:
        """Place a body that came without a length: chunked, or ended by the peer closing."""
        body = exchange.body
        if head.status == 200 and not exchange.keep_alive and "transfer-encoding" not in head.fields:
            raise IntegrityError("the answer has no length: it may have been cut off anywhere")
        start, end, size = self._content_range(head) if head.status == 206 else self._whole(len(body))
        if self._cut:
            body = body[:end]
        if len(body) != end - start:
            raise IntegrityError(f"the answer has {len(body)} bytes, its Content-Range says {end - start}")
        self._check(head, start, end, size)
        self._take_place(head, start, end, size)[:] = body

    def _past_the_end(self, exchange: Exchange, head: Head) -> Received:
        match = _UNSATISFIED(head.fields.get("content-range", ""))
        if match is not None and int(match[1]) <= self.offset:
            return self._empty(int(match[1]))
        if self.offset == 0 and self._ranged and match is None:
            self._ranged = False  # an empty object, told in a service's own way
            raise IntegrityError("the service refused a range from the start of the object without its size")
        if match is None:
            return self._empty(self.offset)
        raise self.service.error(exchange, self.uri)

    def _empty(self, size: int) -> Received:
        self._place(size, 0)
        return Received(size, 0, self.pin)
