"""Ranges: the bytes asked for, short at the end, empty behind it, the same on every backend (F9)."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

import s3dlio
from s3dlio.errors import NotFoundError
from tests.promises.place import Place, content

SIZE = 10_000
RANGES = [
    pytest.param(0, None, id="all of it"),
    pytest.param(0, SIZE, id="exactly all of it"),
    pytest.param(0, SIZE + 1, id="one more than there is"),
    pytest.param(0, 1, id="the first byte"),
    pytest.param(4096, 4096, id="the middle"),
    pytest.param(4097, 777, id="the middle, unaligned"),
    pytest.param(9000, None, id="to the end"),
    pytest.param(9000, 5000, id="past the end"),
    pytest.param(SIZE - 1, None, id="the last byte"),
    pytest.param(SIZE - 1, 1, id="the last byte by length"),
    pytest.param(SIZE, None, id="at the end"),
    pytest.param(SIZE, 10, id="at the end by length"),
    pytest.param(SIZE + 1, None, id="behind the end"),
    pytest.param(SIZE * 1000, 10, id="far behind the end"),
    pytest.param(1 << 40, None, id="farther than any object"),
    pytest.param(0, 0, id="nothing"),
    pytest.param(5, 0, id="nothing in the middle"),
    pytest.param(SIZE + 5, 0, id="nothing behind the end"),
    pytest.param(3, 1 << 40, id="more than memory"),
]
NEGATIVE = [(-1, None), (-1, 5), (0, -1), (5, -5)]
NO_NUMBERS: list[tuple[Any, Any]] = [("0", None), (0.0, None), (None, None), (True, None), (0, "5"), (0, 5.0)]


class Ranges(Place):
    """Parts of one object."""

    @pytest.mark.parametrize(("offset", "length"), RANGES)
    def test_a_range_is_what_slicing_gives(self, offset: int, length: int | None) -> None:
        data = content(SIZE)
        s3dlio.put(self.uri("object"), data)
        end = None if length is None else offset + length
        assert bytes(s3dlio.get_range(self.uri("object"), offset, length)) == data[offset:end]
        assert bytes(s3dlio.get_range(self.uri("object"), offset=offset, length=length)) == data[offset:end]

    @pytest.mark.parametrize(("offset", "length"), [(0, None), (0, 1), (0, 0), (1, None), (7, 7)])
    def test_every_range_of_an_empty_object_is_empty(self, offset: int, length: int | None) -> None:
        s3dlio.put(self.uri("empty"), b"")
        assert bytes(s3dlio.get_range(self.uri("empty"), offset, length)) == b""

    @pytest.mark.parametrize(("offset", "length"), NEGATIVE)
    def test_a_negative_range_is_a_value_error(self, offset: int, length: int | None) -> None:
        with pytest.raises(ValueError, match="must be 0 or more, not -"):
            s3dlio.get_range(self.uri("missing"), offset, length)

    @pytest.mark.parametrize(("offset", "length"), NO_NUMBERS)
    def test_what_is_no_number_of_bytes_is_a_type_error(self, offset: Any, length: Any) -> None:
        with pytest.raises(TypeError, match="must be an int"):
            s3dlio.get_range(self.uri("missing"), offset, length)

    @pytest.mark.parametrize(("offset", "length"), [(0, None), (5, 5)])
    def test_a_range_of_a_missing_object_is_an_error(self, offset: int, length: int | None) -> None:
        with pytest.raises(NotFoundError, match="missing"):
            s3dlio.get_range(self.uri("missing"), offset, length)

    def test_get_into_fills_a_bytearray_and_tells_how_far(self) -> None:
        s3dlio.put(self.uri("object"), content(1000))
        buffer = bytearray(b"*" * 1500)
        assert s3dlio.get_into(self.uri("object"), buffer) == 1000
        assert buffer == content(1000) + b"*" * 500

    def test_get_into_a_short_buffer_reads_only_what_fits(self) -> None:
        s3dlio.put(self.uri("object"), content(1000))
        buffer = bytearray(10)
        assert s3dlio.get_into(self.uri("object"), buffer) == 10
        assert buffer == content(1000)[:10]

    @pytest.mark.parametrize("offset", [0, 1, 990, 999, 1000, 5000])
    def test_get_into_begins_at_the_offset(self, offset: int) -> None:
        s3dlio.put(self.uri("object"), content(1000))
        buffer = bytearray(b"*" * 100)
        count = s3dlio.get_into(self.uri("object"), buffer, offset=offset)
        expected = content(1000)[offset : offset + 100]
        assert count == len(expected)
        assert buffer == expected + b"*" * (100 - count)

    def test_get_into_fills_the_memory_of_an_array(self) -> None:
        numbers = np.arange(100.0).reshape(10, 10)
        s3dlio.put(self.uri("object"), numbers)
        memory = np.zeros((10, 10))
        assert s3dlio.get_into(self.uri("object"), memory) == numbers.nbytes
        np.testing.assert_array_equal(memory, numbers)

    def test_get_into_fills_part_of_a_buffer(self) -> None:
        s3dlio.put(self.uri("object"), b"content")
        buffer = bytearray(20)
        assert s3dlio.get_into(self.uri("object"), memoryview(buffer)[5:]) == 7
        assert buffer == b"\0" * 5 + b"content" + b"\0" * 8

    @pytest.mark.parametrize("buffer", [bytearray(), np.empty((0, 4))], ids=["bytearray", "array"])
    def test_get_into_nothing_reads_nothing(self, buffer: Any) -> None:
        s3dlio.put(self.uri("object"), b"content")
        assert s3dlio.get_into(self.uri("object"), buffer) == 0

    @pytest.mark.parametrize("buffer", [b"constant", memoryview(b"constant")], ids=["bytes", "memoryview"])
    def test_get_into_refuses_memory_that_cannot_be_written(self, buffer: Any) -> None:
        with pytest.raises(ValueError, match="read-only"):
            s3dlio.get_into(self.uri("missing"), buffer)

    def test_get_into_refuses_memory_with_gaps(self) -> None:
        with pytest.raises(ValueError, match="contiguous"):
            s3dlio.get_into(self.uri("missing"), np.zeros(10)[::2])

    @pytest.mark.parametrize("buffer", ["text", 5, None])
    def test_get_into_refuses_what_is_no_buffer(self, buffer: Any) -> None:
        with pytest.raises(TypeError, match="buffer"):
            s3dlio.get_into(self.uri("missing"), buffer)

    @pytest.mark.parametrize(("offset", "kind"), [(-1, ValueError), ("0", TypeError), (None, TypeError)])
    def test_get_into_refuses_an_offset_that_is_none(self, offset: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind, match="offset"):
            s3dlio.get_into(self.uri("missing"), array.array("B", [0]), offset)

    def test_get_into_of_a_missing_object_leaves_the_buffer(self) -> None:
        buffer = bytearray(b"untouched")
        with pytest.raises(NotFoundError, match="missing"):
            s3dlio.get_into(self.uri("missing"), buffer)
        assert buffer == b"untouched"
