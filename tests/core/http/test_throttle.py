"""An endpoint that asks for patience gets it from everybody, and is found out gently how much it bears again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from s3dlio.http.throttle import Throttle
from s3dlio.steps import Pause


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("s3dlio.http.throttle.time.monotonic", clock)
    return clock


def wait(line: Throttle, clock: Clock) -> float:
    """Stand in line with the clock moved as far as each pause asks; return how long it took."""
    start, turn = clock.now, line.turn()
    while True:
        try:
            step = turn.send(None)
        except StopIteration:
            return clock.now - start
        assert isinstance(step, Pause)
        clock.now += step.seconds


def test_H2_nobody_waits_while_nobody_asks_for_patience() -> None:
    assert Throttle().gap == 0.0


def test_H2_nothing_is_sent_before_the_time_that_was_asked_for(clock: Clock) -> None:
    line = Throttle()
    line.slow_down(3.0, line.era)
    for _ in range(20):
        assert clock.now + wait(line, clock) >= 1003.0
        clock.now = 1000.0


def test_H2_a_service_may_ask_for_twenty_seconds_at_most(clock: Clock) -> None:
    line = Throttle()
    line.slow_down(3600.0, line.era)
    assert 20.0 <= wait(line, clock) < 21.0


def test_H2_a_shorter_wish_does_not_shorten_a_longer_one(clock: Clock) -> None:
    line = Throttle()
    line.slow_down(5.0, line.era)
    line.slow_down(0.0, line.era)
    assert wait(line, clock) >= 5.0


def test_H2_requests_come_back_one_by_one(clock: Clock) -> None:
    line = Throttle()
    line.slow_down(0.0, line.era)
    assert wait(line, clock) >= line.gap > 0.0
    assert wait(line, clock) >= line.gap > 0.0


def test_H2_refusals_of_requests_sent_together_count_as_one(clock: Clock) -> None:
    line = Throttle()
    era = line.era
    for _ in range(64):
        line.slow_down(0.0, era)
    once = line.gap
    line.slow_down(0.0, line.era)
    assert line.gap == 2 * once


def test_H2_the_gap_has_a_limit(clock: Clock) -> None:
    line = Throttle()
    for _ in range(50):
        line.slow_down(0.0, line.era)
    assert line.gap == 1.0


@pytest.mark.parametrize(("sent", "shrinks"), [(lambda line: line.era, True), (lambda line: line.era - 1, False)])
def test_H2_only_successes_since_the_refusal_shrink_the_gap(
    clock: Clock, sent: Callable[[Throttle], int], shrinks: bool
) -> None:
    line = Throttle()
    line.slow_down(0.0, line.era)
    before = line.gap
    line.ease(sent(line))
    assert (line.gap < before) is shrinks


def test_H2_after_some_successes_nobody_waits_any_more(clock: Clock) -> None:
    line = Throttle()
    line.slow_down(0.0, line.era)
    for _ in range(50):
        line.ease(line.era)
    assert line.gap == 0.0
