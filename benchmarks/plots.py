"""The results as pictures: one SVG for each family, in panels of rates and of CPU time.

What is drawn is decided without matplotlib, as `Panel`s; only `draw` needs it. It has types of its own which say
nothing here, so what is used of it is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from benchmarks.clients import KINDS
from benchmarks.rows import FAMILIES, Row
from benchmarks.summary import Summary

_WIDTH, _HEIGHT = 4.6, 3.2  # inches, of one panel


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: for each client the values at the places, None where it has none."""

    title: str
    places: tuple[str, ...]
    values: Mapping[str, tuple[float | None, ...]]


class Axes(Protocol):
    """What is used of a diagram."""

    def bar(self, x: Sequence[float], height: Sequence[float], width: float, label: str, color: str) -> object: ...  # noqa: D102
    def set_title(self, label: str, fontsize: int) -> object: ...  # noqa: D102
    def set_xticks(self, ticks: Sequence[float], labels: Sequence[str], fontsize: int) -> object: ...  # noqa: D102
    def grid(self, visible: bool, axis: str, alpha: float) -> object: ...  # noqa: D102
    def get_legend_handles_labels(self) -> tuple[Sequence[object], Sequence[str]]: ...  # noqa: D102


class Figure(Protocol):
    """What is used of a figure."""

    def subplots(self, nrows: int, ncols: int, squeeze: bool) -> Sequence[Sequence[Axes]]: ...  # noqa: D102
    def legend(  # noqa: D102
        self, handles: Sequence[object], labels: Sequence[str], loc: str, ncols: int, fontsize: int
    ) -> object: ...
    def savefig(self, fname: Path, metadata: Mapping[str, None]) -> object: ...  # noqa: D102


def panels(rows: Sequence[Row], found: Mapping[str, Sequence[Summary]]) -> list[Panel]:
    """Return the diagrams of one family: operations a second, bytes a second, and CPU time of either, if there are any.

    Rows that GET and rows that PUT stand in diagrams of their own. Slow clients are not in those of CPU time: theirs is
    so much that the others' would be a line.
    """
    made: list[Panel] = []
    for verb in dict.fromkeys(row.verb[:3] for row in rows):
        measured = [row for row in rows if row.verb[:3] == verb and found.get(row.name)]
        small = [row for row in measured if not row.by_bytes]
        large = [row for row in measured if row.by_bytes]
        if verb == "imp":
            made += _panels(small, found, [("milliseconds", lambda one: 1e3 / one.rate)])
            continue
        unit = "key" if verb == "lis" else "op"
        sort = {"get": "GET, ", "put": "PUT, "}.get(verb, "")
        rate, cpu = (f"{sort}{unit}/s", lambda one: one.rate), (f"{sort}CPU µs/{unit}", lambda one: 1e6 * one.cost)
        made += _panels(small, found, [rate, cpu])
        made += _panels(
            large, found, [(f"{sort}GB/s", lambda one: one.rate), (f"{sort}CPU s/GB", lambda one: one.cost)]
        )
    return made


def _panels(
    rows: Sequence[Row],
    found: Mapping[str, Sequence[Summary]],
    sorts: Sequence[tuple[str, Callable[[Summary], float]]],
) -> list[Panel]:
    if not rows:
        return []
    names = [name for name in KINDS if any(each.client == name for row in rows for each in found[row.name])]
    places = tuple(_place(row) for row in rows)
    return [
        Panel(
            title,
            places,
            {name: _values(name, rows, found, value) for name in names if "CPU" not in title or not KINDS[name].slow},
        )
        for title, value in sorts
    ]


def _values(
    name: str, rows: Sequence[Row], found: Mapping[str, Sequence[Summary]], value: Callable[[Summary], float]
) -> tuple[float | None, ...]:
    by_row = [next((each for each in found[row.name] if each.client == name), None) for row in rows]
    return tuple(None if each is None else value(each) for each in by_row)


def _place(row: Row) -> str:
    """Return what stands under the bars of a row: its size, and below it how many are in flight."""
    if not row.size:
        return row.title
    notes = [f"{row.in_flight} in flight"] if row.verb in ("get", "put") else []
    notes += ["checksums"] * row.checksums + ["first call"] * row.fresh
    return "\n".join([row.shown_size, *notes])


def draw(folder: Path, rows: Sequence[Row], found: Mapping[str, Sequence[Summary]]) -> list[Path]:
    """Draw one SVG for each family that was measured and return the files.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    matplotlib = import_module("matplotlib")
    matplotlib.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"})
    drawn: list[Path] = []
    for family in FAMILIES:
        chosen = panels([row for row in rows if row.family == family], found)
        if chosen:
            drawn.append(folder / f"{family}.svg")
            _draw(drawn[-1], chosen)
    return drawn


def _draw(file: Path, chosen: Sequence[Panel]) -> None:
    widest = max(len(panel.places) for panel in chosen)
    columns = min(2, len(chosen))
    lines = -(-len(chosen) // columns)
    size = (columns * max(_WIDTH, 0.9 * widest), lines * _HEIGHT)
    figure = cast("Figure", import_module("matplotlib.figure").Figure(figsize=size, layout="constrained"))
    axes = [each for line in figure.subplots(lines, columns, squeeze=False) for each in line]
    for panel, each in zip(chosen, axes, strict=False):
        _bars(panel, each)
    named = dict(pair for each in axes for pair in zip(*reversed(each.get_legend_handles_labels()), strict=True))
    figure.legend([*named.values()], [*named], loc="outside upper center", ncols=4, fontsize=7)
    figure.savefig(file, metadata={"Date": None})


def _bars(panel: Panel, axes: Axes) -> None:
    width = 0.8 / len(panel.values)
    for order, (name, values) in enumerate(panel.values.items()):
        there = [(place, value) for place, value in enumerate(values) if value is not None]
        left = [place + (order - (len(panel.values) - 1) / 2) * width for place, _ in there]
        axes.bar(left, [value for _, value in there], width, label=name, color=_colour(name))
    axes.set_title(panel.title, fontsize=9)
    axes.set_xticks(range(len(panel.places)), panel.places, fontsize=6)
    axes.grid(True, axis="y", alpha=0.3)


def _colour(name: str) -> str:
    """Return a client's colour, the same in every picture: matplotlib's cycle, in the order of the clients."""
    return f"C{[*KINDS].index(name)}"
