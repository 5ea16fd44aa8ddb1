"""`rm`, `rb` and `mb`: nothing goes that was not named, and no tree goes without a yes."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

import s3dlio
from tests.cli.program import good, here, on_a_terminal
from tests.servers.environment import S3Bucket


@pytest.fixture
def filled(base: str) -> str:
    """A place with a tree, and beside it what must stay."""
    s3dlio.put_many((f"{base}{key}", b"12345") for key in ("run/1", "run/sub/2", "run2", "keep/*"))
    return base


def left(base: str) -> list[str]:
    """Return the keys that are there; the gateway over a file system keeps empty directories, and shows them."""
    return [key for key in s3dlio.list_keys(base, recursive=True) if not key.endswith("/")]


ALL = ["keep/*", "run/1", "run/sub/2", "run2"]


def test_rm_removes_the_one_that_is_named(filled: str) -> None:
    good("rm", f"{filled}run2")
    good("rm", f"{filled}keep/missing")
    good("rm", f"{filled}k*")
    assert left(filled) == ["keep/*", "run/1", "run/sub/2"]


def test_rm_of_a_tree_leaves_its_neighbours(filled: str) -> None:
    assert good("rm", "-r", "--yes", f"{filled}run") == []
    assert left(filled) == ["keep/*", "run2"]


def test_a_dry_run_lists_what_would_go_and_removes_nothing(filled: str) -> None:
    assert good("rm", "-r", "--dry-run", f"{filled}run") == [f"{filled}run/1", f"{filled}run/sub/2"]
    assert good("rm", "--dry-run", f"{filled}run2") == [f"{filled}run2"]
    assert good("rm", "--dry-run", f"{filled}missing") == []
    assert left(filled) == ALL


def test_without_a_terminal_a_tree_needs_a_yes(filled: str) -> None:
    done = here("rm", "-r", f"{filled}run")
    assert (done.code, "--yes" in done.err) == (2, True)
    assert left(filled) == ALL


@pytest.mark.parametrize("base", ["moto_server", "direct"], indirect=True)
@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_counts_and_asks(filled: str, answer: str, gone: bool) -> None:
    done = on_a_terminal("rm", "-r", f"{filled}run", answer=answer)
    assert done.code == 0, done.err
    assert f"remove 2 objects, 10 B, at {filled}run? [y/N]" in done.err
    assert left(filled) == (["keep/*", "run2"] if gone else ALL)


@pytest.mark.parametrize("base", ["file"], indirect=True)
def test_an_interrupt_at_the_question_removes_nothing(filled: str) -> None:
    done = on_a_terminal("rm", "-r", f"{filled}run", interrupt=True)
    assert (done.code, left(filled)) == (130, ALL)


@pytest.mark.parametrize("name", ["s3://{}", "{}"])
def test_mb_and_rb_make_and_remove_a_bucket(s3: S3Bucket, name: str) -> None:
    bucket = f"made-{uuid4().hex[:12]}"
    good("mb", name.format(bucket))
    assert f"s3://{bucket}" in s3dlio.list_containers("s3://")
    good("rb", name.format(bucket))
    assert f"s3://{bucket}" not in s3dlio.list_containers("s3://")


def test_rb_leaves_a_bucket_that_holds_something_unless_forced(s3: S3Bucket) -> None:
    s3dlio.put(s3.uri("key"), b"")
    assert here("rb", f"s3://{s3.bucket}").code == 1
    assert here("rb", "--force", f"s3://{s3.bucket}").code == 2
    assert s3dlio.exists(s3.uri("key"))
    good("rb", "--force", "--yes", f"s3://{s3.bucket}")
    assert f"s3://{s3.bucket}" not in s3dlio.list_containers("s3://")


def test_rb_force_of_a_key_removes_nothing(moto_s3: S3Bucket) -> None:
    s3dlio.put(moto_s3.uri("key/below"), b"")
    assert here("rb", "--force", "--yes", moto_s3.uri("key")).code == 2
    assert s3dlio.exists(moto_s3.uri("key/below"))


def test_rb_force_asks_on_a_terminal(moto_s3: S3Bucket) -> None:
    s3dlio.put(moto_s3.uri("key"), b"")
    assert on_a_terminal("rb", "--force", moto_s3.bucket, answer="n").code == 0
    assert s3dlio.exists(moto_s3.uri("key"))
    done = on_a_terminal("rb", "--force", moto_s3.bucket, answer="y")
    assert done.code == 0, done.err
    assert here("ls", moto_s3.uri()).code == 3


@pytest.mark.parametrize("scheme", ["file", "direct"])
def test_for_files_mb_and_rb_make_and_remove_a_directory(tmp_path: Path, scheme: str) -> None:
    uri = f"{scheme}://{tmp_path}/new"
    good("mb", f"{uri}/deeper")
    assert (tmp_path / "new/deeper").is_dir()
    assert here("rb", uri).code == 1
    good("rb", f"{uri}/deeper")
    good("rb", uri)
    assert here("rb", uri).code == 3
    good("mb", f"{uri}/deeper")
    good("rb", "--force", "-y", uri)
    assert not (tmp_path / "new").exists()
