"""How an endpoint that asks for fewer requests is spared, by all calls to it and not only by the one that it refused.

It is left alone for as long as it asked. Then requests go out one by one, and the gap between them shrinks with each
success until it is gone: doubling on refusals and shrinking on successes finds the rate that the service bears.
"""

from __future__ import annotations

import random
import threading
import time

from s3dlio.steps import Pause

_FIRST_GAP = 0.01  # seconds: 100 requests a second, the least that services promise for a prefix is some thousand
_LARGEST_GAP = 1.0
_LEAST_GAP = 0.0005  # less is no limit any more
_SHRINK = 0.9
_LONGEST = 20.0  # seconds: what a service may ask for at most
_SPREAD = 0.05  # seconds over which those who wait come back


class Throttle:
    """The back-pressure of one endpoint, shared by all threads and coroutines.

    `gap` is the time between two requests in seconds, and 0.0 while nobody asks for patience: that is all that a call
    looks at then. `era` counts the times that the gap grew: a refusal grows it only if the request was sent since.
    """

    __slots__ = ("_lock", "_next", "era", "gap")

    def __init__(self) -> None:
        self.gap = 0.0
        self.era = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def slow_down(self, wait: float, era: int) -> None:
        """Note a refusal of a request that was sent in `era`; it asks for `wait` seconds, or with 0.0 for some."""
        now = time.monotonic()
        with self._lock:
            if era == self.era:
                self.gap = min(max(2 * self.gap, _FIRST_GAP), _LARGEST_GAP)
                self.era += 1
            self._next = max(self._next, now + max(min(wait, _LONGEST), self.gap))

    def ease(self, era: int) -> None:
        """Note a success of a request that was sent in `era`."""
        with self._lock:
            if era == self.era:
                self.gap = self.gap * _SHRINK if self.gap > _LEAST_GAP else 0.0

    async def turn(self) -> None:
        """Wait until the next request may go out."""
        while wait := self._wait():
            await Pause(wait)

    def _wait(self) -> float:
        """Take the next place in line and return 0.0, or return how long to wait before trying again."""
        now = time.monotonic()
        with self._lock:
            if now >= self._next:
                self._next = now + self.gap
                return 0.0
            return self._next - now + random.random() * max(_SPREAD, 8 * self.gap)
