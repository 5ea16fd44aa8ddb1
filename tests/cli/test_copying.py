"""`cp` copies from anywhere to anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import s3dlio
from tests.cli.program import good, here
from tests.cli.test_trees import NAMES, files, summary
from tests.servers.environment import S3Bucket


def test_a_path_is_local_and_a_uri_is_not(base: str, tree: Path, tmp_path: Path) -> None:
    good("cp", tree / "one.txt", f"{base}up")
    good("cp", f"{base}up", f"{base}across")
    good("cp", f"{base}across", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == b"one"


def test_a_relative_path_is_one_of_the_working_directory(
    base: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    good("cp", "one.txt", base)
    good("cp", f"{base}one.txt", "sub/deeper")
    assert (tree / "sub/deeper/one.txt").read_bytes() == b"one"


def test_a_target_that_is_a_place_is_completed_with_the_name(base: str, tree: Path, tmp_path: Path) -> None:
    good("cp", tree / "one.txt", f"{base}sub/")
    good("cp", f"{base}sub/one.txt", f"{tmp_path}/new/")
    assert s3dlio.list(base, recursive=True) == [f"{base}sub/one.txt"]
    assert files(tmp_path / "new") == {"one.txt": b"one"}


def test_a_bucket_is_a_place(moto_s3: S3Bucket, tree: Path) -> None:
    good("cp", tree / "one.txt", f"s3://{moto_s3.bucket}")
    assert s3dlio.get(moto_s3.uri("one.txt")) == b"one"


def test_a_tree_goes_up_across_and_down(base: str, tree: Path, tmp_path: Path) -> None:
    assert summary(here("cp", "-r", tree, f"{base}up"))[1] == 3
    assert summary(here("cp", "-r", f"{base}up", f"{base}across"))[1] == 3
    assert s3dlio.list_keys(f"{base}across/", recursive=True) == NAMES
    assert summary(here("cp", "-r", f"{base}across", tmp_path / "down"))[1] == 3
    assert files(tmp_path / "down") == files(tree)


def test_a_tree_within_a_bucket_names_what_could_not_be_copied(moto_s3: S3Bucket) -> None:
    s3dlio.put_many([(moto_s3.uri(f"from/{name}"), b"x") for name in ("a", "b")])
    done = here("cp", "-r", moto_s3.uri("from"), "s3://no-such-bucket-here/to")
    assert done.code == 5
    assert done.err.splitlines()[-1] == "s3dlio: 2 failed, the others are done"


def test_a_tree_of_nothing_is_not_found(moto_s3: S3Bucket) -> None:
    assert here("cp", "-r", moto_s3.uri("nothing"), moto_s3.uri("to")).code == 3


def test_a_missing_source_is_not_found(base: str, tmp_path: Path) -> None:
    assert here("cp", f"{base}missing", tmp_path / "x").code == 3
    assert here("cp", tmp_path / "missing", f"{base}x").code == 3
    assert not (tmp_path / "x").exists()
