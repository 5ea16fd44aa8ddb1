"""What the parts of a transfer cost by themselves: hashes, copies into the kernel, and memory that is new.

`python -m benchmarks.parts` prints CPU seconds for 1 GB of each. It explains the rows of the table; it compares nobody.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable

from benchmarks import machine
from s3dlio import checksum

_MIB = 1 << 20
_REPETITIONS = 200
_TOUCHED = 1 << 30
_IDLE = 8.0  # seconds: some hosts take free memory back within two


def _cost(work: Callable[[], object], size: int) -> float:
    """Return the median CPU seconds that this thread spends on 1 GB of `work` on `size` bytes."""
    times: list[float] = []
    for _ in range(_REPETITIONS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return statistics.median(times) / size * 1e9


def _send_cost() -> float:
    """Return what sending 1 MiB at a time over loopback costs the sender, into a reader that throws it away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        reader, _ = listener.accept()

    def drop() -> None:
        scrap = bytearray(_MIB)
        while reader.recv_into(scrap, 0, socket.MSG_TRUNC):
            pass

    thread = threading.Thread(target=drop)
    thread.start()
    data = os.urandom(_MIB)
    try:
        return _cost(lambda: sender.sendall(data), _MIB)
    finally:
        sender.close()
        thread.join()
        reader.close()


def _touch_cost(*, huge: bool) -> float:
    """Return what the first touch of each page of 1 GiB costs."""
    memory = mmap.mmap(-1, _TOUCHED, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if huge:
        memory.madvise(mmap.MADV_HUGEPAGE)
    start = time.process_time()
    for page in range(0, _TOUCHED, mmap.PAGESIZE):
        memory[page] = 1
    cost = time.process_time() - start
    start = time.process_time()
    for page in range(0, _TOUCHED, mmap.PAGESIZE):
        memory[page] = 2
    again = time.process_time() - start
    memory.close()
    return (cost - again) / _TOUCHED * 1e9


def main() -> None:
    """Measure and print."""
    data = os.urandom(_MIB)
    print(f"{'SHA-256 of 1 MiB':<44}{_cost(lambda: hashlib.sha256(data).digest(), _MIB):.3f} CPU s/GB")
    print(f"{'CRC-64/NVME of 1 MiB':<44}{_cost(lambda: checksum.crc64nvme(data), _MIB):.3f} CPU s/GB")
    print(f"{'send of 1 MiB over loopback':<44}{_send_cost():.3f} CPU s/GB")
    for huge in (True, False):
        pages = "huge pages" if huge else "small pages"
        machine.settle_memory(_TOUCHED)
        print(f"{f'first touch of {pages}, just freed':<44}{_touch_cost(huge=huge):.3f} CPU s/GB")
        time.sleep(_IDLE)
        print(f"{f'first touch of {pages}, free for {_IDLE:.0f} s':<44}{_touch_cost(huge=huge):.3f} CPU s/GB")


if __name__ == "__main__":
    sys.exit(main())
