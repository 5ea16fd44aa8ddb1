"""The two names of the package are one package, and what it lacks is said as the original says it."""

import importlib
import subprocess
import sys

import pytest

import s3dlio.compat.s3torchconnector as doorway
import s3dlio_compat.s3torchconnector as home


@pytest.mark.parametrize("name", ["", ".dcp", ".s3reader", "._s3client", ".dcp.s3_prefix_strategy", ".lightning"])
def test_both_names_are_one_module(name: str) -> None:
    first = importlib.import_module(f"s3dlio.compat.s3torchconnector{name}")
    assert first is importlib.import_module(f"s3dlio_compat.s3torchconnector{name}")
    assert first.__name__ == f"s3dlio_compat.s3torchconnector{name}"


def test_its_classes_are_the_same() -> None:
    assert doorway.S3MapDataset is home.S3MapDataset
    assert doorway.S3MapDataset.__module__.startswith("s3dlio_compat.")


def test_it_has_the_names_of_the_original() -> None:
    for name in ("", ".s3reader", ".dcp", ".lightning"):
        original = importlib.import_module(f"s3torchconnector{name}")
        ours = importlib.import_module(f"s3dlio.compat.s3torchconnector{name}")
        assert set(original.__all__) <= set(dir(ours))


def test_the_exception_has_its_other_name() -> None:
    client = importlib.import_module("s3dlio.compat.s3torchconnectorclient")
    assert client.S3Exception is doorway.S3Exception


def test_a_module_that_is_not_there_is_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing"):
        importlib.import_module("s3dlio.compat.s3torchconnector.nothing")


WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
try:
    import {module}
except ModuleNotFoundError as problem:
    print(problem)
"""


@pytest.mark.parametrize(
    ("name", "module", "text"),
    [
        ("lightning", "s3dlio.compat.s3torchconnector.lightning", "No module named 'lightning'"),
        (
            "s3dlio_compat",
            "s3dlio.compat.s3torchconnector",
            "s3dlio.compat.s3torchconnector comes with s3dlio-compat: pip install s3dlio-compat",
        ),
    ],
)
def test_what_is_not_installed_is_named(name: str, module: str, text: str) -> None:
    code = WITHOUT.format(name=name, module=module)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == text
