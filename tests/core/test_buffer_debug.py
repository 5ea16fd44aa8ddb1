"""Memory that is watched: who uses a buffer after its release is told so, and nobody else notices."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import s3dlio
from s3dlio.buffer import BytesView, Pool, WatchedPool, lease, watch

MIB = 1 << 20
SIZES = [1, 700, 100_000, MIB + 5, 9 * MIB]


@pytest.fixture
def watched() -> Iterator[None]:
    """Watch released memory during a test."""
    watch(True)
    yield
    watch(False)


def released(size: int) -> int:
    """Return where a buffer was that has gone."""
    view = lease(size)
    view[:] = 1
    return view.ctypes.data


def leased_until_it_comes_back(size: int) -> None:
    """Use up all the time that released memory is kept aside."""
    for _ in range(3 + (64 * MIB) // size):
        lease(size)


@pytest.mark.usefixtures("watched")
class TestReleasedMemory:
    @pytest.mark.parametrize("size", SIZES)
    def test_holds_a_pattern_that_a_late_reader_sees(self, size: int) -> None:
        assert ctypes.string_at(released(size), size) == b"\xdb" * size

    @pytest.mark.parametrize("size", SIZES)
    def test_is_not_leased_again_at_once(self, size: int) -> None:
        where = released(size)
        assert where not in [lease(size).ctypes.data for _ in range(5)]

    @pytest.mark.parametrize("size", [MIB, 9 * MIB])
    def test_that_was_written_to_is_an_error_of_a_later_lease(self, size: int) -> None:
        ctypes.memset(released(size) + 12_345, 7, 3)
        with pytest.raises(s3dlio.S3dlioError, match=r"written to after its release: 3 bytes .* from byte 12345 on"):
            leased_until_it_comes_back(size)
        leased_until_it_comes_back(size)

    def test_that_was_left_alone_is_leased_again(self) -> None:
        where = released(9 * MIB)
        later = [released(9 * MIB) for _ in range(30)]
        assert where not in later[:5]
        assert where in later

    def test_in_use_holds_what_was_written(self) -> None:
        views = [lease(size) for size in SIZES]
        for mark, view in enumerate(views):
            view[:] = mark
        for size in SIZES:
            released(size)
        assert all((np.asarray(view) == mark).all() for mark, view in enumerate(views))


class TestTheSwitch:
    def pool(self) -> type[Pool]:
        """Return the kind of pool that serves leases."""
        where = released(9 * MIB)
        return WatchedPool if ctypes.string_at(where, 100) == b"\xdb" * 100 else Pool

    def test_is_a_setting(self) -> None:
        assert self.pool() is Pool
        s3dlio.configure(debug_buffers=True)
        assert self.pool() is WatchedPool
        s3dlio.configure(debug_buffers=False)
        assert self.pool() is Pool

    def test_is_a_variable_of_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        uri = f"file://{tmp_path}/object"
        monkeypatch.setenv("S3DLIO_DEBUG_BUFFERS", "1")
        s3dlio.reset()
        s3dlio.put(uri, b"content")
        assert s3dlio.get(uri) == b"content"
        assert self.pool() is WatchedPool
        monkeypatch.delenv("S3DLIO_DEBUG_BUFFERS")
        s3dlio.reset()
        assert s3dlio.get(uri) == b"content"
        assert self.pool() is Pool

    @pytest.mark.parametrize("size", SIZES)
    def test_leaves_views_in_use_as_they_are(self, size: int) -> None:
        before = lease(size)
        before[:] = 3
        watch(True)
        during = lease(size)
        during[:] = 4
        watch(False)
        assert bytes(before[:5]) == b"\x03" * min(5, size)
        assert bytes(during[:5]) == b"\x04" * min(5, size)
        del before, during
        assert isinstance(lease(size), BytesView)

    def test_does_not_change_what_is_read(self, tmp_path: Path) -> None:
        uris = [f"file://{tmp_path}/{number}" for number in range(40)]
        contents = [bytes([number]) * (number * 10_007) for number in range(40)]
        s3dlio.put_many(zip(uris, contents, strict=True))
        s3dlio.configure(debug_buffers=True)
        try:
            for _ in range(5):
                assert s3dlio.get_many(uris) == contents
        finally:
            s3dlio.reset()
            watch(False)


def test_what_is_kept_aside_is_bounded() -> None:
    pool = WatchedPool(8 * MIB)
    slabs = [pool.take(size) for size in [3 * MIB, 700, 2 * MIB] * 5]
    for slab in slabs:
        pool.give(slab)
        assert sum(each.capacity for each in pool.aside) <= 8 * MIB
