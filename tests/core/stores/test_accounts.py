"""Stores of more than one account in a process: each has its own endpoint, region and credentials."""

import os
from pathlib import Path

import pytest

import s3dlio
from s3dlio.config import Account, Settings
from s3dlio.source import Source
from s3dlio.stores import store_for
from s3dlio.stores.s3service import S3Service
from s3dlio.uri import parse_key
from tests.servers.scripted import ScriptedServer, part, scripted

WHERE = parse_key("s3://bucket/key")


def told(server: ScriptedServer) -> str:
    """Return whose credentials, and which region, the last request named."""
    return server.asked[-1].fields["authorization"].partition("Credential=")[2].partition("/s3/")[0]


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(
        "[one]\naws_access_key_id = ONE\naws_secret_access_key = s\n"
        "[two]\naws_access_key_id = TWO\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def read(account: Account) -> bytes:
    return Source(WHERE, store_for(WHERE, account)).read_bytes()


def test_accounts_are_kept_apart(profiles: None) -> None:
    with (
        scripted(lambda request: [part(request, b"first")]) as first,
        scripted(lambda request: [part(request, b"second")]) as second,
    ):
        one = Account(endpoint_url=first.endpoint, profile="one", region="eu-west-1")
        two = Account(endpoint_url=second.endpoint, profile="two", region="us-east-2")
        assert [read(one), read(two), read(one)] == [b"first", b"second", b"first"]
        assert told(first).startswith("ONE/")
        assert told(first).endswith("/eu-west-1")
        assert told(second).startswith("TWO/")
        assert told(second).endswith("/us-east-2")
        same = Account(endpoint_url=first.endpoint, profile="one", region="eu-west-1")
        assert store_for(WHERE, one) is store_for(WHERE, same)
        child = os.fork()
        if child == 0:
            os._exit(0 if [read(one), read(two)] == [b"first", b"second"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    s3dlio.reset()


def test_an_account_leaves_the_other_settings_as_they_are() -> None:
    settings = Account(region="eu-west-1", max_attempts=9).over(Settings(part_size=16 << 20))
    assert (settings.region, settings.max_attempts, settings.part_size) == ("eu-west-1", 9, 16 << 20)
    with pytest.raises(ValueError, match="max_attempts must be 1 or more"):
        Account(max_attempts=0).over(settings)


@pytest.mark.parametrize(("path_style", "path"), [(True, "/bucket/key"), (False, "/key")])
def test_without_an_endpoint_the_bucket_is_where_path_style_says(
    monkeypatch: pytest.MonkeyPatch, path_style: bool, path: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    s3dlio.reset()
    store = store_for(WHERE, Account(region="eu-west-1", path_style=path_style))
    service: S3Service = store.client.service  # type: ignore[attr-defined]  # S3's has one
    service.chain.find()
    origin, request = service.request("GET", WHERE)
    assert request.startswith(f"GET {path} HTTP".encode())
    assert origin.host == ("s3.eu-west-1.amazonaws.com" if path_style else "bucket.s3.eu-west-1.amazonaws.com")
    s3dlio.reset()
