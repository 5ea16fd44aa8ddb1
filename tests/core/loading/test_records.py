"""Records: samples inside of objects, found by an index or one pass, fetched together where they lie together."""

import logging
import pickle
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import s3dlio
from s3dlio.errors import IntegrityError, NotFoundError
from s3dlio.formats import tfrecord
from s3dlio.loading import (
    Listing,
    Plan,
    Shard,
    Tally,
    Uneven,
    list_samples,
    opened,
    table_of,
    together,
)
from tests.core.loading.shards import EXTENDED, PAX, TFRECORD, USTAR, Kind, content, frame, frames, plain
from tests.core.loading.streaming import gets, indices, stream, table
from tests.core.oplog_lines import Log

EACH, SHARDS = 40, 3
COUNT = EACH * SHARDS
KIB = 1 << 10

each_kind = pytest.mark.parametrize(
    "kind", [USTAR, PAX, EXTENDED, TFRECORD], ids=["ustar", "pax", "extended", "frames"]
)
each_format = pytest.mark.parametrize("kind", [USTAR, TFRECORD], ids=["tar", "tfrecord"])


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A prefix of each scheme."""
    if request.param == "file":
        return f"file://{tmp_path}/data/"
    uri: str = request.getfixturevalue("moto_s3").uri("data/")
    return uri


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A prefix of files, for what does not depend on the storage."""
    return f"file://{tmp_path}/data/"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few small records, so that a small table has many groups of them."""
    monkeypatch.setattr("s3dlio.loading.records._BLOCK", KIB)
    monkeypatch.setattr("s3dlio.loading.records._GROUP", 2)


class TestAnEpoch:
    @each_kind
    @pytest.mark.parametrize("suffix", [None, ".idx"])
    def test_brings_every_record_in_its_order(self, root: str, kind: Kind, suffix: str | None) -> None:
        kind.put(root, EACH, SHARDS, suffix)
        records = table(root, kind)
        assert len(records) == COUNT
        samples = [(index, plain(records.decoded(index, data))) for index, data in stream(records).samples()]
        assert samples == [(number, kind.sample(number)) for number in range(COUNT)]

    @each_format
    @pytest.mark.usefixtures("small_blocks")
    def test_that_is_shuffled_brings_every_record_once(self, root: str, kind: Kind) -> None:
        kind.put(root, EACH, SHARDS)
        records = table(root, kind)
        shuffled = dict(stream(records, Plan(shuffle=True, seed=7)).samples())
        assert [*shuffled] != sorted(shuffled)
        assert {index: plain(records.decoded(index, data)) for index, data in shuffled.items()} == {
            number: kind.sample(number) for number in range(COUNT)
        }
        assert indices(stream(records, Plan(shuffle=True, seed=7))) == [*shuffled]
        assert indices(stream(records, Plan(shuffle=True, seed=8))) != [*shuffled]

    @each_format
    @pytest.mark.usefixtures("small_blocks")
    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("uneven", get_args(Uneven))
    @pytest.mark.parametrize("each", [EACH, EACH + 1])
    def test_is_shared_by_any_consumers_as_promised(
        self, folder: str, kind: Kind, uneven: Uneven, shuffle: bool, each: int
    ) -> None:
        kind.put(folder, each, 1)
        records, plan = table(folder, kind), Plan(shuffle=shuffle, uneven=uneven)
        if uneven == "error" and each % 3:
            with pytest.raises(ValueError, match="cannot be shared equally by 3 ranks"):
                stream(records, plan, Shard(0, 3))
            return
        taken = Counter(
            repr(plain(records.decoded(index, data)))
            for rank in range(3)
            for worker in range(2)
            for index, data in stream(records, plan, Shard(rank, 3, worker, 2)).samples()
        )
        every = {repr(kind.sample(number)) for number in range(each)}
        assert taken.total() == {"keep": each, "drop": each // 3 * 3}.get(uneven, -(-each // 3) * 3)
        assert taken.keys() <= every if uneven == "drop" else taken.keys() == every
        assert set(taken.values()) == {1} or uneven in ("pad", "wrap")

    @each_format
    @pytest.mark.usefixtures("small_blocks")
    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("then", [(1, 1), (2, 1), (2, 3)])
    def test_goes_on_with_any_other_consumers(
        self, folder: str, kind: Kind, shuffle: bool, then: tuple[int, int]
    ) -> None:
        kind.put(folder, EACH, SHARDS)
        records, plan = table(folder, kind), Plan(shuffle=shuffle, seed=3)
        first = [stream(records, plan, Shard(rank, 3, worker, 2)) for rank in range(3) for worker in range(2)]
        before = [index for each in first for index in indices(each, 4 + 3 * each.cursor.shard.worker)]
        start = opened(together(each.cursor.own_state() for each in first), records.order(shuffle, 0))
        world, workers = then
        after = [
            index
            for rank in range(world)
            for worker in range(workers)
            for index in indices(stream(records, plan, Shard(rank, world, worker, workers), start))
        ]
        assert len(before) == 3 * (4 + 7)
        assert sorted(before + after) == list(range(COUNT))

    @pytest.mark.usefixtures("small_blocks")
    def test_comes_in_batches_with_each_record_in_shared_memory(self, folder: str) -> None:
        TFRECORD.put(folder, EACH, SHARDS)
        records = table(folder, TFRECORD)
        batches = list(stream(records).batches(50, drop_last=False))
        assert [(len(kept), rows) for kept, rows in batches] == [(50, None), (50, None), (20, None)]
        first, second = (np.frombuffer(data, np.uint8).ctypes.data for _, data in batches[0][0][:2])
        assert second - first == len(frame(content(0)))

    @pytest.mark.usefixtures("small_blocks")
    def test_that_is_padded_reads_a_record_for_everyone_who_wants_it(self, folder: str) -> None:
        TFRECORD.put(folder, 4, 1)
        records = table(folder, TFRECORD)
        ranks = [indices(stream(records, Plan(uneven="pad"), Shard(rank, 3))) for rank in range(3)]
        assert sorted(index for rank in ranks for index in rank) == [0, 1, 2, 3, 3, 3]


class TestARecord:
    @each_kind
    def test_by_its_index_is_the_one_that_is_streamed(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 2)
        records = table(root, kind)
        streamed = [bytes(data) for _, data in stream(records).samples()]
        assert [bytes(records.one(index, Tally())) for index in range(10)] == streamed
        assert [bytes(records.one(index - 10, Tally())) for index in range(10)] == streamed
        assert [bytes(each) for each in records.get([7, -1, 0, 7], Tally())] == [
            streamed[each] for each in (7, 9, 0, 7)
        ]
        assert plain(records.decoded(-1, records.one(-1, Tally()))) == kind.sample(9)

    @pytest.mark.parametrize("index", [10, -11])
    def test_outside_of_the_table_is_an_index_error(self, folder: str, index: int) -> None:
        TFRECORD.put(folder, 5, 2)
        records = table(folder, TFRECORD)
        for ask in (lambda: records.one(index, Tally()), lambda: records.get([0, index], Tally())):
            with pytest.raises(IndexError, match=f"sample {index} of a dataset of 10"):
                ask()
        with pytest.raises(IndexError):
            records.uri(index)

    def test_is_named_by_its_object_and_its_place(self, folder: str) -> None:
        TFRECORD.put(folder, 2, 2)
        records = table(folder, TFRECORD)
        assert records.uri(3) == records.uri(-1) == f"{folder}01.tfrecord"
        second = len(frame(content(2)))
        assert records.name(3) == records.name(-1) == f"{folder}01.tfrecord (record at byte {second})"

    def test_of_a_pickled_table_is_the_same(self, folder: str) -> None:
        USTAR.put(folder, 5, 2)
        copy = pickle.loads(pickle.dumps(table(folder, USTAR)))
        assert [plain(copy.decoded(index, data)) for index, data in stream(copy).samples()] == [
            USTAR.sample(number) for number in range(10)
        ]

    def test_with_any_flipped_byte_raises_and_names_object_and_offset(self, folder: str) -> None:
        TFRECORD.put(folder, 3, 1, ".idx")
        uri, start = f"{folder}00.tfrecord", len(frame(content(0)))
        whole = bytes(s3dlio.get(uri))
        for at in range(start, start + len(frame(content(1)))):
            s3dlio.put(uri, whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            records = table(folder, TFRECORD)
            data = records.get(range(3), Tally())
            assert [bytes(records.decoded(index, data[index])) for index in (0, 2)] == [content(0), content(2)]
            with pytest.raises(IntegrityError, match=rf"{uri}: byte {start}: ") as caught:
                records.decoded(1, data[1])
            assert caught.value.uri == uri

    def test_of_an_archive_with_any_flipped_byte_of_its_header_raises_so_too(self, folder: str) -> None:
        """The format has no sum of what a member holds, and around the digits of a header's own there are blanks."""
        USTAR.put(folder, 3, 1, ".idx")
        uri, start, blanks = f"{folder}00.tar", 2048, (148, 155)
        whole = bytes(s3dlio.get(uri))
        for at in range(start, start + 512):
            s3dlio.put(uri, whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            records = table(folder, USTAR)
            data = records.one(1, Tally())
            if at - start in blanks:
                assert plain(records.decoded(1, data)) == USTAR.sample(1)
                continue
            with pytest.raises(IntegrityError, match=rf"{uri}: byte {start}: "):
                records.decoded(1, data)


class TestIndexing:
    @pytest.mark.parametrize(
        ("kind", "suffix"),
        [(USTAR, ".idx"), (USTAR, ".tar.idx"), (PAX, ".idx"), (TFRECORD, ".idx"), (TFRECORD, ".tfrecord.idx")],
    )
    def test_reads_an_index_that_is_there_and_nothing_else(self, root: str, kind: Kind, suffix: str, log: Log) -> None:
        kind.put(root, 5, 2, suffix)
        listing = list_samples(root)
        read = len(table_of(listing, kind.decode))
        assert read == 10
        shards = {f"{root}{shard:02}.{kind.decode}" for shard in range(2)}
        assert [line for line in log.ops() if line[0] != "PUT" and line[1] in shards] == []

    def test_reads_a_binary_index_as_well(self, root: str, log: Log) -> None:
        TFRECORD.put(root, 5, 1)
        s3dlio.put(f"{root}00.tfrecord.index", tfrecord.build_index(frames([*map(content, range(5))]), "binary"))
        records = table(root, TFRECORD)
        assert [bytes(records.decoded(index, data)) for index, data in stream(records).samples()] == [
            content(number) for number in range(5)
        ]
        assert [line["file"] for line in gets(log)] == [f"{root}00.tfrecord.index", f"{root}00.tfrecord"]

    @pytest.mark.parametrize(("kind", "suffix"), [(USTAR, None), (TFRECORD, None), (EXTENDED, ".idx")])
    def test_reads_an_object_once_that_has_no_index_of_use(
        self, root: str, kind: Kind, suffix: str | None, log: Log
    ) -> None:
        """Such as one of wds2idx for an archive with extended headers, where it does not tell all offsets."""
        kind.put(root, 5, 2, suffix)
        size = s3dlio.stat(f"{root}00.{kind.decode}")["size"]
        assert len(table(root, kind)) == 10
        read = [(line["file"], int(line["bytes"])) for line in gets(log) if line["file"].endswith(kind.decode)]
        assert [file for file, _ in sorted(read)] == [f"{root}00.{kind.decode}", f"{root}01.{kind.decode}"]
        assert min(size for _, size in read) == size

    def test_reads_only_the_objects_without_an_index(self, folder: str, log: Log) -> None:
        TFRECORD.put(folder, 5, 3, ".idx")
        s3dlio.delete(f"{folder}01.idx")
        records = table(folder, TFRECORD)
        assert [each for each in log.ops() if each[0] == "GET" and each[1].endswith(".tfrecord")] == [
            ("GET", f"{folder}01.tfrecord")
        ]
        assert [bytes(records.decoded(index, data)) for index, data in stream(records).samples()] == [
            content(number) for number in range(15)
        ]

    @each_format
    def test_counts_no_index_as_a_sample(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 2, ".idx")
        s3dlio.put(f"{root}zz.index", b"")
        listing = table(root, kind).listing
        assert list(listing) == [f"{root}00.{kind.decode}", f"{root}01.{kind.decode}"]
        assert listing.sizes is not None
        assert listing.sizes.tolist() == [s3dlio.stat(uri)["size"] for uri in listing]

    @each_format
    def test_takes_uris_without_known_sizes(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 2, ".idx")
        given = Listing.of([f"{root}01.idx", f"{root}01.{kind.decode}", f"{root}00.{kind.decode}"])
        records = table_of(given, kind.decode)
        assert [plain(records.decoded(index, data)) for index, data in stream(records).samples()] == [
            kind.sample(number) for number in (*range(5, 10), *range(5))
        ]

    @pytest.mark.parametrize(("kind", "of"), [(USTAR, 50), (TFRECORD, 6), (TFRECORD, 4), (TFRECORD, 0)])
    def test_refuses_an_index_that_does_not_fit_its_object_and_names_that(self, root: str, kind: Kind, of: int) -> None:
        kind.put(root, 5, 2, ".idx")
        s3dlio.put(f"{root}01.idx", kind.index(range(5, 5 + of)))
        with pytest.raises(IntegrityError, match=rf"the index of {root}01\.{kind.decode} ends at byte \d+") as caught:
            table(root, kind)
        assert caught.value.uri == f"{root}01.{kind.decode}"

    @each_format
    def test_refuses_a_damaged_index_and_names_it(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 2, ".idx")
        s3dlio.put(f"{root}01.idx", kind.index(range(5, 10))[:-3])
        with pytest.raises(IntegrityError, match=r"01\.idx: byte \d+: the index is cut off") as caught:
            table(root, kind)
        assert caught.value.uri == f"{root}01.idx"

    @each_format
    def test_refuses_a_damaged_object_and_names_it(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 2)
        uri = f"{root}01.{kind.decode}"
        shard = kind.shard(range(5))
        s3dlio.put(uri, shard[: len(shard) // 3])
        with pytest.raises(IntegrityError, match=rf"01\.{kind.decode}: byte \d+: ") as caught:
            table(root, kind)
        assert caught.value.uri == uri

    def test_refuses_objects_without_a_record(self, folder: str) -> None:
        s3dlio.put(f"{folder}00.tfrecord", b"")
        with pytest.raises(ValueError, match="no record in any of the objects"):
            table(folder, TFRECORD)
        s3dlio.delete(f"{folder}00.tfrecord")
        s3dlio.put(f"{folder}00.idx", b"")
        with pytest.raises(ValueError, match="no record in any of the objects"):
            table(folder, TFRECORD)

    @each_format
    def test_of_a_missing_object_raises(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 1)
        missing = f"{root}01.{kind.decode}"
        with pytest.raises(NotFoundError, match=missing):
            table_of(Listing.of([f"{root}00.{kind.decode}", missing]), kind.decode)

    def test_lets_empty_objects_have_no_records(self, folder: str) -> None:
        TFRECORD.put(folder, 5, 1)
        s3dlio.put(f"{folder}01.tfrecord", b"")
        s3dlio.put(f"{folder}02.tfrecord", frame(b"last"))
        records = table(folder, TFRECORD)
        assert len(records) == 6
        assert records.name(5) == f"{folder}02.tfrecord (record at byte 0)"


class TestAnObjectThatIsNotThereAnyMore:
    @each_format
    def test_raises_at_its_records(self, root: str, kind: Kind) -> None:
        kind.put(root, 5, 3)
        records = table(root, kind)
        s3dlio.delete(records.uri(5))
        arrived: list[int] = []
        with pytest.raises(NotFoundError, match=records.uri(5)):
            arrived.extend(index for index, _ in stream(records).samples())
        assert arrived == list(range(5))
        with pytest.raises(NotFoundError, match=records.uri(5)):
            records.one(7, Tally())
        assert [type(each) for each in records.get([4, 5], Tally())][1] is NotFoundError

    def test_is_skipped_record_by_record_when_asked(self, root: str, caplog: pytest.LogCaptureFixture) -> None:
        TFRECORD.put(root, 5, 3)
        records = table(root, TFRECORD)
        s3dlio.delete(records.uri(5))
        with caplog.at_level(logging.WARNING, "s3dlio"):
            arrived = indices(stream(records, Plan(on_error="skip")))
        assert arrived == [*range(5), *range(10, 15)]
        assert [records.name(index) in caplog.text for index in (4, 5, 9, 10)] == [False, True, True, False]


class TestAnObjectThatIsAnotherOneMeanwhile:
    @each_format
    @pytest.mark.parametrize("size", [0, 1, 500])
    def test_raises_where_it_is_shorter(self, root: str, kind: Kind, size: int) -> None:
        kind.put(root, 20, 2)
        records = table(root, kind)
        uri = records.uri(20)
        s3dlio.put(uri, bytes(s3dlio.get(uri)[:size]))
        arrived: list[int] = []
        with pytest.raises(IntegrityError, match=rf"{uri} \(record at byte \d+\): the object ends before") as caught:
            arrived.extend(index for index, _ in stream(records).samples())
        assert arrived == list(range(20))
        assert caught.value.uri == uri
        with pytest.raises(IntegrityError, match="the object ends before"):
            records.one(-1, Tally())

    def test_raises_at_what_is_no_record_any_more(self, root: str) -> None:
        TFRECORD.put(root, 20, 1)
        records = table(root, TFRECORD)
        s3dlio.put(records.uri(0), frame(content(599)) * 20)
        assert bytes(records.decoded(0, frame(content(0)))) == content(0)
        with pytest.raises(IntegrityError, match=f"{records.uri(0)}: byte 0: "):
            records.decoded(0, records.one(0, Tally()))
