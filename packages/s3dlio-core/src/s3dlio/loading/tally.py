"""Tallies: where the time of loading goes, counted where it passes.

Counts are kept in memory that the caller may share among worker processes, one line for each, so no lock is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]

LINES = 65
FIELDS = 6
_SAMPLES, _BYTES, _SKIPPED, _WAITED, _FETCHED, _USED = range(FIELDS)


@dataclass(frozen=True, slots=True)
class LoadStats:
    """What loading has done so far, over all worker processes.

    `samples` and `bytes` are what was handed out, `skipped` the samples that could not be read and were left out.
    All times are in seconds: `wait_seconds` the consumer waited for data, `use_seconds` it was busy with what it had
    got, `fetch_seconds` fetches took, added up; many run side by side.
    """

    samples: int
    bytes: int
    skipped: int
    wait_seconds: float
    fetch_seconds: float
    use_seconds: float

    @property
    def bottleneck(self) -> Literal["storage", "consumer"]:
        """Who the other waits for: storage, when the consumer spends most of its time waiting for data."""
        return "storage" if self.wait_seconds > self.use_seconds else "consumer"


class Tally:
    """One line of counts: that of this process."""

    __slots__ = ("_line",)

    def __init__(self, line: Counts | None = None) -> None:
        self._line: Counts = np.zeros(FIELDS, np.int64) if line is None else line

    def handed_out(self, size: int) -> None:
        """Count a sample of `size` bytes."""
        self._line[_SAMPLES] += 1
        self._line[_BYTES] += size

    def skipped(self) -> None:
        """Count a sample that was left out."""
        self._line[_SKIPPED] += 1

    def waited(self, seconds: float) -> None:
        """Add time that the consumer waited."""
        self._line[_WAITED] += int(seconds * 1e9)

    def fetched(self, seconds: float) -> None:
        """Add time that a fetch took."""
        self._line[_FETCHED] += int(seconds * 1e9)

    def used(self, seconds: float) -> None:
        """Add time that the consumer was busy with what it had."""
        self._line[_USED] += int(seconds * 1e9)


def lines(memory: Any) -> Counts:
    """Return the lines of counts in memory of `LINES * FIELDS` 64-bit integers."""
    return np.asarray(memory, np.int64).reshape(LINES, FIELDS)


def line_of(counts: Counts, worker: int | None) -> Counts:
    """Return the line of a worker process, or of the process that has none."""
    line: Counts = counts[0 if worker is None else 1 + worker % (LINES - 1)]
    return line


def summed(counts: Counts) -> LoadStats:
    """Return the sum of all lines."""
    total = counts.reshape(-1, FIELDS).sum(axis=0).tolist()
    samples, size, skipped, waited, fetched, used = total
    return LoadStats(samples, size, skipped, waited / 1e9, fetched / 1e9, used / 1e9)
