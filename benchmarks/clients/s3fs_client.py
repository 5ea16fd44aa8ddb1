"""s3fs: its calls for many files at once, and the same in the caller's own event loop.

It lives in an environment of its own, because it wants an older botocore than boto3 does. It has no type information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from benchmarks.clients import Place
from benchmarks.clients.loop import Loop
from benchmarks.content import Body

_MOST = 256
_LISTED = 1000


class FileSystem(Protocol):
    """What is used of `S3FileSystem`. Names that begin with `_` are its documented awaitable calls."""

    def cat(self, path: Sequence[str], *, batch_size: int, max_concurrency: int) -> Mapping[str, bytes]: ...  # noqa: D102
    def pipe(self, path: Mapping[str, bytes], *, batch_size: int) -> object: ...  # noqa: D102
    def cat_file(self, path: str, *, max_concurrency: int) -> bytes: ...  # noqa: D102
    def pipe_file(self, path: str, value: bytes) -> object: ...  # noqa: D102
    def find(self, path: str) -> Sequence[str]: ...  # noqa: D102
    def invalidate_cache(self) -> None: ...  # noqa: D102
    async def set_session(self) -> object: ...  # noqa: D102
    async def _cat_file(self, path: str, *, max_concurrency: int) -> bytes: ...


class S3fs:
    """s3fs with a connection for each object in flight. `max_concurrency=1` saves the request for the size."""

    def __init__(self, place: Place) -> None:
        self._fs = _open(place, asynchronous=False)
        self._bucket = place.container

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `cat` once."""
        paths = [f"{self._bucket}/{key}" for key in keys]
        found = self._fs.cat(paths, batch_size=in_flight, max_concurrency=1)
        return [found[path] for path in paths]

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `pipe` once."""
        self._fs.pipe({f"{self._bucket}/{key}": data for key, data in items}, batch_size=in_flight)

    def get_large(self, key: str) -> Body:
        """Call `cat_file` for one request: its default, 50 MiB ranges at a time, takes longer here."""
        return self._fs.cat_file(f"{self._bucket}/{key}", max_concurrency=1)

    def put_large(self, key: str, data: bytes) -> None:
        """Call `pipe_file` with its defaults: 50 MiB parts, 10 at a time."""
        self._fs.pipe_file(f"{self._bucket}/{key}", data)

    def list(self, prefix: str) -> Sequence[str]:
        """Call `find`, which would otherwise answer from what it remembers."""
        self._fs.invalidate_cache()
        return self._fs.find(f"{self._bucket}/{prefix}")

    def close(self) -> None:
        """Do nothing: its thread and its connections end with the process."""


class S3fsAwaited(S3fs):
    """The same, from as many tasks as may be in flight."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._loop = Loop()
        self._own = _open(place, asynchronous=True)
        self._loop.run(_entered(self._own))

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Await `_cat_file` for each."""
        return self._loop.map(self._get, [f"{self._bucket}/{key}" for key in keys], in_flight)

    async def _get(self, path: str) -> bytes:
        return await self._own._cat_file(path, max_concurrency=1)  # pyright: ignore[reportPrivateUsage]


def _open(place: Place, *, asynchronous: bool) -> FileSystem:
    return cast(
        "FileSystem",
        import_module("s3fs").S3FileSystem(
            endpoint_url=place.endpoint,
            asynchronous=asynchronous,
            config_kwargs={"max_pool_connections": _MOST},
            skip_instance_cache=True,
        ),
    )


async def _entered(fs: FileSystem) -> None:
    await fs.set_session()
