"""The scripted server as the S3 of a test, asked through either driver."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import pytest

import s3dlio
from tests.servers.scripted import Script, ScriptedServer, scripted

Get = Callable[[str], "s3dlio.BytesView"]

HURRIED = 0.6
"""The patience of tests whose server falls silent: every other one must pass on a machine that is slow."""


class Serve(Protocol):
    """Serve a script, with s3dlio pointing there, waiting `patience` seconds for an answer and half that for bytes."""

    def __call__(self, script: Script, *, patience: float = 30.0) -> AbstractContextManager[ScriptedServer]: ...


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    @contextmanager
    def run(script: Script, *, patience: float = 30.0) -> Generator[ScriptedServer]:
        with scripted(script) as server:
            s3dlio.configure(
                endpoint_url=server.endpoint,
                region="us-east-1",
                first_byte_timeout=patience,
                progress_window=patience / 2,
            )
            try:
                yield server
            finally:
                s3dlio.reset()

    return run


def _get_awaited(uri: str) -> "s3dlio.BytesView":
    return asyncio.run(s3dlio.get_async(uri))


def _get_batched(uri: str) -> "s3dlio.BytesView":
    return s3dlio.get_many([uri])[0]


@pytest.fixture(params=["blocking", "awaited", "batched"])
def get(request: pytest.FixtureRequest) -> Get:
    """`get`, in the caller's thread, awaited, and in a batch."""
    return {"blocking": s3dlio.get, "awaited": _get_awaited, "batched": _get_batched}[request.param]
