"""obstore: its synchronous calls, alone and in threads, and its asyncio calls in tasks.

Which of the two is faster with several in flight depends on the machine and the row, so both are clients.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable, Sequence

import obstore
from obstore.store import LocalStore, S3Store

from benchmarks.clients import Body, Place
from benchmarks.clients.threads import Threads


class ObstoreThreads:
    """obstore with its defaults, several in flight by threads."""

    def __init__(self, place: Place) -> None:
        name, endpoint = place.container, place.endpoint
        self._store = LocalStore(prefix=name) if endpoint is None else _s3(name, endpoint)
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


class ObstoreTasks(ObstoreThreads):
    """The same, several in flight by asyncio; one event loop lives as long as the client."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._loop = asyncio.new_event_loop()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get_async` from as many tasks as may be in flight."""
        return self._loop.run_until_complete(self._get_concurrently(keys, in_flight))

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put_async` from as many tasks as may be in flight."""
        self._loop.run_until_complete(self._put_concurrently(items, in_flight))

    async def _get_concurrently(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        found: dict[int, Body] = {}
        waiting = iter(enumerate(keys))

        async def work() -> None:
            for number, key in waiting:
                found[number] = await (await obstore.get_async(self._store, key)).bytes_async()

        await _several(work() for _ in range(in_flight))
        return [found[number] for number in range(len(keys))]

    async def _put_concurrently(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        waiting = iter(items)

        async def work() -> None:
            for key, data in waiting:
                await obstore.put_async(self._store, key, data)

        await _several(work() for _ in range(in_flight))


async def _several(tasks: Iterable[Coroutine[object, object, None]]) -> None:
    await asyncio.gather(*tasks)


def _s3(bucket: str, endpoint: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=os.environ["AWS_REGION"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
