"""`mp_get` and its processes: they end with it, and one that dies is an error that names it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.faults.processes import BEGIN, healthy, stalled


def children_of(process: int) -> list[int]:
    """Return the reading processes that a process has started."""
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(child) for child in file.read().split() if is_reading(int(child))]


def is_reading(process: int) -> bool:
    """Tell whether a process is one of those: a test's own process may have started servers too."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return b"from s3dlio.processes import serve" in file.read()
    except FileNotFoundError:
        return False


def is_running(process: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until_gone(processes: list[int]) -> None:
    """Wait until none of the processes runs, for ten seconds at most."""
    for _ in range(1000):
        if not any(map(is_running, processes)):
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"still running: {[each for each in processes if is_running(each)]}")


CALLER = """
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    s3dlio.mp_get("s3://bucket/many/", procs=3, num=300)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def calling(serve: Serve) -> Generator[tuple["subprocess.Popen[str]", list[int]]]:
    """Yield a process that waits in `mp_get`, and its reading processes, which have all begun to read."""
    with serve(stalled) as server:
        command = [sys.executable, "-c", BEGIN + CALLER, server.endpoint]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, process_group=0) as caller:
            try:
                while (
                    len({int(request.target[len("/bucket/many/object_") : -4]) % 3 for request in [*server.asked]}) < 3
                ):
                    assert caller.poll() is None
                    threading.Event().wait(0.01)
                yield caller, children_of(caller.pid)
            finally:
                caller.kill()


def test_P5_an_interrupt_of_mp_get_ends_its_processes_in_silence(serve: Serve) -> None:
    with calling(serve) as (caller, children):
        assert len(children) == 3
        assert caller.pid not in map(os.getpgid, children), "a Ctrl-C is for the caller, who ends the others"
        os.killpg(caller.pid, signal.SIGINT)  # as the terminal sends it
        assert caller.wait(5) == 0
        until_gone(children)
        assert caller.communicate() == ("interrupted\n", "")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_P4_the_processes_of_mp_get_end_with_their_caller_however_it_ends(serve: Serve, how: signal.Signals) -> None:
    with calling(serve) as (caller, children):
        caller.send_signal(how)
        assert caller.wait(5) == -how
        until_gone(children)


def killed_when_they_read(count: int) -> list[int]:
    """Kill the reading processes of this process number `count` on, as soon as there are three."""
    while len(children := sorted(children_of(os.getpid()))) < 3:
        threading.Event().wait(0.01)
    for child in children[count:]:
        os.kill(child, signal.SIGKILL)
    return children


@pytest.mark.parametrize("left", [0, 2])
def test_a_process_of_mp_get_that_dies_is_an_error_that_names_it(serve: Serve, left: int) -> None:
    killed: list[int] = []
    with serve(stalled):
        killer = threading.Thread(target=lambda: killed.extend(killed_when_they_read(left)))
        killer.start()
        with pytest.raises(s3dlio.S3dlioError, match=r"signal 9 \(Killed\) before it was done") as caught:
            s3dlio.mp_get("s3://bucket/many/", procs=3, num=300)
        killer.join()
    found = re.match(r"reading process (\d) of 3 \(pid (\d+)\)", str(caught.value))
    assert found is not None
    assert int(found[1]) > left
    assert int(found[2]) in killed[left:]
    until_gone(killed)


def test_a_process_of_mp_get_that_cannot_start_says_how_it_ended(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    with serve(healthy), pytest.raises(s3dlio.S3dlioError, match=r"of 2 .* ended with status 1"):
        s3dlio.mp_get("s3://bucket/many/", procs=2, num=3)
    assert "No module named 's3dlio'" in capfd.readouterr().err


def pipes() -> int:
    """Return how many pipes this process has open."""
    ends = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.basename(end).startswith("pipe:") for end in ends)


def test_P10_mp_get_leaves_no_pipe_and_no_process(serve: Serve) -> None:
    with serve(healthy):
        before = pipes(), children_of(os.getpid())
        for _ in range(2):
            assert s3dlio.mp_get("s3://bucket/many/", procs=2, num=10)["succeeded"] == 10
        assert (pipes(), children_of(os.getpid())) == before
