"""The I/O threads: started when there is work for them, shared by the process, anew in the child of a fork.

A job reports its own outcome; nothing is returned here and nothing may be raised.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from s3dlio import config

GRACE = 0.8  # seconds that whoever is stopped waits for its clean-up, which then goes on without it
_EXIT_PATIENCE = 1.0  # seconds that the end of the process waits for jobs under way

Job = Callable[[], object]


class Stopped(Exception):  # noqa: N818 - not an error: it unwinds work that nobody waits for any more
    """The scope of this work was stopped."""


class Scope:
    """Work that is stopped together. Whoever waits in slices looks at `stopped` between them."""

    __slots__ = ("parent", "stopped_here")

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.stopped_here = False

    @property
    def stopped(self) -> bool:
        """Whether this scope or one around it has been stopped."""
        return self.stopped_here or (self.parent is not None and self.parent.stopped)

    def stop(self) -> None:
        """Ask everything in the scope to stop."""
        self.stopped_here = True


PROCESS = Scope()
"""The scope around all others: stopped when the interpreter exits."""


class _Threads:
    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.count = 0
        self.unfinished = 0

    def submit(self, job: Job) -> None:
        with self.lock:
            self.unfinished += 1
            wanted = self.unfinished > self.count and self.count < config.current().worker_threads
            self.count += wanted
        self.jobs.put(job)
        if wanted:
            threading.Thread(target=self._work, name=f"s3dlio-io-{self.count}", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self.jobs.get()
            try:
                job()
            finally:
                with self.lock:
                    self.unfinished -= 1
            del job


_threads = _Threads()


def submit(job: Job) -> None:
    """Run `job` in one of the I/O threads, in order of submission."""
    _threads.submit(job)


def after_fork() -> None:
    """Forget the parent's threads, which do not exist in the child."""
    global _threads
    _threads = _Threads()


def _hide_what_was_stopped(show: Callable[[threading.ExceptHookArgs], object]) -> Callable[..., object]:
    """Return an excepthook for the end of the process: a daemon thread stopped in a call has nothing to say."""

    def hook(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, Stopped):
            show(args)

    return hook


@atexit.register
def _stop() -> None:
    """Stop what is under way, so that no thread holds a buffer while the interpreter is torn down."""
    PROCESS.stop()
    threading.excepthook = _hide_what_was_stopped(threading.excepthook)
    end = time.monotonic() + _EXIT_PATIENCE
    while _threads.unfinished and time.monotonic() < end:
        time.sleep(0.005)
