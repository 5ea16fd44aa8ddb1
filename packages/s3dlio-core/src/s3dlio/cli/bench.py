"""`bench`: how fast this machine gets, puts and lists on a given storage.

It works below a prefix of its own, with random bytes, and removes what it put, also when it is interrupted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from s3dlio import verbs
from s3dlio.cli import figures, text
from s3dlio.cli.figures import Round
from s3dlio.cli.places import as_directory
from s3dlio.errors import IntegrityError
from s3dlio.uri import parse

_size = click.option(
    "--size", type=text.size_of, metavar="SIZE", default="1MiB", show_default=True, help="Of one object."
)
_count = click.option("--count", type=click.IntRange(min=1), default=100, show_default=True, help="Objects.")
_concurrency = click.option(
    "--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="Objects under way at once."
)
_repeat = click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Rounds.")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
_plot = click.option("--plot", metavar="FILE", help="Draw the rounds too, as .svg or .png (needs matplotlib).")


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured: `size` is that of one object in bytes; `base` is the prefix, which ends in `/`."""

    name: str
    base: str
    size: int
    count: int
    concurrency: int

    def uris(self) -> list[str]:
        """Return where the objects are."""
        return [f"{self.base}{number:06}" for number in range(self.count)]


@click.group()
def bench() -> None:
    """Measure a storage."""


@bench.command()
@click.argument("uri")
@_size
@_count
@_concurrency
@_repeat
@_json
@_plot
def get(uri: str, size: int, count: int, concurrency: int, repeat: int, as_json: bool, plot: str | None) -> None:
    """Read COUNT objects."""
    _measure(_work("get", uri, size, count, concurrency), _get, repeat, as_json, plot)


@bench.command()
@click.argument("uri")
@_size
@_count
@_concurrency
@_repeat
@_json
@_plot
def put(uri: str, size: int, count: int, concurrency: int, repeat: int, as_json: bool, plot: str | None) -> None:
    """Store COUNT objects; each round replaces those of the one before."""
    _measure(_work("put", uri, size, count, concurrency), _put, repeat, as_json, plot)


@bench.command("list")
@click.argument("uri")
@_count
@_concurrency
@_repeat
@_json
@_plot
def list_(uri: str, count: int, concurrency: int, repeat: int, as_json: bool, plot: str | None) -> None:
    """List COUNT empty objects."""
    _measure(_work("list", uri, 0, count, concurrency), _list, repeat, as_json, plot)


def _work(name: str, uri: str, size: int, count: int, concurrency: int) -> Work:
    base = f"{as_directory(parse(uri))}s3dlio-bench-{os.urandom(4).hex()}/"
    return Work(name, base, size, count, concurrency)


def _measure(work: Work, once: Callable[[Work, Any], None], repeat: int, as_json: bool, plot: str | None) -> None:
    if plot is not None:
        figures.check_plot(plot)
    data = os.urandom(work.size)
    with _emptied(work):
        if work.name != "put":
            _put(work, data)
        rounds = [_timed(work, once, data) for _ in range(repeat)]
    described = {"work": work.name, "size": work.size, "count": work.count, "concurrency": work.concurrency}
    if as_json:
        text.write([text.as_json(figures.document(described, rounds))])
    else:
        figures.print_table(described, rounds)
    if plot is not None:
        figures.draw(described, rounds, plot)


@contextmanager
def _emptied(work: Work) -> Generator[None]:
    try:
        yield
    finally:
        try:
            verbs.delete(work.base, recursive=True)
        except BaseException as problem:
            problem.add_note(f"objects may be left below {work.base}")
            raise


def _timed(work: Work, once: Callable[[Work, Any], None], data: bytes) -> Round:
    cpu, start = time.process_time(), time.perf_counter()
    once(work, data)
    return Round(time.perf_counter() - start, time.process_time() - cpu, work.count, work.count * work.size)


def _put(work: Work, data: bytes) -> None:
    def items() -> Iterator[tuple[str, bytes]]:
        for uri in work.uris():
            yield uri, data

    verbs.put_many(items(), workers=work.concurrency)


def _get(work: Work, data: bytes) -> None:
    for _, view in verbs.iter_many(work.uris(), work.concurrency, ordered=False):
        if len(view) != len(data):
            raise IntegrityError(f"an object below {work.base} has {len(view)} bytes instead of {len(data)}", work.base)


def _list(work: Work, data: bytes) -> None:
    found = sum(1 for _ in verbs.list_iter(work.base, recursive=True))
    if found != work.count:
        raise IntegrityError(f"the listing of {work.base} has {found} of {work.count} objects", work.base)
