"""The bytes of the benchmarks: computed again, and compared without being made."""

import pytest

from benchmarks.content import holds, payload

SIZES = [1, 15, 16, 4096, 1 << 20, (1 << 20) + 7, 3 << 20]


@pytest.mark.parametrize("size", SIZES)
def test_a_payload_holds_itself(size: int) -> None:
    assert holds(payload(size, 3), size, 3)
    assert holds(memoryview(payload(size, 3)), size, 3)


@pytest.mark.parametrize("size", SIZES[2:])
def test_another_object_is_seen(size: int) -> None:
    assert not holds(payload(size, 4), size, 3)


@pytest.mark.parametrize("at", [0, 15, 16, 4095, 1 << 20, (2 << 20) - 1, (3 << 20) - 1])
def test_one_changed_byte_is_seen(at: int) -> None:
    body = bytearray(payload(3 << 20, 0))
    body[at] ^= 1
    assert not holds(body, len(body), 0)


def test_swapped_mebibytes_are_seen() -> None:
    body = payload(2 << 20, 0)
    assert not holds(body[1 << 20 :] + body[: 1 << 20], len(body), 0)


@pytest.mark.parametrize("body", [b"", payload(4095, 0), payload(4097, 0)])
def test_another_length_is_seen(body: bytes) -> None:
    assert not holds(body, 4096, 0)
