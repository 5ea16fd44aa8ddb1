"""BytesView: memory that others alias, that comes back when the last of them has gone, and that behaves like bytes."""

from __future__ import annotations

import gc
import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s3dlio
from s3dlio.buffer import BytesView, Pool, lease

MIB = 1 << 20
SIZES = [1, 63, 64, 511, 512, 513, 4095, 4096, 4097, 100_000, MIB - 1, MIB, MIB + 1, 5 * MIB, 9 * MIB + 7]
RARE = 7 * MIB + 12_345  # bytes; a size class that nothing else here uses


def view_of(data: bytes) -> BytesView:
    """Return a view that holds these bytes."""
    view = lease(len(data))
    view[:] = np.frombuffer(data, np.uint8) if data else []
    return view


def address(exported: Any) -> int:
    """Return where the memory of a buffer begins."""
    return int(np.frombuffer(exported, np.uint8).ctypes.data)


class TestAliases:
    def test_numpy_shares_the_memory(self) -> None:
        view = view_of(np.arange(16, dtype=np.float32).tobytes())
        array = np.frombuffer(view, dtype=np.float32)
        assert array.ctypes.data == view.ctypes.data
        array[0] = 42
        assert view[:4] == np.float32(42).tobytes()

    @pytest.mark.parametrize("size", SIZES)
    def test_numpy_takes_it_by_dlpack(self, size: int) -> None:
        view = lease(size)
        array = np.from_dlpack(view)
        assert array.ctypes.data == view.ctypes.data
        assert (array.dtype.name, array.shape) == ("uint8", (size,))

    def test_it_is_writable_memory_of_bytes(self) -> None:
        memory = memoryview(lease(10))
        assert (memory.readonly, memory.format, memory.ndim, memory.nbytes) == (False, "B", 1, 10)

    @pytest.mark.parametrize("size", SIZES)
    def test_it_begins_at_a_multiple_of_64_and_of_4096_from_one_mebibyte_on(self, size: int) -> None:
        for view in [lease(size) for _ in range(3)]:
            assert len(view) == size
            assert view.ctypes.data % 64 == 0
            assert size < MIB or view.ctypes.data % 4096 == 0


EXPORTS: dict[str, Callable[[BytesView], Any]] = {
    "the view": lambda view: view,
    "slice": lambda view: view[100:200],
    "last byte": lambda view: view[-1:],
    "memoryview": memoryview,
    "its memoryview": BytesView.memoryview,
    "slice of a memoryview": lambda view: memoryview(view)[5:10],
    "cast memoryview": lambda view: memoryview(view)[:80].cast("d"),
    "numpy": lambda view: np.frombuffer(view, np.uint8),
    "numpy as floats": lambda view: np.frombuffer(view[:400], np.float32).reshape(10, 10),
    "numpy asarray": np.asarray,
    "dlpack": np.from_dlpack,
    "capsule of dlpack": lambda view: view.__dlpack__(),
    "iterator": iter,
    "pickle buffer": pickle.PickleBuffer,
}


class TestRecycling:
    @pytest.mark.parametrize("kind", EXPORTS)
    def test_memory_comes_back_exactly_when_the_last_export_has_gone(self, kind: str) -> None:
        view = lease(RARE)
        where = view.ctypes.data
        exported = EXPORTS[kind](view)
        del view
        others = [lease(RARE), lease(RARE)]
        assert where not in [other.ctypes.data for other in others]
        del exported
        assert lease(RARE).ctypes.data == where

    def test_memory_stays_while_one_of_many_exports_is_left(self) -> None:
        view = lease(RARE)
        where = view.ctypes.data
        exported = [export(view) for export in EXPORTS.values()]
        del view
        while exported:
            assert lease(RARE).ctypes.data != where
            exported.pop()
        assert lease(RARE).ctypes.data == where

    def test_an_export_that_is_part_of_a_cycle_gives_its_memory_back_when_that_is_collected(self) -> None:
        cycle: list[Any] = [lease(RARE)]
        where = address(cycle[0])
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert lease(RARE).ctypes.data == where

    def test_what_get_returns_is_recycled(self, tmp_path: Path) -> None:
        s3dlio.put(f"file://{tmp_path}/object", bytes(RARE))
        first = s3dlio.get(f"file://{tmp_path}/object")
        where = first.ctypes.data
        del first
        assert s3dlio.get(f"file://{tmp_path}/object").ctypes.data == where

    def test_no_two_views_in_use_share_memory(self) -> None:
        def work(mark: int) -> None:
            for turn in range(200):
                views = [lease(700 + turn) for _ in range(5)]
                for view in views:
                    view[:] = mark
                assert all((np.asarray(view) == mark).all() for view in views)

        with ThreadPoolExecutor(8) as pool:
            for outcome in [pool.submit(work, mark) for mark in range(8)]:
                outcome.result()

    def test_what_the_pool_keeps_is_bounded(self) -> None:
        pool = Pool(8 * MIB)
        slabs = [pool.take(size * MIB) for size in (3, 2, 3, 2, 3, 2)]
        for slab in slabs:
            pool.give(slab)
            assert sum(len(free) * size for size, free in pool.free.items()) <= 8 * MIB
        assert pool.take(2 * MIB).address == slabs[-1].address

    def test_a_slab_larger_than_the_bound_is_not_kept(self) -> None:
        pool = Pool(8 * MIB)
        pool.give(pool.take(9 * MIB))
        assert not any(pool.free.values())

    def test_small_slabs_are_bounded_by_class(self) -> None:
        pool = Pool(8 * MIB)
        slabs = [pool.take(60_000) for _ in range(1000)]
        for slab in slabs:
            pool.give(slab)
        assert len(pool.free[1 << 16]) == 512

    def test_more_memory_than_there_is_is_an_error_of_ours(self) -> None:
        with pytest.raises(s3dlio.S3dlioError, match="bytes of memory"):
            lease(1 << 60)


class TestPickling:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("data", [b"", b"content", bytes(range(256)) * 5000], ids=["empty", "small", "large"])
    def test_a_view_pickles_with_every_protocol(self, data: bytes, protocol: int) -> None:
        again = pickle.loads(pickle.dumps(view_of(data), protocol))
        assert type(again) is BytesView
        assert bytes(again) == data
        again[:] = 1

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_parts_of_a_view_pickle(self, protocol: int) -> None:
        view = view_of(bytes(range(200)))
        for part in (view[3:50], view[10:10], view[::2]):
            again = pickle.loads(pickle.dumps(part, protocol))
            assert type(again) is BytesView
            assert again == part

    def test_out_of_band_nothing_is_copied(self) -> None:
        view = view_of(bytes(MIB))
        buffers: list[pickle.PickleBuffer] = []
        packed = pickle.dumps(view, 5, buffer_callback=buffers.append)
        again = pickle.loads(packed, buffers=buffers)
        assert len(packed) < 500
        assert type(again) is BytesView
        assert again.ctypes.data == view.ctypes.data

    def test_out_of_band_memory_that_is_read_only_is_copied_and_writable_again(self) -> None:
        view = view_of(b"content")
        packed = pickle.dumps(view, 5, buffer_callback=lambda buffer: None)
        again = pickle.loads(packed, buffers=[b"content"])
        again[0] = 0
        assert again == b"\0ontent"


class TestLikeBytes:
    def test_length_truth_and_copies(self) -> None:
        view = view_of(b"content")
        assert len(view) == 7
        assert bool(view) is True
        assert bytes(view) == view.to_bytes() == view.memoryview().tobytes() == b"content"
        assert type(view.to_bytes()) is bytes
        assert type(view.memoryview()) is memoryview

    def test_a_copy_is_a_copy(self) -> None:
        view = view_of(b"content")
        copied = view.to_bytes()
        view[:] = 0
        assert copied == b"content"

    @pytest.mark.parametrize(
        "other",
        [
            b"content",
            bytearray(b"content"),
            memoryview(b"content"),
            np.frombuffer(b"content", np.uint8),
            view_of(b"content"),
        ],
        ids=["bytes", "bytearray", "memoryview", "array", "view"],
    )
    def test_it_equals_any_buffer_of_the_same_bytes(self, other: Any) -> None:
        view = view_of(b"content")
        assert (view == other) is True
        assert (view != other) is False
        assert (view == bytes(other)[:-1]) is False
        assert (view != bytes(other) + b"!") is True

    @pytest.mark.parametrize("other", ["content", 5, None, [99], object()])
    def test_it_equals_nothing_else(self, other: Any) -> None:
        assert (view_of(b"c") == other) is False
        assert (view_of(b"c") != other) is True

    def test_it_has_no_hash_because_it_can_change(self) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(view_of(b"content"))

    def test_decode(self) -> None:
        assert view_of("é ー".encode()).decode() == "é ー"
        assert view_of("é".encode("latin-1")).decode("latin-1") == "é"
        assert view_of(b"a\xff").decode(errors="replace") == "a\ufffd"
        with pytest.raises(UnicodeDecodeError):
            view_of(b"\xff").decode()
        assert lease(0).decode() == ""

    def test_a_short_view_shows_its_bytes_and_a_long_one_its_length(self) -> None:
        assert repr(view_of(b"Hello, World!")) == str(view_of(b"Hello, World!")) == "b'Hello, World!'"
        shown = repr(view_of(b"x" * 10_000))
        assert "10000 bytes" in shown
        assert len(shown) < 100
        assert repr(lease(0)) == "b''"

    def test_an_index_gives_an_int(self) -> None:
        view = view_of(b"abc")
        assert [view[0], view[-1], view[np.int64(1)]] == [97, 99, 98]
        assert all(type(each) is int for each in (view[0], view[-1], *view))
        assert list(view) == [97, 98, 99]
        with pytest.raises(IndexError):
            view[3]

    def test_a_slice_is_a_view_of_the_same_memory(self) -> None:
        view = view_of(b"abcdef")
        part = view[1:4]
        assert type(part) is BytesView
        assert part == b"bcd"
        assert part.ctypes.data == view.ctypes.data + 1
        part[0] = ord("B")
        assert view == b"aBcdef"
        assert view[::2] == b"ace"
        assert view[10:] == b""

    def test_it_holds_bytes_and_runs_of_bytes(self) -> None:
        view = view_of(b"abcdef")
        assert b"cd" in view
        assert b"dc" not in view
        assert ord("f") in view
        assert 0 not in view

    def test_an_empty_view_is_empty(self) -> None:
        view = lease(0)
        assert not view
        assert len(view) == 0
        assert view == b""
        assert bytes(view) == view.to_bytes() == b""
        assert list(view) == []
        assert memoryview(view).nbytes == 0

    def test_it_is_written_to_a_file_and_read_through_a_stream(self, tmp_path: Path) -> None:
        view = view_of(b"content")
        (tmp_path / "file").write_bytes(view)
        assert (tmp_path / "file").read_bytes() == b"content"
        assert io.BytesIO(view).read() == b"content"
        assert b"".join([view, view]) == b"contentcontent"

    def test_arithmetic_gives_plain_arrays(self) -> None:
        total = view_of(b"\x01\x02") + 1
        assert type(total) is np.ndarray
        assert total.tolist() == [2, 3]
