"""A connection waits actively for an answer that is close, and hardly ever for one that is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from s3dlio.http.connection import Connection
from s3dlio.http.wire import Origin


class Poll:
    """Counts how often it is asked, and always gives the same answer."""

    def __init__(self, answer: list[int]) -> None:
        self.answer = answer
        self.asked = 0

    def poll(self, timeout: float) -> list[int]:
        self.asked += 1
        return self.answer


@pytest.fixture
def connection() -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours, Origin("http", "127.0.0.1", 80))


def looks(connection: Connection, poll: Poll, times: int) -> int:
    """Return how many of so many exchanges looked out for their answer."""
    count = 0
    for _ in range(times):
        before = poll.asked
        connection.look()
        count += poll.asked > before
    return count


def test_answers_that_are_there_are_looked_for_each_time(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = Poll([1])
    monkeypatch.setattr(connection, "_poll", poll)
    assert looks(connection, poll, 100) == 100


def test_a_distant_service_is_looked_for_a_dozen_times_in_three_thousand(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = Poll([])
    monkeypatch.setattr(connection, "_poll", poll)
    assert looks(connection, poll, 3000) <= 13
