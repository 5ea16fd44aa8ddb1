"""Listings as pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

from s3dlio import oplog
from s3dlio.http import blocking
from s3dlio.stores.store import Entry, Page, Store
from s3dlio.uri import Uri
from s3dlio.verbs import next_page
from s3dlio_compat.s3torchconnector.exceptions import translated
from s3dlio_compat.s3torchconnector.records import ListObjectResult, ObjectInfo
from s3dlio_compat.s3torchconnector.uris import uri_of


class ListObjectStream:
    """An iterator over the pages of a listing, each of at most `max_keys` names."""

    def __init__(
        self,
        open_any: Callable[[str], tuple[Store, Uri]],
        bucket: str,
        prefix: str,
        delimiter: str,
        max_keys: int,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.delimiter = delimiter
        self.max_keys = max_keys
        self.continuation_token: str | None = None
        self.complete = False
        self._open_any = open_any
        self._names: Iterator[ObjectInfo | str] | None = None
        self._next: ObjectInfo | str | None = None

    def __iter__(self) -> ListObjectStream:
        """Return itself."""
        return self

    def __next__(self) -> ListObjectResult:
        """Return the next page; there is one even of an empty listing.

        Raises:
            S3Exception: the listing cannot be continued; it never ends early.
        """
        if self.complete:
            raise StopIteration
        if self._names is None:
            self._names = self._listed()
            self._next = next(self._names, None)
        page = ListObjectResult()
        for _ in range(self.max_keys):
            name = self._next
            if name is None:
                break
            if isinstance(name, str):
                page.common_prefixes.append(name)
            else:
                page.object_info.append(name)
            self._next = next(self._names, None)
        self.complete = self._next is None
        last = page.object_info[-1].key if page.object_info else None
        self.continuation_token = None if self.complete else last
        return page

    def _listed(self) -> Iterator[ObjectInfo | str]:
        store, where = self._open_any(uri_of(self.bucket, self.prefix))
        pages = oplog.watch_pages(where, store.pages(where, recursive=self.delimiter != "/"))
        seen: str | None = None
        while (page := _next(pages)) is not None:
            for name in _in_order(page):
                group = name if isinstance(name, str) else self._group(name.key)
                if group is None:
                    yield name
                elif group != seen:
                    seen = group
                    yield group

    def _group(self, key: str) -> str | None:
        """Return the common prefix that a delimiter makes of a key."""
        if self.delimiter in ("", "/"):
            return None
        at = key.find(self.delimiter, len(self.prefix))
        return None if at < 0 else key[: at + len(self.delimiter)]


def _next(pages: AsyncIterator[Page]) -> Page | None:
    with translated():
        return blocking.run(next_page(pages))


def _in_order(page: Page) -> list[ObjectInfo | str]:
    names: list[ObjectInfo | str] = [*map(_info, page.entries), *page.prefixes]
    return sorted(names, key=lambda name: name if isinstance(name, str) else name.key) if page.prefixes else names


def _info(entry: Entry) -> ObjectInfo:
    key, size, modified, etag, storage_class = entry
    return ObjectInfo(key, quoted(etag), size, in_seconds(modified), storage_class or None)


def in_seconds(modified: str | None) -> int:
    """Return an RFC 3339 time in seconds since the epoch; 0 where it is unknown."""
    return int(datetime.fromisoformat(modified).timestamp()) if modified else 0


def quoted(etag: str | None) -> str:
    """Return an ETag in its quotes, as services send it."""
    bare = (etag or "").strip('"')
    return f'"{bare}"' if bare else ""
