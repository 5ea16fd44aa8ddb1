"""The awaitable twins: the same results, any number at once, and a cancel after which nothing is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import pytest

import s3dlio
from s3dlio.errors import InvalidUriError, NotFoundError, PreconditionFailedError
from tests.promises.place import Place, content, digest


class Awaited(Place):
    """Every verb that has a twin."""

    def test_put_and_get(self) -> None:
        async def work() -> tuple[Any, Any]:
            await s3dlio.put_async(self.uri("a"), b"one")
            await s3dlio.put_bytes_async(self.uri("b"), bytearray(b"two"))
            return await s3dlio.get_async(self.uri("a")), await s3dlio.get_async(self.uri("b"))

        views = asyncio.run(work())
        assert list(views) == [b"one", b"two"]
        assert all(isinstance(view, s3dlio.BytesView) for view in views)
        assert list(views) == [s3dlio.get(self.uri("a")), s3dlio.get(self.uri("b"))]

    def test_a_large_object(self) -> None:
        data = content(self.large)

        async def work() -> Any:
            await s3dlio.put_async(self.uri("large"), data)
            return await s3dlio.get_async(self.uri("large"))

        assert digest(asyncio.run(work())) == digest(data)

    def test_create_only(self) -> None:
        async def work() -> None:
            await s3dlio.put_async(self.uri("object"), b"first", if_none_match=True)
            with pytest.raises(PreconditionFailedError):
                await s3dlio.put_bytes_async(self.uri("object"), b"second", if_none_match=True)

        asyncio.run(work())
        assert s3dlio.get(self.uri("object")) == b"first"

    @pytest.mark.parametrize(("offset", "length"), [(0, None), (5, 10), (990, 100), (1000, None), (0, 0)])
    def test_ranges(self, offset: int, length: int | None) -> None:
        s3dlio.put(self.uri("object"), content(1000))
        buffer = bytearray(100)
        view = asyncio.run(s3dlio.get_range_async(self.uri("object"), offset=offset, length=length))
        assert view == s3dlio.get_range(self.uri("object"), offset, length)
        count = asyncio.run(s3dlio.get_into_async(self.uri("object"), buffer, offset))
        assert buffer[:count] == content(1000)[offset : offset + 100]

    def test_many(self) -> None:
        keys = [f"{number}" for number in range(25)]
        uris = [self.uri(key) for key in keys]

        async def work() -> list[list[Any]]:
            await s3dlio.put_many_async([(uri, key.encode()) for uri, key in zip(uris, keys, strict=True)])
            return [
                await s3dlio.get_many_async(uris[::-1]),
                await s3dlio.get_many_async(uris, workers=2),
                await s3dlio.get_many_async([uris[0], self.uri("missing")], max_in_flight=3, on_error="return"),
                await s3dlio.get_many_async([]),
                await s3dlio.stat_many_async(uris[::-1]),
            ]

        backwards, forwards, some, none, facts = asyncio.run(work())
        assert backwards == [key.encode() for key in keys[::-1]]
        assert forwards == [key.encode() for key in keys]
        assert some[0] == b"0"
        assert isinstance(some[1], NotFoundError)
        assert none == []
        assert facts == s3dlio.stat_many(uris[::-1])

    def test_listings(self) -> None:
        self.store("a", "b/c", "b/d")

        async def work() -> list[list[str]]:
            return [
                await s3dlio.list_async(self.base),
                await s3dlio.list_async(self.base, recursive=True),
                await s3dlio.list_async(self.base, recursive=True, pattern="*d"),
                await s3dlio.list_async(self.base, recursive=True, pattern=re.compile("c")),
                await s3dlio.list_async(self.uri("missing/")),
            ]

        level, every, glob, regular, missing = asyncio.run(work())
        assert level == s3dlio.list(self.base)
        assert every == s3dlio.list(self.base, recursive=True)
        assert (glob, regular, missing) == ([self.uri("b/d")], [self.uri("b/c")], [])

    def test_stat_exists_delete_mkdir_copy(self) -> None:
        async def work() -> None:
            await s3dlio.mkdir_async(self.uri("dir/"))
            await s3dlio.put_async(self.uri("dir/object"), b"12345")
            assert await s3dlio.stat_async(self.uri("dir/object")) == s3dlio.stat(self.uri("dir/object"))
            assert await s3dlio.exists_async(self.uri("dir/object")) is True
            await s3dlio.copy_async(self.uri("dir/object"), self.uri("copy"))
            await s3dlio.copy_async(self.uri("copy"), f"{self.elsewhere}copy")
            assert await s3dlio.get_async(f"{self.elsewhere}copy") == b"12345"
            await s3dlio.delete_async(self.uri("copy"))
            assert await s3dlio.exists_async(self.uri("copy")) is False
            await s3dlio.delete_async(self.uri("dir/"), recursive=True)

        asyncio.run(work())
        assert self.left() == []

    def test_three_hundred_at_once(self) -> None:
        keys = [f"{number:03}" for number in range(30)]

        async def work() -> list[Any]:
            await asyncio.gather(*(s3dlio.put_async(self.uri(key), key.encode() * 100) for key in keys))
            return await asyncio.gather(*(s3dlio.get_async(self.uri(keys[number % 30])) for number in range(300)))

        assert asyncio.run(work()) == [keys[number % 30].encode() * 100 for number in range(300)]

    def test_one_loop_after_another_and_the_verbs_in_between(self) -> None:
        (uri,) = self.store("object")
        for _ in range(3):
            assert asyncio.run(s3dlio.get_async(uri)) == s3dlio.get(uri)

    def test_a_verb_that_blocks_works_inside_a_running_loop(self) -> None:
        (uri,) = self.store("object")

        async def work() -> Any:
            return s3dlio.get(uri), s3dlio.get_many([uri])

        assert asyncio.run(work()) == (b"object", [b"object"])

    @pytest.mark.parametrize("verb", ["get", "get_range", "get_into", "get_many", "stat", "stat_many", "copy"])
    def test_awaiting_a_missing_object_is_an_error_that_names_it(self, verb: str) -> None:
        uri = self.uri("missing")
        calls: dict[str, Coroutine[Any, Any, object]] = {
            "get": s3dlio.get_async(uri),
            "get_range": s3dlio.get_range_async(uri, 1),
            "get_into": s3dlio.get_into_async(uri, bytearray(5)),
            "get_many": s3dlio.get_many_async([uri]),
            "stat": s3dlio.stat_async(uri),
            "stat_many": s3dlio.stat_many_async([uri]),
            "copy": s3dlio.copy_async(uri, self.uri("to")),
        }
        chosen = calls.pop(verb)
        for other in calls.values():
            other.close()
        with pytest.raises(NotFoundError, match="missing") as caught:
            asyncio.run(chosen)
        assert caught.value.uri == uri

    def test_bad_arguments_are_refused(self) -> None:
        nothing: Any = None

        async def work() -> None:
            with pytest.raises(InvalidUriError):
                await s3dlio.get_async("no scheme")
            with pytest.raises(TypeError, match="URI must be a str"):
                await s3dlio.get_async(nothing)
            with pytest.raises(ValueError, match="offset"):
                await s3dlio.get_range_async(self.uri("a"), -1)
            with pytest.raises(TypeError, match="buffer"):
                await s3dlio.put_async(self.uri("a"), nothing)
            with pytest.raises(ValueError, match="workers"):
                await s3dlio.get_many_async([], workers=0)
            with pytest.raises(TypeError, match="list of URIs"):
                await s3dlio.stat_many_async(self.uri("a"))

        asyncio.run(work())
        assert s3dlio.list(self.base) == []

    def test_after_a_cancel_the_buffer_is_not_written_any_more(self) -> None:
        s3dlio.put(self.uri("large"), content(self.large))
        memory = bytearray(self.large)

        async def work() -> bytes:
            task = asyncio.ensure_future(s3dlio.get_into_async(self.uri("large"), memory))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            left = bytes(memory)
            memory[:] = bytes(self.large)
            assert digest(await s3dlio.get_async(self.uri("large"))) == digest(content(self.large))
            return left

        left = asyncio.run(work())
        assert len(left) == self.large
        assert memory.count(0) == self.large

    def test_a_cancel_ends_one_and_leaves_the_others(self) -> None:
        uris = self.store(*(f"{number}" for number in range(20)))

        async def work() -> list[Any]:
            tasks = [asyncio.ensure_future(s3dlio.get_async(uri)) for uri in uris]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        outcomes = asyncio.run(work())
        assert [bytes(view) for view in outcomes[1::2]] == [b"%d" % number for number in range(1, 20, 2)]
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
