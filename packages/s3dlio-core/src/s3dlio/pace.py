"""Pace: how many requests to have under way, so that none waits for another and no memory is wasted.

What has to be under way is the rate of arrivals times the time that one takes when it waits for nothing. Twice as much
lets the rate grow until something else bounds it; more would only fill memory that the caches no longer hold.
"""

from __future__ import annotations

from time import perf_counter

_GAIN = 2.0


class Pace:
    """A number of requests that follows what arrives, between `fewest` and `most`."""

    __slots__ = ("_arrivals", "_fewest", "_most", "_quickest", "_since", "limit")

    def __init__(self, fewest: int, most: int) -> None:
        self._fewest = self.limit = fewest
        self._most = most
        self._quickest = float("inf")
        self._arrivals = 0
        self._since = perf_counter()

    def arrived(self, seconds: float) -> None:
        """Note an arrival, and how long it was under way."""
        self._quickest = min(self._quickest, seconds)
        self._arrivals += 1
        if self._arrivals < self.limit:
            return
        now = perf_counter()
        wanted = _GAIN * self._quickest * self._arrivals / max(now - self._since, 1e-9)
        self.limit = max(self._fewest, min(self._most, int(wanted)))
        self._arrivals, self._since = 0, now
