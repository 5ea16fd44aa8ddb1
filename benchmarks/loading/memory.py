"""How much memory a process and all that it has started take together, and the most of it.

The figure is PSS: pages that several processes share, such as a batch on its way from a worker, count once. It is
sampled from outside, so what is measured does not pay for it.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_INTERVAL = 0.2  # seconds: a sample takes the kernel a few milliseconds for each process
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def watched(process: subprocess.Popen[bytes], patience: float) -> int:
    """Wait for the end of a process and return the most memory that it and its descendants held, in bytes.

    Raises:
        TimeoutExpired: `patience` seconds have passed; the process is still there.
    """
    most, end = 0, time.monotonic() + patience
    while time.monotonic() < end:
        try:
            process.wait(_INTERVAL)
        except subprocess.TimeoutExpired:
            most = max(most, held(process.pid))
        else:
            return most
    raise subprocess.TimeoutExpired(process.args, patience)


def held(pid: int) -> int:
    """Return the memory that a process and its descendants hold now, in bytes."""
    return sum(_pss(each) for each in [pid, *descendants(pid)])


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that `pid` and its descendants have started, from whichever thread."""
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(tasks).split():
            yield int(child)
            yield from descendants(int(child))


def _pss(pid: int) -> int:
    found = _PSS.search(_read(Path(f"/proc/{pid}/smaps_rollup")))
    return int(found[1]) << 10 if found else 0


def _read(file: Path) -> str:
    """Return what is in a file of /proc, nothing when its process is gone."""
    try:
        return file.read_text()
    except OSError:
        return ""
