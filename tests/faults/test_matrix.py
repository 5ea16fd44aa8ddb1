"""A1: every fault at every operation that can meet it gives the right result or the error it should.

Beside that, nothing is left of an operation: no upload, no half file, no connection, no thread; and what it asked for
is bounded. A cell is named by fault, operation, size and seed, and happens again for the same seed.
"""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import s3dlio
from s3dlio.http import background
from s3dlio.steps import Pause
from s3dlio.stores import store_for
from s3dlio.uri import parse
from tests.faults.cells import BUCKET, OPERATIONS, PART, SIZES, Operation, Place, content_of
from tests.faults.expected import FATES, Outcome, fate_of
from tests.servers.faulty.faults import KINDS
from tests.servers.faulty.server import ACCOUNT, FaultServer, faulty

ATTEMPTS = 3
AT_ONCE, WAITING_AT_ONCE = 12, 32  # cells side by side; those of silent faults only wait
SILENT = frozenset(("stall", "half-head-stall", "body-stall", "drip", "deaf"))  # what only patience ends
QUICK, PATIENT = 0.5, 30.0  # seconds
HANGS = 30  # seconds: an operation of the matrix ends long before


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault at one operation; `turns` is when it happens."""

    kind: str
    operation: Operation
    call: str
    size: str
    turns: str
    seed: int

    @property
    def segment(self) -> str:
        """The part of a key that orders the fault."""
        return f"fault={self.kind}.{self.call}@{self.turns}~{self.seed}"

    def __str__(self) -> str:
        return f"{self.operation.name} of size {self.size} with {self.segment}"

    @property
    def expected(self) -> Outcome:
        """What may become of it."""
        fate = fate_of(self.kind, self.operation.name, self.call, self.size)
        assert fate is not None
        return fate.always if self.turns == "*" else fate.once


def cells() -> Iterator[Cell]:
    """Yield every meaningful cell."""
    seeds = itertools.count(1)
    for kind, operation in itertools.product(FATES, OPERATIONS):
        for size, calls in operation.calls.items():
            for call, turns in itertools.product(calls, ("1", "2", "*")):
                if is_meaningful(kind, operation.name, call, size, turns):
                    yield Cell(kind, operation, call, size, turns, next(seeds))


def is_meaningful(kind: str, operation: str, call: str, size: str, turns: str) -> bool:
    fate = fate_of(kind, operation, call, size)
    if fate is None or (turns != "*" and not fate.once):
        return False
    if size == "empty" and call == "get" and FATES[kind] != FATES["500"] and kind not in EMPTY_TOO:
        return False  # no body, no range
    return turns != "2" or call == "list" or (call == "get" and size == "split")


EMPTY_TOO = (
    "close",
    "reset",
    "stall",
    "half-head",
    "403",
    "no-key",
    "interim",
    "last",
    "pieces",
    "chunked",
    "two-lengths",
)
CELLS = list(cells())


@dataclass(frozen=True, slots=True)
class Bench:
    """A running server with what every operation finds there, and how many requests each makes in health."""

    server: FaultServer
    healthy: dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with faulty(page=3, least_part=PART) as server:
        for size in SIZES:
            server.storage.fill(BUCKET, f"plain-{size}", content_of(size))
        with pytest.MonkeyPatch.context() as env:
            point_at(server, env)
            healthy = in_health(server, tmp_path_factory.mktemp("healthy"))
        yield Bench(server, healthy)
        s3dlio.reset()


@pytest.fixture(autouse=True)
def pointed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test ask the server, with new stores."""
    point_at(bench.server, monkeypatch)


def point_at(server: FaultServer, env: pytest.MonkeyPatch) -> None:
    env.setenv("AWS_ACCESS_KEY_ID", ACCOUNT.access_key)
    env.setenv("AWS_SECRET_ACCESS_KEY", ACCOUNT.secret_key)
    env.setenv("AWS_ENDPOINT_URL", server.endpoint)
    env.setenv("AWS_REGION", "us-east-1")
    env.setattr("s3dlio.http.client._SHORTEST_THROTTLED", 0.05)
    env.setattr("s3dlio.http.client._COST", 0)  # the cells share a store: none pays for the others
    env.setattr("s3dlio.http.client._COST_THROTTLED", 0)
    env.setattr("s3dlio.http.throttle._LARGEST_GAP", 0.001)
    env.setattr("s3dlio.stores.s3client._LONGER", 1)  # copies and completions may take their time elsewhere
    start_over(QUICK)


def start_over(patience: float) -> None:
    """Make new stores, which split small objects; `patience` is in seconds."""
    s3dlio.reset()
    s3dlio.configure(max_attempts=ATTEMPTS, first_byte_timeout=patience, progress_window=patience)
    for uri in ("s3://any/", "file:///any"):
        store = store_for(parse(uri))
        store.limits = replace(store.limits, part_size=PART, smallest_part=PART)


def in_health(server: FaultServer, folder: Path) -> dict[tuple[str, str], int]:
    """Run each operation with a fault that never comes, and count its requests."""
    counts: dict[tuple[str, str], int] = {}
    for operation in OPERATIONS:
        for size, calls in operation.calls.items():
            cell = Cell("close", operation, calls[0], size, "99999", len(counts))
            assert tried(server, cell, folder) is None, cell
            counts[operation.name, size] = server.requests[cell.segment]
    return counts


def tried(server: FaultServer, cell: Cell, folder: Path) -> BaseException | None:
    """Run one cell; return its error, after a look at what it left behind."""
    mine = folder / str(cell.seed)
    mine.mkdir()
    place = Place(server, cell.segment, cell.size, mine)
    cell.operation.prepare(place)
    try:
        result = cell.operation.act(place)
    except s3dlio.S3dlioError as problem:
        if not cell.operation.whole(place):
            raise AssertionError("half a result is left") from problem
        return only(problem)
    assert cell.operation.right(place, result), f"a wrong result: {result!r:.200}"
    return None


def only(error: s3dlio.S3dlioError) -> Exception:
    """Return the error of the one item that failed."""
    if isinstance(error, s3dlio.PartialFailureError) and error.errors:
        return next(iter(error.errors.values()))
    return error


def complaint(bench: Bench, cell: Cell, folder: Path) -> str | None:
    """Run one cell and return what is wrong with it."""
    try:
        error = tried(bench.server, cell, folder)
    except Exception as problem:  # noqa: BLE001  # whatever comes out of a cell is what is wrong with it
        return f"{cell}: {problem!r}"
    if not any(isinstance(error, kind) for kind in cell.expected):
        return f"{cell}: {error!r} is not one of {sorted(kind.__name__ for kind in cell.expected)}"
    if error is not None and cell.call not in ("batch", "copy") and cell.segment not in str(error):
        return f"{cell}: {error!r} does not name its URI"
    most = bench.healthy[cell.operation.name, cell.size] * 2 * ATTEMPTS + 2
    if bench.server.requests[cell.segment] > most:
        return f"{cell}: {bench.server.requests[cell.segment]} requests, {most} are enough"
    return None


@pytest.mark.parametrize("kind", sorted(FATES))
def test_A1_every_operation_comes_to_its_right_end(bench: Bench, kind: str, tmp_path: Path) -> None:
    start_over(QUICK if kind in SILENT else PATIENT)
    mine = [cell for cell in CELLS if cell.kind == kind]
    complaints = complaints_about(bench, mine, tmp_path)
    assert complaints == [], "\n".join(["", *complaints])
    assert left_behind(bench.server, tmp_path) == []


def complaints_about(bench: Bench, mine: list[Cell], folder: Path) -> list[str]:
    """Run cells side by side; one that does not end is not waited for."""
    pool = ThreadPoolExecutor(WAITING_AT_ONCE if mine[0].kind in SILENT else AT_ONCE)
    runs = {pool.submit(complaint, bench, cell, folder): cell for cell in mine}
    ended, hanging = wait(runs, HANGS)
    pool.shutdown(wait=not hanging, cancel_futures=True)
    return [said for run in ended if (said := run.result())] + [f"{runs[run]} hangs" for run in hanging]


def left_behind(server: FaultServer, folder: Path) -> list[str]:
    """Return what should have gone with the operations."""
    s3dlio.reset()
    with server.storage.lock:
        # An upload whose very start was not answered is known to nobody but the service.
        uploads = [f"upload of {each.key}" for each in server.storage.uploads.values() if ".start@" not in each.key]
        server.storage.uploads.clear()
    drafts = [str(path) for path in folder.rglob("*") if ".s3dlio" in path.name]
    return uploads + drafts


def test_A1_the_matrix_is_as_large_as_it_says() -> None:
    assert len(FATES) >= 57
    assert len(OPERATIONS) >= 19
    assert len(CELLS) >= 1000


def test_A1_a_fault_that_is_no_part_of_the_matrix_is_known_by_name() -> None:
    assert set(FATES) <= set(KINDS)


def test_A1_P10_connections_and_threads_end_with_their_work(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = after_work(bench, tmp_path, monkeypatch, 1)
    assert after_work(bench, tmp_path, monkeypatch, 2, 3) == before


def after_work(bench: Bench, folder: Path, env: pytest.MonkeyPatch, *turns: int) -> tuple[int, int]:
    """Return what is held after some cells, and after the end of the server that they asked."""
    with faulty(page=3, least_part=PART) as server:
        for size in SIZES:
            server.storage.fill(BUCKET, f"plain-{size}", content_of(size))
        point_at(server, env)
        for turn in turns:
            some(Bench(server, bench.healthy), CELLS[:: len(CELLS) // 40], folder, turn)
        s3dlio.reset()
    return held()


def some(bench: Bench, chosen: list[Cell], folder: Path, turn: int) -> list[str]:
    """Run cells once more, under other seeds."""
    mine = folder / f"turn-{turn}"
    mine.mkdir()
    return complaints_about(bench, [replace(cell, seed=10_000 * (turn + 1) + cell.seed) for cell in chosen], mine)


def held() -> tuple[int, int]:
    """Return the sockets that are open and the threads that are no I/O threads, when all work is done."""
    for _ in range(3):
        background.run(rest())  # the loop looks at what has happened to its connections
    sockets = [each for each in Path("/proc/self/fd").iterdir() if each.is_socket()]
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("s3dlio")]
    return len(sockets), len(threads)


async def rest() -> None:
    """Have the loop go round."""
    await Pause(0.0)
