"""The operation log as a test reads it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import s3dlio

COLUMNS = (
    *("idx", "thread", "op", "client_id", "n_objects", "bytes", "endpoint", "file", "error"),
    *("start", "first_byte", "end", "duration_ns"),
)


def lines_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a finished log, each a column by name."""
    header, *rest = path.read_text(encoding="utf-8").split("\n")
    assert tuple(header.split("\t")) == COLUMNS
    assert rest.pop() == ""
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in rest]


@dataclass
class Log:
    """A log that is open, for `finished` to close and read."""

    path: Path

    def finished(self) -> list[dict[str, str]]:
        s3dlio.finalize_op_log()
        return lines_of(self.path)

    def ops(self) -> list[tuple[str, str]]:
        """Return operation and URI of each line, in order."""
        return [(line["op"], line["file"]) for line in self.finished()]


@contextmanager
def logged(path: Path) -> Generator[Log]:
    """Log to a file until the end of the block."""
    s3dlio.init_op_log(path)
    try:
        yield Log(path)
    finally:
        s3dlio.finalize_op_log()
