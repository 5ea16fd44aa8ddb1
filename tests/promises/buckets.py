"""What only object stores promise: containers, keys that are no paths, and services that do not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import s3dlio
from s3dlio.errors import BucketNotFoundError, InvalidUriError, NetworkError, PartialFailureError, S3dlioError
from tests.promises.failures import BAD_URIS, CALLS
from tests.promises.keys import STRANGE_PATHS, Keys
from tests.promises.place import content, nobody, silent_server
from tests.servers.environment import point_at
from tests.servers.process import S3Server

WITHOUT_A_KEY = ["put", "get", "get_range", "get_into", "get_many", "iter_many", "stat", "exists", "delete", "mkdir"]
HOSTILE = ["../outside", "a/../../outside", "//absolute", "a//b", "./a", "a/..", "back\\slash", "a/./b"]


class ObjectStore(Keys):
    """A backend with containers. `keeping` sets `bucket` too."""

    bucket: str
    """The URI of an empty container; it ends in `/`."""

    @contextmanager
    def keeping(self, server: S3Server, folder: Path) -> Generator[None]:
        """Make a container on a server the place, with the environment pointing there."""
        with pytest.MonkeyPatch.context() as env:
            point_at(env, server)
            s3dlio.reset()
            self.bucket = f"s3://tests-{uuid4().hex[:16]}/"
            self.base = f"{self.bucket}run/"
            self.elsewhere = f"file://{folder}/"
            s3dlio.create_bucket(self.bucket)
            yield
        s3dlio.reset()

    @pytest.mark.parametrize("key", STRANGE_PATHS)
    def test_a_key_is_no_path(self, key: str) -> None:
        self.keep(self.bucket, key)

    def test_a_marker_of_a_directory_is_an_object(self) -> None:
        s3dlio.mkdir(self.uri("made"))
        assert s3dlio.exists(self.uri("made/"))
        assert s3dlio.stat(self.uri("made/"))["size"] == 0
        assert self.relative(s3dlio.list(self.base)) == ["made/"]
        s3dlio.delete(self.uri("made/"))
        assert s3dlio.list(self.base) == []

    def test_a_container_is_made_listed_and_removed(self) -> None:
        name = f"tests-{uuid4().hex[:16]}"
        for spelled in (name, f"s3://{name}", f"s3://{name}/"):
            s3dlio.create_bucket(spelled)
            assert f"s3://{name}" in s3dlio.list_containers("s3://")
            assert s3dlio.list(f"s3://{name}/") == s3dlio.list(f"s3://{name}") == []
            s3dlio.delete_bucket(spelled)
            assert f"s3://{name}" not in s3dlio.list_containers()

    def test_making_ones_own_container_again_leaves_it_as_it_is(self) -> None:
        (uri,) = self.store("object")
        s3dlio.create_bucket(self.bucket)
        assert s3dlio.get(uri) == b"object"

    def test_a_container_that_holds_something_is_not_removed(self) -> None:
        (uri,) = self.store("object")
        with pytest.raises(S3dlioError, match="BucketNotEmpty"):
            s3dlio.delete_bucket(self.bucket)
        assert s3dlio.get(uri) == b"object"

    @pytest.mark.parametrize("name", ["", "s3://", "s3://bucket/key", "white space", "a/b"])
    def test_what_names_no_container_is_refused(self, name: str) -> None:
        for call in (s3dlio.create_bucket, s3dlio.delete_bucket):
            with pytest.raises(InvalidUriError):
                call(name)

    @pytest.mark.parametrize(
        "call", ["put", "get", "get_range", "get_many", "list", "list_iter", "list_keys", "delete all"]
    )
    def test_a_missing_container_is_an_error_that_names_it(self, call: str) -> None:
        missing = f"tests-missing-{uuid4().hex[:8]}"
        with pytest.raises(BucketNotFoundError, match=missing) as caught:
            CALLS[call](f"s3://{missing}/key/")
        assert isinstance(caught.value, FileNotFoundError)

    def test_removing_a_missing_container_is_an_error(self) -> None:
        with pytest.raises(BucketNotFoundError):
            s3dlio.delete_bucket(f"tests-missing-{uuid4().hex[:8]}")

    def test_in_a_missing_container_nothing_exists(self) -> None:
        assert s3dlio.exists(f"s3://tests-missing-{uuid4().hex[:8]}/key") is False

    @pytest.mark.parametrize("call", WITHOUT_A_KEY)
    def test_a_container_alone_is_no_object(self, call: str) -> None:
        for uri in (self.bucket, self.bucket.rstrip("/")):
            with pytest.raises(InvalidUriError, match="key"):
                CALLS[call](uri)

    def test_a_key_has_up_to_1024_bytes(self) -> None:
        with pytest.raises(InvalidUriError, match="1025"):
            s3dlio.put(f"{self.bucket}{'é' * 512}x", b"")
        assert s3dlio.exists(f"{self.bucket}{'é' * 512}") is False

    @pytest.mark.parametrize("call", sorted({*CALLS} - {"copy from", "copy to", "mp_get", "put_many"}))
    def test_a_service_that_cannot_be_reached_is_a_connection_error(self, call: str) -> None:
        s3dlio.configure(endpoint_url=nobody(), max_attempts=1)
        with pytest.raises(NetworkError, match="refused") as caught:
            CALLS[call](self.uri("object"))
        assert isinstance(caught.value, ConnectionError)

    @pytest.mark.parametrize("call", sorted({*CALLS} - {"copy to"}))
    def test_a_bad_uri_is_refused_before_the_service_is_asked(self, call: str) -> None:
        s3dlio.configure(endpoint_url=nobody(), max_attempts=1)
        for uri in BAD_URIS.values():
            with pytest.raises(InvalidUriError):
                CALLS[call](uri)

    def test_a_cancel_closes_the_connection_of_a_silent_service(self) -> None:
        with silent_server() as listener:
            s3dlio.configure(endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}")

            async def work() -> bytes:
                task = asyncio.ensure_future(s3dlio.get_async(self.uri("object")))
                connection, _ = await asyncio.to_thread(listener.accept)
                with connection:
                    connection.settimeout(30)
                    await asyncio.to_thread(connection.recv, 65536)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    return await asyncio.to_thread(connection.recv, 65536)

            assert asyncio.run(work()) == b""

    def test_waiting_for_a_silent_service_can_be_given_up(self) -> None:
        with silent_server() as listener:
            s3dlio.configure(endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}")

            async def work() -> Any:
                async with asyncio.timeout(0.1):
                    await s3dlio.get_many_async([self.uri(f"{number}") for number in range(10)])

            with pytest.raises(TimeoutError):
                asyncio.run(work())

    def test_hostile_keys_are_refused_and_the_rest_is_downloaded(self, tmp_path: Path) -> None:
        hostile = [key for key in HOSTILE if key not in {*self.refused, *self.merged}]
        s3dlio.put_many((f"{self.bucket}{key}", content(9)) for key in [*hostile, "good", "sub/good"])
        target = tmp_path / "to" / "here"
        with pytest.raises(PartialFailureError) as caught:
            s3dlio.download(self.bucket, target)
        assert set(caught.value.errors) == {f"{self.bucket}{key}" for key in hostile}
        files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert files == {"to/here/good", "to/here/sub/good"}
