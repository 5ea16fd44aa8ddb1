"""What the measurements of one client in one row say: the medians; and who is best in a group of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from benchmarks.loading.clients import KINDS
from benchmarks.loading.rows import Row
from benchmarks.loading.run_one import Measurement

GOAL = 2.0
"""How many times the rate of the best peer ours shall be."""

Verdict: TypeAlias = Literal["met", "missed", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The medians of one client in one row: samples and bytes per second, CPU seconds per sample, bytes of memory.

    `slowest` and `fastest` are the extremes of the rate; `first` is seconds to the first batch; `origin_busy` is the
    origin's CPU time over wall time; `samples` is the number that it read in one run.
    """

    row: str
    client: str
    runs: int
    samples: int
    rate: float
    slowest: float
    fastest: float
    bandwidth: float
    cost: float
    peak_memory: float
    first: float
    origin_busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The best of ours in a group, and the best of the others."""

    group: str
    ours: Summary | None
    peer: Summary | None

    @property
    def ratio(self) -> float | None:
        """Return how many times the peer's rate ours is."""
        return self.ours.rate / self.peer.rate if self.ours and self.peer else None

    @property
    def verdict(self) -> Verdict:
        """Return whether the goal is met."""
        if self.ratio is None:
            return "not measured"
        return "met" if self.ratio >= GOAL else "missed"


def summarise(row: Row, done: Sequence[Measurement]) -> list[Summary]:
    """Return the medians of a row, client by client in the order of their first measurement."""
    names = dict.fromkeys(each.client for each in done if each.row == row.name)
    return [
        _summary(row, name, [each for each in done if (each.row, each.client) == (row.name, name)]) for name in names
    ]


def _summary(row: Row, name: str, runs: Sequence[Measurement]) -> Summary:
    rates = [run.samples / run.wall for run in runs]
    return Summary(
        row=row.name,
        client=name,
        runs=len(runs),
        samples=runs[0].samples,
        rate=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        bandwidth=median(run.moved / run.wall for run in runs),
        cost=median(run.cpu / run.samples for run in runs),
        peak_memory=median(run.peak_memory for run in runs),
        first=median(run.first for run in runs),
        origin_busy=median(run.origin_cpu / run.wall for run in runs),
    )


def judge(group: str, found: Sequence[Summary]) -> Goal:
    """Return the goal of a group from the summaries of all its rows."""
    return Goal(group=group, ours=_best(found, ours=True), peer=_best(found, ours=False))


def _best(found: Sequence[Summary], *, ours: bool) -> Summary | None:
    chosen = [each for each in found if KINDS[each.client].ours == ours]
    return max(chosen, key=lambda each: each.rate, default=None)
