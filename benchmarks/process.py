"""The processes of the origins, and what the kernel says about a process: its CPU time and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """An origin that answers at `endpoint`; `pids` are the processes that do the work."""

    endpoint: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the project's own origin serves: after a delay in seconds, with a certificate, objects of a tree.

    `certificate` is a file of PEM that holds the key as well. The folders of `tree` are buckets; each file is read
    once and then kept.
    """

    delay: float = 0.0
    certificate: str | None = None
    tree: str | None = None


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    """End the process when the block ends, however it ends."""
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def origin(plan: Plan) -> Generator[Running]:
    """Run the project's own origin until the block ends."""
    command = [sys.executable, "-m", "benchmarks.origin", json.dumps(asdict(plan))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process, ended(process):
        assert process.stdout is not None
        port = int(process.stdout.readline() or 0)
        if not port:
            raise RuntimeError("the benchmarks' own origin did not start: see the message above")
        scheme = "https" if plan.certificate else "http"
        yield Running(f"{scheme}://127.0.0.1:{port}", (process.pid,))


def children_of(pid: int) -> tuple[int, ...]:
    """Return the processes that `pid` has started; single-threaded parents only."""
    return tuple(int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time that these processes have used so far, to 10 ms each."""
    return sum(_ticks(pid) for pid in pids) / _TICKS


def _ticks(pid: int) -> int:
    # The second field, the name, may hold spaces; utime and stime are the 14th and 15th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def forget_peak_memory() -> None:
    """Let `peak_memory` begin anew at what this process holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the most memory that this process has held since its peak was forgotten, in bytes.

    `ru_maxrss` would not do: it is inherited from the process that started this one, and cannot be forgotten.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/self/status has no VmHWM line: the benchmarks need Linux")
