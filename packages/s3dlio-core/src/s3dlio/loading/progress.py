"""Progress: which samples of an epoch have been taken, whoever took them.

A position is the place of a sample in the order of the whole epoch. Consumers in step have taken a beginning, which
one number tells; what single ones have taken beyond it is a few ranges more. Nothing here depends on how many
consumers there were, so any other number of them can go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from s3dlio.loading.order import Indices


@dataclass(frozen=True, slots=True)
class Progress:
    """All positions below `position` are taken, and beyond it those of `ahead`: ranges as (start, stop)."""

    position: int = 0
    ahead: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse ranges that are out of order."""
        end = self.position
        for start, stop in self.ahead:
            if not end < start < stop:
                raise ValueError(f"ahead={self.ahead}: ranges are (start, stop), ascending, beyond {self.position}")
            end = stop

    @property
    def end(self) -> int:
        """Nothing is taken from here on."""
        return self.ahead[-1][1] if self.ahead else self.position

    def left(self, n: int) -> int:
        """Return how many of an epoch of `n` samples are left."""
        return n - self.position - sum(stop - start for start, stop in self.ahead)

    def positions(self, places: Indices) -> Indices:
        """Return the positions of the samples that are left, by their places among those, from 0."""
        if not self.ahead:
            return places + self.position
        starts = np.array([self.position, *(stop for _, stop in self.ahead)])
        gaps = np.cumsum([0, *(start - begin for begin, (start, _) in zip(starts.tolist(), self.ahead, strict=False))])
        gap = np.searchsorted(gaps[1:], places, side="right")
        found: Indices = places - gaps[gap] + starts[gap]
        return found

    def with_taken(self, places: Iterable[tuple[int, int]]) -> Progress:
        """Return the progress when ranges of places, as (start, stop), are taken too."""
        return _of([(0, self.position), *self.ahead, *(range_ for each in places for range_ in self._ranges(*each))])

    def _ranges(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the ranges of positions that a range of places is."""
        found: list[tuple[int, int]] = []
        begin, passed = self.position, 0
        for taken, resumed in (*self.ahead, (None, 0)):
            left, right = max(start, passed), stop if taken is None else min(stop, passed + taken - begin)
            if left < right:
                found.append((begin + left - passed, begin + right - passed))
            if taken is not None:
                passed, begin = passed + taken - begin, resumed
        return found


def _of(ranges: list[tuple[int, int]]) -> Progress:
    """Return the progress of ranges of positions, in any order."""
    merged: list[tuple[int, int]] = [(0, 0)]
    for start, stop in sorted(ranges):
        if start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        elif start < stop:
            merged.append((start, stop))
    return Progress(merged[0][1], tuple(merged[1:]))
