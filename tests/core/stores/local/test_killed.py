"""A write that is killed leaves the old object or the new one, whole, and a draft that nobody sees."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3dlio.stores.drafts import is_draft
from tests.core.stores.local.files import Files
from tests.core.stores.local.victim import content

POINTS = 20
LONGEST = 0.2  # seconds; a child writes the object at least once in this time on most machines


class Victim:
    """The process that forks the children to be killed."""

    def __init__(self, files: Files) -> None:
        command = [sys.executable, "-m", "tests.core.stores.local.victim", files.scheme, str(files.directory)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def tell(self, line: str) -> int:
        """Start a child and return its id."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> int:
        """Return the next number the process tells: an id, or how a child ended."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture
def victim(files: Files) -> Iterator[Victim]:
    victim = Victim(files)
    with victim.process:
        yield victim
        assert victim.process.stdin is not None
        victim.process.stdin.close()


def drafts(files: Files) -> list[Path]:
    return [files.directory / name for name in files.everything() if is_draft(name)]


def version_of(files: Files) -> int:
    """Return which of the two contents the object has, and fail if it is neither."""
    data = (files.directory / "object").read_bytes()
    version = data[0] - 1
    assert version in (0, 1)
    assert data.count(data[:1]) == len(data) == len(content(version))
    return version


def test_F1_killed_at_any_moment_leaves_the_object_whole(files: Files, victim: Victim) -> None:
    (files.directory / "object").write_bytes(content(0))
    moments = random.Random(files.scheme)
    left: list[Path] = []
    for _ in range(POINTS):
        child = victim.tell("")
        select.select([], [], [], moments.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        assert victim.hear() == -signal.SIGKILL
        version_of(files)
        assert files.list() == ["object"]
        for draft in drafts(files):
            left.append(draft)
            draft.unlink()
    assert left, "no child was killed while it wrote"


def test_F1_killed_in_place_of_any_system_call_leaves_the_object_whole(files: Files, victim: Victim) -> None:
    path = files.directory / "object"
    path.write_bytes(content(0))
    versions: list[int] = []
    for index in range(100):
        victim.tell(f"killed_at {index}")
        if victim.hear() == 0:
            break
        versions.append(version_of(files))
        assert files.list() == ["object"]
    assert versions == sorted(versions), "once there, the new object stays"
    assert set(versions) == {0, 1}, "kills came before the rename and after it"

    assert drafts(files)
    for draft in drafts(files):
        os.utime(draft, (0, 0))
    files.put("another", b"")
    assert drafts(files) == []
