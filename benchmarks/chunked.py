"""How a body in chunks is framed: by HTTP (RFC 9112, 7.1) and, inside the body, by `aws-chunked`, which
looks the same.

A chunk is a hexadecimal size, extensions such as `;chunk-signature=…`, its bytes; after the one of size 0
come trailers and an empty line. Extensions and trailers are read over.
"""

from __future__ import annotations


class Chunks:
    """A reader of one chunked body that arrives in pieces. `data` is what it has decoded."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._pending = b""
        self._left = 0
        self._in_trailer = False

    def feed(self, piece: bytes) -> bytes | None:
        """Take the next piece. Returns None while the body goes on, and what follows it once it has ended."""
        self._pending += piece
        while True:
            if self._left:
                if not self._take_chunk():
                    return None
                continue
            line, found, rest = self._pending.partition(b"\r\n")
            if not found:
                return None
            self._pending = rest
            if self._in_trailer:
                if not line:
                    return rest
                continue
            self._start_chunk(line)

    def _take_chunk(self) -> bool:
        """Move what has come of the chunk; `_left` counts its bytes and the line end after them."""
        taken = self._pending[: self._left]
        self._pending = self._pending[len(taken) :]
        self.data += taken[: max(0, self._left - 2)]
        self._left -= len(taken)
        return self._left == 0

    def _start_chunk(self, line: bytes) -> None:
        size = int(line.partition(b";")[0], 16)
        self._in_trailer = size == 0
        self._left = size + 2 if size else 0


def unchunk(body: bytes) -> bytes:
    """Return what a whole chunked body holds.

    Raises:
        ValueError: the body is cut short, or something follows it.
    """
    chunks = Chunks()
    if chunks.feed(body) != b"":
        raise ValueError(f"a chunked body of {len(body)} bytes does not end where it should")
    return bytes(chunks.data)
