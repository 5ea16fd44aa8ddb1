"""Idle connections by origin, for all threads and both drivers.

A connection is handed out again only while it is young and silent: one that the peer has closed, or on which bytes
arrived that no exchange asked for, is dropped here. In the child of a fork the pool is empty.
"""

from __future__ import annotations

import time
from collections import deque

from s3dlio.http.connection import Connection, connect
from s3dlio.http.patience import Pace
from s3dlio.http.wire import Origin

_OLDEST = 15.0  # seconds idle: S3 closes at about 20
_MOST_IDLE = 256  # for each origin


class Pool:
    """Connections that wait for their next exchange. Deques need no lock for what is done here."""

    def __init__(self, *, connect_timeout: float = 5.0, ca_bundle: str | None = None, pace: Pace = Pace()) -> None:
        self.pace = pace
        self._idle: dict[Origin, deque[Connection]] = {}
        self._connect_timeout = connect_timeout
        self._ca_bundle = ca_bundle

    def reuse(self, origin: Origin) -> Connection | None:
        """Return an idle connection that looks alive, the one used last first, or None."""
        idle = self._idle.get(origin)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.idle_since < _OLDEST and connection.is_quiet():
                return connection
            connection.close()
        return None

    def open(self, origin: Origin) -> Connection:
        """Open a new connection; see `connection.connect` for what it raises."""
        return connect(origin, timeout=self._connect_timeout, ca_bundle=self._ca_bundle)

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
