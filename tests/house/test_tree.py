"""What no file of the repository holds, and how large and how documented a module is."""

import ast
import re
from pathlib import Path

import pytest

from tests.house.repository import PACKAGES, ROOT, python_files, repository_files, text_files, tree_of

MODULE_LINES = 400
FUNCTION_LINES = 40

REGISTRY_HOST = re.compile(r"//[a-z.-]*(?:pypi|pythonhosted|npmjs|debian|anaconda)\.(?:org|com|io)")
MACHINE_PATH = re.compile(r"""["' (=`](?:/(?:work|root|farm)/|/home/[a-z]|/Users/[A-Za-z])""")
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
RESTRICTED = {  # reads what PyTorch pickles, and knows the classes of metadata alone
    "packages/s3dlio-compat/src/s3dlio_compat/s3torchconnector/dcp/metadata.py"
}
PICKLE = {"load", "loads", "Unpickler"}

each_python_file = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in python_files()]
)
each_package_file = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in python_files(PACKAGES)]
)


def matching(pattern: re.Pattern[str]) -> list[str]:
    """Return `file:line` for each line of the repository that holds the pattern."""
    return [
        f"{name}:{number}"
        for name, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_the_host_of_a_registry() -> None:
    assert matching(REGISTRY_HOST) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert matching(MACHINE_PATH) == []


def test_nothing_is_marked_as_unfinished() -> None:
    assert matching(UNFINISHED) == []


@pytest.mark.parametrize("text", ["see https://" + "pypi.org/simple", "index = http://registry." + "npmjs.org/x"])
def test_a_registry_host_is_seen(text: str) -> None:
    assert REGISTRY_HOST.search(text)


@pytest.mark.parametrize("path", ["/".join(["", *parts, "x"]) for parts in (["work"], ["root"], ["home", "me"])])
def test_a_machine_path_is_seen(path: str) -> None:
    assert MACHINE_PATH.search(f"in {path}")
    assert MACHINE_PATH.search(f'open("{path}")')


def test_every_file_ends_with_one_newline() -> None:
    texts = [(name, text) for name, text in text_files() if text and not name.endswith("LICENSE")]
    assert [name for name, text in texts if not text.endswith("\n") or text.endswith("\n\n")] == []


@each_python_file
def test_a_module_is_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


@each_python_file
def test_a_module_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@each_package_file
def test_a_function_is_at_most_40_lines(path: Path) -> None:
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if (f.end_lineno or f.lineno) - f.lineno >= FUNCTION_LINES]
    assert long == []


@each_package_file
def test_the_product_never_unpickles(path: Path) -> None:
    reads = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr in PICKLE
        and isinstance(node.value, ast.Name)
        and node.value.id in {"pickle", "cloudpickle", "dill", "marshal"}
    ]
    assert reads == [] or path.relative_to(ROOT).as_posix() in RESTRICTED


def test_no_product_file_lies_beside_the_packages() -> None:
    strays = [path for path in repository_files() if path.parent == ROOT and path.suffix == ".py"]
    assert strays == []
