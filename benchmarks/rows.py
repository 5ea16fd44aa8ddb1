"""The rows of the table: what is measured. A row is data; adding one here is all it takes.

Every client does the whole of a row's batch again and again until the time is up, and keeps the results
of one batch at a time, so the work and the memory are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

Verb: TypeAlias = Literal["get", "put", "get-large", "put-large", "list"]
Source: TypeAlias = Literal["nginx", "own", "disk"]
"""Where the objects are: in files behind nginx, in the origin of `benchmarks.origin`, or in files alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    `size` is the bytes of one object (0 for a listing), `batch` the objects of one call, `in_flight` how
    many of them may be under way at once. With `checksums` the origin sends each object's CRC-64/NVME, as
    S3 does. `fresh` measures one single call, whose memory nothing has touched before.
    """

    name: str
    verb: Verb
    source: Source
    size: int = 0
    batch: int = 1
    in_flight: int = 1
    checksums: bool = False
    fresh: bool = False

    @property
    def title(self) -> str:
        """The row as the table names it."""
        if self.verb == "list":
            return f"LIST {LISTED:,} keys"
        parts = [f"{'file:// ' if self.source == 'disk' else ''}{self.verb[:3].upper()} {self.shown_size}"]
        if self.batch > 1:
            parts.append(f"{self.in_flight} in flight")
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
        """True when the row is about bytes per second; otherwise it is about objects or keys."""
        return self.size >= MIB

    @property
    def folder(self) -> str:
        """The prefix of the row's objects, without a slash: one for each size."""
        return self.shown_size.replace(" ", "").lower()


LISTED = 50_000
"""Keys in the listing that the project's own origin serves."""


def _small(verb: Literal["get", "put"], in_flight: int) -> Row:
    source: Source = "nginx" if verb == "get" else "own"
    name = f"{verb}-4k-{in_flight}"
    return Row(name=name, verb=verb, source=source, size=4 * KIB, batch=1024, in_flight=in_flight)


ROWS: tuple[Row, ...] = (
    *(_small("get", in_flight) for in_flight in (1, 8, 64)),
    *(_small("put", in_flight) for in_flight in (1, 8, 64)),
    Row(name="get-1m-8", verb="get", source="nginx", size=MIB, batch=64, in_flight=8),
    Row(name="get-1m-8-sums", verb="get", source="nginx", size=MIB, batch=64, in_flight=8, checksums=True),
    Row(name="put-1m-8", verb="put", source="own", size=MIB, batch=64, in_flight=8),
    Row(name="get-1g-first", verb="get-large", source="nginx", size=GIB, fresh=True),
    Row(name="get-1g", verb="get-large", source="nginx", size=GIB),
    Row(name="put-1g", verb="put-large", source="own", size=GIB),
    Row(name="list-50k", verb="list", source="own"),
    Row(name="file-get-64k", verb="get", source="disk", size=64 * KIB, batch=512),
    Row(name="file-get-1g", verb="get-large", source="disk", size=GIB),
    Row(name="file-put-64k", verb="put", source="disk", size=64 * KIB, batch=512),
)


def find(name: str) -> Row:
    """Return the row of that name.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    for row in ROWS:
        if row.name == name:
            return row
    raise ValueError(f"no row is named {name!r}: the rows are {', '.join(row.name for row in ROWS)}")
