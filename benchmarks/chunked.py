"""How a body in chunks is framed: by HTTP (RFC 9112, 7.1) and, inside the body, by `aws-chunked`, which
looks the same.

A chunk is a hexadecimal size, extensions such as `;chunk-signature=…`, its bytes; after the one of size 0
come trailers and an empty line. Extensions and trailers are read over. The work is linear in the bytes.
"""

from __future__ import annotations


class Chunks:
    """A reader of one chunked body that arrives in pieces. `data` is what it has decoded, if it is to keep it."""

    def __init__(self, *, keep: bool) -> None:
        self.data = bytearray()
        self._keep = keep
        self._pending = b""
        self._left = 0
        self._in_trailer = False

    def feed(self, piece: bytes) -> bytes | None:
        """Take the next piece. Returns None while the body goes on, and what follows it once it has ended."""
        pending, self._pending = self._pending + piece, b""
        at = 0
        while at < len(pending):
            if self._left:
                at += self._take(memoryview(pending)[at : at + self._left])
                continue
            end = pending.find(b"\r\n", at)
            if end < 0:
                self._pending = pending[at:]
                return None
            line, at = pending[at:end], end + 2
            if not self._in_trailer:
                self._start_chunk(line)
            elif not line:
                return pending[at:]
        return None

    def _take(self, piece: memoryview) -> int:
        """Take what has come of the chunk; `_left` counts its bytes and the line end after them."""
        if self._keep:
            self.data += piece[: max(0, self._left - 2)]
        self._left -= len(piece)
        return len(piece)

    def _start_chunk(self, line: bytes) -> None:
        size = int(line.partition(b";")[0], 16)
        self._in_trailer = size == 0
        self._left = size + 2 if size else 0


def unchunk(body: bytes) -> bytes:
    """Return what a whole chunked body holds.

    Raises:
        ValueError: the body is cut short, or something follows it.
    """
    chunks = Chunks(keep=True)
    if chunks.feed(body) != b"":
        raise ValueError(f"a chunked body of {len(body)} bytes does not end where it should")
    return bytes(chunks.data)
