"""What is published works as published: alone, together, and mixed with editable trees."""

import email
import tarfile
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.house.environments import Environment, bare, build, furnished
from tests.house.repository import DISTRIBUTIONS, PACKAGES, ROOT

# One worker builds once for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheels")]

Built = dict[str, tuple[Path, Path]]
ALL_IMPORTS = "import " + ", ".join(DISTRIBUTIONS.values())
SAME_CLASS = "import s3dlio, s3dlio_torch; assert s3dlio.ObjectStoreMapDataset is s3dlio_torch.ObjectStoreMapDataset"

each_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Every distribution, built from this tree."""
    return build(tmp_path_factory.mktemp("built"))


def metadata(wheel: Path) -> Message:
    """Return the METADATA of a wheel."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def home_of(environment: Environment, package: str) -> Path:
    """Return the folder from which the environment imports a package."""
    return Path(environment.run(f"import {package}; print({package}.__path__[0])").strip())


@each_distribution
def test_a_wheel_holds_its_package_and_nothing_else(built: Built, distribution: str) -> None:
    package = DISTRIBUTIONS[distribution]
    with ZipFile(built[distribution][1]) as archive:
        names = archive.namelist()
    own = {name for name in names if ".dist-info/" not in name}
    source = PACKAGES / distribution / "src"
    kinds = {".py", ".pyi", ".typed"}
    files = {p.relative_to(source).as_posix() for p in (source / package).rglob("*") if p.suffix in kinds}
    assert own == files
    assert f"{package}/py.typed" in own


@each_distribution
def test_a_wheel_carries_the_licence(built: Built, distribution: str) -> None:
    wheel = built[distribution][1]
    declared = metadata(wheel)
    assert (declared["License-Expression"], declared["License-File"]) == ("Apache-2.0", "LICENSE")
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


@each_distribution
def test_an_sdist_holds_what_a_build_and_a_reader_need(built: Built, distribution: str) -> None:
    with tarfile.open(built[distribution][0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "PKG-INFO", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith("BUILD") or name.startswith("tests")]


def test_core_alone_imports_where_nothing_else_is_installed(built: Built, tmp_path: Path) -> None:
    environment = bare(tmp_path / "env")
    environment.install(str(built["s3dlio-core"][1]))
    version = metadata(built["s3dlio-core"][1])["Version"]
    assert environment.run("import s3dlio; print(s3dlio.__version__)").strip() == version


def test_core_alone_works_on_files(built: Built, tmp_path: Path) -> None:
    environment = furnished(tmp_path / "env")
    environment.install(str(built["s3dlio-core"][1]))
    uri = f"file://{tmp_path}/data/hello"
    code = f"import s3dlio; s3dlio.put({uri!r}, b'hello'); print(bytes(s3dlio.get({uri!r})))"
    assert environment.run(code).strip() == "b'hello'"


def test_core_alone_says_what_to_install_for_a_name_of_a_sibling(built: Built, tmp_path: Path) -> None:
    environment = bare(tmp_path / "env")
    environment.install(str(built["s3dlio-core"][1]))
    code = (
        "import s3dlio\n"
        "assert 'ObjectStoreMapDataset' not in dir(s3dlio)\n"
        "try: s3dlio.ObjectStoreMapDataset\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    assert environment.run(code).strip().endswith("pip install s3dlio-torch")


def test_all_wheels_work_together(built: Built, tmp_path: Path) -> None:
    environment = furnished(tmp_path / "env")
    environment.install(*(str(wheel) for _, wheel in built.values()))
    environment.run(f"{ALL_IMPORTS}; {SAME_CLASS}")
    for package in DISTRIBUTIONS.values():
        assert home_of(environment, package).is_relative_to(environment.folder)


@pytest.mark.parametrize(("editable", "wheel"), [("s3dlio-core", "s3dlio-torch"), ("s3dlio-torch", "s3dlio-core")])
def test_a_wheel_works_beside_an_editable_tree(built: Built, tmp_path: Path, editable: str, wheel: str) -> None:
    environment = furnished(tmp_path / "env")
    environment.install("--editable", str(PACKAGES / editable), str(built[wheel][1]))
    environment.run(SAME_CLASS)
    assert home_of(environment, DISTRIBUTIONS[editable]).is_relative_to(PACKAGES)
    assert home_of(environment, DISTRIBUTIONS[wheel]).is_relative_to(environment.folder)
