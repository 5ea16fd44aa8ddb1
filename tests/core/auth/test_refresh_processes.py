"""Credentials of many processes and threads at once: asked for once, handed down, and never asked for in vain."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import s3dlio
from s3dlio.auth.aws import Chain
from s3dlio.errors import CredentialsError
from tests.core.auth.vault import Vault, renewing, signer
from tests.servers.scripted import STALL, ScriptedServer, scripted


class TestAMachineThatIsNotOnAWS:
    def test_C4_is_asked_once_for_a_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with silent_metadata(monkeypatch) as server:
            with pytest.raises(CredentialsError, match="no AWS credentials found"):
                Chain().find()
            alone = server.connections
            assert alone <= 2  # the token, and then the role without one: botocore's way
            chain, told = Chain(), list[str]()

            def ask() -> None:
                with pytest.raises(CredentialsError) as caught:
                    chain.find()
                told.append(str(caught.value))

            threads = [threading.Thread(target=ask) for _ in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(told) == 32
            assert len(set(told)) == 1
            # Threads that come when the first look is over look again.
            assert server.connections <= 3 * alone

    def test_C4_is_not_asked_by_an_import_or_a_store(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with silent_metadata(monkeypatch) as server:
            code = (
                "import s3dlio, s3dlio.stores.s3, s3dlio.auth.aws\n"
                "from s3dlio.stores import store_for\nfrom s3dlio.uri import parse\n"
                "store_for(parse('s3://bucket/key'))\n"
                f"s3dlio.exists('file://{tmp_path}/nothing')\n"
            )
            subprocess.run([sys.executable, "-c", code], check=True)
            assert server.connections == 0


class silent_metadata:  # noqa: N801 - as above
    """A metadata service that takes connections and says nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server = scripted(lambda request: [STALL])
        self._monkeypatch = monkeypatch

    def __enter__(self) -> ScriptedServer:
        server = self._server.__enter__()
        self._monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        self._monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.endpoint)
        return server

    def __exit__(self, *problem: object) -> None:
        self._server.__exit__(None, None, None)


class TestAFork:
    def test_C5_inherits_the_credentials_and_asks_for_none(self, vault: Vault, storage: ScriptedServer) -> None:
        s3dlio.get("s3://bucket/key")
        answers = vault.answers
        for _ in range(8):
            assert in_a_fork(lambda: s3dlio.get("s3://bucket/key") == b"content")
        assert vault.answers == answers
        assert {signer(request) for request in storage.asked} == {"AKID1"}

    def test_C5_renews_what_it_inherited_by_a_thread_of_its_own(self, vault: Vault, storage: ScriptedServer) -> None:
        vault.seconds = 4.0
        s3dlio.get("s3://bucket/key")
        vault.gate.clear()  # of the parent, from now on

        def child() -> bool:
            before = renewing()
            s3dlio.get("s3://bucket/key")
            return not before and len(renewing()) == 1

        assert in_a_fork(child)

    def test_C5_does_not_inherit_what_it_has_been_told_to_forget(self, vault: Vault, storage: ScriptedServer) -> None:
        s3dlio.get("s3://bucket/key")
        answers = vault.answers

        def child() -> bool:
            s3dlio.reset()
            s3dlio.configure(endpoint_url=storage.endpoint, region="us-east-1")
            return bytes(s3dlio.get("s3://bucket/key")) == b"content"

        assert in_a_fork(child)
        assert vault.answers == answers + 1

    def test_C5_while_the_parent_renews_goes_on(self, vault: Vault, storage: ScriptedServer) -> None:
        vault.seconds = 10.0
        s3dlio.get("s3://bucket/key")
        vault.gate.clear()
        vault.wait_for(vault.answers + 1)
        assert in_a_fork(lambda: s3dlio.get("s3://bucket/key") == b"content")


def in_a_fork(work: Callable[[], bool]) -> bool:
    """Run a function in the child of a fork; return whether it said True there."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
