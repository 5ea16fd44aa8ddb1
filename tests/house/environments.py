"""Makes environments that hold chosen distributions of this repository, and nothing else of it.

Third-party packages come from the environment of the tests, so nothing is downloaded.
"""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.house.repository import DISTRIBUTIONS, PACKAGES


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in `folder`."""

    folder: Path

    @property
    def python(self) -> Path:
        """Return the interpreter."""
        return self.folder / "bin" / "python"

    def run(self, code: str) -> str:
        """Run code away from the tree and return what it printed; a failure shows what it said."""
        return output([str(self.python), "-I", "-c", code], cwd=self.folder)

    def install(self, *requirements: str) -> None:
        """Install local wheels or trees as they are: no index, no dependencies, no build environment."""
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", *offline]
        output([*pip, *requirements], cwd=self.folder)


def output(command: Sequence[str], *, cwd: Path) -> str:
    """Run a command and return its output; raise with what it said when it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def bare(folder: Path) -> Environment:
    """Return a new environment that holds nothing at all."""
    venv.create(folder, with_pip=False, symlinks=True)
    return Environment(folder)


def furnished(folder: Path) -> Environment:
    """Return a new environment that finds third-party packages, and none of this repository's.

    A folder named in a .pth file lends its packages, but its own .pth files are not read: the editable
    installs there stay unseen.
    """
    environment = bare(folder)
    lent = sysconfig.get_path("purelib")
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / minor / "site-packages" / "third-party.pth").write_text(f"{lent}\n", encoding="utf-8")
    return environment


def build(destination: Path) -> dict[str, tuple[Path, Path]]:
    """Build every distribution; return the sdist and the wheel of each. The wheel is built from the sdist."""
    return {name: build_one(name, destination / name) for name in DISTRIBUTIONS}


def build_one(distribution: str, destination: Path) -> tuple[Path, Path]:
    """Build one distribution into its own folder."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(destination)]
    output([*command, str(PACKAGES / distribution)], cwd=PACKAGES)
    (sdist,) = destination.glob("*.tar.gz")
    (wheel,) = destination.glob("*.whl")
    return sdist, wheel
