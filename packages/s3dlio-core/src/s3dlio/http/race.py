"""A TCP connection to whichever address of a host answers first.

The next address is tried as soon as one fails, and as well when one has not answered within a quarter of a second
(RFC 8305): a route that leads nowhere costs that, and not the whole timeout.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from ipaddress import IPv6Address, ip_address

from s3dlio.errors import DeadlineExceededError, NetworkError
from s3dlio.http.names import Address, Names

_HEAD_START = 0.25  # seconds, RFC 8305 section 8
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY)
_EXHAUSTED = {
    errno.EMFILE: "this process has no free file descriptor: raise `ulimit -n`, or have fewer requests under way",
    errno.ENFILE: "this machine has no free file descriptor: have fewer requests under way",
    errno.ENOBUFS: "this machine has no memory for another socket: have fewer requests under way",
    errno.ENOMEM: "this machine has no memory for another socket: have fewer requests under way",
    errno.EADDRNOTAVAIL: "no local port is free: have fewer requests under way, or widen net.ipv4.ip_local_port_range",
}
_METADATA = IPv6Address("fd00:ec2::254")  # the instance metadata of EC2 under IPv6; IPv4 has it on a link-local address


class ExhaustedError(NetworkError):
    """Another socket cannot be opened on this machine now."""


def exhausted(problem: OSError, where: str) -> ExhaustedError | None:
    """Return the error with its remedy if an exception says that sockets have run out."""
    hint = _EXHAUSTED.get(problem.errno or 0)
    return None if hint is None else ExhaustedError(f"cannot connect to {where}: {hint}")


def reach(host: str, port: int, names: Names, timeout: float) -> socket.socket:
    """Return a connected socket, not blocking; `timeout` is for the name and for each address, in seconds.

    Raises:
        NetworkError: refused, unreachable or not found; each address with its reason.
        ExhaustedError: no descriptor or no local port is left.
        DeadlineExceededError: no address answers in time.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    addresses = names.find(host, port, timeout)
    for address in addresses:
        check_address(str(address.where[0]), where)
    race = _Race(_alternating(addresses), timeout)
    try:
        sock = race.run()
    finally:
        race.close()
    if sock is not None:
        return sock
    raise _error(race.problems, where, timeout)


def check_address(address: str, where: str) -> None:
    """Refuse the addresses at which a cloud tells its credentials to whoever asks: no object is stored there."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.is_link_local or parsed == _METADATA:
        error = NetworkError(f"{where} is the link-local address {address}: no object store is there; set the endpoint")
        error.retryable = False  # type: ignore[misc]  # it is the same the next time
        raise error


def _alternating(addresses: list[Address]) -> list[Address]:
    """Put the families in turns, that of the first address first (RFC 8305 section 4)."""
    first = [each for each in addresses if each.family == addresses[0].family]
    second = [each for each in addresses if each.family != addresses[0].family]
    turns = [each for pair in zip(first, second, strict=False) for each in pair]
    shorter = min(len(first), len(second))
    return turns + first[shorter:] + second[shorter:]


def _error(problems: list[tuple[str, OSError]], where: str, timeout: float) -> Exception:
    for _, problem in problems:
        found = exhausted(problem, where)
        if found is not None:
            found.__cause__ = problem
            return found
    error: Exception
    if all(isinstance(problem, TimeoutError) for _, problem in problems):
        error = DeadlineExceededError(f"no connection to {where} within {timeout:g} s")
    elif len(problems) == 1:
        error = NetworkError(f"cannot connect to {where}: {_reason(problems[0][1])}")
    else:
        tried = ", ".join(f"{address} {_reason(problem)}" for address, problem in problems)
        error = NetworkError(f"cannot connect to {where}: {tried}")
    error.__cause__ = problems[0][1] if problems else None
    return error


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem) or "timed out").lower()


class _Race:
    """Sockets that try to connect, side by side."""

    def __init__(self, addresses: list[Address], timeout: float) -> None:
        self.problems: list[tuple[str, OSError]] = []
        self._waiting = addresses
        self._timeout = timeout
        self._next_start = 0.0
        self._running: dict[int, tuple[socket.socket, str, float]] = {}
        self._poll = select.poll()

    def run(self) -> socket.socket | None:
        """Return the first socket that is connected, None when all have failed."""
        while self._waiting or self._running:
            now = time.monotonic()
            if self._waiting and (not self._running or now >= self._next_start):
                self._next_start = now + _HEAD_START
                if (sock := self._start(self._waiting.pop(0), now + self._timeout)) is not None:
                    return sock
                continue
            if (sock := self._watch(now)) is not None:
                return sock
        return None

    def close(self) -> None:
        """Close those that are still under way."""
        for sock, _, _ in self._running.values():
            sock.close()

    def _start(self, address: Address, deadline: float) -> socket.socket | None:
        shown = str(address.where[0])
        try:
            sock = socket.socket(address.family, address.kind, address.protocol)
        except OSError as problem:
            self.problems.append((shown, problem))
            return None
        sock.setblocking(False)
        code = sock.connect_ex(address.where)
        if code in _UNDER_WAY:
            self._running[sock.fileno()] = sock, shown, deadline
            self._poll.register(sock, select.POLLOUT)
            return None
        return self._judge(sock, shown, code)

    def _watch(self, now: float) -> socket.socket | None:
        """Wait for the next thing to happen."""
        ends = min(deadline for _, _, deadline in self._running.values())
        until = min(ends, self._next_start) if self._waiting else ends
        for descriptor, _ in self._poll.poll(max(0.0, until - now) * 1000 + 1):
            sock, shown, _ = self._leave(descriptor)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if (winner := self._judge(sock, shown, code)) is not None:
                return winner
        self._give_up(time.monotonic())
        return None

    def _judge(self, sock: socket.socket, shown: str, code: int) -> socket.socket | None:
        if not code:
            return sock
        sock.close()
        self.problems.append((shown, OSError(code, os.strerror(code))))
        self._next_start = 0.0
        return None

    def _give_up(self, now: float) -> None:
        for descriptor in [each for each, (_, _, deadline) in self._running.items() if now >= deadline]:
            sock, shown, _ = self._leave(descriptor)
            sock.close()
            self.problems.append((shown, TimeoutError("timed out")))

    def _leave(self, descriptor: int) -> tuple[socket.socket, str, float]:
        self._poll.unregister(descriptor)
        return self._running.pop(descriptor)
