"""Each distribution carries the whole licence, says so in its metadata, and tells its version once."""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.house.repository import DISTRIBUTIONS, PACKAGES, ROOT

# The Apache License 2.0 as the Apache Software Foundation publishes it in plain text.
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"

each_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS)


def project(distribution: str) -> dict[str, Any]:
    """Return the `project` table of a distribution."""
    text = (PACKAGES / distribution / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def version(distribution: str) -> str:
    """Return the version that `_version.py` holds."""
    path = PACKAGES / distribution / "src" / DISTRIBUTIONS[distribution] / "_version.py"
    found = re.search(r'^__version__ = "(.+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def test_the_licence_is_the_whole_and_unchanged_apache_licence() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


@each_distribution
def test_each_distribution_has_a_real_copy_of_the_licence(distribution: str) -> None:
    copy: Path = PACKAGES / distribution / "LICENSE"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (ROOT / "LICENSE").read_bytes()


@each_distribution
def test_each_distribution_declares_its_licence_and_its_python(distribution: str) -> None:
    declared = project(distribution)
    assert declared["name"] == distribution
    assert (declared["license"], declared["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert declared["requires-python"] == ">=3.11"


@each_distribution
def test_the_newest_entry_of_the_changelog_is_the_version(distribution: str) -> None:
    changelog = (PACKAGES / distribution / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == version(distribution)


@each_distribution
def test_a_sibling_is_required_by_a_range_that_holds_its_version(distribution: str) -> None:
    declared = project(distribution)
    extras: dict[str, list[str]] = declared.get("optional-dependencies", {})
    required = [*declared["dependencies"], *(line for lines in extras.values() for line in lines)]
    siblings = [line for line in required if line.startswith("s3dlio-")]
    assert siblings
    for line in siblings:
        parts = re.fullmatch(r"(s3dlio-\w+)>=([\d.]+),<([\d.]+)", line)
        assert parts, line
        assert numbers(parts[2]) <= numbers(version(parts[1])) < numbers(parts[3])


def numbers(text: str) -> tuple[int, ...]:
    """Return a version as numbers that compare."""
    return tuple(int(part) for part in text.split("."))
