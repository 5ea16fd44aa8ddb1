"""Which checksum goes along with a body: the best one that the endpoint takes, found out by asking.

Some services know CRC-64/NVME, some only CRC-32C, some refuse every header of the kind, each in words of its own. A
refusal is told from a damaged body by its code and its words. What was sent instead is kept once it was accepted.
"""

from __future__ import annotations

import logging
import re
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from s3dlio.checksum import CRC32C, CRC64NVME, with_sha256
from s3dlio.errors import IntegrityError
from s3dlio.stores.service import Request
from s3dlio.stores.xml import parse_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3dlio.checksum import Algorithm
    from s3dlio.http.wire import Exchange
    from s3dlio.stores.service import Fields, Service
    from s3dlio.uri import Uri

log = logging.getLogger("s3dlio.stores")

_LADDER = (CRC64NVME, CRC32C, None)
# As Backblaze, Cloudflare R2, MinIO and AWS name a header or a value that they do not take. A body that is not what
# its checksum says has codes of its own: BadDigest, XAmzContentChecksumMismatch.
_REFUSALS = ("InvalidRequest", "InvalidArgument", "NotImplemented", "InvalidHeader")
_NAMES_CHECKSUM = re.compile(r"checksum|crc-?(?:32|64)", re.IGNORECASE).search
_NAMES_TYPE = re.compile(r"checksum[- ]type|full_object", re.IGNORECASE).search
_DIFFERENCE = re.compile(r"not match|mismatch", re.IGNORECASE).search
_DETAILS = ("Header", "ArgumentName")


@dataclass(frozen=True, slots=True)
class Sums:
    """What goes along: the algorithm, None for none, and whether an upload names the type of its checksum."""

    algorithm: Algorithm | None
    typed: bool = True

    @property
    def _rank(self) -> int:
        return _LADDER.index(self.algorithm)

    def below(self) -> Sums | None:
        """Return the next weaker algorithm; None when there is no checksum left to leave out."""
        return None if self.algorithm is None else replace(self, algorithm=_LADDER[self._rank + 1])

    def least(self, other: Sums) -> Sums:
        """Return what both allow."""
        weaker = self if self._rank > other._rank else other
        return Sums(weaker.algorithm, self.typed and other.typed)


NOTHING = Sums(None)


class Agreement:
    """What one endpoint takes, as far as it is known. Any thread may ask and report."""

    def __init__(self, place: str) -> None:
        self.now = Sums(CRC64NVME)
        self._place = place
        self._lock = threading.Lock()

    def settle(self, accepted: Sums) -> None:
        """Send no more than what was accepted from now on; say so once."""
        if accepted == self.now:
            return
        with self._lock:
            before, self.now = self.now, self.now.least(accepted)
        if self.now.algorithm is not before.algorithm and before.algorithm is not None:
            named = "no checksum" if self.now.algorithm is None else self.now.algorithm.name
            text = "%s does not take %s: bodies go with %s from now on"
            log.warning(text, self._place, before.algorithm.name, named)

    def lower(self, refused: Algorithm) -> None:
        """Send the next weaker one from now on, where `refused` was no help inside of an upload."""
        if (below := replace(self.now, algorithm=refused).below()) is not None:
            self.settle(below)


def refusal(exchange: Exchange, *, conditional: bool) -> str | None:
    """Return the service's words if an answer refuses a checksum as such, else None.

    A service that has not implemented something and does not say what may mean the condition of a `conditional`
    request, and the checksum of any other.
    """
    head = exchange.head
    assert head is not None
    if head.status not in (400, 501):
        return None
    document = parse_error(bytes(exchange.body))
    code = document.code if document is not None else ""
    said = (
        "" if document is None else " ".join([document.message, *(document.extra.get(each, "") for each in _DETAILS)])
    )
    if head.status == 501 or code == "NotImplemented":
        return said if _NAMES_CHECKSUM(said) or not conditional else None
    return said if code in _REFUSALS and _NAMES_CHECKSUM(said) and not _DIFFERENCE(said) else None


class Negotiated(Request, ABC):
    """A request that names a checksum, made again with a weaker one where that is what the service refuses."""

    __slots__ = ("agreement", "others", "sums")

    def __init__(
        self,
        service: Service,
        agreement: Agreement,
        method: str,
        uri: Uri,
        *,
        query: str = "",
        fields: Fields = (),
        payload: memoryview | None = None,
        sums: Sums | None = None,
    ) -> None:
        super().__init__(service, method, uri, query=query, payload=payload)
        self.agreement = agreement
        self.others = fields
        self.sums = agreement.now if sums is None else sums

    @abstractmethod
    def named(self) -> Fields:
        """Return the fields that name the checksum, for the present `sums`."""

    def weaker(self, said: str) -> Sums | None:
        """Return what to try after a refusal in these words."""
        return self.sums.below()

    def prepare(self) -> Exchange:
        """Sign the request with the fields of the present checksum."""
        self.fields = [*self.others, *self.named()]
        return super().prepare()

    def conclude(self, exchange: Exchange) -> Exchange:
        """Return the answer; one that refuses the checksum is a reason to ask again without it."""
        said = refusal(exchange, conditional=any(name == "if-none-match" for name, _ in self.others))
        if said is not None and (weaker := self.weaker(said)) is not None:
            self.sums = weaker
            error = self.service.error(exchange, self.uri)
            error.corrected = True
            raise error
        return super().conclude(exchange)


class Start(Negotiated):
    """CreateMultipartUpload, which announces the checksum of the whole object."""

    __slots__ = ()

    def named(self) -> Fields:
        """Name the algorithm, and that the sum is one of the whole object."""
        if self.sums.algorithm is None:
            return ()
        kind = [("x-amz-checksum-type", "FULL_OBJECT")] if self.sums.typed else []
        return [("x-amz-checksum-algorithm", self.sums.algorithm.name), *kind]

    def weaker(self, said: str) -> Sums | None:
        """Leave out the type first, if it is that."""
        if self.sums.typed and self.sums.algorithm is not None and _NAMES_TYPE(said):
            return replace(self.sums, typed=False)
        return super().weaker(said)

    def conclude(self, exchange: Exchange) -> Exchange:
        """Remember what was accepted."""
        exchange = super().conclude(exchange)
        self.agreement.settle(self.sums)
        return exchange


class Body(Negotiated):
    """PutObject or UploadPart: bytes with their checksum, compared with the one that the service answers.

    `digest` is the sum that went along. `doubtful` tells whether an attempt got no answer that says it failed.
    """

    __slots__ = ("_summed", "_unanswered", "digest", "part_of")

    def __init__(
        self,
        service: Service,
        agreement: Agreement,
        uri: Uri,
        data: memoryview,
        *,
        query: str = "",
        fields: Fields = (),
        part_of: Sums | None = None,
    ) -> None:
        # A checksum that the endpoint has refused since the upload began is left out: it cannot be another one now.
        here = part_of if part_of is None or part_of.algorithm is agreement.now.algorithm else NOTHING
        super().__init__(service, agreement, "PUT", uri, query=query, fields=fields, payload=data, sums=here)
        self.part_of = part_of
        self.digest = 0
        self._summed: Algorithm | None = None
        self._unanswered = 0

    @property
    def doubtful(self) -> bool:
        """Whether an attempt may have been carried out although it did not succeed."""
        return self._unanswered > 0

    def named(self) -> Fields:
        """Compute the sum, once for each algorithm."""
        algorithm = self.sums.algorithm
        if algorithm is None:
            return ()
        if self._summed is not algorithm:
            assert self.payload is not None
            self._sum(algorithm, self.payload)
        return [(algorithm.header, algorithm.encode(self.digest)), ("x-amz-sdk-checksum-algorithm", algorithm.name)]

    def _sum(self, algorithm: Algorithm, data: memoryview) -> None:
        self._summed = algorithm
        if self.service.hashes and self.sha256 is None:
            self.digest, self.sha256 = with_sha256(algorithm, data)
        else:
            self.digest = algorithm.update(data)

    def weaker(self, said: str) -> Sums | None:
        """Send a part without: its upload has been told another algorithm."""
        if self.part_of is None or self.sums.algorithm is None:
            return super().weaker(said)
        self.agreement.lower(self.sums.algorithm)
        return NOTHING

    def prepare(self) -> Exchange:
        """Count the attempt."""
        exchange = super().prepare()
        self._unanswered += 1
        return exchange

    def conclude(self, exchange: Exchange) -> Exchange:
        """Compare what the service says it stored."""
        head = exchange.head
        assert head is not None
        self._unanswered -= head.status < 500
        exchange = super().conclude(exchange)
        if self.part_of is None:
            self.agreement.settle(self.sums)
        self._compare(head.fields)
        return exchange

    def _compare(self, told: Mapping[str, str]) -> None:
        assert self.payload is not None
        algorithm = self.sums.algorithm
        if algorithm is not None and told.get(algorithm.header, "") not in ("", algorithm.encode(self.digest)):
            raise self._damaged(f"the {algorithm.name} {told[algorithm.header]}, not {algorithm.encode(self.digest)}")
        size = told.get("x-amz-object-size") if self.part_of is None else None
        if size not in (None, str(len(self.payload))):
            raise self._damaged(f"the size {size}, not {len(self.payload)}")

    def _damaged(self, difference: str) -> IntegrityError:
        error = IntegrityError(f"{self.uri}: what the service stored has {difference}", str(self.uri))
        if any(name == "if-none-match" for name, _ in self.others):
            error.retryable = False  # type: ignore[misc]  # what was stored is in the way of another attempt
        return error
