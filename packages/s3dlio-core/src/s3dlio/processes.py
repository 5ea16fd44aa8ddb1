"""Reading with several processes: for a measurement, or where one interpreter cannot keep up.

The processes live no longer than the call that started them: they end when it ends, however it ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any, TypeAlias

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

    Raises:
        S3dlioError: a process ended before it was done; the message names it and says how it ended.
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
    answers: Answers = SimpleQueue()
    with ExitStack() as stack:
        children = [_Child(number, len(shares), answers, stack) for number in range(1, len(shares) + 1)]
        for child, share in zip(children, shares, strict=True):
            child.tell({"share": share, "jobs": jobs, "settings": settings})
        _hear_all(children, answers)
        start = time.perf_counter()
        for child in children:
            child.tell("go")
        results = _hear_all(children, answers)
        return results, time.perf_counter() - start


Answers: TypeAlias = "SimpleQueue[tuple[_Child, str]]"


def _hear_all(children: list[_Child], answers: Answers) -> list[Any]:
    """Return one answer of each child; the first that has none to give is the error, whatever the others do."""
    heard: dict[_Child, Any] = {}
    while len(heard) < len(children):
        child, line = answers.get()
        if not line.endswith("\n"):
            raise child.death()
        heard[child] = json.loads(line)
    return [heard[child] for child in children]


class _Child:
    """A reading process, which is killed when the stack unwinds."""

    def __init__(self, number: int, of: int, answers: Answers, stack: ExitStack) -> None:
        command = [sys.executable, "-c", _CHILD, json.dumps(sys.path)]
        pipe = subprocess.PIPE
        # A group of its own: a Ctrl-C at the terminal interrupts the caller alone, who then ends the processes.
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0)
        self.name = f"reading process {number} of {of} (pid {self.process.pid})"
        self.listener = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        stack.callback(self._end)
        self.listener.start()

    def _listen(self, answers: Answers) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answers.put((self, line))
        answers.put((self, ""))

    def tell(self, message: object) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.death() from None

    def death(self) -> S3dlioError:
        """Return the error that says how the process ended, which it has done or is about to do."""
        status = self.process.wait()
        how = f"status {status}" if status >= 0 else f"signal {-status} ({signal.strsignal(-status)})"
        return S3dlioError(f"{self.name} ended with {how} before it was done; what it wrote to stderr may say why")

    def _end(self) -> None:
        self.process.kill()
        self.listener.join()
        with suppress(BrokenPipeError), self.process:  # what was not sent is not sent any more
            pass


def serve() -> None:
    """Be a reading process: take a share from standard input, say so, and read it on the next line."""
    order = json.loads(sys.stdin.readline())
    config.change(**order["settings"])
    _answer("ready")
    sys.stdin.readline()
    end = threading.Thread(target=_end_with_the_caller, daemon=True)
    end.start()
    outcome: dict[str, Any] = {"objects": 0, "bytes": 0, "failed": 0, "error": None}
    share: list[str] = order["share"]
    batch.run(_drop_all(share, order["jobs"], outcome), local=all(map(batch.is_local, share)))
    _answer(outcome)
    end.join()  # an end of its own would look like a death to the caller, who still listens to the others


def _end_with_the_caller() -> None:
    """End at once when the caller's end of the pipe is closed, also where the caller was killed."""
    while os.read(0, 1):  # not through `sys.stdin`, whose lock would be held when the interpreter ends
        pass
    os._exit(1)


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
