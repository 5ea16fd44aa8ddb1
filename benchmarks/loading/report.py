"""The results as files: Markdown with a table for each group of rows, JSON with every measurement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.loading.harness import Outcome
from benchmarks.loading.rows import Row, find
from benchmarks.loading.summary import GOAL, Goal, Summary, judge, summarise
from benchmarks.machine import Machine
from benchmarks.rows import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that a run has brought. `left_out` says what was not measured at all, and why."""

    machine: Machine
    rows: Sequence[Row]
    outcome: Outcome
    left_out: Sequence[str] = ()

    def summaries(self) -> list[Summary]:
        """Return the medians of every row."""
        return [each for row in self.rows for each in summarise(row, self.outcome.measurements)]

    def goals(self) -> list[Goal]:
        """Return the goals of the groups that were to be measured."""
        found = self.summaries()
        groups = dict.fromkeys(row.group for row in self.rows)
        return [judge(group, [each for each in found if find(each.row).group == group]) for group in groups]


def write(folder: Path, run: Run) -> str:
    """Write `results.json` and `table.md` into `folder` and return what is in the latter."""
    document = {
        "machine": asdict(run.machine),
        "left_out": [*run.left_out],
        "failures": [asdict(each) for each in run.outcome.failures],
        "goals": [{**asdict(each), "ratio": each.ratio, "verdict": each.verdict} for each in run.goals()],
        "rows": [{"name": row.name, **asdict(row)} for row in run.rows],
        "summaries": [asdict(each) for each in run.summaries()],
        "measurements": [asdict(each) for each in run.outcome.measurements],
    }
    text = page(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "table.md").write_text(text)
    return text


def page(run: Run) -> str:
    """Return the results in Markdown."""
    parts = [_preamble(run.machine), _goals(run.goals())]
    for group in dict.fromkeys(row.group for row in run.rows):
        parts.append(_table([row for row in run.rows if row.group == group], run.summaries()))
    parts.append(_absent(run))
    return "\n\n".join(part for part in parts if part) + "\n"


def described(machine: Machine) -> str:
    """Return the machine, the versions and the command, as every page of results begins."""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"{machine.date}, {machine.cores} cores of {machine.cpu}, {machine.memory_gib} GiB, "
        f"Linux {machine.kernel}, Python {machine.python}, load {machine.load} before the run.\n{versions}.\n\n"
        f"    {machine.command}"
    )


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join([_cells(heads), "|" + "---|" * len(heads), *map(_cells, lines)])


def _preamble(machine: Machine) -> str:
    return (
        f"{described(machine)}\n\n"
        "One epoch, medians of alternating runs, of which “runs” says how many. CPU is that of the client's process "
        "and of its workers; memory is the most that they held together, sampled five times a second, shared pages "
        "counted once. “First batch” is the time from asking the loader for an iterator to its first batch. “Origin "
        "busy” is the CPU that the origin used of one core. “Samples” is what was read in one run: a client for "
        "which the epoch would take minutes reads a tenth of it."
    )


def _goals(goals: Sequence[Goal]) -> str:
    met = sum(each.verdict == "met" for each in goals)
    lines = [_goal(each) for each in goals]
    heads = ["goal", "wanted", "measured", "best of s3dlio", "best peer", ""]
    return f"## Goals: {met} of {len(goals)} met\n\n" + table(heads, lines)


def _goal(goal: Goal) -> list[str]:
    title = (
        next(find(each.row).title for each in (goal.ours, goal.peer) if each) if goal.ours or goal.peer else goal.group
    )
    ratio = "–" if goal.ratio is None else f"{goal.ratio:.2f} × rate"
    return [title, f"≥ {GOAL:.2f} × rate", ratio, _named(goal.ours), _named(goal.peer), goal.verdict]


def _named(one: Summary | None) -> str:
    if one is None:
        return "–"
    return f"{one.client}, {find(one.row).workers} workers: {one.rate:,.0f} samples/s"


def _table(rows: Sequence[Row], summaries: Sequence[Summary]) -> str:
    names = {row.name for row in rows}
    found = sorted((each for each in summaries if each.row in names), key=lambda each: -each.rate)
    if not found:
        return ""
    heads = ["client", "workers", "samples/s", "GB/s", "CPU ms/sample", "memory", "first batch", "origin busy"]
    return f"## {rows[0].title}\n\n" + table([*heads, "samples", "runs"], [_line(each) for each in found])


def _line(one: Summary) -> list[str]:
    return [
        one.client,
        str(find(one.row).workers),
        f"{one.rate:,.0f}",
        f"{one.bandwidth / 1e9:.2f}",
        f"{1e3 * one.cost:.3f}",
        f"{one.peak_memory / MIB:,.0f} MiB",
        f"{1e3 * one.first:,.0f} ms",
        f"{one.origin_busy:.0%}",
        f"{one.samples:,}",
        str(one.runs),
    ]


def _absent(run: Run) -> str:
    lines = [f"* {each}" for each in run.left_out]
    lines += [
        f"* {find(each.row).title}, {find(each.row).workers} workers, {each.client}: {each.words}"
        for each in run.outcome.failures
    ]
    return "\n".join(["## Not measured", "", *lines]) if lines else ""


def _cells(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"
