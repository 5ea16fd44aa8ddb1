"""What a place on the command line means: a URI, or where the command says so a bare path of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from s3dlio import operations, verbs
from s3dlio.http import blocking
from s3dlio.uri import Uri, local_path, parse

if TYPE_CHECKING:
    from s3dlio.operations import Listed, Pattern


def file_uri(path: str) -> str:
    """Return the URI of a path, or of the file that a `file://` or `direct://` URI names."""
    return f"file://{local_path(path)}"


def place(text: str) -> Uri:
    """Return what a URI or a bare path names; a path's `/` at the end is kept."""
    if "://" in text:
        return parse(text)
    slash = "/" if text.endswith("/") else ""
    return Uri("file", "", local_path(text).rstrip("/") + slash)


def inside(target: Uri, name: str) -> Uri:
    """Return where an object of this name goes: into a directory, prefix or bucket, or to the target itself."""
    if not target.key or target.key.endswith("/"):
        return Uri(target.scheme, target.container, f"{target.key}{name}")
    if target.is_local and os.path.isdir(target.key):
        return Uri(target.scheme, target.container, f"{target.key}/{name}")
    return target


def last_name(uri: Uri) -> str:
    """Return the last part of a key."""
    return uri.key.rstrip("/").rpartition("/")[2]


def as_directory(uri: Uri) -> Uri:
    """Return the prefix that holds what is below a URI: `train` is not `train2`."""
    if not uri.key or uri.key.endswith("/"):
        return uri
    return Uri(uri.scheme, uri.container, f"{uri.key}/")


def pages(uri: str, *, recursive: bool, pattern: Pattern = None) -> Iterator[Listed]:
    """Yield a listing page by page, with what it says of each object: a stat of each would be a request of each."""
    found = operations.entries(uri, recursive, pattern)
    while (page := blocking.run(verbs.next_page(found))) is not None:
        yield page


def totals(uri: str) -> tuple[int, int]:
    """Return how many objects there are below a URI, and their bytes."""
    count = held = 0
    for page in pages(uri, recursive=True):
        count += len(page)
        held += sum(entry[1] for _, entry in page if entry is not None)
    return count, held
