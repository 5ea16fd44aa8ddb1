"""What the project has set out to reach, as data, and whether a run has reached it.

A goal compares s3dlio with the best peer of its row, which is the one with the highest rate; its CPU time is that
peer's CPU time. Goals on memory and on the import are absolute. A row that was not measured decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from benchmarks.clients import OURS
from benchmarks.rows import MIB, find
from benchmarks.summary import Summary

Measure: TypeAlias = Literal["rate", "cpu", "memory", "milliseconds", "rate of"]
Verdict: TypeAlias = Literal["met", "missed", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure to be reached.

    `rate` is at least `factor` times the peer's, `cpu` at most `factor` times its CPU per unit. `memory` is at most
    `factor` MiB over the object, `milliseconds` at most `factor`. `rate of` compares our rate with our own in the row
    `other`. `peer` names another peer than the best. `instead` is as good.
    """

    row: str
    measure: Measure
    factor: float
    peer: str | None = None
    other: str | None = None
    instead: Goal | None = None

    @property
    def at_most(self) -> bool:
        """True when less is better."""
        return self.measure in ("cpu", "memory", "milliseconds")


GOALS: tuple[Goal, ...] = (
    Goal(row="get-4k-1", measure="rate", factor=2.0),
    Goal(row="get-4k-64", measure="rate", factor=1.5),
    Goal(row="get-4k-64", measure="cpu", factor=0.4),
    Goal(row="async-get-4k-64", measure="rate", factor=1.5),
    Goal(row="async-get-4k-64", measure="cpu", factor=0.4),
    # "As fast": no slower than the runs differ among themselves.
    Goal(row="get-4k-256", measure="rate of", factor=0.95, other="get-4k-64"),
    Goal(row="async-get-4k-256", measure="rate of", factor=0.95, other="async-get-4k-64"),
    Goal(
        row="get-1m-8",
        measure="rate",
        factor=1.3,
        instead=Goal(row="get-1m-8", measure="cpu", factor=0.5),
    ),
    Goal(row="get-1g", measure="rate", factor=1.3),
    Goal(row="get-1g", measure="memory", factor=64.0),
    Goal(row="put-4k-64", measure="rate", factor=1.0),
    Goal(row="put-1m-8", measure="rate", factor=1.0),
    Goal(row="put-64m-8", measure="rate", factor=1.0),
    Goal(row="tls-put-4k-64", measure="cpu", factor=0.7),
    Goal(row="tls-put-1m-8", measure="cpu", factor=0.7),
    Goal(row="tls-put-64m-8", measure="cpu", factor=0.7),
    Goal(row="list-100k", measure="rate", factor=1.2),
    Goal(row="file-get-1g", measure="rate", factor=3.0),
    Goal(row="file-get-64k-1", measure="rate", factor=3.0),
    Goal(row="direct-get-1g", measure="rate", factor=0.9, peer="dd"),
    Goal(row="import", measure="milliseconds", factor=50.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run says about one goal. `against` names the peer, or what else the figure is compared with."""

    goal: Goal
    figure: float | None = None
    against: str = ""

    @property
    def verdict(self) -> Verdict:
        """Return whether the goal is met."""
        if self.figure is None:
            return "not measured"
        met = self.figure <= self.goal.factor if self.goal.at_most else self.figure >= self.goal.factor
        return "met" if met else "missed"


Summaries: TypeAlias = Mapping[str, Sequence[Summary]]
"""The summaries of each row."""


def judge(goal: Goal, summaries: Summaries) -> Result:
    """Return what the summaries say about a goal; the better of two when it has an alternative."""
    result = _figure(goal, {each.client: each for each in summaries.get(goal.row, ())}, summaries)
    if goal.instead is None or result.verdict == "met":
        return result
    second = judge(goal.instead, summaries)
    return second if second.verdict == "met" else result


def _figure(goal: Goal, by_client: Mapping[str, Summary], summaries: Summaries) -> Result:
    ours = by_client.get(OURS)
    if ours is None:
        return Result(goal=goal)
    if goal.measure == "memory":
        over = (ours.peak_memory - find(goal.row).size) / MIB
        return Result(goal=goal, figure=over, against="the object's size")
    if goal.measure == "milliseconds":
        return Result(goal=goal, figure=1e3 / ours.rate, against="bare Python")
    if goal.measure == "rate of":
        return _against_own(goal, ours, summaries)
    peer = _peer(goal, by_client)
    if peer is None:
        return Result(goal=goal)
    figure = ours.rate / peer.rate if goal.measure == "rate" else ours.cost / peer.cost
    return Result(goal=goal, figure=figure, against=peer.client)


def _against_own(goal: Goal, ours: Summary, summaries: Summaries) -> Result:
    other = next((each for each in summaries.get(goal.other or "", ()) if each.client == OURS), None)
    if other is None:
        return Result(goal=goal)
    return Result(goal=goal, figure=ours.rate / other.rate, against=find(other.row).title)


def _peer(goal: Goal, by_client: Mapping[str, Summary]) -> Summary | None:
    """Return the peer that the goal names, or the one with the highest rate."""
    if goal.peer:
        return by_client.get(goal.peer)
    peers = [each for name, each in by_client.items() if name != OURS]
    return max(peers, key=lambda each: each.rate, default=None)
