"""The fault server: a scripted server whose script is an S3 in memory, with the faults that keys ask for.

Which turn of a fault a request is follows from the requests before it for the same segment, and what chance decides
from the seed in the segment: a run can be repeated.
"""

import random
import ssl
import threading
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from tests.servers.faulty.dialect import Dialect
from tests.servers.faulty.faults import KINDS, Kind, Scene
from tests.servers.faulty.orders import Order, call_of, order_of
from tests.servers.faulty.signature import Account
from tests.servers.faulty.storage import Storage
from tests.servers.scripted import Asked, Piece, ScriptedServer, scripted

ACCOUNT = Account()


class FaultServer:
    """A running server: `storage` is what it holds, `wire` where it listens and what it was asked."""

    wire: ScriptedServer

    def __init__(self, storage: Storage, account: Account | None, *, page: int) -> None:
        self.storage = storage
        self.account = account
        self.dialect = Dialect(storage, account, page=page)
        self._lock = threading.Lock()
        self._turns: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        """How many requests there were for each segment that orders a fault."""

    @property
    def endpoint(self) -> str:
        """The URL to set as endpoint."""
        return self.wire.endpoint

    def script(self, asked: Asked) -> Iterable[Piece]:
        """Answer a request that has come whole."""
        order = order_of(asked)
        if order is None:
            return [self.dialect.answer(asked).wire()]
        with self._lock:
            self.requests[order.text] += 1
        kind = KINDS[order.kind]
        if kind.early or not self._is_due(order, kind, call_of(asked)):
            return [self.dialect.answer(asked).wire()]
        return kind.act(self._scene(asked, order))

    def refusal(self, asked: Asked) -> Iterable[Piece] | None:
        """Answer a request whose body is not read."""
        order = order_of(asked)
        if order is None or not KINDS[order.kind].early or not self._is_due(order, KINDS[order.kind], call_of(asked)):
            return None
        with self._lock:
            self.requests[order.text] += 1
        return KINDS[order.kind].act(self._scene(asked, order))

    def _scene(self, asked: Asked, order: Order) -> Scene:
        return Scene(asked, self.dialect, random.Random(order.seed * 1000 + self._turns[order.text]))

    def _is_due(self, order: Order, kind: Kind, call: str) -> bool:
        """Tell whether it is this request's turn; one that the fault is not for takes none."""
        if call not in kind.calls or order.call not in (None, call):
            return False
        with self._lock:
            self._turns[order.text] += 1
            return order.first <= self._turns[order.text] <= order.last


@contextmanager
def faulty(
    account: Account | None = ACCOUNT,
    *,
    tls: ssl.SSLContext | None = None,
    page: int = 1000,
    least_part: int = 5 << 20,
) -> Generator[FaultServer]:
    """Run a fault server until the block ends.

    `account` None checks no signature; `page` is the keys in a page of a listing, at most.
    """
    server = FaultServer(Storage(least_part=least_part), account, page=page)
    with scripted(server.script, tls, refusal=server.refusal) as wire:
        server.wire = wire
        yield server
