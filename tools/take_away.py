"""Takes promised behaviours away, one at a time, and demands that the test of each fails.

The table is `take_away.toml`: an id, a source file below `packages`, the snippet that makes the behaviour and what to
put in its place, and the test. Only copies of the sources are changed; a snippet that is not there exactly once is an
error of its line, and so is a test that fails with the behaviour in place.

    python tools/take_away.py [--jobs 2] [ID ...]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "packages"
TABLE = Path(__file__).with_suffix(".toml")
FAILED = 1  # pytest's status when tests ran and some failed; any other but 0 says that none ran
LIMIT = 300  # seconds for one test: a behaviour that is gone may leave nothing but a wait


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour; `source` is below `packages`, `test` a node id of pytest, or several."""

    id: str
    source: str
    snippet: str
    replacement: str
    test: str


def rows(table: Path = TABLE) -> list[Row]:
    """Return the table."""
    return [Row(**row) for row in tomllib.loads(table.read_text(encoding="utf-8"))["row"]]


def copied(folder: Path) -> str:
    """Copy every source tree into a folder and return them as a search path."""
    for source in sorted(PACKAGES.glob("*/src")):
        shutil.copytree(source, folder / source.relative_to(PACKAGES), ignore=shutil.ignore_patterns("__pycache__"))
    return os.pathsep.join(str(each) for each in sorted(folder.glob("*/src")))


def tested(tests: Sequence[str], path: str) -> int | None:
    """Run tests against the sources on a search path; None when they did not come to an end."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=LIMIT, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def verdict(row: Row) -> str:
    """Take one behaviour away in a copy; return "" if its test sees that, else what is wrong."""
    with tempfile.TemporaryDirectory(prefix="take-away-") as name:
        folder = Path(name)
        path = copied(folder)
        source = folder / row.source
        text = source.read_text(encoding="utf-8") if source.is_file() else ""
        if text.count(row.snippet) != 1:
            return f"the snippet is {text.count(row.snippet)} times in {row.source}, not once"
        source.write_text(text.replace(row.snippet, row.replacement), encoding="utf-8")
        status = tested(row.test.split(), path)
    if status == FAILED:
        return ""
    said = {0: "the test passes without it", None: f"the test did not end within {LIMIT} s"}
    return said.get(status, f"pytest ended with {status}: the test did not run")


def passing(chosen: Sequence[Row]) -> bool:
    """Tell whether the tests pass with every behaviour in place."""
    tests = sorted({test for row in chosen for test in row.test.split()})
    with tempfile.TemporaryDirectory(prefix="take-away-") as name:
        return tested(tests, copied(Path(name))) == 0


def main(arguments: Sequence[str]) -> int:
    """Print a line for each behaviour and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("ids", nargs="*", metavar="ID", help="the behaviours to take away; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    given = parser.parse_args(arguments)
    chosen = [row for row in rows() if not given.ids or set(row.id.split()) & set(given.ids)]
    if not chosen:
        parser.error(f"no behaviour is called {' or '.join(given.ids)}")
    if not passing(chosen):
        print("the tests fail with everything in place: mend that first")
        return 1
    with ThreadPoolExecutor(given.jobs) as pool:
        said = list(pool.map(verdict, chosen))
    for row, wrong in zip(chosen, said, strict=True):
        print(f"{'missed' if wrong else 'seen':7}{row.id:9}{row.source.rpartition('/')[2]:16}{wrong or row.test}")
    print(f"{said.count('')} of {len(said)} behaviours are seen to be gone")
    return 1 if any(said) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
