"""A write that is given up leaves nothing: its upload is aborted before the caller goes on."""

import asyncio
import os
import threading
from collections.abc import Iterable

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.servers.scripted import STALL, Asked, Piece, response

URI = "s3://bucket/key"
LARGE = os.urandom(20 << 20)
STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"


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
        aborted = [request.target for request in server.asked if request.method == "DELETE"]
        assert aborted == ["/bucket/key?uploadId=id-1"]
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
        assert [request.target for request in server.asked if request.method == "DELETE"] == [
            "/bucket/key?uploadId=id-1"
        ]
