"""The rows of the table: what is measured. A row is data; adding one here is all it takes.

Every client does the whole of a row's batch again and again until the time is up, and keeps the results
of one batch at a time, so the work and the memory are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

Verb: TypeAlias = Literal["get", "put", "get-large", "put-large", "list", "import"]
Source: TypeAlias = Literal["nginx", "own", "delayed", "memory", "disk", "nothing"]
"""Where the objects are: in files behind nginx, in the origin of `benchmarks.origin`, in that origin answering
late, in files in memory, in files on a disk, nowhere."""
Family: TypeAlias = Literal["get", "put", "async", "tls", "latency", "list", "file", "direct", "import"]

_SCHEMES: Mapping[Source, str] = {"memory": "file", "disk": "direct"}
_PREFIXES: Mapping[Family, str] = {
    "async": "async ",
    "tls": "TLS ",
    "latency": "20 ms away: ",
    "file": "file:// ",
    "direct": "direct:// ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    `size` is the bytes of one object (0 for a listing), `batch` the objects of one call, `in_flight` how
    many of them may be under way at once. With `checksums` the origin sends each object's CRC-64/NVME, as
    S3 does. `fresh` measures one single call, whose memory nothing has touched before. An `awaited` row is
    for the clients with awaitable calls. `without` names the clients that would take minutes.
    """

    name: str
    family: Family
    verb: Verb
    source: Source
    size: int = 0
    batch: int = 1
    in_flight: int = 1
    checksums: bool = False
    fresh: bool = False
    tls: bool = False
    awaited: bool = False
    without: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The row as the table names it."""
        if self.verb == "list":
            return f"LIST {LISTED:,} keys"
        if self.verb == "import":
            return "import, over bare Python"
        parts = [f"{_PREFIXES.get(self.family, '')}{self.verb[:3].upper()} {self.shown_size}"]
        parts += [f"{self.in_flight} in flight"] * (self.verb in ("get", "put"))
        parts += ["checksums"] * self.checksums + ["first call"] * self.fresh
        return ", ".join(parts)

    @property
    def shown_size(self) -> str:
        """The size in the largest unit that divides it."""
        for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if self.size >= unit and self.size % unit == 0:
                return f"{self.size // unit} {name}"
        return f"{self.size} B"

    @property
    def by_bytes(self) -> bool:
        """True when the row is about bytes per second; otherwise it is about objects, keys or imports."""
        return self.size >= MIB

    @property
    def folder(self) -> str:
        """The prefix of the row's objects, without a slash: one for each size."""
        return self.shown_size.replace(" ", "").lower()

    @property
    def scheme(self) -> str:
        """The scheme of the row's URIs."""
        return _SCHEMES.get(self.source, "s3")

    @property
    def wants_memory(self) -> bool:
        """True when the row takes much memory that nothing has touched before."""
        return self.fresh or (self.verb == "put-large" and self.source == "memory")

    @property
    def reads(self) -> bool:
        """True when the row's objects must be there before it begins."""
        return self.verb in ("get", "get-large")


LISTED = 100_000
"""Keys in the listing that the project's own origin serves."""

DELAY = 0.020
"""Seconds that the delayed origin lets pass before each answer."""

_SIZES = {"4k": 4 * KIB, "64k": 64 * KIB, "1m": MIB, "64m": 64 * MIB, "1g": GIB}
# A step of the slowest client takes a few seconds, and one of the fastest outlasts the ends of its batch.
_BATCHES = {
    ("4k", 1): 256,
    ("4k", 8): 512,
    ("4k", 64): 1024,
    ("4k", 256): 1024,
    ("64k", 1): 256,
    ("64k", 8): 512,
    ("64k", 64): 512,
    ("1m", 1): 32,
    ("1m", 8): 64,
    ("1m", 64): 128,
    ("64m", 1): 4,
    ("64m", 8): 8,
    ("64m", 64): 64,
    ("1g", 1): 1,
}
_FAMILY_SOURCES: Mapping[Family, Source] = {"file": "memory", "direct": "disk", "latency": "delayed"}
_SLOW = ("boto3", "s3fs")
_LARGE: Mapping[Verb, Verb] = {"get": "get-large", "put": "put-large"}


def _row(family: Family, verb: Literal["get", "put"], size: str, in_flight: int) -> Row:
    prefix = "" if family == verb else f"{family}-"
    large = _SIZES[size] >= 64 * MIB and in_flight == 1
    # 4 GiB at a time: once, and by those who do it within seconds.
    huge = _SIZES[size] * _BATCHES[size, in_flight] > GIB
    return Row(
        name=f"{prefix}{verb}-{size}" + f"-{in_flight}" * (size != "1g"),
        family=family,
        verb=_LARGE[verb] if large else verb,
        source=_FAMILY_SOURCES.get(family, "nginx" if verb == "get" else "own"),
        size=_SIZES[size],
        batch=_BATCHES[size, in_flight],
        in_flight=in_flight,
        fresh=huge,
        tls=family == "tls",
        awaited=family == "async",
        without=_SLOW if huge else (),
    )


_NETWORK = [
    ("4k", 1),
    ("4k", 8),
    ("4k", 64),
    ("64k", 1),
    ("64k", 8),
    ("64k", 64),
    ("1m", 1),
    ("1m", 8),
    ("1m", 64),
    ("64m", 1),
    ("64m", 8),
    ("64m", 64),
    ("1g", 1),
]

ROWS: tuple[Row, ...] = (
    *(_row("get", "get", size, in_flight) for size, in_flight in (*_NETWORK[:3], ("4k", 256), *_NETWORK[3:])),
    Row(
        name="get-1m-8-sums",
        family="get",
        verb="get",
        source="nginx",
        size=MIB,
        batch=64,
        in_flight=8,
        checksums=True,
    ),
    Row(name="get-1g-first", family="get", verb="get-large", source="nginx", size=GIB, fresh=True),
    *(_row("put", "put", size, in_flight) for size, in_flight in _NETWORK),
    *(_row("async", "get", "4k", in_flight) for in_flight in (64, 256)),
    _row("tls", "get", "4k", 64),
    _row("tls", "get", "1m", 8),
    *(_row("tls", "put", size, in_flight) for size, in_flight in (("4k", 64), ("1m", 8), ("64m", 8))),
    *(_row("latency", "get", "4k", in_flight) for in_flight in (64, 256)),
    Row(name="list-100k", family="list", verb="list", source="own"),
    *(_row("file", "get", size, 1) for size in _SIZES),
    *(_row("file", "put", size, 1) for size in _SIZES),
    *(_row("direct", "get", size, 1) for size in _SIZES),
    *(_row("direct", "put", size, 1) for size in ("1m", "64m", "1g")),
    Row(name="import", family="import", verb="import", source="nothing"),
)
FAMILIES: tuple[Family, ...] = tuple(dict.fromkeys(row.family for row in ROWS))


def find(name: str) -> Row:
    """Return the row of that name.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    for row in ROWS:
        if row.name == name:
            return row
    raise ValueError(f"no row is named {name!r}: the rows are {', '.join(row.name for row in ROWS)}")
