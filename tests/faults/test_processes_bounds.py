"""Bounds: what is in flight, what is kept, and what is left of thousands of calls and of iterators nobody finished."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.faults.processes import SMALL, healthy, program, stalled
from tests.servers.scripted import Asked, Fault, part

COUNT = 10_000

MEASURED = """
def status(name):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[name].split()[0])

def kept():
    gc.collect()
    return {"descriptors": len(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
            "memory": status("VmRSS") << 10}
"""

BATCHES = """
uris, size = [sys.argv[2]] * 10_000, 65_536
s3dlio.get_many(uris[:200])
before = status("VmHWM")
seen = 0
for index, data in s3dlio.iter_many(uris, workers=32, max_bytes=8 << 20, ordered=sys.argv[3] == "ordered"):
    seen += len(data)
    if seen == 50 * size:
        threading.Event().wait(0.3)  # a consumer that is slower than what it consumes
assert seen == 10_000 * size, seen
print((status("VmHWM") - before) << 10)
"""


@pytest.mark.parametrize("order", ["ordered", "as they come"])
def test_P9_ten_thousand_files_are_read_in_bounded_memory(tmp_path: Path, order: str) -> None:
    (tmp_path / "object").write_bytes(bytes(65_536))
    most = int(program(MEASURED + BATCHES, "http://127.0.0.1:1", f"file://{tmp_path}/object", order))
    assert most < 64 << 20  # bytes; they hold 625 MiB


def test_P9_ten_thousand_objects_are_read_in_bounded_memory(serve: Serve) -> None:
    code = BATCHES.replace("65_536", str(len(SMALL))).replace("8 << 20", "1 << 20")
    with serve(healthy) as server:
        most = int(program(MEASURED + code, server.endpoint, "s3://bucket/key", "ordered"))
    assert most < 24 << 20  # bytes; they hold 48 MiB


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """Ten thousand URIs, of which the object in the middle is missing."""
    (tmp_path / "object").write_bytes(SMALL)
    uris = [f"file://{tmp_path}/object"] * COUNT
    uris[COUNT // 2] = f"file://{tmp_path}/missing"
    return uris


def test_P9_of_ten_thousand_with_a_failure_the_failure_is_raised(many: list[str]) -> None:
    with pytest.raises(s3dlio.NotFoundError, match="missing"):
        s3dlio.get_many(many)
    with pytest.raises(s3dlio.NotFoundError, match="missing"):
        list(s3dlio.iter_many(many))


def test_P9_of_ten_thousand_with_a_failure_the_others_are_returned(many: list[str]) -> None:
    results = s3dlio.get_many(many, on_error="return")
    failed = [index for index, result in enumerate(results) if isinstance(result, Exception)]
    assert failed == [COUNT // 2]
    assert len(results) == COUNT
    assert results[0] == results[-1] == SMALL


ROUNDS = """
uri = "s3://bucket/key"
file = f"file://{sys.argv[2]}/object"

def round_of_calls():
    assert len(s3dlio.get(uri)) == 5000
    s3dlio.put(uri, bytes(5000)); s3dlio.put(file, bytes(5000)); s3dlio.get(file)
    s3dlio.get_many([uri, file] * 10)
    s3dlio.list("s3://bucket/"); s3dlio.list(f"file://{sys.argv[2]}/")
    s3dlio.exists("s3://bucket/missing"); s3dlio.stat(uri)
    try:
        s3dlio.get("s3://bucket/missing")
    except s3dlio.NotFoundError:
        pass
    s3dlio.get_many(["s3://bucket/missing", uri] * 5, on_error="return")
    for _ in zip(range(3), s3dlio.iter_many([uri] * 9)):
        pass
    asyncio.run(s3dlio.get_many_async([uri] * 9))

figures = []
for number in range(150):
    round_of_calls()
    if number in (49, 99, 149):
        figures.append(kept())
print(json.dumps(figures))
"""


def test_P10_thousands_of_calls_leave_no_descriptor_no_thread_and_no_memory(serve: Serve, tmp_path: Path) -> None:
    with serve(healthy) as server:
        figures = json.loads(program(MEASURED + ROUNDS, server.endpoint, str(tmp_path)))
    first, _, last = figures
    assert last["threads"] <= first["threads"]
    assert last["descriptors"] <= first["descriptors"] + 2  # an idle connection more or less
    assert last["memory"] - first["memory"] < 4 << 20  # bytes, in 6000 operations


ABANDONED = """
from s3dlio.loading import Listing, Objects, Order, Plan, Shard, Start, Stream, Tally
objects = ["s3://bucket/key"] * 3 + ["s3://bucket/stalled"] * 1000
files = [f"file://{sys.argv[2]}/object"] * 1000
makers = {
    "iter_many": lambda: s3dlio.iter_many(objects, workers=8),
    "iter_many as they come": lambda: s3dlio.iter_many(objects, workers=8, ordered=False),
    "iter_many of files": lambda: s3dlio.iter_many(files, workers=8),
    "list_iter": lambda: s3dlio.list_iter("s3://bucket/"),
    "dataset": lambda: Stream(
        Objects(Listing(objects)), Plan(prefetch=8), Start(Order(1003)), Shard(), Tally()
    ).samples(),
}

def abandon(end):
    iterator = makers[sys.argv[3]]()
    next(iterator)
    iterator.close() if end == "closed" else None

for _ in range(5):
    abandon(sys.argv[4])
s3dlio.reset()
until(lambda: sockets() == 0)
# The threads that all calls of the process share stay, and their number is a setting.
assert all(each.name.startswith("s3dlio-") for each in threading.enumerate() if each is not threading.main_thread())
assert threading.active_count() <= 2 + s3dlio.config.current().worker_threads
"""


def begun_then_stalled(request: Asked) -> Iterable[bytes | Fault]:
    """Answer on connections that are not kept, but for the objects that are called `stalled`."""
    if "stalled" in request.target:
        return stalled(request)
    return healthy(request) if "list-type" in request.target else [part(request, SMALL, Connection="close")]


@pytest.mark.parametrize("end", ["closed", "forgotten"])
@pytest.mark.parametrize("kind", ["iter_many", "iter_many as they come", "iter_many of files", "list_iter", "dataset"])
def test_P11_an_abandoned_iterator_leaves_no_thread_and_no_connection(
    serve: Serve, tmp_path: Path, kind: str, end: str
) -> None:
    (tmp_path / "object").write_bytes(SMALL)
    with serve(begun_then_stalled) as server:
        program(ABANDONED, server.endpoint, str(tmp_path), kind, end)


def test_P11_an_abandoned_iterator_stops_its_reads(serve: Serve) -> None:
    with serve(healthy) as server:
        iterator = s3dlio.iter_many((f"s3://bucket/{number}" for number in range(1000)), workers=4)
        assert next(iterator) == (0, SMALL)
        del iterator
        s3dlio.get("s3://bucket/key")
    assert len(server.asked) < 20


def test_P12_what_is_fetched_ahead_is_bounded(serve: Serve) -> None:
    with serve(healthy) as server:
        iterator = s3dlio.iter_many((f"s3://bucket/{number}" for number in range(1000)), workers=5)
        for _ in range(10):
            next(iterator)
        s3dlio.get("s3://bucket/key")
        assert len(server.asked) <= 10 + 5 + 1
