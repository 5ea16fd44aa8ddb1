"""The operation log of this process: one file, open or not, and the one question that every operation asks.

`active` is None while there is no log, and asking that is all that an operation pays for it then.
"""

from __future__ import annotations

import atexit
import logging
import os
import stat
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from s3dlio.errors import InvalidUriError, LocalFileError, NotFoundError, S3dlioError
from s3dlio.oplog.row import Row
from s3dlio.oplog.watching import Measure, Watched, pages
from s3dlio.oplog.writer import Encoder, Writer
from s3dlio.uri import Uri, local_path

if TYPE_CHECKING:
    from s3dlio.steps import Task
    from s3dlio.stores.store import Page

T = TypeVar("T")
_LISTING = ("LIST", "LIST_BUCKETS")
_LEVEL = 1  # of zstd: at 3 the rows of a fast loop would cost more than the loop

active: Writer | None = None
"""The log that is open. Operations look at it; only this module changes it."""

_lock = threading.Lock()
_path: str | None = None
_last: Writer | None = None
_hooked = False
_log = logging.getLogger("s3dlio")


def init_op_log(path: str | os.PathLike[str]) -> None:
    """Write a line for each operation of this process from now on, until `finalize_op_log` or the end of the process.

    `path` is a path or a `file://` URI; one that ends in `.zst` is compressed. A file of that name is replaced, the
    new one is readable by its owner alone. A child of a fork has no log until it opens one of its own.

    Raises:
        InvalidUriError: not a local place.
        NotFoundError: its directory is not there.
        LocalFileError: a directory, a link or a device is in the way, or the file cannot be written.
        S3dlioError: a log is open already.
    """
    global active, _path, _last
    place = _place(path)
    with _lock:
        if active is not None:
            raise S3dlioError(f"operations are logged to {_path!r} already: call finalize_op_log first")
        encoder = _encoder() if place.endswith(".zst") else None
        writer = Writer(_open(place), f"{os.uname().nodename}-{os.getpid()}", encoder)
        _hook()
        _path, _last, active = place, writer, writer


def finalize_op_log() -> None:
    """Write what is still to be written and close the log; without an open one, do nothing.

    An operation that is still under way is not in it.

    Raises:
        LocalFileError: a write failed at some time; the log is incomplete.
    """
    global active
    with _lock:
        writer, active = active, None
        problem = writer.finish() if writer is not None else None
    if problem is not None:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        number = problem.errno if isinstance(problem, OSError) else None
        text = f"the operation log {_path!r} is incomplete, writing it failed: {reason}"
        raise LocalFileError(text, f"file://{_path}", errno=number) from problem


def is_op_log_active() -> bool:
    """Tell whether operations are being logged."""
    return active is not None


def op_log_stats() -> dict[str, Any]:
    """Return what has been written to the open log, or to the last one.

    Keys: `path` (None before the first), `active`, `operations` (lines, with those still to be written), `errors`
    (lines of operations that failed), `dropped` (0 unless a write failed) and `bytes_written` (to the file, so
    compressed if it is).
    """
    writer = _last
    return {
        "path": _path,
        "active": active is not None,
        "operations": writer.accepted if writer else 0,
        "errors": writer.errors if writer else 0,
        "dropped": writer.dropped if writer else 0,
        "bytes_written": writer.bytes_written if writer else 0,
    }


def watch(op: str, uri: Uri, task: Task[T], measure: Measure | None = None) -> Task[T]:
    """Return a coroutine that does the same and is logged; `measure` says what its result amounts to."""
    log = active
    if log is None:
        return task
    return Watched(task, partial(_begin, log, op, uri), log.add, measure or _one)


def watch_pages(uri: Uri, listing: AsyncIterator[Page]) -> AsyncIterator[Page]:
    """Return a listing each of whose pages is logged as an operation."""
    log = active
    if log is None:
        return listing
    before: list[Row] = []

    def done(row: Row) -> None:
        # The end of a listing was no request, unless it was all there is.
        if row.objects or row.error or row.first_byte is not None or not before:
            log.add(row)
        before[:] = [row]

    begin = partial(_begin, log, "LIST", uri)
    return cast("AsyncIterator[Page]", pages(listing, lambda task: Watched(task, begin, done, _page)))


def _begin(log: Writer, op: str, uri: Uri) -> Row:
    row = Row(op, str(uri), log.thread_number(), time.time_ns(), time.monotonic_ns())
    if uri.is_local:
        row.endpoint = f"{uri.scheme}://"
    if op in _LISTING:
        row.objects = 0
    return row


def _one(result: object) -> tuple[int, int]:
    return 1, 0


def _page(page: Page | None) -> tuple[int, int]:
    return (len(page.entries) + len(page.prefixes), 0) if page is not None else (0, 0)


def _place(path: object) -> str:
    text: object = os.fspath(cast("os.PathLike[str]", path)) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"the operation log is named by a path or a file:// URI, not {type(text).__name__}: {text!r}")
    if not text or "\0" in text or ("://" in text and not text.startswith("file://")):
        raise InvalidUriError(f"the operation log cannot be {text!r}: give a path or a file:// URI")
    return local_path(text)


def _open(place: str) -> int:
    """Create the file anew: nothing that somebody else has put there is opened, and no link is followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            if not stat.S_ISREG(os.lstat(place).st_mode):
                text = f"the operation log cannot be {place!r}, which is no regular file: remove it, or name another"
                raise LocalFileError(text, f"file://{place}")
            os.unlink(place)
        except FileNotFoundError:
            pass
        return os.open(place, flags, 0o600)
    except FileNotFoundError as problem:
        text = f"the operation log {place!r} cannot be written: its directory is not there, create it first"
        raise NotFoundError(text, f"file://{place}") from problem
    except LocalFileError:
        raise
    except OSError as problem:
        text = f"the operation log {place!r} cannot be written: {problem.strerror}"
        raise LocalFileError(text, f"file://{place}", errno=problem.errno) from problem


def _encoder() -> Encoder:
    return cast(Encoder, import_module("zstandard").ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj())


def _hook() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_after_fork)
        atexit.register(_at_exit)


def _after_fork() -> None:
    global active, _lock, _path, _last
    writer, active = active, None
    _lock, _path, _last = threading.Lock(), None, None
    if writer is not None:
        writer.abandon()


def _at_exit() -> None:
    try:
        finalize_op_log()
    except S3dlioError as problem:
        _log.error("%s", problem)
