"""One epoch in a process of its own: `python -m benchmarks.loading.run_one ASSIGNMENT` prints one line of JSON.

The clock runs from the moment when the loop asks for an iterator to the end of the last batch: connections and workers
are made within it, imports and the dataset before. CPU time is that of this process and of its workers, which have
ended by then. The loop touches each page of each batch.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks import process
from benchmarks.content import holds
from benchmarks.loading.clients import KINDS, Epoch
from benchmarks.loading.rows import Row, find

_PAGE = 4096
_NUMBER = 8  # bytes: with them begins each object, and they are its number


class EpochNotReadError(Exception):
    """The batches of an epoch are not what the origin holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to read, through which client; `pids` are the origin's."""

    row: str
    client: str
    endpoint: str
    objects: int
    pids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured, in samples, bytes and seconds. `first` is the time to the first batch.

    `origin_cpu` is what the origin used meanwhile. `peak_memory` is that of all processes of the client together.
    """

    row: str
    client: str
    samples: int
    moved: int
    wall: float
    first: float
    cpu: float
    origin_cpu: float
    peak_memory: int = 0


@dataclass(slots=True)
class Reading:
    """What the loop has seen: the first bytes of each sample, and the last batch."""

    heads: list[Tensor]
    last: Tensor
    moved: int
    first: float
    wall: float


def measure(task: Assignment) -> Measurement:
    """Read an epoch, and prove that it was read."""
    row = find(task.row)
    loader = KINDS[task.client].open(Epoch(row=row, endpoint=task.endpoint, objects=task.objects))
    gc.collect()
    cpu, origin_cpu = _cpu(), process.cpu_seconds(task.pids)
    reading = _read(loader)
    gc.collect()  # of an iterator that still holds workers
    cpu, origin_cpu = _cpu() - cpu, process.cpu_seconds(task.pids) - origin_cpu
    prove(reading, row, task.objects)
    return Measurement(
        row=task.row,
        client=task.client,
        samples=task.objects,
        moved=reading.moved,
        wall=reading.wall,
        first=reading.first,
        cpu=cpu,
        origin_cpu=origin_cpu,
    )


def _read(loader: Iterable[Tensor]) -> Reading:
    heads: list[Tensor] = []
    moved, first, last = 0, 0.0, torch.empty(0)
    start = time.perf_counter()
    for last in loader:
        first = first or time.perf_counter() - start
        last.reshape(-1)[::_PAGE].sum()
        heads.append(last[:, :_NUMBER].clone())
        moved += last.nbytes
    return Reading(heads=heads, last=last, moved=moved, first=first, wall=time.perf_counter() - start)


def prove(reading: Reading, row: Row, objects: int) -> None:
    """Check that each object has come as often as it should, and every byte of the last batch.

    Raises:
        EpochNotReadError: it is not so.
    """
    numbers = _numbers(torch.cat(reading.heads)) if reading.heads else torch.empty(0, dtype=torch.int64)
    if (len(numbers), reading.moved) != (objects, objects * row.size):
        due = f"{objects} of {objects * row.size} bytes were due"
        raise EpochNotReadError(f"{len(numbers)} samples of {reading.moved} bytes where {due}")
    expected = torch.arange(objects) % row.distinct
    if not torch.equal(numbers.sort().values, expected.sort().values):
        raise EpochNotReadError("some objects have come more often than others")
    for number, sample in zip(_numbers(reading.last[:, :_NUMBER]), reading.last, strict=True):
        if not holds(sample.numpy(), row.size, int(number)):
            raise EpochNotReadError(f"the bytes of object {int(number)} are not those that the origin holds")


def _numbers(heads: Tensor) -> Tensor:
    """Return the numbers of samples from their first bytes, the highest byte first."""
    places = torch.tensor([1 << 8 * place for place in reversed(range(_NUMBER))], dtype=torch.int64)
    return (heads.to(torch.int64) * places).sum(dim=1)


def _cpu() -> float:
    """Return the CPU time of this process and of those that it has started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Read what the one argument says, and print the measurement as JSON."""
    task = Assignment(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(measure(task))), flush=True)


if __name__ == "__main__":
    main()
