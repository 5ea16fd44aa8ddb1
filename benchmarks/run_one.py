"""One measurement in a process of its own: `python -m benchmarks.run_one ASSIGNMENT` prints one line of
JSON.

Wall time and the CPU time of this process are taken around the timed section alone: imports, connections
and checks lie outside. The peak of memory is that of the whole process from the warm-up to the end of the
timed section.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks import clients, imports, process, rows, work


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to measure. The timed section ends with the first step past `seconds`; `pids` are the origin's."""

    row: str
    client: str
    container: str
    endpoint: str | None
    authority: str | None
    pids: Sequence[int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured: objects, keys or imports, bytes, seconds. `origin_cpu` is what the origin used meanwhile.

    `resting_memory` is what the process held before the warm-up: imports, and the bytes that it will put.
    """

    row: str
    client: str
    objects: int
    moved: int
    wall: float
    cpu: float
    origin_cpu: float = 0.0
    resting_memory: int = 0
    peak_memory: int = 0


def measure(task: Assignment) -> Measurement:
    """Warm up, time, prove."""
    row = rows.find(task.row)
    if row.verb == "import":
        return _import(task)
    place = clients.Place(container=task.container, scheme=row.scheme, endpoint=task.endpoint, authority=task.authority)
    client = clients.connect(task.client, row, place)
    job = work.prepare(row, client, place)
    gc.collect()
    process.forget_peak_memory()
    resting = process.peak_memory()
    job.warm()
    origin_before = process.cpu_seconds(task.pids)
    steps, wall, cpu = _timed(job, 0 if row.fresh else task.seconds)
    origin_cpu = process.cpu_seconds(task.pids) - origin_before
    peak = process.peak_memory()
    job.prove(steps)
    client.close()
    objects = steps * (rows.LISTED if row.verb == "list" else row.batch)
    return Measurement(
        row=task.row,
        client=task.client,
        objects=objects,
        moved=objects * row.size,
        wall=wall,
        cpu=cpu,
        origin_cpu=origin_cpu,
        resting_memory=resting,
        peak_memory=peak,
    )


def _import(task: Assignment) -> Measurement:
    module = clients.KINDS[task.client].imports
    if module is None:
        raise ValueError(f"{task.client} has no module to import")
    cost = imports.cost(module)
    return Measurement(row=task.row, client=task.client, objects=1, moved=0, wall=cost.wall, cpu=cost.cpu)


def _timed(job: work.Work, seconds: float) -> tuple[int, float, float]:
    steps = 0
    cpu_before = _cpu()
    start = time.perf_counter()
    while True:
        job.step()
        steps += 1
        wall = time.perf_counter() - start
        if wall >= seconds:
            return steps, wall, _cpu() - cpu_before


def _cpu() -> float:
    """Return the CPU time of this process and of those that it has started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Measure what the one argument says, as JSON."""
    task = Assignment(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(measure(task))), flush=True)


if __name__ == "__main__":
    main()
