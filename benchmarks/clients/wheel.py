"""The distribution `s3dlio` of the public index, written in Rust: another project, whose import name is ours.

It lives in an environment of its own, and this module must never see ours.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol, cast

from benchmarks.clients import Place
from benchmarks.clients.loop import Loop
from benchmarks.content import Body


class Rust(Protocol):
    """What is used of it. Results of `get_many` come with their URIs, in any order."""

    def get(self, uri: str) -> Body: ...  # noqa: D102
    def get_many(self, uris: Sequence[str], max_in_flight: int) -> Sequence[tuple[str, Body]]: ...  # noqa: D102
    def get_many_stats(self, uris: Sequence[str]) -> object: ...  # noqa: D102
    def get_many_async(  # noqa: D102
        self, uris: Sequence[str], max_in_flight: int
    ) -> Coroutine[Any, Any, Sequence[tuple[str, Body]]]: ...
    def put_bytes(self, uri: str, data: bytes) -> object: ...  # noqa: D102
    def put_many(self, items: Sequence[tuple[str, bytes]], max_in_flight: int) -> object: ...  # noqa: D102
    def list(self, uri: str, recursive: bool) -> Sequence[str]: ...  # noqa: D102


class Wheel:
    """The wheel with its defaults. It asks for the size of each object first, and remembers it for a minute."""

    def __init__(self, place: Place) -> None:
        version("s3dlio")  # is found where the wheel is installed; our distribution is s3dlio-core
        self._rust = cast("Rust", import_module("s3dlio"))
        self._root = f"{place.scheme}://{place.container}"

    def foresee(self, keys: Sequence[str]) -> None:
        """Call `get_many_stats`, so that the sizes are known."""
        self._rust.get_many_stats(self._uris(keys))

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get` for each, or `get_many` once."""
        uris = self._uris(keys)
        if in_flight == 1:
            return [self._rust.get(uri) for uri in uris]
        return _ordered(uris, self._rust.get_many(uris, in_flight))

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put_bytes` for each, or `put_many` once."""
        named = [(f"{self._root}/{key}", data) for key, data in items]
        if in_flight > 1:
            self._rust.put_many(named, in_flight)
            return
        for uri, data in named:
            self._rust.put_bytes(uri, data)

    def get_large(self, key: str) -> Body:
        """Call `get`, which splits objects from 32 MiB on."""
        return self._rust.get(f"{self._root}/{key}")

    def put_large(self, key: str, data: bytes) -> None:
        """Call `put_bytes`."""
        self._rust.put_bytes(f"{self._root}/{key}", data)

    def list(self, prefix: str) -> Sequence[str]:
        """Call `list`."""
        return self._rust.list(f"{self._root}/{prefix}", recursive=True)

    def close(self) -> None:
        """Do nothing: its threads and its connections end with the process."""

    def _uris(self, keys: Sequence[str]) -> list[str]:
        return [f"{self._root}/{key}" for key in keys]


class WheelAwaited(Wheel):
    """The same, many through one awaited call."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._loop = Loop()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Await `get_many_async` once."""
        uris = self._uris(keys)
        return _ordered(uris, self._loop.run(self._awaited(uris, in_flight)))

    async def _awaited(self, uris: Sequence[str], in_flight: int) -> Sequence[tuple[str, Body]]:
        return await self._rust.get_many_async(uris, in_flight)


def _ordered(uris: Sequence[str], found: Sequence[tuple[str, Body]]) -> list[Body]:
    by_uri = dict(found)
    return [by_uri[uri] for uri in uris]
