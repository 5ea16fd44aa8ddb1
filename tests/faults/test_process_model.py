"""Forks and threads: the same answers in all of them, nothing shared that must not be, and nothing left open."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.faults.processes import LARGE, SMALL, URI, healthy, program


def in_child(work: object) -> int:
    """Run `work` in a fork of this process; return its exit status. A child that hangs is killed."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        status = 1
        try:
            work()  # type: ignore[operator]
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def read_in_every_way() -> None:
    assert s3dlio.get(URI) == SMALL
    assert s3dlio.get("s3://bucket/large") == LARGE
    assert s3dlio.get_many([URI] * 20) == [SMALL] * 20
    assert asyncio.run(s3dlio.get_async(URI)) == SMALL


def test_P1_a_fork_after_use_works_and_leaves_the_parent_alone(serve: Serve) -> None:
    with serve(healthy):
        read_in_every_way()
        assert all(in_child(read_in_every_way) == 0 for _ in range(5))
        read_in_every_way()


def test_P1_a_fork_after_use_of_files_works(tmp_path: Path) -> None:
    uris = [f"file://{tmp_path}/{number}" for number in range(20)]
    s3dlio.put_many([(uri, SMALL) for uri in uris])

    def read() -> None:
        assert s3dlio.get_many(uris) == [SMALL] * 20

    assert in_child(read) == 0


def test_P2_a_fork_while_other_threads_read_works(serve: Serve) -> None:
    ending = threading.Event()

    def keep_reading() -> None:
        while not ending.is_set():
            assert s3dlio.get_many([URI] * 8) == [SMALL] * 8

    with serve(healthy), ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(keep_reading) for _ in range(4)]
        try:
            assert all(in_child(read_in_every_way) == 0 for _ in range(5))
        finally:
            ending.set()
        for reader in readers:
            reader.result()


CALLS: dict[str, Callable[[], Any]] = {
    "get": lambda: s3dlio.get(URI) == SMALL,
    "get_range": lambda: s3dlio.get_range(URI, 7, 9) == SMALL[7:16],
    "get_many": lambda: s3dlio.get_many([URI] * 5) == [SMALL] * 5,
    "iter_many": lambda: [data == SMALL for _, data in s3dlio.iter_many([URI] * 5)] == [True] * 5,
    "get_async": lambda: asyncio.run(s3dlio.get_async(URI)) == SMALL,
    "stat": lambda: s3dlio.stat(URI)["size"] == len(SMALL),
    "missing": lambda: s3dlio.exists("s3://bucket/missing") is False,
    "put": lambda: s3dlio.put(URI, SMALL) is None,  # type: ignore[func-returns-value]  # that it returns is the point
    "list": lambda: len(s3dlio.list("s3://bucket/many/")) == 1500,
}


def test_P8_128_threads_of_mixed_calls_get_right_answers_over_few_connections(serve: Serve) -> None:
    def work(number: int) -> list[str]:
        names = [[*CALLS][(number + turn) % len(CALLS)] for turn in range(6)]
        return [name for name in names if not CALLS[name]()]

    with serve(healthy) as server, ThreadPoolExecutor(128) as threads:
        assert list(threads.map(work, range(256))) == [[]] * 256
        # One for each thread that calls, and 128 of the loop that batches share.
        assert server.connections <= 128 + 128


def test_P8_128_threads_read_at_once_over_a_connection_each(serve: Serve) -> None:
    with serve(healthy) as server, ThreadPoolExecutor(128) as threads:
        assert all(data == SMALL for data in threads.map(s3dlio.get, [URI] * 1000))
    assert server.connections <= 128


def test_P8_a_batch_of_any_size_shares_128_connections(serve: Serve) -> None:
    with serve(healthy) as server:
        assert s3dlio.get_many([URI] * 1000, workers=1000) == [SMALL] * 1000
    assert server.connections <= 128


EVERYTHING = """
s3dlio.get("s3://bucket/key"); s3dlio.get("s3://bucket/large"); s3dlio.get_many(["s3://bucket/key"] * 40)
s3dlio.put("s3://bucket/key", bytes(20 << 20)); s3dlio.list("s3://bucket/"); s3dlio.exists("s3://bucket/missing")
next(s3dlio.iter_many(["s3://bucket/key"] * 40)); next(s3dlio.list_iter("s3://bucket/"))
asyncio.run(s3dlio.get_many_async(["s3://bucket/key"] * 40))
s3dlio.upload(sys.argv[2], "s3://bucket/tree/"); s3dlio.download("s3://bucket/many/", sys.argv[2] + "/to")
s3dlio.get_many([f"file://{sys.argv[2]}/to/{name}" for name in os.listdir(sys.argv[2] + "/to")[:100]])
s3dlio.mp_get("s3://bucket/many/", procs=1, num=1)
"""


@pytest.mark.parametrize("end", ["s3dlio.reset()", ""], ids=["reset", "exit"])
def test_P13_nothing_is_left_open(serve: Serve, tmp_path: Path, end: str) -> None:
    (tmp_path / "file").write_bytes(SMALL)
    with serve(healthy) as server:
        program(EVERYTHING + end, server.endpoint, str(tmp_path), options=("-X", "dev", "-W", "error::ResourceWarning"))
