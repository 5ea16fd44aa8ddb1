"""Lookups are shared by all threads, kept for a while, and told apart by whether they may pass."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from s3dlio.errors import DeadlineExceededError, NetworkError
from s3dlio.http import names
from s3dlio.http.names import Names

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


class Resolver:
    """Stands for the system's: gives its answers one after the other, the last one for ever; counts the questions."""

    def __init__(self, *answers: Exception | list[Any]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.open = threading.Event()
        self.open.set()

    def __call__(self, host: str, port: int, type: int) -> list[Any]:
        self.open.wait()
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a resolver in the place of the system's."""

    def put(*answers: Exception | list[Any]) -> Resolver:
        resolver = Resolver(*answers)
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        monkeypatch.setattr(names, "_SECOND_LOOK", 0)
        return resolver

    return put


def test_N10_64_threads_share_one_lookup(resolve: Any) -> None:
    resolver = resolve(FOUND)
    resolver.open.clear()
    known, results = Names(), []
    threads = [threading.Thread(target=lambda: results.append(known.find("host", 80, 30))) for _ in range(64)]
    for thread in threads:
        thread.start()
    resolver.open.set()
    for thread in threads:
        thread.join()
    assert resolver.asked == 1
    assert [each[0].where for each in results] == [("127.0.0.1", 80)] * 64


def test_N10_a_lookup_is_good_for_half_a_minute(resolve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, known, now = resolve(FOUND), Names(), [1000.0]
    monkeypatch.setattr("s3dlio.http.names.time.monotonic", lambda: now[0])
    for moment, asked in ((1000.0, 1), (1029.0, 1), (1031.0, 2), (1060.0, 2)):
        now[0] = moment
        known.find("host", 80, 30)
        assert resolver.asked == asked


def test_N10_a_failure_is_not_remembered(resolve: Any) -> None:
    resolve(socket.gaierror(socket.EAI_AGAIN, "later"), FOUND)
    known = Names()
    with pytest.raises(NetworkError, match=r"'host' cannot be looked up now: later") as caught:
        known.find("host", 80, 30)
    assert caught.value.retryable
    assert known.find("host", 80, 30)


def test_N10_the_names_that_are_kept_are_bounded(resolve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(FOUND)
    known, now = Names(), [0.0]
    monkeypatch.setattr("s3dlio.http.names.time.monotonic", lambda: now[0])
    for number in range(2000):
        now[0] += 1
        known.find(f"host-{number}", 80, 30)
    assert len(known._lookups) <= 256  # pyright: ignore[reportPrivateUsage]  # what must not grow


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_N2_a_name_that_does_not_exist_is_looked_up_twice(resolve: Any, code: int) -> None:
    resolver = resolve(socket.gaierror(code, "unknown"))
    with pytest.raises(NetworkError, match="name not found: 'host'") as caught:
        Names().find("host", 80, 30)
    assert not caught.value.retryable
    assert resolver.asked == 2


def test_N2_a_name_that_exists_at_the_second_look_is_found(resolve: Any) -> None:
    resolve(socket.gaierror(socket.EAI_NONAME, "unknown"), FOUND)
    assert Names().find("host", 80, 30)


def test_a_host_that_is_no_name_at_all_is_an_error_and_not_tried_again() -> None:
    with pytest.raises(NetworkError, match="name not found") as caught:
        Names().find("a" * 70, 80, 30)
    assert not caught.value.retryable


def test_a_resolver_that_hangs_is_waited_for_no_longer_than_allowed(resolve: Any) -> None:
    resolver = resolve(FOUND)
    resolver.open.clear()
    known = Names()
    with pytest.raises(DeadlineExceededError, match="'host'"):
        known.find("host", 80, 0.01)
    resolver.open.set()
    assert known.find("host", 80, 30)
    assert resolver.asked == 1


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_is_its_own(monkeypatch: pytest.MonkeyPatch, host: str, family: int) -> None:
    monkeypatch.setattr(threading, "Thread", None)
    found = Names().find(host, 80, 0.0)
    assert [(each.family, each.where[:2]) for each in found] == [(family, (host, 80))]
