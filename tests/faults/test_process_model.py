"""Threads, forks, interrupts and cancels: the same answers, nothing left behind, nobody waiting for ever."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.servers.scripted import STALL, Asked, Fault, part

SMALL = os.urandom(5000)
LARGE = os.urandom(20 << 20)
URI = "s3://bucket/key"


def healthy(request: Asked) -> Iterable[bytes | Fault]:
    return [part(request, LARGE if "large" in request.target else SMALL)]


def stalled(request: Asked) -> Iterable[bytes | Fault]:
    return [part(request, LARGE)[: 1 << 20], STALL]


def in_child(work: object) -> int:
    """Run `work` in a fork of this process; return its exit status."""
    child = os.fork()
    if child == 0:
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
        assert [in_child(read_in_every_way) for _ in range(5)] == [0] * 5
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
            assert [in_child(read_in_every_way) for _ in range(5)] == [0] * 5
        finally:
            ending.set()
        for reader in readers:
            reader.result()


def test_P8_128_threads_read_at_once(serve: Serve) -> None:
    with serve(healthy) as server, ThreadPoolExecutor(128) as threads:
        assert all(data == SMALL for data in threads.map(s3dlio.get, [URI] * 1000))
    assert server.connections <= 128


INTERRUPTED = """
import os, sys, threading, signal
import s3dlio
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without it
s3dlio.configure(endpoint_url=sys.argv[1], region="us-east-1")
print("ready", flush=True)
calls = {
    "get": lambda: s3dlio.get("s3://bucket/key"),
    "get_many": lambda: s3dlio.get_many(["s3://bucket/key"] * 8),
    "iter_many": lambda: list(s3dlio.iter_many(["s3://bucket/key"] * 8)),
    "put": lambda: s3dlio.put("s3://bucket/key", bytes(64 << 20)),
    "list": lambda: s3dlio.list("s3://bucket/"),
}
try:
    calls[sys.argv[2]]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("call", ["get", "get_many", "iter_many", "put", "list"])
def test_P5_an_interrupt_ends_a_call_that_waits(serve: Serve, call: str) -> None:
    with serve(stalled) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, server.endpoint, call], stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            while not server.asked:
                assert child.poll() is None
            child.send_signal(signal.SIGINT)
            assert child.wait(5) == 0
            assert child.stdout.read() == "interrupted\n"


def test_P6_a_cancelled_read_ends_and_its_connection_is_closed(serve: Serve) -> None:
    async def cancel() -> None:
        reading = asyncio.create_task(s3dlio.get_async(URI))
        while not server.asked:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    with serve(stalled) as server:
        s3dlio.configure(first_byte_timeout=60, progress_window=60)
        asyncio.run(asyncio.wait_for(cancel(), 5))


def test_P6_cancels_at_any_moment_leave_everything_in_order(serve: Serve) -> None:
    async def read_and_cancel(turns: int) -> None:
        readings = [asyncio.create_task(s3dlio.get_async(URI)) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for reading in readings[::2]:
            reading.cancel()
        outcomes = await asyncio.gather(*readings, return_exceptions=True)
        assert all(data == SMALL for data in outcomes[1::2])
        assert all(isinstance(data, asyncio.CancelledError) or data == SMALL for data in outcomes[::2])

    async def many_times() -> None:
        for turns in range(100):
            await read_and_cancel(turns)

    with serve(healthy):
        asyncio.run(many_times())
        read_in_every_way()


def test_P7_several_asyncio_loops_may_follow_each_other(serve: Serve) -> None:
    async def read() -> None:
        assert await asyncio.gather(*[s3dlio.get_async(URI) for _ in range(50)]) == [SMALL] * 50

    with serve(healthy):
        for _ in range(3):
            asyncio.run(read())


def test_P11_an_abandoned_iterator_stops_its_reads(serve: Serve) -> None:
    with serve(healthy) as server:
        iterator = s3dlio.iter_many((f"s3://bucket/{number}" for number in range(1000)), workers=4)
        assert next(iterator) == (0, SMALL)
        del iterator
        s3dlio.get(URI)
    assert len(server.asked) < 20


def test_P12_what_is_fetched_ahead_is_bounded(serve: Serve) -> None:
    with serve(healthy) as server:
        iterator = s3dlio.iter_many((f"s3://bucket/{number}" for number in range(1000)), workers=5)
        for _ in range(10):
            next(iterator)
        s3dlio.get(URI)
        assert len(server.asked) <= 10 + 5 + 1


def test_P4_the_interpreter_ends_with_work_under_way(serve: Serve) -> None:
    code = (
        "import sys, s3dlio, threading\n"
        "s3dlio.configure(endpoint_url=sys.argv[1], region='us-east-1')\n"
        "keys = ['s3://bucket/key'] * 4\n"
        "for _ in range(4): threading.Thread(target=s3dlio.get_many, args=(keys,), daemon=True).start()\n"
        "threading.Event().wait(0.5)\n"
    )
    with serve(stalled) as server:
        command = [sys.executable, "-c", code, server.endpoint]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_P13_nothing_is_left_open(serve: Serve) -> None:
    code = (
        "import sys, s3dlio\n"
        "s3dlio.configure(endpoint_url=sys.argv[1], region='us-east-1')\n"
        "s3dlio.get('s3://bucket/key'); s3dlio.get_many(['s3://bucket/key'] * 4); s3dlio.reset()\n"
    )
    with serve(healthy) as server:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", code, server.endpoint],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
