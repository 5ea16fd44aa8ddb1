"""obstore: its synchronous calls, alone and in threads, and its asyncio calls in tasks.

Which of the two is faster with several in flight depends on the machine and the row, so both are clients.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import LocalStore, S3Store

from benchmarks.clients import Place
from benchmarks.clients.loop import Loop
from benchmarks.clients.threads import Threads
from benchmarks.content import Body

if TYPE_CHECKING:
    from obstore.store import ClientConfig


class ObstoreThreads:
    """obstore with its defaults, several in flight by threads."""

    def __init__(self, place: Place) -> None:
        self._store = LocalStore(prefix=place.container) if place.endpoint is None else _s3(place, place.endpoint)
        self._threads = Threads()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get` for each."""
        return self._threads.map(self.get_large, keys, in_flight)

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put` for each."""
        self._threads.map(lambda item: self.put_large(*item), items, in_flight)

    def get_large(self, key: str) -> Body:
        """Call `get`, which is one request."""
        return obstore.get(self._store, key).bytes()

    def put_large(self, key: str, data: bytes) -> None:
        """Call `put`, which sends parts of its own accord."""
        obstore.put(self._store, key, data)

    def list(self, prefix: str) -> Sequence[str]:
        """Take the paths of every chunk; a chunk is a page."""
        return [entry["path"] for chunk in obstore.list(self._store, prefix, chunk_size=1000) for entry in chunk]

    def close(self) -> None:
        """End the threads. obstore closes its connections when it likes."""
        self._threads.close()


class ObstoreTasks(ObstoreThreads):
    """The same, several in flight by asyncio."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._loop = Loop()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get_async` from as many tasks as may be in flight."""
        return self._loop.map(self._get, keys, in_flight)

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put_async` from as many tasks as may be in flight."""
        self._loop.map(self._put, items, in_flight)

    def close(self) -> None:
        """End the threads and the loop."""
        super().close()
        self._loop.close()

    async def _get(self, key: str) -> Body:
        return await (await obstore.get_async(self._store, key)).bytes_async()

    async def _put(self, item: tuple[str, bytes]) -> None:
        await obstore.put_async(self._store, *item)


def _s3(place: Place, endpoint: str) -> S3Store:
    options: ClientConfig = {"allow_http": True}
    if place.authority:
        options["root_certificate"] = Path(place.authority).read_bytes()
    return S3Store(
        place.container,
        endpoint=endpoint,
        region=os.environ["AWS_REGION"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options=options,
    )
