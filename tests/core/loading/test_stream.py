"""Streams: samples fetched ahead, in order or as they arrive, with errors in their place and time accounted for."""

import logging
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s3dlio
from s3dlio import config
from s3dlio.errors import NotFoundError
from s3dlio.loading import (
    Listing,
    LoadStats,
    Objects,
    Order,
    Plan,
    Shard,
    Start,
    Stream,
    Tally,
    get_together,
    list_samples,
)
from s3dlio.loading.tally import FIELDS, LINES, line_of, lines, summed

COUNT = 20


@pytest.fixture(params=["file", "s3"])
def listing(request: pytest.FixtureRequest, tmp_path: Path) -> Listing:
    """Twenty objects of ten equal bytes that tell their number."""
    root = f"file://{tmp_path}/" if request.param == "file" else request.getfixturevalue("moto_s3").uri("twenty/")
    s3dlio.put_many((f"{root}{number:02}", bytes([number]) * 10) for number in range(COUNT))
    return list_samples(root)


@pytest.fixture
def folder(tmp_path: Path) -> Listing:
    """The same in a folder, for what does not depend on the storage."""
    s3dlio.put_many((f"file://{tmp_path}/{number:02}", bytes([number]) * 10) for number in range(COUNT))
    return list_samples(f"file://{tmp_path}/")


def stream(listing: Listing, plan: Plan | None = None, tally: Tally | None = None) -> Stream:
    plan = plan or Plan(prefetch=4)
    order = Objects(listing).order(plan.shuffle, plan.seed)
    return Stream(Objects(listing), plan, Start(order), Shard(), tally or Tally())


def delete(listing: Listing, *numbers: int) -> None:
    for number in numbers:
        s3dlio.delete(listing[number])


def is_shared(thread: threading.Thread) -> bool:
    """Tell whether a thread is one of the process's own for I/O, which every read shares."""
    return thread.name.startswith("s3dlio-")


class TestSamples:
    def test_come_in_order_with_their_bytes(self, listing: Listing) -> None:
        assert [(index, bytes(data)) for index, data in stream(listing).samples()] == [
            (number, bytes([number]) * 10) for number in range(COUNT)
        ]

    def test_come_as_they_arrive_when_asked(self, listing: Listing) -> None:
        arrived = [index for index, _ in stream(listing, Plan(in_order=False)).samples()]
        assert sorted(arrived) == list(range(COUNT))

    @settings(deadline=None, max_examples=20)
    @given(seed=st.integers(0, 2**70), taken=st.integers(0, COUNT), prefetch=st.integers(1, 30))
    def test_go_on_where_a_state_was_taken(self, twenty: Listing, seed: int, taken: int, prefetch: int) -> None:
        plan = Plan(shuffle=True, seed=seed, prefetch=prefetch)
        whole = [index for index, _ in stream(twenty, plan).samples()]
        stopped = stream(twenty, plan)
        with closing(stopped.samples()) as samples:
            assert [next(samples)[0] for _ in range(taken)] == whole[:taken]
        resumed = stream(twenty, Plan(shuffle=True))
        resumed.load_state_dict(stopped.state_dict())
        assert [index for index, _ in resumed.samples()] == whole[taken:]

    def test_raise_at_a_missing_one_and_name_it(self, listing: Listing) -> None:
        delete(listing, 7)
        arrived: list[int] = []
        with pytest.raises(NotFoundError, match=listing[7]):
            arrived.extend(index for index, _ in stream(listing).samples())
        assert arrived == list(range(7))

    @pytest.mark.parametrize("batches", [False, True])
    def test_that_could_not_be_read_are_still_to_come_for_whoever_resumes(self, folder: Listing, batches: bool) -> None:
        delete(folder, 7)
        here = stream(folder)
        with pytest.raises(NotFoundError):
            list(here.batches(2, drop_last=False) if batches else here.samples())
        assert here.state_dict()["position"] == (6 if batches else 7)

    def test_are_skipped_counted_and_reported_when_asked(
        self, listing: Listing, caplog: pytest.LogCaptureFixture
    ) -> None:
        delete(listing, 7, 11)
        counts = np.zeros(FIELDS, np.int64)
        with caplog.at_level(logging.WARNING, "s3dlio"):
            arrived = [index for index, _ in stream(listing, Plan(on_error="skip"), Tally(counts)).samples()]
        assert arrived == [number for number in range(COUNT) if number not in (7, 11)]
        assert summed(counts).skipped == 2
        assert [listing[number] in caplog.text for number in (7, 11, 12)] == [True, True, False]

    def test_are_fetched_no_further_ahead_than_they_may(self, folder: Listing) -> None:
        seen: list[int] = []

        class Watched(Listing):
            __slots__ = ()

            def __getitem__(self, index: int) -> str:
                seen.append(index)
                return super().__getitem__(index)

        samples = stream(Watched(folder), Plan(prefetch=3)).samples()
        for taken in range(1, 10):
            next(samples)
            assert max(seen) < taken + 3
        samples.close()
        assert max(seen) < 12

    def test_leave_no_thread_of_their_own_when_dropped(self, folder: Listing) -> None:
        before = {thread for thread in threading.enumerate() if not is_shared(thread)}
        for _ in range(50):
            samples = stream(folder).samples()
            next(samples)
            del samples
        after = threading.enumerate()
        assert {thread for thread in after if not is_shared(thread)} <= before
        assert sum(thread.name.startswith("s3dlio-io-") for thread in after) <= config.current().worker_threads

    def test_of_a_million_begin_without_going_through_them(self) -> None:
        """The order is computed as far as it is read."""
        cursor = Stream(Objects(Listing([])), Plan(), Start(Order(50_000_000, True)), Shard(), Tally()).cursor
        turns = cursor.indices()
        assert [turn for turn, _ in (next(turns), next(turns))] == [0, 1]


class TestBatches:
    def test_are_one_piece_of_memory_that_received_their_samples(self, listing: Listing) -> None:
        for number, (kept, rows) in enumerate(stream(listing).batches(6, drop_last=False)):
            assert rows is not None
            assert rows.shape == (len(kept), 10)
            assert rows[:, 0].tolist() == [6 * number + row for row in range(len(kept))]
            for row, (_, data) in enumerate(kept):
                assert np.frombuffer(data, np.uint8).ctypes.data == rows[row].ctypes.data
            assert rows.flags.writeable

    @pytest.mark.parametrize(("drop_last", "sizes"), [(False, [6, 6, 6, 2]), (True, [6, 6, 6])])
    def test_end_with_a_smaller_one_unless_it_is_dropped(
        self, folder: Listing, drop_last: bool, sizes: list[int]
    ) -> None:
        assert [len(kept) for kept, _ in stream(folder).batches(6, drop_last)] == sizes

    @pytest.mark.parametrize("size", [0, 5, 11, 100])
    def test_of_unequal_samples_have_each_in_its_own_memory(self, listing: Listing, size: int) -> None:
        s3dlio.put(listing[3], bytes([3]) * size)
        batches = list(stream(listing).batches(5, drop_last=False))
        assert [bytes(data) for kept, _ in batches for _, data in kept] == [
            bytes([number]) * (size if number == 3 else 10) for number in range(COUNT)
        ]
        assert [rows is None for _, rows in batches] == [True, False, False, False]

    def test_lack_what_was_skipped(self, listing: Listing) -> None:
        delete(listing, 7)
        batches = list(stream(listing, Plan(on_error="skip")).batches(5, drop_last=True))
        assert [[index for index, _ in kept] for kept, _ in batches][1] == [5, 6, 8, 9]
        assert [len(kept) for kept, _ in batches] == [5, 4, 5, 5]

    def test_raise_what_their_samples_raised(self, listing: Listing) -> None:
        delete(listing, 7)
        with pytest.raises(NotFoundError, match=listing[7]):
            list(stream(listing).batches(5, drop_last=False))

    def test_count_as_taken_when_they_are_handed_out(self, folder: Listing) -> None:
        here = stream(folder)
        with closing(here.batches(6, drop_last=False)) as batches:
            next(batches)
            next(batches)
        assert here.state_dict()["position"] == 12

    def test_of_empty_objects_have_rows_of_no_bytes(self, tmp_path: Path) -> None:
        s3dlio.put_many((f"file://{tmp_path}/{number}", b"") for number in range(4))
        ((_, rows),) = stream(list_samples(f"file://{tmp_path}/")).batches(4, drop_last=False)
        assert rows is not None
        assert rows.shape == (4, 0)

    @pytest.mark.parametrize("in_order", [True, False])
    def test_in_order_of_arrival_have_every_sample_too(self, folder: Listing, in_order: bool) -> None:
        batches = stream(folder, Plan(in_order=in_order)).batches(6, drop_last=False)
        assert sorted(index for kept, _ in batches for index, _ in kept) == list(range(COUNT))


class TestObjectsTogether:
    def test_are_received_in_one_piece_of_memory(self, listing: Listing) -> None:
        received, rows = get_together(Objects(listing), [4, 0, 4], Tally())
        assert rows is not None
        assert rows[:, 0].tolist() == [4, 0, 4]
        assert [bytes(each) for each in received] == [bytes(row) for row in rows]

    def test_have_exceptions_in_the_place_of_what_is_missing(self, listing: Listing) -> None:
        delete(listing, 7)
        received, rows = get_together(Objects(listing), [6, 7, 8], Tally())
        assert rows is None
        assert [isinstance(each, NotFoundError) for each in received] == [False, True, False]


class TestAPlan:
    def test_that_cannot_be_followed_is_refused(self) -> None:
        with pytest.raises(ValueError, match="prefetch=0"):
            Plan(prefetch=0)
        with pytest.raises(ValueError, match="on_error='ignore'"):
            Plan(on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="uneven='cut'"):
            Plan(uneven="cut")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class TestATally:
    def test_counts_what_was_handed_out_and_where_the_time_went(self, listing: Listing) -> None:
        counts = np.zeros(FIELDS, np.int64)
        assert len(list(stream(listing, tally=Tally(counts)).samples())) == COUNT
        stats = summed(counts)
        assert (stats.samples, stats.bytes, stats.skipped) == (COUNT, 10 * COUNT, 0)
        assert min(stats.wait_seconds, stats.fetch_seconds, stats.use_seconds) > 0

    def test_adds_up_the_lines_of_all_workers(self) -> None:
        counts = lines(np.zeros(LINES * FIELDS, np.int64))
        for worker in (None, 0, 1, 63):
            Tally(line_of(counts, worker)).handed_out(10)
        assert np.count_nonzero(counts[:, 0]) == 4
        assert summed(counts).bytes == 40

    @pytest.mark.parametrize(("waited", "used", "bottleneck"), [(2.0, 1.0, "storage"), (1.0, 2.0, "consumer")])
    def test_tells_who_waits_for_whom(self, waited: float, used: float, bottleneck: str) -> None:
        assert LoadStats(1, 1, 0, waited, 9.0, used).bottleneck == bottleneck


@pytest.fixture(scope="class")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """Twenty files that no test changes."""
    root = tmp_path_factory.mktemp("twenty")
    for index in range(COUNT):
        (root / f"{index:02}").write_bytes(bytes([index]) * 10)
    return list_samples(f"file://{root}/")
