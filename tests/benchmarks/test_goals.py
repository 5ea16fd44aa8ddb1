"""Goals are judged by the medians of a run, against the peer with the highest rate."""

from dataclasses import replace

import pytest

from benchmarks.goals import GOALS, Goal, judge
from benchmarks.rows import GIB, MIB, find
from benchmarks.summary import Summary

BASE = Summary(
    row="get-1m-8",
    client="s3dlio",
    runs=5,
    rate=2.0,
    slowest=2.0,
    fastest=2.0,
    cost=0.5,
    peak_memory=GIB + 50 * MIB,
    origin_busy=0.5,
)
FAST = replace(BASE, client="obstore", rate=1.6, cost=1.25)
THRIFTY = replace(BASE, client="boto3", rate=0.3, cost=0.5)
RATE = Goal(row="get-1m-8", measure="rate", factor=1.3)
CPU = Goal(row="get-1m-8", measure="cpu", factor=0.4)


@pytest.mark.parametrize("goal", GOALS)
def test_each_goal_is_about_a_row(goal: Goal) -> None:
    assert find(goal.row).name == goal.row
    assert goal.other is None or find(goal.other).name == goal.other


@pytest.mark.parametrize(
    ("goal", "figure", "verdict", "against"),
    [
        (RATE, 1.25, "missed", "obstore"),
        (replace(RATE, factor=1.25), 1.25, "met", "obstore"),
        (CPU, 0.4, "met", "obstore"),
        (replace(CPU, factor=0.39), 0.4, "missed", "obstore"),
        (replace(CPU, peer="boto3"), 1.0, "missed", "boto3"),
        (replace(RATE, instead=CPU), 0.4, "met", "obstore"),
        (replace(RATE, instead=replace(CPU, factor=0.1)), 1.25, "missed", "obstore"),
        (replace(RATE, peer="dd"), None, "not measured", ""),
        (replace(RATE, row="get-4k-1"), None, "not measured", ""),
    ],
)
def test_a_goal_is_judged(goal: Goal, figure: float | None, verdict: str, against: str) -> None:
    result = judge(goal, {"get-1m-8": [BASE, THRIFTY, FAST]})
    assert (result.figure, result.verdict, result.against) == (figure, verdict, against)


def test_without_a_peer_nothing_is_judged() -> None:
    assert judge(RATE, {"get-1m-8": [BASE]}).verdict == "not measured"


@pytest.mark.parametrize(("factor", "verdict"), [(50.0, "met"), (49.0, "missed")])
def test_memory_is_what_is_over_the_object(factor: float, verdict: str) -> None:
    goal = Goal(row="get-1g", measure="memory", factor=factor)
    result = judge(goal, {"get-1g": [replace(BASE, row="get-1g")]})
    assert (result.figure, result.verdict) == (50.0, verdict)


@pytest.mark.parametrize(("rate", "verdict"), [(20.0, "met"), (19.0, "missed")])
def test_an_import_is_measured_in_milliseconds(rate: float, verdict: str) -> None:
    goal = Goal(row="import", measure="milliseconds", factor=50.0)
    assert judge(goal, {"import": [replace(BASE, row="import", rate=rate)]}).verdict == verdict


@pytest.mark.parametrize(("rate", "verdict"), [(2.2, "met"), (2.0, "met"), (1.0, "missed")])
def test_a_row_may_be_compared_with_our_own_in_another(rate: float, verdict: str) -> None:
    goal = Goal(row="get-4k-256", measure="rate of", factor=0.95, other="get-4k-64")
    rows = {"get-4k-256": [replace(BASE, rate=rate)], "get-4k-64": [replace(BASE, row="get-4k-64")]}
    assert judge(goal, rows).verdict == verdict
