"""Where things are in this repository, for the tests that check the repository itself."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "packages"
CORE = PACKAGES / "s3dlio-core" / "src" / "s3dlio"
DISTRIBUTIONS = {
    "s3dlio-core": "s3dlio",
    "s3dlio-torch": "s3dlio_torch",
    "s3dlio-jax": "s3dlio_jax",
    "s3dlio-tf": "s3dlio_tf",
    "s3dlio-compat": "s3dlio_compat",
}


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file that is or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in paths if path.is_file())


def python_files(folder: Path = ROOT) -> list[Path]:
    """Return the repository's Python files below `folder`."""
    return [path for path in repository_files() if path.suffix == ".py" and path.is_relative_to(folder)]


def text_files() -> Iterator[tuple[str, str]]:
    """Yield the path from the root and the text of each file that is text."""
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content:
            yield path.relative_to(ROOT).as_posix(), content.decode()


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(path: Path) -> str:
    """Return the name of a core module below `s3dlio`: `http.wire`, and "" for the package itself."""
    parts = path.relative_to(CORE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
