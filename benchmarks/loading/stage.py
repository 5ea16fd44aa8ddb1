"""The objects of one run, in memory, and the origin before them.

Invariant: whatever is written or started here is gone when the block of `staged` ends.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.content import payload
from benchmarks.loading import origin
from benchmarks.loading.clients import BUCKET, REGION, key, shard, shards_of
from benchmarks.loading.rows import Row
from benchmarks.process import Running
from benchmarks.rows import GIB

MEMORY = Path("/dev/shm")
_SHARED = ("PATH", "LANG")
_OWN_ONLY = ("PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running origin, at once and late, and how many objects each row has."""

    home: Path
    prompt: Running
    late: Running
    objects: Mapping[str, int]

    def origin(self, row: Row) -> Running:
        """Return the origin of a row."""
        return self.late if row.late else self.prompt


def environment(home: Path, keys: tuple[str, str], endpoint: str, *, isolated: bool) -> dict[str, str]:
    """Return all that a measurement sees of the environment. An isolated one sees nothing of ours."""
    names = _SHARED if isolated else (*_SHARED, *_OWN_ONLY)
    nowhere = str(home / "none")
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        "HOME": str(home),
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def staged(rows: Sequence[Row], objects: Mapping[str, int], *, shards: bool, own: bool = False) -> Generator[Stage]:
    """Write the objects of these rows, and tar files of them if there shall be `shards`, and start the origin.

    It is nginx, or the project's `own`.
    """
    require_room(sum(_planted(row, objects[row.name]) for row in _folders(rows)) * (1 + shards) + GIB // 4)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=MEMORY) as name:
        home = Path(name)
        for row in _folders(rows):
            _plant(row, objects[row.name], home / "tree" / BUCKET, shards=shards)
        tree = home / "tree"
        with origin.own(tree) if own else origin.started(tree, home) as (prompt, late):
            yield Stage(home=home, prompt=prompt, late=late, objects=objects)


def require_room(needed: int) -> None:
    """Raise unless so many bytes fit into memory.

    Raises:
        RuntimeError: they do not; the message says how many do.
    """
    if not MEMORY.is_dir():
        raise RuntimeError(
            f"the benchmarks keep their files in memory, and there is no {MEMORY} here: mount a tmpfs there"
        )
    free = shutil.disk_usage(MEMORY).free
    if free < needed:
        raise RuntimeError(f"{MEMORY} has {free >> 20} MiB free and {needed >> 20} MiB are needed: make room")


def _folders(rows: Sequence[Row]) -> list[Row]:
    """Return one row of each folder."""
    return list({row.folder: row for row in rows}.values())


def _planted(row: Row, objects: int) -> int:
    return min(objects, row.distinct) * row.size


def _plant(row: Row, objects: int, bucket: Path, *, shards: bool) -> None:
    """Write each distinct object once, and link it to the names of the others."""
    (bucket / key(row, 0)).parent.mkdir(parents=True)
    for number in range(objects):
        file = bucket / key(row, number)
        if number < row.distinct:
            file.write_bytes(payload(row.size, number))
        else:
            file.hardlink_to(bucket / key(row, number % row.distinct))
    if shards:
        _plant_shards(row, objects, bucket)


def _plant_shards(row: Row, objects: int, bucket: Path) -> None:
    """Write tar files of the same samples. A whole one that holds what an earlier one does is a link to that."""
    (bucket / shard(row, 0)).parent.mkdir()
    different = row.distinct // row.sharded
    for number in range(shards_of(row, objects)):
        file, start = bucket / shard(row, number), number * row.sharded
        end = min(objects, start + row.sharded)
        if number >= different and end - start == row.sharded:
            file.hardlink_to(bucket / shard(row, number % different))
            continue
        with tarfile.open(file, "w") as archive:
            for each in range(start, end):
                entry = tarfile.TarInfo(f"{each:06d}.bin")
                entry.size = row.size
                archive.addfile(entry, io.BytesIO((bucket / key(row, each)).read_bytes()))
