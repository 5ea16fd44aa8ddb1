"""The operation log: every operation of every path leaves one line, and what a line says is true."""

import asyncio
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

import s3dlio
from tests.core.oplog_lines import Log, logged
from tests.servers.environment import S3Bucket
from tests.servers.scripted import STALL, Asked, Fault, part, response, scripted

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with logged(tmp_path / "operations.tsv") as log:
        yield log


@pytest.fixture(params=["s3", "file", "direct"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A prefix of each scheme, and what the log calls its endpoint."""
    if request.param != "s3":
        return f"{request.param}://{tmp_path}/data/", f"{request.param}://"
    bucket: S3Bucket = request.getfixturevalue("moto_s3")
    return bucket.uri(), bucket.server.endpoint


class TestEachVerb:
    def test_leaves_one_line(self, place: tuple[str, str], log: Log) -> None:
        root, _ = place
        one, two = f"{root}one", f"{root}two"
        s3dlio.put(one, b"0123456789")
        s3dlio.get(one)
        s3dlio.get_range(one, 2, 3)
        s3dlio.get_into(one, bytearray(4))
        s3dlio.stat(one)
        s3dlio.exists(f"{root}missing")
        s3dlio.copy(one, two)
        s3dlio.list(root)
        s3dlio.mkdir(f"{root}folder/")
        s3dlio.delete(one)
        s3dlio.delete(root, recursive=True)
        told = [(line["op"], line["file"], line["n_objects"], line["bytes"], line["error"]) for line in log.finished()]
        assert told == [
            ("PUT", one, "1", "10", ""),
            ("GET", one, "1", "10", ""),
            ("GET", one, "1", "3", ""),
            ("GET", one, "1", "4", ""),
            ("STAT", one, "1", "0", ""),
            ("STAT", f"{root}missing", "1", "0", ""),
            ("COPY", two, "1", "0", ""),
            ("LIST", root, "2", "0", ""),
            ("MKDIR", f"{root}folder/", "1", "0", ""),
            ("DELETE", one, "1", "0", ""),
            ("DELETE", root, "1", "0", ""),
        ]

    def test_names_its_endpoint(self, place: tuple[str, str], log: Log) -> None:
        root, endpoint = place
        s3dlio.put(f"{root}one", b"1")
        s3dlio.get_many([f"{root}one"] * 3)
        s3dlio.list(root)
        s3dlio.stat(f"{root}one")
        assert {line["endpoint"] for line in log.finished()} == {endpoint}

    def test_awaited_leaves_the_same_lines(self, place: tuple[str, str], log: Log) -> None:
        root, _ = place
        one = f"{root}one"

        async def all_of_them() -> None:
            await s3dlio.put_async(one, b"0123")
            await s3dlio.get_async(one)
            await s3dlio.get_range_async(one, 1)
            await s3dlio.get_into_async(one, bytearray(2))
            await s3dlio.stat_async(one)
            await s3dlio.exists_async(one)
            await s3dlio.list_async(root)
            await s3dlio.copy_async(one, f"{root}two")
            await s3dlio.mkdir_async(f"{root}folder/")
            await s3dlio.delete_async(one)

        asyncio.run(all_of_them())
        told = [line["op"] for line in log.finished()]
        assert told == ["PUT", "GET", "GET", "GET", "STAT", "STAT", "LIST", "COPY", "MKDIR", "DELETE"]

    def test_of_buckets_leaves_a_line(self, moto_s3: S3Bucket, log: Log) -> None:
        name = f"s3://{moto_s3.bucket}-two"
        s3dlio.create_bucket(name)
        buckets = s3dlio.list_containers()
        s3dlio.delete_bucket(name)
        told = [(line["op"], line["file"], line["n_objects"]) for line in log.finished()]
        assert told == [
            ("CREATE_BUCKET", f"{name}/", "1"),
            ("LIST_BUCKETS", "s3://", str(len(buckets))),
            ("DELETE_BUCKET", f"{name}/", "1"),
        ]


class TestABatch:
    def test_leaves_a_line_for_each_object(self, place: tuple[str, str], log: Log) -> None:
        root, _ = place
        uris = [f"{root}{number:02}" for number in range(20)]
        s3dlio.put_many([(uri, b"12345") for uri in uris])
        s3dlio.get_many(uris)
        s3dlio.stat_many(uris)
        list(s3dlio.iter_many(uris))
        asyncio.run(s3dlio.get_many_async(uris))
        told = Counter(log.ops())
        assert told == Counter([("PUT", uri) for uri in uris] + [("GET", uri) for uri in uris] * 3) + Counter(
            [("STAT", uri) for uri in uris]
        )

    def test_has_a_line_with_the_error_for_what_failed(self, place: tuple[str, str], log: Log) -> None:
        root, _ = place
        s3dlio.put(f"{root}there", b"1")
        s3dlio.get_many([f"{root}there", f"{root}missing"], on_error="return")
        failed = [line for line in log.finished() if line["error"]]
        assert [(line["op"], line["file"], line["bytes"]) for line in failed] == [("GET", f"{root}missing", "0")]
        assert failed[0]["error"].startswith("NotFoundError: ")


class TestATree:
    def test_leaves_a_line_for_each_file(self, moto_s3: S3Bucket, tmp_path: Path, log: Log) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("a", "b"):
            (source / name).write_bytes(b"123")
        s3dlio.upload(source, moto_s3.uri("up/"))
        s3dlio.download(moto_s3.uri("up/"), tmp_path / "back")
        moved = [line for line in log.finished() if line["op"] != "LIST"]
        told = sorted((line["op"], line["file"], line["bytes"], line["endpoint"]) for line in moved)
        endpoint = moto_s3.server.endpoint
        assert told == [(op, moto_s3.uri(f"up/{name}"), "3", endpoint) for op in ("GET", "PUT") for name in "ab"]

    def test_copied_between_backends_is_the_work_of_the_far_one(
        self, moto_s3: S3Bucket, tmp_path: Path, log: Log
    ) -> None:
        near = f"file://{tmp_path}/near"
        s3dlio.put(near, b"12345")
        s3dlio.copy(near, moto_s3.uri("far"))
        s3dlio.copy(moto_s3.uri("far"), f"{near}-again")
        told = [(line["op"], line["file"], line["bytes"]) for line in log.finished()]
        far = moto_s3.uri("far")
        assert told == [("PUT", near, "5"), ("PUT", far, "5"), ("GET", far, "5")]


class TestALargeObject:
    def test_is_one_put_and_one_get_however_many_requests_it_takes(self, moto_s3: S3Bucket, log: Log) -> None:
        s3dlio.configure(part_size=5 << 20)
        content = os.urandom(11 << 20)
        s3dlio.put(moto_s3.uri("large"), content)
        assert s3dlio.get(moto_s3.uri("large")) == content
        s3dlio.get_many([moto_s3.uri("large")])
        lines = log.finished()
        assert [(line["op"], line["bytes"]) for line in lines] == [
            (op, str(len(content))) for op in ("PUT", "GET", "GET")
        ]
        assert {line["endpoint"] for line in lines} == {moto_s3.server.endpoint}

    def test_sent_in_one_request_names_its_endpoint_too(self, moto_s3: S3Bucket, log: Log) -> None:
        s3dlio.put(moto_s3.uri("middling"), bytes(1 << 20))
        s3dlio.put_many([(moto_s3.uri("middling"), bytes(1 << 20))])
        assert {line["endpoint"] for line in log.finished()} == {moto_s3.server.endpoint}


class TestAListing:
    def test_leaves_a_line_for_each_page(self, tmp_path: Path, log: Log) -> None:
        root = f"file://{tmp_path}/data/"
        os.mkdir(tmp_path / "data")
        for number in range(1001):
            (tmp_path / "data" / f"{number:04}").touch()
        assert len(s3dlio.list(root)) == 1001
        assert [(line["op"], line["n_objects"]) for line in log.finished()] == [("LIST", "1000"), ("LIST", "1")]

    def test_that_is_empty_leaves_a_line(self, place: tuple[str, str], log: Log) -> None:
        root, _ = place
        assert s3dlio.list(f"{root}nothing/") == []
        assert [(line["op"], line["n_objects"], line["error"]) for line in log.finished()] == [("LIST", "0", "")]

    def test_that_fails_leaves_its_error(self, moto_s3: S3Bucket, log: Log) -> None:
        with pytest.raises(s3dlio.BucketNotFoundError):
            s3dlio.list("s3://no-such-bucket-anywhere/")
        lines = log.finished()
        assert [(line["op"], line["n_objects"]) for line in lines] == [("LIST", "0")]
        assert lines[0]["error"].startswith("BucketNotFoundError: ")

    def test_that_nobody_reads_to_its_end_leaves_the_pages_that_were_read(self, tmp_path: Path, log: Log) -> None:
        root = f"file://{tmp_path}/data/"
        os.mkdir(tmp_path / "data")
        for number in range(1001):
            (tmp_path / "data" / f"{number:04}").touch()
        listing = s3dlio.list_iter(root)
        next(listing)
        del listing
        assert [(line["op"], line["n_objects"]) for line in log.finished()] == [("LIST", "1000")]


class TestTheTimes:
    def test_are_rfc_3339_with_nanoseconds_and_agree_with_the_duration(self, place: tuple[str, str], log: Log) -> None:
        root, _ = place
        before = datetime.now().astimezone()
        s3dlio.put(f"{root}one", b"1")
        s3dlio.get(f"{root}one")
        after = datetime.now().astimezone()
        for line in log.finished():
            start, end = line["start"], line["end"]
            assert MOMENT.fullmatch(start)
            assert MOMENT.fullmatch(end)
            assert nanoseconds(end) - nanoseconds(start) == int(line["duration_ns"]) > 0
            assert before.timestamp() - 1 < nanoseconds(start) / 1e9 <= nanoseconds(end) / 1e9 < after.timestamp() + 1

    def test_have_a_first_byte_where_content_was_answered_over_the_network(self, moto_s3: S3Bucket, log: Log) -> None:
        s3dlio.put(moto_s3.uri("one"), b"1")
        s3dlio.get(moto_s3.uri("one"))
        s3dlio.get_many([moto_s3.uri("one")])
        s3dlio.list(moto_s3.uri())
        s3dlio.stat(moto_s3.uri("one"))
        lines = log.finished()
        assert [line["op"] for line in lines if line["first_byte"]] == ["GET", "GET", "LIST"]
        for line in lines:
            if line["first_byte"]:
                assert nanoseconds(line["start"]) < nanoseconds(line["first_byte"]) < nanoseconds(line["end"])

    def test_of_a_file_have_no_first_byte(self, tmp_path: Path, log: Log) -> None:
        s3dlio.put(f"file://{tmp_path}/one", b"1")
        s3dlio.get(f"file://{tmp_path}/one")
        assert [line["first_byte"] for line in log.finished()] == ["", ""]


def nanoseconds(moment: str) -> int:
    """Return a moment of the log in nanoseconds since the epoch."""
    whole, _, rest = moment.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(rest)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield
    s3dlio.reset()


@pytest.mark.usefixtures("keys")
class TestATroubledOperation:
    def test_that_is_tried_again_leaves_one_line(self, log: Log) -> None:
        def script(request: Asked) -> list[bytes | Fault]:
            return [response(503) if request.number == 0 else part(request, b"content")]

        with scripted(script) as server:
            s3dlio.configure(endpoint_url=server.endpoint)
            s3dlio.get("s3://bucket/key")
        lines = log.finished()
        assert [(line["op"], line["bytes"], line["error"]) for line in lines] == [("GET", "7", "")]

    def test_that_no_server_answers_leaves_its_error_and_endpoint(self, log: Log) -> None:
        with scripted(lambda request: []) as server:
            gone = server.endpoint
        s3dlio.configure(endpoint_url=gone, max_attempts=1)
        with pytest.raises(s3dlio.NetworkError):
            s3dlio.get("s3://bucket/key")
        [line] = log.finished()
        assert line["endpoint"] == gone
        assert line["error"].startswith("NetworkError: ")

    def test_that_is_cancelled_leaves_a_line_that_says_so(self, log: Log) -> None:
        asked = threading.Event()

        def script(request: Asked) -> list[bytes | Fault]:
            asked.set()
            return [STALL]

        async def cancelled() -> None:
            task = asyncio.create_task(s3dlio.get_async("s3://bucket/key"))
            await asyncio.to_thread(asked.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with scripted(script) as server:
            s3dlio.configure(endpoint_url=server.endpoint)
            asyncio.run(cancelled())
        [line] = log.finished()
        assert (line["op"], line["file"], line["error"]) == ("GET", "s3://bucket/key", "Stopped")

    def test_that_an_interrupt_ends_leaves_a_line_that_says_so(self, log: Log) -> None:
        def script(request: Asked) -> list[bytes | Fault]:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return [STALL]

        with scripted(script) as server:
            s3dlio.configure(endpoint_url=server.endpoint)
            with pytest.raises(KeyboardInterrupt):
                s3dlio.get("s3://bucket/key")
        assert [line["error"] for line in log.finished()] == ["KeyboardInterrupt"]

    def test_in_a_batch_that_fails_leaves_lines_for_those_that_were_stopped(self, log: Log) -> None:
        stalled = threading.Semaphore(0)

        def script(request: Asked) -> list[bytes | Fault]:
            if request.target.endswith("missing"):
                for _ in range(3):
                    assert stalled.acquire(timeout=30)
                return [response(404)]
            stalled.release()
            return [STALL]

        with scripted(script) as server:
            s3dlio.configure(endpoint_url=server.endpoint)
            with pytest.raises(s3dlio.NotFoundError):
                s3dlio.get_many([f"s3://bucket/{name}" for name in ("a", "b", "c", "missing")])
        told = sorted((line["file"], line["error"].partition(":")[0]) for line in log.finished())
        assert told == [(f"s3://bucket/{name}", "Stopped") for name in "abc"] + [
            ("s3://bucket/missing", "NotFoundError")
        ]
