"""Directories that files are written to: how they are reached, made where missing, and put on the disk.

A directory is handed out as a descriptor, and files are named relative to it. Whatever becomes of the path
afterwards, what is written lands in the directory that was reached.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from s3dlio.errors import InvalidUriError, LocalFileError

if TYPE_CHECKING:
    from s3dlio.uri import Uri

Reach: TypeAlias = "Callable[[Uri, bool], tuple[int, str]]"
"""Returns a descriptor of the directory that a file belongs in, which the caller closes, and the file's name in
there. Missing directories are made; with True the disk has them before it returns."""

# O_PATH, because a directory that may be written but not listed is a good place for a file.
DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = DIRECTORY | os.O_NOFOLLOW


def by_path(uri: Uri, durable: bool) -> tuple[int, str]:
    """Reach the directory that the path of `uri` names, through symbolic links where it holds any."""
    head, _, name = uri.key.rpartition("/")
    if name in ("", ".", ".."):
        raise InvalidUriError(
            f"{uri} names a directory, and cannot hold bytes: add a file name, or use mkdir", str(uri)
        )
    try:
        with suppress(FileNotFoundError):
            return os.open(head or "/", DIRECTORY), name
        make_directories(head, durable=durable)
        return os.open(head, DIRECTORY), name
    except (FileExistsError, NotADirectoryError) as problem:
        _refuse(uri, problem)


def walk(uri: Uri, top: int, parts: Sequence[str], *, durable: bool) -> int:
    """Return a descriptor of the directory `parts` below `top`, which is reached without following any link.

    Missing directories are made. The caller closes the descriptor.

    Raises:
        InvalidUriError: one of the parts is a symbolic link.
        LocalFileError: one of them is a file.
    """
    directory = os.open(".", DIRECTORY, dir_fd=top)
    for part in parts:
        try:
            below = _step(uri, directory, part, durable=durable)
        finally:
            os.close(directory)
        directory = below
    return directory


def _step(uri: Uri, directory: int, part: str, *, durable: bool) -> int:
    try:
        with suppress(FileNotFoundError):
            return os.open(part, _BELOW, dir_fd=directory)
        with suppress(FileExistsError):  # made by somebody else a moment ago
            os.mkdir(part, dir_fd=directory)
        if durable:
            sync_directory(".", directory)
        return os.open(part, _BELOW, dir_fd=directory)
    except NotADirectoryError as problem:
        if stat.S_ISLNK(os.stat(part, dir_fd=directory, follow_symlinks=False).st_mode):
            raise InvalidUriError(
                f"{uri} would be written through the symbolic link {part!r}: remove the link, or choose another place",
                str(uri),
            ) from problem
        _refuse(uri, problem)


def _refuse(uri: Uri, problem: OSError) -> NoReturn:
    raise LocalFileError(
        f"cannot write {uri}: a part of the path is a file, and a file holds no other files",
        str(uri),
        errno=errno.ENOTDIR,
    ) from problem


def make_directories(path: str, *, durable: bool = False) -> None:
    """Create a directory and those above it that are missing; with `durable` the disk has them on return."""
    missing: list[str] = []
    above = path
    while durable and not os.path.lexists(above):
        missing.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, exist_ok=True)
    for made in missing:
        sync_directory(os.path.dirname(made))


def sync_directory(path: str, directory: int | None = None) -> None:
    """Return when the disk has the names in a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
