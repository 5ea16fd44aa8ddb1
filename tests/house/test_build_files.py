"""The BUILD files describe the tree, and the check that says so sees when they do not."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.repository import ROOT

DISTRIBUTION = (
    'python_distribution(name="dist", provides=python_artifact(name="one"), dependencies=["./src"])\n'
    'resource(name="project", source="pyproject.toml")\n'
)


def check(root: Path) -> "subprocess.CompletedProcess[str]":
    """Run the check on a tree."""
    command = [sys.executable, str(ROOT / "tools/check_build.py"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree of one distribution whose BUILD files are right."""
    source = tmp_path / "packages/one/src"
    source.mkdir(parents=True)
    (source / "one.py").write_text("")
    (source / "BUILD").write_text("python_sources()\n")
    (tmp_path / "packages/one/BUILD").write_text(DISTRIBUTION)
    (tmp_path / "packages/one/pyproject.toml").write_text('[project]\nname = "one"\n')
    return tmp_path


def test_the_build_files_of_this_repository_are_right() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stdout


def test_core_requires_the_same_under_pants_as_of_its_users() -> None:
    project = tomllib.loads((ROOT / "packages/s3dlio-core/pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = (ROOT / "requirements/pants.txt").read_text(encoding="utf-8").splitlines()
    assert set(project["dependencies"]) <= set(pinned)


def test_a_right_tree_passes(small: Path) -> None:
    done = check(small)
    assert done.returncode == 0, done.stdout


def test_a_file_without_a_target_is_named(small: Path) -> None:
    (small / "packages/one/extra.py").write_text("")
    done = check(small)
    assert (done.returncode, done.stdout) == (1, "packages/one/extra.py: no target owns it\n")


def test_a_file_that_a_target_takes_out_again_is_not_owned(small: Path) -> None:
    (small / "packages/one/src/test_one.py").write_text("")
    (small / "packages/one/src/BUILD").write_text('python_sources(sources=["*.py", "!test_*.py"])\n')
    done = check(small)
    assert (done.returncode, done.stdout) == (1, "packages/one/src/test_one.py: no target owns it\n")


def test_a_dependency_that_is_not_there_is_named(small: Path) -> None:
    (small / "packages/one/BUILD").write_text(DISTRIBUTION.replace("./src", "./gone"))
    done = check(small)
    assert (done.returncode, done.stdout) == (1, "packages/one:dist: unknown dependency './gone'\n")


def test_a_source_that_is_not_there_is_named(small: Path) -> None:
    (small / "packages/one/src/BUILD").write_text('python_sources(sources=["*.py", "gone/*.py"])\n')
    done = check(small)
    assert (done.returncode, done.stdout) == (1, "packages/one/src:src: nothing matches 'gone/*.py'\n")


def test_a_distribution_called_otherwise_is_named(small: Path) -> None:
    (small / "packages/one/pyproject.toml").write_text('[project]\nname = "two"\n')
    done = check(small)
    assert done.returncode == 1
    assert "pyproject.toml says 'two'" in done.stdout


def test_a_tree_without_targets_is_not_right(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 1
