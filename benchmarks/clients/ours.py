"""s3dlio: one object after the other, or many through one call; blocking, and awaited."""

from __future__ import annotations

from collections.abc import Sequence

import s3dlio
from benchmarks.clients import Place
from benchmarks.clients.loop import Loop
from benchmarks.content import Body


class Ours:
    """s3dlio with its default settings; the endpoint, the keys and the CA come from the environment."""

    def __init__(self, place: Place) -> None:
        self._root = f"{place.scheme}://{place.container}"

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get` for each, or `get_many` once."""
        uris = self._uris(keys)
        if in_flight == 1:
            return [s3dlio.get(uri) for uri in uris]
        return s3dlio.get_many(uris, workers=in_flight)

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put` for each, or `put_many` once."""
        named = [(f"{self._root}/{key}", data) for key, data in items]
        if in_flight > 1:
            s3dlio.put_many(named, workers=in_flight)
            return
        for uri, data in named:
            s3dlio.put(uri, data)

    def get_large(self, key: str) -> Body:
        """Call `get`."""
        return s3dlio.get(f"{self._root}/{key}")

    def put_large(self, key: str, data: bytes) -> None:
        """Call `put`."""
        s3dlio.put(f"{self._root}/{key}", data)

    def list(self, prefix: str) -> Sequence[str]:
        """Call `list`."""
        return s3dlio.list(f"{self._root}/{prefix}", recursive=True)

    def close(self) -> None:
        """Close the idle connections."""
        s3dlio.reset()

    def _uris(self, keys: Sequence[str]) -> list[str]:
        return [f"{self._root}/{key}" for key in keys]


class OursAwaited(Ours):
    """The same, many through one awaited call."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._loop = Loop()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Await `get_many_async` once."""
        return self._loop.run(s3dlio.get_many_async(self._uris(keys), workers=in_flight))

    def close(self) -> None:
        """Close the idle connections and the loop."""
        super().close()
        self._loop.close()
