"""The files and the origins of one run: which row finds its objects where, and what a client sees of the environment.

Invariant: whatever is written or started here is gone when the block of `staged` ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks import certificate, nginx, process, work
from benchmarks.content import payload
from benchmarks.environments import ROOT
from benchmarks.process import Plan, Running
from benchmarks.replies import BUCKET
from benchmarks.rows import DELAY, GIB, Row, Source
from benchmarks.run_one import Assignment

_MEMORY = Path("/dev/shm")
_NOT_DISKS = ("tmpfs", "ramfs", "overlay")
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_REGION": "us-east-1",
}
_SHARED = ("PATH", "LANG")
_OWN_ONLY = ("PYTHONPATH", "VIRTUAL_ENV")

Origins: TypeAlias = Mapping[tuple[Source, bool], Running]
"""The origins by source, without TLS and with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the objects of each row are. `home` is in memory, `disk` is not."""

    home: Path
    disk: Path
    authority: Path
    origins: Origins

    def assignment(self, row: Row, client: str, seconds: float) -> Assignment:
        """Return the measurement of a row through a client."""
        served = self.origins.get((row.source, row.tls))
        return Assignment(
            row=row.name,
            client=client,
            container=self._container(row),
            endpoint=served.endpoint if served else None,
            authority=str(self.authority) if row.tls else None,
            pids=served.pids if served else (),
            seconds=seconds,
        )

    def _container(self, row: Row) -> str:
        if row.source == "nginx":
            return nginx.bucket(checksums=row.checksums)
        if row.source in ("memory", "disk"):
            return str(_bucket(self.home if row.source == "memory" else self.disk))
        return BUCKET

    def environment(self, task: Assignment, *, isolated: bool) -> dict[str, str]:
        """Return all that a measurement sees of the environment. An isolated one sees nothing of ours."""
        names = _SHARED if isolated else (*_SHARED, *_OWN_ONLY)
        passed = {name: os.environ[name] for name in names if name in os.environ}
        nowhere = str(self.home / "none")
        files = {"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "HOME": str(self.home)}
        reach = {"AWS_ENDPOINT_URL": task.endpoint} if task.endpoint else {}
        # s3torchconnector reads the second of these alone.
        trust = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE"), task.authority) if task.authority else {}
        return {**passed, **files, **_CREDENTIALS, **reach, **trust, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def staged(rows: Sequence[Row], disk: Path) -> Generator[Stage]:
    """Write the files and start the origins that these rows need. `disk` is a folder on a disk."""
    _require_room(rows, disk)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", dir=_MEMORY)))
        below = disk if any(row.source == "disk" for row in rows) else _MEMORY
        platter = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", dir=below)))
        _plant([row for row in rows if row.source != "disk"], _bucket(home))
        _plant([row for row in rows if row.source == "disk"], _bucket(platter))
        os.sync()  # or the disk would still be writing while it is read
        made = certificate.issue(home)
        yield Stage(home=home, disk=platter, authority=made.authority, origins=_origins(stack, rows, home, made))


def left_out(rows: Sequence[Row]) -> dict[str, str]:
    """Return the rows that this machine has no memory for, each with the reason."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found: dict[str, str] = {}
    for row in rows:
        needed = 4 * row.size * row.batch  # the files, the result, what a client copies, the page cache
        if needed > memory:
            found[row.name] = f"{row.title}: needs {needed >> 30} GiB of memory, and there are {memory >> 30}"
    return found


def default_disk() -> Path:
    """Return a folder on the disk of this tree."""
    folder = ROOT / ".cache" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _origins(stack: ExitStack, rows: Sequence[Row], home: Path, made: certificate.Certificate) -> Origins:
    needed = {(row.source, row.tls) for row in rows}
    running: dict[tuple[Source, bool], Running] = {}
    if any(source == "nginx" for source, _ in needed):
        plain, sealed = stack.enter_context(nginx.started(home / "tree", home, made.origin))
        running["nginx", False], running["nginx", True] = plain, sealed
    if ("own", False) in needed:
        running["own", False] = stack.enter_context(process.origin(Plan()))
    if ("own", True) in needed:
        running["own", True] = stack.enter_context(process.origin(Plan(certificate=str(made.origin))))
    if ("delayed", False) in needed:
        plan = Plan(delay=DELAY, tree=str(home / "tree"))
        running["delayed", False] = stack.enter_context(process.origin(plan))
    return running


def _bucket(home: Path) -> Path:
    return home / "tree" / nginx.bucket(checksums=False)


def _require_room(rows: Sequence[Row], disk: Path) -> None:
    if not _MEMORY.is_dir():
        raise RuntimeError(
            f"the benchmarks keep their files in memory, and there is no {_MEMORY} here: mount a tmpfs there"
        )
    on_disk = [row for row in rows if row.source == "disk"]
    if on_disk and _file_system(disk) in _NOT_DISKS:
        raise RuntimeError(f"{disk} is in memory and the direct:// rows need a disk: name a folder on one with --disk")
    for folder, chosen in ((_MEMORY, [row for row in rows if row.source != "disk"]), (disk, on_disk)):
        # What is planted, the largest of what is put there, and a quarter of a GiB for the rest.
        planted = sum(row.size * row.batch for row in _planted(chosen))
        stored = [row.size * row.batch for row in chosen if row.source in ("memory", "disk") and not row.reads]
        needed = planted + max(stored, default=0) + GIB // 4
        free = shutil.disk_usage(folder).free
        if chosen and free < needed:
            raise RuntimeError(f"{folder} has {free >> 20} MiB free and {needed >> 20} MiB are needed: make room")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on, as the kernel names it."""
    found = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        if folder.resolve().is_relative_to(point.replace("\\040", " ")) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _planted(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose objects must be there, one for each folder: the one with the most."""
    reading = sorted((row for row in rows if row.reads), key=lambda row: row.batch)
    return list({row.folder: row for row in reading}.values())


def _plant(rows: Sequence[Row], bucket: Path) -> None:
    bucket.mkdir(parents=True)
    (bucket / work.WARM_KEY).parent.mkdir()
    (bucket / work.WARM_KEY).write_bytes(payload(work.WARM_SIZE, 0))
    for row in _planted(rows):
        (bucket / row.folder).mkdir()
        for number in range(row.batch):
            (bucket / work.key(row, number)).write_bytes(payload(row.size, number))
