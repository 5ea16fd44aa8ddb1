"""One object: what is put comes back, from any buffer, whole or not at all."""

from __future__ import annotations

import array
import mmap
from typing import Any

import numpy as np
import pytest

import s3dlio
from s3dlio.errors import NotFoundError, PreconditionFailedError
from tests.promises.place import MIB, Place, content, digest

BUFFERS: dict[str, Any] = {
    "bytes": b"some bytes",
    "empty bytes": b"",
    "bytearray": bytearray(b"some bytes"),
    "memoryview": memoryview(b"some bytes")[2:7],
    "memoryview of words": memoryview(array.array("q", [1, -2, 3])),
    "array": array.array("d", [1.5, -2.5]),
    "bool": np.array([True, False, True]),
    "uint8": np.arange(200, dtype=np.uint8),
    "float16": np.linspace(0, 1, 33, dtype=np.float16),
    "float64 in two dimensions": np.arange(12.0).reshape(3, 4),
    "big-endian": np.arange(5, dtype=">i4"),
    "complex": np.array([1 + 2j, 3 - 4j]),
    "text": np.array(["a", "bcd"]),
    "records": np.array([(1, 2.5), (3, 4.5)], dtype=[("number", "i4"), ("value", "f8")]),
    "no rows": np.empty((0, 3), dtype=np.float32),
    "no dimensions": np.array(7.0),
    "read-only": np.frombuffer(b"read only", dtype=np.uint8),
}
STRIDED: dict[str, Any] = {
    "memoryview": memoryview(b"every second byte")[::2],
    "rows": np.arange(20).reshape(4, 5)[:, 1:3],
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "backwards": np.arange(6)[::-1],
}
NO_BUFFERS: dict[str, Any] = {
    "text": "text",
    "number": 5,
    "nothing": None,
    "list": [1, 2],
    "dates": np.array(["2026-01-01"], dtype="datetime64[D]"),
}


def pages() -> mmap.mmap:
    """Return a mapping of one page, as shared memory is."""
    mapping = mmap.mmap(-1, 4096)
    mapping.write(b"a page")
    return mapping


class Objects(Place):
    """One object, put and read back."""

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, MIB, MIB + 1, 8 * MIB + 1])
    def test_what_is_put_comes_back(self, size: int) -> None:
        data = content(size)
        s3dlio.put(self.uri("object"), data)
        view = s3dlio.get(self.uri("object"))
        assert isinstance(view, s3dlio.BytesView)
        assert digest(view) == digest(data)
        assert s3dlio.stat(self.uri("object"))["size"] == size

    def test_a_large_object_goes_as_parts_and_comes_as_ranges(self) -> None:
        data, uri = content(self.large), self.uri("large")
        s3dlio.put(uri, data)
        assert s3dlio.stat(uri)["size"] == self.large
        assert digest(s3dlio.get(uri)) == digest(data)
        assert digest(s3dlio.get_range(uri, 3, self.large - 5)) == digest(data[3:-2])
        assert digest(s3dlio.get_range(uri, MIB + 7)) == digest(data[MIB + 7 :])
        memory = np.zeros(self.large, dtype=np.uint8)
        assert s3dlio.get_into(uri, memory) == self.large
        assert digest(memory) == digest(data)

    @pytest.mark.parametrize("kind", BUFFERS)
    def test_any_contiguous_buffer_is_stored_as_its_bytes(self, kind: str) -> None:
        buffer = BUFFERS[kind]
        s3dlio.put(self.uri("object"), buffer)
        assert bytes(s3dlio.get(self.uri("object"))) == memoryview(buffer).tobytes()

    def test_a_mapping_is_stored_as_its_bytes(self) -> None:
        with pages() as mapping:
            s3dlio.put(self.uri("object"), mapping)
        assert s3dlio.get(self.uri("object")) == b"a page".ljust(4096, b"\0")

    def test_what_get_returned_is_stored_again(self) -> None:
        s3dlio.put(self.uri("first"), content(5000))
        s3dlio.put(self.uri("second"), s3dlio.get(self.uri("first")))
        assert bytes(s3dlio.get(self.uri("second"))) == content(5000)

    @pytest.mark.parametrize("kind", STRIDED)
    def test_a_buffer_with_gaps_is_refused(self, kind: str) -> None:
        with pytest.raises(ValueError, match="contiguous"):
            s3dlio.put(self.uri("object"), STRIDED[kind])
        assert not s3dlio.exists(self.uri("object"))

    @pytest.mark.parametrize("kind", NO_BUFFERS)
    def test_what_is_no_buffer_is_refused(self, kind: str) -> None:
        with pytest.raises(TypeError, match="buffer"):
            s3dlio.put(self.uri("object"), NO_BUFFERS[kind])
        assert not s3dlio.exists(self.uri("object"))

    def test_put_and_put_bytes_are_the_same_and_return_nothing(self) -> None:
        results: list[object] = [
            s3dlio.put(self.uri("a"), b"same"),  # type: ignore[func-returns-value]  # that it returns none is the point
            s3dlio.put_bytes(self.uri("b"), b"same"),  # type: ignore[func-returns-value]  # likewise
        ]
        assert results == [None, None]
        assert s3dlio.get(self.uri("a")) == s3dlio.get(self.uri("b")) == b"same"

    def test_an_object_is_replaced_as_a_whole(self) -> None:
        s3dlio.put(self.uri("object"), b"a long content")
        s3dlio.put(self.uri("object"), b"short")
        assert s3dlio.get(self.uri("object")) == b"short"
        assert s3dlio.stat(self.uri("object"))["size"] == 5

    @pytest.mark.parametrize("put", [s3dlio.put, s3dlio.put_bytes])
    def test_create_only_stores_a_new_object(self, put: Any) -> None:
        put(self.uri("object"), b"new", if_none_match=True)
        assert s3dlio.get(self.uri("object")) == b"new"

    @pytest.mark.parametrize("put", [s3dlio.put, s3dlio.put_bytes])
    def test_create_only_refuses_an_existing_object_and_leaves_it(self, put: Any) -> None:
        put(self.uri("object"), b"old")
        with pytest.raises(PreconditionFailedError) as caught:
            put(self.uri("object"), b"new", if_none_match=True)
        assert caught.value.uri == self.uri("object")
        assert s3dlio.get(self.uri("object")) == b"old"

    def test_every_get_has_memory_of_its_own(self) -> None:
        s3dlio.put(self.uri("object"), b"shared by nobody")
        one, other = s3dlio.get(self.uri("object")), s3dlio.get(self.uri("object"))
        one[:] = b"*"[0]
        assert other == b"shared by nobody"
        assert s3dlio.get(self.uri("object")) == b"shared by nobody"

    def test_a_missing_object_is_an_error_that_names_it(self) -> None:
        with pytest.raises(NotFoundError, match="missing") as caught:
            s3dlio.get(self.uri("missing"))
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.uri == self.uri("missing")

    def test_get_object_is_get(self) -> None:
        s3dlio.put(self.uri("object"), b"content")
        assert s3dlio.get_object(self.uri("object")) == b"content"
