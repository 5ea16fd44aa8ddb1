"""file://: objects as files of this machine.

The key is the path, used as it is. A read gives the bytes of one version of the file or raises; a write is
invisible until it is whole. A directory is no object.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, NoReturn

from s3dlio import fileio
from s3dlio.errors import (
    IntegrityError,
    InvalidRangeError,
    InvalidUriError,
    LocalFileError,
    ObjectChangedError,
    PartialFailureError,
    S3dlioError,
)
from s3dlio.stores import drafts, reach, sweep, tree_local
from s3dlio.stores.store import Limits, ObjectInfo, Page, Part, Received, StaleUpload, Upload

if TYPE_CHECKING:
    from s3dlio.checksum import Algorithm
    from s3dlio.stores.store import Entry, Place
    from s3dlio.uri import Uri

_PAGE = 1000  # items, as on S3


class LocalStore:
    """The files of this machine. Holds nothing, so it may be shared, pickled and forked at will."""

    limits = Limits(part_size=32 << 20, smallest_part=4096)
    blocking = True

    async def read(
        self,
        uri: Uri,
        offset: int,
        length: int,
        place: Place,
        *,
        pin: str | None = None,
        algorithm: Algorithm | None = None,
        to_end: bool = False,
    ) -> Received:
        """Read up to `length` bytes from `offset` of one version of the file, in place.

        Raises:
            NotFoundError: there is nothing, or a directory.
            LocalFileError: a FIFO, a socket, a device, or a file that hides its size, as those of /proc do.
            ObjectChangedError: the file is not the pinned one, or was written to while it was read.
        """
        if offset < 0 or length < 0:
            raise InvalidRangeError(f"offset {offset} and length {length} of {uri}: neither may be negative", str(uri))
        fd, status = fileio.open_regular(uri)
        try:
            tag = fileio.etag(status)
            if pin is not None and pin != tag:
                raise _changed(uri)
            size = status.st_size
            wanted = max(0, min(length, size - offset))
            memory = place(size, wanted)
            if wanted:
                self._fill(uri, fd, memory, offset)
            _check_unchanged(uri, fd, tag, size)
        finally:
            os.close(fd)
        digest = algorithm.update(memory) if algorithm is not None else None
        return Received(size, wanted, tag, None, digest)

    def _fill(self, uri: Uri, fd: int, memory: memoryview, offset: int) -> None:
        try:
            count = self._receive(uri, fd, memory, offset)
        except OSError as problem:
            raise fileio.translate(problem, uri, "read") from problem
        if count < len(memory):
            raise _changed(uri)

    def _receive(self, uri: Uri, fd: int, memory: memoryview, offset: int) -> int:
        return fileio.read_into(fd, memory, offset)

    def _send(self, uri: Uri, fd: int, data: memoryview, offset: int) -> None:
        fileio.write_from(fd, data, offset)

    def close(self) -> None:
        """Hold nothing, let go of nothing."""

    async def write(self, uri: Uri, data: memoryview, *, if_none_match: bool = False, durable: bool = False) -> None:
        """Store a file whole; with `durable` it survives a power loss from the return on.

        A new file gets the mode that the umask leaves, a replaced one keeps its own.
        A symbolic link is replaced.
        """
        drafts.replace(
            uri,
            lambda fd: self._send(uri, fd, data, 0),
            len(data),
            exclusive=if_none_match,
            durable=durable,
            reach=self._reach,
        )

    def _reach(self, uri: Uri, durable: bool) -> tuple[int, str]:
        return reach.by_path(uri, durable)

    async def start_upload(self, uri: Uri, size: int | None) -> Upload:
        """Begin a file that is written in parts; its id is the path of its draft."""
        return Upload(uri, drafts.begin(uri, size))

    async def write_part(self, upload: Upload, number: int, offset: int, data: memoryview) -> Part:
        """Write one part at `offset`, in bytes. Any thread or process may write any part at any time."""
        with fileio.translated(upload.uri, "write a part of"):
            fd = drafts.reopen(upload.id)
            try:
                self._send(upload.uri, fd, data, offset)
            finally:
                os.close(fd)
        return Part(number, len(data), f"{offset:x}-{len(data):x}")

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], *, if_none_match: bool = False, durable: bool = False
    ) -> None:
        """Give the file its name.

        Raises:
            IntegrityError: the parts leave a hole, overlap, or are not as long as was announced.
        """
        total = end_of(upload, parts)
        with fileio.translated(upload.uri, "complete"):
            size = os.stat(upload.id, follow_symlinks=False).st_size
        check_size(upload, size, total)
        drafts.finish(upload.uri, upload.id, exclusive=if_none_match, durable=durable)

    async def abort_upload(self, upload: Upload) -> None:
        """Remove the draft."""
        with fileio.translated(upload.uri, "abort the upload of"):
            drafts.forget(upload.id)

    async def abort_stale_uploads(self, uri: Uri, before: float) -> Sequence[StaleUpload]:
        """Remove the drafts below a directory that dead processes left; see `sweep.remove_drafts`."""
        return sweep.remove_drafts(uri, before)

    async def stat(self, uri: Uri) -> ObjectInfo:
        """Return size, time and etag of a file. A directory is a `NotFoundError` that says so."""
        with fileio.translated(uri, "stat"):
            status = os.stat(uri.key)
        fileio.check_regular(status, uri)
        return ObjectInfo(status.st_size, fileio.modified(status), fileio.etag(status))

    async def pages(self, uri: Uri, *, recursive: bool) -> AsyncGenerator[Page, None]:
        """List what starts with the key of `uri`; see `tree_local.walk` for what is an object."""
        entries: list[Entry] = []
        prefixes: list[str] = []
        for item in tree_local.walk(uri, recursive=recursive):
            if isinstance(item, str):
                prefixes.append(item)
            else:
                entries.append(item)
            if len(entries) + len(prefixes) == _PAGE:
                yield Page(entries, prefixes)
                entries, prefixes = [], []
        if entries or prefixes:
            yield Page(entries, prefixes)

    async def delete(self, uri: Uri) -> None:
        """Remove one file, or one link; a directory is a `LocalFileError`."""
        with fileio.translated(uri, "delete"):
            try:
                os.unlink(uri.key)
            except FileNotFoundError:
                return
            except NotADirectoryError:  # also what a link to a directory says when named with a `/` at its end
                if os.path.isdir(uri.key):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None

    async def delete_many(self, uris: Sequence[Uri]) -> None:
        """Remove files; those that could not be removed are in the `PartialFailureError`, by URI."""
        results: dict[str, None] = {}
        errors: dict[str, Exception] = {}
        for uri in uris:
            try:
                await self.delete(uri)
                results[str(uri)] = None
            except S3dlioError as problem:
                errors[str(uri)] = problem
        if errors:
            first = next(iter(errors.values()))
            message = f"{len(errors)} of {len(errors) + len(results)} files could not be deleted: {first}"
            raise PartialFailureError(message, results=results, errors=errors) from first

    async def delete_tree(self, uri: Uri) -> None:
        """Remove all whose path starts with the key of `uri`; see `tree_local.remove`."""
        tree_local.remove(uri)

    async def copy(self, source: Uri, target: Uri) -> None:
        """Copy the bytes of one version of a file inside the kernel, which may share the blocks instead."""
        fd, status = fileio.open_regular(source)
        try:

            def fill(new: int) -> None:
                if fileio.copy_all(fd, new, status.st_size) < status.st_size:
                    raise _changed(source)
                _check_unchanged(source, fd, fileio.etag(status), status.st_size)

            drafts.replace(target, fill, status.st_size, reach=self._reach)
        finally:
            os.close(fd)

    async def make_directory(self, uri: Uri) -> None:
        """Create a directory and those above it; one that is there is success."""
        with fileio.translated(uri, "create"):
            reach.make_directories(uri.key)

    async def create_container(self, uri: Uri) -> None:
        """Raise: there are none."""
        _no_containers(uri)

    async def delete_container(self, uri: Uri) -> None:
        """Raise: there are none."""
        _no_containers(uri)

    async def list_containers(self) -> Sequence[str]:
        """Raise: there are none."""
        _no_containers(None)


def _changed(uri: Uri) -> ObjectChangedError:
    return ObjectChangedError(f"{uri} was changed while it was being read: read it again", str(uri))


def _check_unchanged(uri: Uri, fd: int, tag: str, size: int) -> None:
    """Raise unless the file is still the version it was when it was opened.

    After small reads too: it costs 2 µs of 20, and nothing else notices a file that is written in place. A file
    that says it is empty and is not, as in /proc, is refused: nobody can tell when it is whole.
    """
    with fileio.translated(uri, "read"):
        if fileio.etag(os.fstat(fd)) != tag:
            raise _changed(uri)
        if size == 0 and os.pread(fd, 1, 0):
            raise LocalFileError(f"{uri} does not tell its size, so it cannot be read as an object", str(uri))


def end_of(upload: Upload, parts: Sequence[Part]) -> int:
    """Return the size of what the parts make up; their etags hold where they were written."""
    end = 0
    for part in sorted(parts, key=lambda each: each.number):
        if part.etag != f"{end:x}-{part.length:x}":
            raise IntegrityError(f"{upload.uri}: part {part.number} does not begin at byte {end}", str(upload.uri))
        end += part.length
    return end


def check_size(upload: Upload, size: int, total: int) -> None:
    """Raise unless the draft is as long as its parts, in bytes."""
    if size != total:
        raise IntegrityError(f"{upload.uri}: the parts hold {total} bytes of {size}", str(upload.uri))


def _no_containers(uri: Uri | None) -> NoReturn:
    named = "" if uri is None else f" for {uri}"
    raise InvalidUriError(f"local files have directories, not containers{named}: use mkdir", str(uri) if uri else None)
