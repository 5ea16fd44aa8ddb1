"""How long an exchange may take: a limit for the first byte, and a pace that a body has to keep.

There is no limit for a whole body: a slow one that keeps the pace is healthy, a drip or a stall is not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from s3dlio.errors import DeadlineExceededError

_GRACE = 5.0  # seconds of a body before the pace counts


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits: seconds until the first byte, and bytes for each window of seconds; 0 bytes turns the pace off."""

    first_byte: float = 20.0
    bytes: int = 64 << 10
    window: float = 10.0


class Patience:
    """The clock of one exchange. `check` is called after each slice of waiting."""

    __slots__ = ("_due", "_mark", "_moving", "_pace")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._mark = 0
        self._moving = False
        self._due = time.monotonic() + pace.first_byte

    def check(self, moved: int, *, started: bool) -> None:
        """Raise `DeadlineExceededError` when the answer is overdue; `moved` counts the bytes in both directions."""
        now = time.monotonic()
        if not started and moved == self._mark:
            if now > self._due:
                raise DeadlineExceededError(f"no answer within {self._pace.first_byte:g} s")
            return
        if not self._moving:
            self._moving = True
            self._next(now + min(_GRACE, self._pace.window), moved)
            return
        if not self._pace.bytes or now <= self._due:
            return
        if moved - self._mark < self._pace.bytes:
            amount = moved - self._mark
            raise DeadlineExceededError(f"stalled: {amount} bytes in {self._pace.window:g} s; it counts as dead")
        self._next(now, moved)

    def _next(self, now: float, moved: int) -> None:
        self._mark = moved
        self._due = now + self._pace.window
