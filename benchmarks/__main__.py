"""The command: `python -m benchmarks [--only ROW] [--client NAME] [--quick] [--out DIR]`, from the root
of the tree.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import harness, machine, nginx, report
from benchmarks.clients import KINDS
from benchmarks.rows import ROWS, Row
from benchmarks.run_one import Measurement

_RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Measure, write the results, print the table. Returns the status of the process."""
    given = _parse(arguments)
    # The files and the origins go away when the stack unwinds, which the default action would not do.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    rows = [row for row in ROWS if row.name in (given.only or [row.name])]
    names = list(dict.fromkeys(given.client or KINDS))
    folder = given.out or _RESULTS / datetime.now(UTC).date().isoformat()
    try:
        where = _describe(rows, names, arguments)
        effort = harness.QUICK if given.quick else harness.Effort()
        with harness.staged(rows) as stage:
            done = harness.run(stage, rows, names, effort, _tell)
    except (OSError, RuntimeError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print("\n" + report.write(folder, where, rows, done), end="")
    print(f"\nwritten to {folder}")
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare s3dlio with its peers.")
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="ROW",
        help="a row; may be repeated: " + ", ".join(names),
    )
    parser.add_argument(
        "--client", action="append", choices=list(KINDS), help="a client; may be repeated; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="3 short runs instead of 5: to see that it works")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where results.json and table.md go; benchmarks/results/DATE by default",
    )
    return parser.parse_args(arguments)


def _describe(rows: Sequence[Row], names: Sequence[str], arguments: Sequence[str]) -> machine.Machine:
    origins = {"nginx": nginx.version().partition("/")[2]} if any(row.source == "nginx" for row in rows) else {}
    try:
        return machine.describe(names, " ".join(["python -m benchmarks", *arguments]), origins)
    except ModuleNotFoundError as missing:
        raise RuntimeError(f"{missing.name} is not installed: pip install {missing.name}") from missing


def _tell(done: Measurement) -> None:
    print(
        f"{done.row:16} {done.client:8} {done.objects:>9} objects {done.wall:7.2f} s {done.cpu:7.2f} CPU s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
