"""The clients: what each is, where it runs, and the module that reads an epoch through it.

A client is a function that takes an `Epoch` and returns what a training loop iterates over: tensors of bytes, one row a
sample. It makes no request before it is iterated. Each gets the URIs of the objects, or of the tar files, so nobody
lists. The modules here hold each client's best setting of those that were tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TypeAlias, cast

from torch import Tensor

from benchmarks.loading.rows import Row

BUCKET = "bucket"
REGION = "us-east-1"
_HERE = "benchmarks.loading.clients"
_PORTION = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What a client is to read: the first `objects` of the row, from `endpoint`."""

    row: Row
    endpoint: str
    objects: int

    @property
    def keys(self) -> list[str]:
        """The objects below their bucket."""
        return [key(self.row, number) for number in range(self.objects)]

    @property
    def uris(self) -> list[str]:
        """The objects as URIs."""
        return [f"s3://{BUCKET}/{each}" for each in self.keys]

    @property
    def shards(self) -> list[str]:
        """The addresses of the tar files with the same samples."""
        return [
            f"{self.endpoint}/{BUCKET}/{shard(self.row, number)}" for number in range(shards_of(self.row, self.objects))
        ]


def key(row: Row, number: int) -> str:
    """Return the key of an object."""
    return f"{row.folder}/{number:06d}"


def shard(row: Row, number: int) -> str:
    """Return the key of a tar file."""
    return f"{row.folder}-shards/{number:06d}.tar"


def shards_of(row: Row, objects: int) -> int:
    """Return the number of tar files that hold so many objects."""
    return -(-objects // row.sharded)


Open: TypeAlias = Callable[[Epoch], Iterable[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One client: the function that opens an epoch, and the distributions that it is made of.

    `isolated` clients run in the environment of `requirements/bench-loading.txt`. `workers` are the rows that it has
    a part in. One that fetches an object after the other does a tenth of a late row, a `slow` one a tenth of each.
    """

    module: str
    function: str
    distributions: tuple[str, ...]
    ours: bool = False
    isolated: bool = False
    sequential: bool = False
    sharded: bool = False
    slow: bool = False
    workers: tuple[int, ...] = (0, 2)

    def does(self, row: Row) -> bool:
        """Return whether the client has a part in a row."""
        return row.workers in self.workers

    def objects(self, row: Row, objects: int) -> int:
        """Return how many of the objects of a row it reads."""
        if self.slow or (self.sequential and row.late and row.workers <= 2):
            return max(row.batch, objects // _PORTION)
        return objects

    def open(self, epoch: Epoch) -> Iterable[Tensor]:
        """Return what the loop iterates over."""
        function = cast("Open", getattr(import_module(f"{_HERE}.{self.module}"), self.function))
        return function(epoch)


def _ours(function: str) -> Kind:
    return Kind(module="s3dlio_client", function=function, distributions=("s3dlio-core", "s3dlio-torch"), ours=True)


def _connector(function: str) -> Kind:
    return Kind(
        module="s3torchconnector_client",
        function=function,
        distributions=("s3torchconnector", "s3torchconnectorclient"),
        sequential=True,
        workers=(0, 2, 16),
    )


def _isolated(
    module: str,
    function: str,
    distributions: Sequence[str],
    workers: tuple[int, ...] = (0, 2),
    *,
    sharded: bool = False,
) -> Kind:
    return Kind(
        module=module,
        function=function,
        distributions=tuple(distributions),
        isolated=True,
        sharded=sharded,
        slow="s3fs" in distributions,
        workers=workers,
    )


_NODES = ("torchdata", "s3torchconnector", "s3torchconnectorclient")
KINDS: Mapping[str, Kind] = {
    "s3dlio-map": _ours("map_style"),
    "s3dlio-map-contiguous": _ours("map_contiguous"),
    "s3dlio-iterable": _ours("iterable"),
    "s3dlio-batches": _ours("batches"),
    "s3torchconnector-map": _connector("map_style"),
    "s3torchconnector-iterable": _connector("iterable"),
    "s3fs": _isolated("s3fs_client", "map_style", ("s3fs", "aiobotocore")),
    "webdataset": _isolated("webdataset_client", "stream", ("webdataset",), sharded=True),
    "torchdata-s3fs": _isolated("torchdata_client", "stateful", ("torchdata", "s3fs", "aiobotocore")),
    "torchdata-s3torchconnector": _isolated("torchdata_client", "nodes", _NODES, (0,)),
}
