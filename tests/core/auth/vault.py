"""Where credentials come from in these tests: an endpoint that hands them out, and a process that does."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from s3dlio.auth.aws import Chain
from tests.servers.scripted import Asked, Fault, response

HOUR = 3600.0
THREAD = "s3dlio-credentials"


@dataclass
class Vault:
    """What hands out credentials: the n-th answer has the access key AKIDn, and lives for `seconds` from then.

    The test waits in `wait_for` until so many answers were asked for; while `gate` is closed, none is given.
    """

    seconds: float = HOUR
    answers: int = 0
    status: int = 200
    gate: threading.Event = field(default_factory=threading.Event)
    moved: threading.Condition = field(default_factory=threading.Condition)
    asked: list[Asked] = field(default_factory=list[Asked])

    def __post_init__(self) -> None:
        self.gate.set()

    def script(self, request: Asked) -> list[bytes | Fault]:
        """Answer as the endpoint of a container does."""
        with self.moved:
            self.asked.append(request)
            self.answers += 1
            number = self.answers
            self.moved.notify_all()
        self.gate.wait(30)
        return [response(self.status, json.dumps(self.credentials(number)).encode())]

    def credentials(self, number: int) -> dict[str, str]:
        end = datetime.now(UTC) + timedelta(seconds=self.seconds)
        return {
            "AccessKeyId": f"AKID{number}",
            "SecretAccessKey": f"secret-number-{number}",
            "Token": f"token-number-{number}",
            "Expiration": end.isoformat(),
        }

    def wait_for(self, answers: int) -> None:
        with self.moved:
            assert self.moved.wait_for(lambda: self.answers >= answers, timeout=30)


def found(chain: Chain) -> str:
    """Return the access key of now, found if need be."""
    chain.find()
    return chain.credentials().access_key


def renewing() -> list[threading.Thread]:
    """Return the threads that renew credentials."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def signer(request: Asked) -> str:
    """Return the access key that a request is signed with."""
    match = re.search(r"Credential=(\w+)/", request.fields["authorization"])
    assert match
    return match[1]


PROCESS = """
import os, pathlib, sys, datetime, json
here = pathlib.Path(sys.argv[1])
with open(here / "ran", "w") as ran:
    ran.write("x")
answer = here / "answer"
if not answer.exists():
    sys.exit("the vault is closed")
told = json.loads(answer.read_text())
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=told.pop("seconds"))
print(json.dumps({**told, "Version": 1, "Expiration": end.isoformat()}))
"""


class Process:
    """A profile's credential_process: each run is told through a FIFO, and waits until that is heard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.mkfifo(folder / "ran")
        self._heard = threading.Semaphore(0)
        self.runs = 0
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while True:
            with (self.folder / "ran").open() as ran:
                ran.read()
            self.runs += 1
            self._heard.release()

    def configure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        script, settings = self.folder / "process.py", self.folder / "config"
        script.write_text(PROCESS)
        settings.write_text(f"[profile p]\ncredential_process = {sys.executable} {script} {self.folder}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(settings))

    def answers(self, access_key: str, seconds: float) -> None:
        told = {"AccessKeyId": access_key, "SecretAccessKey": "canary-secret-key", "SessionToken": "canary-token"}
        fresh = self.folder / "fresh"
        fresh.write_text(json.dumps({**told, "seconds": seconds}))
        fresh.rename(self.folder / "answer")

    def fails(self) -> None:
        (self.folder / "answer").unlink()

    def wait_for_a_run(self) -> None:
        """Wait for a run that begins from now on."""
        while self._heard.acquire(blocking=False):
            pass
        assert self._heard.acquire(timeout=30)


class eventually:  # noqa: N801 - reads as a word of the test
    """Gives a question that is yes for 30 seconds, asked between looks at something that is about to happen."""

    def __enter__(self) -> Callable[[], bool]:
        end = time.monotonic() + 30
        tick = threading.Event()
        return lambda: not tick.wait(0.01) and time.monotonic() < end

    def __exit__(self, *problem: object) -> None:
        return None
