"""The demo does what it says: it is killed, resumes where it stood, and learns."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import s3dlio
import s3dlio_torch

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCES = [Path(package.__path__[0]).parent for package in (s3dlio, s3dlio_torch)]

pytestmark = pytest.mark.slow


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python beside the examples, with the packages under test."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, SOURCES))}
    return subprocess.run(
        [sys.executable, *arguments], cwd=EXAMPLES, env=env, capture_output=True, text=True, check=False
    )


def test_the_demo_trains_on_a_server_of_its_own_and_resumes() -> None:
    done = python("train_digits.py")
    assert done.returncode == 0, done.stderr
    assert "Resuming from s3://" in done.stdout
    assert "Test accuracy 9" in done.stdout


def test_the_demo_leaves_nothing_in_a_place_of_yours_and_touches_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "yours").write_text("kept")
    done = python("train_digits.py", f"file://{tmp_path}")
    assert done.returncode == 0, done.stderr
    assert s3dlio.list(f"file://{tmp_path}/", recursive=True) == [f"file://{tmp_path}/yours"]


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    root = f"file://{tmp_path}"
    assert python("-c", f"import digits; digits.upload({root!r}, 7)").returncode == 0
    assert python("train_digits.py", root, "--train").returncode == 0
    undisturbed = s3dlio.get(f"{root}/checkpoint.npz").to_bytes()
    s3dlio.delete(f"{root}/checkpoint.npz")
    killed = python("train_digits.py", root, "--train", "--killed-after", "110")
    assert killed.returncode == -signal.SIGKILL
    assert s3dlio.get(f"{root}/checkpoint.npz") != undisturbed
    assert python("train_digits.py", root, "--train").returncode == 0
    assert s3dlio.get(f"{root}/checkpoint.npz") == undisturbed
