"""One row's work through one client: the step that is timed, what warms it up, the proof that it was done.

A step counts what it moved and fails when that is not what the row says. The contents are checked outside the
timed section, against bytes that are computed, not read.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.request import urlopen

from benchmarks.clients import Body, Client, Place
from benchmarks.content import payload
from benchmarks.origin import CHECK_PREFIX, COUNTERS, LIST_PREFIX
from benchmarks.replies import listed_name
from benchmarks.rows import LISTED, MIB, Row

_WARM_CALLS = 2
_CHECKED_UPLOAD = 24 * MIB
"""Enough for several parts in every client, and little enough for the origin to keep."""


class WorkNotDoneError(Exception):
    """A client has returned or stored something other than what its row asked for."""


@dataclass(frozen=True, slots=True)
class Work:
    """`step` does the row's batch once, and `warm` opens connections.

    `prove` takes the number of steps done and raises `WorkNotDoneError` when something is missing or wrong.
    """

    step: Callable[[], None]
    warm: Callable[[], None]
    prove: Callable[[int], None]


def prepare(row: Row, client: Client, place: Place) -> Work:
    """Return the work of a row. Reads the origin's counters, so it must be called before the first step."""
    match row.verb:
        case "get":
            return _get(row, client)
        case "get-large":
            return _get_large(row, client)
        case "put":
            return _put(row, client, place)
        case "put-large":
            return _put_large(row, client, place)
        case "list":
            return _list(client)


def key(row: Row, number: int) -> str:
    """Return the key of a row's object, which is the same as its path in the tree that nginx serves."""
    return f"{row.folder}/{number:06d}"


def _get(row: Row, client: Client) -> Work:
    keys = [key(row, number) for number in range(row.batch)]
    few = keys[: row.in_flight * _WARM_CALLS]

    def step() -> None:
        moved = sum(map(len, client.get_many(keys, row.in_flight)))
        _expect(moved, row.size * row.batch, f"bytes of {row.batch} objects")

    def prove(steps: int) -> None:
        for number, body in enumerate(client.get_many(keys, row.in_flight)):
            _expect_content(body, payload(row.size, number), keys[number])

    return Work(step, lambda: _ignore(client.get_many(few, row.in_flight)), prove)


def _get_large(row: Row, client: Client) -> Work:
    name = key(row, 0)

    def step() -> None:
        _expect(len(client.get_large(name)), row.size, f"bytes of {name}")

    def prove(steps: int) -> None:
        _expect_content(client.get_large(name), payload(row.size, 0), name)

    # A small object opens a connection and leaves the memory of a large one untouched.
    warm = (lambda: _ignore(client.get_many([WARM_KEY], 1))) if row.fresh else step
    return Work(step, warm, prove)


WARM_KEY = "warm/000000"
WARM_SIZE = 4096


def _put(row: Row, client: Client, place: Place) -> Work:
    items = [(f"put/{number:06d}", payload(row.size, number)) for number in range(row.batch)]
    few = items[: row.in_flight * _WARM_CALLS]
    evidence = _evidence(place)

    def step() -> None:
        client.put_many(items, row.in_flight)

    def prove(steps: int) -> None:
        evidence.expect_stored(row.size * (row.batch * steps + len(few)), items)
        checked = [(f"{CHECK_PREFIX}{number:06d}", payload(row.size, number)) for number in range(row.in_flight)]
        client.put_many(checked, row.in_flight)
        for name, data in checked:
            _expect_content(evidence.read(name), data, name)

    return Work(step, lambda: client.put_many(few, row.in_flight), prove)


def _put_large(row: Row, client: Client, place: Place) -> Work:
    data = payload(row.size, 0)
    evidence = _evidence(place)

    def step() -> None:
        client.put_large("put/large", data)

    def prove(steps: int) -> None:
        evidence.expect_stored(row.size * (steps + 1), [("put/large", data)])
        checked = payload(_CHECKED_UPLOAD, 1)
        client.put_large(f"{CHECK_PREFIX}large", checked)
        _expect_content(evidence.read(f"{CHECK_PREFIX}large"), checked, f"{CHECK_PREFIX}large")

    return Work(step, step, prove)


def _list(client: Client) -> Work:
    def step() -> None:
        _expect(len(client.list(LIST_PREFIX)), LISTED, f"keys below {LIST_PREFIX}")

    def prove(steps: int) -> None:
        found = sorted(name.rpartition("/")[2] for name in client.list(LIST_PREFIX))
        if found != [listed_name(number) for number in range(LISTED)]:
            raise WorkNotDoneError(f"the keys below {LIST_PREFIX} are not those that were listed")

    return Work(step, step, prove)


class _Bucket:
    """What the project's own origin has received since this object was made."""

    def __init__(self, place: Place) -> None:
        self._endpoint, self._bucket = place.endpoint, place.container
        self._before = self._received()

    def expect_stored(self, size: int, items: Sequence[tuple[str, bytes]]) -> None:
        """Compare the bytes received. The objects themselves are gone."""
        _expect(self._received() - self._before, size, "bytes at the origin")

    def read(self, name: str) -> bytes:
        """Return what was stored below the prefix whose objects the origin keeps."""
        return _fetch(f"{self._endpoint}/{self._bucket}/{name}")

    def _received(self) -> int:
        return int(json.loads(_fetch(f"{self._endpoint}{COUNTERS}"))["received"])


class _Directory:
    """What is in the files below a directory, from which an earlier client's have been removed."""

    def __init__(self, place: Place) -> None:
        self._root = Path(place.container)
        for folder in ("put", CHECK_PREFIX):
            shutil.rmtree(self._root / folder, ignore_errors=True)

    def expect_stored(self, size: int, items: Sequence[tuple[str, bytes]]) -> None:
        """Compare the files. Every step overwrites them, so their sum would not show `size`."""
        for name, data in items:
            _expect_content(self.read(name), data, name)

    def read(self, name: str) -> bytes:
        """Return what one file holds."""
        return (self._root / name).read_bytes()


def _evidence(place: Place) -> _Bucket | _Directory:
    return _Directory(place) if place.endpoint is None else _Bucket(place)


def _fetch(url: str) -> bytes:
    with urlopen(url) as response:
        body: bytes = response.read()
        return body


def _ignore(result: Sequence[Body]) -> None:
    """Let the result go at once, as the steps do."""


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise WorkNotDoneError(f"{found} {what} where {wanted} were due")


def _expect_content(found: Body, wanted: bytes, name: str) -> None:
    if zlib.crc32(cast("bytes", found)) != zlib.crc32(wanted):
        raise WorkNotDoneError(f"the {len(found)} bytes of {name} are not those that were put there")
