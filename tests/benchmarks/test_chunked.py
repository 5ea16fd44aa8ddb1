"""Bodies in chunks, however they are cut on their way."""

import pytest

from benchmarks.chunked import Chunks, unchunk

BODY = b"5;chunk-signature=ab\r\nhello\r\n1\r\n\r\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(BODY) + 1))
def test_pieces_of_any_size_are_read(size: int) -> None:
    chunks = Chunks(keep=True)
    pieces = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert [chunks.feed(piece) for piece in pieces] == [None] * (len(pieces) - 1) + [b""]
    assert chunks.data == b"hello\r"


def test_what_follows_is_given_back() -> None:
    assert Chunks(keep=False).feed(BODY + b"PUT /") == b"PUT /"


def test_what_is_not_wanted_is_not_kept() -> None:
    chunks = Chunks(keep=False)
    assert chunks.feed(BODY) == b""
    assert chunks.data == b""


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x", b""])
def test_a_body_that_ends_elsewhere_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="does not end where it should"):
        unchunk(body)
