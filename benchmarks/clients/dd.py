"""dd with `iflag=direct`, the yardstick of reading from a disk past the page cache. It reads and keeps nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.clients import Place
from benchmarks.content import Body

_BLOCK = "bs=8M"
_COPIED = re.compile(r"^(\d+) bytes", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Gone:
    """So many bytes that were read and are gone."""

    size: int

    def __len__(self) -> int:
        return self.size


class Dd:
    """dd, one process for each object."""

    def __init__(self, place: Place) -> None:
        self._root = place.container

    def get_large(self, key: str) -> Body:
        """Read the file into dd's one block, again and again."""
        command = ["dd", f"if={self._root}/{key}", "of=/dev/null", _BLOCK, "iflag=direct"]
        told = subprocess.run(command, check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stderr
        copied = _COPIED.search(told)
        return Gone(int(copied[1]) if copied else 0)

    def contents(self, key: str) -> Body:
        """Read the file in the same way into memory."""
        command = ["dd", f"if={self._root}/{key}", _BLOCK, "iflag=direct", "status=none"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Read one file after the other, whatever may be in flight."""
        return [self.get_large(key) for key in keys]

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Refuse: it is measured in reading alone."""
        raise NotImplementedError("dd has no part in PUT rows")

    def put_large(self, key: str, data: bytes) -> None:
        """Refuse: it is measured in reading alone."""
        raise NotImplementedError("dd has no part in PUT rows")

    def list(self, prefix: str) -> Sequence[str]:
        """Refuse: it is measured in reading alone."""
        raise NotImplementedError("dd has no part in LIST rows")

    def close(self) -> None:
        """Do nothing: nothing is open."""
