"""The results as files: Markdown with a table for each family, JSON with every measurement, plots.

Ratios compare s3dlio with the best peer of that row, in rate and in CPU time each. MiB are 2²⁰ bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import goals
from benchmarks.clients import OURS
from benchmarks.harness import Outcome
from benchmarks.machine import Machine
from benchmarks.rows import FAMILIES, MIB, Family, Row, find
from benchmarks.summary import Summary, summarise

_TITLES: Mapping[Family, str] = {
    "get": "GET",
    "put": "PUT",
    "async": "asyncio",
    "tls": "TLS",
    "latency": "20 ms of latency",
    "list": "LIST",
    "file": "Files",
    "direct": "Files past the page cache",
    "import": "Import",
}
_SIGNS = {"rate": "≥", "rate of": "≥", "cpu": "≤", "memory": "≤", "milliseconds": "≤"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that a run has brought. `left_out` says what was not measured at all, and why."""

    machine: Machine
    rows: Sequence[Row]
    outcome: Outcome
    left_out: Sequence[str] = ()

    def summaries(self) -> dict[str, list[Summary]]:
        """Return the medians by row."""
        return {row.name: summarise(row, self.outcome.measurements) for row in self.rows}

    def judged(self) -> list[goals.Result]:
        """Return the goals whose rows were to be measured, judged."""
        chosen = {row.name for row in self.rows}
        found = self.summaries()
        return [goals.judge(goal, found) for goal in goals.GOALS if goal.row in chosen]


def write(folder: Path, run: Run) -> str:
    """Write `results.json` and `table.md` into `folder` and return what is in the latter."""
    document = {
        "machine": asdict(run.machine),
        "left_out": [*run.left_out],
        "failures": [asdict(each) for each in run.outcome.failures],
        "goals": [{**asdict(each), "verdict": each.verdict} for each in run.judged()],
        "rows": [asdict(row) for row in run.rows],
        "summaries": [asdict(each) for found in run.summaries().values() for each in found],
        "measurements": [asdict(each) for each in run.outcome.measurements],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    text = page(run)
    (folder / "table.md").write_text(text)
    return text


def page(run: Run) -> str:
    """Return the results in Markdown."""
    found = run.summaries()
    parts = [_preamble(run), _goals(run.judged())]
    for family in FAMILIES:
        rows = [row for row in run.rows if row.family == family]
        parts.append(_table(family, rows, found) if rows else "")
    parts.append(_absent(run))
    return "\n\n".join(part for part in parts if part) + "\n"


def _preamble(run: Run) -> str:
    machine = run.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"{machine.date}, {machine.cores} cores of {machine.cpu}, {machine.memory_gib} GiB, "
        f"Linux {machine.kernel}, Python {machine.python}, load {machine.load} before the run.\n{versions}.\n\n"
        f"    {machine.command}\n\n"
        "Medians of alternating runs, of which “runs” says how many (slow clients have two at most): "
        "rate · CPU of the client's process · peak memory. "
        "A higher rate ratio and a lower CPU ratio are better for s3dlio; each compares with the peer that is best in "
        "just that. The column “origin busy” is the most CPU that the origin used of one core, in any client's runs."
    )


def _goals(judged: Sequence[goals.Result]) -> str:
    if not judged:
        return ""
    met = sum(each.verdict == "met" for each in judged)
    heads = ["goal", "wanted", "measured", "against", ""]
    lines = [f"## Goals: {met} of {len(judged)} met", "", *_heads(heads)]
    lines += [_cells(_goal(each)) for each in judged]
    return "\n".join(lines)


def _goal(result: goals.Result) -> list[str]:
    goal = result.goal
    wanted = f"{_SIGNS[goal.measure]} {_shown(goal.measure, goal.factor)}"
    if goal.instead:
        wanted += f", or {_SIGNS[goal.instead.measure]} {_shown(goal.instead.measure, goal.instead.factor)}"
    figure = "–" if result.figure is None else _shown(goal.measure, result.figure)
    return [find(goal.row).title, wanted, figure, result.against or "–", result.verdict]


def _shown(measure: goals.Measure, figure: float) -> str:
    match measure:
        case "memory":
            return f"{figure:.0f} MiB over"
        case "milliseconds":
            return f"{figure:.1f} ms"
        case "cpu":
            return f"{figure:.2f} × CPU"
        case "rate" | "rate of":
            return f"{figure:.2f} × rate"


def _table(family: Family, rows: Sequence[Row], found: Mapping[str, Sequence[Summary]]) -> str:
    measured = [row for row in rows if found[row.name]]
    if not measured:
        return ""
    names = list(dict.fromkeys(each.client for row in measured for each in found[row.name]))
    busy = any(row.scheme == "s3" and row.verb != "import" for row in measured)
    heads = ["row", *names, "rate ÷ best peer's", "CPU ÷ best peer's", *["origin busy"] * busy, "runs"]
    lines = [_line(row, names, found[row.name], busy=busy) for row in measured]
    return "\n".join([f"## {_TITLES[family]}", "", *_heads(heads), *lines])


def _line(row: Row, names: Sequence[str], summaries: Sequence[Summary], *, busy: bool) -> str:
    by_name = {each.client: each for each in summaries}
    values = [_cell(row, by_name[name]) if name in by_name else "–" for name in names]
    origin = [f"{max(each.origin_busy for each in summaries):.0%}"] * busy
    return _cells([row.title, *values, *_ratios(by_name), *origin, str(max(each.runs for each in summaries))])


def _cell(row: Row, one: Summary) -> str:
    if row.verb == "import":
        return f"{1e3 / one.rate:,.1f} ms · {1e3 * one.cost:,.1f} ms CPU"
    memory = f"{one.peak_memory / MIB:,.0f} MiB"
    if row.by_bytes:
        return f"{one.rate:.2f} GB/s · {one.cost:.2f} s/GB · {memory}"
    unit = "key" if row.verb == "list" else "op"
    return f"{one.rate:,.0f} {unit}/s · {one.cost * 1e6:,.1f} µs/{unit} · {memory}"


def _ratios(by_name: Mapping[str, Summary]) -> tuple[str, str]:
    """Return the ratios of the rates and of the costs. The best peer may be another one in each."""
    ours = by_name.get(OURS)
    peers = [each for name, each in by_name.items() if name != OURS]
    if ours is None or not peers:
        return "–", "–"
    rate = ours.rate / max(each.rate for each in peers)
    cost = ours.cost / min(each.cost for each in peers)
    return f"{rate:.2f}", f"{cost:.2f}"


def _absent(run: Run) -> str:
    lines = [f"* {each}" for each in run.left_out]
    lines += [f"* {find(each.row).title}, {each.client}: {each.words}" for each in run.outcome.failures]
    return "\n".join(["## Not measured", "", *lines]) if lines else ""


def _heads(heads: Sequence[str]) -> list[str]:
    return [_cells(heads), "|" + "---|" * len(heads)]


def _cells(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"
