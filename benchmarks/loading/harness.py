"""The run: each client in turn, row by row, each epoch in a fresh process.

The clients alternate (A B C A B C …), so whatever else the machine does falls on all of them alike. A client that fails
a row is out of that row and the run goes on: its last words stand in the results.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from benchmarks import machine
from benchmarks.environments import ROOT
from benchmarks.harness import Failure
from benchmarks.loading import memory
from benchmarks.loading.clients import KINDS, Kind
from benchmarks.loading.environment import python_of
from benchmarks.loading.rows import Row
from benchmarks.loading.run_one import Assignment, Measurement
from benchmarks.loading.stage import Stage, environment
from benchmarks.rows import GIB

_PATIENCE = 300.0  # seconds for one epoch: a client that hangs is a failure, not the end of the run
_TOUCHED = GIB  # bytes: more than most clients hold at a time
_SHOWN = 200
_KEYS = ("benchmark", "benchmark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each client reads each epoch, and how often a slow one does."""

    turns: int = 3
    slow: int = 2

    def of(self, kind: Kind) -> int:
        """Return how often a client reads an epoch."""
        return min(self.turns, self.slow) if kind.slow or kind.sequential else self.turns


@dataclass(slots=True)
class Outcome:
    """What a run has brought so far."""

    measurements: list[Measurement] = field(default_factory=list[Measurement])
    failures: list[Failure] = field(default_factory=list[Failure])


def run(
    stage: Stage,
    rows: Sequence[Row],
    names: Sequence[str],
    effort: Effort,
    tell: Callable[[Measurement | Failure], None],
) -> Outcome:
    """Measure every row; `tell` hears of each measurement as it is made."""
    outcome = Outcome()
    for row in rows:
        able = [name for name in names if KINDS[name].does(row)]
        for turn in range(effort.turns):
            for name in [name for name in able if turn < effort.of(KINDS[name])]:
                found = _measure(stage, row, name)
                tell(found)
                if isinstance(found, Failure):
                    outcome.failures.append(found)
                    able.remove(name)
                else:
                    outcome.measurements.append(found)
    return outcome


def _measure(stage: Stage, row: Row, name: str) -> Measurement | Failure:
    kind, served = KINDS[name], stage.origin(row)
    task = Assignment(
        row=row.name,
        client=name,
        endpoint=served.endpoint,
        objects=kind.objects(row, stage.objects[row.name]),
        pids=served.pids,
    )
    machine.settle_memory(min(_TOUCHED, 4 * row.size * task.objects))
    command = [python_of(isolated=kind.isolated), "-m", "benchmarks.loading.run_one", json.dumps(asdict(task))]
    try:
        said, peak = finished(command, environment(stage.home, _KEYS, served.endpoint, isolated=kind.isolated))
    except RuntimeError as problem:
        return Failure(row=row.name, client=name, words=str(problem))
    return replace(Measurement(**json.loads(said)), peak_memory=peak)


def finished(command: Sequence[str], variables: Mapping[str, str], patience: float = _PATIENCE) -> tuple[str, int]:
    """Run a command to its end and return the last line that it printed, and the most memory that it held.

    Raises:
        RuntimeError: it failed, or took more than `patience` seconds; the message is the last thing that it said.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=errors) as process:
            try:
                peak = memory.watched(process, patience)
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"took more than {patience:.0f} s") from None
            finally:
                if process.poll() is None:
                    _end(process)
        for file in (output, errors):
            file.seek(0)
        if process.returncode:
            said = errors.read()
            print(said, end="", file=sys.stderr)
            raise RuntimeError(_last_words(said, process.returncode))
        return output.read().splitlines()[-1], peak


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it has started."""
    for pid in [*memory.descendants(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()


def _last_words(said: str, status: int) -> str:
    lines = said.strip().splitlines()
    return lines[-1].replace(str(ROOT), ".")[:_SHOWN] if lines else f"ended with status {status}"
