"""The same samples in a folder and in a bucket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torch.storage import Storage


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """The samples on each kind of storage in turn."""
    if request.param == "file":
        yield Storage(f"file://{tmp_path}/samples/").fill()
    else:
        yield Storage(request.getfixturevalue("moto_s3").uri("samples/")).fill()


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    """The samples in a folder, for what does not depend on the storage."""
    return Storage(f"file://{tmp_path}/samples/").fill()
