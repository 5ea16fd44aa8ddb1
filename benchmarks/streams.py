"""The two ways in which bytes come to the project's own origin: as they are, and sealed by TLS.

Invariant: a call takes or gives what can be had now, and raises `BlockingIOError` when that is nothing.
"""

from __future__ import annotations

import mmap
import socket
import ssl
from typing import Protocol

# Never touched, so it takes no memory: with MSG_TRUNC the kernel wants only its length.
_NOWHERE = mmap.mmap(-1, 64 << 20)
_RECORD = 16 << 10  # a TLS record holds no more (RFC 8446, 5.1)


class Stream(Protocol):
    """One connection, non-blocking. What it returns are numbers of bytes; 0 received means that it has ended."""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        ...

    def receive(self, into: bytearray) -> int:
        """Receive the next bytes."""
        ...

    def drop(self, size: int) -> int:
        """Receive at most `size` bytes and throw them away."""
        ...

    def send(self, data: memoryview) -> int:
        """Send what fits."""
        ...

    def holds_more(self) -> bool:
        """Return whether bytes have come that the kernel does not announce any more."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Plain:
    """A connection without TLS. Bytes that nobody wants stay in the kernel."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._sock.fileno()

    def receive(self, into: bytearray) -> int:
        """Receive the next bytes."""
        return self._sock.recv_into(into)

    def drop(self, size: int) -> int:
        """Let the kernel drop at most `size` bytes."""
        return self._sock.recv_into(_NOWHERE, min(size, len(_NOWHERE)), socket.MSG_TRUNC)

    def send(self, data: memoryview) -> int:
        """Send what fits."""
        return self._sock.send(data)

    def holds_more(self) -> bool:
        """Return False: whatever has come is in the kernel."""
        return False

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


class Sealed:
    """A connection with TLS; its handshake happens when it is first read."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._scrap = bytearray(_RECORD)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._sock.fileno()

    def receive(self, into: bytearray) -> int:
        """Open the next record, or what is left of it."""
        return self._read(into, len(into))

    def drop(self, size: int) -> int:
        """Open records that have come, at most `size` bytes of them."""
        left = size
        while left:
            try:
                taken = self._read(self._scrap, min(left, _RECORD))
            except BlockingIOError:
                if left == size:
                    raise
                break
            if not taken:
                break
            left -= taken
        return size - left

    def send(self, data: memoryview) -> int:
        """Send what fits."""
        try:
            return self._sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wait:
            raise BlockingIOError from wait

    def holds_more(self) -> bool:
        """Return whether a record has been opened and not all of it taken."""
        return self._sock.pending() > 0

    def close(self) -> None:
        """Close the connection, without TLS's farewell."""
        self._sock.close()

    def _read(self, into: bytearray, size: int) -> int:
        try:
            return self._sock.recv_into(into, size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wait:
            raise BlockingIOError from wait
        except ssl.SSLError as problem:
            raise ConnectionAbortedError(str(problem)) from problem
