"""A place to store objects in, and bytes to store there.

The place is empty when a test begins. Content depends on its size alone, so a failure repeats itself.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

import s3dlio
from tests.servers.process import free_port

MIB = 1 << 20


class Place:
    """Where promises are kept. A `place` fixture of the subclass sets `base` and `elsewhere`."""

    base: str
    """The URI of an empty prefix; it ends in `/`."""
    elsewhere: str
    """An empty prefix of another backend."""
    large: ClassVar[int] = 20 * MIB
    """Bytes of an object that is read as ranges and written as parts."""

    def uri(self, key: str) -> str:
        """Return the URI of a key, relative to the base."""
        return f"{self.base}{key}"

    def store(self, *keys: str) -> list[str]:
        """Store objects that hold their own relative key, and return their URIs."""
        uris = [self.uri(key) for key in keys]
        s3dlio.put_many((uri, key.encode()) for uri, key in zip(uris, keys, strict=True))
        return uris

    def relative(self, uris: list[str]) -> list[str]:
        """Return what a listing of this place gave, without the base."""
        assert all(uri.startswith(self.base) for uri in uris), uris
        return [uri.removeprefix(self.base) for uri in uris]

    def left(self, base: str | None = None) -> list[str]:
        """Return the keys of all objects that are left in this place, or another, relative to it."""
        start = base or self.base
        return [uri.removeprefix(start) for uri in s3dlio.list(start, recursive=True)]


def content(size: int) -> bytes:
    """Return `size` bytes without a pattern."""
    return np.random.default_rng(size).bytes(size)


def digest(data: Any) -> tuple[int, str]:
    """Return what tells two large contents apart in one line."""
    return memoryview(data).nbytes, hashlib.sha256(data).hexdigest()


def nobody() -> str:
    """Return an endpoint where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@contextmanager
def silent_server() -> Generator[socket.socket]:
    """Yield a listener that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(30)  # a test that fails ends all the same
        yield listener
