"""Trees of files: a local directory to a prefix and back, keeping the relative names.

A key comes from whoever may write to the bucket. It becomes a path only if each of its parts is a plain name, and
never through a symbolic link.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from s3dlio import operations
from s3dlio.errors import InvalidUriError, NotFoundError, PartialFailureError, S3dlioError
from s3dlio.http import blocking
from s3dlio.operations import Pattern
from s3dlio.relay import relay
from s3dlio.steps import Task, Together
from s3dlio.stores import store_for
from s3dlio.uri import Uri, local_path, parse
from s3dlio.verbs import checked_workers, next_page

Progress = Callable[[int, int], object]
"""Called after each file with the files and the bytes moved so far."""

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
    workers: int = _WORKERS,
) -> dict[str, Any]:
    """Store a local directory, or one file, below a URI; return `files`, `bytes` and `seconds`.

    `src_uri` (or `local_dir`) is a path or a `file://` URI, `dest_uri` (or `remote_uri`) the prefix. `pattern` is as
    for `list`. Symbolic links to directories are not followed.

    Raises:
        NotFoundError: there is no such directory or file.
        PartialFailureError: some files could not be stored; the others are.
    """
    path = local_path(_given("src_uri", src_uri, "local_dir", local_dir))
    target = parse(_given("dest_uri", dest_uri, "remote_uri", remote_uri))
    if os.path.isfile(path):
        key = target.key + os.path.basename(path) if target.key.endswith("/") or not target.key else target.key
        return _move_one(Uri("file", "", path), Uri(target.scheme, target.container, key), progress)
    if not os.path.isdir(path):
        raise NotFoundError(f"there is no directory {path!r} to upload", f"file://{path}")
    prefix = target.key if target.key.endswith("/") or not target.key else f"{target.key}/"
    return _move(_uploads(f"{path.rstrip('/')}/", target, prefix, pattern, recursive), progress, workers)


def download(
    src_uri: str | None = None,
    dest_dir: str | os.PathLike[str] | None = None,
    pattern: Pattern = None,
    recursive: bool = True,
    *,
    remote_uri: str | None = None,
    local_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    workers: int = _WORKERS,
) -> dict[str, Any]:
    """Fetch the objects below a URI, or the one it names, into a directory; return `files`, `bytes` and `seconds`.

    The directory is created. A file appears whole or not at all. A key that would leave the directory, or that is no
    file name, fails by itself.

    Raises:
        NotFoundError: nothing is there.
        PartialFailureError: some objects could not be fetched; the others are.
    """
    source = parse(_given("src_uri", src_uri, "remote_uri", remote_uri))
    top = local_path(_given("dest_dir", dest_dir, "local_dir", local_dir))
    os.makedirs(top, exist_ok=True)
    summary = _move(_downloads(source, top, pattern, recursive), progress, workers)
    if not summary["files"] and pattern is None and not source.key.endswith("/") and source.key:
        return _move_one(source, _inside(top, source.key.rpartition("/")[2]), progress)
    return summary


def _given(name: str, value: Any, other: str, alias: Any) -> Any:
    if (value is None) == (alias is None):
        raise TypeError(f"give either {name} or {other}")
    return value if alias is None else alias


def _uploads(path: str, target: Uri, prefix: str, pattern: Pattern, recursive: bool) -> Iterator[tuple[Uri, Uri]]:
    for key in _files(f"file://{path}", recursive, pattern):
        relative = key[len(path) :]
        yield Uri("file", "", key), Uri(target.scheme, target.container, f"{prefix}{relative}")


def _downloads(source: Uri, top: str, pattern: Pattern, recursive: bool) -> Iterator[tuple[Uri, Uri | Exception]]:
    """Pair each object with its file, or with the reason why it cannot be one."""
    # A URI without a slash at its end names a directory here, as for cp: "train" is not "train2".
    base = source.key if source.key.endswith("/") or not source.key else f"{source.key}/"
    for key in _files(f"{source.root}{base}", recursive, pattern):
        found = Uri(source.scheme, source.container, key)
        try:
            yield found, _inside(top, key[len(base) :])
        except S3dlioError as error:
            yield found, error


def _files(uri: str, recursive: bool, pattern: Pattern) -> Iterator[str]:
    pages = operations.entries(uri, recursive, pattern)
    while (page := blocking.run(next_page(pages))) is not None:
        yield from (key for key, entry in page if entry is not None)


def _inside(top: str, relative: str) -> Uri:
    """Return the file below `top` that a relative key names.

    Raises:
        InvalidUriError: the key cannot be a file there without leaving the directory or being another file.
    """
    parts = (relative[:-1] if relative.endswith("/") else relative).split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or "\\" in part:
            raise InvalidUriError(f"the key {relative!r} cannot be a file below {top!r}: {part!r} is no plain name")
    walked = top
    for part in parts[:-1]:
        walked = f"{walked}/{part}"
        if os.path.islink(walked):
            raise InvalidUriError(f"the key {relative!r} would be written through the symbolic link {walked!r}")
    return Uri("file", "", f"{top}/{relative}")


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


def _move(pairs: Iterator[tuple[Uri, Uri | Exception]], progress: Progress | None, workers: int) -> dict[str, Any]:
    limit = checked_workers(workers)
    tally = _Tally(progress)
    start = time.perf_counter()
    blocking.run(_all(pairs, tally, limit))
    if tally.errors:
        uri, first = next(iter(tally.errors.items()))
        text = f"{len(tally.errors)} of {len(tally.errors) + tally.files} files failed, the first is {uri}: {first}"
        raise PartialFailureError(text, uri, results={"files": tally.files}, errors=tally.errors)
    return tally.summary(start)


def _move_one(source: Uri, target: Uri, progress: Progress | None) -> dict[str, Any]:
    """Move the one object that was named: its failure is the caller's error, not one of many."""
    tally = _Tally(progress)
    start = time.perf_counter()
    blocking.run(_one(source, target, tally))
    for error in tally.errors.values():
        raise error
    return tally.summary(start)


async def _all(pairs: Iterator[tuple[Uri, Uri | Exception]], tally: _Tally, limit: int) -> None:
    def tasks() -> Iterator[Task[None]]:
        for source, target in pairs:
            yield _one(source, target, tally)

    await Together(tasks(), limit)


async def _one(source: Uri, target: Uri | Exception, tally: _Tally) -> None:
    try:
        if isinstance(target, Exception):
            raise target
        if source.key.endswith("/"):
            await store_for(target).make_directory(target)  # the marker that stands for a folder
            return
        tally.add(await relay(store_for(source), source, store_for(target), target))
    except S3dlioError as error:
        tally.errors[str(source)] = error
