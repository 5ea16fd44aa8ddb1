"""A process that forks, for each line of input, a child that writes one object over and over until killed.

`killed_at N` makes a child that kills itself instead of making its system call number N.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.core.stores.local.files import CALLS, Files

SIZE = 64 << 20  # bytes


def content(version: int) -> bytes:
    """Return one of two contents, of different lengths, each of a single byte value."""
    return bytes([version + 1]) * (SIZE - version * 5000)


def kill_at(index: int) -> None:
    """End this process in place of its system call of that index, counted from now."""
    left = [index]

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*args, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))


def tell(number: int) -> None:
    """Write a line that the test waits for."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def work(files: Files, versions: list[bytes], command: str) -> None:
    """Write: once if the command says where to die, else for ever."""
    tell(os.getpid())
    if command:
        kill_at(int(command.removeprefix("killed_at ")))
        files.put("object", versions[1])
        os._exit(0)
    while True:
        for version in versions:
            files.put("object", version)


def main() -> None:
    """Fork a child for each line, which tells its id, and tell how it ended."""
    files = Files(sys.argv[1], Path(sys.argv[2]))
    versions = [content(version) for version in (0, 1)]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(files, versions, line.strip())
        _, status = os.waitpid(child, 0)
        tell(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
