"""The machine and the software that the numbers belong to."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and when. `load` is the load average of the minute before: it shows other work on the machine."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    load: float
    date: str
    command: str
    versions: Mapping[str, str]


def describe(command: str, versions: Mapping[str, str]) -> Machine:
    """Describe this machine; `versions` are those of the clients and the origins."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory / (1 << 30), 1),
        kernel=platform.release(),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=command,
        versions=versions,
    )


_TOUCH = """
import mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_HUGEPAGE)
for page in range(0, len(memory), 4096):
    memory[page] = 1
"""


def settle_memory(size: int) -> None:
    """Touch `size` bytes of memory in a process that ends.

    A virtual machine gets memory from its host at the first touch, twenty times as slowly as from its own kernel, and
    some give free memory back to the host within seconds. A client would be charged for that, or not, by chance.
    """
    subprocess.run([sys.executable, "-c", _TOUCH, str(size)], check=True)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
