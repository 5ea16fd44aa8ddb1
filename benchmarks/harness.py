"""The run: origins and files for the chosen rows, then each client in turn, each measurement in a fresh
process.

The clients alternate (A B C A B C …), so whatever else the machine does falls on all of them alike. They
see no variable of the caller's environment but those named here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import machine, nginx, origin, process, work
from benchmarks.clients import KINDS
from benchmarks.content import payload
from benchmarks.rows import GIB, Row, Source
from benchmarks.run_one import Assignment, Measurement

_MEMORY = Path("/dev/shm")
_PASSED_ON = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG")
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each client does each row, and for how many seconds at least."""

    repetitions: int = 5
    seconds: float = 1.0


QUICK = Effort(repetitions=3, seconds=0.5)


class Stage:
    """The files and the origins of one run."""

    def __init__(self, home: Path, running: Mapping[Source, process.Running]) -> None:
        self._home = home
        self._running = running

    def assignment(self, row: Row, client: str, seconds: float) -> Assignment:
        """Return the measurement of a row through a client."""
        served = self._running.get(row.source)
        container = str(_bucket(self._home)) if served is None else origin.BUCKET
        return Assignment(
            row=row.name,
            client=client,
            container=nginx.bucket(checksums=row.checksums) if row.source == "nginx" else container,
            endpoint=served.endpoint if served else None,
            pids=served.pids if served else (),
            seconds=seconds,
        )

    def environment(self, endpoint: str | None) -> dict[str, str]:
        """Return all that a measurement sees of the environment."""
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        nowhere = str(self._home / "none")
        files = {"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "HOME": str(self._home)}
        reach = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
        return {**passed, **files, **_CREDENTIALS, **reach, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def staged(rows: Sequence[Row]) -> Generator[Stage]:
    """Write the files and start the origins that these rows need; both are gone when the block ends."""
    _require_memory(rows)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", dir=_MEMORY)))
        _plant(rows, _bucket(home))
        running: dict[Source, process.Running] = {}
        if any(row.source == "nginx" for row in rows):
            running["nginx"] = stack.enter_context(nginx.started(home / "tree", home))
        if any(row.source == "own" for row in rows):
            running["own"] = stack.enter_context(process.origin())
        yield Stage(home, running)


def run(
    stage: Stage,
    rows: Sequence[Row],
    names: Sequence[str],
    effort: Effort,
    tell: Callable[[Measurement], None],
) -> list[Measurement]:
    """Measure every row; `tell` hears of each measurement as it is made.

    Raises:
        RuntimeError: a measurement failed; its own message is on standard error.
    """
    done: list[Measurement] = []
    for row in rows:
        able = [name for name in names if KINDS[name].does(row)]
        for _ in range(effort.repetitions):
            for name in able:
                done.append(_measure(stage, row, name, effort.seconds))
                tell(done[-1])
    return done


def _measure(stage: Stage, row: Row, name: str, seconds: float) -> Measurement:
    task = stage.assignment(row, name, seconds)
    if row.fresh:
        machine.settle_memory(_TOUCHED)
    command = [sys.executable, "-m", "benchmarks.run_one", json.dumps(asdict(task))]
    ended = subprocess.run(
        command, env=stage.environment(task.endpoint), stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{name} failed in row {row.name} with status {ended.returncode}: see its message above")
    return Measurement(**json.loads(ended.stdout))


_TOUCHED = 3 << 30  # bytes: more than any client takes for a row


def _bucket(home: Path) -> Path:
    return home / "tree" / nginx.bucket(checksums=False)


def _require_memory(rows: Sequence[Row]) -> None:
    if not _MEMORY.is_dir():
        raise RuntimeError(
            f"the benchmarks keep their files in memory, and there is no {_MEMORY} here: mount a tmpfs there"
        )
    # What is planted, once more for what is put into files, and a quarter of a GiB for the rest.
    needed = 2 * sum(row.size * row.batch for row in _planted(rows)) + GIB // 4
    free = shutil.disk_usage(_MEMORY).free
    if free < needed:
        raise RuntimeError(f"{_MEMORY} has {free >> 20} MiB free and {needed >> 20} MiB are needed: make it larger")


def _planted(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose objects must be there, one for each folder."""
    reading = [row for row in rows if row.verb in ("get", "get-large")]
    largest = sorted(reading, key=lambda row: row.batch)
    return list({row.folder: row for row in largest}.values())


def _plant(rows: Sequence[Row], bucket: Path) -> None:
    bucket.mkdir(parents=True)
    (bucket / work.WARM_KEY).parent.mkdir()
    (bucket / work.WARM_KEY).write_bytes(payload(work.WARM_SIZE, 0))
    for row in _planted(rows):
        (bucket / row.folder).mkdir()
        for number in range(row.batch):
            (bucket / work.key(row, number)).write_bytes(payload(row.size, number))
