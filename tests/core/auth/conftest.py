"""Servers for credentials and for what they are needed for."""

from collections.abc import Iterator

import pytest

import s3dlio
from tests.core.auth.vault import Vault
from tests.servers.scripted import ScriptedServer, part, scripted


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    vault = Vault()
    with scripted(vault.script) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.endpoint}/credentials")
        yield vault
        vault.gate.set()


@pytest.fixture
def storage() -> Iterator[ScriptedServer]:
    """An S3 that has every object, for whoever signs."""
    with scripted(lambda request: [part(request, b"content")]) as server:
        s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1")
        yield server
        s3dlio.reset()
