"""The addresses of hosts: one lookup serves every thread, and is good for half a minute.

A lookup runs in a thread of its own, because nothing can interrupt the system's resolver; those who wait for it can be.
What failed is not remembered.
"""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import ip_address
from typing import Any, NamedTuple

from s3dlio.errors import DeadlineExceededError, NetworkError

_LASTS = 30.0  # seconds
_MOST_KEPT = 256
_SECOND_LOOK = 0.1  # seconds until a name that does not exist is looked up once more
# The resolver's own words for: there is no such name, or it has no address. Everything else may pass.
_FINAL = (socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY, socket.EAI_FAIL)


class Address(NamedTuple):
    """What `socket.socket` and `connect` take."""

    family: int
    kind: int
    protocol: int
    where: tuple[Any, ...]


class Names:
    """The lookups of a process, by host and port."""

    __slots__ = ("_lock", "_lookups")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    def find(self, host: str, port: int, timeout: float) -> list[Address]:
        """Return the addresses in the resolver's order; `timeout` is in seconds.

        Raises:
            NetworkError: the name has no address, or that could not be found out now.
            DeadlineExceededError: no answer in time.
        """
        if _is_address(host):
            return _ask(host, port)
        return self._lookup(host, port).wait(timeout)

    def _lookup(self, host: str, port: int) -> _Lookup:
        with self._lock:
            lookup = self._lookups.get((host, port))
            if lookup is None or lookup.is_over():
                self._drop_old()
                lookup = _Lookup(host, port)
                threading.Thread(target=lookup.run, name="s3dlio-lookup", daemon=True).start()
                self._lookups[host, port] = lookup
            return lookup

    def _drop_old(self) -> None:
        if len(self._lookups) >= _MOST_KEPT:
            self._lookups = {place: each for place, each in self._lookups.items() if not each.is_over()}


class _Lookup:
    """One lookup, under way or done."""

    __slots__ = ("_addresses", "_done", "_ends", "_host", "_port", "_problem")

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._done = threading.Event()
        self._ends = 0.0
        self._addresses: list[Address] = []
        self._problem: Exception | None = None

    def is_over(self) -> bool:
        """Tell that this one has failed, or is too old to rely on."""
        return self._done.is_set() and (self._problem is not None or time.monotonic() > self._ends)

    def run(self) -> None:
        """Ask the resolver, once more where it knows no such name."""
        try:
            self._addresses = _ask(self._host, self._port)
        except socket.gaierror as problem:
            if problem.errno in _FINAL:
                self._ask_again()
            else:
                self._problem = problem
        except Exception as problem:
            self._problem = problem
        self._ends = time.monotonic() + _LASTS
        self._done.set()

    def _ask_again(self) -> None:
        time.sleep(_SECOND_LOOK)
        try:
            self._addresses = _ask(self._host, self._port)
        except Exception as problem:
            self._problem = problem

    def wait(self, timeout: float) -> list[Address]:
        """Return the outcome. Each waiter gets an exception of its own."""
        if not self._done.wait(timeout):
            raise DeadlineExceededError(f"no address of {self._host!r} within {timeout:g} s: the name service is slow")
        if self._problem is None:
            return self._addresses
        raise self._error(self._problem) from self._problem

    def _error(self, problem: Exception) -> NetworkError:
        if isinstance(problem, OSError) and problem.errno not in _FINAL:
            return NetworkError(f"the name {self._host!r} cannot be looked up now: {problem.strerror}")
        reason = problem.strerror if isinstance(problem, OSError) else problem
        error = NetworkError(f"name not found: {self._host!r} has no address ({reason}); check the endpoint")
        error.retryable = False  # type: ignore[misc]  # it has been looked up twice
        return error


def _ask(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [Address(family, kind, protocol, where) for family, kind, protocol, _, where in found]
    return list(dict.fromkeys(addresses))


def _is_address(host: str) -> bool:
    """Tell whether a host is written as an address, which nobody needs to be asked for."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
