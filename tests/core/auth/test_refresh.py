"""Credentials with an end: renewed before it, by one thread, while requests go on with the ones they have."""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

import s3dlio
from s3dlio.auth import renewal
from s3dlio.auth.aws import Chain
from s3dlio.errors import CredentialsError
from s3dlio.http import background
from tests.core.auth.vault import HOUR, THREAD, Process, Vault, eventually, found, renewing, signer
from tests.servers.scripted import Asked, Fault, ScriptedServer, part, response, scripted


class TestRenewal:
    def test_C1_comes_before_the_end_from_one_thread_for_all(self, vault: Vault) -> None:
        vault.seconds = 3.0
        chains = [Chain() for _ in range(3)]
        before = [found(chain) for chain in chains]
        start = vault.answers
        ends = time.time() + vault.seconds
        vault.wait_for(start + 3)
        assert time.time() < ends
        vault.wait_for(start + 6)
        assert len(renewing()) == 1
        assert not set(before) & {chain.credentials().access_key for chain in chains}

    def test_C1_by_a_process_comes_before_the_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        process = Process(tmp_path)
        process.configure(monkeypatch)
        process.answers("AKIDOLD", seconds=6)
        chain = Chain("p")
        assert found(chain) == "AKIDOLD"
        process.answers("AKIDNEW", seconds=HOUR)
        process.wait_for_a_run()
        with eventually() as again:
            while again() and chain.credentials().access_key == "AKIDOLD":
                pass
        assert chain.credentials().access_key == "AKIDNEW"

    def test_C1_makes_no_request_wait(self, vault: Vault, storage: ScriptedServer) -> None:
        vault.seconds = 2.0
        s3dlio.get("s3://bucket/key")
        old = signer(storage.asked[0])
        vault.gate.clear()
        vault.wait_for(vault.answers + 1)
        s3dlio.get("s3://bucket/key")
        s3dlio.get_many(["s3://bucket/key"] * 8)
        assert {signer(request) for request in storage.asked} == {old}

    def test_C1_makes_no_request_wait_even_past_the_end(self, vault: Vault, storage: ScriptedServer) -> None:
        vault.seconds = 1.0
        s3dlio.get("s3://bucket/key")
        old = signer(storage.asked[0])
        vault.status = 500
        ended = time.time() + vault.seconds
        while time.time() < ended:
            s3dlio.get("s3://bucket/key")
        assert {signer(request) for request in storage.asked} == {old}

    def test_ends_with_the_chains_that_it_was_for(self, vault: Vault) -> None:
        vault.seconds = 2.0
        code = (
            "import threading\nfrom s3dlio.auth.aws import Chain\nchain = Chain()\nchain.find()\n"
            f"[thread] = [each for each in threading.enumerate() if each.name == {THREAD!r}]\n"
            "del chain\nthread.join(30)\nprint(thread.is_alive())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"

    def test_is_not_started_for_keys_without_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        before = renewing()
        assert found(Chain()) == "AKIDENV"
        assert renewing() == before

    def test_does_not_keep_the_interpreter(self, vault: Vault) -> None:
        code = (
            "import threading\nfrom s3dlio.auth.aws import Chain\nchain = Chain()\nchain.find()\n"
            f"assert {THREAD!r} in [thread.name for thread in threading.enumerate()]\nprint('done')"
        )
        done = subprocess.run([sys.executable, "-X", "dev", "-c", code], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


class TestTheFirstLook:
    def test_C1_stalls_no_other_work_of_the_loop(self, vault: Vault, storage: ScriptedServer) -> None:
        vault.gate.clear()

        async def others() -> bytes:
            waiting = asyncio.create_task(s3dlio.get_async("s3://bucket/key"))
            await asyncio.to_thread(vault.wait_for, 1)
            assert await asyncio.to_thread(background.run, quick()) == "quick"
            vault.gate.set()
            return bytes(await waiting)

        assert asyncio.run(others()) == b"content"

    def test_C4_of_many_asks_once_for_all_of_them(self, vault: Vault, storage: ScriptedServer) -> None:
        s3dlio.get_many([f"s3://bucket/{number}" for number in range(64)])
        assert vault.answers == 1


async def quick() -> str:
    return "quick"


class TestRefusedCredentials:
    def test_C1_H5_are_replaced_once_for_all_requests_that_had_them(self, vault: Vault) -> None:
        def script(request: Asked) -> list[bytes | Fault]:
            if signer(request) == "AKID1":
                return [response(400, b"<Error><Code>ExpiredToken</Code></Error>")]
            return [part(request, b"content")]

        with scripted(script) as server:
            s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1")
            try:
                views = s3dlio.get_many([f"s3://bucket/{number}" for number in range(64)])
            finally:
                s3dlio.reset()
        assert [bytes(view) for view in views] == [b"content"] * 64
        assert vault.answers == 2

    def test_C1_that_cannot_be_replaced_are_an_error_with_its_reason(self, vault: Vault) -> None:
        def script(request: Asked) -> list[bytes | Fault]:
            vault.status = 500
            return [response(400, b"<Error><Code>ExpiredToken</Code></Error>")]

        with scripted(script) as server:
            s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1")
            try:
                with pytest.raises(CredentialsError, match=r"could not be read|no AWS credentials found"):
                    s3dlio.get("s3://bucket/key")
            finally:
                s3dlio.reset()
            assert len(server.asked) == 1


class TestAFailingRenewal:
    def test_C2_leaves_the_credentials_in_use_warns_and_tries_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        process = Process(tmp_path)
        process.configure(monkeypatch)
        process.answers("AKIDOLD", seconds=4)
        chain = Chain("p")
        assert found(chain) == "AKIDOLD"
        process.fails()
        with caplog.at_level(logging.DEBUG, logger="s3dlio"):
            process.wait_for_a_run()
            process.wait_for_a_run()
        assert chain.credentials().access_key == "AKIDOLD"
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any("the present ones stay in use" in text and "the vault is closed" in text for text in told)
        assert "canary" not in caplog.text
        process.answers("AKIDBACK", seconds=HOUR)
        with eventually() as again:
            while again() and chain.credentials().access_key == "AKIDOLD":
                pass
        assert chain.credentials().access_key == "AKIDBACK"

    def test_C2_is_tried_less_and_less_often(self) -> None:
        for failures, longest in [(1, 1), (2, 2), (3, 4), (7, 64), (50, 64)]:
            before = time.time()
            waits = [renewal.after_failures(failures) - before for _ in range(200)]
            assert all(longest * 0.5 <= wait <= longest + 1 for wait in waits)

    def test_C2_with_the_same_end_as_before_counts_as_one(self, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
        end = datetime.now(UTC) + timedelta(seconds=HOUR)
        same = {"AccessKeyId": "AKIDSAME", "SecretAccessKey": "s", "Token": "t", "Expiration": end.isoformat()}
        monkeypatch.setattr(vault, "credentials", lambda number: same)
        chain = Chain()
        assert found(chain) == "AKIDSAME"
        first = chain.renew()
        second = chain.renew()
        assert first is not None
        assert second is not None
        assert first < second < time.time() + 3


class TestTheTime:
    def test_C1_is_5_to_10_minutes_before_the_end(self) -> None:
        for life in (1201.0, HOUR, 12 * HOUR):
            end = time.time() + life
            assert all(300 <= end - renewal.due(end) <= 600 for _ in range(200))

    def test_C1_of_a_short_life_is_in_its_second_half(self) -> None:
        for life in (6.0, 60.0, 900.0):
            end = time.time() + life
            assert all(life * 0.2 < end - renewal.due(end) <= life * 0.5 for _ in range(200))

    def test_C5_differs_from_process_to_process(self) -> None:
        end = time.time() + HOUR
        times = sorted(renewal.due(end) for _ in range(128))
        assert times[-1] - times[0] > 200

    def test_C5_of_many_children_whose_keys_are_nearly_over_is_spread_over_what_is_left(self) -> None:
        random.seed(5)
        now = time.time()
        times = sorted(renewal.due(now + 200, inherited=True) for _ in range(128))
        assert now <= times[0]
        assert times[-1] <= now + 200
        assert times[-1] - times[0] > 50


class TestAWebIdentity:
    def test_C3_is_read_anew_for_each_renewal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        token = tmp_path / "token"
        token.write_text("first-token")
        vault = Vault(seconds=3.0)

        def script(request: Asked) -> list[bytes | Fault]:
            vault.script(request)
            told = vault.credentials(vault.answers)
            body = "".join(
                f"<{name}>{value}</{name}>"
                for name, value in {**told, "SessionToken": told["Token"]}.items()
                if name != "Token"
            )
            answer = (
                '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
                "<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>a</Arn><AssumedRoleId>r</AssumedRoleId>"
                f"</AssumedRoleUser><Credentials>{body}</Credentials></AssumeRoleWithWebIdentityResult>"
                "</AssumeRoleWithWebIdentityResponse>"
            )
            return [response(200, answer.encode(), Content_Type="text/xml")]

        with scripted(script) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.endpoint)
            monkeypatch.setenv("AWS_REGION", "us-east-1")
            monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/test")
            monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "test")
            monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
            chain = Chain()
            first = found(chain)
            token.write_text("second-token")
            vault.wait_for(vault.answers + 2)
            assert chain.credentials().access_key != first
        sent = [parse_qs(request.body.decode())["WebIdentityToken"][0] for request in vault.asked]
        assert sent[0] == "first-token"
        assert sent[-1] == "second-token"
