"""Where each client runs: in the environment of the benchmarks, or in one of its own.

Two cannot share it. s3fs wants another botocore than boto3 does, and the wheel named `s3dlio` has our import name and
needs Python 3.12. Their environments are made on demand below `.cache/benchmarks` and kept; a name there holds the
interpreter's version and a hash of the requirements, so a change of either makes a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
_CACHE = ROOT / ".cache" / "benchmarks"
_COMPLETE = "complete"
_INSTALLATION = 600  # seconds

_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""
_MINOR = "import sys; print('%d.%d' % sys.version_info[:2])"


class UnavailableError(Exception):
    """A client cannot be measured on this machine; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """An environment of its own: what it holds, and the Python that it needs if not ours."""

    requirements: Path
    python: str | None = None


ISOLATED: Mapping[str, Isolated] = {
    "s3fs": Isolated(requirements=ROOT / "requirements" / "bench-s3fs.txt"),
    "loading": Isolated(requirements=ROOT / "requirements" / "bench-loading.txt"),
    "s3dlio-wheel": Isolated(requirements=ROOT / "requirements" / "bench-wheel.txt", python="3.12"),
}


@cache
def python_of(name: str | None) -> str:
    """Return the interpreter of an environment, which is made first if need be; None means our own.

    Raises:
        UnavailableError: there is no suitable Python, or the requirements cannot be installed.
    """
    if name is None:
        return sys.executable
    wanted = ISOLATED[name]
    base = sys.executable if wanted.python is None else find_python(wanted.python)
    folder = _CACHE / f"{name}-{_fingerprint(wanted, _minor(base))}"
    if not (folder / _COMPLETE).exists():
        _make(folder, base, wanted)
    return str(folder / "bin" / "python")


def versions(python: str, distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of distributions.

    Raises:
        UnavailableError: some of them are not installed.
    """
    asked = [*distributions]
    if not asked:
        return {}
    done = subprocess.run([python, "-I", "-c", _VERSIONS, *asked], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"not installed: one of {', '.join(asked)} (`make bench` installs them)")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def find_python(minor: str) -> str:
    """Return an interpreter of a version such as `3.12`: from the path, or from pyenv's versions.

    Raises:
        UnavailableError: there is none.
    """
    for candidate in _candidates(minor):
        if _minor(candidate) == minor:
            return candidate
    raise UnavailableError(f"there is no Python {minor} on the path or among pyenv's versions")


def _candidates(minor: str) -> Iterator[str]:
    found = shutil.which(f"python{minor}")
    if found:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    yield from (str(path) for path in sorted(pyenv.glob(f"{minor}.*/bin/python{minor}"), reverse=True))


def _minor(python: str) -> str | None:
    """Return the version of an interpreter, or None when it does not start (pyenv's shims may not)."""
    done = subprocess.run([python, "-I", "-c", _MINOR], capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout.strip()


def _fingerprint(wanted: Isolated, minor: str | None) -> str:
    return f"{minor}-{hashlib.sha256(wanted.requirements.read_bytes()).hexdigest()[:12]}"


def _make(folder: Path, base: str, wanted: Isolated) -> None:
    print(f"making an environment from {wanted.requirements.name} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    for command in ([base, "-m", "venv", str(folder)], [*pip, "--requirement", str(wanted.requirements)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALLATION)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            raise UnavailableError(f"{wanted.requirements.name} could not be installed")
    (folder / _COMPLETE).touch()
