"""What `bench` tells of its rounds: a table, a JSON document, a picture."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import click

from s3dlio import verbs
from s3dlio.cli import text
from s3dlio.cli.places import file_uri

_KINDS = ("svg", "png")


@dataclass(frozen=True, slots=True)
class Round:
    """One round: wall clock and CPU of this process in seconds, and what was done in it."""

    seconds: float
    cpu: float
    operations: int
    bytes: int

    @property
    def per_second(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU for one operation."""
        return self.cpu / self.operations * 1e6


def median(rounds: Sequence[Round]) -> Round:
    """Return the round in the middle by time, the slower of two."""
    return sorted(rounds, key=lambda each: each.seconds)[len(rounds) // 2]


def document(work: Mapping[str, Any], rounds: Sequence[Round]) -> dict[str, Any]:
    """Return all as what JSON can hold; rates are in operations and in bytes a second."""
    return {**work, "rounds": [_described(each) for each in rounds], "median": _described(median(rounds))}


def _described(each: Round) -> dict[str, float]:
    return {
        "seconds": each.seconds,
        "cpu_seconds": each.cpu,
        "operations_per_second": each.per_second,
        "bytes_per_second": each.rate,
    }


def print_table(work: Mapping[str, Any], rounds: Sequence[Round]) -> None:
    """Print a line for each round, and one for the median."""
    from rich.console import Console
    from rich.table import Table

    text.write([_title(work)])
    table = Table(box=None, pad_edge=False)
    table.add_column("round")
    for heading in ("seconds", "op/s", "rate", "CPU/op"):
        table.add_column(heading, justify="right")
    for number, each in enumerate(rounds, 1):
        table.add_row(str(number), *_cells(each))
    table.add_row("median", *_cells(median(rounds)))
    Console().print(table)


def _title(work: Mapping[str, Any]) -> str:
    size = f" of {text.size(work['size'])}" if work["size"] else ""
    return f"{work['work']}: {text.objects(work['count'])}{size}, {work['concurrency']} in flight"


def _cells(each: Round) -> tuple[str, str, str, str]:
    rate = f"{text.size(each.rate)}/s" if each.bytes else "–"
    return f"{each.seconds:.3f}", f"{each.per_second:,.0f}", rate, f"{each.cpu_each:,.0f} µs"


def check_plot(file: str) -> None:
    """Refuse a picture that could not be drawn in the end.

    Raises:
        click.UsageError: matplotlib is missing, or the name does not say which kind of picture.
    """
    if file.rpartition(".")[2] not in _KINDS:
        raise click.UsageError(f"--plot {file!r}: end the name in .svg or .png")
    if find_spec("matplotlib") is None:
        raise click.UsageError("--plot needs matplotlib: pip install 's3dlio-core[plot]'")


def draw(work: Mapping[str, Any], rounds: Sequence[Round], file: str) -> None:
    """Store a picture of the rounds: bytes a second, or operations where there are no bytes."""
    from matplotlib.figure import Figure  # the options of its methods have no types

    scale, unit = (1 << 20, "MiB/s") if work["size"] else (1, "op/s")
    heights = [(each.rate if work["size"] else each.per_second) / scale for each in rounds]
    figure: Any = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.bar([str(number) for number in range(1, len(rounds) + 1)], heights)
    axes.axhline(statistics.median(heights), linestyle="--", color="black", linewidth=1)
    axes.set_title(_title(work))
    axes.set_xlabel("round (dashed: median)")
    axes.set_ylabel(unit)
    picture = io.BytesIO()
    figure.savefig(picture, format=file.rpartition(".")[2])
    verbs.put(file_uri(file), picture.getvalue())
