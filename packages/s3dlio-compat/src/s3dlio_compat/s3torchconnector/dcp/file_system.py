"""Object storage as the file system that distributed checkpoints are written to."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import torch
from torch.distributed.checkpoint.filesystem import FileSystemBase

from s3dlio.stores.store import Store
from s3dlio.uri import Uri
from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.exceptions import MISSING_OBJECT, S3Exception
from s3dlio_compat.s3torchconnector.s3reader import S3ReaderConstructor, S3ReaderConstructorProtocol
from s3dlio_compat.s3torchconnector.uris import parse_s3_uri
from s3dlio_compat.s3torchconnector.user_agent import UserAgent

log = logging.getLogger(__name__)

Location = str | os.PathLike[str]
_UNFINISHED = ".metadata.tmp"


class S3FileSystem(FileSystemBase):
    """Streams, existence, renaming and removal of objects by URI."""

    def __init__(
        self,
        region: str,
        s3_client: S3Client | None = None,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
        *,
        endpoint: str | None = None,
    ) -> None:
        self._reader_constructor = reader_constructor or S3ReaderConstructor.default()
        kind = S3ReaderConstructor.get_reader_type_string(self._reader_constructor)
        agent = UserAgent(["dcp", torch.__version__, f"md/reader_type#{kind}"])
        self._client = s3_client or S3Client(
            region, endpoint=endpoint, user_agent=agent, s3client_config=s3client_config
        )
        self._path: Location = ""

    @contextmanager
    def create_stream(self, path: Location, mode: str) -> Iterator[io.IOBase]:
        """Open an object for reading ("rb") or writing ("wb"); what is written appears at the end of the block.

        Raises:
            ValueError: another mode.
        """
        bucket, key = parse_s3_uri(os.fspath(path))
        if mode == "wb":
            with self._client.put_object(bucket, key) as writer:
                yield writer
        elif mode == "rb":
            with self._client.get_object(bucket, key, reader_constructor=self._reader_constructor) as reader:
                yield reader
        else:
            raise ValueError(
                f"Invalid {mode=} mode argument: create_stream only supports rb (read mode) & wb (write mode)"
            )

    def opened(self, path: Location) -> tuple[Store, Uri]:
        """Return the store of an object, and where in it the object is."""
        return self._client.opened(*parse_s3_uri(os.fspath(path)))

    def concat_path(self, path: Location, suffix: str) -> str:
        """Return the URI of what is below a path."""
        return os.path.join(os.fspath(path), suffix)

    def init_path(self, path: Location) -> Location:
        """Return the path as it is."""
        self._path = path
        return path

    def mkdir(self, path: Location) -> None:
        """Do nothing: there are no folders."""

    def exists(self, path: Location) -> bool:
        """Tell whether there is an object.

        Raises:
            S3Exception: the service does not say.
        """
        try:
            self._client.head_object(*parse_s3_uri(os.fspath(path)))
        except S3Exception as problem:
            if str(problem) != MISSING_OBJECT:
                raise
            return False
        return True

    def rm_file(self, path: Location) -> None:
        """Remove an object; what goes wrong is logged."""
        try:
            self._client.delete_object(*parse_s3_uri(os.fspath(path)))
        except S3Exception:
            log.exception("%s could not be removed", path)

    def rename(self, old_path: Location, new_path: Location) -> None:
        """Copy an object inside its bucket, and remove the old one.

        Raises:
            ValueError: two buckets.
        """
        bucket, key = parse_s3_uri(os.fspath(old_path))
        new_bucket, new_key = parse_s3_uri(os.fspath(new_path))
        if bucket != new_bucket:
            raise ValueError(
                "Source and destination buckets cannot be different (rename does not support cross-buckets operations)"
            )
        self._client.copy_object(bucket, "/".join(quote(part, safe="") for part in key.split("/")), bucket, new_key)
        self._client.delete_object(bucket, key)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Location) -> bool:
        """Tell whether a checkpoint can have this name."""
        if isinstance(checkpoint_id, Path):
            return True
        try:
            parse_s3_uri(os.fspath(checkpoint_id))
        except ValueError:
            return False
        return True


class CheckpointFileSystem(S3FileSystem):
    """Where a checkpoint is written: its metadata appears at once, under its own name.

    PyTorch writes it under another name and renames it, since a file is visible before it is complete. An object is
    not: what is written under that name is kept in memory until then.
    """

    def __init__(
        self, region: str, s3client_config: S3ClientConfig | None = None, *, endpoint: str | None = None
    ) -> None:
        super().__init__(region, s3client_config=s3client_config, endpoint=endpoint)
        self._held: dict[str, io.BytesIO] = {}

    @contextmanager
    def create_stream(self, path: Location, mode: str) -> Iterator[io.IOBase]:
        """Open an object; unfinished metadata becomes one when it is renamed."""
        name = os.fspath(path)
        if mode != "wb" or not name.endswith(_UNFINISHED):
            with super().create_stream(path, mode) as stream:
                yield stream
            return
        held = io.BytesIO()
        yield held
        self._held[name] = held

    def exists(self, path: Location) -> bool:
        """Tell whether there is an object, finished or not."""
        return os.fspath(path) in self._held or super().exists(path)

    def rename(self, old_path: Location, new_path: Location) -> None:
        """Store what is unfinished; rename what is an object."""
        held = self._held.pop(os.fspath(old_path), None)
        if held is None:
            super().rename(old_path, new_path)
            return
        with super().create_stream(new_path, "wb") as stream:
            stream.write(held.getbuffer())
