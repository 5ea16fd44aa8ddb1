"""A call is made again as its errors and the budget allow, with the pauses that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3dlio.errors import CertificateError, NetworkError, S3dlioError, ServerError, ThrottledError
from s3dlio.http.blocking import StaleConnectionError
from s3dlio.http.client import Budget, perform
from s3dlio.http.pool import Pool
from s3dlio.http.wire import Exchange, Head, Origin
from s3dlio.steps import Pause, Transfer

ORIGIN = Origin("http", "127.0.0.1", 9)


class Ask:
    """A request whose answer is the number of times it was sent."""

    def __init__(self) -> None:
        self.fresh = False
        self.sent = 0

    def begin(self, head: Head, length: int | None) -> memoryview | None:
        return None

    def prepare(self) -> Exchange:
        self.sent += 1
        return Exchange(ORIGIN, b"GET / HTTP/1.1\r\n\r\n", self)

    def conclude(self, exchange: Exchange) -> int:
        return self.sent


def drive(ask: Ask, budget: Budget, fault: Callable[[int], Exception | None]) -> tuple[Any, list[float]]:
    """Carry out a call whose n-th sending meets `fault(n)`; return the result and the pauses."""
    task = perform(ask, Pool(), budget, "s3://b/k")
    pauses: list[float] = []
    problem: Exception | None = None
    while True:
        try:
            step = task.throw(problem) if problem is not None else task.send(None)
        except StopIteration as stop:
            return stop.value, pauses
        except S3dlioError as error:
            return error, pauses
        problem = None
        if isinstance(step, Pause):
            pauses.append(step.seconds)
        else:
            assert isinstance(step, Transfer)
            problem = fault(ask.sent)


@pytest.fixture(autouse=True)
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chance choose the longest pause each time."""
    monkeypatch.setattr("s3dlio.http.client.random.random", lambda: 1.0)


def test_N1_a_refused_connection_costs_less_than_five_seconds_in_all() -> None:
    ask = Ask()
    result, pauses = drive(ask, Budget(5), lambda number: NetworkError("refused"))
    assert isinstance(result, NetworkError)
    assert (ask.sent, result.attempts) == (5, 5)
    assert pauses == sorted(pauses)
    assert sum(pauses) < 5


def test_N4_a_stale_connection_costs_neither_a_pause_nor_an_attempt_nor_a_token() -> None:
    ask, budget = Ask(), Budget(1)
    result, pauses = drive(ask, budget, lambda number: StaleConnectionError("gone") if number == 1 else None)
    assert (result, pauses, budget.tokens, ask.fresh) == (2, [], 500, True)


def test_N4_a_new_connection_cannot_be_stale() -> None:
    result, _ = drive(Ask(), Budget(5), lambda number: StaleConnectionError("gone"))
    assert isinstance(result, StaleConnectionError)


def test_N6_what_will_not_pass_is_not_sent_again() -> None:
    ask = Ask()
    result, pauses = drive(ask, Budget(5), lambda number: CertificateError("wrong name"))
    assert isinstance(result, CertificateError)
    assert (ask.sent, pauses) == (1, [])


def throttled(retry_after: float | None) -> ThrottledError:
    error = ThrottledError("slow down")
    error.retry_after = retry_after
    return error


@pytest.mark.parametrize(("asked", "given"), [(3.0, 3.0), (3600.0, 20.0), (None, 0.5)])
def test_H2_a_refused_call_waits_as_long_as_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, given: float
) -> None:
    monkeypatch.setattr("s3dlio.http.throttle.time.monotonic", lambda: 0.0)
    budget = Budget(5)
    task = perform(Ask(), Pool(), budget, "s3://b/k")
    task.send(None)
    step = task.throw(throttled(asked))
    assert isinstance(step, Pause)
    assert step.seconds == given
    task.close()


def asks_for_time() -> ServerError:
    error = ServerError("unavailable")
    error.retry_after = 2.0
    return error


@pytest.mark.parametrize("error", [throttled(2.0), throttled(None), asks_for_time()], ids=["wait", "none", "503"])
def test_H2_one_refusal_makes_every_other_call_wait(monkeypatch: pytest.MonkeyPatch, error: S3dlioError) -> None:
    now = [1000.0]
    monkeypatch.setattr("s3dlio.http.throttle.time.monotonic", lambda: now[0])
    budget = Budget(1)
    drive(Ask(), budget, lambda number: error)
    other = Ask()
    task = perform(other, Pool(), budget, "s3://b/other")
    step = task.send(None)
    assert isinstance(step, Pause)
    assert other.sent == 0
    assert step.seconds >= (getattr(error, "retry_after", None) or budget.throttle.gap) > 0.0
    now[0] += step.seconds
    assert isinstance(task.send(None), Transfer)
    task.close()


def test_H2_a_server_error_without_a_time_makes_nobody_else_wait() -> None:
    budget = Budget(1)
    drive(Ask(), budget, lambda number: ServerError("internal"))
    assert budget.throttle.gap == 0.0


def test_H2_successes_give_the_endpoint_back_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("s3dlio.http.throttle.time.monotonic", lambda: now[0])
    budget = Budget(1)
    drive(Ask(), budget, lambda number: throttled(None))
    assert budget.throttle.gap > 0.0
    for _ in range(50):
        now[0] += 10
        drive(Ask(), budget, lambda number: None)
    assert budget.throttle.gap == 0.0


def test_retries_stop_when_the_shared_tokens_are_spent() -> None:
    budget, sent = Budget(1000), Ask()
    drive(sent, budget, lambda number: ServerError("down"))
    assert sent.sent == 1 + 500 // 14
    other = Ask()
    drive(other, budget, lambda number: ServerError("down"))
    assert other.sent == 1
    drive(Ask(), budget, lambda number: None)
    assert budget.tokens == 500 % 14 + 1
