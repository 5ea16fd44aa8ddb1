"""One connection: a socket, its TLS, and scratch memory for response heads.

Plain sockets stay blocking and let the kernel keep the time (`SO_RCVTIMEO`), so that one `recv` with `MSG_WAITALL`
takes a whole body. TLS sockets use Python's timeouts: a blocking TLS read restarts itself for ever.
Every wait is a slice of at most `SLICE` seconds; who waits decides after each slice whether to go on.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
from time import perf_counter
from typing import TYPE_CHECKING

from s3dlio.errors import CertificateError
from s3dlio.http.wire import SCRATCH, Origin

if TYPE_CHECKING:
    from s3dlio.http.pool import Pool

SLICE = 0.2  # seconds: how long an interrupt or a cancel may have to wait
_LOOK = 200e-6  # seconds: what a sleep and a wake-up cost where wake-ups are slow
_MOST_SKIPPED = 1000
_TLS_SEND = 1 << 18  # bytes handed to one TLS write: it encrypts them all before it returns


_looking = threading.Lock()


class Connection:
    """An open connection to an origin. Not thread-safe: one exchange at a time.

    `receive` and `send` return the number of bytes moved, None when a slice went by without any, and 0 from
    `receive` when the peer has closed.
    """

    __slots__ = ("_poll", "_skip", "_vain", "idle_since", "origin", "pool", "scratch", "sock", "used", "view")

    pool: Pool  # set by a loop that keeps the connection for a while

    def __init__(self, sock: socket.socket, origin: Origin) -> None:
        self.sock = sock
        self.origin = origin
        self.scratch = bytearray(SCRATCH)
        self.view = memoryview(self.scratch)
        self.used = False
        self.idle_since = 0.0
        self._skip = 0
        self._vain = 0
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self.sock.fileno()

    def is_quiet(self) -> bool:
        """Tell that nothing has arrived while idle: neither a close nor bytes that belong to no exchange."""
        return not self._poll.poll(0)

    def look(self) -> None:
        """Wait actively, for microseconds, for an answer that is as close: waking a sleeper costs more than that.

        Only one thread at a time does it, and only while it pays: after a look in vain the next ones are left out, up
        to a thousand, so that a distant service costs nothing.
        """
        if self._skip:
            self._skip -= 1
            return
        if not _looking.acquire(blocking=False):
            self._skip = self._vain = _MOST_SKIPPED
            return
        try:
            end = perf_counter() + _LOOK
            while not self._poll.poll(0):
                if perf_counter() > end:
                    self._skip = self._vain = min(2 * self._vain + 1, _MOST_SKIPPED)
                    return
            self._vain = 0
        finally:
            _looking.release()

    def receive(self, target: memoryview, *, whole: bool) -> int | None:
        """Receive into `target`, waiting at most one slice; `whole` waits until it is full."""
        try:
            return self.sock.recv_into(target, 0, socket.MSG_WAITALL if whole else 0)
        except BlockingIOError:
            return None

    def receive_now(self, target: memoryview) -> int | None:
        """Receive what is there, without waiting."""
        try:
            return self.sock.recv_into(target, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def drained(self) -> bool:
        """Tell that nothing is buffered outside the kernel."""
        return True

    def send(self, data: bytes | memoryview, *, more: bool = False) -> int | None:
        """Send some of `data`, waiting at most one slice; with `more` the kernel may hold it for what follows."""
        try:
            return self.sock.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return None

    def send_now(self, data: bytes | memoryview) -> int | None:
        """Send what fits, without waiting."""
        try:
            return self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def wait_in_line(self, *, blocking: bool) -> None:
        """Prepare for waiting (`receive`, `send`) or for not waiting (`receive_now`, `send_now`)."""

    def close(self) -> None:
        """Close the socket, without a TLS farewell: the peer learns it from the FIN."""
        self.sock.close()


class TlsConnection(Connection):
    """A connection whose bytes are encrypted; OpenSSL decrypts into the target."""

    __slots__ = ("_heard",)

    sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, origin: Origin) -> None:
        super().__init__(sock, origin)
        self._heard = b""

    def receive(self, target: memoryview, *, whole: bool) -> int | None:
        """Receive into `target`; one record at most, since that is what a TLS read returns."""
        if self._heard:
            count = min(len(self._heard), len(target))
            target[:count], self._heard = self._heard[:count], self._heard[count:]
            return count
        try:
            return self.sock.recv_into(target)
        except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLError as problem:
            # In TLS 1.3 a peer says only now that it did not like the handshake.
            if "ALERT" not in (problem.reason or ""):
                raise
            raise CertificateError(f"{self.origin} refuses this client: {problem.reason}") from problem

    def _hear_out(self) -> None:
        """Receive what the peer said before it closed: an alert, which is raised, or an answer, which is kept."""
        heard = bytearray(SCRATCH)
        try:
            count = self.receive(memoryview(heard), whole=False)
        except CertificateError:
            raise
        except OSError:
            return
        self._heard = bytes(heard[:count])

    def receive_now(self, target: memoryview) -> int | None:
        """Receive what is there, without waiting."""
        return self.receive(target, whole=False)

    def drained(self) -> bool:
        """Tell that OpenSSL holds no decrypted bytes; a record that is incomplete wakes the selector again."""
        return False

    def send(self, data: bytes | memoryview, *, more: bool = False) -> int | None:
        """Send some of `data`, waiting at most one slice."""
        try:
            return self.sock.send(memoryview(data)[:_TLS_SEND])
        except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError as problem:
            self._hear_out()
            raise BrokenPipeError(errno.EPIPE, "the peer has closed") from problem

    def send_now(self, data: bytes | memoryview) -> int | None:
        """Send what fits, without waiting."""
        return self.send(data)

    def wait_in_line(self, *, blocking: bool) -> None:
        """Set the socket's timeout: TLS has no flag for one call."""
        self.sock.settimeout(SLICE if blocking else 0.0)
