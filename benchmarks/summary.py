"""What the measurements of one client in one row say: the medians.

A rate is objects, keys, imports or bytes per second of wall time; the cost is CPU time of the client's process for
the same unit. GB are 10⁹ bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.rows import Row
from benchmarks.run_one import Measurement

_GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The medians of one client in one row: units per second, CPU seconds per unit, bytes of memory.

    `slowest` and `fastest` are the extremes of the rate; `origin_busy` is the origin's CPU time over wall
    time.
    """

    row: str
    client: str
    runs: int
    rate: float
    slowest: float
    fastest: float
    cost: float
    peak_memory: float
    origin_busy: float


def summarise(row: Row, done: Sequence[Measurement]) -> list[Summary]:
    """Return the medians of a row, client by client in the order of their first measurement."""
    names = dict.fromkeys(each.client for each in done if each.row == row.name)
    return [
        _summary(row, name, [each for each in done if (each.row, each.client) == (row.name, name)]) for name in names
    ]


def _summary(row: Row, name: str, runs: Sequence[Measurement]) -> Summary:
    def units(run: Measurement) -> float:
        return run.moved / _GB if row.by_bytes else run.objects

    def middle(value: Callable[[Measurement], float]) -> float:
        return median(value(run) for run in runs)

    rates = [units(run) / run.wall for run in runs]
    return Summary(
        row=row.name,
        client=name,
        runs=len(runs),
        rate=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        cost=middle(lambda run: run.cpu / units(run)),
        peak_memory=middle(lambda run: run.peak_memory),
        origin_busy=middle(lambda run: run.origin_cpu / run.wall),
    )
