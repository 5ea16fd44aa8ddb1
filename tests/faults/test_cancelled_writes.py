"""A write that is given up leaves nothing: its upload is aborted before the caller goes on."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.faults.processes import BEGIN, until
from tests.servers.scripted import STALL, Asked, Piece, ScriptedServer, response

URI = "s3://bucket/key"
LARGE = os.urandom(20 << 20)
STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"


def aborted(server: ScriptedServer) -> list[str]:
    return [request.target for request in server.asked if request.method == "DELETE"]


def test_W6_a_cancelled_upload_is_aborted(serve: Serve) -> None:
    stalled = threading.Event()

    def script(request: Asked) -> Iterable[Piece]:
        if request.method == "POST":
            return [response(200, STARTED)]
        if request.method == "DELETE":
            return [response(204)]
        stalled.set()
        return [STALL]

    async def give_up() -> None:
        task = asyncio.create_task(s3dlio.put_async(URI, LARGE))
        assert await asyncio.to_thread(stalled.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serve(script) as server:
        asyncio.run(give_up())
        assert aborted(server) == ["/bucket/key?uploadId=id-1"]
        assert not any(request.method == "POST" and "uploadId=" in request.target for request in server.asked)


def test_W6_an_upload_whose_time_is_up_is_aborted(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[Piece]:
        if request.method == "POST":
            return [response(200, STARTED)]
        return [response(204) if request.method == "DELETE" else STALL]

    async def with_a_limit() -> None:
        async with asyncio.timeout(0.5):
            await s3dlio.put_async(URI, LARGE)

    with serve(script) as server:
        with pytest.raises(TimeoutError):
            asyncio.run(with_a_limit())
        assert aborted(server) == ["/bucket/key?uploadId=id-1"]


class Beginning:
    """A server that answers the start of an upload when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, request: Asked) -> Iterable[Piece]:
        if request.method == "POST":
            self.asked.set()
            assert self.let_go.wait(20)
            return [response(200, STARTED)]
        if request.method == "DELETE":
            return [response(204)]
        if "refused" in request.target:
            assert self.asked.wait(20)
            threading.Timer(0.2, self.let_go.set).start()
            return [response(403, b"<Error><Code>AccessDenied</Code></Error>")]
        return [response(200, ETag='"one"')]


@pytest.mark.parametrize("size", [1000, 1 << 20], ids=["multiplexed", "in threads"])
def test_W6_an_upload_that_begins_while_another_object_fails_is_aborted(serve: Serve, size: int) -> None:
    with serve(Beginning()) as server:
        with pytest.raises(s3dlio.AccessDeniedError):
            s3dlio.put_many([(URI, LARGE), ("s3://bucket/refused", bytes(size))])
        assert aborted(server) == ["/bucket/key?uploadId=id-1"]


def test_W6_an_upload_that_is_cancelled_while_it_begins_is_aborted(serve: Serve) -> None:
    begins = Beginning()

    async def give_up() -> None:
        task = asyncio.create_task(s3dlio.put_async(URI, LARGE))
        assert await asyncio.to_thread(begins.asked.wait, 10)
        task.cancel()
        threading.Timer(0.2, begins.let_go.set).start()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serve(begins) as server:
        asyncio.run(give_up())
        assert aborted(server) == ["/bucket/key?uploadId=id-1"]


def test_W6_a_cancel_does_not_wait_for_a_service_that_says_nothing(serve: Serve) -> None:
    begins = Beginning()

    async def give_up() -> None:
        task = asyncio.create_task(s3dlio.put_async(URI, LARGE))
        assert await asyncio.to_thread(begins.asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serve(begins) as server:
        asyncio.run(give_up())
        assert not begins.let_go.is_set()
        assert aborted(server) == []
        begins.let_go.set()  # the service comes back to life: what began there unasked goes at once
        until(lambda: aborted(server) == ["/bucket/key?uploadId=id-1"])


INTERRUPTED = """
signal.signal(signal.SIGINT, signal.default_int_handler)
calls = {
    "put": lambda: s3dlio.put("s3://bucket/key", bytes(20 << 20)),
    "put_many": lambda: s3dlio.put_many([("s3://bucket/key", bytes(20 << 20)), ("s3://bucket/a", bytes(1 << 20))]),
    "put_async": lambda: asyncio.run(s3dlio.put_async("s3://bucket/key", bytes(20 << 20))),
}
try:
    calls[sys.argv[2]]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("call", ["put", "put_many", "put_async"])
@pytest.mark.parametrize("silent", [False, True], ids=["answered", "silent"])
def test_W6_an_upload_that_is_interrupted_while_it_begins_is_aborted(serve: Serve, call: str, silent: bool) -> None:
    begins = Beginning()
    with serve(begins) as server:
        command = [sys.executable, "-c", BEGIN + INTERRUPTED, server.endpoint, call]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            assert begins.asked.wait(20)
            child.send_signal(signal.SIGINT)
            if not silent:
                threading.Timer(0.2, begins.let_go.set).start()
            assert child.stdout.readline() == "interrupted\n"
            assert begins.let_go.is_set() is not silent
            assert aborted(server) == ([] if silent else ["/bucket/key?uploadId=id-1"])
            begins.let_go.set()
            until(lambda: aborted(server) == ["/bucket/key?uploadId=id-1"])
            child.stdin.close()
            assert child.wait(10) == 0
