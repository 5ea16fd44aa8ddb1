"""The clients under test: one interface, one module each, each client used in the way that is fastest for
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Protocol

from benchmarks.rows import Row


class Body(Protocol):
    """The bytes of one object, in whatever the client returns. `len` is their number.

    It has the buffer protocol too, which types can state from Python 3.12 on only.
    """

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the objects are: a bucket at an endpoint, or an absolute directory when `endpoint` is None."""

    container: str
    endpoint: str | None = None


class Client(Protocol):
    """What a client must do. Keys are relative to its place, and what it returns holds all the bytes."""

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Read these objects, `in_flight` at a time, in order."""
        ...

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Store these objects, `in_flight` at a time."""
        ...

    def get_large(self, key: str) -> Body:
        """Read one large object, split as the client sees fit."""
        ...

    def put_large(self, key: str, data: bytes) -> None:
        """Store one large object, split as the client sees fit."""
        ...

    def list(self, prefix: str) -> Sequence[str]:
        """Return the names of all objects below a prefix; each ends in the last segment of its key."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """How to find a client, and the distributions that it is made of.

    `files` is True when it reads local files too. With `many_only` it differs from another client only when
    several objects are in flight, and is measured only then.
    """

    module: str
    name: str
    distributions: tuple[str, ...]
    files: bool = True
    many_only: bool = False

    def does(self, row: Row) -> bool:
        """Return True when this client has a part in the row."""
        return (self.files or row.source != "disk") and (row.in_flight > 1 or not self.many_only)


OURS = "s3dlio"
_BOTO3 = ("boto3", "botocore", "s3transfer", "awscrt")
KINDS: dict[str, Kind] = {
    OURS: Kind("benchmarks.clients.ours", "Ours", ()),
    "obstore": Kind("benchmarks.clients.obstore_client", "ObstoreThreads", ("obstore",)),
    "obstore-asyncio": Kind("benchmarks.clients.obstore_client", "ObstoreTasks", ("obstore",), many_only=True),
    "boto3": Kind("benchmarks.clients.boto3_client", "Boto3", _BOTO3, files=False),
}


def connect(name: str, place: Place) -> Client:
    """Return the client of that name for a place. Credentials are in the `AWS_*` variables."""
    kind = KINDS[name]
    client: Client = getattr(import_module(kind.module), kind.name)(place)
    return client


def versions(name: str) -> dict[str, str]:
    """Return the installed versions of what a client is made of.

    Raises:
        ModuleNotFoundError: some of it is not installed.
    """
    if name == OURS:
        # s3dlio may be on the path without being installed.
        return {OURS: import_module(OURS).__version__}
    return {each: version(each) for each in KINDS[name].distributions}
