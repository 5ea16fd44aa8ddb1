"""Trees of files: a local directory to a prefix and back, keeping the relative names.

A key comes from whoever may write to the bucket, so what is downloaded goes through a `FolderStore`, which nothing
leaves.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from s3dlio import operations
from s3dlio.errors import NotFoundError, PartialFailureError, S3dlioError
from s3dlio.http import blocking
from s3dlio.operations import Pattern
from s3dlio.steps import Task, Together
from s3dlio.stores import store_for
from s3dlio.stores.folder import FolderStore
from s3dlio.uri import Uri, local_path, parse
from s3dlio.verbs import checked_workers, next_page

if TYPE_CHECKING:
    from s3dlio.stores.store import Entry, Store

Progress = Callable[[int, int], object]
"""Called after each file with the files and the bytes moved so far."""
Wanted = Callable[[str, int, str], bool]
"""Asked before each file of a tree, in the order of the listing: relative name, size in bytes, time (RFC 3339)."""

_WORKERS = 16


def upload(
    src_uri: str | os.PathLike[str] | None = None,
    dest_uri: str | None = None,
    pattern: Pattern = None,
    recursive: bool = True,
    *,
    local_dir: str | os.PathLike[str] | None = None,
    remote_uri: str | None = None,
    progress: Progress | None = None,
    wanted: Wanted | None = None,
    workers: int = _WORKERS,
) -> dict[str, Any]:
    """Store a local directory, or one file, below a URI; return `files`, `bytes` and `seconds`.

    `src_uri` (or `local_dir`) is a path or a `file://` URI, `dest_uri` (or `remote_uri`) the prefix. `pattern` is as
    for `list`, and a file of a directory that is not `wanted` is left out. So is a symbolic link to a
    directory, with all that is behind it; a link to a file is uploaded as the file it names.

    Raises:
        NotFoundError: there is no such directory or file.
        PartialFailureError: some files could not be stored; the others are.
    """
    path = local_path(_given("src_uri", src_uri, "local_dir", local_dir))
    target = parse(_given("dest_uri", dest_uri, "remote_uri", remote_uri))
    if os.path.isfile(path):
        key = target.key + os.path.basename(path) if target.key.endswith("/") or not target.key else target.key
        goal = Uri(target.scheme, target.container, key)
        return _move_one(Uri("file", "", path), goal, store_for(goal), progress)
    if not os.path.isdir(path):
        raise NotFoundError(f"there is no directory {path!r} to upload", f"file://{path}")
    prefix = target.key if target.key.endswith("/") or not target.key else f"{target.key}/"
    top = f"{path.rstrip('/')}/"
    found = _files(f"file://{top}", recursive, pattern, len(top), _Asked(wanted))
    return _move(_uploads(found, len(top), target, prefix), store_for(target), progress, workers)


def download(
    src_uri: str | None = None,
    dest_dir: str | os.PathLike[str] | None = None,
    pattern: Pattern = None,
    recursive: bool = True,
    *,
    remote_uri: str | None = None,
    local_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    wanted: Wanted | None = None,
    workers: int = _WORKERS,
) -> dict[str, Any]:
    """Fetch the objects below a URI, or the one it names, into a directory; return `files`, `bytes` and `seconds`.

    The directory is created. A file appears whole or not at all. Below the directory no symbolic link is followed: a
    key that would leave it, that is no file name, or whose way leads through a link, fails by itself. An object of a
    prefix that is not `wanted` is left out.

    Raises:
        NotFoundError: nothing is there.
        PartialFailureError: some objects could not be fetched; the others are.
    """
    source = parse(_given("src_uri", src_uri, "remote_uri", remote_uri))
    top = local_path(_given("dest_dir", dest_dir, "local_dir", local_dir))
    folder = FolderStore(top)
    try:
        return _fetch(source, folder, pattern, recursive, wanted, progress, workers)
    finally:
        folder.close()


def _fetch(
    source: Uri,
    folder: FolderStore,
    pattern: Pattern,
    recursive: bool,
    wanted: Wanted | None,
    progress: Progress | None,
    workers: int,
) -> dict[str, Any]:
    # A URI without a slash at its end names a directory here, as for cp: "train" is not "train2".
    base = source.key if source.key.endswith("/") or not source.key else f"{source.key}/"
    found = _files(f"{source.root}{base}", recursive, pattern, len(base), asked := _Asked(wanted))
    summary = _move(_downloads(found, len(base), source, folder), folder, progress, workers)
    if not asked.anything and pattern is None and base != source.key:
        return _move_one(source, folder.target(source.key.rpartition("/")[2]), folder, progress)
    return summary


def _given(name: str, value: Any, other: str, alias: Any) -> Any:
    if (value is None) == (alias is None):
        raise TypeError(f"give either {name} or {other}")
    return value if alias is None else alias


def _uploads(found: Iterator[str], start: int, target: Uri, prefix: str) -> Iterator[tuple[Uri, Uri]]:
    for key in found:
        yield Uri("file", "", key), Uri(target.scheme, target.container, f"{prefix}{key[start:]}")


def _downloads(
    found: Iterator[str], start: int, source: Uri, folder: FolderStore
) -> Iterator[tuple[Uri, Uri | Exception]]:
    """Pair each object with its file, or with the reason why it cannot be one."""
    for key in found:
        uri = Uri(source.scheme, source.container, key)
        try:
            yield uri, folder.target(key[start:])
        except S3dlioError as error:
            yield uri, error


class _Asked:
    """What the caller wants of a listing, and whether there was anything in it."""

    def __init__(self, wanted: Wanted | None) -> None:
        self.wanted = wanted
        self.anything = False

    def keep(self, relative: str, entry: Entry) -> bool:
        self.anything = True
        return self.wanted is None or self.wanted(relative, entry[1], entry[2])


def _files(uri: str, recursive: bool, pattern: Pattern, start: int, asked: _Asked) -> Iterator[str]:
    pages = operations.entries(uri, recursive, pattern)
    while (page := blocking.run(next_page(pages))) is not None:
        yield from (key for key, entry in page if entry is not None and asked.keep(key[start:], entry))


class _Tally:
    """What has been moved so far, counted from many threads."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.lock = threading.Lock()
        self.files = 0
        self.bytes = 0
        self.errors: dict[str, Exception] = {}

    def add(self, size: int) -> None:
        with self.lock:
            self.files += 1
            self.bytes += size
            if self.progress is not None:
                self.progress(self.files, self.bytes)

    def summary(self, start: float) -> dict[str, Any]:
        return {"files": self.files, "bytes": self.bytes, "seconds": time.perf_counter() - start}


def _move(
    pairs: Iterator[tuple[Uri, Uri | Exception]], goal: Store, progress: Progress | None, workers: int
) -> dict[str, Any]:
    limit = checked_workers(workers)
    tally = _Tally(progress)
    start = time.perf_counter()
    blocking.run(_all(pairs, goal, tally, limit))
    if tally.errors:
        uri, first = next(iter(tally.errors.items()))
        text = f"{len(tally.errors)} of {len(tally.errors) + tally.files} files failed, the first is {uri}: {first}"
        raise PartialFailureError(text, uri, results={"files": tally.files}, errors=tally.errors)
    return tally.summary(start)


def _move_one(source: Uri, target: Uri, goal: Store, progress: Progress | None) -> dict[str, Any]:
    """Move the one object that was named: its failure is the caller's error, not one of many."""
    tally = _Tally(progress)
    start = time.perf_counter()
    blocking.run(_one(source, target, goal, tally))
    for error in tally.errors.values():
        raise error
    return tally.summary(start)


async def _all(pairs: Iterator[tuple[Uri, Uri | Exception]], goal: Store, tally: _Tally, limit: int) -> None:
    def tasks() -> Iterator[Task[None]]:
        for source, target in pairs:
            yield _one(source, target, goal, tally)

    await Together(tasks(), limit)


async def _one(source: Uri, target: Uri | Exception, goal: Store, tally: _Tally) -> None:
    try:
        if isinstance(target, Exception):
            raise target
        if source.key.endswith("/"):
            await operations.make_directory_in(goal, target)  # the marker that stands for a folder
            return
        tally.add(await operations.carry(store_for(source), source, goal, target))
    except S3dlioError as error:
        tally.errors[str(source)] = error
