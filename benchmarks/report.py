"""What the measurements say: medians by row and client, as a Markdown table and as JSON.

A rate is objects, keys or bytes per second of wall time; the cost is CPU time of the client's process for
the same unit. GB are 10⁹ bytes, MiB are 2²⁰. Ratios compare s3dlio with the best peer of that row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.clients import OURS
from benchmarks.machine import Machine
from benchmarks.rows import MIB, Row
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
        rate=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        cost=middle(lambda run: run.cpu / units(run)),
        peak_memory=middle(lambda run: run.peak_memory),
        origin_busy=middle(lambda run: run.origin_cpu / run.wall),
    )


def write(folder: Path, machine: Machine, rows: Sequence[Row], done: Sequence[Measurement]) -> str:
    """Write `results.json` and `table.md` into `folder` and return the table."""
    summaries = {row.name: summarise(row, done) for row in rows}
    document = {
        "machine": asdict(machine),
        "rows": [asdict(row) for row in rows],
        "summaries": [asdict(each) for row in rows for each in summaries[row.name]],
        "measurements": [asdict(each) for each in done],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    text = table(machine, rows, done)
    (folder / "table.md").write_text(text)
    return text


def table(machine: Machine, rows: Sequence[Row], done: Sequence[Measurement]) -> str:
    """Return the results in Markdown: one line a row, one column a client."""
    names = list(dict.fromkeys(each.client for each in done))
    heads = ["row", *names, "rate, s3dlio ÷ best peer", "CPU, s3dlio ÷ best peer", "origin busy"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += [_line(row, names, summarise(row, done)) for row in rows]
    return _preamble(machine, done) + "\n".join(lines) + "\n"


def _preamble(machine: Machine, done: Sequence[Measurement]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    runs = max(sum((each.row, each.client) == (one.row, one.client) for each in done) for one in done)
    return (
        f"{machine.date}, {machine.cores} cores of {machine.cpu}, {machine.memory_gib} GiB, "
        f"Linux {machine.kernel}, Python {machine.python}, load {machine.load} before the run.\n{versions}.\n\n"
        f"    {machine.command}\n\n"
        f"Medians of {runs} alternating runs: rate · CPU of the client's process · peak memory. "
        "A higher rate ratio and a lower CPU ratio are better for s3dlio. "
        "The last column is the most CPU that the origin used of one core, in any client's runs.\n\n"
    )


def _line(row: Row, names: Sequence[str], summaries: Sequence[Summary]) -> str:
    by_name = {each.client: each for each in summaries}
    cells = [_cell(row, by_name[name]) if name in by_name else "–" for name in names]
    busy = max(each.origin_busy for each in summaries)
    origin = "–" if row.source == "disk" else f"{busy:.0%}"
    return "| " + " | ".join([row.title, *cells, *_ratios(by_name), origin]) + " |"


def _cell(row: Row, one: Summary) -> str:
    memory = f"{one.peak_memory / MIB:,.0f} MiB"
    if row.by_bytes:
        return f"{one.rate:.2f} GB/s · {one.cost:.2f} s/GB · {memory}"
    unit = "key" if row.verb == "list" else "op"
    return f"{one.rate:,.0f} {unit}/s · {one.cost * 1e6:,.1f} µs/{unit} · {memory}"


def _ratios(by_name: dict[str, Summary]) -> tuple[str, str]:
    """Return the ratios of the rates and of the costs. The best peer may be another one in each."""
    ours = by_name.get(OURS)
    peers = [each for name, each in by_name.items() if name != OURS]
    if ours is None or not peers:
        return "–", "–"
    rate = ours.rate / max(each.rate for each in peers)
    cost = ours.cost / min(each.cost for each in peers)
    return f"{rate:.2f}", f"{cost:.2f}"
