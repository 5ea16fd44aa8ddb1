"""Idle connections by origin, for all threads and both drivers.

A connection is handed out again only while it is young and silent: one that the peer has closed, or on which bytes
arrived that no exchange asked for, is dropped here. In the child of a fork the pool is empty.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from s3dlio.http.dial import connect
from s3dlio.http.names import Names
from s3dlio.http.patience import Pace
from s3dlio.http.proxies import proxies_of
from s3dlio.http.race import ExhaustedError

if TYPE_CHECKING:
    from s3dlio.config import Settings
    from s3dlio.http.connection import Connection
    from s3dlio.http.proxies import Proxies
    from s3dlio.http.wire import Origin

_OLDEST = 15.0  # seconds idle: S3 closes at about 20
_MOST_IDLE = 256  # for each origin


class Pool:
    """Connections that wait for their next exchange. Deques need no lock for what is done here."""

    def __init__(
        self,
        *,
        connect_timeout: float = 5.0,
        ca_bundle: str | None = None,
        pace: Pace = Pace(),
        proxies: Proxies | None = None,
    ) -> None:
        self.pace = pace
        self.proxies = proxies
        self._names = Names()
        self._idle: dict[Origin, deque[Connection]] = {}
        self._connect_timeout = connect_timeout
        self._ca_bundle = ca_bundle

    def shares(self, other: Pool) -> bool:
        """Tell whether what one of the two has opened may serve the other."""
        return self._idle is other._idle

    def reuse(self, origin: Origin) -> Connection | None:
        """Return an idle connection that looks alive, the one used last first, or None."""
        idle = self._idle.get(origin)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                return None
            if is_fit(connection):
                return connection
            connection.close()
        return None

    def open(self, origin: Origin) -> Connection:
        """Open a new connection; see `dial.connect` for what it raises.

        Where descriptors or ports have run out, those of the idle connections are given back: the next attempt has
        them.
        """
        proxy = self.proxies.choose(origin) if self.proxies is not None else None
        try:
            return connect(
                origin, timeout=self._connect_timeout, ca_bundle=self._ca_bundle, names=self._names, proxy=proxy
            )
        except ExhaustedError:
            self.clear()
            raise

    def settle(self, connection: Connection, *, keep: bool) -> None:
        """Take back a connection after a clean end, or close it where it cannot be used again."""
        if not keep:
            connection.close()
            return
        idle = self._idle.setdefault(connection.origin, deque())
        if len(idle) >= _MOST_IDLE:
            connection.close()
            return
        connection.used = True
        connection.idle_since = time.monotonic()
        idle.append(connection)

    def clear(self) -> None:
        """Close every idle connection."""
        for idle in list(self._idle.values()):
            while idle:
                idle.pop().close()


def is_fit(connection: Connection) -> bool:
    """Tell whether an idle connection can be used: it is young and silent."""
    return not is_old(connection) and connection.is_quiet()


def is_old(connection: Connection) -> bool:
    """Tell whether a connection has been idle for so long that the service may be about to close it."""
    return time.monotonic() - connection.idle_since >= _OLDEST


def pool_of(settings: Settings) -> Pool:
    """Return an empty pool with the timeouts, the authorities and the proxies of the settings.

    Raises:
        InvalidUriError: what stands for a proxy is none that can be used.
    """
    return Pool(
        connect_timeout=settings.connect_timeout,
        ca_bundle=settings.ca_bundle,
        pace=Pace(settings.first_byte_timeout, settings.progress_bytes, settings.progress_window),
        proxies=proxies_of(settings),
    )
