"""One exchange on a non-blocking connection: what is sent, what is missing, how long it has been quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3dlio.http.blocking import opening
from s3dlio.http.patience import Patience

if TYPE_CHECKING:
    from s3dlio.http.connection import Connection
    from s3dlio.http.jobs import Job
    from s3dlio.http.pool import Pool
    from s3dlio.http.wire import Exchange


class Flight:
    """An exchange under way on a loop. `away` while an I/O thread has it, `dropped` when nobody waits for it."""

    __slots__ = ("away", "connection", "dropped", "exchange", "job", "patience", "pool", "sent", "unsent")

    def __init__(self, job: Job, pool: Pool, exchange: Exchange) -> None:
        self.job = job
        self.pool = pool
        self.exchange = exchange
        self.connection: Connection | None = None
        self.patience: Patience | None = None
        self.unsent: list[memoryview | bytes] = []
        self.sent = 0
        self.away = False
        self.dropped = False

    @property
    def missing(self) -> int:
        """How many bytes of a body of known length are still to come."""
        return len(self.exchange.target())

    def board(self, connection: Connection) -> None:
        """Take a connection and line up what goes out."""
        self.connection = connection
        first, rest = opening(self.exchange)
        self.unsent = [first] if rest is None else [first, rest]

    def send(self) -> bool:
        """Send what fits; True when nothing more will be sent."""
        assert self.connection is not None
        while self.unsent:
            piece = self.unsent[0]
            try:
                count = self.connection.send_now(piece)
            except (BrokenPipeError, ConnectionResetError):
                if self.connection.is_quiet():
                    raise
                return True  # the service refused early and closed: its answer explains why, and the rest stays here
            if count is None:
                return False
            self.sent += count
            if count == len(piece):
                self.unsent.pop(0)
            else:
                self.unsent[0] = memoryview(piece)[count:]
        return True

    def receive(self) -> None:
        """Receive what is there.

        All flights of a loop share one scratch memory, which so stays in the processor's cache: heads are nearly
        always read whole.
        """
        if not self.exchange.started:
            self.exchange.use(self.job.loop.scratch, self.job.loop.view)
        self._receive()
        self.exchange.keep()

    def _receive(self) -> None:
        assert self.connection is not None
        exchange = self.exchange
        while not exchange.done:
            target = exchange.target()
            count = self.connection.receive_now(target)
            if count is None:
                return
            if count == 0:
                exchange.end()
                return
            exchange.advance(count)
            if count < len(target) and self.connection.drained():
                return

    def check(self) -> None:
        """Raise `DeadlineExceededError` when the peer is too slow."""
        if self.patience is None:
            self.patience = Patience(self.pool.pace)
        moved = self.sent + self.exchange.received
        self.patience.check(moved, started=self.exchange.started or bool(self.unsent))
