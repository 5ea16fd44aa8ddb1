"""The run: each client in turn, row by row, each measurement in a fresh process.

The clients alternate (A B C A B C …), so whatever else the machine does falls on all of them alike. A client that
fails a row is out of that row and the run goes on: its last words stand in the results.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks import environments, machine
from benchmarks.clients import KINDS
from benchmarks.environments import ROOT
from benchmarks.goals import GOALS
from benchmarks.rows import GIB, Row
from benchmarks.run_one import Assignment, Measurement
from benchmarks.stage import Stage

_GOAL_ROWS = frozenset(goal.row for goal in GOALS)
_PATIENCE = 180.0  # seconds for one measurement: a client that hangs is a failure, not the end of the run
_TOUCHED = 3 * GIB  # bytes: more than any client takes for a row of one object
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each client does a row that a goal names, how often any other, and for how many seconds at least.

    A slow client does no row more often than `slow`.
    """

    goals: int = 5
    others: int = 3
    slow: int = 2
    seconds: float = 0.5

    def repetitions(self, row: Row, name: str) -> int:
        """Return how often a client does a row."""
        most = self.slow if KINDS[name].slow else self.turns(row)
        return min(most, self.turns(row))

    def turns(self, row: Row) -> int:
        """Return how many turns a row has: one when a step takes gigabytes and many seconds."""
        if row.without:
            return 1
        return self.goals if row.name in _GOAL_ROWS else self.others


QUICK = Effort(goals=1, others=1, seconds=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A client that did not do a row, or did it wrong, and the last thing it said."""

    row: str
    client: str
    words: str


@dataclass(slots=True)
class Outcome:
    """What a run has brought so far."""

    measurements: list[Measurement] = field(default_factory=list[Measurement])
    failures: list[Failure] = field(default_factory=list[Failure])


def run(
    stage: Stage,
    rows: Sequence[Row],
    names: Sequence[str],
    effort: Effort,
    tell: Callable[[Measurement | Failure], None],
) -> Outcome:
    """Measure every row; `tell` hears of each measurement as it is made."""
    outcome = Outcome()
    for row in rows:
        able = [name for name in names if KINDS[name].does(row, name)]
        for turn in range(effort.turns(row)):
            for name in [name for name in able if turn < effort.repetitions(row, name)]:
                found = _measure(stage, row, name, effort.seconds)
                tell(found)
                if isinstance(found, Failure):
                    outcome.failures.append(found)
                    able.remove(name)
                else:
                    outcome.measurements.append(found)
    return outcome


def _measure(stage: Stage, row: Row, name: str, seconds: float) -> Measurement | Failure:
    task = stage.assignment(row, name, seconds)
    if row.wants_memory:
        machine.settle_memory(max(_TOUCHED, row.size * row.batch * 3 // 2))
    try:
        ended = _spawn(stage, task)
    except subprocess.TimeoutExpired:
        return Failure(row=row.name, client=name, words=f"took more than {_PATIENCE:.0f} s")
    if ended.returncode:
        print(ended.stderr, end="", file=sys.stderr)
        return Failure(row=row.name, client=name, words=_last_words(ended))
    return Measurement(**json.loads(ended.stdout.splitlines()[-1]))


def _spawn(stage: Stage, task: Assignment) -> subprocess.CompletedProcess[str]:
    kind = KINDS[task.client]
    python = environments.python_of(kind.environment)
    return subprocess.run(
        [python, "-m", "benchmarks.run_one", json.dumps(asdict(task))],
        cwd=ROOT,
        env=stage.environment(task, isolated=kind.environment is not None),
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )


def _last_words(ended: subprocess.CompletedProcess[str]) -> str:
    said = ended.stderr.strip().splitlines()
    if not said:
        return f"ended with status {ended.returncode}"
    return said[-1].replace(str(ROOT), ".")[:_SHOWN]
