"""The operation log of a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.oplog_lines import Log, logged


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A log of the operations of this test."""
    with logged(tmp_path / "operations.tsv") as log:
        yield log
