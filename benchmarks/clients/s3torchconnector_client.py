"""s3torchconnector: the native client that its datasets and checkpoints are built on.

Without the readers and writers around it, which only add to the cost. It has no type information.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Protocol, cast

from benchmarks.clients import Place
from benchmarks.clients.threads import Threads
from benchmarks.content import Body


class PutStream(Protocol):
    """An upload; the object is there when it is closed."""

    def write(self, data: bytes) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Info(Protocol):
    """One entry of a listing."""

    key: str


class Page(Protocol):
    """One page of a listing."""

    object_info: Sequence[Info]


class Native(Protocol):
    """What is used of `MountpointS3Client`."""

    def get_object(self, bucket: str, key: str) -> Iterable[bytes]: ...  # noqa: D102
    def put_object(self, bucket: str, key: str) -> PutStream: ...  # noqa: D102
    def list_objects(self, bucket: str, prefix: str) -> Iterable[Page]: ...  # noqa: D102


class Mountpoint:
    """The client with its defaults, several in flight by threads. It splits large objects itself."""

    def __init__(self, place: Place) -> None:
        make = import_module("s3torchconnectorclient._mountpoint_s3_client").MountpointS3Client
        made = make(region=os.environ["AWS_REGION"], endpoint=place.endpoint, force_path_style=True)
        self._native = cast("Native", made)
        self._bucket = place.container
        self._threads = Threads()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get_object` for each and join its pieces."""
        return self._threads.map(self.get_large, keys, in_flight)

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put_object` for each, which is an upload in parts whatever the size."""
        self._threads.map(lambda item: self.put_large(*item), items, in_flight)

    def get_large(self, key: str) -> Body:
        """Call `get_object` and join its pieces, each of which is 8 MiB at most."""
        pieces = [*self._native.get_object(self._bucket, key)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def put_large(self, key: str, data: bytes) -> None:
        """Write the object in one call."""
        stream = self._native.put_object(self._bucket, key)
        stream.write(data)
        stream.close()

    def list(self, prefix: str) -> Sequence[str]:
        """Take the keys of every page."""
        return [info.key for page in self._native.list_objects(self._bucket, prefix) for info in page.object_info]

    def close(self) -> None:
        """End our threads. The client's own end with the process."""
        self._threads.close()
