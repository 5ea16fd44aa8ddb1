"""Trees of local files: listing them in the order of their keys, and removing them.

A prefix means here what it means on an object store: the start of a key. Below the directory that the caller
names no symbolic link to a directory is followed, so nothing outside the tree is listed twice or deleted.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3dlio.errors import InvalidUriError
from s3dlio.fileio import etag, modified, translated
from s3dlio.stores.drafts import is_draft, is_live

if TYPE_CHECKING:
    from s3dlio.stores.store import Entry
    from s3dlio.uri import Uri

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _LISTED | os.O_NOFOLLOW
_ABOVE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # removed, or replaced by another kind, a moment ago


def walk(uri: Uri, *, recursive: bool) -> Iterator[Entry | str]:
    """Yield the regular files whose path starts with the key of `uri`, in the byte order of their paths.

    Not recursive: one level, with directories as paths that end in `/`, links to directories among them.
    Recursive: files only, those behind a link to a directory left out. Links to files are files. Drafts,
    FIFOs, sockets and devices are no objects. What vanishes meanwhile is left out; what may not be looked at
    raises, so a listing is complete or an error. A name that is not UTF-8 comes as `os.fsdecode` has it, and
    can be read by that name.

    Raises:
        AccessDeniedError, LocalFileError: a directory or a file cannot be looked at.
    """
    head, _, prefix = uri.key.rpartition("/")
    above = f"{head}/"
    with translated(uri, "list"):
        levels = [(above, iter(_names(above, _LISTED, prefix, recursive=recursive)))]
        while levels:
            directory, names = levels[-1]
            name = next(names, None)
            if name is None:
                levels.pop()
                continue
            path = directory + name
            if not name.endswith("/"):
                if (entry := _entry(path)) is not None:
                    yield entry
            elif recursive:
                levels.append((path, iter(_names(path[:-1], _BELOW, "", recursive=True))))
            else:
                yield path


def _names(directory: str, flags: int, prefix: str, *, recursive: bool) -> list[str]:
    """Return the names in a directory that start with the prefix, sorted as the keys they lead to are."""
    try:
        fd = os.open(directory, flags)
    except OSError as problem:
        if problem.errno in _GONE:
            return []
        raise
    try:
        with os.scandir(fd) as entries:
            chosen = (entry for entry in entries if entry.name.startswith(prefix) and not is_draft(entry.name))
            names = [name for entry in chosen if (name := _shown(entry, recursive=recursive)) is not None]
    finally:
        os.close(fd)
    names.sort(key=os.fsencode)
    return names


def _shown(entry: os.DirEntry[str], *, recursive: bool) -> str | None:
    """Return the name of a file, the name with `/` of a directory, and None for what is not listed."""
    if entry.is_file(follow_symlinks=False):
        return entry.name
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    if not entry.is_symlink():
        return None
    try:
        mode = entry.stat().st_mode
    except OSError as problem:
        if problem.errno in _GONE:
            return None
        raise
    if stat.S_ISDIR(mode):
        return None if recursive else f"{entry.name}/"
    return entry.name if stat.S_ISREG(mode) else None


def _entry(path: str) -> Entry | None:
    try:
        status = os.stat(path)
    except OSError as problem:
        if problem.errno in _GONE:
            return None
        raise
    if not stat.S_ISREG(status.st_mode):
        return None
    return path, status.st_size, modified(status), etag(status), ""


def remove(uri: Uri) -> None:
    """Remove every file and directory whose path starts with the key of `uri`; nothing there is success.

    Ending in `/` the key names one directory, which goes too. Links are removed, not followed, also where the
    key itself names one. Drafts of running processes stay, and with them their directory.

    Raises:
        InvalidUriError: the key names the root of the file system, or ends in `.` or `..`.
    """
    path = uri.key.rstrip("/") if uri.key.endswith("/") else uri.key
    head, _, name = path.rpartition("/")
    whole = path != uri.key
    if whole and name in ("", ".", ".."):
        raise InvalidUriError(f"{uri} is not deleted as a whole: name the directory itself", str(uri))
    with translated(uri, "delete"):
        try:
            parent = os.open(head or "/", _ABOVE if whole else _LISTED)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if not whole:
                _remove_matching(parent, name)
            elif os.path.isdir(path):  # a file of that name is not below the prefix
                _remove(parent, name)
        finally:
            os.close(parent)


def _remove_matching(parent: int, prefix: str) -> None:
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix)]
    for name in names:
        _remove(parent, name)


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory being emptied: its descriptor, its place in its parent, the directories left in it."""

    fd: int
    parent: int
    name: str
    directories: list[str]


def _remove(parent: int, name: str) -> None:
    """Remove what is called `name` in a directory, with all it holds. Depth costs descriptors, not stack."""
    levels: list[_Level] = []
    _enter(levels, parent, name)
    try:
        while levels:
            level = levels[-1]
            if level.directories:
                _enter(levels, level.fd, level.directories.pop())
                continue
            levels.pop()
            os.close(level.fd)
            _remove_empty(level)
    finally:
        for level in levels:
            os.close(level.fd)


def _enter(levels: list[_Level], parent: int, name: str) -> None:
    """Unlink `name` if it is no directory; else unlink the files in it and note its directories."""
    try:
        fd = os.open(name, _BELOW, dir_fd=parent)
    except OSError as problem:
        if problem.errno not in _GONE:
            raise
        _unlink(name, parent)
        return
    level = _Level(fd, parent, name, [])
    levels.append(level)
    files: list[str] = []  # all of them first, because a directory that shrinks may be read with gaps
    with os.scandir(fd) as entries:
        for entry in entries:
            (level.directories if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    for file in files:
        _unlink(file, fd)


def _unlink(name: str, directory: int) -> None:
    if is_live(name):
        return
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _remove_empty(level: _Level) -> None:
    try:
        os.rmdir(level.name, dir_fd=level.parent)
    except OSError as problem:
        # What was put there meanwhile is new, and stays with its directory.
        if problem.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise
