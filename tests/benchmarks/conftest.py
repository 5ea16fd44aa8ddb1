"""Small rows on a stage of their own: every sort of row, a few little objects, no nginx."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import certificate, nginx, process, work
from benchmarks.content import payload
from benchmarks.process import Plan, Running
from benchmarks.rows import KIB, MIB, ROWS, Row, Source
from benchmarks.stage import Stage

FEW = 5


def small(row: Row) -> Row:
    """Return the row with a few objects, none of them larger than a part and a bit."""
    return replace(row, size=min(row.size, 9 * MIB), batch=min(row.batch, FEW), in_flight=min(row.in_flight, FEW))


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose GETs come from the project's own origin, plain, with TLS and late."""
    home, disk = tmp_path_factory.mktemp("memory"), tmp_path_factory.mktemp("disk")
    for folder in (home, disk):
        plant(folder / "tree" / nginx.bucket(checksums=False))
    (home / "tree" / nginx.bucket(checksums=True)).symlink_to(home / "tree" / nginx.bucket(checksums=False))
    made = certificate.issue(home)
    tree, sealed = str(home / "tree"), str(made.origin)
    plans: Mapping[tuple[Source, bool], Plan] = {
        ("nginx", False): Plan(tree=tree),
        ("nginx", True): Plan(tree=tree, certificate=sealed),
        ("own", False): Plan(),
        ("own", True): Plan(certificate=sealed),
        ("delayed", False): Plan(tree=tree, delay=0.001),
    }
    with ExitStack() as stack:
        origins: dict[tuple[Source, bool], Running] = {
            name: stack.enter_context(process.origin(plan)) for name, plan in plans.items()
        }
        yield Stage(home=home, disk=disk, authority=made.authority, origins=origins)


def plant(bucket: Path) -> None:
    """Write what the small rows read."""
    objects = {work.key(row, number): (row.size, number) for row in map(small, ROWS) for number in range(FEW)}
    for key, (size, number) in {**objects, work.WARM_KEY: (4 * KIB, 0)}.items():
        file = bucket / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(payload(size, number))
