"""Places for the program to work on: a bucket of each server, and folders through both local schemes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import s3dlio
from tests.servers.environment import s3_environment
from tests.servers.process import S3Server
from tests.servers.scripted import Script, ScriptedServer, scripted

Serve = Callable[[Script], AbstractContextManager[ScriptedServer]]

PLACES = ("moto_server", "juicefs_server", "file", "direct")


@pytest.fixture(params=PLACES)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URI of an empty prefix, ending in `/`, on each storage in turn."""
    if request.param in ("file", "direct"):
        folder = tmp_path / "place"
        folder.mkdir()
        yield f"{request.param}://{folder}/"
        return
    server: S3Server = request.getfixturevalue(request.param)
    with s3_environment(server, tmp_path) as bucket:
        yield bucket.uri()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with three files."""
    top = tmp_path / "tree"
    (top / "sub/deeper").mkdir(parents=True)
    (top / "one.txt").write_bytes(b"one")
    (top / "sub/two.bin").write_bytes(b"2" * 3000)
    (top / "sub/deeper/three.txt").write_bytes(b"")
    return top


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serve a script, with the environment pointing there: for the program in this process and in others."""
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)

    @contextmanager
    def run(script: Script) -> Generator[ScriptedServer]:
        with scripted(script) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
            s3dlio.reset()
            try:
                yield server
            finally:
                s3dlio.reset()

    return run
