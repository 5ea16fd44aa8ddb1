"""The command: `python -m benchmarks`, from the root of the tree; `--help` says what can be chosen."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks import environments, harness, machine, nginx, plots, report, stage
from benchmarks.clients import KINDS, OURS
from benchmarks.rows import FAMILIES, ROWS, Row
from benchmarks.run_one import Measurement

_RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Measure, write the results, print the tables. Returns the status of the process, 1 when s3dlio failed a row."""
    given = _parse(arguments)
    # The files and the origins go away when the stack unwinds, which the default action would not do.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = given.out or _RESULTS / datetime.now(UTC).date().isoformat()
    try:
        run = _run(given, " ".join(["python -m benchmarks", *arguments]))
        print("\n" + report.write(folder, run), end="")
        plots.draw(folder, run.rows, run.summaries())
    except (OSError, RuntimeError, ModuleNotFoundError) as problem:
        print(f"{problem} (`make bench` installs what is needed)", file=sys.stderr)
        return 1
    print(f"\nwritten to {folder}")
    return int(any(each.client == OURS for each in run.outcome.failures))


def _run(given: argparse.Namespace, command: str) -> report.Run:
    chosen = _rows(given)
    import_module("matplotlib")  # missing, it would be missed after the measurements only
    too_large = stage.left_out(chosen)
    rows = [row for row in chosen if row.name not in too_large]
    versions, unavailable = _versions(list(dict.fromkeys(given.client or KINDS)), rows)
    parts = {part: number for each in versions.values() for part, number in each.items()}
    described = machine.describe(command, {**parts, **_origins(rows)})
    with stage.staged(rows, given.disk or stage.default_disk()) as ready:
        outcome = harness.run(ready, rows, [*versions], _effort(given), _tell)
    named = (f"{row.title}: {', '.join(row.without)} would take minutes" for row in rows if row.without)
    return report.Run(
        machine=described, rows=rows, outcome=outcome, left_out=[*too_large.values(), *unavailable, *named]
    )


def _rows(given: argparse.Namespace) -> list[Row]:
    if not given.only and not given.family:
        return [*ROWS]
    return [row for row in ROWS if row.name in (given.only or ()) or row.family in (given.family or ())]


def _effort(given: argparse.Namespace) -> harness.Effort:
    effort = harness.QUICK if given.quick else harness.Effort()
    if given.repetitions is None:
        return effort
    return replace(effort, goals=given.repetitions, others=given.repetitions, slow=given.repetitions)


def _versions(names: Sequence[str], rows: Sequence[Row]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the versions of the clients that can be measured, and why the others cannot."""
    found: dict[str, dict[str, str]] = {}
    missing: list[str] = []
    for name in names:
        kind = KINDS[name]
        if not any(kind.does(row, name) for row in rows):
            continue
        try:
            found[name] = _installed(name)
        except environments.UnavailableError as problem:
            missing.append(f"{name}, in every row: {problem}")
    return found, missing


def _installed(name: str) -> dict[str, str]:
    if name == OURS:  # which may be on the path without being installed
        return {OURS: import_module(OURS).__version__}
    kind = KINDS[name]
    found = environments.versions(environments.python_of(kind.environment), kind.distributions)
    return {_label(name, part): number for part, number in found.items()}


def _origins(rows: Sequence[Row]) -> dict[str, str]:
    return {"nginx": nginx.version().partition("/")[2]} if any(row.source == "nginx" for row in rows) else {}


def _label(client: str, distribution: str) -> str:
    """Return the name of a distribution as the results show it: the wheel's is our import name."""
    return client if distribution == OURS else distribution


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare s3dlio with its peers.")
    names = [row.name for row in ROWS]
    again = "; may be repeated: "
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help=f"a row{again}{', '.join(names)}")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="a family of rows; may be repeated")
    parser.add_argument("--client", action="append", choices=[*KINDS], help="a client; may be repeated; all by default")
    parser.add_argument("--quick", action="store_true", help="one short run of each: to see that it works")
    parser.add_argument("--repetitions", type=int, metavar="N", help="runs of each client in each row")
    parser.add_argument("--disk", type=Path, metavar="DIR", help="a folder on a disk, for the direct:// rows")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where results.json, table.md and the plots go; benchmarks/results/DATE by default",
    )
    return parser.parse_args(arguments)


def _tell(done: Measurement | harness.Failure) -> None:
    if isinstance(done, harness.Failure):
        print(f"{done.row:16} {done.client:16} failed: {done.words}", file=sys.stderr)
        return
    print(
        f"{done.row:16} {done.client:16} {done.objects:>9} objects {done.wall:7.2f} s {done.cpu:7.2f} CPU s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
