"""What every test has: an environment without the user's accounts, and servers for those who ask.

One server of each kind runs per pytest worker, from the first test that asks for it to the session's end.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.environment import S3Bucket, isolate, s3_environment
from tests.servers.juicefs import juicefs
from tests.servers.moto import moto
from tests.servers.process import S3Server


@pytest.fixture(autouse=True)
def without_accounts(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the user's credentials, endpoints and settings from the test."""
    isolate(monkeypatch, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A moto server: takes any keys, checks nothing, answers most of S3."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def juicefs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A JuiceFS gateway: checks signatures, ignores conditional writes."""
    with juicefs(tmp_path_factory.mktemp("juicefs")) as server:
        yield server


@pytest.fixture
def moto_s3(moto_server: S3Server, tmp_path: Path) -> Iterator[S3Bucket]:
    """A fresh bucket on moto, with the environment pointing there."""
    with s3_environment(moto_server, tmp_path) as bucket:
        yield bucket


@pytest.fixture
def juicefs_s3(juicefs_server: S3Server, tmp_path: Path) -> Iterator[S3Bucket]:
    """A fresh bucket on the JuiceFS gateway, with the environment pointing there."""
    with s3_environment(juicefs_server, tmp_path) as bucket:
        yield bucket


@pytest.fixture(params=["moto_server", "juicefs_server"])
def s3(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Bucket]:
    """A fresh bucket on each server in turn, with the environment pointing there."""
    server: S3Server = request.getfixturevalue(request.param)
    with s3_environment(server, tmp_path) as bucket:
        yield bucket
