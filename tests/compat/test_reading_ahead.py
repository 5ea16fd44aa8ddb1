"""Data sets fetch what comes next while a sample is being used, and nobody notices but the clock."""

import os
import pickle
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from s3dlio.compat.s3torchconnector import (
    S3ClientConfig,
    S3Exception,
    S3IterableDataset,
    S3MapDataset,
    S3ReaderConstructor,
)
from s3dlio_compat.s3torchconnector._s3client import MockS3Client
from tests.compat.conftest import Connector
from tests.faults.processes import program, until
from tests.servers.scripted import STALL, Asked, Piece, ScriptedServer, part, response, scripted

COUNT = 200
CONFIG = S3ClientConfig(force_path_style=True, max_attempts=1)
KINDS = [
    S3ReaderConstructor.sequential(),
    S3ReaderConstructor.range_based(),
    S3ReaderConstructor.range_based(buffer_size=0),
]
each_kind = pytest.mark.parametrize("constructor", KINDS, ids=["sequential", "ranged", "unbuffered"])


def content_of(number: int) -> bytes:
    return bytes([number]) * (1000 + number)


ALL = [content_of(number) for number in range(COUNT)]


def whole(reader: Any) -> bytes:
    content: bytes = reader.read()
    return content


def in_pieces(reader: Any) -> bytes:
    """Read as a decoder of images does: a bit, back, the end, and everything."""
    assert reader.read(10) == reader.read(20)[:10]
    size = reader.seek(0, os.SEEK_END)
    assert reader.tell() == size
    reader.seek(0)
    target = bytearray(size)
    assert reader.readinto(target) == size
    assert reader.read() == b""
    return bytes(target)


class Bucket:
    """A service with `COUNT` objects. Those from `silent_from` on are not answered, those in `broken` are refused."""

    def __init__(self, *, listed_size: int | None = None) -> None:
        self.listed_size = listed_size
        self.silent_from = COUNT
        self.broken: dict[int, int] = {}
        self.asked: list[int] = []
        self.given_up: list[int] = []
        self.server: ScriptedServer

    def __call__(self, request: Asked) -> Iterable[Piece]:
        if "list-type=2" in request.target:
            return [self._listing()]
        number = int(request.target.partition("?")[0].rpartition("/")[2])
        self.asked.append(number)
        return self._object(number, request)

    def _listing(self) -> bytes:
        rows = "".join(
            f"<Contents><Key>train/{number:03}</Key><Size>{self.listed_size or len(content)}</Size></Contents>"
            for number, content in enumerate(ALL)
        )
        return response(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode())

    def _object(self, number: int, request: Asked) -> Iterator[Piece]:
        if number in self.broken:
            yield response(self.broken[number])
        elif number < self.silent_from:
            yield part(request, content_of(number))
        else:
            try:
                yield STALL
            finally:
                self.given_up.append(number)

    @property
    def options(self) -> dict[str, Any]:
        return {"region": "us-east-1", "endpoint": self.server.endpoint, "s3client_config": CONFIG}

    def iterable(self, **options: Any) -> Any:
        return S3IterableDataset.from_prefix("s3://bucket/train/", **self.options, **options)

    def map(self, **options: Any) -> Any:
        return S3MapDataset.from_prefix("s3://bucket/train/", **self.options, **options)

    def uris(self) -> list[str]:
        return [f"s3://bucket/train/{number:03}" for number in range(COUNT)]


@contextmanager
def served(**options: Any) -> Generator[Bucket]:
    bucket = Bucket(**options)
    with scripted(bucket) as server:
        bucket.server = server
        yield bucket


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with served() as made:
        yield made


@each_kind
@pytest.mark.parametrize("transform", [whole, in_pieces])
def test_every_object_is_read_in_order(bucket: Bucket, constructor: Any, transform: Any) -> None:
    samples = bucket.iterable(transform=transform, reader_constructor=constructor)
    assert list(samples) == ALL
    assert list(samples) == ALL


def test_each_object_is_asked_for_once(bucket: Bucket) -> None:
    assert list(bucket.iterable(transform=whole)) == ALL
    assert Counter(bucket.asked) == dict.fromkeys(range(COUNT), 1)


@pytest.mark.parametrize("source", ["listed", "named"])
def test_what_comes_next_is_fetched_once_two_objects_were_read_whole(bucket: Bucket, source: str) -> None:
    options: dict[str, Any] = {**bucket.options, "transform": whole}
    named = S3IterableDataset.from_objects(bucket.uris(), **options)
    samples = iter(named if source == "named" else bucket.iterable(transform=whole))
    assert next(samples) == ALL[0]
    assert next(samples) == ALL[1]
    assert bucket.asked == [0, 1]
    assert next(samples) == ALL[2]
    until(lambda: len(bucket.asked) > 5)


def test_at_most_32_objects_are_ahead(bucket: Bucket) -> None:
    bucket.silent_from = 3
    samples = iter(bucket.iterable(transform=whole))
    assert [next(samples) for _ in range(3)] == ALL[:3]
    until(lambda: len(bucket.asked) == 2 + 32)
    assert sorted(bucket.asked) == list(range(34))


def test_at_most_64_MiB_are_ahead() -> None:
    with served(listed_size=8 << 20) as bucket:
        bucket.silent_from = 3
        samples = iter(bucket.iterable(transform=whole))
        assert [next(samples) for _ in range(3)] == ALL[:3]
        until(lambda: len(bucket.asked) == 2 + 8)
        samples.close()
        until(lambda: len(bucket.given_up) == 7)
        assert sorted(bucket.asked) == list(range(10))


def test_objects_of_unknown_size_count_as_8_MiB_until_they_are_here(bucket: Bucket) -> None:
    bucket.silent_from = 3
    samples = iter(S3IterableDataset.from_objects(bucket.uris(), **bucket.options, transform=whole))
    assert [next(samples) for _ in range(3)] == ALL[:3]
    until(lambda: len(bucket.asked) == 2 + 8)
    del samples
    until(lambda: len(bucket.given_up) == 7)
    assert sorted(bucket.asked) == list(range(10))


def test_large_objects_are_left_for_their_turn() -> None:
    with served(listed_size=(8 << 20) + 1) as bucket:
        samples = iter(bucket.iterable(transform=whole))
        assert [next(samples) for _ in range(20)] == ALL[:20]
        assert bucket.asked == list(range(20))


def test_an_object_that_grew_since_it_was_listed_is_read_whole() -> None:
    with served(listed_size=1) as bucket:
        assert list(bucket.iterable(transform=whole)) == ALL


def test_readers_that_are_not_read_ask_for_nothing(bucket: Bucket) -> None:
    assert [reader.key for reader in bucket.iterable()] == [f"train/{number:03}" for number in range(COUNT)]
    assert bucket.asked == []


def test_reading_ahead_ends_with_the_first_reader_that_is_left_unread(bucket: Bucket) -> None:
    samples = iter(bucket.iterable())
    for number in range(5):
        assert next(samples).read() == ALL[number]
    for _ in samples:
        pass
    assert len(bucket.asked) <= 5 + 32 + 1


def test_a_program_that_keeps_its_readers_unread_costs_32_objects(bucket: Bucket) -> None:
    samples = iter(bucket.iterable())
    for number in range(5):
        assert next(samples).read() == ALL[number]
    kept = list(samples)
    until(lambda: len(bucket.asked) == 5 + 32)
    assert [reader.read() for reader in kept] == ALL[5:]


def test_a_program_that_reads_headers_is_not_read_ahead_of(bucket: Bucket) -> None:
    samples = bucket.iterable(transform=lambda reader: reader.read(16), reader_constructor=KINDS[2])
    assert list(samples) == [content[:16] for content in ALL]
    assert bucket.asked == list(range(COUNT))


@pytest.mark.parametrize(
    ("status", "text"), [(404, "Service error: The key does not exist"), (403, "Client error: ")], ids=["404", "403"]
)
def test_an_error_comes_when_its_object_is_read(bucket: Bucket, status: int, text: str) -> None:
    bucket.broken[10] = status
    with pytest.raises(S3Exception) as alone:
        bucket.map()[10].read()
    samples = iter(bucket.iterable(transform=whole))
    assert [next(samples) for _ in range(10)] == ALL[:10]
    with pytest.raises(S3Exception) as ahead:
        next(samples)
    assert str(ahead.value).startswith(text)
    assert str(ahead.value) == str(alone.value)
    assert list(samples) == ALL[11:]


def test_a_reader_may_be_tried_again_after_an_error(bucket: Bucket) -> None:
    bucket.broken[10] = 500
    samples = iter(bucket.iterable())
    for number in range(10):
        assert next(samples).read() == ALL[number]
    reader = next(samples)
    with pytest.raises(S3Exception):
        reader.read()
    bucket.broken.clear()
    assert reader.read() == ALL[10]


def test_an_error_of_a_transform_ends_nothing(bucket: Bucket) -> None:
    def refuse_the_seventh(reader: Any) -> bytes:
        if reader.key == "train/007":
            raise LookupError(reader.key)
        return whole(reader)

    samples = iter(bucket.iterable(transform=refuse_the_seventh))
    assert [next(samples) for _ in range(7)] == ALL[:7]
    with pytest.raises(LookupError):
        next(samples)
    assert list(samples) == ALL[8:]


@pytest.mark.parametrize("end", ["dropped", "closed"])
def test_an_iterator_that_is_given_up_stops_what_is_under_way(bucket: Bucket, end: str) -> None:
    bucket.silent_from = 3
    samples = iter(bucket.iterable(transform=whole))
    assert [next(samples) for _ in range(3)] == ALL[:3]
    until(lambda: len(bucket.asked) == 34)
    if end == "closed":
        samples.close()
        assert next(samples, None) is None
    else:
        del samples
    until(lambda: sorted(bucket.given_up) == list(range(3, 34)))


def test_a_reader_outlives_its_iterator(bucket: Bucket) -> None:
    samples = iter(bucket.iterable())
    for _ in range(5):
        next(samples).read()
    reader = next(samples)
    del samples
    assert reader.read() == ALL[5]


def test_names_of_an_iterator_are_taken_as_they_are_needed(bucket: Bucket) -> None:
    names = iter(bucket.uris())
    samples = iter(S3IterableDataset.from_objects(names, **bucket.options, transform=whole))
    assert [next(samples) for _ in range(5)] == ALL[:5]
    assert next(names) == bucket.uris()[5]
    assert list(samples) == ALL[6:]


def test_a_bad_name_is_an_error_at_its_turn(bucket: Bucket) -> None:
    uris = [*bucket.uris()[:10], "ftp://else/where"]
    samples = iter(S3IterableDataset.from_objects(uris, **bucket.options, transform=whole))
    assert [next(samples) for _ in range(10)] == ALL[:10]
    with pytest.raises(ValueError, match="Only s3:// URIs are supported"):
        next(samples)
    assert list(samples) == []


@each_kind
def test_a_batch_is_what_its_indices_give(bucket: Bucket, constructor: Any) -> None:
    dataset = bucket.map(transform=whole, reader_constructor=constructor)
    indices = [*range(50, 0, -1), -1, 3, 3]
    assert dataset.__getitems__(indices) == [ALL[index] for index in indices]
    with pytest.raises(IndexError, match="list index out of range"):
        dataset.__getitems__([1, COUNT])


def test_a_batch_is_fetched_at_once_when_objects_are_read_whole(bucket: Bucket) -> None:
    def whole_but_late(reader: Any) -> bytes:
        if reader.key == "train/100":
            until(lambda: sorted(bucket.asked) == [0, 1, *range(100, 116)])
        return whole(reader)

    dataset = bucket.map(transform=whole_but_late)
    assert [dataset[0], dataset[1]] == ALL[:2]
    assert dataset.__getitems__(range(100, 116)) == ALL[100:116]


def test_a_batch_of_a_subclass_has_its_samples(bucket: Bucket) -> None:
    class Numbered(S3MapDataset):
        def __getitem__(self, index: int) -> Any:
            return index, super().__getitem__(index)

    dataset = Numbered.from_prefix("s3://bucket/train/", **bucket.options, transform=whole)
    assert dataset.__getitems__([3, 5]) == [(3, ALL[3]), (5, ALL[5])]


def test_a_reader_whose_bytes_are_on_their_way_pickles(bucket: Bucket) -> None:
    samples = iter(bucket.iterable())
    for number in range(5):
        assert next(samples).read() == ALL[number]
    reader = next(samples)
    assert pickle.loads(pickle.dumps(reader)).read() == ALL[5]
    assert reader.read() == ALL[5]


FIVE_READ = """
from s3dlio.compat.s3torchconnector import S3ClientConfig, S3IterableDataset
config = S3ClientConfig(force_path_style=True)
samples = iter(S3IterableDataset.from_prefix(
    "s3://bucket/train/", region="us-east-1", endpoint=sys.argv[1], s3client_config=config))
for _ in range(5):
    next(samples).read()
"""
IN_A_FORK = """
reader = next(samples)
child = os.fork()
count = len(reader.read()) + sum(len(each.read()) for each in samples)
print(count, flush=True)
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""


def test_an_iteration_goes_on_in_the_child_of_a_fork(bucket: Bucket) -> None:
    assert program(FIVE_READ + IN_A_FORK, bucket.server.endpoint).split() == [str(sum(map(len, ALL[5:])))] * 2


def test_a_program_that_ends_meanwhile_ends_at_once(bucket: Bucket) -> None:
    bucket.silent_from = 5
    assert program(FIVE_READ + "until(lambda: sockets() > 5)\nprint('done')", bucket.server.endpoint) == "done\n"


def test_a_data_set_of_files_is_read_ahead_as_well(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:03}").write_bytes(content_of(number))
    dataset = S3IterableDataset.from_prefix(f"file://{tmp_path}/", region="us-east-1", transform=whole)
    assert list(dataset) == ALL[:50]


@each_kind
def test_bytes_that_came_ahead_are_of_one_version(ours: Connector, constructor: Any) -> None:
    for number in range(6):
        ours.put(f"train/{number}", b"first version")
    readers = iter(ours.dataset("Iterable", "train/", reader_constructor=constructor))
    for _ in range(3):
        assert next(readers).read() == b"first version"
    reader = next(readers)
    begin = reader.read(5)
    ours.put("train/3", b"other content")
    assert begin + reader.read() == b"first version"


def test_a_client_in_memory_serves_data_sets() -> None:
    mock: Any = MockS3Client("us-east-1", "bucket")
    for number in range(20):
        mock.add_object(f"train/{number:03}", content_of(number))
    dataset: Any = S3IterableDataset.from_prefix("s3://bucket/train/", region="us-east-1", transform=whole)
    dataset._client = mock
    assert list(dataset) == ALL[:20]
