"""One folder that others may write to: files are put below it, and nowhere else.

The folder is held open. A key becomes the names of directories only if each of its parts is a plain name, and each
directory is opened from the one above it, never through a symbolic link: a path is not looked up twice, so nobody can
exchange what was checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from unicodedata import normalize

from s3dlio import fileio
from s3dlio.errors import InvalidUriError
from s3dlio.stores import drafts, reach
from s3dlio.stores.local import LocalStore, check_size, end_of
from s3dlio.stores.store import Part, Upload
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from s3dlio.stores.drafts import Draft


class FolderStore(LocalStore):
    """The files below one directory, which is made if need be. The URIs are those that `target` returns."""

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/") or "/"
        self._drafts: dict[str, Draft] = {}
        with fileio.translated(f"file://{path}", "create"):
            os.makedirs(path, exist_ok=True)
            self._top = os.open(path, reach.DIRECTORY)
            # Only where two keys can be one file are keys remembered: the set grows with their number.
            self._taken: set[str] | None = set() if drafts.folds_names(self._top) else None

    def target(self, relative: str) -> Uri:
        """Return the place of a relative key; one that ends in `/` is a directory's.

        Raises:
            InvalidUriError: the key cannot be a file here without leaving the folder or being another key's file.
        """
        parts = (relative[:-1] if relative.endswith("/") else relative).split("/")
        for part in parts:
            if part in ("", ".", "..") or "\0" in part or "\\" in part:
                raise self._refusal(relative, f"{part!r} is no plain name")
        try:
            os.fsencode(relative)
        except UnicodeEncodeError:
            raise self._refusal(relative, "it is no valid Unicode") from None
        if self._taken is not None:
            same = normalize("NFC", relative).casefold()
            if same in self._taken:
                raise self._refusal(relative, "the file system takes another key of this folder for the same name")
            self._taken.add(same)
        return Uri("file", "", f"{self._start}{'/'.join(parts)}")

    def _refusal(self, relative: str, reason: str) -> InvalidUriError:
        return InvalidUriError(f"the key {relative!r} cannot be a file below {self._path!r}: {reason}")

    @property
    def _start(self) -> str:
        return self._path if self._path.endswith("/") else f"{self._path}/"

    def _parts(self, uri: Uri) -> list[str]:
        return uri.key[len(self._start) :].split("/")

    def _reach(self, uri: Uri, durable: bool) -> tuple[int, str]:
        *parents, name = self._parts(uri)
        return reach.walk(uri, self._top, parents, durable=durable), name

    async def make_directory(self, uri: Uri) -> None:
        """Create a directory and those above it, up to the folder; one that is there is success."""
        with fileio.translated(uri, "create"):
            os.close(reach.walk(uri, self._top, self._parts(uri), durable=False))

    async def start_upload(self, uri: Uri, size: int | None) -> Upload:
        """Begin a file that is written in parts, by this process; its draft is held open."""
        draft = drafts.hold(uri, size, self._reach)
        self._drafts[draft.temporary] = draft
        return Upload(uri, draft.temporary)

    async def write_part(self, upload: Upload, number: int, offset: int, data: memoryview) -> Part:
        """Write one part at `offset`, in bytes. Any thread may write any part at any time."""
        with fileio.translated(upload.uri, "write a part of"):
            self._send(upload.uri, self._drafts[upload.id].fd, data, offset)
        return Part(number, len(data), f"{offset:x}-{len(data):x}")

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], *, if_none_match: bool = False, durable: bool = False
    ) -> None:
        """Give the file its name; see `LocalStore.complete_upload`."""
        total = end_of(upload, parts)
        with fileio.translated(upload.uri, "complete"):
            size = os.fstat(self._drafts[upload.id].fd).st_size
        check_size(upload, size, total)
        drafts.release(upload.uri, self._drafts.pop(upload.id), exclusive=if_none_match, durable=durable)

    async def abort_upload(self, upload: Upload) -> None:
        """Remove the draft, which may have been removed already."""
        draft = self._drafts.pop(upload.id, None)
        if draft is not None:
            drafts.drop(draft)

    def close(self) -> None:
        """Let go of the folder, and of the drafts that nobody completed."""
        while self._drafts:
            drafts.drop(self._drafts.popitem()[1])
        with suppress(OSError):
            os.close(self._top)
