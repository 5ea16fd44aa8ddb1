"""A connection goes to the first address that answers, and what stands in the way is said for each."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from s3dlio.errors import DeadlineExceededError, NetworkError
from s3dlio.http import race
from s3dlio.http.names import Address, Names


class Known(Names):
    """Knows the addresses of every host beforehand."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.addresses = addresses

    def find(self, host: str, port: int, timeout: float) -> list[Address]:
        return [address(each, port) for each in self.addresses]


def address(text: str, port: int = 0) -> Address:
    if ":" in text:
        return Address(socket.AF_INET6, socket.SOCK_STREAM, 6, (text, port, 0, 0))
    return Address(socket.AF_INET, socket.SOCK_STREAM, 6, (text, port))


@pytest.fixture
def port() -> Any:
    """A port of 127.0.0.1 where somebody listens; nobody does on 127.0.0.2 and after."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_N1_after_a_refusal_the_next_address_is_tried(port: int) -> None:
    with race.reach("host", port, Known("127.0.0.2", "127.0.0.3", "127.0.0.1"), 5) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


def test_N1_a_refusal_is_told_for_each_address(port: int) -> None:
    with pytest.raises(
        NetworkError, match=rf"host:{port}: 127.0.0.2 connection refused, 127.0.0.3 connection refused"
    ) as caught:
        race.reach("host", port, Known("127.0.0.2", "127.0.0.3"), 5)
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_N3_the_families_take_turns() -> None:
    addresses = [address(each) for each in ("::1", "::2", "::3", "127.0.0.1", "127.0.0.2")]
    turns = [each.where[0] for each in race._alternating(addresses)]  # pyright: ignore[reportPrivateUsage]
    assert turns == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]
    assert race._alternating(addresses[3:]) == addresses[3:]  # pyright: ignore[reportPrivateUsage]


def test_S10_the_address_of_a_clouds_metadata_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "_Race", None)  # nothing goes there whatever happens
    for each in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1"):
        with pytest.raises(NetworkError, match="link-local") as caught:
            race.reach("innocent.example", 80, Known("127.0.0.1", each), 5)
        assert not caught.value.retryable


class Scarce:
    """The sockets of a machine that has run out of something; the module `socket`, as far as a race needs it."""

    def __init__(self, *, opening: int = 0, connecting: int = 0) -> None:
        self.opening = opening
        self.connecting = connecting
        self.opened = 0
        self.module = SimpleNamespace(socket=self.socket, SOL_SOCKET=socket.SOL_SOCKET, SO_ERROR=socket.SO_ERROR)

    def socket(self, *kind: int) -> Any:
        self.opened += 1
        if self.opening:
            raise OSError(self.opening, "no more")
        code = self.connecting
        return SimpleNamespace(setblocking=lambda flag: None, connect_ex=lambda where: code, close=lambda: None)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "file descriptor"),
        (errno.ENOBUFS, "memory"),
        (errno.EADDRNOTAVAIL, "ip_local_port_range"),
    ],
)
def test_N9_what_has_run_out_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, code: int, hint: str) -> None:
    scarce = Scarce(connecting=code) if code == errno.EADDRNOTAVAIL else Scarce(opening=code)
    monkeypatch.setattr(race, "socket", scarce.module)
    with pytest.raises(race.ExhaustedError, match=f"host:80.*{hint}") as caught:
        race.reach("host", 80, Known("127.0.0.1", "127.0.0.2"), 5)
    assert caught.value.retryable
    assert scarce.opened == 2


def test_N3_all_addresses_silent_is_an_error_in_time(silent: int) -> None:
    with pytest.raises(DeadlineExceededError, match=rf"no connection to host:{silent} within 0.05 s"):
        race.reach("host", silent, Known("127.0.0.9", "127.0.0.9"), 0.05)


@pytest.fixture
def silent() -> Any:
    """A port of 127.0.0.9 that takes no more connections and refuses none: its queue is full."""
    with socket.create_server(("127.0.0.9", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()
