"""Every fault that is promised to be survived has a test that cites its id in its name: `test_D7_...`."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.house.repository import ROOT, python_files, tree_of


def numbered(letter: str, *numbers: int) -> list[str]:
    """Return ids."""
    return [f"{letter}{number}" for number in numbers]


PROMISED = [
    *numbered("D", *range(1, 18)),
    *numbered("H", *range(1, 19)),
    *numbered("N", 1, 4, 5, 6),
    *numbered("L", *range(1, 10)),
    *numbered("W", *range(1, 12)),
    *numbered("F", *range(1, 15)),
    *numbered("P", *range(1, 13)),
    *numbered("S", 1, 2, *range(7, 16)),
]


def ids_of(name: str) -> set[str]:
    """Return the ids that a test's name cites: those that stand right behind `test_`."""
    match = re.match(r"test_((?:[A-Z]\d+_)+)", name)
    return set(match[1].rstrip("_").split("_")) if match else set()


@cache
def cited() -> dict[str, list[str]]:
    """Return the tests by the ids that they cite."""
    found: dict[str, list[str]] = {}
    for path in python_files(ROOT / "tests"):
        for name in named_in(path):
            for each in ids_of(name):
                found.setdefault(each, []).append(f"{path.relative_to(ROOT)}::{name}")
    return found


def named_in(path: Path) -> list[str]:
    """Return the names of the tests of a file, those of its classes too."""
    nodes = ast.walk(tree_of(path))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [name for name in functions if name.startswith("test_")]


@pytest.mark.parametrize("identity", PROMISED)
def test_a_promised_id_has_a_test(identity: str) -> None:
    assert cited().get(identity), f"no test is named test_{identity}_..."


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_D7_a_drip", {"D7"}),
        ("test_H7_H8_a_refusal", {"H7", "H8"}),
        ("test_a_D7_drip", set[str]()),
        ("test_D7", set[str]()),
    ],
)
def test_ids_stand_right_behind_the_word_test(name: str, ids: set[str]) -> None:
    assert ids_of(name) == ids
