"""Interrupts and the end of the process: whoever waits stops waiting, and takes back what is half done."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.faults.conftest import Serve
from tests.faults.processes import BEGIN, healthy, program, stalled

CALLS = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without it
uri, folder = "s3://bucket/key", sys.argv[3]
calls = {
    "get": lambda: s3dlio.get(uri),
    "get large": lambda: s3dlio.get("s3://bucket/large"),
    "get_many": lambda: s3dlio.get_many([uri] * 8),
    "get_many of files": lambda: s3dlio.get_many([uri, f"file://{folder}/from/a"] * 8),
    "iter_many": lambda: list(s3dlio.iter_many([uri] * 8)),
    "put": lambda: s3dlio.put(uri, bytes(1 << 20)),
    "put in parts": lambda: s3dlio.put(uri, bytes(64 << 20)),
    "put_many": lambda: s3dlio.put_many([(f"{uri}/{number}", bytes(1 << 20)) for number in range(8)]),
    "put_many in parts": lambda: s3dlio.put_many([(f"{uri}/{number}", bytes(20 << 20)) for number in range(3)]),
    "list": lambda: s3dlio.list("s3://silent/"),
    "stat": lambda: s3dlio.stat(uri),
    "upload": lambda: s3dlio.upload(f"{folder}/from", "s3://bucket/to/"),
    "download": lambda: s3dlio.download("s3://bucket/many/", f"{folder}/to"),
    "get_async": lambda: asyncio.run(s3dlio.get_async(uri)),
    "mp_get": lambda: s3dlio.mp_get("s3://bucket/many/", procs=3, num=100),
}
print("ready", flush=True)
try:
    calls[sys.argv[2]]()
except KeyboardInterrupt:
    s3dlio.reset()  # closes what waits for its next use
    until(lambda: sockets() == 0)
    print("interrupted", flush=True)
"""
NAMES = [line.split('"')[1] for line in CALLS.splitlines() if ": lambda: " in line]
IN_PARTS = ["put in parts", "put_many in parts", "upload"]


@pytest.mark.parametrize("call", NAMES)
def test_P5_an_interrupt_ends_a_call_that_waits_and_closes_what_it_used(
    serve: Serve, tmp_path: Path, call: str
) -> None:
    (tmp_path / "from").mkdir()
    for name in ("a", "b"):
        (tmp_path / "from" / name).write_bytes(bytes(20 << 20))
    waiting = "PUT" if "put" in call or call == "upload" else "HEAD" if call == "stat" else "GET"
    with serve(stalled) as server:
        command = [sys.executable, "-c", BEGIN + CALLS, server.endpoint, call, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            while not any(each.method == waiting and "list-type" not in each.target for each in [*server.asked]):
                assert child.poll() is None
                if call == "list" and server.asked:
                    break
                threading.Event().wait(0.01)
            child.send_signal(signal.SIGINT)
            assert child.wait(5) == 0
            assert child.stdout.read() == "interrupted\n"
        started = [each.target for each in server.asked if each.method == "POST"]
        aborted = [each.target for each in server.asked if each.method == "DELETE"]
    assert sorted(each.partition("?")[0] for each in aborted) == sorted(each.partition("?")[0] for each in started)
    assert bool(started) == (call in IN_PARTS)
    assert not (tmp_path / "to").exists() or os.listdir(tmp_path / "to") == []


WORK = {
    "reads": "lambda: s3dlio.get(uri)",
    "batches": "lambda: s3dlio.get_many([uri] * 4)",
    "iterators": "lambda: next(s3dlio.iter_many([uri] * 4))",
    "large reads": "lambda: s3dlio.get('s3://bucket/large')",
    "large writes": "lambda: s3dlio.put(uri, bytes(20 << 20))",
    "loops of asyncio": "lambda: asyncio.run(s3dlio.get_async(uri))",
}


@pytest.mark.parametrize("work", WORK)
def test_P4_the_interpreter_ends_with_work_under_way_and_says_nothing(serve: Serve, work: str) -> None:
    code = (
        'uri = "s3://bucket/key"\n'
        f"for _ in range(4): threading.Thread(target={WORK[work]}, daemon=True).start()\n"
        "print('ending', sys.stdin.readline(), flush=True)\n"
    )
    with serve(stalled) as server:
        command = [sys.executable, "-c", BEGIN + code, server.endpoint]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
            while not server.asked:
                assert child.poll() is None
                threading.Event().wait(0.01)
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "ending \n"
            child.wait(5)
            _, said = child.communicate()
    assert (child.returncode, said) == (0, "")


def test_P4_the_interpreter_ends_after_work_is_done(serve: Serve) -> None:
    with serve(healthy) as server:
        program("s3dlio.get_many(['s3://bucket/key'] * 9); s3dlio.get('s3://bucket/large')", server.endpoint)
