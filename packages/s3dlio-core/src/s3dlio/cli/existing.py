"""Which objects of a tree are at their target already: the same size, and there not older than the source.

Two listings in the same order are walked side by side, so any number of objects needs the memory of two pages.
Times are compared to the second, which is all that object stores tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from s3dlio import verbs
from s3dlio.cli.places import as_directory, pages
from s3dlio.errors import NotFoundError
from s3dlio.uri import Uri


class Existing:
    """What lies below a target; asked about names in the order of a listing."""

    def __init__(self, target: Uri) -> None:
        self._listing = _named(as_directory(target))
        self._at: tuple[bytes, int, str] | None = next(self._listing, None)
        self.skipped = 0

    def wanted(self, relative: str, size: int, modified: str) -> bool:
        """Tell whether an object of this relative name, size in bytes and time is still to be moved."""
        name = os.fsencode(relative)
        while self._at is not None and self._at[0] < name:
            self._at = next(self._listing, None)
        if self._at is None or self._at[0] != name:
            return True
        there = is_there((size, modified), self._at[1:])
        self.skipped += there
        return not there


def _named(prefix: Uri) -> Iterator[tuple[bytes, int, str]]:
    for page in pages(str(prefix), recursive=True):
        for key, entry in page:
            if entry is not None:
                yield os.fsencode(key[len(prefix.key) :]), entry[1], entry[2]


def is_there(source: tuple[int, str], target: tuple[int, str]) -> bool:
    """Tell whether a target of this size and time (RFC 3339, UTC) can be the copy of such a source."""
    # The first 19 characters are the time to the second, and sort as the time does.
    return source[0] == target[0] and bool(source[1]) and source[1][:19] <= target[1][:19]


def has_copy(source: str, target: str) -> bool:
    """Tell the same of one object."""
    try:
        there = verbs.stat(target)
    except NotFoundError:
        return False
    here = verbs.stat(source)
    return is_there((here["size"], here["last_modified"] or ""), (there["size"], there["last_modified"] or ""))
