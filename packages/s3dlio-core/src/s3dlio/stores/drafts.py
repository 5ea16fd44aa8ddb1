"""Drafts: files that appear whole or not at all.

A file is never written in place. It grows as a draft, under a name of its own in the directory of its target,
and takes the target's name in one system call: whoever reads sees the old file or the new one. A draft that
its process did not live to finish is hidden from listings and swept away later.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3dlio.errors import PreconditionFailedError
from s3dlio.fileio import translated
from s3dlio.stores.reach import by_path, sync_directory

if TYPE_CHECKING:
    from s3dlio.stores.reach import Reach
    from s3dlio.uri import Uri

_REOPEN = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE = _REOPEN | os.O_CREAT | os.O_EXCL
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_DRAFT = re.compile(r"\.s3dlio-(\d{1,7})-[0-9a-f]{16}\.tmp")
_OWNER, _ANYBODY = 0o600, 0o666
_STALE_AFTER = 3600.0  # seconds
_SWEEPS_REMEMBERED = 10_000
_RESERVED_FROM = 1 << 20  # bytes; below, a full disk shows in the first write just as well
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM)

_LIBC = ctypes.CDLL(None, use_errno=True)


def replace(
    uri: Uri,
    fill: Callable[[int], object],
    size: int | None = None,
    *,
    exclusive: bool = False,
    durable: bool = False,
    reach: Reach = by_path,
) -> None:
    """Give `uri` the content that `fill` writes to a descriptor. After an exception the old file is as it was.

    The file lands in the directory that `reach` finds or makes. `size` in bytes reserves the space first. A
    symbolic link is replaced, never followed. The mode is that of the file replaced, else what the umask leaves
    of 0666; while there is content and no name, only the owner can open it. `exclusive` replaces nothing.
    `durable` returns when the disk has the file and its name.

    Raises:
        PreconditionFailedError: `exclusive`, and there is a file already.
    """
    with _writing(uri, exclusive=exclusive):
        directory, name = _enter(uri, reach, durable=durable)
        try:
            _replace(directory, name, fill, size, exclusive=exclusive, durable=durable)
        finally:
            os.close(directory)


def _replace(
    directory: int, name: str, fill: Callable[[int], object], size: int | None, *, exclusive: bool, durable: bool
) -> None:
    mode = _mode(directory, name, exclusive=exclusive)
    temporary, fd = _create(directory, _ANYBODY if mode is None else _OWNER)
    try:
        try:
            if mode is None:
                mode = _take_mode(fd)
            _reserve(fd, size)
            fill(fd)
            _settle(fd, mode, durable=durable)
        finally:
            os.close(fd)  # network file systems may notice only here that the disk is full
        _publish(directory, temporary, name, exclusive=exclusive, durable=durable)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _take_mode(fd: int) -> int:
    """Return what the umask left of an empty new file's mode, and keep everybody else out until it is whole."""
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    os.fchmod(fd, _OWNER)
    return mode


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft that is held open: its directory, the name it shall get, the name it has, and its file."""

    directory: int
    name: str
    temporary: str
    fd: int


def hold(uri: Uri, size: int | None, reach: Reach = by_path) -> Draft:
    """Create a draft for `uri`, in the directory that `reach` finds or makes. `size` in bytes is reserved.

    `release` or `drop` closes it.
    """
    with _writing(uri):
        directory, name = _enter(uri, reach)
        try:
            _mode(directory, name)  # what cannot be replaced in the end is refused at once
            temporary, fd = _create(directory, _OWNER)
        except BaseException:
            os.close(directory)
            raise
        draft = Draft(directory, name, temporary, fd)
        try:
            _reserve(fd, size)
            os.ftruncate(fd, size or 0)
        except BaseException:
            drop(draft)
            raise
    return draft


def release(uri: Uri, draft: Draft, *, exclusive: bool = False, durable: bool = False) -> None:
    """Give a held draft its name and close it. After an exception the old file is as it was, and the draft gone."""
    try:
        with _writing(uri, exclusive=exclusive):
            try:
                _settle(draft.fd, _mode_of(draft.directory, draft.name, exclusive=exclusive), durable=durable)
            finally:
                os.close(draft.fd)
            _publish(draft.directory, draft.temporary, draft.name, exclusive=exclusive, durable=durable)
    except BaseException:
        _remove(draft)
        raise
    finally:
        os.close(draft.directory)


def drop(draft: Draft) -> None:
    """Remove a held draft and close it."""
    _remove(draft)
    for fd in (draft.fd, draft.directory):
        with suppress(OSError):
            os.close(fd)


def _remove(draft: Draft) -> None:
    with suppress(OSError):
        os.unlink(draft.temporary, dir_fd=draft.directory)


def begin(uri: Uri, size: int | None) -> str:
    """Create a draft for `uri` that outlives this call, and return its path. `size` in bytes is reserved."""
    draft = hold(uri, size)
    os.close(draft.directory)
    path = f"{uri.key[: -len(draft.name)]}{draft.temporary}"
    try:
        with _writing(uri):
            os.close(draft.fd)
    except BaseException:
        forget(path)
        raise
    return path


def reopen(path: str) -> int:
    """Open a draft for writing; the caller closes the descriptor."""
    return os.open(path, _REOPEN)


def finish(uri: Uri, path: str, *, exclusive: bool = False, durable: bool = False) -> None:
    """Give the draft at `path` the name it was begun for; the options are those of `replace`."""
    with _writing(uri, exclusive=exclusive):
        directory, name = _enter(uri, by_path)
        try:
            mode = _mode_of(directory, name, exclusive=exclusive)
            fd = reopen(path)
            try:
                _settle(fd, mode, durable=durable)
            finally:
                os.close(fd)
            _publish(directory, os.path.basename(path), name, exclusive=exclusive, durable=durable)
        finally:
            os.close(directory)


def forget(path: str) -> None:
    """Remove a draft; one that is gone already is success."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def is_draft(name: str) -> bool:
    """Tell whether a file name is that of a draft."""
    return name.startswith(".s3dlio-") and _DRAFT.fullmatch(name) is not None


def is_live(name: str) -> bool:
    """Tell whether the process that a draft is named after still runs on this machine."""
    found = _DRAFT.fullmatch(name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _writing(uri: Uri, *, exclusive: bool = False) -> Generator[None, None, None]:
    with translated(uri, "write"):
        try:
            yield
        except FileExistsError as problem:
            if not exclusive:
                raise
            message = f"{uri} exists already, and only a new file was asked for"
            raise PreconditionFailedError(message, str(uri)) from problem


def folds_names(directory: int) -> bool:
    """Tell whether the file system takes names that differ in case for the same; False where nothing can be made."""
    try:
        temporary, fd = _create(directory, _OWNER)
    except OSError:
        return False
    os.close(fd)
    try:
        os.stat(temporary.upper(), dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    finally:
        os.unlink(temporary, dir_fd=directory)
    return True


def _enter(uri: Uri, reach: Reach, *, durable: bool = False) -> tuple[int, str]:
    """Reach the directory of a file, and tidy it up."""
    directory, name = reach(uri, durable)
    _sweep(uri.key.rpartition("/")[0], directory)
    return directory, name


def _create(directory: int, mode: int) -> tuple[str, int]:
    temporary = f".s3dlio-{os.getpid()}-{os.urandom(8).hex()}.tmp"
    return temporary, os.open(temporary, _CREATE, mode, dir_fd=directory)


def _mode(directory: int, name: str, *, exclusive: bool = False) -> int | None:
    """Return the permission bits of the file of this name, or None; raise for what no file may replace."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if exclusive:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if stat.S_ISLNK(found.st_mode):
            found = os.stat(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):  # renaming over /dev/null would take it from everybody
        raise OSError(errno.ENXIO, "there is a device, a FIFO or a socket")
    return stat.S_IMODE(found.st_mode) & 0o777


def _mode_of(directory: int, name: str, *, exclusive: bool) -> int:
    """Return the permission bits that a finished file of this name gets."""
    mode = _mode(directory, name, exclusive=exclusive)
    return _ANYBODY & ~_umask() if mode is None else mode


def _umask() -> int:
    """Return the umask. `os.umask` can only set it, for all threads at once; the kernel also tells it."""
    fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, 4096)
    finally:
        os.close(fd)
    return int(text.partition(b"\nUmask:")[2].split(None, 1)[0], 8)


def _reserve(fd: int, size: int | None) -> None:
    """Take the space from the file system before any byte is written, where it can be taken.

    Not `posix_fallocate`: where the file system cannot reserve, the C library writes to each block instead.
    """
    if size is None or size < _RESERVED_FROM:
        return
    while _LIBC.fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size)) != 0:
        code = ctypes.get_errno()
        if code in _CANNOT_RESERVE:
            return
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def _settle(fd: int, mode: int, *, durable: bool) -> None:
    os.fchmod(fd, mode)
    if durable:
        os.fsync(fd)


def _publish(directory: int, temporary: str, name: str, *, exclusive: bool, durable: bool) -> None:
    if exclusive:  # a link is not made where something is, whereas a rename replaces it
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        os.unlink(temporary, dir_fd=directory)
    else:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    if durable:
        sync_directory(".", directory)


_swept: dict[str, float] = {}


def _sweep(path: str, directory: int) -> None:
    """Remove the drafts that dead processes left in a directory; looks at each directory once an hour."""
    now = time.monotonic()
    if now - _swept.get(path, -_STALE_AFTER) < _STALE_AFTER:
        return
    if len(_swept) >= _SWEEPS_REMEMBERED:
        _swept.clear()
    _swept[path] = now
    with suppress(OSError):  # tidying up must not fail a write
        fd = os.open(".", _LISTED, dir_fd=directory)
        try:
            _remove_stale(fd)
        finally:
            os.close(fd)


def _remove_stale(directory: int) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_draft(entry.name) and _is_stale(entry):
                os.unlink(entry.name, dir_fd=directory)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_AFTER and not is_live(entry.name)
