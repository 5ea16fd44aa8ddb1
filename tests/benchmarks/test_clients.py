"""Every row can be done by every client that shares our environment, and what is done wrong is seen.

The others live in environments that only `make bench` makes.
"""

from collections.abc import Iterator, Sequence

import pytest

import s3dlio
from benchmarks import clients, work
from benchmarks.clients import KINDS
from benchmarks.content import Body, payload
from benchmarks.rows import ROWS, Row, find
from benchmarks.stage import Stage
from tests.benchmarks.conftest import small

HERE = ("s3dlio", "obstore", "obstore-asyncio", "boto3", "dd")


def pairs() -> Iterator[object]:
    """Yield each row with each client that has a part in it; boto3 lists for ten seconds."""
    for row in ROWS:
        for name in HERE:
            if KINDS[name].does(row, name) and row.verb != "import" and (row.verb, name) != ("list", "boto3"):
                yield pytest.param(row, name, id=f"{row.name}-{name}")


@pytest.fixture
def place(request: pytest.FixtureRequest, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[clients.Place]:
    """The place of the row, with the environment that a measurement would see."""
    row: Row = request.getfixturevalue("row")
    task = stage.assignment(row, "s3dlio", 0)
    for name, value in stage.environment(task, isolated=False).items():
        monkeypatch.setenv(name, value)
    s3dlio.reset()
    yield clients.Place(container=task.container, scheme=row.scheme, endpoint=task.endpoint, authority=task.authority)
    s3dlio.reset()


@pytest.mark.parametrize(("row", "name"), [*pairs()])
def test_a_client_does_a_row_and_proves_it(row: Row, name: str, place: clients.Place) -> None:
    client = clients.connect(name, row, place)
    job = work.prepare(small(row), client, place)
    job.warm()
    job.step()
    job.step()
    job.prove(2)
    client.close()


class Wrong:
    """A client that returns what it is told to, and stores nothing."""

    def __init__(self, *bodies: bytes) -> None:
        self._bodies = bodies

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        return [*self._bodies]

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None: ...
    def get_large(self, key: str) -> Body:
        return self._bodies[0]

    def put_large(self, key: str, data: bytes) -> None: ...
    def list(self, prefix: str) -> Sequence[str]:
        return []

    def close(self) -> None: ...


@pytest.mark.parametrize("row", [find("get-4k-8"), find("get-64m-1")])
def test_swapped_objects_are_seen(row: Row, place: clients.Place) -> None:
    tiny = small(row)
    bodies = [payload(tiny.size, number) for number in range(tiny.batch)]
    bodies[0], bodies[1] = bodies[1], bodies[0]
    job = work.prepare(tiny, Wrong(*bodies), place)
    job.step()
    with pytest.raises(work.WorkNotDoneError, match="000000 are not those"):
        job.prove(1)


@pytest.mark.parametrize("row", [find("get-4k-8")])
def test_a_missing_object_fails_the_step(row: Row, place: clients.Place) -> None:
    tiny = small(row)
    job = work.prepare(tiny, Wrong(payload(tiny.size, 0)), place)
    with pytest.raises(work.WorkNotDoneError, match="4096 bytes of 5 objects where 20480 were due"):
        job.step()


@pytest.mark.parametrize("row", [find("put-4k-8"), find("tls-put-4k-64"), find("put-64m-1")])
def test_what_was_never_put_is_missed(row: Row, place: clients.Place) -> None:
    job = work.prepare(small(row), Wrong(), place)
    job.step()
    with pytest.raises(work.WorkNotDoneError, match="0 bytes at the origin where"):
        job.prove(1)


@pytest.mark.parametrize("row", [find("list-100k")])
def test_an_empty_listing_fails_the_step(row: Row, place: clients.Place) -> None:
    with pytest.raises(work.WorkNotDoneError, match="0 keys below listed/ where 100000 were due"):
        work.prepare(row, Wrong(), place).step()
