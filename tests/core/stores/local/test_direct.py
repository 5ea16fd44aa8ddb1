"""direct://: whole blocks past the page cache, any range all the same, and never a byte beside its place."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3dlio.buffer import lease
from s3dlio.stores import direct
from s3dlio.stores.direct import DirectStore
from tests.core.stores.local.files import EVERYTHING, Files, run

SIZE = 3 * (1 << 20) + 777
CONTENT = np.random.default_rng(1).integers(0, 256, SIZE, dtype=np.uint8).tobytes()
GUARD = 4096


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A directory of direct:// alone."""
    return Files("direct", tmp_path)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A directory with one large object."""
    files = Files("direct", tmp_path_factory.mktemp("direct"))
    files.put("object", CONTENT)
    return files


@pytest.fixture
def device_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool, int]]:
    """Each read and write of file content: its name, whether it went past the page cache, and its length."""
    calls: list[tuple[str, bool, int]] = []
    preadv, pwrite = os.preadv, os.pwrite

    def is_direct(fd: int) -> bool:
        return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)

    def read(fd: int, to: Any, at: int) -> int:
        calls.append(("read", is_direct(fd), len(to[0])))
        return preadv(fd, to, at)

    def write(fd: int, data: memoryview, at: int) -> int:
        if len(data):
            calls.append(("write", is_direct(fd), len(data)))
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "preadv", read)
    monkeypatch.setattr(os, "pwrite", write)
    return calls


def refuse_direct(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Refuse O_DIRECT as a file system does that has never heard of it."""
    real = fcntl.fcntl

    def refuse(fd: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(code, os.strerror(code))
        return real(fd, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr("s3dlio.stores.direct._warned", set[int]())


class TestARead:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
    @given(
        offset=st.one_of(st.integers(0, SIZE + 10), st.sampled_from([0, 4096, 8192, 1 << 20])),
        length=st.one_of(st.integers(0, SIZE), st.sampled_from([1, 4095, 4096, 1 << 20, 2 << 20])),
        shift=st.sampled_from([0, 0, 1, 64, 511, 512, 4095]),
    )
    def test_gives_any_range_in_any_place_and_touches_nothing_beside_it(
        self, stored: Files, offset: int, length: int, shift: int
    ) -> None:
        memory = lease(SIZE + shift + 2 * GUARD)
        memory[:] = 0xA5
        start = GUARD + shift

        def place(size: int, length: int) -> memoryview:
            assert size == SIZE
            part: memoryview = memory[start : start + length].data
            return part

        received = run(stored.store.read(stored.uri("object"), offset, length, place))
        expected = CONTENT[offset : offset + length]
        assert received.length == len(expected)
        assert memory[start : start + received.length] == expected
        assert not (np.asarray(memory[:start]) != 0xA5).any()
        assert not (np.asarray(memory[start + received.length :]) != 0xA5).any()

    def test_of_whole_blocks_goes_straight_to_its_place(
        self, stored: Files, device_calls: list[tuple[str, bool, int]]
    ) -> None:
        assert stored.get("object", 4096, 2 << 20) == CONTENT[4096 : 4096 + (2 << 20)]
        assert device_calls == [("read", True, 2 << 20)]

    def test_of_a_large_object_takes_only_its_last_block_by_another_way(
        self, stored: Files, device_calls: list[tuple[str, bool, int]]
    ) -> None:
        assert stored.get("object") == CONTENT
        assert device_calls == [("read", True, SIZE // 4096 * 4096), ("read", True, 4096)]

    def test_of_a_small_object_is_one_read(self, files: Files, device_calls: list[tuple[str, bool, int]]) -> None:
        files.put("small", CONTENT[:5000])
        device_calls.clear()
        assert files.get("small") == CONTENT[:5000]
        assert device_calls == [("read", True, 8192)]

    def test_F5_that_stops_inside_a_block_is_finished_through_the_page_cache(
        self, stored: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.preadv
        monkeypatch.setattr(os, "preadv", lambda fd, to, at: real(fd, (to[0][: 4096 + 512],), at))
        assert stored.get("object", 0, 1 << 20) == CONTENT[: 1 << 20]
        assert stored.get("object", 5, 100_000) == CONTENT[5:100_005]


class TestAWrite:
    @pytest.mark.parametrize("shift", [0, 1, 16])
    @pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 5 << 20, (5 << 20) + 1])
    def test_takes_data_from_anywhere(self, files: Files, size: int, shift: int) -> None:
        memory = lease(size + shift)
        memory[:] = np.random.default_rng(size).integers(0, 256, size + shift, dtype=np.uint8)
        run(files.store.write(files.uri("object"), memory[shift:].data))
        assert (files.directory / "object").read_bytes() == memory[shift:].to_bytes()

    def test_sends_whole_blocks_past_the_page_cache_and_the_rest_through_it(
        self, files: Files, device_calls: list[tuple[str, bool, int]]
    ) -> None:
        memory = lease(SIZE)
        run(files.store.write(files.uri("object"), memory.data))
        assert device_calls == [("write", True, SIZE // 4096 * 4096), ("write", False, SIZE % 4096)]

    def test_of_a_part_leaves_the_bytes_of_its_neighbours(self, files: Files) -> None:
        edges = [0, 5, 5000, 9000, 20_480, 40_961, 100_000]
        upload = run(files.store.start_upload(files.uri("object"), edges[-1]))
        spans = list(enumerate(pairwise(edges), 1))
        parts = [
            run(files.store.write_part(upload, number, start, memoryview(CONTENT)[start:end]))
            for number, (start, end) in reversed(spans)
        ]
        run(files.store.complete_upload(upload, parts))
        assert files.get("object") == CONTENT[: edges[-1]]

    def test_F5_that_stops_inside_a_block_is_finished_through_the_page_cache(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[: 4096 + 512], at))
        files.put("object", CONTENT[:100_001])
        assert files.get("object") == CONTENT[:100_001]


class TestWhereODirectIsRefused:
    @pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
    def test_F7_the_page_cache_serves_and_one_warning_says_so(
        self, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
    ) -> None:
        refuse_direct(monkeypatch, code)
        with caplog.at_level(logging.WARNING, logger="s3dlio"):
            for name in ("a", "b"):
                files.put(name, CONTENT)
                assert files.get(name) == CONTENT
                assert files.get(name, 5, 9000) == CONTENT[5:9005]
        (record,) = caplog.records
        assert record.name == "s3dlio"
        assert "does not allow O_DIRECT" in record.getMessage()

    def test_F7_the_cache_is_asked_to_forget_what_was_read(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        files.put("object", CONTENT)
        refuse_direct(monkeypatch, errno.EINVAL)
        advice: list[tuple[int, int, int]] = []
        monkeypatch.setattr(os, "posix_fadvise", lambda fd, start, size, kind: advice.append((start, size, kind)))
        files.get("object", 4096, 8192)
        assert advice == [(4096, 8192, os.POSIX_FADV_DONTNEED)]

    @pytest.mark.parametrize("call", ["preadv", "pwrite"])
    def test_F7_and_it_shows_only_in_the_transfer_the_page_cache_serves(
        self, files: Files, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        real = getattr(os, call)

        def refuse(fd: int, data: Any, at: int) -> int:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
                raise OSError(errno.EINVAL, "not aligned")
            count: int = real(fd, data, at)
            return count

        monkeypatch.setattr("s3dlio.stores.direct._warned", set[int]())
        monkeypatch.setattr(os, call, refuse)
        files.put("object", CONTENT)
        assert files.get("object") == CONTENT

    def test_other_errors_are_not_taken_for_a_refusal(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> int:
            raise OSError(errno.EIO, "broken disk")

        files.put("object", CONTENT)
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(OSError, match="broken disk"):
            files.get("object")


class TestOnATmpfs:
    @pytest.fixture
    def files(self) -> Iterator[Files]:
        """A directory in memory, where the kernel names no alignment and older ones refuse O_DIRECT."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            yield Files("direct", Path(directory))

    @pytest.mark.parametrize("size", [0, 1, 4096, 5000, SIZE])
    def test_F7_the_round_trip_holds(self, files: Files, size: int) -> None:
        files.put("object", CONTENT[:size])
        assert files.get("object", 0, EVERYTHING) == CONTENT[:size]
        assert files.get("object", 100, 5000) == CONTENT[:size][100:5100]


class TestTheAlignment:
    @pytest.mark.parametrize(
        ("memory", "block", "expected"),
        [(0, 0, (4096, 4096)), (4, 512, (4096, 4)), (512, 512, (4096, 512)), (4096, 16384, (16384, 4096))],
    )
    def test_is_what_the_kernel_says_and_at_least_a_page(
        self,
        files: Files,
        monkeypatch: pytest.MonkeyPatch,
        memory: int,
        block: int,
        expected: tuple[int, int],
    ) -> None:
        class Kernel:
            @staticmethod
            def statx(fd: int, path: bytes, flags: int, mask: int, answer: Any) -> int:
                answer[0x98:0xA0] = memory.to_bytes(4, "little") + block.to_bytes(4, "little")
                return 0

        def kernel(_: None) -> Kernel:
            return Kernel()

        monkeypatch.setattr(ctypes, "CDLL", kernel)
        monkeypatch.setattr("s3dlio.stores.direct._alignments", {})
        files.put("object", CONTENT)
        (found,) = vars(direct)["_alignments"].values()
        assert (found.block, found.memory) == expected
        assert files.get("object") == CONTENT
        assert files.get("object", 7, 100_000) == CONTENT[7:100_007]


def test_parts_of_a_large_object_are_whole_blocks() -> None:
    assert DirectStore.limits.part_size % 4096 == 0
    assert DirectStore.limits.smallest_part % 4096 == 0
