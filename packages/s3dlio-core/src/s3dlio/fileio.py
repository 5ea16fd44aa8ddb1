"""Local files: what can be opened, what names a version, and reads and writes that run to the end.

The kernel may always move fewer bytes than it was asked to. Everything here goes on until all are moved, the
file ends, or an error says why not.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from s3dlio.errors import AccessDeniedError, LocalFileError, NotFoundError, S3dlioError

if TYPE_CHECKING:
    from s3dlio.uri import Uri

# O_NONBLOCK, because opening a FIFO waits for its writer otherwise; regular files do not notice it.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CANNOT_CLONE = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EPERM)
_COPY_STEP = 256 << 20  # bytes a system call, so that an interrupt waits for one step only

_REMEDIES = {
    errno.ENOSPC: "free some space; what was stored there before is untouched",
    errno.EDQUOT: "the quota is used up; what was stored there before is untouched",
    errno.EISDIR: "name a file in it, or say recursive=True to delete it",
    errno.ENOTDIR: "a part of the path is a file, and a file holds no other files",
    errno.EEXIST: "a file of that name is in the way",
    errno.ENAMETOOLONG: "a name in a path has at most 255 bytes",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EROFS: "the file system is mounted read-only",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENXIO: "it is not a regular file",
}


def translate(problem: OSError, uri: Uri | str, doing: str) -> S3dlioError:
    """Return the error of ours that says what the operating system refused; `doing` is a verb.

    A path that leads through a file is as absent as one that leads nowhere.
    """
    text = f"cannot {doing} {uri}: {problem.strerror or problem}"
    if problem.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(text, str(uri))
    if problem.errno in (errno.EACCES, errno.EPERM):
        return AccessDeniedError(f"{text}; check the permissions of the file and its directories", str(uri))
    remedy = _REMEDIES.get(problem.errno or 0)
    return LocalFileError(f"{text}; {remedy}" if remedy else text, str(uri), errno=problem.errno)


@contextmanager
def translated(uri: Uri | str, doing: str) -> Generator[None, None, None]:
    """Translate what the operating system refuses inside the block."""
    try:
        yield
    except S3dlioError:  # some of ours are an OSError too
        raise
    except OSError as problem:
        raise translate(problem, uri, doing) from problem


def etag(status: os.stat_result) -> str:
    """Return what names one version of a file: inode, modification time in nanoseconds and size, in hex."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def modified(status: os.stat_result) -> str:
    """Return the time of modification in RFC 3339, UTC, to the microsecond."""
    seconds, nanoseconds = divmod(status.st_mtime_ns, 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def check_regular(status: os.stat_result, uri: Uri) -> None:
    """Raise unless the status is that of a regular file.

    Raises:
        NotFoundError: a directory, which is not an object.
        LocalFileError: a FIFO, a socket or a device.
    """
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise NotFoundError(f"{uri} is a directory, not an object: list it, or name a file in it", str(uri))
    raise LocalFileError(f"{uri} is not a regular file, and has no bytes to call its own", str(uri), errno=errno.EINVAL)


def open_regular(uri: Uri) -> tuple[int, os.stat_result]:
    """Open a file for reading and return its descriptor, which the caller closes, and its status."""
    try:
        fd = os.open(uri.key, _READ)
    except OSError as problem:
        raise translate(problem, uri, "read") from problem
    try:
        status = os.fstat(fd)
        check_regular(status, uri)
    except BaseException:
        os.close(fd)
        raise
    return fd, status


def read_into(fd: int, memory: memoryview, offset: int) -> int:
    """Fill `memory` from `offset` on; returns how many bytes there were, fewer only at the file's end."""
    done = os.preadv(fd, (memory,), offset)
    while 0 < done < len(memory):
        count = os.preadv(fd, (memory[done:],), offset + done)
        if count == 0:
            break
        done += count
    return done


def write_from(fd: int, memory: memoryview, offset: int) -> None:
    """Write all of `memory`, which holds bytes, at `offset`."""
    done = 0
    while done < len(memory):
        count = os.pwrite(fd, memory[done:], offset + done)
        if count == 0:
            raise OSError(errno.EIO, "the file system took no bytes")
        done += count


def copy_all(source: int, target: int, size: int) -> int:
    """Copy the first `size` bytes of a file to the start of another inside the kernel; returns how many."""
    try:
        return _copy(lambda done, count: os.copy_file_range(source, target, count, done, done), size)
    except OSError as problem:
        if problem.errno not in _CANNOT_CLONE:
            raise
    os.lseek(target, 0, os.SEEK_SET)
    return _copy(lambda done, count: os.sendfile(target, source, done, count), size)


def _copy(step: Callable[[int, int], int], size: int) -> int:
    done = 0
    while done < size:
        count = step(done, min(_COPY_STEP, size - done))
        if count == 0:
            break
        done += count
    return done
