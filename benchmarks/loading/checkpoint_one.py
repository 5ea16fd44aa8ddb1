"""One checkpoint in a process of its own: `python -m benchmarks.loading.checkpoint_one ASSIGNMENT` prints JSON.

The clock runs around `save` or `load` of `torch.distributed.checkpoint` alone: the state, and the memory that it is
loaded into, are there before. What was loaded is compared with what was saved, number by number; of what was saved the
origin says how many bytes came.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal, Protocol, TypeAlias, cast
from urllib.request import urlopen

from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter

from benchmarks import process
from benchmarks.loading import state
from benchmarks.replies import COUNTERS
from benchmarks.rows import MIB

Verb: TypeAlias = Literal["save", "load"]

MODULES = {"s3dlio": "s3dlio.compat.s3torchconnector", "s3torchconnector": "s3torchconnector"}
"""The clients, and the module of each: their classes have the same names."""


class CheckpointLostError(Exception):
    """What was loaded is not what was saved, or what was saved did not all come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to do: save a state of `size` MiB to a URI with so many threads, or load it; `pids` are the server's."""

    verb: Verb
    client: str
    uri: str
    threads: int
    size: int
    pids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured, in bytes and seconds. `server_cpu` is what the server used meanwhile."""

    verb: Verb
    client: str
    threads: int
    moved: int
    wall: float
    cpu: float
    server_cpu: float
    peak_memory: int = 0


class Storage(Protocol):
    """The classes of `dcp` that are used."""

    def S3StorageWriter(  # noqa: D102, N802
        self, region: str, path: str, s3client_config: object, thread_count: int
    ) -> StorageWriter: ...
    def S3StorageReader(self, region: str, path: str, s3client_config: object) -> StorageReader: ...  # noqa: D102, N802


def measure(task: Assignment) -> Measurement:
    """Save or load, and prove it."""
    warnings.filterwarnings("ignore", message=state.ALONE)
    held = state.made(task.size) if task.verb == "save" else state.empty(task.size)
    work = _saving(task, held) if task.verb == "save" else _loading(task, held)
    before = _received() if task.verb == "save" else 0
    gc.collect()
    cpu, server_cpu = _cpu(), process.cpu_seconds(task.pids)
    start = time.perf_counter()
    work()
    wall = time.perf_counter() - start
    cpu, server_cpu = _cpu() - cpu, process.cpu_seconds(task.pids) - server_cpu
    if task.verb == "save":
        _expect_received(_received() - before, task.size * MIB)
    elif not state.holds(held, task.size):
        raise CheckpointLostError("what was loaded is not what was saved")
    return Measurement(
        verb=task.verb,
        client=task.client,
        threads=task.threads,
        moved=task.size * MIB,
        wall=wall,
        cpu=cpu,
        server_cpu=server_cpu,
    )


def _received() -> int:
    """Return how many bytes of objects have come to the origin so far."""
    with urlopen(f"{os.environ['AWS_ENDPOINT_URL']}{COUNTERS}") as response:
        return int(json.loads(response.read())["received"])


def _expect_received(received: int, size: int) -> None:
    """Raise unless the state came, and no tenth more, which would have come twice."""
    if not size <= received <= 1.1 * size + MIB:
        raise CheckpointLostError(f"{received} bytes came to the origin, of a state of {size} bytes")


def _saving(task: Assignment, held: dict[str, Any]) -> Callable[[], object]:
    storage, config = _storage(task)
    writer = storage.S3StorageWriter(
        region=os.environ["AWS_REGION"], path=task.uri, s3client_config=config, thread_count=task.threads
    )
    return lambda: save(held, storage_writer=writer)


def _loading(task: Assignment, held: dict[str, Any]) -> Callable[[], object]:
    storage, config = _storage(task)
    reader = storage.S3StorageReader(region=os.environ["AWS_REGION"], path=task.uri, s3client_config=config)
    return lambda: load(held, storage_reader=reader)


def _storage(task: Assignment) -> tuple[Storage, object]:
    """Return the classes of the client, and its settings: the defaults, but for the style of addresses."""
    name = MODULES[task.client]
    dcp: Any = import_module(f"{name}.dcp")
    return cast("Storage", dcp), import_module(name).S3ClientConfig(force_path_style=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Do what the one argument says, and print the measurement as JSON."""
    task = Assignment(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(measure(task))), flush=True)


if __name__ == "__main__":
    main()
