"""What is known of objects, as the interface names it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RestoreStatus:
    """Whether an archived object is being restored, and until when it is there (seconds since the epoch)."""

    in_progress: bool
    expiry: int | None = None


@dataclass
class ObjectInfo:
    """One object of a listing. `size` is in bytes, `last_modified` in seconds since the epoch."""

    key: str
    etag: str
    size: int
    last_modified: int
    storage_class: str | None = None
    restore_status: RestoreStatus | None = None


@dataclass
class HeadObjectResult:
    """One object that was asked for by name. `size` is in bytes, `last_modified` in seconds since the epoch."""

    etag: str
    size: int
    last_modified: int
    storage_class: str | None = None
    restore_status: RestoreStatus | None = None


@dataclass
class ListObjectResult:
    """One page of a listing: objects, and the prefixes that a delimiter makes of the others."""

    object_info: list[ObjectInfo] = field(default_factory=list[ObjectInfo])
    common_prefixes: list[str] = field(default_factory=list[str])
