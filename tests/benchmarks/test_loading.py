"""The benchmarks of loading: a small epoch through the command, what is wrong with an epoch, and what the page says."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.content import payload
from benchmarks.harness import Failure
from benchmarks.loading import checkpoint_one, checkpoints, memory, report, run_one, stage, state
from benchmarks.loading.clients import BUCKET, KINDS, Epoch
from benchmarks.loading.harness import Effort, Outcome
from benchmarks.loading.rows import ROWS, Row, find
from benchmarks.loading.run_one import EpochNotReadError, Measurement, Reading
from tests.house.repository import ROOT

TINY = replace(find("100k-0"), size=4096, objects=8, distinct=4, batch=4)
OURS = [name for name, kind in KINDS.items() if kind.ours]


def run(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the benchmarks."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_reads_an_epoch_through_each_client_of_ours_and_writes(tmp_path: Path) -> None:
    clients = [word for name in OURS for word in ("--client", name)]
    rows = ["--only", "100k-0", "--only", "late-100k-2"]
    given = ["--own-origin", "--objects", "64", "--repetitions", "1", "--out", str(tmp_path)]
    done = run("benchmarks.loading", *clients, *rows, *given)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    assert [(each["row"], each["client"]) for each in document["measurements"]] == [
        (row, name) for row in ("100k-0", "late-100k-2") for name in OURS
    ]
    assert {(each["samples"], each["moved"]) for each in document["measurements"]} == {(64, 64 * 100 * 1024)}
    text = (tmp_path / "table.md").read_text()
    assert "## 100 KiB, no added latency" in text
    assert all(f"| {name} | 2 |" in text for name in OURS)


@pytest.mark.slow
def test_a_checkpoint_is_saved_and_loaded_through_both(tmp_path: Path) -> None:
    done = run("benchmarks.loading.checkpoints", "--quick", "--own-origin", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    assert {(each["verb"], each["client"]) for each in document["measurements"]} == {
        (verb, client) for verb in ("save", "load") for client in checkpoint_one.MODULES
    }
    assert {each["runs"] for each in document["summaries"]} == {1}
    assert "| load | s3dlio | 1 |" in (tmp_path / "table.md").read_text()


def test_each_row_has_a_name_of_its_own_and_a_client() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(any(kind.does(row) for kind in KINDS.values()) for row in ROWS)


def test_a_row_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no row is named 'nonsense': the rows are 100k-0"):
        find("nonsense")


def test_whoever_fetches_one_after_the_other_reads_a_part_of_a_late_epoch() -> None:
    kind = KINDS["s3torchconnector-map"]
    assert [kind.objects(find(name), 20_000) for name in ("100k-0", "late-100k-0", "late-100k-16")] == [
        20_000,
        2_000,
        20_000,
    ]


def reading(row: Row, batches: Iterable[Iterable[int]]) -> Reading:
    """Return what the loop keeps of batches of these objects."""
    tensors = [torch.stack([body(row, number) for number in batch]) for batch in batches]
    heads = [each[:, :8] for each in tensors]
    return Reading(heads=heads, last=tensors[-1], moved=sum(each.nbytes for each in tensors), first=0.0, wall=1.0)


def body(row: Row, number: int) -> Tensor:
    """Return an object as a tensor."""
    return torch.frombuffer(bytearray(payload(row.size, number)), dtype=torch.uint8)


def test_an_epoch_in_any_order_is_proved() -> None:
    run_one.prove(reading(TINY, [[3, 1, 2, 0], [0, 1, 2, 3]]), TINY, 8)


def test_a_missing_sample_is_seen() -> None:
    with pytest.raises(EpochNotReadError, match="7 samples of 28672 bytes where 8 of 32768 bytes were due"):
        run_one.prove(reading(TINY, [[0, 1, 2, 3], [0, 1, 2]]), TINY, 8)


def test_no_batches_at_all_are_seen() -> None:
    nothing = Reading(heads=[], last=torch.empty(0), moved=0, first=0.0, wall=1.0)
    with pytest.raises(EpochNotReadError, match="0 samples of 0 bytes"):
        run_one.prove(nothing, TINY, 8)


def test_a_sample_that_comes_twice_instead_of_another_is_seen() -> None:
    with pytest.raises(EpochNotReadError, match="more often than others"):
        run_one.prove(reading(TINY, [[0, 1, 2, 3], [0, 1, 2, 2]]), TINY, 8)


def test_a_wrong_byte_is_seen() -> None:
    found = reading(TINY, [[0, 1, 2, 3], [0, 1, 2, 3]])
    found.last[2, 4000] ^= 1
    with pytest.raises(EpochNotReadError, match="the bytes of object 2 are not those"):
        run_one.prove(found, TINY, 8)


def test_tar_files_hold_the_same_samples(tmp_path: Path) -> None:
    row = replace(TINY, sharded=2)
    with stage.staged([row], {row.name: 7}, shards=True, own=True) as ready:
        bucket = ready.home / "tree" / BUCKET
        epoch = Epoch(row=row, endpoint=ready.prompt.endpoint, objects=7)
        assert [(bucket / key).read_bytes() for key in epoch.keys] == [payload(4096, n % 4) for n in range(7)]
        assert [address.rpartition("/")[2] for address in epoch.shards] == [f"{n:06d}.tar" for n in range(4)]
        archives = [bucket / f"{row.folder}-shards" / f"{n:06d}.tar" for n in range(4)]
        assert payload(4096, 3) in archives[1].read_bytes()
        assert archives[2].samefile(archives[0])
        assert not archives[3].samefile(archives[1])  # one sample is missing there


def test_memory_counts_a_process_and_its_children() -> None:
    child = "import sys; held = b'x' * (64 << 20); print(flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert len([*memory.descendants(process.pid)]) == 1
        assert memory.held(process.pid) > 64 << 20
        process.stdin.close()


def test_a_state_is_told_from_another() -> None:
    made = state.made(1)
    assert state.holds(made, 1)
    made["layer-07"][3] += 1
    assert not state.holds(made, 1)
    assert not state.holds(state.empty(1), 1)


def measurement(row: str, client: str, wall: float) -> Measurement:
    """Return a measurement of 1000 samples."""
    return Measurement(
        row=row, client=client, samples=1000, moved=10**8, wall=wall, first=0.1, cpu=wall, origin_cpu=wall / 4
    )


def test_the_page_compares_the_best_of_each_side() -> None:
    walls = [("100k-0", "s3dlio-map", 0.5), ("100k-2", "s3dlio-batches", 0.25), ("100k-0", "webdataset", 1.0)]
    done = [measurement(row, client, wall * turn) for row, client, wall in walls for turn in (1, 1, 9)]
    made = report.Run(
        machine=machine.describe("python -m benchmarks.loading", {"s3dlio": "1.2.3"}),
        rows=[find("100k-0"), find("100k-2")],
        outcome=Outcome(done, [Failure(row="100k-2", client="s3fs", words="KeyError: 'a|b'")]),
        left_out=["torchdata, in every row: it is not there"],
    )
    text = report.page(made)
    assert "## Goals: 1 of 1 met" in text
    assert (
        "| 4.00 × rate | s3dlio-batches, 2 workers: 4,000 samples/s | webdataset, 0 workers: 1,000 samples/s |" in text
    )
    assert "| s3dlio-map | 0 | 2,000 | 0.20 | 0.500 | 0 MiB | 100 ms | 25% | 1,000 | 3 |" in text
    assert "* 100 KiB, no added latency, 2 workers, s3fs: KeyError: 'a|b'\n" in text


def test_slow_clients_have_fewer_turns() -> None:
    effort = Effort(turns=3, slow=2)
    assert [effort.of(KINDS[name]) for name in ("s3dlio-map", "s3fs", "s3torchconnector-map")] == [3, 2, 2]


def test_a_checkpoint_is_judged_by_the_best_number_of_threads() -> None:
    done = [
        checkpoint_one.Measurement(
            verb="save", client=client, threads=threads, moved=10**9, wall=wall, cpu=1.0, server_cpu=0.5
        )
        for client, threads, wall in (("s3dlio", 1, 2.0), ("s3dlio", 4, 1.0), ("s3torchconnector", 1, 1.5))
    ]
    assert checkpoints.ratios(checkpoints.summarise(done)) == {"save": 1.5}
    assert [checkpoints.verdict(ratio) for ratio in (1.5, 1.2, None)] == ["met", "missed", "not measured"]
