"""One row's work through one client: the step that is timed, what warms it up, the proof that it was done.

A step counts what it moved and fails when that is not what the row says. The contents are checked outside the
timed section, against bytes that are computed, not read: of a GET row, the very bytes of its last step.
"""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks.clients import Client, Discarding, Foreseeing, Place
from benchmarks.content import Body, holds, payload
from benchmarks.replies import CHECK_PREFIX, COUNTERS, LIST_PREFIX, listed_name
from benchmarks.rows import GIB, LISTED, MIB, Row

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
        case "import":
            raise ValueError("an import is not the work of a client")


def key(row: Row, number: int) -> str:
    """Return the key of a row's object, which is the same as its path in the tree that nginx serves."""
    return f"{row.folder}/{number:06d}"


def _get(row: Row, client: Client) -> Work:
    keys = [key(row, number) for number in range(row.batch)]
    if isinstance(client, Foreseeing):
        client.foresee(keys)
    few = keys[: row.in_flight * _WARM_CALLS]
    last: list[Body] = []

    def step() -> None:
        last.clear()
        last.extend(client.get_many(keys, row.in_flight))
        _expect(sum(map(len, last)), row.size * row.batch, f"bytes of {row.batch} objects")

    def prove(steps: int) -> None:
        for number, body in enumerate(last):
            _expect_content(body, row.size, number, keys[number])

    return Work(step, lambda: _ignore(client.get_many(_warming(row, few), row.in_flight)), prove)


def _get_large(row: Row, client: Client) -> Work:
    keys = [key(row, number) for number in range(row.batch)]
    last: list[Body] = []

    def step() -> None:
        last.clear()
        last.extend(client.get_large(name) for name in keys)
        _expect(sum(map(len, last)), row.size * row.batch, f"bytes of {row.batch} objects")

    def prove(steps: int) -> None:
        for number, body in enumerate(last):
            whole = client.contents(keys[number]) if isinstance(client, Discarding) else body
            _expect_content(whole, row.size, number, keys[number])

    def warm() -> None:
        if row.fresh:
            _ignore(client.get_many([WARM_KEY], 1))
        else:
            _ignore([client.get_large(keys[0])])

    return Work(step, warm, prove)


def _warming(row: Row, few: Sequence[str]) -> Sequence[str]:
    """Return what opens the connections. Small objects leave the memory of large ones untouched."""
    return [WARM_KEY] * row.in_flight if row.fresh else few


WARM_KEY = "warm/000000"
WARM_SIZE = 4096


def _put(row: Row, client: Client, place: Place) -> Work:
    items = _items("put/", row)
    few = _WARM_ITEMS * row.in_flight if row.fresh else items[: row.in_flight * _WARM_CALLS]
    evidence = _evidence(place)

    def step() -> None:
        client.put_many(items, row.in_flight)

    def prove(steps: int) -> None:
        warmed = sum(len(data) for _, data in few)
        evidence.expect_stored(row.size * row.batch * steps + warmed, row)
        checked = _items(CHECK_PREFIX, row)[: min(row.in_flight, max(1, _CHECKED // row.size))]
        client.put_many(checked, row.in_flight)
        for number, (name, data) in enumerate(checked):
            _expect_content(evidence.read(name), len(data), number % _distinct(row), name)

    return Work(step, lambda: client.put_many(few, row.in_flight), prove)


_WARM_ITEMS = [("put/warm", payload(WARM_SIZE, 0))]
_CHECKED = 64 * MIB  # bytes that the origin keeps of one measurement, at most


def _items(prefix: str, row: Row) -> list[tuple[str, bytes]]:
    """Return what is to be put. Beyond 1 GiB the same bytes go to several keys, to leave memory to the clients."""
    bodies = [payload(row.size, number) for number in range(_distinct(row))]
    return [(f"{prefix}{number:06d}", bodies[number % len(bodies)]) for number in range(row.batch)]


def _distinct(row: Row) -> int:
    return max(1, min(row.batch, GIB // row.size))


def _put_large(row: Row, client: Client, place: Place) -> Work:
    items = _items("put/", row)
    evidence = _evidence(place)

    def step() -> None:
        for name, data in items:
            client.put_large(name, data)

    def prove(steps: int) -> None:
        evidence.expect_stored(row.size * (row.batch * steps + 1), row)
        name = f"{CHECK_PREFIX}large"
        client.put_large(name, payload(_CHECKED_UPLOAD, 1))
        _expect_content(evidence.read(name), _CHECKED_UPLOAD, 1, name)

    return Work(step, lambda: client.put_large(*items[0]), prove)


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
        self._context = ssl.create_default_context(cafile=place.authority) if place.authority else None
        self._before = self._received()

    def expect_stored(self, size: int, row: Row) -> None:
        """Compare the bytes received. The objects themselves are gone."""
        _expect(self._received() - self._before, size, "bytes at the origin")

    def read(self, name: str) -> bytes:
        """Return what was stored below the prefix whose objects the origin keeps."""
        return self._fetch(f"/{self._bucket}/{name}")

    def _received(self) -> int:
        return int(json.loads(self._fetch(COUNTERS))["received"])

    def _fetch(self, path: str) -> bytes:
        with urlopen(f"{self._endpoint}{path}", context=self._context) as response:
            body: bytes = response.read()
            return body


class _Directory:
    """What is in the files below a directory, from which an earlier client's have been removed."""

    def __init__(self, place: Place) -> None:
        self._root = Path(place.container)
        for folder in ("put", CHECK_PREFIX):
            shutil.rmtree(self._root / folder, ignore_errors=True)

    def expect_stored(self, size: int, row: Row) -> None:
        """Compare the files. Every step overwrites them, so their sum would not show `size`."""
        for number in range(row.batch):
            name = f"put/{number:06d}"
            _expect_content(self.read(name), row.size, number % _distinct(row), name)

    def read(self, name: str) -> bytes:
        """Return what one file holds."""
        return (self._root / name).read_bytes()


def _evidence(place: Place) -> _Bucket | _Directory:
    return _Directory(place) if place.endpoint is None else _Bucket(place)


def _ignore(result: Sequence[Body]) -> None:
    """Let the result go at once, as the steps do."""


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise WorkNotDoneError(f"{found} {what} where {wanted} were due")


def _expect_content(found: Body, size: int, number: int, name: str) -> None:
    if not holds(found, size, number):
        raise WorkNotDoneError(f"the {len(found)} bytes of {name} are not those that were put there")
