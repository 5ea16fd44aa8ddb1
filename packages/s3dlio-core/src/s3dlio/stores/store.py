"""The contract of a store: what every backend can do with one object, one range, one part, one page.

A store turns each of these into requests or system calls and knows no thread. All methods are coroutines over
`s3dlio.steps`; what spans many of them (splitting, batches, trees) is built above, once for all backends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from s3dlio.errors import IntegrityError, S3dlioError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3dlio.checksum import Algorithm
    from s3dlio.uri import Uri

Place: TypeAlias = Callable[[int, int], memoryview]
"""Called once, when the size of the object and the length of the coming part are known (both in bytes): returns the
writable memory of exactly that length in which the part belongs."""

Entry: TypeAlias = tuple[str, int, str, str, str]
"""One object of a listing: key, size in bytes, last modified (RFC 3339), etag, storage class; "" where unknown."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a backend says about one object. `size` is in bytes, `last_modified` is RFC 3339 in UTC."""

    size: int
    last_modified: str | None = None
    etag: str | None = None
    content_type: str | None = None
    version_id: str | None = None
    storage_class: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class RangesIgnoredError(IntegrityError):
    """A range was asked for, and the backend sent something else: it has to be asked for all at once."""

    retryable = False


class Received(NamedTuple):
    """A range that has arrived whole.

    `length` bytes were placed; `size` is the object's. `etag` pins the version for further ranges. `stored` is the
    whole object's checksum if the backend told it, and `digest` the CRC of the bytes received, by the algorithm of
    `stored` or the one that was asked for.
    """

    size: int
    length: int
    etag: str | None = None
    stored: tuple[Algorithm, str] | None = None
    digest: int | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload under way. `id` is the backend's name for it.

    `algorithm` is that of the checksums its parts carry, and `whole` says that the object will have one sum of all.
    """

    uri: Uri
    id: str
    algorithm: Algorithm | None = None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class StaleUpload:
    """An upload, or a draft, that nobody finished: `id` is the backend's name, `started` its time (RFC 3339)."""

    uri: Uri
    id: str
    started: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the backend has stored. Numbers start at 1; `length` in bytes; `digest` is its CRC, if computed."""

    number: int
    length: int
    etag: str
    digest: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: objects, and the sub-prefixes of a listing of one level."""

    entries: Sequence[Entry]
    prefixes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How a backend wants objects split, in bytes; the defaults are S3's ("multipart upload limits" in its guide)."""

    part_size: int
    smallest_part: int = 5 << 20
    most_parts: int = 10_000
    largest_part: int = 5 << 30

    def part_for(self, uri: Uri, size: int) -> int:
        """Return the size of the parts of an object of `size` bytes: `part_size`, or as much more as is needed.

        Raises:
            S3dlioError: the largest parts are too few for it.
        """
        largest = self.most_parts * self.largest_part
        if size > largest:
            text = f"{uri}: {size} bytes do not fit in one object here, which takes {largest}: store it as several"
            raise S3dlioError(text, str(uri))
        part = max(self.part_size, self.smallest_part)
        while part * self.most_parts < size:
            part *= 2
        return min(part, self.largest_part)


class Store(Protocol):
    """One backend at one endpoint."""

    limits: Limits
    blocking: bool
    """True when the coroutines do their I/O themselves (local files): they must not run among others in one thread."""

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
        """Read up to `length` bytes from `offset` of one version of the object, in place.

        A range past the end is short, and empty from the object's size on. With `pin` an object of another etag is an
        `ObjectChangedError`. With `algorithm` the CRC of what arrived is computed. `to_end` says that all of the rest
        of the object is wanted, so that a backend without ranges may place more than `length` bytes.
        """
        ...

    async def write(self, uri: Uri, data: memoryview, *, if_none_match: bool = False, durable: bool = False) -> None:
        """Store an object whole. With `if_none_match` an existing one is a `PreconditionFailedError`.

        With `durable` it survives a power loss from the return on, as it always does on object stores.
        """
        ...

    async def start_upload(self, uri: Uri, size: int | None) -> Upload:
        """Begin an object that is sent in parts; nothing is visible before `complete_upload`."""
        ...

    async def write_part(self, upload: Upload, number: int, offset: int, data: memoryview) -> Part:
        """Store one part; `offset` is where it belongs in the object."""
        ...

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], *, if_none_match: bool = False, durable: bool = False
    ) -> None:
        """Make the object of these parts, in order of their numbers; the options are those of `write`."""
        ...

    async def abort_upload(self, upload: Upload) -> None:
        """Forget the upload and everything stored for it."""
        ...

    async def stat(self, uri: Uri) -> ObjectInfo:
        """Return what is known of an object without reading it."""
        ...

    def pages(self, uri: Uri, *, recursive: bool) -> AsyncIterator[Page]:
        """List the objects whose key starts with the key of `uri`, in lexicographic order of their keys.

        Not recursive: one level below the last `/` of the prefix, sub-prefixes ending in `/`. A missing prefix is an
        empty listing, a missing container an error. A listing that cannot be completed raises.
        """
        ...

    async def delete(self, uri: Uri) -> None:
        """Remove one object; a missing one is success."""
        ...

    async def delete_many(self, uris: Sequence[Uri]) -> None:
        """Remove objects of one container; what could not be removed is a `PartialFailureError`."""
        ...

    async def delete_tree(self, uri: Uri) -> None:
        """Remove every object below a prefix."""
        ...

    async def copy(self, source: Uri, target: Uri) -> None:
        """Copy one object inside the backend."""
        ...

    async def make_directory(self, uri: Uri) -> None:
        """Create a directory, or its marker where there are none."""
        ...

    async def create_container(self, uri: Uri) -> None:
        """Create the container of `uri`; one that the caller owns already is success."""
        ...

    async def delete_container(self, uri: Uri) -> None:
        """Remove an empty container."""
        ...

    async def list_containers(self) -> Sequence[str]:
        """Return the names of the containers that the credentials can see."""
        ...

    def close(self) -> None:
        """Let go of idle connections and the like; the store stays usable."""
        ...


@runtime_checkable
class KeepsUploads(Protocol):
    """A backend that keeps what was uploaded and never completed until somebody removes it."""

    async def abort_stale_uploads(self, uri: Uri, before: float) -> Sequence[StaleUpload]:
        """Remove the unfinished uploads below a prefix that began before a time, in seconds since the epoch.

        Returns what was removed.
        """
        ...
