"""Where the examples of the guides run: each on every backend there is."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.environment import S3Bucket


@pytest.fixture(params=["file", "direct", pytest.param("s3", marks=pytest.mark.xdist_group("moto"))])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty prefix on each backend in turn, ending in `/`: what the guides write as `s3://bucket/`."""
    if request.param != "s3":
        return f"{request.param}://{tmp_path}/bucket/"
    bucket: S3Bucket = request.getfixturevalue("moto_s3")
    return bucket.uri()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger of the library, put back afterwards as it was."""
    log = logging.getLogger("s3dlio")
    before = (log.level, list(log.handlers), log.propagate)
    yield log
    log.level, log.handlers, log.propagate = before
