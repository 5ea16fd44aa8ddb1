"""Reading with several processes: for a measurement, or where one interpreter cannot keep up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from s3dlio import batch, config, operations
from s3dlio.errors import S3dlioError
from s3dlio.steps import Together
from s3dlio.uri import parse


def mp_get(
    uri: str, procs: int = 4, jobs: int = 64, num: int = 1000, template: str = "object_{}.dat"
) -> dict[str, Any]:
    """Read `num` objects below a prefix with `procs` processes, each `jobs` at once; the bytes are dropped.

    `template` names the objects: its `{}` is replaced by 0 to `num` - 1. Returns `total_bytes`, `duration_seconds`,
    `throughput_mb_s` (1e6 bytes), `ops_per_sec`, `attempted`, `succeeded`, `failed` and `workers`, a list with the
    objects, bytes, failures and first error of each process. Starting the processes is not part of the duration.
    """
    where = parse(uri)
    for name, value in (("procs", procs), ("jobs", jobs), ("num", num)):
        operations.check_count(name, value)
    if procs == 0 or jobs == 0:
        raise ValueError("procs and jobs must be 1 or more")
    if "{}" not in template:
        raise ValueError(f"template must hold {{}} for the number of the object, not {template!r}")
    prefix = f"{where.root}{where.key}"
    prefix = prefix if prefix.endswith("/") else f"{prefix}/"
    shares = [[f"{prefix}{template.format(i)}" for i in range(first, num, procs)] for first in range(procs)]
    return _summary(*_measure(shares, jobs))


# A child runs this and nothing of the program's own: unlike those of `multiprocessing` it needs no guarded main module.
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from s3dlio.processes import serve; serve()"


def _measure(shares: list[list[str]], jobs: int) -> tuple[list[dict[str, Any]], float]:
    settings = asdict(config.current())
    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in shares
        ]
        for child in children:
            stack.callback(child.kill)
        for child, share in zip(children, shares, strict=True):
            _tell(child, {"share": share, "jobs": jobs, "settings": settings})
        for child in children:
            _hear(child)
        start = time.perf_counter()
        for child in children:
            _tell(child, "go")
        results = [_hear(child) for child in children]
        return results, time.perf_counter() - start


def _tell(child: subprocess.Popen[str], message: object) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(message) + "\n")
    child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> Any:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise S3dlioError(f"a reading process ended with status {child.wait()} before it was done; see its output")
    return json.loads(line)


def serve() -> None:
    """Be a reading process: take a share from standard input, say so, and read it on the next line."""
    order = json.loads(sys.stdin.readline())
    config.change(**order["settings"])
    _answer("ready")
    sys.stdin.readline()
    outcome: dict[str, Any] = {"objects": 0, "bytes": 0, "failed": 0, "error": None}
    share: list[str] = order["share"]
    batch.run(_drop_all(share, order["jobs"], outcome), local=all(map(batch.is_local, share)))
    _answer(outcome)


def _answer(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _drop_all(share: list[str], jobs: int, outcome: dict[str, Any]) -> None:
    await Together((_drop(uri, outcome) for uri in share), jobs)


async def _drop(uri: str, outcome: dict[str, Any]) -> None:
    try:
        size = len(await operations.get(uri))
    except Exception as error:  # noqa: BLE001 - counted and reported
        outcome["failed"] += 1
        outcome["error"] = outcome["error"] or str(error)
    else:
        outcome["objects"] += 1
        outcome["bytes"] += size


def _summary(results: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    total = sum(each["bytes"] for each in results)
    succeeded = sum(each["objects"] for each in results)
    failed = sum(each["failed"] for each in results)
    return {
        "total_bytes": total,
        "duration_seconds": seconds,
        "throughput_mb_s": total / 1e6 / seconds,
        "ops_per_sec": succeeded / seconds,
        "attempted": succeeded + failed,
        "succeeded": succeeded,
        "failed": failed,
        "workers": results,
    }
