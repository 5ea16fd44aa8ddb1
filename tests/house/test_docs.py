"""The pages under `docs/` name what is there: tests, modules, functions. And what they call missing, is missing."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import s3dlio
from s3dlio.errors import InvalidUriError
from tests.house.repository import CORE, ROOT, module_of, python_files, repository_files, tree_of

PAGE_LINES = 120

DOCS = ROOT / "docs"
PAGES = [path for path in repository_files() if path.suffix == ".md" and path.is_relative_to(DOCS)]
TEST_NAME = re.compile(r"`([a-z_/0-9]+\.py)::(\w+)(?:::(\w+))?`")
CODE_NAME = re.compile(r"`((?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*)`")
MISSING = re.compile(r"^\| (`[^|]*`) \|", re.MULTILINE)

TOP = {module_of(path).partition(".")[0] for path in python_files(CORE)}

each_page = pytest.mark.parametrize("page", [pytest.param(p, id=p.relative_to(DOCS).as_posix()) for p in PAGES])


def named_tests(page: Path) -> list[tuple[str, str, str]]:
    """Return file, test or class, and method, for each test that a page names."""
    return TEST_NAME.findall(page.read_text(encoding="utf-8"))


@cache
def defined(path: Path) -> frozenset[str]:
    """Return the functions and classes of a file, and the methods as `Class::method`."""
    found: set[str] = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return frozenset(found)


def is_test(file: str, name: str, method: str) -> bool:
    """Return whether there is such a test, or such a class of tests."""
    path = ROOT / "tests" / file
    return path.is_file() and (f"{name}::{method}" if method else name) in defined(path)


def code_named(page: Path) -> set[str]:
    """Return the dotted names of core and its siblings that a page names, below `s3dlio` or in full."""
    names: list[str] = CODE_NAME.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    return {name for name in names if name.startswith("s3dlio") or name.partition(".")[0] in TOP}


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or something that one holds."""
    parts = (name if name.startswith("s3dlio") else f"s3dlio.{name}").split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing: object = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        return holds(thing, parts[end:])
    return False


def holds(thing: object, path: list[str]) -> bool:
    """Return whether an attribute of an attribute of a thing is there."""
    for part in path:
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


def missing_names() -> list[str]:
    """Return what `differences.md` calls not available."""
    text = (DOCS / "differences.md").read_text(encoding="utf-8")
    section = text.partition("## Not available in this version")[2].partition("\n## ")[0]
    return [name for cell in MISSING.findall(section) for name in re.findall("`([^`]+)`", cell)]


@each_page
def test_a_page_has_at_most_120_lines(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= PAGE_LINES


@each_page
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in named_tests(page) if not is_test(*name)] == []


@each_page
def test_everything_that_a_page_names_in_the_code_exists(page: Path) -> None:
    assert sorted(name for name in code_named(page) if not exists(name)) == []


def test_every_row_of_the_promises_names_a_test() -> None:
    lines = (DOCS / "promises.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(("|---", "| Promise"))]
    assert rows
    assert [row for row in rows if not TEST_NAME.search(row)] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [
        path.name for path in PAGES if path.name != "README.md" and f"({path.relative_to(DOCS)})" not in index
    ] == []


@pytest.mark.parametrize("name", [name for name in missing_names() if "://" not in name])
def test_a_name_called_not_available_is_not(name: str) -> None:
    assert not hasattr(s3dlio, name)


@pytest.mark.parametrize("scheme", [name for name in missing_names() if "://" in name])
def test_a_scheme_called_not_available_is_refused(scheme: str) -> None:
    with pytest.raises(InvalidUriError, match="not supported by this version"):
        s3dlio.exists(f"{scheme}one/two/three")


def test_something_is_called_not_available_or_the_section_is_gone() -> None:
    assert bool(missing_names()) == ("## Not available" in (DOCS / "differences.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", ["verbs.nonsense", "http.wire.Nonsense", "buffer.lease.nonsense", "s3dlio_torch.nonsense"]
)
def test_a_name_that_is_not_there_is_seen(name: str) -> None:
    assert not exists(name)


@pytest.mark.parametrize("name", [("house/test_docs.py", "nonsense", ""), ("house/nonsense.py", "is_test", "")])
def test_a_test_that_is_not_there_is_seen(name: tuple[str, str, str]) -> None:
    assert not is_test(*name)
