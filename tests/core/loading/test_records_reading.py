"""Reading records: neighbours are fetched together, and no more than is wanted."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s3dlio
from s3dlio import operations
from s3dlio.formats import tfrecord
from s3dlio.loading import Limits, Plan, Records, Table, Tally, table_of
from tests.core.loading.shards import TFRECORD, frame, frames
from tests.core.loading.streaming import gets, stream, table
from tests.core.oplog_lines import Log

KIB = 1 << 10


class TestReading:
    """Records of 1 KiB in three objects of a thousand."""

    @pytest.fixture
    def thousands(self, request: pytest.FixtureRequest, tmp_path: Path) -> Table:
        scheme = getattr(request, "param", "file")
        root = f"file://{tmp_path}/data/" if scheme == "file" else request.getfixturevalue("moto_s3").uri("data/")
        payloads = [number.to_bytes(8, "little") * 126 for number in range(3000)]
        for shard in range(3):
            here = payloads[shard * 1000 : (shard + 1) * 1000]
            s3dlio.put(f"{root}{shard}.tfrecord", b"".join(map(frame, here)))
            s3dlio.put(f"{root}{shard}.tfrecord.index", tfrecord.build_index(frames(here), "binary"))
        return table(root, TFRECORD)

    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("thousands", ["file", "s3"], indirect=True)
    def test_takes_a_request_for_each_object(self, thousands: Table, shuffle: bool, log: Log) -> None:
        taken = {index: bytes(data[12:20]) for index, data in stream(thousands, Plan(shuffle=shuffle)).samples()}
        assert taken == {number: number.to_bytes(8, "little") for number in range(3000)}
        requests = gets(log)
        assert len(requests) == 3
        assert sum(int(line["bytes"]) for line in requests) == 3000 * KIB

    def test_takes_about_a_request_for_each_block_of_a_shuffled_epoch(
        self, thousands: Table, monkeypatch: pytest.MonkeyPatch, log: Log
    ) -> None:
        for name, value in {"BLOCK": 64 * KIB, "GAP": 0, "UNITS": 1}.items():
            monkeypatch.setattr(f"s3dlio.loading.records._{name}", value)
        blocks = -(-3000 // 64)
        again = table_of(thousands.listing, "tfrecord")
        assert len({*indices_of(again, Plan(shuffle=True))}) == 3000
        requests = [line for line in gets(log) if line["file"].endswith(".tfrecord")]
        assert blocks / 4 < len(requests) < blocks + 8  # where objects begin, and where the epoch does
        assert sum(int(line["bytes"]) for line in requests) == 3000 * KIB

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_of_a_resumed_epoch_reads_nothing_but_what_is_left_and_gaps(
        self, thousands: Table, shuffle: bool, log: Log
    ) -> None:
        state = {"seed": 0, "epoch": 0, "samples": 3000, "position": 2000}
        resumed = stream(thousands, Plan(shuffle=shuffle))
        resumed.load_state_dict(state)
        assert len(list(resumed.samples())) == 1000
        requests = gets(log)
        assert len(requests) <= (60 if shuffle else 3)
        assert sum(int(line["bytes"]) for line in requests) <= (3000 if shuffle else 1000) * KIB

    def test_leaves_out_what_lies_far_apart(self, thousands: Table, log: Log) -> None:
        thousands.get([0, 30, 100, 999], Tally())
        assert sorted(int(line["bytes"]) for line in gets(log)) == [KIB, KIB, 31 * KIB]

    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("block", [64 * KIB, KIB], ids=["blocks", "single"])
    def test_holds_no_more_than_its_limits_and_what_is_mixed(
        self, thousands: Table, monkeypatch: pytest.MonkeyPatch, block: int, shuffle: bool
    ) -> None:
        """Where each record is a block, nothing has to be mixed, and a window is no larger than the limits."""
        limits, group, smallest = Limits(1000, 256 * KIB), 4, 16 * KIB
        for name, value in {"BLOCK": block, "GROUP": group, "GAP": 0, "SMALLEST": smallest}.items():
            monkeypatch.setattr(f"s3dlio.loading.records._{name}", value)
        records = Records(thousands.listing, columns_of(thousands), "tfrecord")
        asked = watched(monkeypatch)
        mixed = group * block if block > KIB else limits.bytes
        turns = enumerate(records.order(shuffle, 1).indices(0, np.arange(3000)).tolist())
        held: list[int] = []
        for number, (_, _, data) in enumerate(records.read(turns, limits, Tally())):
            assert len(data) == KIB
            held.append(sum(asked) - number * KIB)
        assert sum(asked) == 3000 * KIB
        assert max(held) <= limits.bytes + (mixed if shuffle else 0) + 2 * smallest

    def test_fetches_no_further_when_it_is_dropped(
        self, thousands: Table, monkeypatch: pytest.MonkeyPatch, log: Log
    ) -> None:
        monkeypatch.setattr("s3dlio.loading.records._LARGEST", 16 * KIB)
        monkeypatch.setattr("s3dlio.loading.records._SMALLEST", 16 * KIB)
        samples = stream(thousands, Plan(prefetch=4)).samples()
        next(samples)
        del samples
        for _ in range(5):  # other work: nothing of the dropped one comes along
            thousands.one(2999, Tally())
        requests = gets(log)
        assert len([line for line in requests if line["bytes"] == str(KIB)]) == 5
        assert len(requests) <= 5 + 4

    def test_of_a_record_counts_its_time(self, thousands: Table) -> None:
        counts = np.zeros(6, np.int64)
        thousands.one(0, Tally(counts))
        assert np.count_nonzero(counts) == 2


def indices_of(table: Table, plan: Plan) -> Iterator[int]:
    return (index for index, _ in stream(table, plan).samples())


def columns_of(table: Table) -> Any:
    assert isinstance(table, Records)
    return table.columns


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list that is to hold the length of each range that is asked for."""
    asked: list[int] = []
    get_range: Callable[[str, int, int | None], Any] = operations.get_range

    def counting(uri: str, offset: int, length: int | None) -> Any:
        asked.append(length or 0)
        return get_range(uri, offset, length)

    monkeypatch.setattr("s3dlio.operations.get_range", counting)
    return asked
