"""When credentials are renewed: before they end, by one thread for the whole process.

The thread starts with the first credentials that have an end, goes when there are none left, and is not there in the
child of a fork until the child has such credentials too. Its times are those of the wall clock, as the ends are.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from typing import Protocol

_EARLIEST, _LATEST = 600.0, 300.0  # seconds before the end: inside the window in which botocore asks for new ones
_SHORT = 1200.0  # seconds: of credentials that live shorter the window would be too much
_MOST_DOUBLINGS = 6
_LONGEST_SLEEP = 30.0  # seconds: the wall clock may be set, and a process may have been stopped for an hour


class Renewable(Protocol):
    """Who holds credentials."""

    def renew(self) -> float | None:
        """Look for newer ones, and return when to be asked again (seconds since the epoch); None for never."""
        ...


class _Renewer:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[weakref.ref[Renewable], float] = {}
        self._running = False

    def watch(self, holder: Renewable, due: float) -> None:
        with self._changed:
            self._due[weakref.ref(holder)] = due
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name="s3dlio-credentials", daemon=True).start()
            self._changed.notify()

    def _work(self) -> None:
        while (ref := self._next()) is not None:
            holder = ref()
            due = holder.renew() if holder is not None else None
            if holder is not None and due is not None:
                self.watch(holder, due)
            del holder

    def _next(self) -> weakref.ref[Renewable] | None:
        """Wait for the next that is due and take it; None when nobody is left."""
        with self._changed:
            while True:
                self._due = {ref: due for ref, due in self._due.items() if ref() is not None}
                if not self._due:
                    self._running = False
                    return None
                ref, due = min(self._due.items(), key=lambda item: item[1])
                left = due - time.time()
                if left <= 0:
                    del self._due[ref]
                    return ref
                self._changed.wait(min(left, _LONGEST_SLEEP))


_renewer = _Renewer()
_watching_forks = False


def watch(holder: Renewable, due: float) -> None:
    """Have `holder` asked for a renewal at `due`, in seconds since the epoch; it is held weakly."""
    global _watching_forks
    if not _watching_forks:
        _watching_forks = True
        os.register_at_fork(after_in_child=_after_fork)
    _renewer.watch(holder, due)


def due(end: float, *, inherited: bool = False) -> float:
    """Return when to renew credentials that end at `end`: 5 to 10 minutes before, sooner for short-lived ones.

    The jitter keeps processes that started together from asking together. Those that inherited their credentials from
    one parent are spread over what is left, if that is little.
    """
    now = time.time()
    left = max(0.0, end - now)
    if left > _SHORT:
        return end - random.uniform(_LATEST, _EARLIEST)
    return now + left * random.uniform(0.0 if inherited else 0.5, 0.75)


def after_failures(failures: int) -> float:
    """Return when to try again after so many failures in a row."""
    return time.time() + 2.0 ** min(failures - 1, _MOST_DOUBLINGS) * random.uniform(0.5, 1.0)


def _after_fork() -> None:
    """Forget the parent's thread and what it watched: the child has stores of its own."""
    global _renewer
    _renewer = _Renewer()
