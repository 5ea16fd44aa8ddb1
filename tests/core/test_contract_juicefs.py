"""The contract on s3://, kept by a JuiceFS gateway, which checks every signature.

It keeps objects as files, so some keys cannot be there, and it is of a time before conditional writes.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import s3dlio
from s3dlio.errors import AccessDeniedError, CredentialsError
from tests.contract import ObjectStoreContract
from tests.promises.failures import CALLS
from tests.servers.process import S3Server

pytestmark = pytest.mark.xdist_group("juicefs")

DOTS = "a component of the key is . or .., which the gateway refuses"
DIRECTORY = "a key that ends in a slash is a directory, which has no content"


class TestJuiceFS(ObjectStoreContract):
    refused = {  # noqa: RUF012 - a constant of the class
        "a/./b": DOTS,
        "a/../b": DOTS,
        "../x": DOTS,
        "../../outside/x": DOTS,
        ".": DOTS,
        "..": DOTS,
        "./": DOTS,
        "../outside": DOTS,
        "a/../../outside": DOTS,
        "./a": DOTS,
        "a/..": DOTS,
        "trailing/": DIRECTORY,
        "trailing//": DIRECTORY,
    }
    # A path has no empty component.
    merged = {  # noqa: RUF012 - a constant of the class
        "http://host/path": "http:/host/path",
        "/lead": "lead",
        "//x": "x",
        "a//b": "a/b",
        "a///b": "a/b",
        "//absolute": "absolute",
    }

    @pytest.fixture(autouse=True)
    def place(self, juicefs_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with self.keeping(juicefs_server, tmp_path_factory.mktemp("elsewhere")):
            yield

    def left(self, base: str | None = None) -> list[str]:
        """Leave out directories: a batch delete or a refused put leaves them, and the gateway lists them."""
        return [key for key in super().left(base) if not key.endswith("/")]

    @pytest.mark.parametrize("put", [s3dlio.put, s3dlio.put_bytes])
    def test_create_only_refuses_an_existing_object_and_leaves_it(self, put: Any) -> None:
        """The gateway ignores conditions: the object is replaced, and nothing in the answer tells."""
        put(self.uri("object"), b"old")
        put(self.uri("object"), b"new", if_none_match=True)
        assert s3dlio.get(self.uri("object")) == b"new"

    def test_create_only(self) -> None:
        """The gateway ignores conditions here too."""

        async def work() -> None:
            await s3dlio.put_async(self.uri("object"), b"first", if_none_match=True)
            await s3dlio.put_bytes_async(self.uri("object"), b"second", if_none_match=True)

        asyncio.run(work())
        assert s3dlio.get(self.uri("object")) == b"second"

    def test_a_read_among_writers_gives_what_one_of_them_wrote(self) -> None:
        """The gateway may announce the length of one version and then send the bytes of the next."""
        assert all(len(set(seen)) == 1 for seen in self.race() if seen is not None)

    @pytest.mark.parametrize("call", ["put", "get", "get_range", "get_many", "list", "stat", "exists", "delete"])
    def test_a_wrong_secret_is_refused_and_never_taken_for_a_missing_object(
        self, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
        s3dlio.reset()
        with pytest.raises((CredentialsError, AccessDeniedError)) as caught:
            CALLS[call](self.uri("missing"))
        assert "not-the-secret" not in repr(caught.value) + str(caught.value)
