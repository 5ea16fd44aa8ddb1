"""The rows of the table: how many objects of which size are read, from how far, by how many worker processes.

Rows that differ in nothing but their workers are a group. A client is judged by its best row of a group.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.rows import KIB, MIB

DELAY = 0.020
"""Seconds that the late origin lets pass before each answer."""

QUICKLY = 20
"""A quick run reads one object of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One epoch: `objects` of `size` bytes in batches of `batch`, by the loop itself or by `workers` processes.

    Object `i` holds what object `i % distinct` does, so that large ones fit in memory. `late` is 20 ms away.
    `sharded` is the number of samples in one tar file, for those who read such files.
    """

    size: int
    objects: int
    distinct: int
    batch: int
    sharded: int
    late: bool
    workers: int

    @property
    def name(self) -> str:
        """The row as the command line names it."""
        return f"{self.group}-{self.workers}"

    @property
    def group(self) -> str:
        """The name without the workers."""
        return f"{'late-' if self.late else ''}{self.folder}"

    @property
    def folder(self) -> str:
        """The prefix of the objects, without a slash."""
        return f"{self.size // MIB}m" if self.size >= MIB else f"{self.size // KIB}k"

    @property
    def title(self) -> str:
        """The group as the table names it."""
        size = f"{self.size // MIB} MiB" if self.size >= MIB else f"{self.size // KIB} KiB"
        return f"{size}, {'20 ms away' if self.late else 'no added latency'}"


def _rows(size: int, objects: int, distinct: int, batch: int, sharded: int) -> tuple[Row, ...]:
    # Who fetches one object after the other needs more workers than there are cores, where each takes 20 ms.
    settings = [(False, 0), (False, 2), (True, 0), (True, 2), (True, 16)]
    return tuple(
        Row(
            size=size,
            objects=objects,
            distinct=distinct,
            batch=batch,
            sharded=sharded,
            late=late,
            workers=workers,
        )
        for late, workers in settings
    )


# A tar file of 625 × 100 KiB is 64 MB, one of 25 × 4 MiB 105 MB: both workers have many of them.
ROWS: tuple[Row, ...] = (
    *_rows(size=100 * KIB, objects=20_000, distinct=20_000, batch=32, sharded=625),
    *_rows(size=4 * MIB, objects=2_000, distinct=250, batch=8, sharded=25),
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
