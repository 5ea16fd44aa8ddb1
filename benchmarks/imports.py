"""What `import X` costs over starting Python: pairs of fresh processes, one that imports and one that does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

_PAIRS = 7
_ENOUGH = 3.0  # seconds, after which fewer pairs must do
_LEAST = 1e-5  # seconds: a difference of two medians can be nothing, and even less


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall time and of CPU time."""

    wall: float
    cpu: float


def cost(module: str) -> Cost:
    """Return the median cost of importing a module with this interpreter, over that of importing nothing."""
    bare, full = [sys.executable, "-c", "pass"], [sys.executable, "-c", f"import {module}"]
    _started(full)  # writes the bytecode, and brings the files into the page cache
    pairs: list[tuple[Cost, Cost]] = []
    while not pairs or (len(pairs) < _PAIRS and sum(full.wall for _, full in pairs) < _ENOUGH):
        pairs.append((_started(bare), _started(full)))
    return Cost(
        wall=max(_LEAST, median(full.wall for _, full in pairs) - median(bare.wall for bare, _ in pairs)),
        cpu=max(_LEAST, median(full.cpu for _, full in pairs) - median(bare.cpu for bare, _ in pairs)),
    )


def _started(command: list[str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime)
