"""The clients under test: one interface, one module each, each client used in the way that is fastest for
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

from benchmarks.content import Body
from benchmarks.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the objects are: a bucket at an endpoint, or an absolute directory when `endpoint` is None.

    `scheme` is that of the URIs. `authority` is the file of the CA that an endpoint with TLS is to be trusted by; it
    is in `AWS_CA_BUNDLE` and `SSL_CERT_FILE` too.
    """

    container: str
    scheme: str = "s3"
    endpoint: str | None = None
    authority: str | None = None


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

    def close(self) -> None:
        """Give back the threads and the connections, where the client has a way to."""
        ...


@runtime_checkable
class Discarding(Protocol):
    """A client that throws away what it reads. What it returns has a length and no bytes."""

    def contents(self, key: str) -> Body:
        """Read one object again and return what is in it."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """A client that is faster when it knows beforehand which objects will be read."""

    def foresee(self, keys: Sequence[str]) -> None:
        """Ask for what it wants to know of these objects. It is not timed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How to find a client, and the distributions that it is made of.

    `blocking` and `awaitable` name its classes for the rows of either sort; without one it has no part in them.
    `schemes` are those of the places that it can reach. With `many_only` it differs from another client only when
    several objects are in flight. `only` names the rows of a client that is no client otherwise. `environment` is
    the one that it needs for itself, see `benchmarks.environments`. `imports` is the module that its users import.
    A `slow` client takes seconds for a step and never is the best peer.
    """

    module: str
    distributions: tuple[str, ...]
    blocking: str | None = None
    awaitable: str | None = None
    schemes: tuple[str, ...] = ("s3",)
    many_only: bool = False
    only: tuple[str, ...] = ()
    environment: str | None = None
    imports: str | None = None
    slow: bool = False

    def class_for(self, row: Row) -> str | None:
        """Return the name of the class that does the row, or None."""
        return self.awaitable if row.awaited else self.blocking

    def does(self, row: Row, name: str) -> bool:
        """Return True when this client, of this name, has a part in the row."""
        if row.verb == "import":
            return self.imports is not None
        if name in row.without or (self.only and row.name not in self.only):
            return False
        if self.many_only and row.in_flight == 1:
            return False
        return row.scheme in self.schemes and self.class_for(row) is not None


OURS = "s3dlio"
_ALL = ("s3", "file", "direct")
KINDS: dict[str, Kind] = {
    OURS: Kind(
        module="benchmarks.clients.ours",
        blocking="Ours",
        awaitable="OursAwaited",
        distributions=(),
        schemes=_ALL,
        imports="s3dlio",
    ),
    "obstore": Kind(
        module="benchmarks.clients.obstore_client",
        blocking="ObstoreThreads",
        distributions=("obstore",),
        schemes=("s3", "file"),
        imports="obstore",
    ),
    "obstore-asyncio": Kind(
        module="benchmarks.clients.obstore_client",
        blocking="ObstoreTasks",
        awaitable="ObstoreTasks",
        distributions=("obstore",),
        schemes=("s3", "file"),
        many_only=True,
    ),
    "s3torchconnector": Kind(
        module="benchmarks.clients.s3torchconnector_client",
        blocking="Mountpoint",
        distributions=("s3torchconnector", "s3torchconnectorclient", "torch"),
        imports="s3torchconnector",
    ),
    "s3dlio-wheel": Kind(
        module="benchmarks.clients.wheel",
        blocking="Wheel",
        awaitable="WheelAwaited",
        distributions=("s3dlio",),
        schemes=_ALL,
        environment="s3dlio-wheel",
        imports="s3dlio",
    ),
    "boto3": Kind(
        module="benchmarks.clients.boto3_client",
        blocking="Boto3",
        distributions=("boto3", "botocore", "s3transfer", "awscrt"),
        imports="boto3",
        slow=True,
    ),
    "s3fs": Kind(
        module="benchmarks.clients.s3fs_client",
        blocking="S3fs",
        awaitable="S3fsAwaited",
        distributions=("s3fs", "aiobotocore"),
        environment="s3fs",
        imports="s3fs",
        slow=True,
    ),
    "dd": Kind(
        module="benchmarks.clients.dd",
        blocking="Dd",
        distributions=(),
        schemes=("direct",),
        only=("direct-get-1g",),
    ),
}


def connect(name: str, row: Row, place: Place) -> Client:
    """Return the client of that name for a row at a place. Credentials are in the `AWS_*` variables."""
    kind = KINDS[name]
    wanted = kind.class_for(row)
    if wanted is None:
        raise ValueError(f"{name} has no part in row {row.name}")
    client: Client = getattr(import_module(kind.module), wanted)(place)
    return client
