"""The public names are the ones in public_names.toml: nothing joins or leaves them by accident."""

import importlib
import subprocess
import sys
import tomllib

import pytest

import s3dlio
from s3dlio import _siblings
from tests.house.repository import ROOT

LISTED: dict[str, list[str]] = tomllib.loads((ROOT / "tests/house/public_names.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", LISTED)
def test_the_public_names_are_the_listed_ones(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == sorted(LISTED[package])


@pytest.mark.parametrize(("package", "name"), [(package, name) for package, names in LISTED.items() for name in names])
def test_every_public_name_is_there(package: str, name: str) -> None:
    assert hasattr(importlib.import_module(package), name)


@pytest.mark.parametrize(("name", "home"), sorted(_siblings.HOMES.items()))
def test_a_lazy_name_is_the_object_of_its_home(name: str, home: str) -> None:
    assert getattr(s3dlio, name) is getattr(importlib.import_module(home), name)
    assert name not in s3dlio.__all__
    assert name in LISTED[home]


def test_lazy_names_are_in_dir_while_their_distribution_is_installed() -> None:
    assert set(_siblings.HOMES) <= set(dir(s3dlio))


def test_a_name_nobody_defines_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = s3dlio.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]  # the point of the test


def test_import_loads_no_array_library_no_sdk_and_no_event_loop() -> None:
    code = "import sys, s3dlio; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"asyncio", "awscrt", "boto3", "botocore", "jax", "numpy", "socket", "ssl", "tensorflow", "torch"}
    assert heavy & set(done.stdout.split()) == set()


def test_import_starts_no_thread_and_no_process() -> None:
    code = "import os, s3dlio, threading; print(threading.active_count(), len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"]
