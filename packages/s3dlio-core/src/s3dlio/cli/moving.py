"""What a transfer of many objects shows while it runs, and what it says at its end.

On a terminal a bar that knows the whole, because the listing is read once before; elsewhere now and then a line.
All of it goes to standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

from s3dlio.cli import text
from s3dlio.tree import Progress

_LINE_EVERY = 5.0  # seconds


class Lines:
    """Says every few seconds how far it is; `now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._start = self._last = now()

    def moved(self, files: int, bytes_: int) -> None:
        """Write a line, if the last one is a while ago."""
        now = self._now()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            click.echo(text.moved(files, bytes_, now - self._start), err=True)


@contextmanager
def display(quiet: bool, whole: Callable[[], tuple[int, int]]) -> Generator[Progress]:
    """Choose what is shown; `whole` counts objects and bytes, and is asked only for a bar."""
    if quiet:
        yield lambda files, bytes_: None
    elif not sys.stderr.isatty():
        yield Lines().moved
    else:
        with _bar(*whole()) as moved:
            yield moved


@contextmanager
def _bar(objects: int, bytes_: int) -> Generator[Progress]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.description}"),
    )
    of = f"of {text.objects(objects)}"
    with progress.Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task(f"0 {of}", total=bytes_)
        yield lambda files, moved: shown.update(task, completed=moved, description=f"{files:,} {of}")


def conclude(word: str, files: int, bytes_: int, seconds: float, skipped: int) -> None:
    """Say what was done in all."""
    rest = f", skipped {skipped:,}" if skipped else ""
    click.echo(f"{word} {text.moved(files, bytes_, seconds)}{rest}", err=True)
