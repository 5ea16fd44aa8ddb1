"""Local stores, driven from a test: one call a verb, and system calls that fail when they are told to."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from s3dlio.buffer import lease
from s3dlio.stores.direct import DirectStore
from s3dlio.stores.local import LocalStore
from s3dlio.stores.store import Page, Received
from s3dlio.uri import Uri

T = TypeVar("T")
STORES = {"file": LocalStore(), "direct": DirectStore()}
OLD = b"the old content"
NEW = os.urandom(3 * 4096 + 77)
LARGE = (1 << 20) + 5  # bytes; from 1 MiB on the space is reserved first
EVERYTHING = 1 << 60  # bytes, more than any file has


def run(task: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of a store that asks nobody for anything."""
    try:
        step = task.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError(f"the local stores do their work themselves, and this one asked for {step!r}")


class Files:
    """A store and a directory, with paths relative to the directory."""

    def __init__(self, scheme: str, directory: Path) -> None:
        self.scheme = scheme
        self.store = STORES[scheme]
        self.directory = directory

    def uri(self, name: str) -> Uri:
        return Uri(self.scheme, "", f"{self.directory}/{name}")

    def put(self, name: str, data: bytes, *, if_none_match: bool = False, durable: bool = False) -> None:
        run(self.store.write(self.uri(name), memoryview(data), if_none_match=if_none_match, durable=durable))

    def get(self, name: str, offset: int = 0, length: int = EVERYTHING, pin: str | None = None) -> bytes:
        return self.receive(name, offset, length, pin)[0]

    def receive(
        self,
        name: str,
        offset: int = 0,
        length: int = EVERYTHING,
        pin: str | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> tuple[bytes, Received]:
        """Read, and do `meanwhile` between the look at the file and the first byte."""
        views: list[memoryview] = []

        def place(_: int, length: int) -> memoryview:
            views.append(lease(length).data)
            meanwhile()
            return views[0]

        received = run(self.store.read(self.uri(name), offset, length, place, pin=pin))
        return bytes(views[0]), received

    def pages(self, prefix: str, *, recursive: bool = True) -> list[Page]:
        async def collect() -> list[Page]:
            return [page async for page in self.store.pages(self.uri(prefix), recursive=recursive)]

        return run(collect())

    def list(self, prefix: str = "", *, recursive: bool = True) -> list[str]:
        """Return keys and sub-prefixes in the order of the pages, relative to the directory."""
        found: list[str] = []
        for page in self.pages(prefix, recursive=recursive):
            keys = [*(entry[0] for entry in page.entries), *page.prefixes]
            found += sorted(keys, key=os.fsencode)
        start = f"{self.directory}/"
        assert all(key.startswith(start) for key in found)
        return [key.removeprefix(start) for key in found]

    def everything(self) -> builtins.list[str]:
        """Return what really is in the directory, hidden or not."""
        return sorted(os.listdir(self.directory))


CALLS = ("open", "stat", "preadv", "pwrite", "fchmod", "fsync", "close", "rename", "link", "unlink")


@contextmanager
def failing(index: int, code: int) -> Generator[list[str], None, None]:
    """Let the system call of that index (from 0) fail; yields the names of the calls made so far."""
    made: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            made.append(name)
            if len(made) - 1 != index:
                return real(*args, **options)
            if name == "close":  # which frees the descriptor also when it fails
                real(*args)
            raise OSError(code, os.strerror(code))

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield made


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def dead_process() -> int:
    """Return the id of a process that has ended."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", ""], os.environ)
    os.waitpid(child, 0)
    return child


def draft_of(process: int) -> str:
    return f".s3dlio-{process}-0123456789abcdef.tmp"
