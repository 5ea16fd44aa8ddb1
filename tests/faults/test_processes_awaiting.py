"""Many asyncio loops, one engine: any loop, several loops, cancels at any moment."""

import asyncio
import selectors
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.faults.processes import LARGE, SMALL, URI, healthy, stalled
from tests.promises.place import silent_server
from tests.servers.scripted import Asked, Fault, part, response


async def read() -> None:
    assert await asyncio.gather(*[s3dlio.get_async(URI) for _ in range(50)]) == [SMALL] * 50


def test_P6_a_cancelled_read_ends(serve: Serve) -> None:
    async def cancel() -> None:
        reading = asyncio.create_task(s3dlio.get_async(URI))
        while not server.asked:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    with serve(stalled) as server:
        asyncio.run(asyncio.wait_for(cancel(), 5))


CALLS: dict[str, Callable[[], Any]] = {
    "get": lambda: s3dlio.get_async(URI),
    "get_many": lambda: s3dlio.get_many_async([URI] * 3),
    "stat": lambda: s3dlio.stat_async(URI),
    "list": lambda: s3dlio.list_async("s3://bucket/"),
    "put": lambda: s3dlio.put_async(URI, bytes(100)),
}


@pytest.mark.parametrize("call", CALLS)
def test_P6_wait_for_gives_up_in_time_and_closes_the_connection(serve: Serve, call: str) -> None:
    async def give_up() -> bytes:
        calling = asyncio.ensure_future(CALLS[call]())
        connection, _ = await asyncio.to_thread(listener.accept)
        with connection:
            connection.settimeout(10)
            await asyncio.to_thread(connection.recv, 1 << 16)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(calling, 0.05)
            return await asyncio.to_thread(connection.recv, 1 << 16)

    with serve(healthy), silent_server() as listener:
        s3dlio.configure(
            endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}", first_byte_timeout=60, progress_window=60
        )
        assert asyncio.run(asyncio.wait_for(give_up(), 20)) == b""


def test_P6_after_a_cancel_nothing_is_written_to_the_buffer(serve: Serve) -> None:
    cancelled = threading.Event()

    def script(request: Asked) -> Iterable[bytes | Fault]:
        answer = part(request, LARGE)
        yield answer[: 1 << 20]
        cancelled.wait(10)
        yield answer[1 << 20 :]

    async def cancel() -> None:
        reading = asyncio.create_task(s3dlio.get_into_async(URI, buffer))
        while not any(buffer):
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        buffer[:] = bytes(len(buffer))
        cancelled.set()
        await s3dlio.get_async("s3://bucket/other")
        assert not any(buffer)

    buffer = bytearray(3 << 20)
    with serve(script):
        asyncio.run(asyncio.wait_for(cancel(), 20))


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
        assert s3dlio.get(URI) == SMALL


def test_P7_several_loops_may_follow_each_other(serve: Serve) -> None:
    with serve(healthy):
        for debug in (False, True, False):
            asyncio.run(read(), debug=debug)


def test_P7_several_loops_may_run_at_once(serve: Serve) -> None:
    with serve(healthy), ThreadPoolExecutor(6) as threads:
        for outcome in [threads.submit(asyncio.run, read()) for _ in range(12)]:
            outcome.result()


def test_P7_a_loop_that_is_closed_over_its_reads_harms_no_other(serve: Serve) -> None:
    closed, answered = threading.Event(), threading.Semaphore(0)

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if "other" in request.target:  # is answered last
            assert all(answered.acquire(timeout=20) for _ in range(3))
            yield part(request, SMALL)
        else:
            assert closed.wait(20)
            yield response(403)
            answered.release()

    with serve(script) as server, ThreadPoolExecutor(1) as threads:
        other = threads.submit(s3dlio.get_many, ["s3://bucket/other"])
        loop = asyncio.new_event_loop()
        readings = [loop.create_task(s3dlio.get_async(URI)) for _ in range(3)]
        while len(server.asked) < 4:
            loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        for reading in readings:
            reading.get_coro().close()  # type: ignore[union-attr]  # the coroutine of a task that never ended
            reading._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateUsage]  # as is meant here
        del readings
        closed.set()
        assert other.result() == [SMALL]
    with serve(healthy):
        asyncio.run(read())


def test_P7_the_blocking_verbs_may_be_called_inside_a_running_loop(serve: Serve) -> None:
    async def work() -> None:
        assert s3dlio.get(URI) == SMALL
        assert s3dlio.get_many([URI] * 5) == [SMALL] * 5
        assert [data == SMALL for _, data in s3dlio.iter_many([URI] * 5)] == [True] * 5
        s3dlio.put(URI, SMALL)
        await read()
        assert len(s3dlio.list("s3://bucket/")) == 1500

    with serve(healthy):
        asyncio.run(work())


def test_P7_a_loop_of_another_kind_is_served_too(serve: Serve) -> None:
    def loop() -> asyncio.SelectorEventLoop:
        return asyncio.SelectorEventLoop(selectors.PollSelector())

    with serve(healthy), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(read())
